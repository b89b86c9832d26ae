"""A host whose interface gets one IPv6 address after another; runs in a namespace of its own.

Prints one JSON object: what was seen of each kind of address, and how long it took.
"""

from __future__ import annotations

import asyncio
import errno
import json
import time
from pathlib import Path

from p2pquic.core.addresses import SocketAddress
from p2pquic.net import process
from p2pquic.net.monitor import create_monitor
from p2pquic.net.udp import open_udp_socket
from tests.net.moving_host import Report, ip

SERVER = "2001:db8:ffff::1"
SETUP = (
    "link set lo up",
    "link add wlan0 type veth peer name wlan0-far",
    "link set wlan0-far up",
    "link set wlan0 up",
    "-6 route add default dev wlan0 metric 600",
)
SWITCHES = {"accept_ra": "0", "use_tempaddr": "2", "dad_transmits": "1", "optimistic_dad": "1"}
PATIENCE = 5.0  # seconds; duplicate address detection takes one to two


class Host:
    """The interface, and what the monitor says of it."""

    def __init__(self) -> None:
        self.told: dict[str, object] = {}
        self.report = Report()

    async def becomes(self, expected: list[str]) -> None:
        try:
            await asyncio.wait_for(self.report.wait_for(expected), PATIENCE)
        except TimeoutError:
            raise AssertionError(f"{self.report.usable} and never {expected}") from None

    async def temporary_address(self) -> str:
        """The one the kernel made, once it may be used."""
        async with asyncio.timeout(PATIENCE):
            while True:
                words = await ip("-6 -oneline address show dev wlan0 temporary -tentative")
                if words:
                    return words.split()[3].partition("/")[0]
                await asyncio.sleep(0.05)

    async def wait_for_detection(self) -> None:
        """Tentative: cannot be bound, and is not reported until it can."""
        begin = time.monotonic()
        await ip("address add 2001:db8::1/64 dev wlan0")
        try:
            open_udp_socket(SocketAddress("2001:db8::1", 0), "wlan0").close()
        except OSError as error:
            self.told["binding while tentative"] = errno.errorcode[error.errno or 0]
        await self.becomes(["2001:db8::1%wlan0"])
        self.told["tentative, seconds"] = time.monotonic() - begin
        open_udp_socket(SocketAddress("2001:db8::1", 0), "wlan0").close()
        await ip("address delete 2001:db8::1/64 dev wlan0")
        await self.becomes([])

    async def use_an_optimistic_address_at_once(self) -> None:
        begin = time.monotonic()
        await ip("address add 2001:db8::2/64 dev wlan0 optimistic")
        await self.becomes(["2001:db8::2%wlan0"])
        self.told["optimistic, seconds"] = time.monotonic() - begin
        self.told["its flags"] = await ip("-6 -oneline address show dev wlan0 scope global")
        open_udp_socket(SocketAddress("2001:db8::2", 0), "wlan0").close()
        await ip("address delete 2001:db8::2/64 dev wlan0")
        await self.becomes([])

    async def wait_for_the_local_route(self) -> None:
        """Without it no answer comes in, and the router's is the first that is needed."""
        await ip("address add 2001:db8::4/64 dev wlan0 nodad")
        await self.becomes(["2001:db8::4%wlan0"])
        await ip("-6 route delete local 2001:db8::4 dev wlan0 table local")
        await ip("address add 192.0.2.4/24 dev wlan0")  # a reason to look
        await self.becomes([])
        await ip("-6 route add local 2001:db8::4 dev wlan0 table local")
        await self.becomes(["2001:db8::4%wlan0"])
        self.told["local route"] = "waited for"
        await ip("address delete 2001:db8::4/64 dev wlan0")
        await self.becomes([])

    async def prefer_a_temporary_address(self) -> None:
        """The kernel makes it from a stable one (RFC 8981), which was the best until then."""
        await ip("address add 2001:db8::3/64 dev wlan0 mngtmpaddr nodad")
        temporary = await self.temporary_address()
        await self.becomes([f"{temporary}%wlan0", "2001:db8::3%wlan0"])
        await ip(f"address change {temporary}/64 dev wlan0 preferred_lft 0")
        await self.becomes(["2001:db8::3%wlan0", f"{temporary}%wlan0"])
        await ip(f"address delete {temporary}/64 dev wlan0")
        await self.becomes(["2001:db8::3%wlan0"])
        self.told["temporary"] = "preferred until deprecated, and kept until gone"


async def walk() -> int:
    for command in SETUP:
        await ip(command)
    for name, value in SWITCHES.items():
        Path("/proc/sys/net/ipv6/conf/wlan0", name).write_text(value)
    host = Host()
    monitor = create_monitor([SERVER], host.report.take)
    monitor.start()
    try:
        await host.wait_for_detection()
        await host.use_an_optimistic_address_at_once()
        await host.wait_for_the_local_route()
        await host.prefer_a_temporary_address()
    finally:
        monitor.close()
        print(json.dumps(host.told), flush=True)
    return 0


if __name__ == "__main__":
    process.run(walk())
