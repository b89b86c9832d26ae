"""Which of this host's addresses can carry a call to the intermediate server: pure policy.

    link up with carrier  +  address not tentative  +  route through that link  =  usable

The order is the kernel's preference: the link it would choose now, then the longest prefix, then
the smallest metric. An interface it would not choose today (cellular beside Wi-Fi) counts too, for
its sockets are bound to it; that is what makes a move before the break possible. So it is with a
VPN: preferred, if a rule or a longer or cheaper route says so, beside the network it runs over. A
bridge of containers has no route to the internet, and counts only for a server among them.

Of an interface's IPv6 addresses, which may be many, one is used, and one more as long as it lasts:

    the best, for all that is new       preferred (not deprecated), then global before unique
                                        local, then temporary before stable
    the best before that, while valid   for paths that run on it, deprecated or not

So when a temporary address is replaced (RFC 8981, once a day), or a prefix renumbered, a call moves
before the break. Reads nothing by itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
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
    detection still runs (RFC 4429). `temporary` is one of those IPv6 makes against tracking (RFC
    8981), where the kernel prefers them.
    """

    host: str
    link: int
    tentative: bool = False
    deprecated: bool = False
    temporary: bool = False


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
    destinations: Sequence[str],
    in_use: Sequence[LocalAddress] = (),
    choices: Mapping[int, int | None] = MappingProxyType({}),
) -> tuple[LocalAddress, ...]:
    """The addresses a call by a server at these addresses may use, preferred first.

    Those that cannot reach the server, being of another family, may reach a peer directly: they
    come last, and count when they have a default route. Without a destination that is the rule for
    both families. `in_use` is what was usable before.

    `choices` names, by IP version, the link by which the kernel would send to each of `targets`:
    where routing rules decide (a VPN, a table for each uplink), routes alone do not tell.
    """
    names = {link.index: link.name for link in links if link.running}
    present = [address for address in addresses if address.link in names and not address.tentative]
    here = [each for one in destinations for each in _on_this_machine(one, present, names)]
    if here:
        return tuple(dict.fromkeys(here))  # several servers may be there
    costs = _cheapest_routes(routes, destinations, choices)
    present = [
        address
        for address in present
        if (_family(address.host), address.link) in costs and not _is_link_local(address.host)
    ]
    hosts = [address.host for address in in_use]
    is_former: dict[InterfaceAddress, bool] = {}
    for link in names:
        of_link = [address for address in present if address.link == link]
        best = _best(of_link)
        is_former |= dict.fromkeys(best, False)
        is_former |= dict.fromkeys(_former(of_link, best, hosts), True)
    ranked = sorted(
        (
            costs[_family(address.host), address.link],
            is_former[address],
            _is_unique_local(address.host),
            order,
        )
        for order, address in enumerate(present)
        if address in is_former
    )
    chosen = [present[order] for *_, order in ranked]
    return tuple(LocalAddress(address.host, names[address.link]) for address in chosen)


def targets(destinations: Sequence[str]) -> dict[int, str]:
    """By IP version, the address that stands for where a call may lead."""
    return INTERNET | {_family(destination): destination for destination in destinations}


def _best(of_link: list[InterfaceAddress]) -> list[InterfaceAddress]:
    """Which of a link's addresses new paths begin at: all IPv4 ones not outdated, one of IPv6."""
    ipv4 = [each for each in of_link if _family(each.host) == 4]
    preferred = [each for each in ipv4 if not each.deprecated]
    ipv6 = [each for each in of_link if _family(each.host) == 6]
    ipv6.sort(key=lambda each: (each.deprecated, _is_unique_local(each.host), not each.temporary))
    return [*(preferred or ipv4), *ipv6[:1]]


def _former(
    of_link: list[InterfaceAddress], best: list[InterfaceAddress], in_use: list[str]
) -> list[InterfaceAddress]:
    """The IPv6 address that was the best before, of which a call may not have let go yet."""
    former = [
        each
        for each in of_link
        if _family(each.host) == 6 and each.host in in_use and each not in best
    ]
    return sorted(former, key=lambda each: in_use.index(each.host))[:1]


Cost = tuple[bool, bool, int, int]
"""Other family than the server's; not the kernel's choice; minus prefix length; metric."""


def _cheapest_routes(
    routes: Iterable[Route],
    destinations: Sequence[str],
    choices: Mapping[int, int | None],
) -> dict[tuple[int, int], Cost]:
    """The best route's cost for each (family, link) that has one."""
    servers = [ipaddress.ip_address(destination) for destination in destinations]
    costs: dict[tuple[int, int], Cost] = {}
    for route in routes:
        of_family = [server for server in servers if server.version == route.family]
        if of_family:
            if not any(_leads_to(route, server) for server in of_family):
                continue
        elif route.length > LONGEST_DEFAULT[route.family]:
            continue
        is_other_family = bool(servers) and not of_family
        is_chosen = choices.get(route.family) == route.link
        cost = (is_other_family, not is_chosen, -route.length, route.metric)
        key = (route.family, route.link)
        costs[key] = min(cost, costs.get(key, cost))
    return costs


def _leads_to(route: Route, target: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return int(target) >> (target.max_prefixlen - route.length) == route.prefix


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


def _family(host: str) -> int:
    return 6 if ":" in host else 4


def _is_link_local(host: str) -> bool:
    """169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291)."""
    return host.startswith(("169.254.", "fe8", "fe9", "fea", "feb"))


def _is_unique_local(host: str) -> bool:
    """fc00::/7 (RFC 4193): has a default route beside a global address, and leads nowhere."""
    return host.startswith(("fc", "fd")) and ":" in host
