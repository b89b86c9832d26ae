"""The ends and the server of the oracle: they know no rule but to flood. `oracle` says why.

Pure like a session: what arrives and what time it is goes in, `Parcel`s come out. Times are
seconds of one clock that both ends share, which an oracle may.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, TypeVar

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.events import Resilience
from p2pquic.lab.scenarios import FRAME_CADENCE

WINDOW = 0.340  # seconds a frame is sent again: 400 ms less the 60 ms a product may be later
MEMORY = 0.200  # seconds the server keeps what it may have handed on in vain
MARGIN = 0.030  # seconds that physics does not ask for, and prudence does
LEAN_PATIENCE = 0.250  # seconds more: who may not send copies must be sure before he switches
SILENCE = 3 * FRAME_CADENCE + MARGIN  # seconds after which an end that spoke is a silent one
ALARM = 0.1  # seconds of flooding after the last sign of trouble, and until it was answered
IDLE = 1.0  # seconds between two bundles on a way that carries no frames: keeps it known and open
MOST_ADDRESSES = 6  # of one end that are remembered: two interfaces, their past, and some
CREDIT = 1  # bundle of frames to an unproved address for one from there: of the three times that
# RFC 9000 section 8 allows, its challenges and responses of 1200 bytes (8.2.1) take the rest
EPSILON = 1e-6  # seconds: what sums of cadences may be off

RELAY = "relay"
Key = TypeVar("Key")
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
    the other end, `transits` by which of the other's ways it hears just now, in seconds. `echo`:
    when the newest datagram left that came to the sender by the very pair of addresses on which
    this one goes. `seen` is where the server saw the sender; empty on the direct way.
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
    echo: float = -math.inf
    seen: tuple[SocketAddress, ...] = ()


class Parcel(NamedTuple):
    """A bundle on its way out of a socket."""

    local: LocalSocket
    remote: SocketAddress
    bundle: Bundle


class Proofs:
    """Which addresses were shown to be the other end's, and what the others may be sent.

    RFC 9000 section 8 holds for a flood as well: whoever spoke from a forged address must not be
    able to direct it there. An echo from there proves an address, for good.
    """

    def __init__(self) -> None:
        self._credit: Counter[SocketAddress] = Counter()  # of addresses not proved
        self._first_sent: dict[SocketAddress, float] = {}
        self._proved: set[SocketAddress] = set()

    def came(self, remote: SocketAddress, bundle: Bundle) -> None:
        """It came from there."""
        self._credit[remote] += CREDIT * bool(bundle.frames)
        if bundle.echo >= self._first_sent.get(remote, math.inf):
            self._proved.add(remote)

    def sends(self, remote: SocketAddress, now: float) -> None:
        """A datagram leaves for there."""
        self._first_sent.setdefault(remote, now)

    def allow(self, remote: SocketAddress) -> bool:
        """Whether one bundle with frames may go there; it uses up credit."""
        if remote in self._proved:
            return True
        if not self._credit[remote]:
            return False
        self._credit[remote] -= 1
        return True


class Hearing(Generic[Key]):
    """By which ways somebody is heard, and how long each takes, in seconds.

    A way is heard once a second at least; while its sender floods, all the time. What is silent
    in a flood is dead, until it is heard again.
    """

    def __init__(self) -> None:
        self._last: dict[Key, tuple[float, float]] = {}  # when heard, transit

    def note(self, key: Key, bundle: Bundle, now: float) -> None:
        """A bundle came by a way."""
        self._last[key] = now, now - bundle.left
        self._forget(SILENCE if bundle.floods else IDLE + SILENCE, now)

    def transits(self) -> dict[Key, float]:
        """Of every way that is alive as far as anybody can know."""
        return {key: transit for key, (_, transit) in self._last.items()}

    def _forget(self, patience: float, now: float) -> None:
        for key, (heard_at, _) in list(self._last.items()):
            if now - heard_at > patience:
                del self._last[key]


@dataclass
class FloodingEnd:
    """One end. `arrivals`: when each frame of the other end was heard first; `contacts`: when
    anything of it was, in order.
    """

    name: str
    server: SocketAddress
    resilience: Resilience
    source: Source | None  # None: it only listens
    listens: bool
    began: float
    arrivals: dict[int, float] = field(default_factory=dict)
    contacts: list[float] = field(default_factory=list)
    _sockets: tuple[LocalSocket, ...] = ()
    _addresses: dict[SocketAddress, None] = field(default_factory=dict)  # of the other end
    _heard: int = -1
    _heard_at: float = -math.inf
    _ways: Hearing[Way] = field(default_factory=Hearing)  # of the other end
    _proofs: Proofs = field(default_factory=Proofs)
    _echoes: dict[tuple[LocalSocket, SocketAddress], float] = field(default_factory=dict)
    _acknowledged: int = -1
    _answer_due: dict[int, float] = field(default_factory=dict)  # by frame
    _reported: dict[Way, float] = field(default_factory=dict)  # transits of our ways
    _reported_left: float = -math.inf
    _trouble_until: float = -math.inf
    _flood_until: float = -math.inf
    _flooding_since: float = -math.inf
    _idle_due: float = -math.inf

    def __post_init__(self) -> None:
        self._heard_at = self.began
        if self.source is not None:
            self._acknowledged = self.source.young(self.began).stop - 1

    def set_sockets(self, sockets: Iterable[LocalSocket], now: float) -> list[Parcel]:
        """The kernel says that these are our sockets now: trouble, unless one more came."""
        before, self._sockets = self._sockets, tuple(sockets)
        if not before or set(before) - set(self._sockets):
            self._be_alarmed(now)
        return self._send(now, everywhere=True)

    def tick(self, now: float) -> list[Parcel]:
        """A cadence has passed."""
        if self._is_deaf(now) or self._is_unanswered(now):
            self._be_alarmed(now)
        elif now < self._flood_until and not self._is_answered():
            self._flood(now)
        return self._send(now)

    def receive(
        self, local: LocalSocket, remote: SocketAddress, bundle: Bundle, sent: float, now: float
    ) -> list[Parcel]:
        """A bundle of the other end arrived that left it, or the server, at `sent`."""
        self.contacts.append(now)
        self._echoes[local, remote] = sent
        if not bundle.seen:
            self._proofs.came(remote, bundle)
        known = set(self._addresses)
        for address in bundle.seen or (remote,):
            _remember(address, self._addresses)
        self._hear(bundle, now)
        was_flooding = now < self._flood_until
        if bundle.is_in_trouble:
            self._flood(now)
        is_news = self._addresses.keys() - known or (bundle.is_in_trouble and not was_flooding)
        return self._send(now, everywhere=True) if is_news else []

    def _hear(self, bundle: Bundle, now: float) -> None:
        self._ways.note(bundle.way, bundle, now)
        for seq in bundle.frames:
            self.arrivals.setdefault(seq, now)
        if bundle.frames and bundle.frames[-1] > self._heard:
            self._heard, self._heard_at = bundle.frames[-1], now
        while self._acknowledged < bundle.heard:
            self._acknowledged += 1
            self._answer_due.pop(self._acknowledged, None)
        if bundle.left > self._reported_left:
            self._reported, self._reported_left = bundle.transits, bundle.left

    def _be_alarmed(self, now: float) -> None:
        self._trouble_until = now + ALARM
        self._flood(now)

    def _flood(self, now: float) -> None:
        if now >= self._flood_until:
            self._flooding_since = now
        self._flood_until = now + ALARM

    def _is_answered(self) -> bool:
        """Whether what was sent since the flood began is known to have arrived."""
        if self.source is None:
            return not self.listens or self._heard_at > self._flooding_since
        return self.source.due(self._acknowledged) > self._flooding_since

    @property
    def _caution(self) -> float:
        return LEAN_PATIENCE if self.resilience == "lean" else 0.0

    def _is_deaf(self, now: float) -> bool:
        return self.listens and now - self._heard_at > SILENCE + self._caution

    def _is_unanswered(self, now: float) -> bool:
        return now > self._answer_due.get(self._acknowledged + 1, math.inf)

    def _expect_answer(self, seq: int, carrying: Sequence[Way], now: float) -> None:
        """A frame leaves for the first time: it should be acknowledged after a round trip."""
        round_trip = 2 * max((self._reported[way] for way in carrying), default=0.0)
        patience = round_trip + 2 * FRAME_CADENCE + MARGIN + self._caution
        self._answer_due.setdefault(seq, now + patience)

    def _carrying(self) -> list[Way]:
        """The ways that frames take in good times."""
        interfaces = {socket.interface for socket in self._sockets}
        ways = [way for way in self._reported if way.interface in interfaces]
        best = sorted(ways, key=self._reported.__getitem__)[:1]
        if best and self.resilience == "hot":
            best += sorted(
                (way for way in ways if way != best[0]),
                key=lambda way: (way.shares(best[0]), way.to == RELAY, self._reported[way]),
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
        if frames:
            self._expect_answer(frames[-1], carrying, now)
        bundle = Bundle(
            sender=self.name,
            way=Way("", ""),
            left=now,
            frames=NOTHING,
            is_in_trouble=now < self._trouble_until,
            floods=floods,
            wants_every_leg=floods or self.resilience == "hot",
            heard=self._heard,
            transits=self._ways.transits(),
        )
        return [
            Parcel(
                socket,
                remote,
                replace(
                    bundle,
                    way=way,
                    frames=frames if self._may_carry(way, remote, carrying, now) else NOTHING,
                    echo=self._echoes.get((socket, remote), -math.inf),
                ),
            )
            for socket, remote, way in ways
        ]

    def _may_carry(
        self, way: Way, remote: SocketAddress, carrying: Sequence[Way], now: float
    ) -> bool:
        is_wanted = now < self._flood_until or way in carrying
        if way.to == RELAY:
            return is_wanted
        self._proofs.sends(remote, now)
        return is_wanted and self._proofs.allow(remote)

    def _all_ways(self) -> Iterator[tuple[LocalSocket, SocketAddress, Way]]:
        for socket in self._sockets:
            yield socket, self.server, Way(socket.interface, RELAY)
            for address in self._addresses:
                yield socket, address, Way(socket.interface, str(address))


@dataclass
class _Seat:
    """One end as the server knows it: its addresses, and by which of them it is heard."""

    addresses: dict[SocketAddress, None] = field(default_factory=dict)  # newest last
    hearing: Hearing[SocketAddress] = field(default_factory=Hearing)
    wants_every_leg: bool = False
    last: Bundle | None = None  # with frames, from this end

    def targets(self) -> set[SocketAddress]:
        """The best address of those that are alive; all if it wants that or none is."""
        transits = self.hearing.transits()
        if self.wants_every_leg or not transits:
            return set(self.addresses)
        return {min(transits, key=transits.__getitem__)}


class FloodingServer:
    """Hands on every bundle to every address of the other end; frames as far as they are due."""

    def __init__(self, local: LocalSocket, first: str, second: str) -> None:
        self._local = local
        self._seats = {first: _Seat(), second: _Seat()}
        self._other = {first: second, second: first}
        self._proofs = Proofs()

    def receive(self, remote: SocketAddress, bundle: Bundle, now: float) -> list[Parcel]:
        """A bundle came from `remote`."""
        self._proofs.came(remote, bundle)
        mine, other = self._seats[bundle.sender], self._seats[self._other[bundle.sender]]
        is_new = remote not in mine.addresses
        _remember(remote, mine.addresses)
        mine.hearing.note(remote, bundle, now)
        mine.wants_every_leg = bundle.wants_every_leg
        stamped = replace(bundle, seen=tuple(mine.addresses))
        if bundle.frames:
            mine.last = stamped
        targets = other.addresses.keys() if bundle.floods else other.targets()
        parcels = []
        for address in other.addresses:
            self._proofs.sends(address, now)
            carries = address in targets and self._proofs.allow(address)
            each = stamped if carries else replace(stamped, frames=NOTHING)
            parcels.append(Parcel(self._local, address, each))
        if is_new and other.last is not None and now - other.last.left <= MEMORY:
            parcels.append(Parcel(self._local, remote, other.last))
        return parcels


def _remember(address: SocketAddress, addresses: dict[SocketAddress, None]) -> None:
    """Put an address behind all others; the one heard of longest ago may have to go."""
    addresses.pop(address, None)
    addresses[address] = None
    while len(addresses) > MOST_ADDRESSES:
        del addresses[next(iter(addresses))]
