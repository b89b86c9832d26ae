"""Runs a program in a terminal of its own, as a shell would, and tells what becomes of both.

As a script it is that shell: the session's leader, which outlives the program, for a terminal is
hung up with its leader. It prints a line for each thing that happens:

    started PID   |   stopped ORDER   |   ended CODE ORDER        ORDER: in order, out of order
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SIZE = (24, 80)  # rows and columns: the smallest usual terminal
PATIENCE = 20.0  # seconds after which everything is killed, so that no test hangs


class Terminal:
    """The test's side: the keyboard, and what the shell tells."""

    def __init__(self, shell: subprocess.Popen[str], master: int) -> None:
        self._shell = shell
        self._master = master
        self.pid = int(self.next_line().split()[1])

    def next_line(self) -> str:
        """What happens next."""
        assert self._shell.stdout is not None
        return self._shell.stdout.readline().strip()

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_until_keys_come_at_once(self) -> None:
        give_up = time.monotonic() + PATIENCE
        while termios.tcgetattr(self._master)[3] & termios.ICANON:
            assert time.monotonic() < give_up, "the terminal was never taken"

    def wait_for(self, text: str) -> str:
        """Everything that is drawn until `text` is."""
        drawn = ""
        while text not in drawn:
            drawn += os.read(self._master, 65536).decode(errors="replace")
        return drawn


@contextmanager
def running_in_terminal(command: Sequence[str]) -> Iterator[Terminal]:
    """Run Python with these arguments."""
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, SIZE)
    shell = subprocess.Popen(
        [sys.executable, __file__, *command],
        stdin=slave,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    os.close(slave)
    watchdog = threading.Timer(PATIENCE, os.killpg, [shell.pid, signal.SIGKILL])
    watchdog.start()
    try:
        yield Terminal(shell, master)
    finally:
        watchdog.cancel()
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
        shell.communicate()
        os.close(master)


def _shell(command: Sequence[str]) -> None:
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in (signal.SIGINT, signal.SIGTSTP):  # those are for the program
        signal.signal(number, lambda *_: None)
    before = termios.tcgetattr(0)
    program = subprocess.Popen([sys.executable, *command], stdout=0, stderr=0)
    print("started", program.pid, flush=True)
    while True:
        _, status = os.waitpid(program.pid, os.WUNTRACED)
        order = "in order" if termios.tcgetattr(0) == before else "out of order"
        if not os.WIFSTOPPED(status):
            print("ended", os.waitstatus_to_exitcode(status), order, flush=True)
            return
        print("stopped", order, flush=True)


if __name__ == "__main__":
    _shell(sys.argv[1:])
