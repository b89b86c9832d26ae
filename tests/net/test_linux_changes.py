"""What the Linux monitor makes of changes, with tables and notifications as the kernel gives them.

The same against a real kernel: test_linux_monitor.py.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import struct
import sys
from collections.abc import Awaitable, Callable

import pytest

from p2pquic.core.addresses import LocalAddress
from p2pquic.net.monitor.rtnetlink import RTM_DELADDR, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE
from p2pquic.net.monitor.usable import InterfaceAddress, Link, Route

if sys.platform != "linux":
    pytest.skip("rtnetlink is Linux", allow_module_level=True)

from p2pquic.net.monitor import linux

RTM_DELROUTE = 25
SERVER = "203.0.113.10"
CABLE, WIFI = Link(2, "eth0", running=True), Link(3, "wlan0", running=True)
HOME, HOME_WIFI = InterfaceAddress("192.168.1.5", 2), InterfaceAddress("192.168.1.7", 3)
BY_CABLE, BY_WIFI = Route(4, 0, 0, 2, metric=100), Route(4, 0, 0, 3, metric=600)


@dataclasses.dataclass
class Kernel:
    """Tables that a test changes, and the notifications that it sends about that."""

    all_links: list[Link]
    all_addresses: list[InterfaceAddress]
    all_routes: list[Route]
    reported: list[list[str]] = dataclasses.field(default_factory=list)
    looks: int = 0

    def __post_init__(self) -> None:
        self.ours, self._kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ours.setblocking(False)

    def links(self) -> list[Link]:
        return self.all_links

    def addresses(self) -> list[InterfaceAddress]:
        return self.all_addresses

    def routes(self) -> list[Route]:
        self.looks += 1
        return self.all_routes

    def choice(self, destination: str) -> int | None:
        del destination
        return None  # the routes tell

    def close(self) -> None:
        self._kernels.close()

    async def says(self, *kinds: int) -> list[str]:
        """Notify, and wait for the look that follows; what was reported last."""
        looks = self.looks
        for kind in kinds:
            self._kernels.send(struct.pack("=IHHII", 16, kind, 0, 0, 0))
        while self.looks == looks:
            await asyncio.sleep(0)
        return self.reported[-1]

    def take(self, usable: tuple[LocalAddress, ...]) -> None:
        self.reported.append([str(address) for address in usable])


def follow(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, walk: Callable[[], Awaitable[None]]
) -> None:
    monkeypatch.setattr(linux, "open_changes_socket", lambda: kernel.ours)
    monkeypatch.setattr(linux, "KernelTables", lambda: kernel)

    async def test() -> None:
        monitor = linux.LinuxMonitor([SERVER], kernel.take)
        monitor.start()
        try:
            await walk()
        finally:
            monitor.close()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(test())


def test_of_two_default_routes_the_metrics_give_the_order_and_a_change_of_them_is_news(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel changes a metric by a new route and the end of the old one; no address changes."""
    kernel = Kernel([CABLE, WIFI], [HOME, HOME_WIFI], [BY_CABLE, BY_WIFI])
    cable_first = ["192.168.1.5%eth0", "192.168.1.7%wlan0"]

    async def walk() -> None:
        assert kernel.reported == [cable_first]
        wifi_cheaper = Route(4, 0, 0, 3, metric=50)
        kernel.all_routes = [wifi_cheaper, BY_CABLE, BY_WIFI]
        assert await kernel.says(RTM_NEWROUTE) == cable_first[::-1]
        kernel.all_routes = [wifi_cheaper, BY_CABLE]
        await kernel.says(RTM_DELROUTE)
        assert len(kernel.reported) == 2, "the end of the old route changes nothing more"
        kernel.all_routes = [BY_CABLE, BY_WIFI]
        assert await kernel.says(RTM_NEWROUTE, RTM_DELROUTE) == cable_first

    follow(kernel, monkeypatch, walk)


def test_a_renamed_interface_is_another_one_with_the_same_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As udev does it: down, renamed, up; or at once, where the kernel allows it (Linux 6.2)."""
    kernel = Kernel([CABLE], [HOME], [BY_CABLE])

    async def walk() -> None:
        kernel.all_links, kernel.all_routes = [Link(2, "eth0", running=False)], []
        assert await kernel.says(RTM_NEWLINK) == []
        kernel.all_links = [Link(2, "enp3s0", running=False)]
        assert await kernel.says(RTM_NEWLINK) == []
        kernel.all_links, kernel.all_routes = [Link(2, "enp3s0", running=True)], [BY_CABLE]
        assert await kernel.says(RTM_NEWLINK, RTM_NEWROUTE) == ["192.168.1.5%enp3s0"]
        kernel.all_links = [Link(2, "lan", running=True)]
        assert await kernel.says(RTM_NEWLINK) == ["192.168.1.5%lan"]

    follow(kernel, monkeypatch, walk)


def test_an_address_replaced_on_the_same_interface_is_a_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A new lease: with the old address its route goes, and the new one comes with the new."""
    kernel = Kernel([WIFI], [HOME_WIFI], [BY_WIFI])

    async def walk() -> None:
        kernel.all_addresses, kernel.all_routes = [], []
        assert await kernel.says(RTM_DELADDR) == []
        kernel.all_addresses = [InterfaceAddress("10.0.0.7", 3)]
        assert await kernel.says(RTM_NEWADDR) == [], "no route yet"
        kernel.all_routes = [BY_WIFI]
        assert await kernel.says(RTM_NEWROUTE) == ["10.0.0.7%wlan0"]
        assert kernel.reported == [["192.168.1.7%wlan0"], [], ["10.0.0.7%wlan0"]]

    follow(kernel, monkeypatch, walk)


def test_a_burst_that_ends_where_it_began_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel([WIFI], [HOME_WIFI], [BY_WIFI])

    async def walk() -> None:
        await kernel.says(RTM_NEWLINK, RTM_DELADDR, RTM_NEWADDR, RTM_DELROUTE, RTM_NEWROUTE)
        assert len(kernel.reported) == 1

    follow(kernel, monkeypatch, walk)
