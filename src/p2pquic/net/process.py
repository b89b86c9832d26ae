"""How a process of ours runs and ends: one asyncio loop, and a signal that always works.

Linux, macOS    selector loop, which can watch any socket     SIGINT, SIGTERM
Windows         proactor loop, the only one that can start    Ctrl-C, Ctrl-Break (also what
                programs                                      the end of a console is), SIGTERM
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

if sys.platform == "win32":
    EventLoop = asyncio.ProactorEventLoop

    STOP_SIGNALS = (signal.SIGINT, signal.SIGBREAK, signal.SIGTERM)
else:
    EventLoop = asyncio.SelectorEventLoop

    STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

EXIT_LIMIT = 1.5  # seconds from the first signal to the end of the process, whatever hangs

TICK = 1  # ms; the finest that every Windows has


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run the one coroutine of a process to its exit code.

    What was imported so far stays for ever, so the garbage collector need not visit it again: a
    full collection would hold up a packet for some 20 ms.
    """
    gc.collect()
    gc.freeze()
    _tick_finely()
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        return runner.run(main)


def _tick_finely() -> None:
    """Windows wakes who sleeps every 15.6 ms unless asked for better: too rarely for a frame."""
    if sys.platform == "win32":
        import ctypes

        ctypes.WinDLL("winmm").timeBeginPeriod(TICK)


def on_callback_error(fail: Callable[[BaseException], None]) -> None:
    """Call `fail(error)` when a callback of the running loop raises; asyncio would only log it."""

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        fail(context.get("exception") or RuntimeError(context["message"]))

    asyncio.get_running_loop().set_exception_handler(handle)


def on_stop_signal(stop: Callable[[str], None]) -> None:
    """Call `stop(reason)` in the running loop at the first of STOP_SIGNALS.

    Whoever stops a program means it: if the process still lives EXIT_LIMIT later, whatever the
    reason, it ends with exit code 0 without further ado.
    """
    loop = asyncio.get_running_loop()
    stopping = False

    def stop_in_time(number: int) -> None:
        nonlocal stopping
        if stopping:
            return
        stopping = True
        last_resort = threading.Timer(EXIT_LIMIT, os._exit, [0])
        last_resort.daemon = True
        last_resort.start()
        stop(f"stopped by {signal.Signals(number).name}")

    for number in STOP_SIGNALS:
        if sys.platform == "win32":
            signal.signal(number, lambda n, _: loop.call_soon_threadsafe(stop_in_time, n))
        else:
            loop.add_signal_handler(number, stop_in_time, number)
