"""Single keys from the console of Windows, without Enter, while a call runs.

The same interface as keyboard.py. asyncio cannot wait for a key there, so the console is asked ten
times a second whether there is one. Ctrl-C and Ctrl-Break stay signals; nobody stops a program as
Ctrl-Z does elsewhere, and the console needs not be given back.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TextIO

assert sys.platform == "win32", "This module reads the console of Windows."

import msvcrt

POLL_INTERVAL = 0.1  # seconds; who pressed a key waits no longer, and asking costs microseconds
PREFIXES = ("\0", "\xe0")  # before the code of an arrow or a function key, which is none of ours


def has_keyboard(stream: TextIO) -> bool:
    """Whether a person may press keys here."""
    return stream.isatty()


class Keyboard:
    """The keys of the console, until `close`; needs the running asyncio loop."""

    def __init__(
        self,
        stream: TextIO,
        *,
        on_key: Callable[[str], None],
        on_stop: Callable[[], None],
        on_continue: Callable[[], None],
    ) -> None:
        """`stream` is the console, of which a process has one; it is never stopped."""
        del stream, on_stop, on_continue
        self._on_key = on_key
        self._timer: asyncio.TimerHandle | None = None
        self._ask_again()

    def close(self) -> None:
        """Take no keys any more; may be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ask_again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(POLL_INTERVAL, self._ask)

    def _ask(self) -> None:
        self._ask_again()
        while self._timer is not None and msvcrt.kbhit():
            key = msvcrt.getwch()
            if key in PREFIXES:
                msvcrt.getwch()
            else:
                self._on_key(key)
