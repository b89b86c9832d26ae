"""`p2pquic monitor`: prints the address changes of this host as they happen, until a signal."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence

from p2pquic.core.addresses import LocalAddress
from p2pquic.net import process
from p2pquic.net.monitor import create_monitor


def watch_addresses(destinations: Sequence[str]) -> int:
    """Print which addresses reach a server (none: the internet), now and after each change."""
    return process.run(_watch(destinations))


async def _watch(destinations: Sequence[str]) -> int:
    stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    process.on_stop_signal(stopped.set_result)
    process.on_callback_error(stopped.set_exception)
    before: tuple[LocalAddress, ...] = ()

    def show(usable: tuple[LocalAddress, ...]) -> None:
        nonlocal before
        print(f"{datetime.datetime.now():%H:%M:%S.%f}  {change(before, usable)}", flush=True)
        before = usable

    monitor = create_monitor(destinations, show)
    try:
        monitor.start()
        await stopped
    finally:
        monitor.close()
    return 0


def change(before: tuple[LocalAddress, ...], usable: tuple[LocalAddress, ...]) -> str:
    """`+192.0.2.7%wlan0 -198.51.100.9%rmnet0; usable: 192.0.2.7%wlan0`."""
    steps = [f"+{address}" for address in usable if address not in before]
    steps += [f"-{address}" for address in before if address not in usable]
    now = ", ".join(map(str, usable)) or "no address"
    return f"{' '.join(steps) or 'order'}; usable: {now}" if steps or before else f"usable: {now}"
