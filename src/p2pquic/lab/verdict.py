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

from p2pquic.core.frames import RESEND_WINDOW
from p2pquic.core.trace import Closed, FrameSent, FrameUnsent, PathSelected
from p2pquic.lab.evidence import EDGE, TOLERANCE, Evidence, Fault, Slack, stretches
from p2pquic.lab.flooding import WINDOW, Source
from p2pquic.lab.floor import DIRECTIONS, ENDS, Direction
from p2pquic.lab.gaps import Gap, gaps_of, too_long
from p2pquic.lab.measure import frames_of
from p2pquic.lab.networks import Link
from p2pquic.lab.oracle import Arrivals, Heard, ask_the_oracle
from p2pquic.lab.scenarios import FRAME_CADENCE

DECISIONS_PER_CHANGE = 3  # and end: to what works, back to a direct path, and agreement on it
DECISIONS_BESIDES = 2  # a faster path that was found late
DOUBT = 1.5  # seconds that a change may keep an end in doubt
WAYS_IN_DOUBT = 2  # copies of a frame beside the first while in doubt
SHARE_OF_DUPLICATES = 0.02  # of frames, without any change
MOST_HELD = 8_000  # things in all containers of one session: 1,800 of its own, and 30 for each
# packet that four ways have not answered within half a second and the longest round trip
NOTICED = 3 * FRAME_CADENCE  # seconds beyond a round trip until a loss shows (RFC 9002, 6.1.1)
TOGETHER = 5  # frames in one packet
LAST_WORDS = 0.8  # seconds before the end whose frames may still have been on the way


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
        gaps = list(gaps_of(direction, arrived, heard[receiver].frames, slack, evidence))
        verdict.gaps.extend(gaps)
        verdict.faults.extend(too_long(gaps, slack, evidence.end))
        verdict.faults.extend(
            _lost(
                direction,
                sources[sender],
                arrived,
                heard[receiver].frames,
                heard[sender].contacts,
                evidence,
            )
        )
    verdict.faults.extend(_decisions(evidence))
    verdict.faults.extend(_queues(evidence))
    verdict.faults.extend(_copies(evidence, sources, heard, slack))
    return verdict


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


# ---- frames ----------------------------------------------------------------------------------


def _lost(
    direction: Direction,
    source: Source,
    arrived: Arrivals,
    heard: Arrivals,
    contacts: Sequence[float],
    evidence: Evidence,
) -> Iterator[Fault]:
    """What the oracle delivered in time and the product did not.

    All copies of a frame may be lost by chance, and so may a share of such frames; where no answer
    comes in time, it is a single one. What is sent again travels several frames to a packet, and is
    lost together. At every cut jitter decides about some.
    """
    slack = Slack.of(evidence.world)
    fastest = min((time - source.due(seq) for seq, time in heard.items()), default=0.0)
    due = [
        seq
        for seq in _asked_for(source, heard, contacts, fastest, evidence)
        if evidence.begin <= source.due(seq) <= evidence.end - LAST_WORDS
    ]
    missing = sorted(seq for seq in due if seq not in arrived)
    unanswered = sum(not _is_answered(source.due(seq), contacts) for seq in due)
    expected = unanswered * slack.loss
    for seq in due:
        copies = 1 + min(2, int(RESEND_WINDOW / (2 * (heard[seq] - source.due(seq)) + NOTICED)))
        expected += 3 * slack.loss**copies
    allowed = expected + 4 * math.sqrt(expected) + TOGETHER * bool(slack.loss)
    allowed += len(evidence.changes) * math.ceil(slack.jitter / FRAME_CADENCE)
    if len(missing) > allowed:
        moments = ", ".join(f"{source.due(seq):.3f}" for seq in missing[:8])
        yield Fault(
            "lost",
            f"{direction}: {len(missing)} of {len(due)}, {allowed:.1f} allowed; due {moments}",
            len(missing) - allowed,
        )


def _asked_for(
    source: Source, heard: Arrivals, contacts: Sequence[float], fastest: float, evidence: Evidence
) -> Iterator[int]:
    """The frames that the oracle delivered in time.

    In time: no older than the window when it came (or as old as they always are), while frames went
    on to come for as long as it takes to hear of it and answer, and not so close to a cut that the
    relay's detour would have been too long.

    What blind repetition saved besides, nobody is asked for; the oracle repeats all the time. A
    frame later than others of its stretch was repeated. For a product to know that it is missed,
    its sender must hear something (`contacts`: when he does), and the way last until he has
    answered. Who sends everything once (`lean`) sends it by the wrong way until he hears.
    """
    slack = Slack.of(evidence.world)
    shortest = 2 * (fastest + FRAME_CADENCE) + TOLERANCE + slack.delay
    detour = 2 * evidence.world.scenario.topology.server.interfaces[0].delay
    oldest = max(WINDOW, fastest + TOLERANCE)
    by_arrival: dict[float, list[int]] = {}
    for seq, time in heard.items():
        by_arrival.setdefault(time, []).append(seq)
    for stretch in stretches(sorted(by_arrival)):
        if stretch[-1] - stretch[0] < shortest:
            continue
        ages = {seq: time - source.due(seq) for time in stretch for seq in by_arrival[time]}
        usual = min(ages.values()) + FRAME_CADENCE / 2
        for seq, age in ages.items():
            left = stretch[-1] - heard[seq]
            goes_by_every_way = age <= usual and evidence.world.resilience != "lean"
            can_be_known = goes_by_every_way or (
                left >= shortest and _is_answered(source.due(seq), contacts)
            )
            if age <= oldest and left >= detour and can_be_known:
                yield seq


def _is_answered(due: float, contacts: Sequence[float]) -> bool:
    """Whether the sender hears anything soon enough to send a frame again."""
    following = bisect.bisect(contacts, due)
    return following < len(contacts) and contacts[following] <= due + WINDOW


def _copies(
    evidence: Evidence,
    sources: Mapping[str, Source],
    heard: Mapping[str, Heard],
    slack: Slack,
) -> Iterator[Fault]:
    begin, end = evidence.begin, evidence.end
    silence = sum(
        y - x
        for receiver in heard.values()
        for x, y in itertools.pairwise(sorted({begin, *receiver.frames.values(), end}))
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
