"""Whole calls whose interfaces change as those of a laptop do; in virtual time."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from p2pquic.core.addresses import LocalSocket
from p2pquic.core.events import SocketsChanged
from p2pquic.core.trace import FrameReceived, PathSelected
from p2pquic.lab.catalogue import TAKEN, scenario_named
from p2pquic.lab.measure import conduct, measure
from p2pquic.lab.networks import SYMMETRIC, Host, Topology
from p2pquic.lab.scenarios import FRAME_CADENCE, Change
from p2pquic.lab.simulator import Simulation, VirtualHost

pytestmark = pytest.mark.slow

MARGIN = 0.005  # seconds
UNHEARD = FRAME_CADENCE + MARGIN


class Call(Simulation):
    """A settled call of a scenario's world, changed by hand."""

    def __init__(self, name: str, seed: int = 1, **changes: Any) -> None:
        super().__init__(dataclasses.replace(scenario_named(name), **changes), seed)
        self.settle()
        self.run_for(2.0)
        self.begin = self.now

    def change(self, *changes: Change) -> None:
        """Now; and gaps and selections count from here."""
        self.begin = self.now
        for each in changes:
            self.apply(each)

    @property
    def interface(self) -> str:
        """The mover's, of the path selected last."""
        last = self.mover.records(PathSelected)[-1].record
        assert isinstance(last, PathSelected)
        return f"{last.local.partition('%')[2]} {last.kind}"

    @property
    def selections(self) -> int:
        return sum(entry.t >= self.begin for entry in self.mover.records(PathSelected))

    def longest_gap(self, *hosts: VirtualHost) -> float:
        """Seconds between two arrivals, from the last before `begin` on."""
        gaps = []
        for host in hosts or (self.mover, self.other):
            times = [entry.t for entry in host.records(FrameReceived)]
            first = max(time for time in times if time <= self.begin)
            heard = [*(time for time in times if time >= first), self.now]
            gaps += [after - before for before, after in itertools.pairwise(heard)]
        return max(gaps)


def up(interface: str) -> Change:
    return Change(0.0, "interface_up", interface)


def down(interface: str) -> Change:
    return Change(0.0, "interface_down", interface)


def preferred(interface: str) -> Change:
    return Change(0.0, "interface_preferred", interface)


@pytest.mark.parametrize("name", ["ethernet-plugged-in", "vpn-up", "address-replaced"])
def test_nothing_is_lost_and_no_gap_is_far_above_the_floor(name: str) -> None:
    run = Simulation(scenario_named(name), seed=3)
    run.run()
    traces = {host.name: host.trace for host in run.peers}
    passages = measure(run.scenario, traces, run.changes)
    assert len(passages) == 2
    for passage in passages:
        assert passage.lost == 0
        assert passage.above_floor is not None
        assert passage.above_floor < 0.015
    assert conduct(run.scenario, traces, run.changes, run.settled).undelivered == 0


@pytest.mark.parametrize("quic_role", ["client", "server"])
@pytest.mark.parametrize(("name", "better"), [("ethernet-plugged-in", "eth0"), ("vpn-up", "tun0")])
def test_what_the_system_prefers_is_taken_unheard_where_it_is_as_fast(
    name: str, better: str, quic_role: str
) -> None:
    call = Call(name, mover_quic_role=quic_role)
    call.change(up(better))
    call.run_for(1.5)
    assert call.interface == "wlan0 direct", "it has yet to show that it stays"
    call.run_for(TAKEN - 1.5)
    assert call.interface == f"{better} direct"
    assert call.longest_gap() < UNHEARD
    call.change(down(better))
    call.run_for(2.0)
    assert call.interface == "wlan0 direct"
    assert call.longest_gap() < 0.070, "two trips, to where nobody has told the other end yet"


def test_a_slow_vpn_does_not_take_the_call_unless_it_is_asked_to() -> None:
    topology = scenario_named("vpn-up").topology
    tunnel, wifi = topology.mover.interfaces
    slow = dataclasses.replace(tunnel, delay=wifi.delay + 0.020)
    call = Call("vpn-up", topology=Topology(mover=Host("mover", (slow, wifi))))
    call.change(up("tun0"))
    call.run_for(8.0)
    assert call.interface == "wlan0 direct"
    assert call.selections == 0
    assert call.longest_gap() < UNHEARD


def test_metrics_lead_the_call_from_one_interface_to_the_other_and_back() -> None:
    call = Call("metric-change")
    assert call.interface == "wlan0 direct"
    for interface in ("wlan1", "wlan0"):
        call.change(preferred(interface))
        call.run_for(TAKEN)
        assert call.interface == f"{interface} direct"
        assert call.selections == 1
        assert call.longest_gap() < UNHEARD


@pytest.mark.parametrize("late", [0.015, 0.100], ids=["a little late", "very late"])
def test_metrics_are_followed_though_the_first_answer_was_late(late: float) -> None:
    """As where it came while the programs started."""
    call = Call("metric-change")
    for pair in call.mover.machine._calls:  # type: ignore[attr-defined]
        for path, state in pair._connection._paths.items():
            if path.kind == "direct" and path.local.interface == "wlan1":
                state.recovery._rtt_smoothed += late
    call.change(preferred("wlan1"))
    call.run_for(TAKEN)
    assert call.interface == "wlan1 direct"
    assert call.selections == 1


@pytest.mark.parametrize("seed", [1, 3])
def test_in_jitter_metrics_are_followed_once_and_for_all(seed: int) -> None:
    """10 ms of it each way: one answer alone is up to 10 ms early or late."""
    scenario = scenario_named("metric-change")
    first, second = (
        dataclasses.replace(each, jitter=0.010) for each in scenario.topology.mover.interfaces
    )
    call = Call("metric-change", seed=seed, topology=Topology(mover=Host("mover", (first, second))))
    for interface in ("wlan1", "wlan0"):
        call.change(preferred(interface))
        call.run_for(15.0)
        assert call.interface == f"{interface} direct"
        assert call.selections <= 1  # it may have been there from the start


def test_metrics_that_change_all_the_time_are_not_followed_each_time() -> None:
    call = Call("metric-change")
    call.change()
    for interface in ("wlan1", "wlan0") * 10:
        call.apply(preferred(interface))
        call.run_for(0.5)
    assert call.selections <= 2
    assert call.longest_gap() < UNHEARD


def test_an_interface_that_comes_and_goes_takes_the_call_nowhere() -> None:
    call = Call("ethernet-plugged-in")
    call.change()
    for _ in range(8):
        call.apply(up("eth0"))
        call.run_for(1.0)
        call.apply(down("eth0"))
        call.run_for(0.5)
    assert call.selections == 0
    assert call.longest_gap() < UNHEARD


def test_a_relayed_call_takes_the_cable_too() -> None:
    cable, wifi = scenario_named("ethernet-plugged-in").topology.mover.interfaces
    interfaces = tuple(dataclasses.replace(each, nat=SYMMETRIC) for each in (cable, wifi))
    other = scenario_named("relay-only").topology.other
    relayed = Call("relay-only", topology=Topology(mover=Host("mover", interfaces), other=other))
    relayed.change(up("eth0"))
    relayed.run_for(TAKEN)
    assert relayed.interface == "eth0 relay"
    assert relayed.longest_gap() < UNHEARD


def test_a_renamed_interface_is_a_move_to_the_port_it_had() -> None:
    """Its NAT notices nothing, so neither does the other end."""
    call = Call("break-before-make")
    call.change()
    (old,) = call.mover.sockets.values()
    carry = call.internet.send

    def send(host: str, local: LocalSocket, *rest: Any) -> None:
        carry(
            host, local._replace(interface="wlan0" if host == "mover" else local.interface), *rest
        )

    call.internet.send = send  # type: ignore[method-assign, assignment]
    renamed = old._replace(interface="wlp3s0")
    call.mover.sockets = {next(iter(call.mover.sockets)): renamed}
    deliver = call.internet.deliver

    def receive(now: float) -> list[Any]:
        return [
            dataclasses.replace(each, local=renamed) if each.local == old else each
            for each in deliver(now)
        ]

    call.internet.deliver = receive  # type: ignore[method-assign]
    call._feed(call.mover, SocketsChanged((renamed,)))
    call.run_for(3.0)
    assert call.interface == "wlp3s0 direct"
    assert call.longest_gap(call.other) < 0.035, "ten milliseconds more by the relay"
    assert call.longest_gap(call.mover) < 0.035
