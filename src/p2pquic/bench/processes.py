"""A call of real processes on loopback: `p2pquic intermediate` and two `p2pquic peer`.

What a process took is read from outside, from /proc/PID/stat; the programs of GStreamer that a
peer starts for its audio are counted apart.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from p2pquic.core.addresses import SocketAddress, parse_socket_address
from p2pquic.core.errors import MissingRequirementError
from p2pquic.core.trace import Listening, from_line
from p2pquic.media.requirements import check_requirements

SETTLE_TIME = 1.0  # seconds after the call is direct until counting begins
CALL_LIMIT = 20.0  # seconds until a call must be direct; none takes two
EXIT_LIMIT = 3.0  # seconds a process has from the signal to its end
_USER, _SYSTEM = 11, 12  # fields of /proc/PID/stat behind the program's name (proc_pid_stat(5))


@dataclass(frozen=True)
class Server:
    """A running intermediate server."""

    process: subprocess.Popen[str]
    address: SocketAddress
    pin: str


class CallCost(NamedTuple):
    """Percent of a core, per peer: the Python process, and the programs it started."""

    peer: float
    programs: float


@contextmanager
def start_server(directory: Path) -> Iterator[Server]:
    """`p2pquic intermediate` on a free port of loopback; its keys and secret in `directory`."""
    keys = f"--cert {directory}/server.pem --key {directory}/server.key"
    with _running(f"intermediate --listen 127.0.0.1:0 {keys} --trace -", directory) as process:
        assert process.stdout is not None
        entry = from_line(process.stdout.readline())
        assert entry is not None
        assert isinstance(entry.record, Listening)
        address = parse_socket_address(entry.record.address)
        yield Server(process, address, entry.record.fingerprint)


def call_cost(seconds: int) -> CallCost:
    """What a two-way call of a tone costs each peer.

    Raises:
        MissingRequirementError: no GStreamer, or no /proc.
    """
    check_requirements(media="tone", sink="none")
    with tempfile.TemporaryDirectory(prefix="p2pquic-bench-") as name, ExitStack() as stack:
        directory = Path(name)
        server = stack.enter_context(start_server(directory))
        reach = f"--intermediate {server.address} --pin {server.pin} --ephemeral"
        command = f"peer {reach} --media tone --sink none"
        peers = [stack.enter_context(_running(command, directory)) for _ in range(2)]
        for peer in peers:
            _wait_until_direct(peer)
        time.sleep(SETTLE_TIME)
        programs = [child for peer in peers for child in _children(peer.pid)]
        groups = [peer.pid for peer in peers], programs
        before, began = [sum(map(cpu_of, group)) for group in groups], time.monotonic()
        time.sleep(seconds)
        after, ended = [sum(map(cpu_of, group)) for group in groups], time.monotonic()
        share = 100 / (ended - began) / len(peers)
        return CallCost(share * (after[0] - before[0]), share * (after[1] - before[1]))


def process_cpu(seconds: int) -> float:
    """Percent of a core that the Python process of one peer takes."""
    return call_cost(seconds).peer


def program_cpu(seconds: int) -> float:
    """Percent of a core that the audio programs of one peer take."""
    return call_cost(seconds).programs


def cpu_of(pid: int) -> float:
    """CPU seconds that a process took so far, without its children.

    Raises:
        MissingRequirementError: this system has no /proc.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        raise MissingRequirementError("This system has no /proc to read CPU times from.") from None
    fields = stat.rpartition(")")[2].split()
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / clock_ticks()


def clock_ticks() -> int:
    """How many ticks of /proc make a second.

    Raises:
        MissingRequirementError: this system has no /proc.
    """
    if sys.platform == "win32":
        raise MissingRequirementError("Windows has no /proc to read CPU times from.")
    else:  # noqa: RET506 (mypy understands only this form of a platform check)
        return os.sysconf("SC_CLK_TCK")


@contextmanager
def _running(command: str, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A p2pquic process with its output on a pipe; asked to end at the end, and made to."""
    process = subprocess.Popen(
        [sys.executable, "-m", "p2pquic", *command.split()],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=EXIT_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _wait_until_direct(peer: subprocess.Popen[str]) -> None:
    """Read what the peer tells a person until the call is direct."""
    assert peer.stdout is not None
    watchdog = threading.Timer(CALL_LIMIT, peer.kill)
    watchdog.start()
    try:
        if not any("directly" in line for line in peer.stdout):
            raise AssertionError("a peer ended before its call was direct")
    finally:
        watchdog.cancel()


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
