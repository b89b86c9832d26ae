"""Tells at once which of this host's addresses can carry a call.

    rtnetlink       ->  linux.py  --+
    routing socket  ->  macos.py  --+-->  usable addresses, preferred first  -->  udp.py
    polling         ->  poll.py   --+

What counts as usable is decided by the pure function in usable.py. A monitor never guesses from
send errors: an address is usable when the kernel says so, and gone when the kernel says so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from p2pquic.core.addresses import LocalAddress

OnChange = Callable[[tuple[LocalAddress, ...]], None]


class AddressMonitor(Protocol):
    """Calls `on_change` with all usable addresses, once at the start and after each change."""

    def start(self) -> None:
        """Report what is usable now, then follow. Needs a running asyncio loop."""
        ...

    def close(self) -> None:
        """Stop following. May be called twice."""
        ...


def create_monitor(destinations: Sequence[str], on_change: OnChange) -> AddressMonitor:
    """The best monitor this system has.

    Args:
        destinations: Numeric addresses of the intermediate server; none means the whole internet,
            so only addresses with a default route count.
        on_change: Called in the asyncio loop, never twice in a row with the same addresses.
    """
    if sys.platform == "linux":
        from p2pquic.net.monitor.linux import LinuxMonitor

        return LinuxMonitor(destinations, on_change)
    elif sys.platform == "darwin":  # noqa: RET505 (mypy understands only this form, as below)
        from p2pquic.net.monitor.macos import MacMonitor

        return MacMonitor(destinations, on_change)
    else:
        from p2pquic.net.monitor.poll import PollingMonitor

        return PollingMonitor(destinations, on_change)
