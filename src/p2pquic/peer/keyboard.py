"""Single keys from the terminal, without Enter, while a call runs.

    ours      keys come at once and are not echoed (cbreak); Ctrl-C and Ctrl-Z stay signals
    given     the terminal as it was before, at the end and while the process is stopped
    back

A terminal that another program is using, as when the call runs in the background, is left alone:
who reads or sets it from there is stopped by the kernel (SIGTTIN, SIGTTOU).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TextIO

assert sys.platform != "win32", "Windows has another keyboard: windows_keyboard.py."

import termios
import tty

AT_ONCE = 64  # bytes; more than one key is somebody leaning on the keyboard


def has_keyboard(stream: TextIO) -> bool:
    """Whether a person may press keys here."""
    return stream.isatty() and _is_in_foreground(stream.fileno())


class Keyboard:
    """The keys of a terminal, until `close`; needs the running asyncio loop of the main thread."""

    def __init__(
        self,
        stream: TextIO,
        *,
        on_key: Callable[[str], None],
        on_stop: Callable[[], None],
        on_continue: Callable[[], None],
    ) -> None:
        self._fd = stream.fileno()
        self._on_key = on_key
        self._on_stop = on_stop
        self._on_continue = on_continue
        self._loop = asyncio.get_running_loop()
        self._before: list[Any] | None = None  # the terminal's settings, while it is ours
        self._is_open = True
        self._loop.add_signal_handler(signal.SIGTSTP, self._stop)
        self._loop.add_signal_handler(signal.SIGCONT, self._continue)
        self._take()

    def close(self) -> None:
        """Give the terminal back; may be called twice."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_signal_handler(signal.SIGTSTP)
            self._loop.remove_signal_handler(signal.SIGCONT)
            self._give_back()

    def _take(self) -> None:
        if not _is_in_foreground(self._fd):
            self._loop.remove_reader(self._fd)
            return
        if self._before is None:
            self._before = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd, termios.TCSANOW)
        self._loop.add_reader(self._fd, self._read)

    def _give_back(self) -> None:
        self._loop.remove_reader(self._fd)
        if self._before is not None and _is_in_foreground(self._fd):
            termios.tcsetattr(self._fd, termios.TCSANOW, self._before)
        self._before = None

    def _stop(self) -> None:
        """Ctrl-Z: stop as the shell expects, but leave the terminal in order."""
        self._on_stop()
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)

    def _continue(self) -> None:
        """Also after a stop that nobody announced; the shell may have reset the terminal."""
        self._take()
        self._on_continue()

    def _read(self) -> None:
        try:
            keys = os.read(self._fd, AT_ONCE)
        except OSError:  # the terminal was closed
            keys = b""
        if not keys:
            self._loop.remove_reader(self._fd)
        for key in keys.decode(errors="ignore"):
            self._on_key(key)


def _is_in_foreground(fd: int) -> bool:
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # not the terminal that controls us, or none any more
        return False
