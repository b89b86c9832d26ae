"""Real sockets on loopback: servers, strangers and nobody, asked by the doctor."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from p2pquic.core.addresses import LocalAddress, SocketAddress
from p2pquic.doctor import network
from p2pquic.doctor.finding import Finding
from p2pquic.doctor.network import check_network, judge_addresses
from p2pquic.net.driver import Driver
from p2pquic.quic.identity import Identity
from p2pquic.session import server_probe
from p2pquic.session.intermediate_session import IntermediateSession

SERVER = Identity.generate()


def examine(
    pins: list[bytes], servers: int = 1, others: Callable[[], list[SocketAddress]] = list
) -> list[Finding]:
    """What the doctor finds of so many real servers, and of what else is at these addresses."""

    async def run() -> list[Finding]:
        drivers = [Driver(lambda _: None) for _ in range(servers)]
        addresses = []
        try:
            for driver in drivers:
                listen = driver.sockets.listen(SocketAddress("127.0.0.1", 0))
                driver.run(IntermediateSession([listen], SERVER, bytes(32), os.urandom))
                addresses.append(listen.address)
            return await check_network([*addresses, *others()], pins)
        finally:
            for driver in drivers:
                driver.close()

    return in_loop(run())


def in_loop(main: Coroutine[Any, Any, list[Finding]]) -> list[Finding]:
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main)


def closed_port() -> list[SocketAddress]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        return [SocketAddress("127.0.0.1", udp.getsockname()[1])]


def test_a_server_is_found_by_two_sockets_and_known_by_its_key() -> None:
    addresses, key, way, nat = examine([SERVER.key_hash])
    assert {finding.level for finding in (addresses, key, way)} == {"ok"}
    assert "127.0.0.1 on lo" in addresses.what
    assert way.what.count("127.0.0.1:") == 3, "the server, and two sockets of ours"
    assert "no" in nat.what


def test_a_wrong_pin_is_told_from_silence() -> None:
    findings = examine([bytes(32)])
    assert [finding.level for finding in findings[:3]] == ["ok", "problem", "ok"]
    assert SERVER.fingerprint in findings[1].what


def test_two_servers_are_asked_at_once() -> None:
    findings = examine([SERVER.key_hash], servers=2)
    assert [finding.what for finding in findings if "holds the key of the --pin" in finding.what]
    assert len([finding for finding in findings if "handshake in" in finding.what]) == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="what the kernel says of a closed port")
def test_a_port_where_nobody_listens_is_told_from_a_lost_packet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_probe, "PROBE_LIMIT", 0.2)
    findings = examine([], servers=0, others=closed_port)
    assert findings[1].level == "problem"
    assert "'connection refused'" in findings[1].what


@pytest.mark.slow
def test_a_silent_socket_is_no_answer_and_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_probe, "PROBE_LIMIT", 0.2)
    monkeypatch.setattr(network, "ICMP_LIMIT", 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        there = SocketAddress("127.0.0.1", silent.getsockname()[1])
        findings = examine([], servers=0, others=lambda: [there])
    assert findings[1].level == "problem"
    assert "no answer by lo" in findings[1].what


def test_addresses_are_listed_preferred_first() -> None:
    wlan, rmnet = LocalAddress("192.0.2.1", "wlan0"), LocalAddress("2001:db8::1", "rmnet0")
    assert "preferred first: 192.0.2.1 on wlan0 (IPv4), 2001:db8::1 on rmnet0 (IPv6)." in (
        judge_addresses([wlan, rmnet]).what
    )
    assert judge_addresses([]).level == "problem"
