"""Reading the kernel's messages, from bytes as the kernel writes them."""

from __future__ import annotations

import socket
import struct
import sys

import pytest

from p2pquic.net.monitor import rtnetlink
from p2pquic.net.monitor.rtnetlink import (
    KernelTables,
    parse_address,
    parse_link,
    parse_route,
    read_changes,
)
from p2pquic.net.monitor.usable import InterfaceAddress, Link, Route

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="rtnetlink is Linux")


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def link(flags: int) -> bytes:
    return struct.pack("=BxHiII", 0, 1, 7, flags, 0) + attribute(rtnetlink.IFLA_IFNAME, b"wlan0\0")


@pytest.mark.parametrize(
    ("flags", "running"),
    [
        pytest.param(0x11043, True, id="up, running, carrier"),
        pytest.param(0x1003, False, id="no carrier"),
        pytest.param(0x11003, False, id="carrier but dormant: Wi-Fi not yet associated"),
        pytest.param(0x1002, False, id="administratively down"),
    ],
)
def test_a_link_runs_when_it_is_up_with_carrier(flags: int, running: bool) -> None:
    assert parse_link(link(flags)) == Link(7, "wlan0", running)


@pytest.mark.parametrize(
    ("flags", "tentative"),
    [(0x80, False), (0x40, True), (0x44, False), (0x48, True), (0x08, True)],
    ids=["permanent", "tentative", "optimistic", "tentative and failed", "duplicate"],
)
def test_an_address_is_tentative_unless_optimistic(flags: int, tentative: bool) -> None:
    packed = socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    body = struct.pack("=BBBBI", socket.AF_INET6, 64, flags & 0xFF, 0, 7)
    body += attribute(rtnetlink.IFA_ADDRESS, packed) + number(rtnetlink.IFA_FLAGS, flags)
    assert parse_address(body) == InterfaceAddress("2001:db8::7", 7, tentative)


def test_on_a_point_to_point_link_the_local_address_counts() -> None:
    body = struct.pack("=BBBBI", socket.AF_INET, 32, 0x80, 0, 7)
    body += attribute(rtnetlink.IFA_ADDRESS, socket.inet_aton("10.0.0.1"))
    body += attribute(rtnetlink.IFA_LOCAL, socket.inet_aton("10.0.0.2"))
    assert parse_address(body).host == "10.0.0.2"


def test_a_deprecated_address_is_known_by_its_flag() -> None:
    body = struct.pack("=BBBBI", socket.AF_INET, 24, 0x20, 0, 7)
    body += attribute(rtnetlink.IFA_LOCAL, socket.inet_aton("192.0.2.7"))
    assert parse_address(body).deprecated


@pytest.mark.parametrize("family", [socket.AF_INET6, socket.AF_INET])
def test_the_flag_of_a_temporary_address_means_something_else_in_ipv4(family: int) -> None:
    packed = socket.inet_pton(family, "2001:db8::7" if family == socket.AF_INET6 else "192.0.2.7")
    body = struct.pack("=BBBBI", family, 24, rtnetlink.IFA_F_TEMPORARY, 0, 7)
    body += attribute(rtnetlink.IFA_ADDRESS, packed)
    assert parse_address(body).temporary == (family == socket.AF_INET6)


def header(length: int = 0, *, kind: int = rtnetlink.RTN_UNICAST, flags: int = 0) -> bytes:
    return struct.pack("=BBBBBBBBI", socket.AF_INET, length, 0, 0, 254, 3, 0, kind, flags)


def test_a_route_has_prefix_link_and_metric() -> None:
    body = header(24) + attribute(rtnetlink.RTA_DST, socket.inet_aton("203.0.113.0"))
    body += number(rtnetlink.RTA_OIF, 7) + number(rtnetlink.RTA_PRIORITY, 600)
    assert parse_route(body) == [Route(4, 0xCB0071, 24, 7, 600)]


def test_a_default_route_has_no_destination() -> None:
    assert parse_route(header() + number(rtnetlink.RTA_OIF, 7)) == [Route(4, 0, 0, 7)]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(header(kind=7), id="unreachable"),
        pytest.param(header(flags=rtnetlink.RTM_F_CLONED), id="cached"),
        pytest.param(header(flags=rtnetlink.RTNH_F_LINKDOWN), id="link down"),
        pytest.param(header() + number(rtnetlink.RTA_TABLE, 255), id="table local"),
    ],
)
def test_no_packet_takes_this_route(body: bytes) -> None:
    assert parse_route(body + number(rtnetlink.RTA_OIF, 7)) == []


def test_a_multipath_route_is_one_route_per_live_next_hop() -> None:
    dead = struct.pack("=HBBi", 8, rtnetlink.RTNH_F_DEAD, 0, 8)
    hops = struct.pack("=HBBi", 8, 0, 0, 7) + dead + struct.pack("=HBBi", 8, 0, 0, 9)
    body = header() + attribute(rtnetlink.RTA_MULTIPATH, hops)
    assert [route.link for route in parse_route(body)] == [7, 9]


def test_this_kernel_has_a_loopback_interface() -> None:
    tables = KernelTables()
    loopback = [link for link in tables.links() if link.name == "lo"]
    assert [address.link for address in tables.addresses() if address.host == "127.0.0.1"] in (
        [],  # a fresh network namespace
        [loopback[0].index],
    )
    assert isinstance(tables.routes(), list)
    tables.close()


class OverrunSocket(socket.socket):
    """A netlink socket whose buffer once was too small."""

    overruns = 1

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self.overruns:
            self.overruns -= 1
            raise OSError(105, "No buffer space available")
        return super().recv(size, flags)


def test_an_overrun_means_that_everything_may_have_changed() -> None:
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    changes = OverrunSocket(fileno=ours.detach())
    changes.setblocking(False)
    kernel.send(struct.pack("=IHHII", 16, rtnetlink.RTM_NEWROUTE, 0, 0, 0))
    assert read_changes(changes) == {rtnetlink.RTM_NEWLINK, rtnetlink.RTM_NEWROUTE}
    changes.close()
    kernel.close()
