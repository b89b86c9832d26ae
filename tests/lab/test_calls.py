"""Real calls over real kernels and NATs: each kind of move once, held against its limit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest

from p2pquic.core.trace import Connected, FrameRepeated, PathSelected, from_line
from p2pquic.lab.calls import Traces
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.changes import ChangeMade
from p2pquic.lab.kernel_lab import run
from p2pquic.lab.measure import Passage, connections, measure
from p2pquic.lab.namespaces import gain_rights
from p2pquic.lab.networks import MOVER, OTHER
from p2pquic.lab.scenarios import QuicRole, Scenario

pytestmark = [pytest.mark.lab, pytest.mark.slow]

STALL = 0.060  # seconds by which one run on a machine shared with others may miss the limit
LIMITS = {  # seconds above L, from mover to other and from other to mover; medians of many runs
    "break-before-make": (0.060, 0.115),
    "make-before-break": (0.055, 0.100),
    "relay-only": (0.050, 0.095),
}


@pytest.fixture(scope="module", autouse=True)
def rights() -> None:
    gain_rights()


def read_traces(directory: Path) -> Traces:
    return {
        name: [
            entry
            for line in (directory / f"{name}.trace.jsonl").read_text().splitlines()
            if (entry := from_line(line)) is not None
        ]
        for name in (MOVER, OTHER)
    }


def call(scenario: Scenario, directory: Path) -> tuple[Traces, list[Passage]]:
    run(scenario, seed=1, directory=directory)
    traces = read_traces(directory)
    lines = (directory / "changes.jsonl").read_bytes().splitlines()
    changes = [msgspec.json.decode(line, type=ChangeMade) for line in lines]
    return traces, measure(scenario, traces, changes)


@pytest.mark.parametrize(
    ("name", "quic_role"),
    [("break-before-make", "server"), ("make-before-break", "client"), ("relay-only", "client")],
)
def test_the_call_survives_the_move(name: str, quic_role: QuicRole, tmp_path: Path) -> None:
    scenario = dataclasses.replace(scenario_named(name), mover_quic_role=quic_role)
    traces, passages = call(scenario, tmp_path)
    assert [passage.direction for passage in passages] == ["mover to other", "other to mover"]
    for passage, limit in zip(passages, LIMITS[name], strict=True):
        assert passage.gap - passage.outage <= limit + STALL, passage
        assert passage.lost == 0, passage
    ids = connections(traces)
    assert len(ids[MOVER]) == 1
    assert ids[MOVER] == ids[OTHER], "one connection from first to last"
    roles = [
        entry.record.quic_role for entry in traces[MOVER] if isinstance(entry.record, Connected)
    ]
    assert roles == [quic_role]
    last = [entry.record for entry in traces[MOVER] if isinstance(entry.record, PathSelected)][-1]
    assert last.kind == scenario.settles_on
    assert "rmnet0" in last.path


def test_from_ipv4_to_ipv6_the_relay_bridges(tmp_path: Path) -> None:
    scenario = scenario_named("ipv4-to-ipv6")
    traces, passages = call(scenario, tmp_path)
    for passage, limit in zip(passages, LIMITS["relay-only"], strict=True):
        assert passage.gap - passage.outage <= limit + STALL, passage
        assert passage.lost == 0, passage
    last = [entry.record for entry in traces[MOVER] if isinstance(entry.record, PathSelected)][-1]
    assert (last.path, last.remote_address[0]) == ("relay/rmnet0", "[")


def test_without_a_change_nothing_comes_twice(tmp_path: Path) -> None:
    scenario = dataclasses.replace(scenario_named("start-together"), settle=1.0, aftermath=1.0)
    traces, passages = call(scenario, tmp_path)
    assert passages == []
    for trace in traces.values():
        assert not [entry for entry in trace if isinstance(entry.record, FrameRepeated)]
