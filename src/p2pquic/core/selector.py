"""Which path the next packet takes, and which others share least with it: pure rules.

    current path gone ------------> the best that is proved
    a path is pinned -------------> that one, while it lives
    on the relay, direct works ---> the best direct path, whichever end sees it first
    by an interface we avoid -----> one that is not, be it the relay
    by another than we prefer ----> a direct path by that one, whatever its round trip
    a direct path is faster ------> that one, if it wins by SWITCH_GAIN and this end leads
    as fast by what our kernel likes better (a cable was plugged in) ------> that one

A path that has proved nothing is never selected: what is tried out gets duplicates. Of the others,
direct is better than the relay, then the interface that is preferred, then the shorter round trip.
Only the leading end (the QUIC client, like ICE's controlling agent, RFC 8445 section 6.1.1) moves
for the sake of speed: two ends that measure a little differently would pull against each other.

A pin is for our end; where both have one, the leading end's holds.

For the same reason the end that does not lead follows its preference only to paths to the same
address of the other end: it chooses among its own interfaces, and leaves the other's choice alone.
Where an end has `insisted`, the other one does the same, and moves neither for speed nor off the
relay. So each such change is for the better for one end and takes nothing from the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from p2pquic.core.path import DirectPath, PathAddress, RelayPath

SWITCH_GAIN = 0.010  # seconds of RTT a rival must win by; less would flap with jitter
EQUALLY_FAST = 0.005  # seconds of RTT a path by the kernel's favourite may lose by; so much less
# than SWITCH_GAIN that no jitter leads there and back
UNKNOWN_RTT = 10.0  # seconds: ranks a path never measured behind every one that was


@dataclass(frozen=True, slots=True)
class Candidate:
    """A path by which a packet could leave now: its local address is there.

    `proven`: the other end answered on it, and nothing has cast doubt on that since. `rtt` in
    seconds, None if never measured. `fresh`: it showed within the last second or so that it lives.
    `interface` is the one it leaves by, `order` its place in our preference (0 is the best),
    `place` the one in the kernel's, and `avoided` one for when nothing else lives. `pinned`: the
    application wants it and no other.
    """

    path: PathAddress
    proven: bool
    rtt: float | None = None
    fresh: bool = True
    interface: str = ""
    order: int = 0
    avoided: bool = False
    pinned: bool = False
    place: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """Change to this path, for a reason that a person can read.

    `insists`: by our preference of an interface, which the other end cannot know.
    """

    path: PathAddress
    reason: str
    insists: bool = False


def choose(
    current: PathAddress | None,
    candidates: Sequence[Candidate],
    *,
    leads: bool,
    sends_once: bool = False,
    yields: bool = False,
    at_rest: bool = True,
) -> Choice | None:
    """The path to change to; None to stay, or if there is no way out at all.

    `yields`: the other end insists on where the current path leads. `at_rest`: the last change was
    a while ago, so that what the kernel likes may count: else jitter could lead there and back.

    Whoever `sends_once` has no copy elsewhere if an old proof is wrong, and what stood by may have
    died in silence: he takes the relay, which the server sees alive at both ends.
    """
    by_path = {candidate.path: candidate for candidate in candidates}
    best = min(candidates, key=_rank, default=None)
    if best is None or not best.proven:
        return None
    if current not in by_path:
        if sends_once:
            best = min(candidates, key=_cautious_rank)
        return Choice(best.path, "the address of the path before is gone")
    here = by_path[current]
    if not here.proven:
        return Choice(best.path, "this path answers")
    # Nothing forces us to believe an old proof.
    lively = [candidate for candidate in candidates if candidate.proven and candidate.fresh]
    choice = _choose_freely(here, lively, leads=leads, yields=yields)
    return choice or (
        _choose_with_the_kernel(here, lively) if at_rest and not here.pinned else None
    )


def _choose_freely(
    here: Candidate, lively: Sequence[Candidate], *, leads: bool, yields: bool
) -> Choice | None:
    """What is better than the path we are on, which lives, though an answer of it may be late."""
    pinned = here if here.pinned else next((each for each in lively if each.pinned), None)
    if pinned is not None and (leads or not yields):
        is_there = pinned.path == here.path
        return None if is_there else Choice(pinned.path, "this path is pinned", insists=True)
    ours = [each for each in lively if is_ours_alone(here.path, each.path)]
    relays = [each for each in lively if each.path.kind == "relay"]
    best = min([*ours, *relays] if yields else lively, key=_rank, default=here)
    if here.avoided and not best.avoided:
        return Choice(best.path, "this path spares an interface to be avoided", insists=True)
    if best.avoided and not here.avoided:
        return None
    if here.path.kind == "relay" and best.path.kind == "direct":
        spares = any(each.avoided for each in lively)  # or the other end would lead us back to it
        return Choice(best.path, "a direct path works", insists=spares)
    if not leads:
        best = min(ours, key=_rank, default=here)
    if here.path.kind != best.path.kind:
        return None
    if best.order < here.order:
        return Choice(best.path, "this path is by a preferred interface", insists=True)
    is_faster = best.order == here.order and _gain(here, best) >= SWITCH_GAIN
    if leads and not yields and is_faster:
        return Choice(best.path, "this path is faster")
    return None


def _choose_with_the_kernel(here: Candidate, lively: Sequence[Candidate]) -> Choice | None:
    """Of our interfaces the one it likes best, where the person is indifferent and time is too."""
    liked = [
        each
        for each in lively
        if is_ours_alone(here.path, each.path)
        and (each.order, each.avoided) == (here.order, here.avoided)
        and each.place < here.place
        and _gain(here, each) > -EQUALLY_FAST
    ]
    if not liked:
        return None
    best = min(liked, key=_place)
    return Choice(best.path, "the system prefers this interface, and it is as fast")


def _place(candidate: Candidate) -> tuple[int, float, str]:
    return candidate.place, _rtt(candidate), str(candidate.path)


def is_ours_alone(here: PathAddress, there: PathAddress) -> bool:
    """Whether a change of path concerns our own interfaces only, and where the other end is not."""
    return (
        isinstance(here, DirectPath)
        and isinstance(there, DirectPath)
        and here.remote == there.remote
    )


def best_of(candidates: Sequence[Candidate]) -> Candidate:
    """The one to take if all of them would do; there must be one."""
    return min(candidates, key=_rank)


def companions(
    current: PathAddress, interface: str, candidates: Sequence[Candidate]
) -> list[PathAddress]:
    """The proven paths that can live when `current`, by `interface`, dies; the best first.

    Another interface of ours shares least; after it another address of the other end, the relay
    beside a direct path, or another server's. What shares all of that is no companion.
    """
    scored = [
        (_independence(current, interface, candidate), candidate)
        for candidate in candidates
        if candidate.proven and candidate.path != current
    ]
    ordered = sorted(scored, key=lambda each: (-each[0], _rank(each[1])))
    return [candidate.path for independence, candidate in ordered if independence > 0]


def _independence(current: PathAddress, interface: str, other: Candidate) -> int:
    """How little a path shares with the current one: 0 all but its name, 3 the least.

    Whether the relay reaches the other end by another interface of theirs, we cannot know.
    """
    apart = 2 * (other.interface != interface)
    if isinstance(current, DirectPath) and isinstance(other.path, DirectPath):
        return apart + (current.remote.host != other.path.remote.host)
    if isinstance(current, RelayPath) and isinstance(other.path, RelayPath):
        return apart or int(current.server != other.path.server)
    return apart or int(current.kind != other.path.kind)


def _rank(candidate: Candidate) -> tuple[bool, bool, bool, bool, int, float, str]:
    return (
        not candidate.proven,
        not candidate.pinned,
        candidate.avoided,
        candidate.path.kind == "relay",
        candidate.order,
        _rtt(candidate),
        str(candidate.path),  # so that equals rank the same at every call
    )


def _cautious_rank(candidate: Candidate) -> tuple[bool, bool, bool, float]:
    is_direct = candidate.path.kind != "relay"
    return not candidate.proven, candidate.avoided, is_direct, _rtt(candidate)


def _rtt(candidate: Candidate) -> float:
    return UNKNOWN_RTT if candidate.rtt is None else candidate.rtt


def _gain(here: Candidate, there: Candidate) -> float:
    return _rtt(here) - _rtt(there)
