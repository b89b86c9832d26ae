"""Watches this host's addresses where the kernel does not tell what it knows (macOS, Windows).

    interfaces, addresses  --------------------------------+
    bind, connect: is there a route by this interface?  ---+-->  usable.py
    connect: which address would the system take?  --------+

Only a question has an answer here: a UDP socket that is bound to an address and its interface can
be connected if there is a route by it. That sends nothing. So an address without a way out does
not count (an interface that died, a bridge of containers), and a VPN is one more interface beside
the network it runs over, preferred as long as the system would send by it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

from p2pquic.core.addresses import LocalAddress
from p2pquic.net.interfaces import read_interfaces
from p2pquic.net.monitor import OnChange
from p2pquic.net.monitor.usable import InterfaceAddress, Link, Route, usable_addresses
from p2pquic.net.socket_options import bind_to_interface

POLL_INTERVAL = 0.2  # seconds; a move waits half of it on average. A look at five addresses takes
# 0.7 ms on Linux (reading them 0.4 ms, a question 15 us), during which no packet is handled
LEAST_INTERVAL = 0.05  # seconds between two looks, whoever hurries: a look may itself be announced
ANY_PORT = 9  # connecting a UDP socket sends nothing; the port only has to be one
PUBLIC = {4: "192.0.2.1", 6: "2001:db8::1"}  # "the internet"; documentation, never sent to


class Tables(NamedTuple):
    """What the system knows, as usable.py takes it."""

    links: list[Link]
    addresses: list[InterfaceAddress]
    routes: list[Route]


ReadTables = Callable[[Sequence[str]], Tables]
"""Reads them, as far as the way to a server needs them; OSError if the system is silent."""


class PollingMonitor:
    """An AddressMonitor that asks again and again."""

    def __init__(
        self,
        destinations: Sequence[str],
        on_change: OnChange,
        read: ReadTables | None = None,
        interval: float = POLL_INTERVAL,
    ) -> None:
        """`read` is `read_tables` unless told otherwise; `interval` in seconds."""
        self._destinations = destinations
        self._on_change = on_change
        self._read = read or read_tables
        self._interval = interval
        self._timer: asyncio.TimerHandle | None = None
        self._looked = 0.0
        self._last: tuple[LocalAddress, ...] | None = None

    def start(self) -> None:
        self._look()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def hurry(self) -> None:
        """Something may have changed: look as soon as that is decent."""
        if self._timer is not None:
            self._schedule(min(self._timer.when(), self._looked + LEAST_INTERVAL))

    def _schedule(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._look)

    def _look(self) -> None:
        self._looked = asyncio.get_running_loop().time()
        self._schedule(self._looked + self._interval)
        try:
            tables = self._read(self._destinations)
        except OSError:
            return  # interfaces that come and go under its hands; what was true stays so until then
        usable = usable_addresses(*tables, self._destinations, self._last or ())
        if usable != self._last:
            self._last = usable
            self._on_change(usable)


def read_tables(destinations: Sequence[str]) -> Tables:
    """The tables of this host, with a route for each address that has a way out.

    Raises:
        OSError: the system does not say which interfaces there are.
    """
    links, addresses = read_interfaces()
    names = {link.index: link.name for link in links}
    targets = PUBLIC | {_family(destination): destination for destination in destinations}
    favourites = {source_address(target) for target in targets.values()}
    routes = [
        Route(_family(address.host), 0, 0, address.link, 0 if address.host in favourites else 1)
        for address in addresses
        if has_way(address.host, names[address.link], targets[_family(address.host)])
    ]
    return Tables(links, addresses, routes)


def source_address(target: str) -> str | None:
    """The address this host would send from to `target`; None without a route."""
    return _connected(target, lambda _: None)


def has_way(host: str, interface: str, target: str) -> bool:
    """Whether packets from `host` can leave by its interface towards `target`."""

    def bind(probe: socket.socket) -> None:
        bind_to_interface(probe, interface)
        probe.bind((host, 0))

    return _connected(target, bind) is not None


def _connected(target: str, prepare: Callable[[socket.socket], None]) -> str | None:
    family = socket.AF_INET6 if _family(target) == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            prepare(probe)
            probe.connect((target, ANY_PORT))
            return str(probe.getsockname()[0])
    except OSError:
        return None


def _family(host: str) -> int:
    return 6 if ":" in host else 4
