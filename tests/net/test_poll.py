"""The monitor where the kernel tells nobody."""

from __future__ import annotations

import asyncio

import pytest

from p2pquic.core.addresses import LocalAddress
from p2pquic.net.monitor.poll import (
    PollingMonitor,
    choose_addresses,
    host_addresses,
    source_address,
)

LOOPBACK = LocalAddress("127.0.0.1", "lo0")
WIFI = LocalAddress("192.168.1.7", "en0")
CELLULAR = LocalAddress("10.64.0.9", "en5")
WIFI_6 = LocalAddress("2001:db8::7", "en0")
LINK_LOCAL = LocalAddress("fe80::1", "en0")
EVERYTHING = [LOOPBACK, WIFI_6, LINK_LOCAL, CELLULAR, WIFI]


@pytest.mark.parametrize(
    ("destination", "preferred", "expected"),
    [
        ("203.0.113.10", [WIFI.host], [WIFI, CELLULAR, WIFI_6]),
        ("203.0.113.10", [CELLULAR.host, WIFI_6.host], [CELLULAR, WIFI_6, WIFI]),
        ("2001:db8:1::1", [WIFI_6.host], [WIFI_6, CELLULAR, WIFI]),
        ("127.0.0.1", [], [LOOPBACK]),
        (None, [WIFI.host], [WIFI, WIFI_6, CELLULAR]),
    ],
)
def test_the_systems_preferred_source_comes_first(
    destination: str | None, preferred: list[str], expected: list[LocalAddress]
) -> None:
    destinations = () if destination is None else (destination,)
    assert list(choose_addresses(EVERYTHING, destinations, preferred)) == expected


def test_the_system_knows_its_loopback() -> None:
    assert "127.0.0.1" in [address.host for address in host_addresses()]
    assert source_address("127.0.0.1") == "127.0.0.1"


def test_it_reports_once_at_the_start() -> None:
    async def watch() -> list[tuple[LocalAddress, ...]]:
        reports: list[tuple[LocalAddress, ...]] = []
        monitor = PollingMonitor(["127.0.0.1"], reports.append)
        monitor.start()
        monitor.close()
        return reports

    (usable,) = asyncio.run(watch())
    assert "127.0.0.1" in [address.host for address in usable]
