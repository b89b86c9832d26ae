"""A laptop whose lid was closed in a call and is opened again; in virtual time.

Its sessions' clock counts the sleep, as net/clock.py has it; no packet of that time arrives.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from p2pquic.core.actions import Action
from p2pquic.core.events import DatagramReceived, DeadlinePassed, Event, Resilience
from p2pquic.core.machine import Machine
from p2pquic.core.trace import (
    Closed,
    Entry,
    FrameReceived,
    FrameSent,
    PathSelected,
    Record,
    Registered,
    Suspected,
    WokeUp,
)
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.scenarios import FRAME_CADENCE, Change
from p2pquic.lab.simulator import Simulation, VirtualHost

pytestmark = pytest.mark.slow


class Process:
    """Runs a session; while it is stopped, events wait."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.waiting: list[Event] | None = None

    @property
    def deadline(self) -> float | None:
        return self._machine.deadline if self.waiting is None else None

    def handle(self, event: Event, now: float) -> list[Action]:
        if self.waiting is None:
            return self._machine.handle(event, now)
        if isinstance(event, DatagramReceived):
            self.waiting.append(event)
        return []


class Call(Simulation):
    """A settled call whose mover sleeps now and then."""

    def __init__(self, name: str, **changes: Any) -> None:
        resilience: Resilience = changes.pop("resilience", "hedged")
        scenario = dataclasses.replace(scenario_named(name), **changes)
        super().__init__(scenario, seed=1, resilience=resilience)
        self.mover.machine = self.process = Process(self.mover.machine)
        self.settle()
        self.run_for(2.0)
        self.woke = self.now

    def sleep(self, seconds: float, *changes: Change) -> None:
        """The mover sleeps; its network may change meanwhile, of which it hears when it wakes."""
        self.fall_asleep(self.mover)
        self.run_for(seconds)
        for change in changes:
            self.apply(change)
        self.woke = self.now
        self.wake_up(self.mover, seconds)
        if changes:
            self._refresh_sockets(self.mover)

    def told(self, host: VirtualHost, kind: type[Record]) -> list[Entry]:
        """What the host traced of this kind since the mover woke."""
        return [entry for entry in host.records(kind) if entry.t >= self.woke]

    def heard_after(self, host: VirtualHost) -> float:
        """Seconds from waking to the first frame heard; after it nothing is missing."""
        times = [entry.t for entry in self.told(host, FrameReceived)]
        assert times[-1] > self.now - 2 * FRAME_CADENCE
        assert max(after - before for before, after in itertools.pairwise(times)) < 0.060
        return times[0] - self.woke


# One way: 20 ms direct, 30 ms relayed; a source has a frame up to 20 ms after waking.
ONE_WAY = 0.030 + FRAME_CADENCE + 0.005


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("break-before-make", 10.0), ("break-before-make", 50.0), ("relay-only", 50.0)],
)
def test_the_call_goes_on_with_the_first_packet(name: str, seconds: float) -> None:
    """After 50 s no NAT of the mover's remembers anything."""
    call = Call(name)
    call.sleep(seconds)
    call.run_for(6.0)
    assert call.heard_after(call.other) < ONE_WAY
    assert call.heard_after(call.mover) < 2 * ONE_WAY
    assert not call.told(call.other, Closed)
    ((woke,), (suspected,)) = call.told(call.mover, WokeUp), call.told(call.mover, Suspected)[:1]
    assert woke.record == WokeUp(seconds)
    assert suspected.t == call.woke
    assert len(call.told(call.mover, Registered)) == 0, "the server waits for 90 s"


@pytest.mark.parametrize("role", ["sender", "receiver"])
@pytest.mark.parametrize("resilience", ["lean", "hedged"])
def test_who_only_sends_or_only_listens_is_back_as_soon(role: str, resilience: Resilience) -> None:
    call = Call("break-before-make", mover_role=role, resilience=resilience)
    call.sleep(31.0)
    call.run_for(3.0)
    listener = call.other if role == "sender" else call.mover
    assert call.heard_after(listener) < (0.150 if resilience == "lean" else 2 * ONE_WAY)


def test_nothing_said_before_the_sleep_is_sent_after_it() -> None:
    """The clock of the session counts, so what was on its way is as old as it is."""
    call = Call("break-before-make")
    said = {entry.record.seq for entry in call.told(call.mover, FrameSent)}  # type: ignore[attr-defined]
    call.sleep(10.0)
    call.run_for(2.0)
    sent = [entry.record for entry in call.told(call.mover, FrameSent)]
    assert not said & {each.seq for each in sent if isinstance(each, FrameSent)}


def test_the_other_end_gave_up_meanwhile_and_is_called_anew() -> None:
    call = Call("break-before-make")
    call.sleep(600.0)
    call.run_for(8.0)
    for host in (call.mover, call.other):
        assert call.heard_after(host) < 0.5
        chosen = call.told(host, PathSelected)[-1].record
        assert isinstance(chosen, PathSelected)
        assert chosen.kind == "direct"


def test_a_lid_closed_at_home_and_opened_elsewhere_is_a_move() -> None:
    call = Call("break-before-make")
    call.sleep(30.0, Change(0.0, "interface_down", "wlan0"), Change(0.0, "interface_up", "rmnet0"))
    call.run_for(4.0)
    assert call.heard_after(call.other) < 0.045 + FRAME_CADENCE + 0.005
    assert call.heard_after(call.mover) < 0.110


def test_both_slept_and_the_one_who_wakes_first_waits_for_the_other() -> None:
    call = Call("break-before-make")
    call.fall_asleep(call.other)
    call.sleep(20.0)
    call.run_for(5.0)
    call.woke = call.now
    call.wake_up(call.other, 25.0)
    call.run_for(4.0)
    assert call.heard_after(call.other) < ONE_WAY
    assert call.heard_after(call.mover) < 2 * ONE_WAY


def test_a_process_that_was_stopped_for_a_while_and_finds_all_that_came_is_back_at_once() -> None:
    """SIGSTOP and SIGCONT: no clock stands still, and what arrived waits in the kernel."""
    call = Call("break-before-make")
    waiting: list[Event] = []
    call.process.waiting = waiting
    call.run_for(3.0)
    call.process.waiting, call.woke = None, call.now
    for event in [DeadlinePassed(), *waiting]:
        call._feed(call.mover, event)
    call.run_for(3.0)
    assert call.heard_after(call.other) < ONE_WAY
    call.woke = call.now
    call.apply(Change(0.0, "link_dies", "wlan0"))
    call.run_for(1.0)
    assert call.told(call.mover, Suspected)[0].t - call.woke < 0.150, "it trusts its clock again"
