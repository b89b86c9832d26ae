"""Our sockets, on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from p2pquic.core.addresses import LocalAddress, LocalSocket, SocketAddress
from p2pquic.core.errors import UsageError
from p2pquic.core.trace import Dropped, Record
from p2pquic.net.udp import READS_PER_WAKE, UdpSockets, open_udp_socket

Received = tuple[LocalSocket, SocketAddress, bytes]


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(test())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_datagram_arrives_with_both_addresses(host: str) -> None:
    async def test() -> None:
        arrived: asyncio.Future[Received] = asyncio.get_running_loop().create_future()
        sockets = UdpSockets(lambda *fields: arrived.set_result(fields), print)
        first = sockets.listen(SocketAddress(host, 0))
        second = sockets.listen(SocketAddress(host, 0))
        sockets.send(first, second.address, b"hello")
        assert await arrived == (second, first.address, b"hello")
        sockets.close()

    in_loop(test)


def test_more_datagrams_than_one_wake_reads_all_arrive() -> None:
    async def test() -> None:
        count = READS_PER_WAKE + 10
        arrived: list[bytes] = []
        complete = asyncio.Event()

        def receive(local: LocalSocket, remote: SocketAddress, data: bytes) -> None:
            del local, remote
            arrived.append(data)
            if len(arrived) == count:
                complete.set()

        sockets = UdpSockets(receive, print)
        (local,) = sockets.follow([LocalAddress("127.0.0.1", "lo")])
        for number in range(count):
            sockets.send(local, local.address, str(number).encode())
        await complete.wait()
        assert arrived == [str(number).encode() for number in range(count)]
        sockets.close()

    in_loop(test)


def test_a_socket_closed_by_what_it_received_is_read_no_more() -> None:
    async def test() -> None:
        arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def receive(local: LocalSocket, remote: SocketAddress, data: bytes) -> None:
            del local, remote
            sockets.close()
            arrived.set_result(data)

        sockets = UdpSockets(receive, print)
        local = sockets.listen(SocketAddress("127.0.0.1", 0))
        sockets.send(local, local.address, b"first")
        sockets.send(local, local.address, b"second")
        assert await arrived == b"first"

    in_loop(test)


def test_a_send_error_is_traced_once_and_counted_always() -> None:
    async def test() -> None:
        records: list[Record] = []
        sockets = UdpSockets(lambda *_: None, records.append)
        local = sockets.listen(SocketAddress("127.0.0.1", 0))
        for _ in range(3):
            sockets.send(local, SocketAddress("127.0.0.1", 9), bytes(70_000))
        assert records == [Dropped("sending: message too long (EMSGSIZE)", str(local))]
        assert list(sockets.faults.values()) == [3]
        sockets.close()

    in_loop(test)


def test_sending_on_a_socket_that_is_gone_is_traced() -> None:
    async def test() -> None:
        records: list[Record] = []
        sockets = UdpSockets(lambda *_: None, records.append)
        local = sockets.listen(SocketAddress("127.0.0.1", 0))
        sockets.close()
        sockets.send(local, local.address, b"too late")
        assert records == [Dropped("sending on a closed socket", str(local))]

    in_loop(test)


def test_a_port_in_use_is_told_in_a_sentence() -> None:
    async def test() -> None:
        sockets = UdpSockets(lambda *_: None, print)
        local = sockets.listen(SocketAddress("127.0.0.1", 0))
        with pytest.raises(UsageError, match=rf"Cannot listen on {local.address}: address already"):
            sockets.listen(local.address)
        sockets.close()

    in_loop(test)


def test_packets_are_never_fragmented() -> None:
    udp = open_udp_socket(SocketAddress("127.0.0.1", 0))
    assert udp.getsockopt(socket.IPPROTO_IP, 10) == 3  # IP_MTU_DISCOVER, IP_PMTUDISC_PROBE
    udp.close()


def test_an_address_that_comes_back_gets_the_port_it_had() -> None:
    async def test() -> None:
        address = LocalAddress("127.0.0.1", "lo")
        sockets = UdpSockets(lambda *_: None, print)
        (before,) = sockets.follow([address])
        assert sockets.follow([]) == ()
        assert sockets.follow([address]) == (before,)
        sockets.close()

    in_loop(test)


def test_the_address_of_a_renamed_interface_keeps_its_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def open_on_any_device(address: SocketAddress, device: str) -> socket.socket:
        del device  # there is none of that name
        return open_udp_socket(address)

    monkeypatch.setattr("p2pquic.net.udp.open_udp_socket", open_on_any_device)

    async def test() -> None:
        sockets = UdpSockets(print, print)
        (before,) = sockets.follow([LocalAddress("127.0.0.1", "eth0")])
        (after,) = sockets.follow([LocalAddress("127.0.0.1", "enp3s0")])
        assert after == before._replace(interface="enp3s0")
        sockets.close()

    in_loop(test)


def test_a_port_that_somebody_took_meanwhile_is_replaced() -> None:
    async def test() -> None:
        address = LocalAddress("127.0.0.1", "lo")
        sockets = UdpSockets(lambda *_: None, print)
        (before,) = sockets.follow([address])
        sockets.follow([])
        with open_udp_socket(before.address):
            (after,) = sockets.follow([address])
        assert after.port != before.port
        sockets.close()

    in_loop(test)
