"""A peer's brain: one link to the intermediate server, one call with each member that fits.

    sockets, datagrams, audio frames --> PeerSession --> datagrams, audio, trace
                                          |      |
                                  ControlLink  PairSession, PairSession ...

It sorts what arrives to whom it is for, passes messages between the link and the calls, and
gathers what they order. Audio leaves before signaling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2s
from typing import Literal, assert_never

from p2pquic.core.actions import Action, Finish, Log, SendDatagram, StartMedia
from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.deadlines import earliest
from p2pquic.core.drops import DropLimit
from p2pquic.core.errors import ProtocolError
from p2pquic.core.events import (
    DatagramReceived,
    DeadlinePassed,
    Event,
    HangUpRequested,
    MediaPacketReady,
    Resilience,
    ResilienceChosen,
    SocketsChanged,
)
from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.core.path import DirectPath
from p2pquic.core.trace import (
    Closed,
    Dropped,
    Failed,
    MemberIgnored,
    Observed,
    Record,
    Registered,
    ResilienceChanged,
    ServerTrusted,
)
from p2pquic.core.trace import MemberJoined as JoinedRecord
from p2pquic.core.trace import MemberLeft as LeftRecord
from p2pquic.quic.identity import Identity, fingerprint
from p2pquic.quic.packets import destination_connection_id, is_quic
from p2pquic.session.control_link import ControlLink
from p2pquic.session.pair_config import PairConfig, RelayUse
from p2pquic.session.pair_session import PairSession
from p2pquic.session.server_key import ServerKey
from p2pquic.wire import punch
from p2pquic.wire.relay_frame import decode, is_relay_frame
from p2pquic.wire.signaling import (
    INSTANCE_SIZE,
    MOST_CANDIDATES,
    MOST_MEMBERS,
    PROTOCOL_VERSION,
    Candidate,
    Candidates,
    Connect,
    Leave,
    Member,
    MemberJoined,
    MemberLeft,
    PeerCandidates,
    Refused,
    Register,
    RelayOpened,
    Role,
    ToPeer,
    Welcome,
)


@dataclass(frozen=True)
class PeerConfig:
    """What a person asks of a peer.

    `pin` is the SHA-256 of the server's public key (SPKI), 32 bytes; with None the key that the
    server proves to hold is taken on trust, and reported (`ServerTrusted`). `pin_advice` tells a
    person what to do if the server shows another. `give_up` is how many seconds a call may hear
    nothing before it ends, `buffer` how long what it hears may wait for its turn. `only` are the
    peer ids to have calls with; empty for everybody.
    """

    intermediate: SocketAddress
    pin: bytes | None
    role: Literal["sender", "receiver", "both"]
    room: str
    resilience: Resilience = "hedged"
    relay: RelayUse = "auto"
    give_up: float = 60.0
    buffer: DelayBounds = field(default_factory=DelayBounds)
    pin_advice: str = ""
    only: frozenset[str] = frozenset()


class PeerSession:
    """One peer in one room."""

    def __init__(
        self, config: PeerConfig, identity: Identity, entropy: Callable[[int], bytes]
    ) -> None:
        self._config = config
        self._resilience = config.resilience
        self._identity = identity
        self._entropy = entropy
        self._control = ControlLink(
            config.intermediate,
            identity,
            ServerKey(config.pin, config.pin_advice),
            Register(PROTOCOL_VERSION, config.room, config.role, entropy(INSTANCE_SIZE)),
        )
        self._pairs: dict[str, PairSession] = {}
        self._offered: dict[str, list[Candidate]] = {}
        self._round = 0
        self._told_observed: dict[LocalSocket, SocketAddress] = {}
        self._sockets: tuple[LocalSocket, ...] = ()
        self._registered = False
        self._frame = 0
        self._media_started = False
        self._server_lost: str | None = None  # for good
        self._server_away: str | None = None  # why, as we told
        self._newcomers: dict[str, Member] = {}  # started anew, while we still talk to their past
        self._drops = DropLimit()
        self._actions: list[Action] = []

    @property
    def deadline(self) -> float | None:
        """The earliest timer of the link and the calls."""
        times = [self._control.deadline, *[pair.deadline for pair in self._pairs.values()]]
        return earliest(times)

    def handle(self, event: Event, now: float) -> list[Action]:
        """React to one event."""
        match event:
            case SocketsChanged(sockets):
                self._on_sockets(sockets, now)
            case DatagramReceived(local, remote, data):
                try:
                    self._on_datagram(local, remote, data, now)
                except ProtocolError as error:
                    self._drop(str(error), remote, now)
            case MediaPacketReady(rtp):
                for pair in self._pairs.values():
                    if pair.config.sends:
                        pair.on_frame(self._frame, rtp, now)
                self._frame += 1
            case DeadlinePassed():
                self._on_deadline(now)
            case ResilienceChosen(resilience):
                if resilience != self._resilience:
                    self._log(ResilienceChanged(resilience))
                self._resilience = resilience
                for pair in self._pairs.values():
                    pair.choose_resilience(resilience)
            case HangUpRequested(reason):
                return self._hang_up(reason, now)
            case _:
                assert_never(event)
        return self._gather(now)

    # ---- what arrives ------------------------------------------------------------------------

    def _on_sockets(self, sockets: tuple[LocalSocket, ...], now: float) -> None:
        self._sockets = sockets
        self._control.set_sockets(sockets, now)
        self._tell_where_we_are(now)

    def _on_datagram(
        self, local: LocalSocket, remote: SocketAddress, data: bytes, now: float
    ) -> None:
        if is_relay_frame(data):
            if remote == self._config.intermediate:
                session = decode(data).session
                for pair in self._pairs.values():
                    if pair.relay_session == session:
                        pair.on_relay_frame(local, data, now)
        elif punch.is_punch(data):
            probe = punch.decode(data)
            pair_named = self._pairs.get(probe.username.partition(":")[2])
            if pair_named is not None:
                pair_named.on_punch(local, remote, probe, now)
        elif is_quic(data) and (connection_id := destination_connection_id(data)) is not None:
            self._on_quic(local, remote, connection_id, data, now)

    def _on_quic(
        self,
        local: LocalSocket,
        remote: SocketAddress,
        connection_id: bytes,
        data: bytes,
        now: float,
    ) -> None:
        for pair in self._pairs.values():
            if pair.owns(connection_id):
                pair.on_quic(DirectPath(local, remote), data, now)
                return
        if self._control.owns(connection_id):
            if remote == self._config.intermediate:
                self._obey(self._control.receive(local, data, now), now)
            return
        for pair in self._pairs.values():
            if pair.expects(local, remote):
                pair.on_quic(DirectPath(local, remote), data, now)
                return

    def _on_deadline(self, now: float) -> None:
        if (due := self._control.deadline) is not None and now >= due:
            self._obey(self._control.tick(now), now)
        for pair in self._pairs.values():
            if (due := pair.deadline) is not None and now >= due:
                pair.tick(now)

    def _drop(self, fault: str, source: SocketAddress, now: float) -> None:
        if self._drops.allows(now):
            self._log(Dropped(fault, str(source)))

    # ---- what the server says ----------------------------------------------------------------

    def _obey(self, messages: list[ToPeer], now: float) -> None:
        if (key_hash := self._control.key.take_newly_trusted()) is not None:
            self._log(ServerTrusted(str(self._config.intermediate), fingerprint(key_hash)))
        for message in messages:
            match message:
                case Welcome(peer, observed, members):
                    self._registered = True
                    self._offered.clear()  # a server that was away knows nothing of us
                    self._log(Registered(peer, self._config.room, str(observed)))
                    for member in members:
                        self._meet(member, now)
                case MemberJoined(member):
                    self._meet(member, now)
                case MemberLeft(peer):
                    self._part(peer)
                case RelayOpened(peer):
                    if peer in self._pairs:
                        self._pairs[peer].open_relay(message, now)
                case PeerCandidates(peer, round_, candidates, observed):
                    if peer in self._pairs:
                        remotes = [candidate.address for candidate in candidates]
                        if observed is not None:
                            remotes.append(observed)
                        self._pairs[peer].set_candidates(round_, remotes, now)
                case Refused(reason):
                    self._control.failure = reason
                case _:
                    assert_never(message)
        self._tell_where_we_are(now)

    def _meet(self, member: Member, now: float) -> None:
        """Call a member if one of us has something for the other."""
        if self._config.only and member.peer not in self._config.only:
            self._log(MemberIgnored(member.peer, member.role))
            return
        self._log(JoinedRecord(member.peer, member.role))
        sends = _talks(self._config.role) and _listens(member.role)
        receives = _talks(member.role) and _listens(self._config.role)
        if not (sends or receives):
            return
        self._offered.pop(member.peer, None)
        old = self._pairs.get(member.peer)
        if old is not None and not old.is_over:
            self._meet_again(old, member)
            return
        if len(self._pairs) >= MOST_MEMBERS - 1:
            return  # a room has no more; a server that says otherwise is not heard
        config = PairConfig(
            me=self._identity.peer_id,
            other=member,
            server=self._config.intermediate,
            sends=sends,
            receives=receives,
            resilience=self._resilience,
            relay=self._config.relay,
            give_up=self._config.give_up,
            buffer=self._config.buffer,
        )
        pair = PairSession(config, self._identity, self._entropy, now)
        pair.set_sockets(self._sockets, self._control.local, now)
        if self._config.relay == "never":
            pair.use_punch_key(_punch_key_of_strangers(config.me, member.peer))
        self._pairs[member.peer] = pair
        self._control.send(Connect(member.peer))

    def _meet_again(self, pair: PairSession, member: Member) -> None:
        """The server was away, and has forgotten who calls whom; or the member was."""
        if member.instance != pair.config.other.instance:
            self._newcomers[member.peer] = member
        elif not pair.is_connected:
            self._control.send(Connect(member.peer))

    def _call_newcomers(self, now: float) -> None:
        """Call who was started anew, once the call with its past has fallen silent.

        Until then there may be two of it: what the server says ends no call that lives.
        """
        for peer, member in list(self._newcomers.items()):
            pair = self._pairs.get(peer)
            if pair is not None and pair.is_connected and pair.doubted_since is None:
                continue
            del self._newcomers[peer]
            if pair is not None:
                pair.close("the other end was started anew")
                self._actions += [*pair.flush(now), *pair.drain()]
                del self._pairs[peer]
            self._meet(member, now)

    def _part(self, peer: str) -> None:
        """The server lost sight of a member; a call that runs goes on without it."""
        self._log(LeftRecord(peer))
        pair = self._pairs.get(peer)
        if pair is not None and not pair.is_connected:
            del self._pairs[peer]

    # ---- what we do --------------------------------------------------------------------------

    def _tell_where_we_are(self, now: float) -> None:
        """The kernel or the server may just have told us something new about that."""
        for pair in self._pairs.values():
            pair.set_sockets(self._sockets, self._control.local, now)
        for local, address in self._control.observed.items():
            if self._told_observed.get(local) != address:
                self._log(Observed(str(local), str(address)))
        self._told_observed = dict(self._control.observed)
        self._offer_candidates()

    def _gather(self, now: float) -> list[Action]:
        """Everything ordered by one event: audio, then signaling, then the record of it."""
        sends: list[SendDatagram] = []
        others: list[Action] = []
        if self._newcomers:
            self._call_newcomers(now)
        for pair in self._pairs.values():
            sends += pair.flush(now)
            for action in pair.drain():
                if isinstance(action, SendDatagram):
                    sends.append(action)
                else:
                    others.append(action)
            self._look_into_doubt(pair, now)
        sends += self._control.flush(now)
        if not self._media_started and any(
            pair.is_connected and pair.config.sends for pair in self._pairs.values()
        ):
            self._media_started = True
            others.append(StartMedia())
        self._pairs = {
            peer: pair
            for peer, pair in self._pairs.items()
            if not pair.is_over and (pair.is_connected or self._server_lost is None)
        }
        self._note_absence_of_the_server()
        own, self._actions = self._actions, []
        actions = [*sends, *own, *others]
        if self._control.failure is not None:
            actions += self._on_server_lost(self._control.failure)
        elif self._server_lost is not None and not self._pairs:
            actions += self._on_server_lost(self._server_lost)
        return actions

    def _look_into_doubt(self, pair: PairSession, now: float) -> None:
        """Ask the server, once per doubt also on the other end's behalf.

        The server stamps candidates with the address it sees, so the same ones may be news there: a
        NAT that forgot us has given us another address, of which nobody told us.
        """
        if pair.doubted_since is None:
            return
        self._control.hurry(now)
        if pair.has_new_doubt():
            self._offered.pop(pair.remote, None)
            self._offer_candidates()

    def _note_absence_of_the_server(self) -> None:
        told, self._server_away = self._server_away, self._control.lost
        if self._server_away not in (None, told):
            self._log(Failed(f"{self._server_away} It is tried again; calls go on."))

    def _on_server_lost(self, reason: str) -> list[Action]:
        """Without a server there is nobody to meet; running calls go on."""
        self._control.failure = None
        self._server_lost = reason
        if self._pairs:
            return [Log(Failed(f"{reason} The call goes on."))]
        return [Log(Failed(reason)), Log(Closed(reason)), Finish(reason, failed=True)]

    def _offer_candidates(self) -> None:
        """Tell each member under which addresses we may be reached, when they changed."""
        if not self._registered or self._config.relay == "only" or not self._sockets:
            return
        mine = [Candidate(socket.host, socket.port, "host") for socket in self._sockets]
        mine += [
            Candidate(address.host, address.port, "server-reflexive")
            for socket, address in self._control.observed.items()
            if address != socket.address
        ]
        mine = mine[:MOST_CANDIDATES]
        for peer in self._pairs:
            if self._offered.get(peer) != mine:
                self._round += 1
                self._offered[peer] = mine
                self._control.send(Candidates(peer, self._round, mine))

    def _hang_up(self, reason: str, now: float) -> list[Action]:
        for pair in self._pairs.values():
            pair.close(reason)
        farewell: list[Action] = []
        for pair in self._pairs.values():
            farewell += pair.flush(now)
            farewell += pair.drain()
        if self._registered:
            self._control.send(Leave())
            farewell += self._control.flush(now)
        self._control.close(reason)
        farewell += self._control.flush(now)
        return [*self._actions, *farewell, Log(Closed(reason)), Finish(reason)]

    def _log(self, record: Record) -> None:
        self._actions.append(Log(record))


def _talks(role: Role) -> bool:
    return role != "receiver"


def _listens(role: Role) -> bool:
    return role != "sender"


def _punch_key_of_strangers(me: str, other: str) -> bytes:
    """The key of the first punches where no relay carries the handshake that would give one.

    It keeps strangers off the path out; the handshake that follows proves who is there.
    """
    return blake2s("".join(sorted((me, other))).encode(), person=b"p2pquic1").digest()
