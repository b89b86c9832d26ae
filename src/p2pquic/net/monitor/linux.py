"""Follows the Linux kernel's address changes without delay.

A notification is only a reason to look. Nothing is pieced together from notifications: the monitor
reads each table that may have changed as a whole, which takes a fraction of a millisecond. So it
cannot miss what the kernel does not announce, an overrun is a reason like any other, and a burst of
notifications costs one look.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import sys
from collections.abc import Sequence

assert sys.platform == "linux", "rtnetlink is how Linux speaks of its network."

from p2pquic.core.addresses import LocalAddress
from p2pquic.net.monitor import OnChange
from p2pquic.net.monitor.rtnetlink import (
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    KernelTables,
    open_changes_socket,
    prefers_temporary,
    read_changes,
)
from p2pquic.net.monitor.usable import (
    InterfaceAddress,
    Link,
    targets,
    usable_addresses,
)

LINK_CHANGES = {RTM_NEWLINK, RTM_DELLINK}
# A new route as well: an optimistic address (RFC 4429) may be used at once, but unless the sysctl
# use_optimistic is set, Linux announces it only when detection is done; its route comes first.
ADDRESS_CHANGES = LINK_CHANGES | {RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE}


class LinuxMonitor:
    """An AddressMonitor on rtnetlink."""

    def __init__(self, destinations: Sequence[str], on_change: OnChange) -> None:
        self._destinations = destinations
        self._targets = targets(destinations)
        self._on_change = on_change
        self._changes: socket.socket | None = None
        self._tables: KernelTables | None = None
        self._links: list[Link] = []
        self._addresses: list[InterfaceAddress] = []
        self._last: tuple[LocalAddress, ...] | None = None

    def start(self) -> None:
        self._changes = open_changes_socket()  # before the first look, so that nothing is missed
        self._tables = KernelTables()
        asyncio.get_running_loop().add_reader(self._changes, self._on_readable)
        self._look(LINK_CHANGES)

    def close(self) -> None:
        if self._changes is not None and self._tables is not None:
            asyncio.get_running_loop().remove_reader(self._changes)
            self._changes.close()
            self._tables.close()
            self._changes = self._tables = None

    def _on_readable(self) -> None:
        if self._changes is not None:
            self._look(read_changes(self._changes))

    def _look(self, changes: set[int]) -> None:
        """Read again what `changes` may have touched, and report if that changes the outcome.

        Routes always: with a link or its last address IPv4 routes vanish unannounced.
        """
        if self._tables is None:
            return
        if changes & LINK_CHANGES:
            self._links = self._tables.links()
        if changes & ADDRESS_CHANGES:
            self._addresses = self._without_unwanted_privacy(self._tables.addresses())
        routes = self._tables.routes()
        choices = {family: self._tables.choice(target) for family, target in self._targets.items()}
        usable = usable_addresses(
            self._links, self._addresses, routes, self._destinations, self._last or (), choices
        )
        if usable != self._last:
            self._last = usable
            self._on_change(usable)

    def _without_unwanted_privacy(
        self, addresses: list[InterfaceAddress]
    ) -> list[InterfaceAddress]:
        """The temporary addresses of an interface on which they are not preferred are like others.

        Only who has one pays for the question.
        """
        private = {address.link for address in addresses if address.temporary}
        unwanted = {
            link.index
            for link in self._links
            if link.index in private and not prefers_temporary(link.name)
        }
        return [
            dataclasses.replace(each, temporary=False) if each.link in unwanted else each
            for each in addresses
        ]
