"""The ends and the server of the oracle: they know no rule but to flood. `oracle` says why.

Pure like a session: what arrives and what time it is goes in, `Parcel`s come out. Times are
seconds of one clock that both ends share, which an oracle may.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.events import Resilience
from p2pquic.lab.scenarios import FRAME_CADENCE

WINDOW = 0.340  # seconds a frame is sent again: 400 ms less the 60 ms a product may be later
MEMORY = 0.200  # seconds the server keeps what it may have handed on in vain
MARGIN = 0.030  # seconds that physics does not ask for, and prudence does
SILENCE = 3 * FRAME_CADENCE + MARGIN  # seconds after which an end that spoke is a silent one
ALARM = 0.5  # seconds of flooding after the last sign of trouble
IDLE = 1.0  # seconds between two bundles on a way that carries no frames: keeps it known and open
MOST_ADDRESSES = 6  # of one end that are remembered: two interfaces, their past, and some
EPSILON = 1e-6  # seconds: what sums of cadences may be off

RELAY = "relay"
NOTHING = range(0)  # no frames


class Way(NamedTuple):
    """How a bundle left an end: by which interface, to which address or the relay."""

    interface: str
    to: str

    def shares(self, other: Way) -> int:
        """How much two ways have in common."""
        return (self.interface == other.interface) + (self.to == other.to)


class Source(NamedTuple):
    """The frames of an end: number n is due at `origin` + n cadences, until `end`."""

    origin: float
    end: float

    def due(self, seq: int) -> float:
        """When a frame is due."""
        return self.origin + seq * FRAME_CADENCE

    def young(self, now: float) -> range:
        """The frames that are due and not too old to send."""
        newest = math.floor((min(now, self.end) - self.origin) / FRAME_CADENCE + EPSILON)
        oldest = math.ceil((now - WINDOW - self.origin) / FRAME_CADENCE - EPSILON)
        return range(max(0, oldest), newest + 1)


@dataclass(frozen=True, slots=True)
class Bundle:
    """All that an end has to say at one moment.

    `is_in_trouble`: it sees a sign of trouble itself; `floods`: it sends everywhere;
    `wants_every_leg`: frames shall be relayed to all its addresses. `heard` is the newest frame of
    the other end, `transits`
    by which of the other's ways it hears just now, in seconds. `seen` is where the server saw the
    sender; empty on the direct way.
    """

    sender: str
    way: Way
    left: float
    frames: range
    is_in_trouble: bool
    floods: bool
    wants_every_leg: bool
    heard: int
    transits: dict[Way, float]
    seen: tuple[SocketAddress, ...] = ()


class Parcel(NamedTuple):
    """A bundle on its way out of a socket."""

    local: LocalSocket
    remote: SocketAddress
    bundle: Bundle


@dataclass
class FloodingEnd:
    """One end. `arrivals`: when each frame of the other end was heard first."""

    name: str
    server: SocketAddress
    resilience: Resilience
    source: Source | None  # None: it only listens
    listens: bool
    began: float
    arrivals: dict[int, float] = field(default_factory=dict)
    _sockets: tuple[LocalSocket, ...] = ()
    _addresses: dict[SocketAddress, None] = field(default_factory=dict)  # of the other end
    _heard: int = -1
    _heard_at: float = -math.inf
    _ways: dict[Way, tuple[float, float]] = field(default_factory=dict)  # last heard, transit
    _acknowledged: int = -1
    _reported: dict[Way, float] = field(default_factory=dict)  # transits of our ways
    _reported_left: float = -math.inf
    _trouble_until: float = -math.inf
    _flood_until: float = -math.inf
    _other_floods: bool = False
    _idle_due: float = -math.inf

    def __post_init__(self) -> None:
        self._heard_at = self.began
        if self.source is not None:
            self._acknowledged = self.source.young(self.began).stop - 1

    def set_sockets(self, sockets: Iterable[LocalSocket], now: float) -> list[Parcel]:
        """The kernel says that these are our sockets now."""
        self._sockets = tuple(sockets)
        self._be_alarmed(now)
        return self._send(now)

    def tick(self, now: float) -> list[Parcel]:
        """A cadence has passed."""
        if self._is_deaf(now) or self._is_unanswered(now):
            self._be_alarmed(now)
        return self._send(now)

    def receive(self, remote: SocketAddress, bundle: Bundle, now: float) -> list[Parcel]:
        """A bundle of the other end arrived, from it or by the server."""
        known = set(self._addresses)
        for address in bundle.seen or (remote,):
            self._addresses.pop(address, None)
            self._addresses[address] = None
        while len(self._addresses) > MOST_ADDRESSES:
            del self._addresses[next(iter(self._addresses))]
        self._hear(bundle, now)
        was_flooding = now < self._flood_until
        if bundle.is_in_trouble:
            self._flood_until = max(self._flood_until, now + ALARM)
        is_news = self._addresses.keys() - known or (bundle.is_in_trouble and not was_flooding)
        return self._send(now, everywhere=True) if is_news else []

    def _hear(self, bundle: Bundle, now: float) -> None:
        self._ways[bundle.way] = now, now - bundle.left
        for seq in bundle.frames:
            self.arrivals.setdefault(seq, now)
        if bundle.frames and bundle.frames[-1] > self._heard:
            self._heard, self._heard_at = bundle.frames[-1], now
        self._acknowledged = max(self._acknowledged, bundle.heard)
        if bundle.left > self._reported_left:
            self._reported, self._reported_left = bundle.transits, bundle.left
            self._other_floods = bundle.floods

    def _be_alarmed(self, now: float) -> None:
        self._trouble_until = self._flood_until = now + ALARM

    def _is_deaf(self, now: float) -> bool:
        return self.listens and now - self._heard_at > SILENCE

    def _is_unanswered(self, now: float) -> bool:
        if self.source is None or not self._reported:
            return self.source is not None
        round_trip = 2 * min(self._reported.values())
        waiting_since = self.source.due(self._acknowledged + 1)
        return (
            waiting_since <= self.source.end
            and now - waiting_since > round_trip + 2 * FRAME_CADENCE + MARGIN
        )

    def _carrying(self) -> list[Way]:
        """The ways that frames take in good times."""
        interfaces = {socket.interface for socket in self._sockets}
        ways = [way for way in self._reported if way.interface in interfaces]
        best = sorted(ways, key=self._reported.__getitem__)[:1]
        if best and self.resilience == "hot":
            best += sorted(
                (way for way in ways if way != best[0]),
                key=lambda way: (way.shares(best[0]), self._reported[way]),
            )[:1]
        return best

    def _send(self, now: float, *, everywhere: bool = False) -> list[Parcel]:
        floods = now < self._flood_until
        carrying = self._carrying()
        if everywhere or floods or not carrying or now >= self._idle_due:
            ways = list(self._all_ways())
            self._idle_due = now + IDLE
        else:
            ways = [each for each in self._all_ways() if each[2] in carrying]
        frames = self.source.young(now) if self.source is not None else NOTHING
        bundle = Bundle(
            sender=self.name,
            way=Way("", ""),
            left=now,
            frames=NOTHING,
            is_in_trouble=now < self._trouble_until,
            floods=floods,
            wants_every_leg=floods or self.resilience == "hot",
            heard=self._heard,
            transits={
                way: transit
                for way, (heard_at, transit) in self._ways.items()
                if now - heard_at <= patience(self._other_floods)
            },
        )
        return [
            Parcel(
                socket,
                remote,
                replace(bundle, way=way, frames=frames if floods or way in carrying else NOTHING),
            )
            for socket, remote, way in ways
        ]

    def _all_ways(self) -> Iterator[tuple[LocalSocket, SocketAddress, Way]]:
        for socket in self._sockets:
            yield socket, self.server, Way(socket.interface, RELAY)
            for address in self._addresses:
                yield socket, address, Way(socket.interface, str(address))


def patience(floods: bool) -> float:
    """Seconds after which a way is a silent one, by whether its sender floods."""
    return SILENCE if floods else IDLE + SILENCE


@dataclass
class _Seat:
    """One end as the server knows it: when each of its addresses was heard, and the transit."""

    heard: dict[SocketAddress, tuple[float, float]] = field(default_factory=dict)
    floods: bool = False
    wants_every_leg: bool = False
    last: Bundle | None = None  # from this end

    def targets(self, now: float) -> set[SocketAddress]:
        """The best address of those that are not silent; all if it wants that or is silent."""
        live = {
            address: transit
            for address, (heard_at, transit) in self.heard.items()
            if now - heard_at <= patience(self.floods)
        }
        if self.wants_every_leg or not live:
            return set(self.heard)
        return {min(live, key=live.__getitem__)}


class FloodingServer:
    """Hands on every bundle to every address of the other end; frames as far as they are due."""

    def __init__(self, local: LocalSocket, first: str, second: str) -> None:
        self._local = local
        self._seats = {first: _Seat(), second: _Seat()}
        self._other = {first: second, second: first}

    def receive(self, remote: SocketAddress, bundle: Bundle, now: float) -> list[Parcel]:
        """A bundle came from `remote`."""
        mine, other = self._seats[bundle.sender], self._seats[self._other[bundle.sender]]
        is_new = remote not in mine.heard
        mine.heard.pop(remote, None)
        mine.heard[remote] = now, now - bundle.left
        while len(mine.heard) > MOST_ADDRESSES:
            del mine.heard[next(iter(mine.heard))]
        mine.floods, mine.wants_every_leg = bundle.floods, bundle.wants_every_leg
        stamped = replace(bundle, seen=tuple(mine.heard))
        if bundle.frames:
            mine.last = stamped
        targets = other.heard.keys() if bundle.floods else other.targets(now)
        parcels = [
            Parcel(
                self._local,
                address,
                stamped if address in targets else replace(stamped, frames=NOTHING),
            )
            for address in other.heard
        ]
        if is_new and other.last is not None and now - other.last.left <= MEMORY:
            parcels.append(Parcel(self._local, remote, other.last))
        return parcels
