"""A run with real processes: what it leaves behind, what it measures, how it fails."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from pathlib import Path

import msgspec
import pytest

from p2pquic.core.errors import UsageError
from p2pquic.core.trace import FrameReceived, from_line
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.changes import ChangeMade
from p2pquic.lab.kernel_lab import Run, RunFailedError, run
from p2pquic.lab.namespaces import gain_rights
from p2pquic.lab.networks import DATA_CENTRE, HOME, Host, Link
from p2pquic.lab.outcome import read
from p2pquic.lab.scenarios import FRAME_CADENCE, Change, Move, break_before_make

pytestmark = [pytest.mark.lab, pytest.mark.slow]

STAND_IN = [sys.executable, str(Path(__file__).with_name("stand_in.py"))]
OUTAGE = 0.1  # seconds
MARGIN = 0.050  # seconds a machine shared with others may add to a gap or a change
SCENARIO = dataclasses.replace(
    scenario_named("relay-only"),
    moves=(break_before_make(gone="wlan0", come="rmnet0", outage=OUTAGE),),
    stagger=0.0,
    settle=0.2,
    aftermath=0.3,
)


@pytest.fixture(scope="module", autouse=True)
def rights() -> None:
    gain_rights()


def longest_gap(trace: Path) -> float:
    """The longest time between two frames that came, in seconds."""
    entries = map(from_line, trace.read_text().splitlines())
    times = [e.t for e in entries if e is not None and isinstance(e.record, FrameReceived)]
    return max(later - earlier for earlier, later in itertools.pairwise(times))


def test_a_run_leaves_its_plan_its_traces_its_changes_and_its_outcome(tmp_path: Path) -> None:
    outcome = run(SCENARIO, 7, tmp_path, STAND_IN)
    assert {each.name for each in tmp_path.iterdir()} == {
        "scenario.json",
        *(f"{host}.trace.jsonl" for host in ("mover", "other", "server")),
        *(f"{host}.log" for host in ("mover", "other", "server")),
        "changes.jsonl",
        "run.json",
    }
    assert msgspec.json.decode((tmp_path / "run.json").read_bytes(), type=Run) == outcome
    assert set(outcome.processor) == {"mover", "other", "server"}
    assert all(0 < each.running < 1 and each.waiting >= 0 for each in outcome.processor.values())
    plan = msgspec.json.decode((tmp_path / "scenario.json").read_bytes())
    assert plan["seed"] == 7
    assert plan["scenario"]["name"] == "relay-only"
    lines = (tmp_path / "changes.jsonl").read_bytes().splitlines()
    down, up = (msgspec.json.decode(line, type=ChangeMade) for line in lines)
    assert (down.kind, up.kind) == ("interface_down", "interface_up")
    assert outcome.settled < down.start < down.end < up.start < up.end < outcome.end
    assert up.outage_ms == pytest.approx(1000 * (up.end - down.start), abs=0.01)
    assert up.outage_ms == pytest.approx(1000 * OUTAGE, abs=1000 * MARGIN)


def test_a_call_without_a_protocol_is_interrupted_by_what_physics_asks(tmp_path: Path) -> None:
    """To the other side: L + the longer way - the shorter + where in a frame the cut falls."""
    run(SCENARIO, 7, tmp_path, STAND_IN)
    changes = (tmp_path / "changes.jsonl").read_bytes().splitlines()
    outage = msgspec.json.decode(changes[-1], type=ChangeMade).outage_ms / 1000
    gap = longest_gap(tmp_path / "other.trace.jsonl") - outage - (0.045 - 0.030)
    # Up to a cadence for the cut, and up to another one: it waits for its next tick to send.
    assert -MARGIN < gap < 2 * FRAME_CADENCE + MARGIN


def test_what_no_kernel_announces_is_carried_out_and_written_down(tmp_path: Path) -> None:
    """The relayed call of the stand-in falls silent for as long as its link does."""
    way = Change(0.3, "way_dies", "wlan0", towards=Link("other", "eth0"))
    changes = (
        Change(0.0, "link_dies", "wlan0"),
        Change(0.1, "link_recovers", "wlan0"),
        Change(0.2, "nat_forgets", "wlan0"),
        way,
        dataclasses.replace(way, at=0.4, kind="way_recovers"),
    )
    outcome = run(dataclasses.replace(SCENARIO, moves=(Move(0.0, changes),)), 7, tmp_path, STAND_IN)
    lines = (tmp_path / "changes.jsonl").read_bytes().splitlines()
    made = [msgspec.json.decode(line, type=ChangeMade) for line in lines]
    assert [each.kind for each in made] == [each.kind for each in changes]
    assert [each.towards for each in made] == [each.towards for each in changes]
    assert all(each.end - each.start < MARGIN for each in made)
    assert 0.1 <= longest_gap(tmp_path / "other.trace.jsonl") < 0.1 + FRAME_CADENCE + MARGIN
    wlan = [each for each in outcome.internet.packets if each.source == "mover/wlan0"]
    assert any(each.fate == "swallowed" for each in wlan)


def test_in_a_room_each_guest_has_a_program_a_trace_and_figures_of_its_own(tmp_path: Path) -> None:
    room = dataclasses.replace(
        SCENARIO,
        topology=dataclasses.replace(SCENARIO.topology, guests=(Host("guest1", (HOME,)),)),
    )
    ran = run(room, 7, tmp_path, STAND_IN)
    assert set(ran.processor) == {"mover", "other", "guest1", "server"}
    outcome = read(tmp_path, room)
    assert list(outcome.traces) == ["mover", "other", "guest1"]
    assert any(isinstance(entry.record, FrameReceived) for entry in outcome.traces["guest1"])


def test_of_two_servers_one_is_killed_and_the_run_goes_on_to_its_end(tmp_path: Path) -> None:
    """The stand-in speaks by the server that was named last, and is not interrupted."""
    killed = Change(0.1, "server_dies", "eth0", "server")
    two = dataclasses.replace(
        SCENARIO,
        topology=dataclasses.replace(
            SCENARIO.topology, more_servers=(Host("far", (DATA_CENTRE,)),)
        ),
        moves=(Move(0.0, (killed,)),),
    )
    ran = run(two, 7, tmp_path, STAND_IN)
    assert set(ran.processor) == {"mover", "other", "far"}
    made = msgspec.json.decode((tmp_path / "changes.jsonl").read_bytes(), type=ChangeMade)
    assert (made.kind, made.host) == ("server_dies", "server")
    assert made.end - made.start < MARGIN
    assert longest_gap(tmp_path / "other.trace.jsonl") < FRAME_CADENCE + MARGIN


def test_a_program_that_ends_badly_fails_the_run_and_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="ended with exit code 3"):
        run(SCENARIO, 7, tmp_path, [*STAND_IN, "--exit-code", "3"])


def test_a_command_that_does_not_start_fails_the_run_and_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match=r"server ended early .*No module named p2pq2p"):
        run(SCENARIO, 7, tmp_path, [sys.executable, "-m", "p2pq2p"])


def test_a_directory_with_a_run_in_it_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="a directory of its own"):
        run(SCENARIO, 7, tmp_path, STAND_IN)
