"""A host with two interfaces that moves about; runs inside a network namespace of its own.

Prints one JSON list per step: the command, and the usable addresses the monitor came to report.
"""

from __future__ import annotations

import asyncio
import json

from p2pquic.core.addresses import LocalAddress
from p2pquic.net import process
from p2pquic.net.monitor import create_monitor

SERVER = "203.0.113.10"
WIFI, CELLULAR = "192.0.2.7%wlan0", "198.51.100.9%rmnet0"
SETUP = (
    "link set lo up",
    "link add wlan0 type veth peer name wlan0-far",
    "link add rmnet0 type veth peer name rmnet0-far",
    "link set wlan0-far up",
    "link set rmnet0-far up",
    "link set rmnet0 up",
    "link set wlan0 up",
    "address add 192.0.2.7/24 dev wlan0",
)
STEPS = (
    ("route add default via 192.0.2.1 dev wlan0 metric 600", [WIFI]),
    ("address add 198.51.100.9/24 dev rmnet0", [WIFI]),
    ("route add default via 198.51.100.1 dev rmnet0 metric 700", [WIFI, CELLULAR]),
    ("link set wlan0-far down", [CELLULAR]),
    ("link set wlan0-far up", [WIFI, CELLULAR]),
    ("link set wlan0 down", [CELLULAR]),
    ("link set wlan0 up", [CELLULAR]),  # its default route vanished, and nobody said so
    ("route add default via 192.0.2.1 dev wlan0 metric 600", [WIFI, CELLULAR]),
    ("address add 192.0.3.8/24 dev wlan0", [WIFI, "192.0.3.8%wlan0", CELLULAR]),
    ("address delete 192.0.2.7/24 dev wlan0", ["192.0.3.8%wlan0", CELLULAR]),
    ("-6 address add 2001:db8::7/64 dev rmnet0 nodad", ["192.0.3.8%wlan0", CELLULAR]),
    (
        "-6 route add default via 2001:db8::1 dev rmnet0",
        ["192.0.3.8%wlan0", CELLULAR, "2001:db8::7%rmnet0"],
    ),
    ("link delete wlan0", [CELLULAR, "2001:db8::7%rmnet0"]),
)
PATIENCE = 2.0  # seconds; the kernel may keep news of carrier for one second


class Report:
    """What the monitor said last."""

    def __init__(self) -> None:
        self.usable: list[str] = []
        self._changed = asyncio.Event()

    def take(self, usable: tuple[LocalAddress, ...]) -> None:
        self.usable = [str(address) for address in usable]
        self._changed.set()

    async def wait_for(self, expected: list[str]) -> None:
        while self.usable != expected:
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


async def walk() -> int:
    for command in SETUP:
        await ip(command)
    report = Report()
    monitor = create_monitor([SERVER], report.take)
    monitor.start()
    for command, expected in STEPS:
        await ip(command)
        try:
            await asyncio.wait_for(report.wait_for(expected), PATIENCE)
        finally:
            print(json.dumps([command, report.usable]), flush=True)
    monitor.close()
    return 0


if __name__ == "__main__":
    process.run(walk())
