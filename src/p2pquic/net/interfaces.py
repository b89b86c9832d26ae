"""Interfaces and their addresses as libraries see them, where there is no rtnetlink.

Names are those a person knows: `en0` on macOS, `Wi-Fi` or `Ethernet 2` on Windows.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

import ifaddr

from p2pquic.net.monitor.usable import InterfaceAddress, Link


def read_interfaces() -> tuple[list[Link], list[InterfaceAddress]]:
    """The interfaces that have an address, and all their addresses. Takes some 0.4 ms.

    Raises:
        OSError: the system does not say.
    """
    links: list[Link] = []
    addresses: list[InterfaceAddress] = []
    for index, name, hosts in _adapters():
        links.append(Link(index, name, running=True))  # who is not loses its routes
        addresses += [InterfaceAddress(host, index) for host in hosts]
    return links, addresses


def interface_index(name: str) -> int:
    """The system's number of an interface.

    Raises:
        OSError: there is none of that name, or none with an address.
    """
    for index, adapter, _ in _adapters():
        if adapter == name:
            return index
    raise OSError(errno.ENXIO, f"there is no interface {name}")


def _adapters() -> Iterator[tuple[int, str, list[str]]]:
    """Number, name and addresses of each interface."""
    for adapter in ifaddr.get_adapters():
        if adapter.index is None or not adapter.ips:
            continue
        hosts = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for ip in adapter.ips]
        yield adapter.index, adapter.ips[0].nice_name, hosts
