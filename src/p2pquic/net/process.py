"""How a process of ours runs and ends: one asyncio loop, and a signal that always works."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

EXIT_LIMIT = 1.5  # seconds from the first signal to the end of the process, whatever hangs


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run the one coroutine of a process to its exit code, on a loop that can watch any socket.

    What was imported so far stays for ever, so the garbage collector need not visit it again: a
    full collection would hold up a packet for some 20 ms.
    """
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main)


def on_callback_error(fail: Callable[[BaseException], None]) -> None:
    """Call `fail(error)` when a callback of the running loop raises; asyncio would only log it."""

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        fail(context.get("exception") or RuntimeError(context["message"]))

    asyncio.get_running_loop().set_exception_handler(handle)


def on_stop_signal(stop: Callable[[str], None]) -> None:
    """Call `stop(reason)` in the running loop at the first SIGINT or SIGTERM.

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

    for number in (signal.SIGINT, signal.SIGTERM):
        if sys.platform == "win32":
            signal.signal(number, lambda n, _: loop.call_soon_threadsafe(stop_in_time, n))
        else:
            loop.add_signal_handler(number, stop_in_time, number)
