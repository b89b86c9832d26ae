"""Which addresses can carry a call: the policy as a table, without a kernel."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

import pytest

from p2pquic.core.addresses import LocalAddress
from p2pquic.net.monitor.usable import InterfaceAddress, Link, Route, usable_addresses

LO = Link(1, "lo", running=True)
WIFI = Link(2, "wlan0", running=True)
CELLULAR = Link(3, "rmnet0", running=True)
LOOPBACKS = [InterfaceAddress("127.0.0.1", 1), InterfaceAddress("::1", 1)]
HOME = InterfaceAddress("192.168.1.7", 2)
MOBILE = InterfaceAddress("10.64.0.9", 3)
SERVER = "203.0.113.10"


def route(network: str, link: int, metric: int = 0) -> Route:
    net = ipaddress.ip_network(network)
    prefix = int(net.network_address) >> (net.max_prefixlen - net.prefixlen)
    return Route(net.version, prefix, net.prefixlen, link, metric)


WIFI_DEFAULT = route("0.0.0.0/0", 2, metric=600)
CELLULAR_DEFAULT = route("0.0.0.0/0", 3, metric=700)


def usable(
    *addresses: InterfaceAddress,
    routes: tuple[Route, ...] = (WIFI_DEFAULT, CELLULAR_DEFAULT),
    links: tuple[Link, ...] = (LO, WIFI, CELLULAR),
    destination: str | None = SERVER,
    in_use: tuple[str, ...] = (),
) -> list[str]:
    destinations = () if destination is None else (destination,)
    before = [LocalAddress(*each.split("%")) for each in in_use]
    found = usable_addresses(links, [*LOOPBACKS, *addresses], routes, destinations, before)
    return [str(address) for address in found]


def test_an_address_with_a_route_is_usable() -> None:
    assert usable(HOME) == ["192.168.1.7%wlan0"]


def test_an_address_without_a_route_is_not() -> None:
    assert usable(HOME, MOBILE, routes=(CELLULAR_DEFAULT,)) == ["10.64.0.9%rmnet0"]


@pytest.mark.parametrize("order", [(HOME, MOBILE), (MOBILE, HOME)])
@pytest.mark.parametrize(
    ("wifi", "cellular", "first"),
    [
        pytest.param(route("0.0.0.0/0", 2, 600), CELLULAR_DEFAULT, "wlan0", id="smaller metric"),
        pytest.param(route("0.0.0.0/0", 2, 800), CELLULAR_DEFAULT, "rmnet0", id="larger metric"),
        pytest.param(
            WIFI_DEFAULT, route("203.0.113.0/24", 3, 900), "rmnet0", id="longer prefix wins"
        ),
        pytest.param(
            route("203.0.113.10/32", 2, 900), route("203.0.113.0/24", 3), "wlan0", id="longest"
        ),
        pytest.param(
            route("203.128.0.0/9", 2, 600), CELLULAR_DEFAULT, "rmnet0", id="other half of the world"
        ),
    ],
)
def test_the_kernels_preference_comes_first(
    order: tuple[InterfaceAddress, ...], wifi: Route, cellular: Route, first: str
) -> None:
    assert usable(*order, routes=(wifi, cellular))[0].endswith(first)


def test_an_interface_of_worse_metric_is_usable_too() -> None:
    assert usable(MOBILE, HOME) == ["192.168.1.7%wlan0", "10.64.0.9%rmnet0"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"links": (LO, Link(2, "wlan0", running=False))}, id="link without carrier"),
        pytest.param({"links": (LO,)}, id="link gone"),
        pytest.param({"routes": ()}, id="no route"),
        pytest.param({"routes": (route("198.51.100.0/24", 2),)}, id="route elsewhere"),
        pytest.param({"routes": (route("::/0", 2),)}, id="route of the other family"),
    ],
)
def test_not_usable(change: dict[str, Any]) -> None:
    assert usable(HOME, **change) == []


def test_a_tentative_address_is_not_usable() -> None:
    assert usable(InterfaceAddress("192.168.1.7", 2, tentative=True)) == []


@pytest.mark.parametrize("host", ["169.254.3.4", "fe80::1", "febf::1"])
def test_a_link_local_address_is_never_usable(host: str) -> None:
    routes = (WIFI_DEFAULT, route("::/0", 2))
    assert usable(InterfaceAddress(host, 2), routes=routes) == []


def test_a_deprecated_address_gives_way_to_a_preferred_one() -> None:
    old = InterfaceAddress("2001:db8:1::5", 2, deprecated=True)
    new = InterfaceAddress("2001:db8:2::5", 2)
    routes = (route("::/0", 2),)
    assert usable(old, new, routes=routes) == ["2001:db8:2::5%wlan0"]
    assert usable(old, routes=routes) == ["2001:db8:1::5%wlan0"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(InterfaceAddress("fe80::1", 2), id="link-local"),
        pytest.param(HOME, id="of the other family"),
        pytest.param(InterfaceAddress("2001:db8:3::5", 3), id="on another link"),
    ],
)
def test_a_deprecated_address_does_not_give_way_to(other: InterfaceAddress) -> None:
    old = InterfaceAddress("2001:db8:1::5", 2, deprecated=True)
    assert "2001:db8:1::5%wlan0" in usable(old, other, routes=(route("::/0", 2),))


def test_the_other_family_comes_last_and_needs_a_default_route() -> None:
    global_address = InterfaceAddress("2001:db8:1::5", 2)
    assert usable(global_address, HOME, routes=(WIFI_DEFAULT, route("::/0", 2))) == [
        "192.168.1.7%wlan0",
        "2001:db8:1::5%wlan0",
    ]
    assert usable(global_address, HOME, routes=(WIFI_DEFAULT, route("2001:db8:1::/64", 2))) == [
        "192.168.1.7%wlan0"
    ]


# ---- Docker and VPN ------------------------------------------------------------------------------

DOCKER = Link(4, "docker0", running=True)
CONTAINERS = InterfaceAddress("172.17.0.1", 4)
VPN = Link(5, "tun0", running=True)
IN_VPN, IN_VPN_6 = InterfaceAddress("10.8.0.2", 5), InterfaceAddress("2001:db8:8::2", 5)
EVERY_LINK = (LO, WIFI, CELLULAR, DOCKER, VPN)


def test_the_bridge_of_containers_leads_to_containers_alone() -> None:
    routes = (WIFI_DEFAULT, route("172.17.0.0/16", 4))
    addresses = (CONTAINERS, HOME)
    assert usable(*addresses, routes=routes, links=EVERY_LINK) == ["192.168.1.7%wlan0"]
    assert usable(*addresses, routes=routes, links=EVERY_LINK, destination="172.17.0.9") == [
        "172.17.0.1%docker0",
        "192.168.1.7%wlan0",
    ]
    assert usable(*addresses, routes=routes, links=EVERY_LINK, destination=None) == [
        "192.168.1.7%wlan0"
    ]


@pytest.mark.parametrize(
    "tunnel",
    [
        pytest.param([route("0.0.0.0/1", 5), route("128.0.0.0/1", 5)], id="OpenVPN: two halves"),
        pytest.param([route("0.0.0.0/0", 5)], id="WireGuard: a default in a table of its own"),
    ],
)
@pytest.mark.parametrize("destination", [SERVER, None, "2001:db8:ffff::1"])
def test_a_vpn_that_takes_everything_is_preferred_to_what_it_runs_over(
    tunnel: list[Route], destination: str | None
) -> None:
    found = usable(
        HOME, IN_VPN, routes=(WIFI_DEFAULT, *tunnel), links=EVERY_LINK, destination=destination
    )
    assert found == ["10.8.0.2%tun0", "192.168.1.7%wlan0"]


@pytest.mark.parametrize("halves", [("::/1", "8000::/1"), ("2000::/3",)])
def test_a_vpn_that_takes_all_of_ipv6_in_parts_has_a_default_route(halves: tuple[str, ...]) -> None:
    parts = [route(half, 5) for half in halves]
    assert usable(HOME, IN_VPN_6, routes=(WIFI_DEFAULT, *parts), links=EVERY_LINK) == [
        "192.168.1.7%wlan0",
        "2001:db8:8::2%tun0",
    ]


def test_a_vpn_to_an_office_alone_carries_no_call_elsewhere() -> None:
    routes = (WIFI_DEFAULT, route("10.0.0.0/8", 5))
    assert usable(HOME, IN_VPN, routes=routes, links=EVERY_LINK) == ["192.168.1.7%wlan0"]
    assert usable(HOME, IN_VPN, routes=routes, links=EVERY_LINK, destination=None) == [
        "192.168.1.7%wlan0"
    ]


def test_a_unique_local_address_gives_way_to_a_global_one() -> None:
    unique_local, global_one = InterfaceAddress("fd00::5", 2), InterfaceAddress("2001:db8::5", 2)
    found = usable(
        unique_local, global_one, routes=(route("::/0", 2),), destination="2001:db8:ffff::1"
    )
    assert found == ["2001:db8::5%wlan0"]


def test_several_addresses_of_a_link_are_all_usable() -> None:
    second = InterfaceAddress("192.168.1.8", 2)
    assert usable(HOME, second) == ["192.168.1.7%wlan0", "192.168.1.8%wlan0"]


@pytest.mark.parametrize(
    ("destination", "expected"),
    [("127.0.0.1", ["127.0.0.1%lo"]), ("127.0.0.9", ["127.0.0.1%lo"]), ("::1", ["::1%lo"])],
)
def test_a_loopback_server_is_reached_from_loopback(destination: str, expected: list[str]) -> None:
    assert usable(HOME, destination=destination) == expected


def test_a_server_on_an_address_of_this_machine_is_reached_from_that_address() -> None:
    assert usable(HOME, MOBILE, destination=HOME.host) == ["192.168.1.7%lo"]


def test_without_a_destination_a_default_route_of_any_family_counts() -> None:
    global_address = InterfaceAddress("2001:db8:1::5", 3)
    routes = (WIFI_DEFAULT, route("::/0", 3, 700), route("10.0.0.0/8", 3))
    assert usable(HOME, MOBILE, global_address, routes=routes, destination=None) == [
        "192.168.1.7%wlan0",
        "2001:db8:1::5%rmnet0",
    ]


# ---- two families, and the many addresses of IPv6 ------------------------------------------------

SERVER_6 = "2001:db8:ffff::1"
DEFAULT_6 = (route("::/0", 2, 600), route("::/0", 3, 700))
STABLE = InterfaceAddress("2001:db8:1::5", 2)
PRIVATE = InterfaceAddress("2001:db8:1::abcd", 2, temporary=True)
NEXT_PRIVATE = InterfaceAddress("2001:db8:1::ef01", 2, temporary=True)
UNIQUE_LOCAL = InterfaceAddress("fd00::5", 2)


def test_a_server_of_both_families_is_reached_by_both_in_the_order_of_the_routes() -> None:
    mobile_6 = InterfaceAddress("2001:db8:3::5", 3)
    found = usable_addresses(
        (LO, WIFI, CELLULAR),
        [HOME, STABLE, mobile_6],
        (WIFI_DEFAULT, *DEFAULT_6),
        (SERVER, SERVER_6),
    )
    assert [str(each) for each in found] == [
        "192.168.1.7%wlan0",
        "2001:db8:1::5%wlan0",
        "2001:db8:3::5%rmnet0",
    ]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("addresses", "best"),
    [
        pytest.param((STABLE, PRIVATE), PRIVATE, id="temporary before stable"),
        pytest.param((STABLE, UNIQUE_LOCAL), STABLE, id="global before unique local"),
        pytest.param(
            (dataclasses.replace(PRIVATE, deprecated=True), STABLE),
            STABLE,
            id="preferred before deprecated",
        ),
        pytest.param(
            (dataclasses.replace(PRIVATE, tentative=True), STABLE),
            STABLE,
            id="a tentative one is not there yet",
        ),
    ],
)
def test_of_the_ipv6_addresses_of_an_interface_the_best_is_used(
    addresses: tuple[InterfaceAddress, ...], best: InterfaceAddress, order: int
) -> None:
    assert usable(*addresses[::order], routes=DEFAULT_6, destination=SERVER_6) == [
        f"{best.host}%wlan0"
    ]


@pytest.mark.parametrize("deprecated", [False, True])
def test_what_was_the_best_stays_usable_after_the_new_best_while_it_is_valid(
    deprecated: bool,
) -> None:
    before = (f"{PRIVATE.host}%wlan0",)
    old = dataclasses.replace(PRIVATE, deprecated=deprecated)
    assert usable(
        NEXT_PRIVATE, old, STABLE, routes=DEFAULT_6, destination=SERVER_6, in_use=before
    ) == [f"{NEXT_PRIVATE.host}%wlan0", *before]
    assert usable(NEXT_PRIVATE, STABLE, routes=DEFAULT_6, destination=SERVER_6, in_use=before) == [
        f"{NEXT_PRIVATE.host}%wlan0"
    ]


def test_of_those_that_were_the_best_only_the_last_is_kept() -> None:
    oldest = InterfaceAddress("2001:db8:1::1111", 2, temporary=True, deprecated=True)
    old = dataclasses.replace(PRIVATE, deprecated=True)
    before = (f"{PRIVATE.host}%wlan0", f"{oldest.host}%wlan0")
    assert usable(
        oldest, old, NEXT_PRIVATE, routes=DEFAULT_6, destination=SERVER_6, in_use=before
    ) == [f"{NEXT_PRIVATE.host}%wlan0", f"{PRIVATE.host}%wlan0"]


def test_two_servers_on_this_machine_are_reached_from_one_address() -> None:
    links, addresses = [Link(1, "lo", True)], [InterfaceAddress("127.0.0.1", 1)]
    usable = usable_addresses(links, addresses, [], ["127.0.0.1", "127.0.0.1"])
    assert usable == (LocalAddress("127.0.0.1", "lo"),)


def test_a_server_on_this_machine_is_reached_by_both_loopbacks() -> None:
    found = usable_addresses((LO, WIFI), [*LOOPBACKS, HOME], [WIFI_DEFAULT], ("127.0.0.1", "::1"))
    assert [str(each) for each in found] == ["127.0.0.1%lo", "::1%lo"]
