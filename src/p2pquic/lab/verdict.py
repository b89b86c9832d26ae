"""What a world's run did wrong: the checks, against the oracle of the same world.

alive        no call ended, and what the oracle heard for a second was heard
gaps         no gap more than 60 ms longer than the oracle's around it
lost         nothing that the oracle delivered within the re-send window
decisions    three per change and end (away, back to a direct path, agreement), and a few
queues       what the sessions hold stays bounded, by counting everything they hold
duplicates   by manner: lean none, hedged while in doubt, hot one each

The oracle has no dice. What they may cost is slack beside the tolerance: as many frames in a row
as are lost once in 100 000 times on the worst path, and the whole of its jitter. And it floods when
in doubt; one that sends everything once (`lean`) may be on the slower way.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from p2pquic.core.trace import Closed, Entry, FrameSent, FrameUnsent, PathSelected
from p2pquic.lab.flooding import MARGIN, WINDOW, Source
from p2pquic.lab.floor import DIRECTIONS, ENDS, Direction
from p2pquic.lab.measure import frames_of
from p2pquic.lab.oracle import Arrivals, ask_the_oracle
from p2pquic.lab.scenarios import FRAME_CADENCE, SERVER, Change, ChangeKind, Link
from p2pquic.lab.worlds import World

TOLERANCE = 0.060  # seconds a gap may be longer than the oracle's: three frames
RARE = 1e-5  # of a run of lost frames, per frame; some 10 million frames are in 10,000 worlds
DECISIONS_PER_CHANGE = 3  # and end: to what works, back to a direct path, and agreement on it
DECISIONS_BESIDES = 2  # a faster path that was found late
DOUBT = 1.5  # seconds that a change may keep an end in doubt
WAYS_IN_DOUBT = 2  # copies of a frame beside the first while in doubt
SHARE_OF_DUPLICATES = 0.02  # of frames, without any change
MOST_HELD = 6_000  # things in all containers of one session; two seconds unanswered are 4,500
LAST_WORDS = 0.8  # seconds before the end whose frames may still have been on the way
EDGE = 0.1  # seconds by which the oracle's gaps may lie beside the product's
LOOK_BACK = 0.5  # seconds before a gap in which its cause may lie: a slow pipe empties first
SILENT_DEATHS: frozenset[ChangeKind] = frozenset({"link_dies", "way_dies", "nat_forgets"})
HEARD = 1.0  # seconds a path must exist for the call to be alive


@dataclass(frozen=True, slots=True)
class Fault:
    """One check that failed. `excess` is by how much, in the unit of the check."""

    check: str
    detail: str
    excess: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A silence at a receiver, and the longest the oracle heard around it, in seconds.

    `change` is the kind of the last change before it ended.
    """

    direction: Direction
    begin: float
    length: float
    oracle: float
    change: str

    @property
    def excess(self) -> float:
        """What is ours."""
        return self.length - self.oracle


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a run left. Times of the clock; `held` counts what each session held at moments."""

    world: World
    begin: float
    end: float
    changes: Sequence[Change]
    traces: Mapping[str, Sequence[Entry]]
    held: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every fault of a run, and its worst gaps for the record."""

    faults: list[Fault]
    gaps: list[Gap]


def judge(evidence: Evidence) -> Verdict:
    """Hold a run against the oracle and the budgets."""
    sources = _sources(evidence)
    scenario, resilience = evidence.world.scenario, evidence.world.resilience
    heard = ask_the_oracle(
        scenario, evidence.changes, sources, resilience, evidence.begin, evidence.end
    )
    slack = Slack.of(evidence.world)
    verdict = Verdict(list(_ends(evidence)), [])
    for direction in DIRECTIONS:
        sender, receiver = ENDS[direction]
        if sender not in sources:
            continue
        arrived = {
            seq: time for seq, (time, _) in frames_of(direction, evidence.traces).arrived.items()
        }
        gaps = list(_gaps(direction, arrived, heard[receiver], slack, evidence))
        verdict.gaps.extend(gaps)
        verdict.faults.extend(_too_long(gaps, slack, evidence.end))
        verdict.faults.extend(
            _lost(direction, sources[sender], arrived, heard[receiver], heard[sender], evidence)
        )
    verdict.faults.extend(_decisions(evidence))
    verdict.faults.extend(_queues(evidence))
    verdict.faults.extend(_copies(evidence, sources, heard, slack))
    return verdict


@dataclass(frozen=True, slots=True)
class Slack:
    """What the oracle does not know of: loss and jitter on the worst path, the relay's; and
    `detour`, by how much the way taken may be slower than the oracle's. Seconds.

    A `lean` end must choose one way of all. And both ends speak on one path: if a way dies, the
    direction that lives goes round by the relay too.
    """

    loss: float
    jitter: float
    detour: float

    @classmethod
    def of(cls, world: World) -> Slack:
        """Of the worst interface at each end, and the server's twice."""
        topology = world.scenario.topology
        mover, other, server = (host.interfaces for host in topology.hosts)
        relayed = (mover, other, server, server)
        slowest = sum(max(each.delay for each in ends) for ends in relayed)
        fastest = sum(min(each.delay for each in ends) for ends in (mover, other))
        detour = slowest - fastest if world.resilience == "lean" else 0.0
        if any(
            change.kind == "way_dies" for move in world.scenario.moves for change in move.changes
        ):
            detour = max(detour, 2 * server[0].delay)
        return cls(
            loss=1.0 - math.prod(1.0 - max(each.loss for each in ends) for ends in relayed),
            jitter=sum(max(each.jitter for each in ends) for ends in relayed),
            detour=detour,
        )

    @property
    def delay(self) -> float:
        """Seconds that all of this may add to a gap."""
        row = math.ceil(math.log(RARE) / math.log(self.loss)) if self.loss else 0
        return row * FRAME_CADENCE + self.jitter + self.detour


def _sources(evidence: Evidence) -> dict[str, Source]:
    """When the frames of each end that speaks were due, from its own trace."""
    sources = {}
    for name, trace in evidence.traces.items():
        origins = [
            entry.t - entry.record.seq * FRAME_CADENCE
            for entry in trace
            if isinstance(entry.record, FrameSent | FrameUnsent)
        ]
        if origins:
            sources[name] = Source(min(origins), evidence.end)
    return sources


def _ends(evidence: Evidence) -> Iterator[Fault]:
    for name, trace in evidence.traces.items():
        for entry in trace:
            if isinstance(entry.record, Closed) and entry.t < evidence.end:
                early = evidence.end - entry.t
                yield Fault("alive", f"{name} ended: {entry.record.reason}", early)


# ---- gaps ------------------------------------------------------------------------------------


def _gaps(
    direction: Direction, arrived: Arrivals, heard: Arrivals, slack: Slack, evidence: Evidence
) -> Iterator[Gap]:
    """Every silence that could be too long, with the oracle's beside it."""
    begin, end = evidence.begin, evidence.end
    kept = _without_islands(sorted(heard.values()), TOLERANCE + slack.delay)
    oracle = list(itertools.pairwise([begin - EDGE, *kept, end]))
    times = [time for time in sorted(arrived.values()) if time <= end]
    for a, b in itertools.pairwise([*times, end]):
        if b <= begin or b - a <= FRAME_CADENCE + TOLERANCE:
            continue
        around = [y - x for x, y in oracle if x < b + EDGE and y > a - EDGE]
        around.append(_noticing(direction, a, b, evidence))
        last = max(
            (change for change in evidence.changes if change.at < b),
            default=None,
            key=lambda change: change.at,
        )
        yield Gap(direction, a, b - a, max(around, default=0.0), last.kind if last else "none")


def _noticing(direction: Direction, begin: float, end: float, evidence: Evidence) -> float:
    """The gap that a death costs on the way the product was on, which need not be the oracle's:
    both ends speak on one path, and take the direct one for the sake of the server.

    A silent one: a round trip, two frames and the margin until it is noticed. One that the receiver
    is told of: a round trip by another way. Then a frame; and the relay may be a detour.
    """
    world = evidence.world
    if world.resilience == "hot":
        return 0.0
    detour = 2 * world.scenario.topology.server.interfaces[0].delay
    costs = [0.0]
    for change in evidence.changes:
        if begin - LOOK_BACK <= change.at <= end:
            round_trip = 2 * _transit(direction, change.at, evidence)
            if change.kind in SILENT_DEATHS:
                costs.append(round_trip + 3 * FRAME_CADENCE + MARGIN + detour)
            elif change.kind == "interface_down" and change.host == ENDS[direction][1]:
                costs.append(round_trip + FRAME_CADENCE + detour)
    return max(costs)


def _transit(direction: Direction, time: float, evidence: Evidence) -> float:
    """One way on the path in use at a time, in seconds, as both ends' traces tell."""
    interfaces = evidence.world.scenario.topology.interfaces
    total = 0.0
    for name in ENDS[direction]:
        chosen = [
            entry.record.path
            for entry in evidence.traces[name]
            if isinstance(entry.record, PathSelected) and entry.t <= time
        ]
        kind, interface, *_ = chosen[-1].split("/")
        total += interfaces[Link(name, interface)].delay
        if kind == "relay":
            total += interfaces[Link(SERVER, "eth0")].delay
    return total


def _without_islands(times: Sequence[float], shortest: float) -> list[float]:
    """Arrivals less the stretches that a listener who is `shortest` late would miss whole."""
    return [
        time
        for stretch in _stretches(times)
        if stretch[-1] - stretch[0] >= shortest
        for time in stretch
    ]


def _stretches(times: Sequence[float]) -> Iterator[list[float]]:
    """Arrivals that follow one another without a gap."""
    stretch: list[float] = []
    for time in times:
        if stretch and time - stretch[-1] > 2 * FRAME_CADENCE:
            yield stretch
            stretch = []
        stretch.append(time)
    if stretch:
        yield stretch


def _too_long(gaps: Sequence[Gap], slack: Slack, end: float) -> Iterator[Fault]:
    for gap in gaps:
        over = gap.excess - slack.delay
        if over > TOLERANCE:
            dead = gap.begin + gap.length >= end and over > HEARD
            yield Fault(
                "alive" if dead else "gap",
                f"{gap.direction} at {gap.begin:.3f}: {1000 * gap.length:.0f} ms, oracle "
                f"{1000 * gap.oracle:.0f} ms, slack {1000 * slack.delay:.0f} ms; {gap.change}",
                over,
            )


# ---- frames ----------------------------------------------------------------------------------


def _lost(
    direction: Direction,
    source: Source,
    arrived: Arrivals,
    heard: Arrivals,
    answers: Arrivals,
    evidence: Evidence,
) -> Iterator[Fault]:
    """What the oracle delivered in time and the product did not.

    In time: no older than the window when it came (or as old as they always are), while frames went
    on to come for as long as it takes to hear of it and answer, and not so close to a cut that the
    relay's detour would have been too long. What blind repetition saved besides, nobody is asked
    for. All copies of a frame may be lost by chance, and so may a share of such frames; where no
    answer comes (`answers`: what the sender hears), it is a single one. At every cut jitter decides
    about some.
    """
    slack = Slack.of(evidence.world)
    fastest = min((time - source.due(seq) for seq, time in heard.items()), default=0.0)
    shortest = 2 * (fastest + FRAME_CADENCE) + TOLERANCE + slack.delay
    detour = 2 * evidence.world.scenario.topology.server.interfaces[0].delay
    kept = {
        time
        for stretch in _stretches(sorted(heard.values()))
        if stretch[-1] - stretch[0] >= shortest
        for time in stretch
        if time <= stretch[-1] - detour
    }
    ages = {seq: time - source.due(seq) for seq, time in heard.items() if time in kept}
    oldest = max(WINDOW, fastest + TOLERANCE)
    due = [
        seq
        for seq, age in ages.items()
        if age <= oldest and evidence.begin <= source.due(seq) <= evidence.end - LAST_WORDS
    ]
    missing = sorted(seq for seq in due if seq not in arrived)
    times = sorted(answers.values())
    unanswered = sum(not _is_answered(source.due(seq), times) for seq in due)
    copies = 3 if 4 * (fastest + FRAME_CADENCE) <= WINDOW else 2  # of one frame, in the window
    expected = 3 * len(due) * slack.loss**copies + unanswered * slack.loss
    allowed = expected + 4 * math.sqrt(expected) + bool(slack.loss)
    allowed += len(evidence.changes) * math.ceil(slack.jitter / FRAME_CADENCE)
    if len(missing) > allowed:
        moments = ", ".join(f"{source.due(seq):.3f}" for seq in missing[:8])
        yield Fault(
            "lost",
            f"{direction}: {len(missing)} of {len(due)}, {allowed:.1f} allowed; due {moments}",
            len(missing) - allowed,
        )


def _is_answered(due: float, times: Sequence[float]) -> bool:
    """Whether the sender hears anything soon enough to send a frame again; maybe nobody speaks."""
    following = bisect.bisect(times, due)
    return not times or (following < len(times) and times[following] <= due + WINDOW)


def _copies(
    evidence: Evidence,
    sources: Mapping[str, Source],
    heard: Mapping[str, Arrivals],
    slack: Slack,
) -> Iterator[Fault]:
    begin, end = evidence.begin, evidence.end
    silence = sum(
        y - x
        for receiver in heard.values()
        for x, y in itertools.pairwise(sorted({begin, *receiver.values(), end}))
        if x >= begin and y - x > EDGE
    )
    doubt = (len(evidence.changes) * DOUBT + silence) * WAYS_IN_DOUBT / FRAME_CADENCE
    doubt += _one_way(evidence) / FRAME_CADENCE
    for name in sources:
        copies = [
            entry.record.copy
            for entry in evidence.traces[name]
            if isinstance(entry.record, FrameSent) and begin <= entry.t <= end
        ]
        frames = (end - begin) / FRAME_CADENCE
        again = copies.count("duplicate") + copies.count("resend")
        budget = doubt + frames * (SHARE_OF_DUPLICATES + 3 * slack.loss)
        if evidence.world.resilience == "hot":
            budget += frames
        if evidence.world.resilience == "lean" and "duplicate" in copies:
            yield Fault("duplicates", f"{name} is lean", copies.count("duplicate"))
        elif again > budget:
            detail = f"{name} sent {again} copies of {frames:.0f} frames, budget {budget:.0f}"
            yield Fault("duplicates", detail, again - budget)


def _one_way(evidence: Evidence) -> float:
    """Seconds for which some way was dead: whoever lost his direction alone hedges all the time."""
    seconds = 0.0
    died: dict[tuple[Link, Link | None], float] = {}
    for change in evidence.changes:
        way = change.link, change.towards
        if change.kind == "way_dies":
            died[way] = change.at
        elif change.kind == "way_recovers" and way in died:
            seconds += change.at - died.pop(way)
    return seconds + sum(evidence.end - time for time in died.values())


# ---- the sessions ----------------------------------------------------------------------------


def _decisions(evidence: Evidence) -> Iterator[Fault]:
    budget = DECISIONS_PER_CHANGE * len(evidence.changes) + DECISIONS_BESIDES
    for name, trace in evidence.traces.items():
        made = sum(
            isinstance(entry.record, PathSelected) and evidence.begin <= entry.t <= evidence.end
            for entry in trace
        )
        if made > budget:
            yield Fault("decisions", f"{name} made {made}, budget {budget}", made - budget)


def _queues(evidence: Evidence) -> Iterator[Fault]:
    for name, counts in evidence.held.items():
        if counts and max(counts) > MOST_HELD:
            detail = f"{name} held {max(counts)} things; second by second {list(counts)}"
            yield Fault("queues", detail, max(counts) - MOST_HELD)
