"""The verdict finds what is wrong: traces of a good run, made bad by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from p2pquic.core.trace import Closed, Entry, FrameReceived, FrameSent, PathSelected
from p2pquic.lab.evidence import Evidence
from p2pquic.lab.networks import MOVER, OTHER
from p2pquic.lab.scenarios import Scenario
from p2pquic.lab.trial import gather, held_by
from p2pquic.lab.verdict import MOST_HELD, judge
from p2pquic.lab.worlds import World


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """A call in which nothing happens."""
    return gather(World(Scenario("calm", "", settle=1.5, aftermath=2.0), 1, "hedged"))


def without(entries: list[Entry], is_gone: Callable[[Entry], bool]) -> list[Entry]:
    return [entry for entry in entries if not is_gone(entry)]


def checks(evidence: Evidence, **changed: list[Entry]) -> set[str]:
    """The checks that fail once one end's trace is another, by its name."""
    traces = {**evidence.traces, **changed}
    return {fault.check for fault in judge(dataclasses.replace(evidence, traces=traces)).faults}


def in_the_call(evidence: Evidence, record: FrameSent | PathSelected | Closed) -> Entry:
    return Entry((evidence.begin + evidence.end) / 2, record)


@pytest.mark.slow
def test_a_good_run_has_no_fault(evidence: Evidence) -> None:
    assert checks(evidence) == set()


@pytest.mark.slow
def test_frames_that_never_came_are_a_gap_and_lost(evidence: Evidence) -> None:
    heard = [
        entry.t
        for entry in evidence.traces[OTHER]
        if isinstance(entry.record, FrameReceived) and evidence.begin < entry.t
    ]
    first, last = heard[20], heard[30]
    other = without(
        list(evidence.traces[OTHER]),
        lambda entry: isinstance(entry.record, FrameReceived) and first <= entry.t <= last,
    )
    assert checks(evidence, other=other) == {"gap", "lost"}


@pytest.mark.slow
def test_a_call_that_falls_silent_or_ends_is_not_alive(evidence: Evidence) -> None:
    other = without(
        list(evidence.traces[OTHER]),
        lambda entry: isinstance(entry.record, FrameReceived) and entry.t > evidence.end - 1.5,
    )
    assert "alive" in checks(evidence, other=other)
    ended = [*evidence.traces[MOVER], in_the_call(evidence, Closed("too early"))]
    assert checks(evidence, mover=ended) == {"alive"}


@pytest.mark.slow
def test_copies_without_need_and_decisions_without_end_are_faults(evidence: Evidence) -> None:
    copy = FrameSent(100, "relay/wlan0", "", "duplicate")
    wasteful = [*evidence.traces[MOVER], *[in_the_call(evidence, copy)] * 20]
    assert checks(evidence, mover=wasteful) == {"duplicates"}
    choice = PathSelected("relay/wlan0", "relay", "", "", "", "")
    restless = [*evidence.traces[MOVER], *[in_the_call(evidence, choice)] * 9]
    assert checks(evidence, mover=restless) == {"decisions"}


@pytest.mark.slow
def test_a_session_that_holds_more_and_more_is_a_fault(evidence: Evidence) -> None:
    grown = dataclasses.replace(evidence, held={OTHER: [MOST_HELD, MOST_HELD + 1]})
    assert {fault.check for fault in judge(grown).faults} == {"queues"}


def test_everything_a_session_holds_is_counted() -> None:
    scenario = Scenario("calm", "")
    assert held_by(scenario) > held_by(dataclasses.replace(scenario, mover_up=())) > 0
    assert held_by(b"bytes") == held_by(bytearray(9)) == 0
