"""The monitor where the kernel tells little: scripted tables, in virtual time."""

from __future__ import annotations

import asyncio
import selectors
import socket
import struct
from collections.abc import Callable, Sequence

import pytest

from p2pquic.core.addresses import LocalAddress
from p2pquic.net import interfaces
from p2pquic.net.monitor import macos, poll
from p2pquic.net.monitor.macos import SAFETY_INTERVAL, MacMonitor
from p2pquic.net.monitor.poll import (
    LEAST_INTERVAL,
    POLL_INTERVAL,
    PollingMonitor,
    Tables,
    has_way,
    read_tables,
    source_address,
)
from p2pquic.net.monitor.usable import InterfaceAddress, Link

SERVER = "203.0.113.10"
WIFI = LocalAddress("192.168.1.7", "en0")
CELLULAR = LocalAddress("10.64.0.9", "en5")
TUNNEL = LocalAddress("10.8.0.2", "utun4")
BRIDGE = LocalAddress("192.168.64.1", "bridge100")
WIFI_6 = LocalAddress("2001:db8::7", "en0")
WIFI_LINK_LOCAL = LocalAddress("fe80::1", "en0")
LOOPBACK = LocalAddress("127.0.0.1", "lo0")

Usable = tuple[LocalAddress, ...]
Ready = list[tuple[selectors.SelectorKey, int]]


class VirtualLoop(asyncio.SelectorEventLoop):
    """Nobody waits: the time that would be waited has passed at once."""

    def __init__(self) -> None:
        self.now = 1000.0
        loop = self

        class Selector(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> Ready:
                ready = super().select(0)
                if not ready and timeout:
                    loop.now += timeout
                return ready

        super().__init__(Selector())

    def time(self) -> float:
        return self.now


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host()
    monkeypatch.setattr(poll, "read_interfaces", host.read_interfaces)
    monkeypatch.setattr(poll, "source_address", lambda target: host.sources.get(":" in target))
    monkeypatch.setattr(poll, "has_way", lambda address, *_: address in host.ways)
    return host


class Host:
    """What ifaddr and connect() would say: addresses, those with a way out, favourites."""

    def __init__(self) -> None:
        self.addresses: list[LocalAddress] = [LOOPBACK]
        self.ways: set[str] = set()
        self.sources: dict[bool, str] = {}  # the system's favourite, by whether it is of IPv6
        self.looks = 0

    def has(self, *addresses: LocalAddress, dead: tuple[LocalAddress, ...] = ()) -> None:
        """These addresses from now on, the first of each family the favourite; `dead` is no way."""
        self.addresses = [LOOPBACK, *dead, *reversed(addresses)]
        self.ways = {address.host for address in addresses}
        self.sources = {":" in address.host: address.host for address in reversed(addresses)}

    def read_interfaces(self) -> tuple[list[Link], list[InterfaceAddress]]:
        self.looks += 1
        names = list(dict.fromkeys(address.interface for address in self.addresses))
        links = [Link(index, name, running=True) for index, name in enumerate(names, start=1)]
        return links, [
            InterfaceAddress(address.host, names.index(address.interface) + 1)
            for address in self.addresses
        ]


Step = tuple[float, Callable[[], None]]


def watch(
    create: Callable[[Callable[[Usable], None]], PollingMonitor | MacMonitor], *steps: Step
) -> list[tuple[float, Usable]]:
    """What a monitor reports and after how many seconds, while the steps happen at theirs."""
    reports: list[tuple[float, Usable]] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        monitor = create(lambda usable: reports.append((loop.time() - begin, usable)))
        for at, step in steps:
            loop.call_at(begin + at, step)
        monitor.start()
        await asyncio.sleep(5.0)
        monitor.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())
    return reports


def polling(on_change: Callable[[Usable], None]) -> PollingMonitor:
    return PollingMonitor([SERVER], on_change)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((WIFI, CELLULAR), (WIFI, CELLULAR)),
        ((CELLULAR, WIFI), (CELLULAR, WIFI)),
        ((TUNNEL, WIFI), (TUNNEL, WIFI)),  # a VPN beside the network it runs over
        ((WIFI, WIFI_6, WIFI_LINK_LOCAL), (WIFI, WIFI_6)),
    ],
)
def test_the_systems_favourite_comes_first_and_every_way_counts(
    found: Usable, expected: Usable, host: Host
) -> None:
    host.has(*found)
    assert watch(polling) == [(0.0, expected)]


def test_an_address_without_a_way_out_does_not_count(host: Host) -> None:
    host.has(WIFI, dead=(BRIDGE, CELLULAR))
    assert watch(polling) == [(0.0, (WIFI,))]


def test_a_move_is_noticed_at_the_next_look_and_told_once(host: Host) -> None:
    host.has(WIFI)
    reports = watch(
        polling,
        (1.01, lambda: host.has(CELLULAR, dead=(WIFI,))),
        (2.01, lambda: host.has(WIFI, CELLULAR)),
        (3.01, host.has),
    )
    assert [usable for _, usable in reports] == [(WIFI,), (CELLULAR,), (WIFI, CELLULAR), ()]
    for (noticed, _), happened in zip(reports[1:], (1.01, 2.01, 3.01), strict=True):
        assert 0 < noticed - happened <= POLL_INTERVAL


def test_interfaces_that_cannot_be_read_change_nothing_until_they_can(host: Host) -> None:
    host.has(WIFI)
    broken = False

    def read(destinations: Sequence[str]) -> Tables:
        if broken:
            raise OSError
        return read_tables(destinations)

    def break_down(begin: bool) -> None:
        nonlocal broken
        broken = begin

    reports = watch(
        lambda on_change: PollingMonitor([SERVER], on_change, read),
        (1.01, lambda: break_down(True)),
        (1.02, lambda: host.has(CELLULAR)),
        (3.01, lambda: break_down(False)),
    )
    assert [usable for _, usable in reports] == [(WIFI,), (CELLULAR,)]
    assert reports[1][0] > 3.01


def test_a_server_on_this_machine_is_reached_over_loopback(host: Host) -> None:
    host.has(WIFI)
    assert watch(lambda told: PollingMonitor(["127.0.0.1"], told)) == [(0.0, (LOOPBACK,))]
    assert watch(lambda told: PollingMonitor([WIFI.host], told)) == [
        (0.0, (LocalAddress(WIFI.host, "lo"),))
    ]


def test_macos_is_looked_at_when_it_speaks_and_not_more_often_than_is_decent(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, kernels = socket.socketpair(type=socket.SOCK_DGRAM)
    ours.setblocking(False)
    monkeypatch.setattr(macos, "open_changes_socket", lambda: ours)
    announcement = struct.pack("=HBB", 4, macos.RTM_VERSION, macos.RTM_NEWADDR)

    def move() -> None:
        host.has(CELLULAR)
        for _ in range(20):
            kernels.send(announcement)

    host.has(WIFI)
    with kernels:
        reports = watch(
            lambda on_change: MacMonitor([SERVER], on_change),
            (1.5, move),
            (2.9, lambda: host.has(WIFI)),  # which nobody announces
        )
    (at_first, _), (told, _), (unannounced, _) = reports
    assert [usable for _, usable in reports] == [(WIFI,), (CELLULAR,), (WIFI,)]
    assert at_first == 0.0
    assert told - 1.5 < 0.001
    assert unannounced - 2.9 <= SAFETY_INTERVAL
    assert host.looks < 5.0 / SAFETY_INTERVAL + 4
    assert ours.fileno() == -1


def test_who_hurries_again_waits_a_little(host: Host) -> None:
    host.has(WIFI)
    monitors: list[PollingMonitor] = []

    def create(on_change: Callable[[Usable], None]) -> PollingMonitor:
        monitors.append(PollingMonitor([SERVER], on_change, interval=1.0))
        return monitors[0]

    def move(to: LocalAddress) -> None:
        host.has(to)
        monitors[0].hurry()

    reports = watch(create, (0.5, lambda: move(CELLULAR)), (0.51, lambda: move(WIFI)))
    assert [at for at, _ in reports] == pytest.approx([0.0, 0.5, 0.5 + LEAST_INTERVAL])


def test_this_very_system_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert source_address("127.0.0.1") == "127.0.0.1"
    monkeypatch.setattr(poll, "bind_to_interface", lambda *_: None)  # its own way to loopback
    assert has_way("127.0.0.1", "lo", "127.0.0.1")
    assert not has_way("192.0.2.77", "lo", "127.0.0.1")  # no interface has that address
    _, addresses = interfaces.read_interfaces()
    assert "127.0.0.1" in [address.host for address in addresses]
