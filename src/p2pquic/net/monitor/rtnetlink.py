"""Asks the Linux kernel for its links, addresses and routes (rtnetlink, man 7 rtnetlink).

    request (RTM_GETx, dump)  ->  kernel  ->  messages  ->  Link, InterfaceAddress, Route

Four fixed structures and a list of attributes, read with `struct`: all of a laptop's tables take
0.3 ms. A general netlink library needs 0.5 ms for each link message alone and 0.2 s to import,
and an address change and the start of a call would wait for that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

assert sys.platform == "linux", "rtnetlink is how Linux speaks of its network."

from p2pquic.net.monitor.usable import InterfaceAddress, Link, Route

# linux/netlink.h, linux/rtnetlink.h
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST, NLM_F_REQUEST_DUMP = 0x1, 0x301
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
# Links, addresses, routes and routing rules of IPv4 and IPv6 (RTMGRP_*, RTNLGRP_*_RULE)
CHANGES = 0x1 | 0x10 | 0x100 | 0x40 | 0x400 | 0x80 | 0x40000

SOL_NETLINK, NETLINK_GET_STRICT_CHK = 270, 12

IFLA_IFNAME, IFLA_EXT_MASK = 3, 29
RTEXT_FILTER_SKIP_STATS = 8  # the counters of each link are most of a dump and none of our business
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
RTA_DST, RTA_OIF, RTA_PRIORITY, RTA_MULTIPATH, RTA_TABLE = 1, 4, 6, 9, 15

IFF_UP, IFF_RUNNING, IFF_LOWER_UP = 0x1, 0x40, 0x10000
IFA_F_TEMPORARY = 0x1  # of an IPv6 address; of an IPv4 one the bit says "secondary"
IFA_F_OPTIMISTIC, IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE = 0x4, 0x8, 0x20, 0x40
RTN_UNICAST, RTN_LOCAL = 1, 2
RT_TABLE_LOCAL = 255
RTM_F_CLONED = 0x200
RTNH_F_DEAD, RTNH_F_LINKDOWN = 0x1, 0x10

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_LINK = struct.Struct("=BxHiII")  # family, device type, index, flags, change mask
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, lengths, tos, table, protocol, scope, type, flags
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_NEXT_HOP = struct.Struct("=HBBi")  # length, flags, hops, index
_NUMBER = struct.Struct("=I")
_VERSIONS = {socket.AF_INET: (4, 32), socket.AF_INET6: (6, 128)}  # IP version, address bits

RECEIVE_SIZE = 65536  # bytes; the kernel cuts dumps to at most 32 KiB
ANSWER_TIMEOUT = 1.0  # seconds; the kernel answers a dump within the call, so silence is a fault


def open_changes_socket() -> socket.socket:
    """A non-blocking socket that becomes readable when a link, address or route changes."""
    changes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    changes.setblocking(False)
    changes.bind((0, CHANGES))
    return changes


def read_changes(changes: socket.socket) -> set[int]:
    """Read all notifications that wait: their message types (RTM_NEWx, RTM_DELx).

    An overrun (ENOBUFS) means that anything may have changed, so it counts as a changed link.

    Raises:
        OSError: the socket is broken.
    """
    kinds: set[int] = set()
    while True:
        try:
            kinds.update(kind for kind, _ in _messages(changes.recv(RECEIVE_SIZE)))
        except BlockingIOError:
            return kinds
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            kinds.add(RTM_NEWLINK)


class KernelTables:
    """Reads the kernel's tables of this network namespace, each as a whole.

    Methods raise OSError if the kernel refuses.
    """

    def __init__(self) -> None:
        self._requests = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._requests.settimeout(ANSWER_TIMEOUT)
        self._requests.bind((0, 0))
        with contextlib.suppress(OSError):  # before Linux 4.20 dumps are unfiltered, and longer
            self._requests.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)

    def close(self) -> None:
        """Close the request socket."""
        self._requests.close()

    def links(self) -> list[Link]:
        """All network interfaces."""
        skip_stats = _ATTRIBUTE.pack(8, IFLA_EXT_MASK) + _NUMBER.pack(RTEXT_FILTER_SKIP_STATS)
        bodies = self._dump(RTM_GETLINK, RTM_NEWLINK, _LINK.pack(0, 0, 0, 0, 0) + skip_stats)
        return [parse_link(body) for body in bodies]

    def addresses(self) -> list[InterfaceAddress]:
        """All IPv4 and IPv6 addresses.

        One of IPv6 that is on the list but has no local route yet is tentative to us: for some
        milliseconds it can be bound and sent from, and what answers is thrown away. When that is
        the router saying who it is (RFC 4861), nothing leaves for a second.
        """
        bodies = self._dump(RTM_GETADDR, RTM_NEWADDR, _ADDRESS.pack(0, 0, 0, 0, 0))
        addresses = [parse_address(body) for body in bodies]
        if all(":" not in each.host for each in addresses):
            return addresses
        receiving = self._local_ipv6()
        return [
            dataclasses.replace(each, tentative=True)
            if ":" in each.host and each.host not in receiving
            else each
            for each in addresses
        ]

    def _local_ipv6(self) -> set[str]:
        """The IPv6 addresses that the kernel takes packets in for."""
        local = _ROUTE.pack(socket.AF_INET6, 0, 0, 0, 0, 0, 0, RTN_LOCAL, 0)
        return {
            host
            for body in self._dump(RTM_GETROUTE, RTM_NEWROUTE, local)
            if (host := parse_local_route(body)) is not None
        }

    def routes(self) -> list[Route]:
        """All IPv4 and IPv6 routes a packet of ours could take, of every routing table."""
        unicast = _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, RTN_UNICAST, 0)
        bodies = self._dump(RTM_GETROUTE, RTM_NEWROUTE, unicast)
        return [route for body in bodies for route in parse_route(body)]

    def choice(self, destination: str) -> int | None:
        """The index of the link by which the kernel would send there now; None if by none.

        Routing rules decide together with routes (ip-rule(8)), so it is asked and not worked out.
        """
        version = ipaddress.ip_address(destination).version
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        packed = socket.inet_pton(family, destination)
        body = _ROUTE.pack(family, 8 * len(packed), 0, 0, 0, 0, 0, 0, 0)
        body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), RTA_DST) + packed
        length = _HEADER.size + len(body)
        self._requests.send(_HEADER.pack(length, RTM_GETROUTE, NLM_F_REQUEST, 0, 0) + body)
        for kind, message in _messages(self._requests.recv(RECEIVE_SIZE)):
            if kind == RTM_NEWROUTE:
                return _number(_attributes(message, _ROUTE.size), RTA_OIF, 0) or None
        return None

    def _dump(self, request: int, answer: int, body: bytes) -> list[bytes]:
        """Ask for all objects of a kind; each message without its header.

        A dump that a change interrupts is taken as it is: the change is also a notification, and
        the monitor reads again.
        """
        length = _HEADER.size + len(body)
        self._requests.send(_HEADER.pack(length, request, NLM_F_REQUEST_DUMP, 0, 0) + body)
        bodies: list[bytes] = []
        while True:
            for kind, message in _messages(self._requests.recv(RECEIVE_SIZE)):
                if kind == NLMSG_DONE:
                    return bodies
                if kind == NLMSG_ERROR:
                    number = -struct.unpack_from("=i", message)[0]
                    raise OSError(number, f"rtnetlink dump refused: {os.strerror(number)}")
                if kind == answer:
                    bodies.append(message)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages in one datagram from the kernel: (type, message without header)."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += _aligned(length)


def parse_link(body: bytes) -> Link:
    """Read one RTM_NEWLINK message without its header."""
    _, _, index, flags, _ = _LINK.unpack_from(body)
    name = _attributes(body, _LINK.size, until=IFLA_IFNAME)[IFLA_IFNAME].rstrip(b"\0").decode()
    needed = IFF_UP | IFF_RUNNING | IFF_LOWER_UP
    return Link(index, name, running=flags & needed == needed)


def parse_address(body: bytes) -> InterfaceAddress:
    """Read one RTM_NEWADDR message without its header."""
    family, _, short_flags, _, index = _ADDRESS.unpack_from(body)
    attributes = _attributes(body, _ADDRESS.size)
    flags = _number(attributes, IFA_FLAGS, short_flags)
    packed = attributes.get(IFA_LOCAL) or attributes[IFA_ADDRESS]
    optimistic = flags & IFA_F_OPTIMISTIC
    return InterfaceAddress(
        host=socket.inet_ntop(family, packed),
        link=index,
        tentative=bool(flags & IFA_F_DADFAILED or (flags & IFA_F_TENTATIVE and not optimistic)),
        deprecated=bool(flags & IFA_F_DEPRECATED),
        temporary=family == socket.AF_INET6 and bool(flags & IFA_F_TEMPORARY),
    )


def prefers_temporary(interface: str) -> bool:
    """Whether the kernel would send from a temporary address of this interface, if it has one.

    Netlink does not say. 2 and more mean yes; with 1 they exist, and are for who asks for them.
    """
    try:
        return int(Path(f"/proc/sys/net/ipv6/conf/{interface}/use_tempaddr").read_text()) > 1
    except (OSError, ValueError):
        return True  # the interface is gone, or has no such switch: it made one, so it means it


def parse_route(body: bytes) -> list[Route]:
    """Read one RTM_NEWROUTE message without its header: a Route for each live next hop.

    Empty for what no packet of ours can take: local, broadcast, unreachable or cached routes, and
    those through a dead link.
    """
    family, length, _, _, short_table, _, _, kind, flags = _ROUTE.unpack_from(body)
    if kind != RTN_UNICAST or flags & RTM_F_CLONED or family not in _VERSIONS:
        return []
    attributes = _attributes(body, _ROUTE.size)
    if _number(attributes, RTA_TABLE, short_table) == RT_TABLE_LOCAL:
        return []
    version, bits = _VERSIONS[family]
    prefix = int.from_bytes(attributes.get(RTA_DST, b"")) >> (bits - length)
    metric = _number(attributes, RTA_PRIORITY, 0)
    hops = [(flags, _number(attributes, RTA_OIF, 0))] if RTA_OIF in attributes else []
    hops += _next_hops(attributes.get(RTA_MULTIPATH, b""))
    return [
        Route(version, prefix, length, link, metric)
        for hop_flags, link in hops
        if not hop_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)
    ]


def parse_local_route(body: bytes) -> str | None:
    """The one address that a route of RTM_NEWROUTE takes in here; None if it is another route."""
    family, length, _, _, _, _, _, kind, _ = _ROUTE.unpack_from(body)
    if kind != RTN_LOCAL or family != socket.AF_INET6 or length != 128:
        return None
    return socket.inet_ntop(family, _attributes(body, _ROUTE.size)[RTA_DST])


def _next_hops(packed: bytes) -> list[tuple[int, int]]:
    """The next hops of a multipath route: (flags, link index) of each."""
    hops: list[tuple[int, int]] = []
    offset = 0
    while offset + _NEXT_HOP.size <= len(packed):
        length, flags, _, link = _NEXT_HOP.unpack_from(packed, offset)
        hops.append((flags, link))
        offset += _aligned(length)
    return hops


def _attributes(body: bytes, offset: int, until: int | None = None) -> dict[int, bytes]:
    """The attributes after a message's fixed part: {type: value}; none after type `until`."""
    attributes: dict[int, bytes] = {}
    end = len(body) - _ATTRIBUTE.size
    while offset <= end:
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        attributes[kind] = body[offset + _ATTRIBUTE.size : offset + length]
        if kind == until:
            break
        offset += _aligned(length)
    return attributes


def _number(attributes: dict[int, bytes], kind: int, otherwise: int) -> int:
    value = attributes.get(kind)
    return otherwise if value is None else int(_NUMBER.unpack(value)[0])


def _aligned(length: int) -> int:
    """Messages and attributes start at multiples of four bytes; never stands still."""
    return (length + 3) & ~3 or 4
