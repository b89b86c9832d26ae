"""The network as it is: usable addresses, and servers asked from each of them.

Every address asks from two sockets at once, for two ports show more of a NAT than one. All of it
is over within some PROBE_LIMIT.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from p2pquic.core.addresses import LocalAddress, SocketAddress
from p2pquic.core.trace import Entry
from p2pquic.doctor.finding import Finding
from p2pquic.doctor.servers import Errors, judge_nats, judge_servers
from p2pquic.net.driver import Driver
from p2pquic.net.monitor import create_monitor
from p2pquic.quic.identity import Identity
from p2pquic.session.server_probe import Answer, ServerProbe

SOCKETS = 2  # from each address
ICMP_LIMIT = 0.5  # seconds for a router or host to say that nothing is there
UNEXPECTED = b"\0"  # a datagram that our server ignores


async def check_network(servers: Sequence[SocketAddress], pins: Sequence[bytes]) -> list[Finding]:
    """Addresses of this machine and, if any are given, the servers and the NATs before them."""
    destinations: list[list[str]] = [[server.host] for server in servers]
    usable = list(
        dict.fromkeys(each for hosts in destinations or [[]] for each in usable_addresses(hosts))
    )
    answers = await ask(servers, usable)
    heard = {answer.server for answer in answers if answer.heard}
    silent = [server for server in servers if server not in heard]
    errors: Errors = {server: await network_error(server) for server in silent}
    return [
        judge_addresses(usable),
        *judge_servers(servers, answers, pins, errors),
        *judge_nats(answers),
    ]


def usable_addresses(destinations: Sequence[str]) -> tuple[LocalAddress, ...]:
    """What a call to a server would use now, preferred first; needs a running loop."""
    reported: list[tuple[LocalAddress, ...]] = []
    monitor = create_monitor(destinations, reported.append)
    try:
        monitor.start()
    finally:
        monitor.close()
    return reported[-1] if reported else ()


def judge_addresses(usable: Sequence[LocalAddress]) -> Finding:
    """Which addresses can carry a call; `usable` has the preferred one first."""
    if not usable:
        return Finding(
            "problem",
            "No address of this machine can carry a call: none has a route.",
            "Connect to a network; `p2pquic monitor` shows what comes.",
        )
    listed = ", ".join(
        f"{each.host} on {each.interface} (IPv{6 if ':' in each.host else 4})" for each in usable
    )
    if len({each.interface for each in usable}) == 1:
        return Finding("ok", f"Addresses that can carry a call: {listed}.")
    return Finding("ok", f"Addresses that can carry a call, preferred first: {listed}.")


async def ask(servers: Sequence[SocketAddress], usable: Sequence[LocalAddress]) -> list[Answer]:
    """Each server from each address of its family, by SOCKETS sockets."""
    identity = Identity.generate()
    probes = [ServerProbe(servers, identity) for _ in range(SOCKETS)]
    await asyncio.gather(*(_run(probe, usable) for probe in probes))
    return [answer for probe in probes for answer in probe.answers]


async def _run(probe: ServerProbe, usable: Sequence[LocalAddress]) -> None:
    driver = Driver(_forget)
    try:
        driver.run(probe)
        driver.follow(tuple(usable))
        await driver.wait_until_finished()
    finally:
        driver.close()


def _forget(_: Entry) -> None:
    """A probe has no trace: its answers say it all."""


async def network_error(server: SocketAddress) -> str:
    """What the system says of a datagram to a server that is silent; nothing, most of the time.

    Only a connected socket is told of ICMP errors, such as that nobody listens there.
    """
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if server.family == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        try:
            udp.connect(server)
            udp.send(UNEXPECTED)
            await asyncio.wait_for(loop.sock_recv(udp, 1), ICMP_LIMIT)
        except TimeoutError:
            return ""
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return ""
