"""The network as macOS and Windows have it: socket options, ways to read, interfaces."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from typing import Any

import ifaddr
import pytest

from p2pquic.core.addresses import LocalAddress, LocalSocket, SocketAddress
from p2pquic.core.trace import Dropped, Record
from p2pquic.net import datagram_reader, udp
from p2pquic.net.interfaces import interface_index, read_interfaces
from p2pquic.net.monitor.macos import CHANGES, RTM_VERSION, announces_change, read_changes
from p2pquic.net.monitor.usable import InterfaceAddress, Link
from p2pquic.net.socket_options import binding, not_fragmenting
from p2pquic.net.udp import UdpSockets

IPV4, IPV6 = socket.AF_INET, socket.AF_INET6
WIFI_INDEX = 258  # as little-endian bytes it would be 02 01 00 00


@pytest.mark.parametrize(
    ("platform", "family", "expected"),
    [  # the numbers of netinet/in.h and netinet6/in6.h, and of ws2ipdef.h
        ("darwin", IPV4, (socket.IPPROTO_IP, 25, WIFI_INDEX)),
        ("darwin", IPV6, (socket.IPPROTO_IPV6, 125, WIFI_INDEX)),
        ("win32", IPV4, (socket.IPPROTO_IP, 31, b"\0\0\x01\x02")),
        ("win32", IPV6, (socket.IPPROTO_IPV6, 31, WIFI_INDEX)),
    ],
)
def test_an_interface_is_named_by_number_and_on_windows_in_network_order_for_ipv4(
    platform: str, family: int, expected: tuple[int, int, int | bytes]
) -> None:
    assert binding(platform, family, WIFI_INDEX) == expected


@pytest.mark.parametrize(
    ("platform", "family", "expected"),
    [
        ("linux", IPV4, (socket.IPPROTO_IP, 10, 3)),
        ("linux", IPV6, (socket.IPPROTO_IPV6, 23, 3)),
        ("darwin", IPV4, (socket.IPPROTO_IP, 28, 1)),
        ("darwin", IPV6, (socket.IPPROTO_IPV6, 62, 1)),
        ("win32", IPV4, (socket.IPPROTO_IP, 14, 1)),
        ("win32", IPV6, (socket.IPPROTO_IPV6, 14, 1)),
    ],
)
def test_nothing_is_fragmented_on_any_system(
    platform: str, family: int, expected: tuple[int, int, int]
) -> None:
    assert not_fragmenting(platform, family) == expected


def test_interfaces_of_windows_have_the_name_a_person_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wifi = ifaddr.Adapter(
        "{2D1B8C4E-0000-0000-0000-000000000000}",
        "Intel(R) Wi-Fi 6 AX201 160MHz",
        [ifaddr.IP(("fe80::7", 0, 12), 64, "Wi-Fi"), ifaddr.IP("192.0.2.7", 24, "Wi-Fi")],
        index=12,
    )
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [wifi])
    links, addresses = read_interfaces()
    assert links == [Link(12, "Wi-Fi", running=True)]
    assert addresses == [InterfaceAddress("fe80::7", 12), InterfaceAddress("192.0.2.7", 12)]
    assert interface_index("Wi-Fi") == 12
    with pytest.raises(OSError, match="no interface Ethernet"):
        interface_index("Ethernet")


class WindowsSocket(socket.socket):
    """A UDP socket that tells of closed ports as Windows does."""

    resets = 2

    def recvfrom(self, *arguments: Any) -> Any:
        if self.resets:
            self.resets -= 1
            raise ConnectionResetError(errno.ECONNRESET, "An existing connection was closed")
        return super().recvfrom(*arguments)


@pytest.mark.parametrize("must_ask", [False, True])
def test_a_peer_that_went_away_does_not_keep_us_from_hearing_the_others(
    must_ask: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram_reader, "must_ask", must_ask)
    monkeypatch.setattr(socket, "socket", WindowsSocket)
    records: list[Record] = []

    async def test() -> None:
        arrived: list[bytes] = []
        complete = asyncio.Event()

        def receive(local: LocalSocket, remote: SocketAddress, data: bytes) -> None:
            del local, remote
            arrived.append(data)
            if len(arrived) == 3:
                complete.set()

        sockets = UdpSockets(receive, records.append)
        (local,) = sockets.follow([LocalAddress("127.0.0.1", "lo")])
        for data in (b"one", b"two", b"three"):
            sockets.send(local, local.address, data)
        async with asyncio.timeout(5):
            await complete.wait()
        assert arrived == [b"one", b"two", b"three"]
        sockets.close()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(test())
    (told,) = records
    assert isinstance(told, Dropped)
    assert told.fault == "receiving: an existing connection was closed (ECONNRESET)"


def test_who_must_ask_may_close_the_socket_while_it_hears_of_a_datagram(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(datagram_reader, "must_ask", True)

    async def test() -> None:
        closed = asyncio.Event()

        def receive(*_: object) -> None:
            sockets.close()
            closed.set()

        sockets = UdpSockets(receive, print)
        (local,) = sockets.follow([LocalAddress("127.0.0.1", "lo")])
        sockets.send(local, local.address, b"one")
        sockets.send(local, local.address, b"two")
        async with asyncio.timeout(5):
            await closed.wait()
        assert await _other_tasks() == set()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(test())


def test_a_fault_of_ours_is_told_the_loop_by_who_must_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagram_reader, "must_ask", True)

    async def test() -> None:
        told: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: told.set_result(context["exception"])
        )

        def receive(*_: object) -> None:
            raise ZeroDivisionError

        sockets = UdpSockets(receive, print)
        (local,) = sockets.follow([LocalAddress("127.0.0.1", "lo")])
        sockets.send(local, local.address, b"one")
        async with asyncio.timeout(5):
            assert isinstance(await told, ZeroDivisionError)
        sockets.close()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(test())


async def _other_tasks() -> set[asyncio.Task[Any]]:
    """Those that are still there when everything due has run."""
    for _ in range(3):
        await asyncio.sleep(0)
    return asyncio.all_tasks() - {asyncio.current_task()}


def test_a_port_that_windows_keeps_for_somebody_is_replaced_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted: list[int] = []
    real = udp.open_udp_socket

    def open_one(address: SocketAddress, interface: str = "") -> socket.socket:
        wanted.append(address.port)
        if address.port:
            raise PermissionError(errno.EACCES, "An attempt was made to access a socket")
        return real(address, interface)

    monkeypatch.setattr(udp, "open_udp_socket", open_one)

    async def test() -> None:
        sockets = UdpSockets(print, print)
        here = LocalAddress("127.0.0.1", "lo")
        (before,) = sockets.follow([here])
        sockets.follow([])
        (after,) = sockets.follow([here])
        assert wanted == [0, before.port, 0]
        assert after.host == before.host
        sockets.close()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(test())


def message(kind: int, version: int = RTM_VERSION) -> bytes:
    """A message of macOS's routing socket (net/route.h): length, version, type, and the rest."""
    return struct.pack("=HBB", 112, version, kind) + bytes(108)


@pytest.mark.parametrize(
    ("data", "is_reason"),
    [
        # RTM_NEWADDR of en0 (ifa_msghdr of 20 bytes, netmask and link and address after it)
        (bytes.fromhex("4c00050c64000000000000000600000000000000") + bytes(56), True),
        # RTM_IFINFO of an interface that lost its carrier (if_msghdr)
        (bytes.fromhex("a000050e100000006388000006000000") + bytes(144), True),
        (message(1), True),  # RTM_ADD
        (message(2), True),  # RTM_DELETE
        (message(13), True),  # RTM_DELADDR
        (message(4), False),  # RTM_GET: somebody asked for a route
        (message(7), False),  # RTM_MISS: somebody found none
        (message(15), False),  # RTM_NEWMADDR: a multicast group
        (message(1, version=4), False),
        (b"", False),
        (b"\x70\x00\x05", False),
    ],
)
def test_only_changes_of_macos_are_a_reason_to_look(data: bytes, is_reason: bool) -> None:
    assert announces_change(data) == is_reason


def test_a_burst_of_messages_is_one_reason_and_nothing_is_none() -> None:
    ours, kernels = socket.socketpair(type=socket.SOCK_DGRAM)
    with ours, kernels:
        ours.setblocking(False)
        assert not read_changes(ours)
        kernels.send(message(4))
        assert not read_changes(ours)
        for kind in sorted(CHANGES):
            kernels.send(message(kind))
        assert read_changes(ours)
        assert not read_changes(ours)
