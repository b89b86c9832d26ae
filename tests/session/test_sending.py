"""Which copies of a frame leave: over whole calls, with a source that pauses and a person who
changes the manner, in virtual time."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from p2pquic.core.events import Resilience, ResilienceChosen
from p2pquic.core.machine import Machine
from p2pquic.core.trace import (
    Entry,
    FrameReceived,
    FrameRepeated,
    FrameSent,
    Hedging,
    PathSelected,
    Suspected,
)
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.networks import MOVER, OTHER, Link
from p2pquic.lab.scenarios import FRAME_CADENCE, Change
from p2pquic.lab.simulator import Simulation, VirtualHost

WIFI_FALLS_SILENT = Change(0.0, "link_dies", "wlan0")
WAY_THERE_DIES = Change(0.0, "way_dies", "wlan0", MOVER, towards=Link(OTHER, "eth0"))
WAY_BACK_DIES = Change(0.0, "way_dies", "eth0", OTHER, towards=Link(MOVER, "wlan0"))
PAUSE = 2.0  # seconds in which nobody speaks
SHORT = 0.1  # seconds: five frames
ON_THE_WAY = 0.1  # seconds within which a frame arrives, if it does


class Call(Simulation):
    """A settled call on Wi-Fi with cellular up, whose sources fall silent when told."""

    def __init__(self, resilience: Resilience = "hedged", seed: int = 1) -> None:
        self.mute: set[str] = set()
        super().__init__(scenario_named("silent-death"), seed, resilience=resilience)
        self.settle()
        self.run_for(self.scenario.settle)
        self.begin = self.now

    def choose(self, resilience: Resilience) -> None:
        """Both persons want this manner from now on."""
        for host in (self.mover, self.other):
            self._feed(host, ResilienceChosen(resilience))

    def copies(self, host: VirtualHost, since: float) -> Counter[str]:
        """How many copies of which kind left."""
        return Counter(
            entry.record.copy
            for entry in host.trace
            if isinstance(entry.record, FrameSent) and entry.t >= since
        )

    def selected(self, host: VirtualHost) -> str:
        """The name of the path selected last."""
        return [e.record.path for e in host.trace if isinstance(e.record, PathSelected)][-1]

    def ways(self, host: VirtualHost, since: float) -> set[str]:
        """The names of the paths by which frames left."""
        return {
            entry.record.path
            for entry in host.trace
            if isinstance(entry.record, FrameSent) and entry.t >= since
        }

    def paths(self, host: VirtualHost, since: float) -> set[str]:
        """The interfaces by which frames left directly, and `relay`."""
        return {
            name.split("/")[1] if name.startswith("direct/") else "relay"
            for name in self.ways(host, since)
        }

    def undelivered(self, sender: VirtualHost, since: float) -> list[int]:
        """The frames that first left after `since` and never arrived, but for the last moment."""
        receiver = self.other if sender is self.mover else self.mover
        arrived = {
            entry.record.seq for entry in receiver.trace if isinstance(entry.record, FrameReceived)
        }
        return [
            entry.record.seq
            for entry in sender.trace
            if isinstance(entry.record, FrameSent)
            and entry.record.copy == "first"
            and since <= entry.t < self.now - ON_THE_WAY
            and entry.record.seq not in arrived
        ]

    def _tick(self, host: VirtualHost, machine: Machine) -> None:
        if host.name in self.mute:  # an encoder that sends nothing while nobody speaks (DTX)
            self.at(self.now + FRAME_CADENCE, lambda: self._tick(host, machine))
        else:
            super()._tick(host, machine)


def since(entries: list[Entry], moment: float) -> list[Entry]:
    return [entry for entry in entries if entry.t >= moment]


# ---- a source that pauses ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("resilience", ["lean", "hedged", "hot"])
@pytest.mark.parametrize("mute", [{"mover"}, {"other"}, {"mover", "other"}])
def test_while_nobody_speaks_nobody_is_suspicious(mute: set[str], resilience: Resilience) -> None:
    """A small packet leaves in each frame's place, and is answered.

    Answers come in another step when a pause begins or ends; right then one may seem late.
    """
    call = Call(resilience)
    call.mute = mute
    call.run_for(PAUSE)
    call.mute = set()
    spoke = call.now
    call.run_for(1.0)
    for host in (call.mover, call.other):
        doubts = [entry.t for entry in since(host.records(Suspected), call.begin)]
        assert [t for t in doubts if call.begin + SHORT < t < spoke or spoke + SHORT < t] == []
        assert len(doubts) <= 2
        assert since(host.records(PathSelected), call.begin) == []
        assert call.undelivered(host, call.begin) == []


@pytest.mark.slow
@pytest.mark.parametrize("mute", [{"mover"}, {"other"}, {"mover", "other"}])
def test_a_path_that_dies_while_nobody_speaks_is_noticed_before_anybody_does(
    mute: set[str],
) -> None:
    call = Call()
    call.mute = mute
    call.run_for(PAUSE)
    call.apply(WIFI_FALLS_SILENT)
    died = call.now
    call.run_for(0.6)
    for host in (call.mover, call.other):
        assert since(host.records(Suspected), died)[0].t - died < 0.15
        selected = since(host.records(PathSelected), died)
        assert selected
    call.mute = set()
    spoke = call.now
    call.run_for(1.0)
    for host in (call.mover, call.other):
        assert call.undelivered(host, spoke) == []
        assert call.copies(host, spoke)["duplicate"] == 0, "the new path lives: no doubt is left"


# ---- the manner ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_from_hedged_to_hot_every_frame_goes_by_a_second_interface_from_then_on() -> None:
    call = Call("hedged")
    call.run_for(1.0)
    assert call.copies(call.mover, call.begin)["duplicate"] == 0
    assert call.paths(call.mover, call.begin) == {"wlan0"}
    call.choose("hot")
    chosen = call.now
    call.run_for(2.0)
    for host in (call.mover, call.other):
        copies = call.copies(host, chosen)
        assert copies["first"] == pytest.approx(100, abs=1)
        assert copies["duplicate"] == pytest.approx(copies["first"], abs=1)
    assert call.paths(call.mover, chosen) == {"wlan0", "rmnet0"}
    assert len(call.other.records(FrameRepeated)) >= 90, "one of each two is dropped"


@pytest.mark.slow
@pytest.mark.parametrize("calmer", ["hedged", "lean"])
def test_from_hot_to_something_calmer_the_duplicates_end(calmer: Resilience) -> None:
    call = Call("hot")
    assert call.copies(call.mover, call.begin - 1.0)["duplicate"] > 40
    call.choose(calmer)
    chosen = call.now
    call.run_for(1.0)
    for host in (call.mover, call.other):
        assert call.copies(host, chosen + FRAME_CADENCE)["duplicate"] == 0
        (hedging,) = since(host.records(Hedging), chosen)
        assert isinstance(hedging.record, Hedging)
        assert not hedging.record.on
        assert call.undelivered(host, chosen) == []


@pytest.mark.slow
def test_hot_from_the_middle_of_a_call_on_nothing_is_missed_when_the_path_dies() -> None:
    call = Call("hedged")
    call.choose("hot")
    call.run_for(1.0)
    call.apply(WIFI_FALLS_SILENT)
    died = call.now
    call.run_for(2.0)
    for host in (call.mover, call.other):
        arrivals = [entry.t for entry in host.records(FrameReceived) if entry.t > died - SHORT]
        gaps = [after - before for before, after in itertools.pairwise(arrivals)]
        assert max(gaps) <= 0.035 + 0.005, "by cellular it is 15 ms farther"
        assert call.undelivered(host, call.begin) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_lean_survives_a_silent_death_without_a_copy_and_loses_nothing(seed: int) -> None:
    call = Call("hedged", seed)
    call.choose("lean")
    call.run_for(0.5)
    call.apply(WIFI_FALLS_SILENT)
    died = call.now
    call.run_for(3.0)
    for host in (call.mover, call.other):
        assert call.copies(host, call.begin)["duplicate"] == 0
        assert since(host.records(Hedging), call.begin) == []
        chosen = since(host.records(PathSelected), died)
        assert chosen
        assert chosen[0].t - died < 0.5, "within the window in which frames are sent again"
        assert call.undelivered(host, call.begin) == []
    assert call.paths(call.mover, call.now - 1.0) == {"rmnet0"}


@pytest.mark.slow
@pytest.mark.parametrize("way", [WAY_THERE_DIES, WAY_BACK_DIES], ids=["there", "back"])
def test_lean_goes_round_a_direction_that_is_dead_and_the_other_one_stays(way: Change) -> None:
    call = Call("lean")
    call.apply(way)
    died = call.now
    call.run_for(3.0)
    dead, living = (call.mover, call.other)[:: 1 if way is WAY_THERE_DIES else -1]
    for host in (dead, living):
        assert call.copies(host, call.begin)["duplicate"] == 0
        assert not since(host.records(PathSelected), died)
        assert call.undelivered(host, call.begin) == []
        selected = call.selected(host)
        stays = call.ways(host, call.now - 1.0) == {selected}
        assert stays is (host is living)


@pytest.mark.slow
@pytest.mark.parametrize("resilience", ["lean", "hedged"])
def test_where_nothing_happens_a_frame_leaves_once(resilience: Resilience) -> None:
    call = Call(resilience)
    call.run_for(2.0)
    for host in (call.mover, call.other):
        copies = call.copies(host, call.begin)
        assert set(copies) == {"first"}
        assert copies["first"] == pytest.approx(100, abs=1)
