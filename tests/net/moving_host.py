"""Hosts whose interfaces change; one walk runs inside a network namespace of its own.

    python moving_host.py WALK

Prints one JSON list per step: the command, the usable addresses the monitor came to report, and
those of them from which a datagram to the server really left, and by their own interface.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import NamedTuple

from p2pquic.core.addresses import LocalAddress, SocketAddress
from p2pquic.net import process
from p2pquic.net.monitor import create_monitor
from p2pquic.net.udp import open_udp_socket

SERVER = "203.0.113.10"
SERVER_6 = "2001:db8:ffff::10"
WIFI, CELLULAR = "192.0.2.7%wlan0", "198.51.100.9%rmnet0"
NEW_WIFI, MOBILE_6 = "192.0.3.8%wlan0", "2001:db8::7%rmnet0"
CABLE, TUNNEL = "192.168.1.5%eth0", "10.8.0.2%tun0"


class Step(NamedTuple):
    """An order for `ip`, and what is usable after it."""

    command: str
    usable: list[str]


def links(*names: str) -> tuple[str, ...]:
    """Orders for interfaces that are up; what they send arrives at NAME-far, with nobody to ask.

    They get no address by themselves: news of that would have the monitor look for another reason.
    """
    return tuple(
        order
        for name in names
        for order in (
            f"link add {name} type veth peer name {name}-far",
            f"link set {name}-far addrgenmode none",
            f"link set {name} addrgenmode none arp off",
            f"link set {name}-far up",
            f"link set {name} up",
        )
    )


WIFI_UP = (
    *links("wlan0"),
    "address add 192.0.2.7/24 dev wlan0",
    "route add default via 192.0.2.1 dev wlan0 metric 600",
)
WALKS: dict[str, tuple[tuple[str, ...], tuple[Step, ...]]] = {
    "Wi-Fi and cellular come and go": (
        (*links("wlan0", "rmnet0"), "address add 192.0.2.7/24 dev wlan0"),
        (
            Step("route add default via 192.0.2.1 dev wlan0 metric 600", [WIFI]),
            Step("address add 198.51.100.9/24 dev rmnet0", [WIFI]),
            Step("route add default via 198.51.100.1 dev rmnet0 metric 700", [WIFI, CELLULAR]),
            Step("link set wlan0-far down", [CELLULAR]),
            Step("link set wlan0-far up", [WIFI, CELLULAR]),
            Step("link set wlan0 down", [CELLULAR]),
            Step("link set wlan0 up", [CELLULAR]),  # its default route vanished, without a word
            Step("route add default via 192.0.2.1 dev wlan0 metric 600", [WIFI, CELLULAR]),
            Step("address add 192.0.3.8/24 dev wlan0", [WIFI, NEW_WIFI, CELLULAR]),
            Step("address delete 192.0.2.7/24 dev wlan0", [NEW_WIFI, CELLULAR]),
            Step("-6 address add 2001:db8::7/64 dev rmnet0 nodad", [NEW_WIFI, CELLULAR]),
            Step("-6 route add default via 2001:db8::1 dev rmnet0", [NEW_WIFI, CELLULAR, MOBILE_6]),
            Step("link delete wlan0", [CELLULAR, MOBILE_6]),
        ),
    ),
    # OpenVPN's redirect-gateway def1: two halves, and a route to the VPN's server beside them
    "a VPN by two half routes": (
        (*WIFI_UP, *links("tun0")),
        (
            Step("address add 10.8.0.2/24 dev tun0", [WIFI]),
            Step("route add 198.51.100.50/32 via 192.0.2.1 dev wlan0", [WIFI]),
            Step("route add 0.0.0.0/1 dev tun0", [WIFI]),  # not the half of our server
            Step("route add 128.0.0.0/1 dev tun0", [TUNNEL, WIFI]),
            Step("route delete 128.0.0.0/1 dev tun0", [WIFI]),
            Step("route add 128.0.0.0/1 dev tun0", [TUNNEL, WIFI]),
            Step("link delete tun0", [WIFI]),
        ),
    ),
    # wg-quick: a default route in a table of its own, which rules make everybody's but the VPN's.
    # The real default has no metric, so routes alone would not tell which of the two comes first.
    "a VPN by rules": (
        (
            *links("tun0", "wlan0"),
            "address add 192.0.2.7/24 dev wlan0",
            "route add default via 192.0.2.1 dev wlan0",
        ),
        (
            Step("address add 10.8.0.2/32 dev tun0", [WIFI]),
            Step("route add default dev tun0 table 51820", [WIFI, TUNNEL]),
            Step("rule add not fwmark 51820 table 51820", [TUNNEL, WIFI]),
            Step("rule add table main suppress_prefixlength 0", [TUNNEL, WIFI]),
            Step("rule delete not fwmark 51820 table 51820", [WIFI, TUNNEL]),
            Step("rule delete table main suppress_prefixlength 0", [WIFI, TUNNEL]),
            Step("link delete tun0", [WIFI]),
        ),
    ),
    "a bridge of containers": (
        WIFI_UP,
        (
            Step("link add docker0 type bridge", [WIFI]),
            Step("address add 172.17.0.1/16 dev docker0", [WIFI]),
            Step("link set docker0 up", [WIFI]),
            Step("link add container type veth peer name container-far", [WIFI]),
            Step("link set container master docker0 up", [WIFI]),
            Step("link set container-far up", [WIFI]),  # now the bridge has carrier
            Step("route delete default via 192.0.2.1 dev wlan0", []),
        ),
    ),
    "metrics change, addresses stay": (
        (
            *WIFI_UP,
            *links("rmnet0"),
            "address add 198.51.100.9/24 dev rmnet0",
            "route add default via 198.51.100.1 dev rmnet0 metric 700",
        ),
        (
            Step("route add default via 198.51.100.1 dev rmnet0 metric 50", [CELLULAR, WIFI]),
            Step("route delete default dev rmnet0 metric 700", [CELLULAR, WIFI]),
            Step("route add default via 198.51.100.1 dev rmnet0 metric 900", [CELLULAR, WIFI]),
            Step("route delete default dev rmnet0 metric 50", [WIFI, CELLULAR]),
        ),
    ),
    "interfaces are renamed": (
        WIFI_UP,
        (
            Step("link set wlan0 name wlp3s0", ["192.0.2.7%wlp3s0"]),  # while it is up: Linux 6.2
            Step("link set wlp3s0 down", []),
            Step("link set wlp3s0 name wlan0", []),
            Step("link set wlan0 up", []),
            Step("route add default via 192.0.2.1 dev wlan0 metric 600", [WIFI]),
        ),
    ),
    "an address is replaced": (
        WIFI_UP,
        (
            Step("address add 192.0.3.8/24 dev wlan0", [WIFI, NEW_WIFI]),  # the new before the old
            Step("route add default via 192.0.3.1 dev wlan0 metric 500", [WIFI, NEW_WIFI]),
            Step("address change 192.0.2.7/24 dev wlan0 preferred_lft 0", [NEW_WIFI]),
            Step("address delete 192.0.2.7/24 dev wlan0", [NEW_WIFI]),
            Step("address delete 192.0.3.8/24 dev wlan0", []),  # the old before the new
            Step("address add 192.0.2.7/24 dev wlan0", []),
            Step("route add default via 192.0.2.1 dev wlan0 metric 600", [WIFI]),
        ),
    ),
    "a cable is plugged in": (
        (*WIFI_UP, *links("eth0"), "link set eth0-far down"),
        (
            Step("link set eth0-far up", [WIFI]),
            Step("address add 192.168.1.5/24 dev eth0", [WIFI]),
            Step("route add default via 192.168.1.1 dev eth0 metric 100", [CABLE, WIFI]),
            Step("link set eth0-far down", [WIFI]),
            Step("link set eth0-far up", [CABLE, WIFI]),
        ),
    ),
}
PATIENCE = 2.0  # seconds; the kernel may keep news of carrier for one second


class Report:
    """What the monitor said last."""

    def __init__(self) -> None:
        self.usable: list[LocalAddress] = []
        self._changed = asyncio.Event()

    @property
    def names(self) -> list[str]:
        return [str(address) for address in self.usable]

    def take(self, usable: tuple[LocalAddress, ...]) -> None:
        self.usable = list(usable)
        self._changed.set()

    async def wait_for(self, expected: list[str]) -> None:
        while self.names != expected:
            self._changed.clear()
            await self._changed.wait()


async def ip(command: str) -> str:
    child = await asyncio.create_subprocess_exec(
        "ip", *command.split(), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await child.communicate()
    if child.returncode != 0:
        raise RuntimeError(f"ip {command} failed")
    return output.decode()


def leaves_by_its_interface(address: LocalAddress) -> bool:
    """Whether a datagram from there to the server comes out at the other end of the interface."""
    server = SERVER_6 if ":" in address.host else SERVER
    marker = f"from {address}".encode()
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003)) as far,  # ETH_P_ALL
        open_udp_socket(SocketAddress(address.host, 0), address.interface) as udp,
    ):
        # The far end of a link keeps its name when the near end is renamed.
        name = "wlan0" if address.interface.startswith("wl") else address.interface
        far.bind((f"{name}-far", 0))
        far.setblocking(False)
        udp.sendto(marker, (server, 9))
        try:
            while marker not in far.recv(2048):
                pass
        except BlockingIOError:
            return False
    return True


async def walk(name: str) -> int:
    setup, steps = WALKS[name]
    for command in ("link set lo up", *setup):
        await ip(command)
    report = Report()
    monitor = create_monitor([SERVER], report.take)
    monitor.start()
    for command, expected in steps:
        await ip(command)
        try:
            await asyncio.wait_for(report.wait_for(expected), PATIENCE)
        finally:
            left = [str(each) for each in report.usable if leaves_by_its_interface(each)]
            print(json.dumps([command, report.names, left]), flush=True)
    monitor.close()
    return 0


if __name__ == "__main__":
    process.run(walk(sys.argv[1]))
