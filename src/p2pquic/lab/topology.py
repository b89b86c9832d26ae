"""The lab's world: the hosts and NATs of a scenario as network namespaces of this kernel.

    namespace "mover"             namespace "NAT of mover/wlan0"         process of `internet`
      wlan0  --------- veth --------- lan  nftables, forwarding  wan --TUN--+
      rmnet0 --------- veth --------- (another such namespace)   wan --TUN--+--- TUN of the others

A public interface needs no NAT: it is the TUN device itself, and so is one in a shared network,
whose NAT has a TUN device on either side: there `internet` is the cable of the network as well. The
NATs are built by `router`.

What a peer learns of a change, it learns from its own kernel: an interface goes as Wi-Fi does when
it loses its access point (the link, with it the routes, then the address), and comes as a machine's
network manager makes it come (link, address, default route with a metric). Of a link, a way or a
NAT that dies behind the interface no kernel tells it anything.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from subprocess import PIPE
from types import TracebackType
from typing import NamedTuple

assert sys.platform == "linux", "The lab of real kernels needs Linux."

from p2pquic.core.errors import UsageError
from p2pquic.lab.internet import Internet, Report
from p2pquic.lab.namespaces import CommandFailedError, Namespace, require_programs, stop
from p2pquic.lab.networks import LAN, WAN, Host, Interface, Link, Network, Topology, next_address
from p2pquic.lab.router import HOST_SYSCTLS, Router, speak_ipv6

LINK_LIMIT = 2.0  # seconds for a link to come up; it takes a millisecond or two
LINK_GLANCE = 0.001  # seconds between two looks at a link that comes up
FIRST_METRIC = 600  # NetworkManager's for Wi-Fi; an interface less preferred has 100 more


class Span(NamedTuple):
    """When a change began and when it was complete, in seconds of the monotonic clock."""

    start: float
    end: float


class KernelWorld:
    """A scenario's hosts, running. Close it, or use it in a `with`; nothing stays behind.

    Raises:
        MissingRequirementError: this machine or this user cannot have such a world.
        UsageError: no NAT of the kernel behaves as the topology asks.
    """

    def __init__(self, topology: Topology, links_up: Iterable[Link], seed: int) -> None:
        require_programs()
        self._accesses = topology.accesses
        self._ipv6_accesses = topology.ipv6_accesses
        self._has_ipv4 = {link for link, each in topology.interfaces.items() if each.has_ipv4}
        self._metrics = {
            Link(host.name, each.name): FIRST_METRIC + 100 * number
            for host in topology.hosts
            for number, each in enumerate(host.interfaces)
        }
        self._tuns: dict[Link, int] = {}
        self._hosts: dict[str, Namespace] = {}
        self._routers: dict[Link, Router] = {}
        self._ip: dict[str, _ArmedIp] = {}
        with ExitStack() as stack:  # whatever was built is taken down if the rest cannot be
            for network in topology.networks:
                self._build_network(network, stack)
            for host in topology.hosts:
                self._build_host(host, stack)
            self._internet = Internet(topology, links_up, self._tuns, seed)
            stack.callback(self._internet.close)
            for link in links_up:
                self.interface_up(link)
            self._teardown = stack.pop_all()

    def __enter__(self) -> KernelWorld:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take everything down. Programs started in the hosts should have been stopped."""
        self._teardown.close()

    def host(self, name: str) -> Namespace:
        """The machine of this name, to start programs in."""
        return self._hosts[name]

    def interface_up(self, link: Link) -> Span:
        """The interface gets its link, then address and route; at `end` it is usable.

        Like a network manager we wait for the link, at both its ends, before the address. Else what
        is sent at once dies in a queue that is not there yet, or the answer to who the gateway is
        (ARP) does, and the kernel asks again only after a second.
        """
        self._internet.take_up(link)
        self._ip[link.host].take_link_up(link.interface)
        if link in self._routers:
            _wait_for(lambda: self._routers[link].is_ready, link)
        return self._ip[link.host].apply(*self._addressing(link))

    def _addressing(self, link: Link) -> Iterator[str]:
        """The orders that give an interface address and route, of each family it has."""
        to = f"dev {link.interface}"
        if link in self._has_ipv4:
            access = self._accesses[link]
            yield f"address add {access.address}/{24 if access.gateway else 32} {to}"
            yield self._default_route(link)
        if link in self._ipv6_accesses:
            access = self._ipv6_accesses[link]
            prefix, via = (64, f"via {access.gateway}") if access.gateway else (128, "")
            yield f"address add {access.address}/{prefix} {to} nodad"
            yield f"route add ::/0 {via} {to} metric {self._metrics[link]}"

    def interface_down(self, link: Link) -> Span:
        """The interface loses link, routes and address; from `start` on nothing passes it."""
        span = self._ip[link.host].apply(
            f"link set {link.interface} down",
            f"address flush dev {link.interface}",
        )
        self._internet.take_down(link)
        return span

    def address_replaced(self, link: Link) -> Span:
        """The interface loses its address, with it the route, and gets another and the route again.

        Raises:
            UsageError: it has no network of its own.
        """
        old = self._accesses[link]
        new = self._accesses[link] = next_address(old)
        return self._ip[link.host].apply(
            f"address delete {old.address}/24 dev {link.interface}",
            f"address add {new.address}/24 dev {link.interface}",
            self._default_route(link),
        )

    def interface_preferred(self, link: Link) -> Span:
        """The interface's default route becomes the cheapest: a new one, then the old one goes."""
        old = self._metrics[link]
        ours = [metric for each, metric in self._metrics.items() if each.host == link.host]
        self._metrics[link] = min(ours) - 100
        return self._ip[link.host].apply(
            self._default_route(link),
            f"route delete default dev {link.interface} metric {old}",
        )

    def _default_route(self, link: Link) -> str:
        gateway = self._accesses[link].gateway
        via = f"via {gateway}" if gateway else ""
        return f"route add default {via} dev {link.interface} metric {self._metrics[link]}"

    def link_dies(self, link: Link) -> Span:
        """The access network carries nothing any more; the interface stays up."""
        return _timed(lambda: self._internet.link_dies(link))

    def link_recovers(self, link: Link) -> Span:
        """The access network carries packets again."""
        return _timed(lambda: self._internet.link_recovers(link))

    def way_dies(self, source: Link, target: Link) -> Span:
        """Nothing passes from `source` to `target` any more."""
        return _timed(lambda: self._internet.way_dies(source, target))

    def way_recovers(self, source: Link, target: Link) -> Span:
        """Packets pass from `source` to `target` again."""
        return _timed(lambda: self._internet.way_recovers(source, target))

    def nat_forgets(self, link: Link) -> Span:
        """The NAT of the interface forgets every mapping and gives other ports from now on.

        Raises:
            UsageError: there is no NAT.
        """
        if link not in self._routers:
            raise UsageError(f"There is no NAT at {link}.")
        router = self._routers[link]
        router.give_other_ports()  # to new flows; those it knows keep theirs until they are gone
        return _timed(router.forget)

    def report(self) -> Report:
        """What the internet carried so far, and how late."""
        return self._internet.report()

    def _build_network(self, network: Network, stack: ExitStack) -> None:
        if network.nat.filtering == "endpoint-independent":
            raise UsageError(f"The lab cannot tell strangers whom they mean in {network.name}.")
        outside, inside = Link(network.name, WAN), Link(network.name, LAN)
        access = self._accesses[outside]
        router = self._routers[outside] = Router(outside, network.nat, access, None, firewall=False)
        stack.callback(router.close)
        self._tuns[outside] = router.open_wan()
        stack.callback(os.close, self._tuns[outside])
        self._tuns[inside] = router.open_lan()
        stack.callback(os.close, self._tuns[inside])
        router.forward()

    def _build_host(self, host: Host, stack: ExitStack) -> None:
        machine = self._hosts[host.name] = Namespace(host.name)
        stack.callback(machine.close)
        machine.set_sysctls(HOST_SYSCTLS)
        machine.run(["ip", "link", "set", "lo", "up"])
        for interface in host.interfaces:
            self._build_interface(Link(host.name, interface.name), interface, machine, stack)
        self._ip[host.name] = _ArmedIp(machine)
        stack.callback(self._ip[host.name].close)

    def _build_interface(
        self, link: Link, interface: Interface, machine: Namespace, stack: ExitStack
    ) -> None:
        ipv6 = self._ipv6_accesses.get(link)
        if interface.nat is None:
            if ipv6 is not None and interface.firewall:
                raise UsageError(f"The lab cannot build a firewall without a NAT, as at {link}.")
            self._tuns[link] = machine.open_tun(interface.name)
            stack.callback(os.close, self._tuns[link])
        else:
            access, firewall = self._accesses[link], interface.firewall
            router = Router(link, interface.nat, access, ipv6, firewall=firewall)
            stack.callback(router.close)
            self._tuns[link] = router.open_wan()
            stack.callback(os.close, self._tuns[link])
            router.connect(machine)
            self._routers[link] = router
        if ipv6 is not None:
            speak_ipv6(machine, interface.name)


class _ArmedIp:
    """The `ip` program, started and waiting for its orders, so that a change takes one millisecond.

    Starting it takes longer than what it does, and that time would count as part of the outage.
    """

    def __init__(self, machine: Namespace) -> None:
        self._machine = machine
        self._arm()

    def _arm(self) -> None:
        command = ["ip", "-oneline", "-batch", "-"]
        self._process = self._machine.start(command, (), PIPE, PIPE, PIPE)
        self._look_at("lo")  # it has begun to take orders

    def _look_at(self, interface: str) -> str:
        """The kernel's line about an interface."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(f"link show dev {interface}", file=self._process.stdin, flush=True)
        return self._process.stdout.readline()

    def take_link_up(self, interface: str) -> None:
        """Take a link up and wait until the kernel sends by it.

        Raises:
            CommandFailedError: it does not come up.
        """
        assert self._process.stdin is not None
        print(f"link set {interface} up", file=self._process.stdin, flush=True)
        _wait_for(  # neither DOWN nor LOWERLAYERDOWN
            lambda: "DOWN" not in self._look_at(interface), Link(self._machine.name, interface)
        )

    def apply(self, *orders: str) -> Span:
        """Carry out the orders, and arm again for the next.

        Raises:
            CommandFailedError: the kernel refused one.
        """
        start = time.monotonic()
        _, complaint = self._process.communicate("\n".join(orders) + "\n")
        end = time.monotonic()
        if self._process.returncode != 0:
            raise CommandFailedError(f"ip failed in {self._machine.name}: {complaint}")
        self._arm()
        return Span(start, end)

    def close(self) -> None:
        stop(self._process)


def _timed(change: Callable[[], None]) -> Span:
    start = time.monotonic()
    change()
    return Span(start, time.monotonic())


def _wait_for(is_up: Callable[[], bool], link: Link) -> None:
    """Wait for a link to come up.

    Raises:
        CommandFailedError: it does not.
    """
    give_up = time.monotonic() + LINK_LIMIT
    while not is_up():
        if time.monotonic() > give_up:
            raise CommandFailedError(f"the link of {link} stays down")
        time.sleep(LINK_GLANCE)
