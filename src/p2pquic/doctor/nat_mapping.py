"""What kind of NAT maps our sockets (RFC 4787 section 4), from where servers observed them.

    one socket,  two servers  ->  does the mapping depend on the destination?
    two sockets, one server   ->  one public host for both? does the NAT keep our port?

Says no more than was measured. Filtering (section 5) is not: that would take packets from
somebody to whom we never spoke.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from p2pquic.core.addresses import SocketAddress
from p2pquic.doctor.finding import Finding


@dataclass(frozen=True)
class Observation:
    """`server` hears our socket `local` as `observed`."""

    local: SocketAddress
    server: SocketAddress
    observed: SocketAddress


def judge_nat(interface: str, seen: Sequence[Observation]) -> list[Finding]:
    """What the sockets of one local address show of the NAT before it; `seen` is not empty."""
    if all(each.observed == each.local for each in seen):
        return [_without_nat(interface, seen[0].local)]
    findings = [_hosts_and_ports(interface, seen)]
    by_socket: dict[SocketAddress, list[Observation]] = {}
    for each in seen:
        by_socket.setdefault(each.local, []).append(each)
    most_asked = max(by_socket.values(), key=lambda several: len({each.server for each in several}))
    return [*findings, _mapping(interface, most_asked)]


def _without_nat(interface: str, local: SocketAddress) -> Finding:
    if not ipaddress.ip_address(local.host).is_global:
        return Finding(
            "note",
            f"NAT on {interface}: none on the way to the server, but {local.host} is not a public "
            "address: a NAT further on, towards the internet, was not seen.",
            "Ask a server on the internet to learn its kind.",
        )
    return Finding(
        "ok",
        f"NAT on {interface}: none, the server sees this machine's own address. Direct paths are "
        "likely unless a firewall forbids them.",
    )


def _hosts_and_ports(interface: str, seen: Sequence[Observation]) -> Finding:
    hosts = sorted({each.observed.host for each in seen})
    kept = [each.observed.port == each.local.port for each in seen]
    ports = (
        "keeps our port numbers"
        if all(kept)
        else "does not keep our port numbers"
        if not any(kept)
        else "keeps some of our port numbers"
    )
    if len(hosts) == 1:
        return Finding("ok", f"NAT on {interface}: the world sees {hosts[0]}; it {ports}.")
    return Finding(
        "note",
        f"NAT on {interface}: the world sees several addresses ({', '.join(hosts)}); it {ports}.",
        "Direct paths may need more attempts; there is nothing to do about it here.",
    )


def _mapping(interface: str, seen: Sequence[Observation]) -> Finding:
    """Judge from what several servers say of one socket."""
    about = f"NAT mapping on {interface}:"
    servers = {each.server for each in seen}
    if len(servers) == 1:
        return Finding(
            "note",
            f"{about} whether it depends on the destination cannot be known from one server.",
            "Give a second --intermediate, at another address, to find out.",
        )
    hosts = {server.host for server in servers}
    if len({each.observed for each in seen}) > 1:
        kind = (
            "address-and-port-dependent"
            if len(hosts) == 1
            else "it depends on the destination (address-dependent or address-and-port-dependent)"
        )
        return Finding(
            "note",
            f"{about} {kind}. Calls with peers behind such NATs, or behind NATs that filter by "
            "address and port, stay on the relay; others can be direct.",
            "For direct paths everywhere, use another network or a router of another kind.",
        )
    if len(hosts) == 1:
        return Finding(
            "note",
            f"{about} the same for two ports of one host, so it is not address-and-port-dependent; "
            "whether it depends on the address was not measured.",
            "Give a second --intermediate, at another address, to find out.",
        )
    if seen[0].observed.port == seen[0].local.port:
        return Finding(
            "ok",
            f"{about} the same for {len(hosts)} hosts, as if endpoint-independent; but it keeps "
            "our port, which may hide a dependence. Direct paths are likely while it does.",
        )
    return Finding(
        "ok",
        f"{about} endpoint-independent, since {len(hosts)} hosts saw the same. Direct paths are "
        "likely.",
    )
