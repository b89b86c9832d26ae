"""What a move did to the audio, from the traces of both sides: one `Passage` per direction.

The traces are the only witness, ours or a rival's. All times are seconds of one clock.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from p2pquic.core.trace import (
    Connected,
    Entry,
    FrameReceived,
    FrameRepeated,
    FrameSent,
    FrameUnsent,
    PathSelected,
)
from p2pquic.lab.changes import ChangeMade, MoveMade, moves_made
from p2pquic.lab.floor import DIRECTIONS, Delays, Direction, floor
from p2pquic.lab.scenarios import MOVER, OTHER, Scenario

LOOK_BACK = 0.5  # seconds before a move that belong to it
LOOK_AHEAD = 2.0  # seconds after the path is back that belong to it
RESEND_WINDOW = 0.4  # seconds before a path returned in which no frame may be lost
SOON = 0.1  # seconds within which a frame that left before the cut arrives
AMBIGUOUS = 0.010  # seconds around a cut in which a frame may fall on either side of it
LAST_WORDS = 0.5  # seconds before the end of a call whose frames may still have been on the way

Traces = Mapping[str, Sequence[Entry]]


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of one direction: when each was due, and when it first arrived by which path."""

    due: dict[int, float]
    arrived: dict[int, tuple[float, str]]
    resent: list[float]
    repeated: list[float]


@dataclass(frozen=True, slots=True)
class Passage:
    """One direction of one move. Seconds; counts are frames.

    `lost` were never delivered though due while the sender had a working path, or at most 400 ms
    before one returned; `late` are older frames of an outage, dropped on purpose. `direct_again`
    counts from the moment an address is usable until the mover's next frame takes a direct path;
    None if none did. `timeline`: the paths of first arrivals and when each began, from the cut on.
    """

    direction: Direction
    move: MoveMade
    gap: float
    floor: float | None
    lost: int
    late: int
    resent: int
    duplicated: int
    first_out: float | None
    direct_again: float | None
    timeline: tuple[tuple[float, str], ...]

    @property
    def outage(self) -> float:
        """L."""
        return self.move.outage

    @property
    def above_floor(self) -> float | None:
        """What is ours to improve."""
        return None if self.floor is None else self.gap - self.floor


def measure(scenario: Scenario, traces: Traces, changes: Sequence[ChangeMade]) -> list[Passage]:
    """Every move of a run, in both directions as far as audio flowed."""
    passages = []
    for move in moves_made(changes):
        delays = Delays.of(scenario.topology, move, relayed=scenario.settles_on == "relay")
        for direction in DIRECTIONS:
            frames = frames_of(direction, traces)
            if frames.arrived:
                passages.append(_passage(direction, frames, move, delays, traces[MOVER]))
    return passages


def frames_of(direction: Direction, traces: Traces) -> Frames:
    """Sort one direction's records out of both traces."""
    sender, receiver = (MOVER, OTHER) if direction == "mover to other" else (OTHER, MOVER)
    frames = Frames({}, {}, [], [])
    for entry in traces[sender]:
        match entry.record:
            case FrameSent(seq, copy=copy):
                frames.due.setdefault(seq, entry.t)
                if copy == "resend":
                    frames.resent.append(entry.t)
            case FrameUnsent(seq):
                frames.due.setdefault(seq, entry.t)
    for entry in traces[receiver]:
        match entry.record:
            case FrameReceived(seq, path):
                frames.arrived.setdefault(seq, (entry.t, path))
            case FrameRepeated():
                frames.repeated.append(entry.t)
    return frames


def undelivered(frames: Frames, moves: Sequence[MoveMade], flight: float) -> list[int]:
    """The frames of a whole call that are lost: never delivered, and no move excuses it.

    `flight` is the one-way delay to a receiver that moved, 0 if the sender did.
    """
    end = max(frames.due.values(), default=0.0) - LAST_WORDS
    return [
        seq
        for seq, due in frames.due.items()
        if seq not in frames.arrived
        and due <= end
        and not any(_is_excused(due, move, flight) for move in moves)
    ]


def connections(traces: Traces) -> dict[str, list[str]]:
    """The connection ids each side reported: one per call, however often it moved."""
    return {
        name: [entry.record.connection_id for entry in trace if isinstance(entry.record, Connected)]
        for name, trace in traces.items()
    }


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over several runs."""

    median: float
    maximum: float
    p95: float | None  # from 40 runs on

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        ordered = sorted(values)
        p95 = ordered[math.ceil(0.95 * len(ordered)) - 1] if len(ordered) >= 40 else None
        return cls(statistics.median(ordered), ordered[-1], p95)


def _passage(
    direction: Direction,
    frames: Frames,
    move: MoveMade,
    delays: Delays,
    mover_trace: Sequence[Entry],
) -> Passage:
    begin, end = min(move.down, move.moment) - LOOK_BACK, move.moment + LOOK_AHEAD
    flight = 0.0 if direction == "mover to other" else delays.before
    missing = [
        due for seq, due in frames.due.items() if begin <= due <= end and seq not in frames.arrived
    ]
    excused = sum(_is_excused(due, move, flight) for due in missing)
    arrivals = sorted(frames.arrived.values())
    return Passage(
        direction=direction,
        move=move,
        gap=_longest_gap([time for time, _ in arrivals], begin, end, move.moment),
        floor=floor(direction, sorted(frames.due.values()), _as_it_was(move, frames), delays),
        lost=len(missing) - excused,
        late=excused,
        resent=sum(begin <= time <= end for time in frames.resent),
        duplicated=sum(begin <= time <= end for time in frames.repeated),
        first_out=_first_out(mover_trace, move),
        direct_again=_direct_again(move, mover_trace),
        timeline=_timeline(arrivals, move, begin, end),
    )


def _as_it_was(move: MoveMade, frames: Frames) -> MoveMade:
    """The move with the moment of the cut as the last frame that still got through shows it."""
    through = [
        time
        for seq, (arrived, _) in frames.arrived.items()
        for time in (frames.due.get(seq, arrived), arrived)
        if move.down < time <= move.down_end and arrived < max(move.usable, move.down_end + SOON)
    ]
    return dataclasses.replace(move, down=max(through, default=move.down))


def _is_excused(due: float, move: MoveMade, flight: float) -> bool:
    """Whether no sender could have got this frame through, or should have wanted to.

    With an overlap there is always a path: nothing is excused.
    """
    cut = move.down - flight - (AMBIGUOUS if flight else 0.0)
    return not move.has_overlap and cut < due < move.moment - RESEND_WINDOW


def _longest_gap(times: Sequence[float], begin: float, end: float, moment: float) -> float:
    """Infinite if nothing arrived any more once there was a path again."""
    if not any(moment < time <= end for time in times):
        return math.inf
    return max(
        (
            after - before
            for before, after in itertools.pairwise(times)
            if before < end and after > begin
        ),
        default=math.inf,
    )


def _first_out(trace: Sequence[Entry], move: MoveMade) -> float | None:
    """Seconds from the moment a path is there until the mover sends audio."""
    times = [entry.t for entry in trace if isinstance(entry.record, FrameSent)]
    return next((time - move.moment for time in times if time >= move.moment), None)


def _direct_again(move: MoveMade, mover_trace: Sequence[Entry]) -> float | None:
    selected = (
        entry.t - move.moment
        for entry in mover_trace
        if isinstance(entry.record, PathSelected)
        and entry.record.kind == "direct"
        and entry.t >= move.moment
    )
    return None if move.has_overlap else next(selected, None)


def _timeline(
    arrivals: Sequence[tuple[float, str]], move: MoveMade, begin: float, end: float
) -> tuple[tuple[float, str], ...]:
    steps: list[tuple[float, str]] = []
    for time, path in arrivals:
        if begin <= time <= end and (not steps or steps[-1][1] != path):
            steps.append((time - move.down, path))
    return tuple(steps)
