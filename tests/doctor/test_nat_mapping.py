"""What the doctor says of a NAT: no more than was measured, nothing false of any kind."""

from __future__ import annotations

from random import Random
from typing import get_args

import pytest

from p2pquic.core.addresses import SocketAddress
from p2pquic.doctor.finding import Finding
from p2pquic.doctor.nat_mapping import Observation, judge_nat
from p2pquic.lab.nat import NatBox
from p2pquic.lab.networks import Dependence, Nat

SOCKETS = (SocketAddress("192.168.1.7", 50000), SocketAddress("192.168.1.7", 50001))
SERVER = SocketAddress("9.9.9.9", 12345)
OTHER_PORT = SocketAddress("9.9.9.9", 12346)
OTHER_HOST = SocketAddress("8.8.8.8", 12345)
PUBLIC = "7.7.7.7"


def seen_through(nat: Nat, *servers: SocketAddress) -> list[Observation]:
    """What each server sees of our two sockets behind this NAT."""
    box = NatBox(nat, PUBLIC, Random(7))
    return [
        Observation(local, server, box.outbound(local, server, now=0.0))
        for local in SOCKETS
        for server in servers
    ]


def nat(mapping: Dependence, *, keeps_ports: bool = False) -> Nat:
    return Nat(mapping, "address-and-port-dependent", port_preservation=keeps_ports)


def text(findings: list[Finding]) -> str:
    return "\n".join(map(str, findings))


@pytest.mark.parametrize("mapping", get_args(Dependence))
@pytest.mark.parametrize("keeps_ports", [True, False])
def test_one_server_shows_address_and_ports_but_never_the_mapping(
    mapping: Dependence, keeps_ports: bool
) -> None:
    ports, dependence = judge_nat(
        "eth0", seen_through(nat(mapping, keeps_ports=keeps_ports), SERVER)
    )
    assert f"the world sees {PUBLIC}" in ports.what
    assert ("keeps our port" in ports.what) == keeps_ports
    assert "cannot be known from one server" in dependence.what
    assert "second --intermediate" in dependence.remedy


@pytest.mark.parametrize(
    ("mapping", "level", "said"),
    [
        ("endpoint-independent", "ok", "endpoint-independent, since 2 hosts saw the same"),
        ("address-dependent", "note", "(address-dependent or address-and-port-dependent)"),
        ("address-and-port-dependent", "note", "(address-dependent or address-and-port-dependent)"),
    ],
)
def test_two_hosts_show_whether_the_mapping_depends_on_the_destination(
    mapping: Dependence, level: str, said: str
) -> None:
    finding = judge_nat("eth0", seen_through(nat(mapping), SERVER, OTHER_HOST))[1]
    assert finding.level == level
    assert said in finding.what
    assert ("stay on the relay" in finding.what) == (level == "note")
    assert ("Direct paths are likely" in finding.what) == (level == "ok")


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        (
            "endpoint-independent",
            "is not address-and-port-dependent; whether it depends on the addr",
        ),
        (
            "address-dependent",
            "is not address-and-port-dependent; whether it depends on the address",
        ),
        ("address-and-port-dependent", "mapping on eth0: address-and-port-dependent."),
    ],
)
def test_two_ports_of_one_host_show_only_dependence_on_the_port(
    mapping: Dependence, said: str
) -> None:
    finding = judge_nat("eth0", seen_through(nat(mapping), SERVER, OTHER_PORT))[1]
    assert finding.level == "note"
    assert said in finding.what


@pytest.mark.parametrize("mapping", get_args(Dependence))
def test_a_nat_that_keeps_ports_looks_the_same_whatever_it_depends_on(mapping: Dependence) -> None:
    seen = seen_through(nat(mapping, keeps_ports=True), SERVER, OTHER_HOST)
    if mapping == "endpoint-independent":
        assert "which may hide a dependence" in judge_nat("eth0", seen)[1].what
    else:  # the port is taken when the second mapping wants it: this fake shows what it is
        assert judge_nat("eth0", seen)[1].level == "note"
    same = [
        Observation(each.local, each.server, SocketAddress(PUBLIC, each.local.port))
        for each in seen
    ]
    assert "as if endpoint-independent" in judge_nat("eth0", same)[1].what


def test_the_socket_that_asked_most_servers_decides_the_mapping() -> None:
    seen = seen_through(nat("address-dependent"), SERVER, OTHER_HOST)
    assert judge_nat("eth0", seen[1:])[1] == judge_nat("eth0", seen)[1]


def test_several_public_addresses_are_told() -> None:
    seen = [
        Observation(SOCKETS[0], SERVER, SocketAddress("7.7.7.7", 50000)),
        Observation(SOCKETS[1], SERVER, SocketAddress("7.7.7.8", 1)),
    ]
    finding = judge_nat("eth0", seen)[0]
    assert finding.level == "note"
    assert "several addresses (7.7.7.7, 7.7.7.8); it keeps some of our port" in finding.what


def test_an_own_public_address_is_no_nat() -> None:
    public = SocketAddress(PUBLIC, 50000)
    (finding,) = judge_nat("eth0", [Observation(public, SERVER, public)])
    assert finding.level == "ok"
    assert "none, the server sees this machine's own address" in finding.what


@pytest.mark.parametrize("host", ["192.168.1.7", "127.0.0.1", "fd00::1", "100.64.3.4"])
def test_a_server_in_the_same_network_shows_nothing_of_the_nat_before_the_internet(
    host: str,
) -> None:
    local = SocketAddress(host, 50000)
    (finding,) = judge_nat("eth0", [Observation(local, SERVER, local)])
    assert finding.level == "note"
    assert "was not seen" in finding.what
