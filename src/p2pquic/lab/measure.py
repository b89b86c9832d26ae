"""What an episode did to the audio, from the traces of both sides: one `Passage` per direction.

And how the call behaved as a whole: its `Conduct`. The traces are the only witness, ours or a
rival's. All times are seconds of one clock.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from p2pquic.core.events import Resilience
from p2pquic.core.trace import (
    Connected,
    Entry,
    FrameReceived,
    FrameRepeated,
    FrameSent,
    FrameUnsent,
    PathSelected,
)
from p2pquic.lab.calls import Call, Traces, calls, course
from p2pquic.lab.changes import ChangeMade, Episode, MoveMade, episodes
from p2pquic.lab.floor import DIRECTIONS, ENDS, Direction, Stand, floor
from p2pquic.lab.networks import MOVER, OTHER
from p2pquic.lab.scenarios import Scenario

LOOK_BACK = 0.5  # seconds before an episode that belong to it
LOOK_AHEAD = 2.0  # seconds after the path is back that belong to it
RESEND_WINDOW = 0.4  # seconds before a path returned in which no frame may be lost
SOON = 0.1  # seconds within which a frame that left before the cut arrives
AMBIGUOUS = 0.010  # seconds around a cut in which a frame may fall on either side of it
LAST_WORDS = 0.5  # seconds before the end of a call whose frames may still have been on the way


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of one direction: when each was due, and when it first arrived by which path."""

    due: dict[int, float]
    arrived: dict[int, tuple[float, str]]
    resent: list[float]
    repeated: list[float]


@dataclass(frozen=True, slots=True)
class Passage:
    """One direction of one episode. Seconds; counts are frames.

    `lost` were never delivered though due while the sender had a working path, or at most 400 ms
    before one returned; `late` are older frames of an outage, dropped on purpose. `direct_again`
    counts from the moment a path is possible until the mover's next frame takes a direct path;
    None if none did. `timeline`: the paths of first arrivals and when each began, from the cut on.
    `other` is the host at the other end, one of several in a room.
    """

    direction: Direction
    episode: Episode
    gap: float
    floor: float | None
    lost: int
    late: int
    resent: int
    duplicated: int
    first_out: float | None
    direct_again: float | None
    timeline: tuple[tuple[float, str], ...]
    other: str = OTHER

    @property
    def course(self) -> str:
        """From whom to whom."""
        return course(self.direction, self.other)

    @property
    def outage(self) -> float:
        """L."""
        return self.episode.outage

    @property
    def above_floor(self) -> float | None:
        """What is ours to improve."""
        return None if self.floor is None else self.gap - self.floor


@dataclass(frozen=True, slots=True)
class Conduct:
    """A whole call, both directions, from when it had settled; or all the mover's calls in a room.

    `switches` are selections of a path at either end; `duplicates` is the share of copies sent
    that were duplicates; `undelivered` the share of frames due that never arrived, though no
    outage excuses it.
    """

    switches: int
    duplicates: float
    undelivered: float


def measure(
    scenario: Scenario,
    traces: Traces,
    changes: Sequence[ChangeMade],
    resilience: Resilience = "hedged",
) -> list[Passage]:
    """Every episode of a run, in both directions as far as audio flowed, with each other side."""
    told = episodes(scenario, changes)
    runs = [
        _Run(
            call,
            resilience,
            {direction: frames_of(direction, call.traces) for direction in DIRECTIONS},
        )
        for call in calls(scenario, traces)
    ]
    return [
        _passage(run, direction, episode, window)
        for episode, window in zip(told, _windows(told), strict=True)
        for run in runs
        for direction in DIRECTIONS
        if run.frames[direction].arrived
    ]


def conduct(
    scenario: Scenario, traces: Traces, changes: Sequence[ChangeMade], settled: float
) -> Conduct:
    """How a run went from `settled` on."""
    records = [entry.record for trace in traces.values() for entry in trace if entry.t >= settled]
    copies = [record.copy for record in records if isinstance(record, FrameSent)]
    told = episodes(scenario, changes)
    due = missing = 0
    for call, direction in itertools.product(calls(scenario, traces), DIRECTIONS):
        frames = frames_of(direction, call.traces)
        flight = max((_flight(direction, call.scenario, episode) for episode in told), default=0.0)
        due += sum(time >= settled for time in frames.due.values())
        missing += sum(frames.due[seq] >= settled for seq in undelivered(frames, told, flight))
    return Conduct(
        switches=sum(isinstance(record, PathSelected) for record in records),
        duplicates=copies.count("duplicate") / max(1, len(copies)),
        undelivered=missing / max(1, due),
    )


def frames_by_course(scenario: Scenario, traces: Traces) -> dict[str, Frames]:
    """The frames of every direction of every call."""
    return {
        course(direction, call.other): frames_of(direction, call.traces)
        for call in calls(scenario, traces)
        for direction in DIRECTIONS
    }


def frames_of(direction: Direction, traces: Traces) -> Frames:
    """Sort one direction's records out of both traces."""
    sender, receiver = ENDS[direction]
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


def undelivered(frames: Frames, told: Sequence[Episode], flight: float) -> list[int]:
    """The frames of a whole call that are lost: never delivered, and no episode excuses it.

    `flight` is the one-way delay to a receiver that moved, 0 if the sender did.
    """
    end = max(frames.due.values(), default=0.0) - LAST_WORDS
    return [
        seq
        for seq, due in frames.due.items()
        if seq not in frames.arrived
        and due <= end
        and not any(_is_excused(due, episode, flight) for episode in told)
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


def _windows(told: Sequence[Episode]) -> list[tuple[float, float]]:
    """From when to when each episode lasts, with what surrounds it as far as that is its own."""
    begins = [min(each.down, each.moment) - LOOK_BACK for each in told]
    ends = [each.moment + LOOK_AHEAD for each in told]
    for number in range(1, len(told)):
        ends[number - 1] = min(ends[number - 1], told[number].down)
        begins[number] = max(begins[number], ends[number - 1])
    return list(zip(begins, ends, strict=True))


@dataclass(frozen=True, slots=True)
class _Run:
    call: Call
    resilience: Resilience
    frames: Mapping[Direction, Frames]

    @property
    def scenario(self) -> Scenario:
        return self.call.scenario

    @property
    def mover_trace(self) -> Sequence[Entry]:
        return self.call.traces[MOVER]


def _passage(
    run: _Run, direction: Direction, episode: Episode, window: tuple[float, float]
) -> Passage:
    ours, (begin, end) = run.frames[direction], window
    flight = _flight(direction, run.scenario, episode)
    missing = [
        due for seq, due in ours.due.items() if begin <= due <= end and seq not in ours.arrived
    ]
    excused = sum(_is_excused(due, episode, flight) for due in missing)
    arrivals = sorted(ours.arrived.values())
    due = {ENDS[each][0]: sorted(frames.due.values()) for each, frames in run.frames.items()}
    as_it_was = _as_it_was(episode, direction, ours, flight)
    return Passage(
        direction=direction,
        episode=episode,
        gap=_longest_gap([time for time, _ in arrivals], begin, end, episode.moment),
        floor=floor(direction, due, run.scenario, as_it_was, run.resilience),
        lost=len(missing) - excused,
        late=excused,
        resent=sum(begin <= time <= end for time in ours.resent),
        duplicated=sum(begin <= time <= end for time in ours.repeated),
        first_out=_first_out(run.mover_trace, episode),
        direct_again=_direct_again(run.mover_trace, episode),
        timeline=_timeline(arrivals, episode, begin, end),
        other=run.call.other,
    )


def _flight(direction: Direction, scenario: Scenario, episode: Episode) -> float:
    """The one-way delay to a receiver to whom it happened, 0 if that is the sender alone."""
    _, receiver = ENDS[direction]
    if episode.move_of(receiver) is None:
        return 0.0
    return Stand.before(scenario, episode).settled


def _as_it_was(episode: Episode, direction: Direction, frames: Frames, flight: float) -> Episode:
    """The episode with the moment of the cut as the last frame that still got through shows it.

    A kernel takes a moment, and on a busy machine a frame may be written down later than it left.
    """
    if episode.is_silent:  # it took no time, and a frame may have come by another path
        return episode
    sender, _ = ENDS[direction]

    def seen(move: MoveMade) -> MoveMade:
        soon = max(move.usable, move.down_end + SOON)
        through = [
            due if move.host == sender else due + flight
            for seq, (arrived, _) in frames.arrived.items()
            if (due := frames.due.get(seq, arrived)) <= move.down_end
            and arrived < (soon if move.host == sender else move.down_end)
        ]
        return dataclasses.replace(move, down=max([move.down, *through]))

    return dataclasses.replace(episode, moves=tuple(map(seen, episode.moves)))


def _is_excused(due: float, episode: Episode, flight: float) -> bool:
    """Whether no sender could have got this frame through, or should have wanted to.

    With an overlap there is always a path: nothing is excused.
    """
    cut = episode.down - flight - (AMBIGUOUS if flight else 0.0)
    return not episode.has_overlap and cut < due < episode.moment - RESEND_WINDOW


def _longest_gap(times: Sequence[float], begin: float, end: float, moment: float) -> float:
    """Infinite if nothing arrived any more once there was a path again."""
    if not any(moment < time for time in times):
        return math.inf
    return max(
        (
            after - before
            for before, after in itertools.pairwise(times)
            if before < end and after > begin
        ),
        default=math.inf,
    )


def _first_out(trace: Sequence[Entry], episode: Episode) -> float | None:
    """Seconds from the moment a path is possible until the mover sends audio."""
    times = [entry.t for entry in trace if isinstance(entry.record, FrameSent)]
    return next((time - episode.moment for time in times if time >= episode.moment), None)


def _direct_again(mover_trace: Sequence[Entry], episode: Episode) -> float | None:
    """Where a direct path must be found anew."""
    if episode.has_overlap and episode.kind != "NAT forgets":
        return None
    selected = (
        entry.t - episode.moment
        for entry in mover_trace
        if isinstance(entry.record, PathSelected)
        and entry.record.kind == "direct"
        and entry.t >= episode.moment
    )
    return next(selected, None)


def _timeline(
    arrivals: Sequence[tuple[float, str]], episode: Episode, begin: float, end: float
) -> tuple[tuple[float, str], ...]:
    steps: list[tuple[float, str]] = []
    for time, path in arrivals:
        if begin <= time <= end and (not steps or steps[-1][1] != path):
            steps.append((time - episode.down, path))
    return tuple(steps)
