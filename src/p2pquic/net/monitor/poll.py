"""Watches this host's addresses where the kernel tells nobody (macOS, Windows).

The same interface as linux.py, by asking four times a second. It sees no routes and no flags, so
an address counts as soon as an interface has it; which one is preferred, the system says when asked
for the source address it would use.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence

import ifaddr

from p2pquic.core.addresses import LocalAddress
from p2pquic.net.monitor import OnChange

POLL_INTERVAL = 0.25  # seconds; a move waits half of it on average, a look costs under 1 ms
ANY_PORT = 9  # connecting a UDP socket sends nothing; the port only has to be one
PUBLIC = ("192.0.2.1", "2001:db8::1")  # stand for "the internet"; documentation, never sent to


class PollingMonitor:
    """An AddressMonitor that asks again and again."""

    def __init__(self, destinations: Sequence[str], on_change: OnChange) -> None:
        self._destinations = destinations
        self._on_change = on_change
        self._timer: asyncio.TimerHandle | None = None
        self._last: tuple[LocalAddress, ...] | None = None

    def start(self) -> None:
        self._look()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(POLL_INTERVAL, self._look)
        targets = (*self._destinations, *PUBLIC)
        preferred = [source for target in targets if (source := source_address(target))]
        usable = choose_addresses(host_addresses(), self._destinations, preferred)
        if usable != self._last:
            self._last = usable
            self._on_change(usable)


def host_addresses() -> list[LocalAddress]:
    """Every address of every interface."""
    found: list[LocalAddress] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            host = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            found.append(LocalAddress(host, adapter.name))
    return found


def source_address(target: str) -> str | None:
    """The address this host would send from to `target`; None without a route."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, ANY_PORT))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def choose_addresses(
    found: Iterable[LocalAddress], destinations: Sequence[str], preferred: list[str]
) -> tuple[LocalAddress, ...]:
    """What usable.py decides, from less: addresses and the system's preferred sources in order."""
    targets = [ipaddress.ip_address(destination) for destination in destinations]
    loopback = any(target.is_loopback for target in targets)
    families = {target.version for target in targets}
    kept: list[tuple[tuple[int, bool], LocalAddress]] = []
    for address in found:
        ip = ipaddress.ip_address(address.host)
        if (
            ip.is_link_local
            or ip.is_loopback != loopback
            or (loopback and ip.version not in families)
        ):
            continue
        rank = preferred.index(address.host) if address.host in preferred else len(preferred)
        kept.append(((rank, ip.version not in families), address))
    return tuple(address for _, address in sorted(kept, key=lambda pair: pair[0]))
