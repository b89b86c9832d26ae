"""Floors: the shortest gap that physics allows in one episode, from the phase it really had.

The gap is between two arrivals: the last frame that could still get through before the cut and
the first that could after it. Both follow from when the source's frames were due, when the
interface died and the next was usable, and the one-way delays; nothing of ours is in it. Towards
the mover it is the floor of an answer that takes the way the news of the move came.

                                      down           usable
    mover sends     |----|----|----|---x..............|=> relay or direct
    other hears           |----|----|----|                    |=>      gap = first - last

Where nobody says that a path died, somebody must first suspect it. That floor is of a sender that
learns from nothing but its own acknowledgements, with two margins that are ours (MARGIN) and F the
frame cadence. It is what limits are set by; a sender that itself hears no frame any more, because
both directions died, may be sooner, and its gap is then below.

    hedged   RTT + F + MARGIN   until acknowledgements are overdue: they ride on the next datagram
             + F                until the next frame is due, which goes by two paths
             + (new - old) + MARGIN
    hot      F + (new - old)    the copy by the other path is under way already
    hot, a NAT forgot, towards the mover: the mover's next frame opens the relay's leg anew, and
             the server replays what it holds: 2 * (mover to server) after that frame is due

A direction that is not cut has the floor F.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from p2pquic.core.events import Resilience
from p2pquic.lab.changes import Episode
from p2pquic.lab.nat import can_punch
from p2pquic.lab.networks import MOVER, OTHER, Host, Link, Topology
from p2pquic.lab.reach import reach
from p2pquic.lab.scenarios import FRAME_CADENCE, Scenario

MARGIN = 0.015  # seconds between overdue and suspected, and again for the second path
SOUGHT = 0.3  # seconds of outage after which the other end is sought wherever it ever was

Direction = Literal["mover to other", "other to mover"]
DIRECTIONS: tuple[Direction, ...] = ("mover to other", "other to mover")
ENDS: dict[Direction, tuple[str, str]] = {  # the sender's name and the receiver's
    "mover to other": (MOVER, OTHER),
    "other to mover": (OTHER, MOVER),
}

Due = Mapping[str, Sequence[float]]
"""By host, when its source's frames were due: seconds, in order."""


class Stand:
    """Where both ends stand, each on one interface: one-way delays in seconds from there.

    `relays` is the server that would.
    """

    def __init__(self, scenario: Scenario, mover: str, other: str, relays: Host) -> None:
        topology, ends = scenario.topology, (Link(MOVER, mover), Link(OTHER, other))
        server = Link(relays.name, relays.interfaces[0].name)
        one, two = (topology.interfaces[end] for end in ends)
        ipv4 = one.has_ipv4 and two.has_ipv4
        ipv6 = one.has_ipv6 and two.has_ipv6
        guards = one.guard(6), two.guard(6)
        is_direct = (ipv4 and reach(topology, *ends).is_direct) or (ipv6 and can_punch(*guards))
        self.relayed = scenario.settles_on == "relay" or not is_direct
        self.has_open_end = (ipv6 and None in guards) or (
            ipv4 and (_is_open(topology, *ends) or _is_open(topology, *reversed(ends)))
        )
        self.to_server = {end.host: topology.delay(end, server) for end in ends}
        self.direct = topology.delay(*ends)
        self.relay = sum(self.to_server.values())

    @property
    def settled(self) -> float:
        """Of the path that a settled call takes here."""
        return self.relay if self.relayed else self.direct

    @classmethod
    def before(cls, scenario: Scenario, episode: Episode) -> Stand:
        """Where the call stood when the cut came."""
        gone = {move.host: move.gone for move in episode.moves}
        return cls._of(scenario, gone, episode, scenario.topology.server)

    @classmethod
    def after(cls, scenario: Scenario, episode: Episode) -> Stand:
        """Where it stands afterwards."""
        come = {move.host: move.come for move in episode.moves}
        servers = scenario.topology.servers
        relays = servers[1] if episode.kind == "server dies" else servers[0]
        return cls._of(scenario, come, episode, relays)

    @classmethod
    def _of(cls, scenario: Scenario, on: dict[str, str], episode: Episode, relays: Host) -> Stand:
        still = {MOVER: scenario.mover_up[0], OTHER: scenario.other_up[0]}
        still |= {end.host: end.interface for end in episode.way or ()}
        on = still | on
        return cls(scenario, on[MOVER], on[OTHER], relays)


def _is_open(topology: Topology, end: Link, other: Link) -> bool:
    """Whether no NAT stands before one end as the other sees it: public, or in the same network."""
    here, there = topology.interfaces[end], topology.interfaces[other]
    return here.nat is None and (here.network is None or here.network in there.networks)


def floor(
    direction: Direction,
    due: Due,
    scenario: Scenario,
    episode: Episode,
    resilience: Resilience = "hedged",
) -> float | None:
    """The shortest possible gap in seconds; None if the sender's source was not running.

    Of the sender that does not move it is assumed that it learns of the move from the mover alone.
    """
    last = _last_arrival(direction, due, scenario, episode)
    if last is None:
        return None
    if episode.is_silent:
        return _silent_floor(direction, due, scenario, episode, resilience, last)
    first = _first_arrival(direction, due, scenario, episode, resilience)
    return None if first is None else first - last


def _last_arrival(
    direction: Direction, due: Due, scenario: Scenario, episode: Episode
) -> float | None:
    """What left a dying interface before it died arrives; what was on the way to it does not.

    A network that dies in silence also takes what was in the air.
    """
    sender, receiver = ENDS[direction]
    flight = Stand.before(scenario, episode).settled
    leaving, arriving = episode.move_of(sender), episode.move_of(receiver)
    if episode.is_silent:
        leaving, arriving = None, episode.moves[0]
    return max(
        (
            time + flight
            for time in due[sender]
            if (leaving is None or time <= leaving.down)
            and (arriving is None or time + flight <= arriving.down)
        ),
        default=None,
    )


def _first_arrival(
    direction: Direction, due: Due, scenario: Scenario, episode: Episode, resilience: Resilience
) -> float | None:
    sender, receiver = ENDS[direction]
    after = Stand.after(scenario, episode)
    leaving, arriving = episode.move_of(sender), episode.move_of(receiver)
    if leaving and arriving:  # the server has the frame, and knows where to replay it
        at_server = max(
            leaving.usable + after.to_server[sender], arriving.usable + after.to_server[receiver]
        )
        return at_server + after.to_server[receiver]
    move = episode.moves[0]
    at_once = after.has_open_end or move.returns  # a direct path that needs no punching
    first = after.direct if at_once and not after.relayed else after.relay
    if leaving:
        if episode.has_overlap:
            times = (time for time in due[sender] if time > move.down)
            return min((time + after.settled for time in times), default=None)
        return move.usable + first
    if episode.has_overlap and resilience == "hot":
        flight = Stand.before(scenario, episode).settled
        times = (time for time in due[sender] if time + flight > move.down)
        return min((time + after.settled for time in times), default=None)
    replayed = episode.moment + 2 * after.to_server[receiver]
    if after.relayed:  # the server remembers the last 200 ms and replays them
        return replayed
    if episode.has_overlap:
        return move.down + 2 * after.direct
    answered = move.usable + 2 * first
    patience = 2 * Stand.before(scenario, episode).direct + FRAME_CADENCE + MARGIN
    if episode.outage < patience and resilience != "hot":
        return answered  # the sender suspected nothing yet, and sent nothing by the server
    # In an outage the sender soon notices the silence. Frames wait at the server; and where the
    # receiver returns to an address at which it was heard before, one is always on its way there.
    if move.returns and episode.outage >= SOUGHT:
        arrivals = (time + after.direct for time in due[sender])
        answered = min(answered, *(time for time in arrivals if time >= move.usable))
    return min(answered, replayed)


def _silent_floor(
    direction: Direction,
    due: Due,
    scenario: Scenario,
    episode: Episode,
    resilience: Resilience,
    last: float,
) -> float | None:
    sender, _ = ENDS[direction]
    if episode.way is not None and episode.way[0].host != sender:
        return FRAME_CADENCE
    after = Stand.after(scenario, episode)
    old = Stand.before(scenario, episode).settled
    new = after.settled if episode.kind == "link dies" else after.relay
    if resilience != "hot":
        suspected = 2 * old + FRAME_CADENCE + MARGIN
        return suspected + FRAME_CADENCE + (new - old) + MARGIN
    if episode.kind == "NAT forgets" and sender == OTHER:
        opened = (time for time in due[MOVER] if time > episode.down)
        return min((time + 2 * after.to_server[MOVER] - last for time in opened), default=None)
    return FRAME_CADENCE + (new - old)
