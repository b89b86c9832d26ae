"""Which of this host's addresses can carry a call to the intermediate server: pure policy.

    link up with carrier  +  address not tentative  +  route through that link  =  usable

The order is the kernel's preference: the link it would choose now, then the longest prefix, then
the smallest metric. An interface it would not choose today (cellular beside Wi-Fi) counts too, for
its sockets are bound to it; that is what makes a move before the break possible. So it is with a
VPN: preferred, if a rule or a longer or cheaper route says so, beside the network it runs over. A
bridge of containers has no route to the internet, and counts only for a server among them. Reads
nothing by itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from p2pquic.core.addresses import LocalAddress

LONGEST_DEFAULT = {4: 1, 6: 3}  # bits of prefix: VPNs route "everything" as two halves of IPv4
# (OpenVPN's redirect-gateway def1), or as 2000::/3, so that the real default route stays below
INTERNET = {4: "192.0.2.1", 6: "2001:db8::1"}  # stand for "somewhere": for documentation (RFC 5737,
# RFC 3849), so no route leads there but a default one
LOOPBACK_INTERFACE = "lo"  # also: traffic to an address of this very machine


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface; `running` means administratively up, with carrier and not dormant."""

    index: int
    name: str
    running: bool


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An IP address on the link of that index.

    `tentative` excludes optimistic addresses, which may be used while duplicate address
    detection still runs (RFC 4429).
    """

    host: str
    link: int
    tentative: bool = False
    deprecated: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A unicast route; `prefix` holds the upper `length` bits of the destination."""

    family: int
    prefix: int
    length: int
    link: int
    metric: int = 0


def usable_addresses(
    links: Iterable[Link],
    addresses: Iterable[InterfaceAddress],
    routes: Iterable[Route],
    destination: str | None,
    choices: Mapping[int, int | None] = MappingProxyType({}),
) -> tuple[LocalAddress, ...]:
    """The addresses a call to `destination` may use, preferred first.

    `choices` names, by IP version, the link by which the kernel would send to each of `targets`:
    where routing rules decide (a VPN, a table for each uplink), routes alone do not tell.

    Addresses of the destination's family come first. Those of the other family cannot reach the
    server, but may reach a peer directly: they count when they have a default route. Without a
    destination that is the rule for both families.
    """
    names = {link.index: link.name for link in links if link.running}
    present = [address for address in addresses if address.link in names and not address.tentative]
    if destination is not None:
        here = _on_this_machine(destination, present, names)
        if here:
            return here
    costs = _cheapest_routes(routes, destination, choices)
    ranked = sorted(
        (costs[family, address.link], _is_unique_local(address.host), order)
        for order, address in enumerate(present)
        if (family := _family(address.host), address.link) in costs
        and not _is_link_local(address.host)
        and not _is_outdated(address, present)
    )
    chosen = [present[order] for _, _, order in ranked]
    return tuple(LocalAddress(address.host, names[address.link]) for address in chosen)


def targets(destination: str | None) -> dict[int, str]:
    """By IP version, the address that stands for where a call may lead."""
    if destination is None:
        return INTERNET
    return INTERNET | {_family(destination): destination}


Cost = tuple[bool, bool, int, int]
"""Other family than the destination's; not the kernel's choice; minus prefix length; metric."""


def _cheapest_routes(
    routes: Iterable[Route], destination: str | None, choices: Mapping[int, int | None]
) -> dict[tuple[int, int], Cost]:
    """The best route's cost for each (family, link) that has one."""
    target = None if destination is None else ipaddress.ip_address(destination)
    costs: dict[tuple[int, int], Cost] = {}
    for route in routes:
        reaches_server = target is not None and route.family == target.version
        if target is not None and reaches_server:
            if int(target) >> (target.max_prefixlen - route.length) != route.prefix:
                continue
        elif route.length > LONGEST_DEFAULT[route.family]:
            continue
        is_other_family = target is not None and not reaches_server
        is_chosen = choices.get(route.family) == route.link
        cost = (is_other_family, not is_chosen, -route.length, route.metric)
        key = (route.family, route.link)
        costs[key] = min(cost, costs.get(key, cost))
    return costs


def _on_this_machine(
    destination: str, present: list[InterfaceAddress], names: dict[int, str]
) -> tuple[LocalAddress, ...]:
    """The addresses for a server on this very machine; empty if it is elsewhere."""
    target = ipaddress.ip_address(destination)
    if target.is_loopback:
        return tuple(
            LocalAddress(address.host, names[address.link])
            for address in present
            if _family(address.host) == target.version
            and ipaddress.ip_address(address.host).is_loopback
        )
    if any(address.host == destination for address in present):
        return (LocalAddress(destination, LOOPBACK_INTERFACE),)
    return ()


def _is_outdated(address: InterfaceAddress, present: list[InterfaceAddress]) -> bool:
    """Deprecated, while its link has a preferred address of the same family (RFC 4862)."""
    return address.deprecated and any(
        other.link == address.link
        and not other.deprecated
        and _family(other.host) == _family(address.host)
        and not _is_link_local(other.host)
        for other in present
    )


def _family(host: str) -> int:
    return 6 if ":" in host else 4


def _is_link_local(host: str) -> bool:
    """169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291)."""
    return host.startswith(("169.254.", "fe8", "fe9", "fea", "feb"))


def _is_unique_local(host: str) -> bool:
    """fc00::/7 (RFC 4193): has a default route beside a global address, and leads nowhere."""
    return host.startswith(("fc", "fd")) and ":" in host
