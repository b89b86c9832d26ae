"""A peer's brain: a link to each intermediate server, one call with each member that fits.

    sockets, datagrams, audio frames --> PeerSession --> datagrams, audio, trace
                                          |      |
                                  ServerLinks  PeerCalls: PairSession, PairSession ...

It sorts what arrives to whom it is for, passes messages between the links and the calls, and
gathers what they order. Audio leaves before signaling. When our sockets change, the calls follow
one by one; what is due of several calls is done one call at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from p2pquic.core.actions import Action, Finish, Log, SendDatagram, StartMedia
from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.deadlines import earliest
from p2pquic.core.drops import DropLimit
from p2pquic.core.errors import ProtocolError
from p2pquic.core.events import (
    DatagramReceived,
    DeadlinePassed,
    Event,
    HangUpRequested,
    MediaPacketReady,
    Requested,
    ResilienceChosen,
    Resumed,
    SocketsChanged,
)
from p2pquic.core.path import DirectPath
from p2pquic.core.trace import (
    Closed,
    Dropped,
    Failed,
    Observed,
    Record,
    Registered,
    ReserveChanged,
    ResilienceChanged,
    ServerTrusted,
    WokeUp,
)
from p2pquic.quic.identity import Identity, fingerprint
from p2pquic.quic.packets import destination_connection_id, is_quic
from p2pquic.session.control_link import ControlLink
from p2pquic.session.pair_session import PairSession
from p2pquic.session.peer_calls import PeerCalls
from p2pquic.session.peer_config import PeerConfig
from p2pquic.session.reserve import Reserve
from p2pquic.session.server_links import ServerLinks
from p2pquic.wire import punch
from p2pquic.wire.relay_frame import decode, is_relay_frame
from p2pquic.wire.signaling import (
    INSTANCE_SIZE,
    PROTOCOL_VERSION,
    MemberJoined,
    MemberLeft,
    PeerCandidates,
    Refused,
    Register,
    RelayOpened,
    ToPeer,
    Wanted,
    Welcome,
)


class PeerSession:
    """One peer in one room."""

    def __init__(
        self, config: PeerConfig, identity: Identity, entropy: Callable[[int], bytes]
    ) -> None:
        self._config = config
        hello = Register(PROTOCOL_VERSION, config.room, config.role, entropy(INSTANCE_SIZE))
        self._links = ServerLinks(config, identity, hello)
        families = {each.family for server in config.servers for each in server.address.addresses}
        self._reserve = Reserve(config.interfaces, families)
        self._actions: list[Action] = []
        self._calls = PeerCalls(config, identity, entropy, self._links, self._actions)
        self._reluctant: list[str] = []  # interfaces in use that are to be avoided
        self._told_observed: list[tuple[LocalSocket, SocketAddress]] = []
        self._frame = 0
        self._media_started = False
        self._silent: list[ServerAddress] = []  # the servers that did not answer when last seen
        self._told_failure: str | None = None  # of all servers
        self._drops = DropLimit()

    @property
    def deadline(self) -> float | None:
        """The earliest timer of the links and the calls."""
        times = [self._links.deadline, *[pair.deadline for pair in self._calls]]
        return earliest([*times, self._reserve.deadline, self._calls.follow_at])

    def call(self, remote: str) -> PairSession | None:
        """The call with this member, to be asked how it stands."""
        return self._calls.get(remote)

    def handle(self, event: Event, now: float) -> list[Action]:
        """React to one event."""
        if self._calls.follow_at is not None and not isinstance(event, DeadlinePassed):
            self._calls.follow_sockets(now)
        match event:
            case SocketsChanged(sockets):
                self._reserve.set_sockets(sockets)
                self._use_sockets(now)
            case DatagramReceived(local, remote, data):
                try:
                    self._on_datagram(local, remote, data, now)
                except ProtocolError as error:
                    self._drop(str(error), remote, now)
            case MediaPacketReady(rtp):
                for pair in self._calls:
                    if pair.config.sends:
                        pair.on_frame(self._frame, rtp, now)
                self._frame += 1
            case DeadlinePassed():
                self._on_deadline(now)
            case Resumed(asleep):
                self._log(WokeUp(round(asleep, 3)))
                self._on_resumed(now)
            case Requested(remote, request):
                if (called := self._calls.get(remote)) is not None:
                    called.on_request(request, now)
            case ResilienceChosen(resilience):
                if resilience != self._calls.resilience:
                    self._log(ResilienceChanged(resilience))
                self._calls.choose_resilience(resilience)
            case HangUpRequested(reason):
                return self._hang_up(reason, now)
            case _:
                assert_never(event)
        if (
            self._calls.follow_at is None
            and self._reserve.has_choice
            and self._reserve.judge(is_needed=self._is_in_need(), now=now)
        ):
            self._use_sockets(now)
        return self._gather(now)

    # ---- what arrives ------------------------------------------------------------------------

    def _on_datagram(
        self, local: LocalSocket, remote: SocketAddress, data: bytes, now: float
    ) -> None:
        if local not in self._calls.sockets:
            return  # it stands in reserve again; what comes there was on the way
        if is_relay_frame(data):
            session = decode(data).session
            for pair in self._calls:
                if pair.has_relay(remote, session):
                    pair.on_relay_frame(local, remote, data, now)
        elif punch.is_punch(data):
            probe = punch.decode(data)
            pair_named = self._calls.get(probe.username.partition(":")[2])
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
        for pair in self._calls:
            if pair.owns(connection_id):
                pair.on_quic(DirectPath(local, remote), data, now)
                return
        said = self._links.receive(local, remote, connection_id, data, now)
        if said is not None:
            self._obey(*said, now)
            return
        for pair in self._calls:
            if pair.expects(local, remote):
                pair.on_quic(DirectPath(local, remote), data, now)
                return

    def _on_deadline(self, now: float) -> None:
        """One call at a time: its packets leave, and what came is read, before the next."""
        if self._calls.follow_at is not None:
            self._calls.follow_next(now)
            return
        self._tick_links(now)
        due = {pair: at for pair in self._calls if (at := pair.deadline) is not None and at <= now}
        if due:
            min(due, key=due.__getitem__).tick(now)  # the one that waits longest

    def _tick_links(self, now: float) -> None:
        for link, messages in self._links.tick(now):
            self._obey(link, messages, now)

    def _on_resumed(self, now: float) -> None:
        """Whatever became due meanwhile is done now, and nothing that lived before is believed."""
        self._tick_links(now)
        for pair in self._calls:
            if (due := pair.deadline) is not None and now >= due:
                pair.tick(now)
        self._links.hurry(now)
        for pair in self._calls:
            pair.on_resumed(now)

    def _drop(self, fault: str, source: SocketAddress, now: float) -> None:
        if self._drops.allows(now):
            self._log(Dropped(fault, str(source)))

    # ---- what the servers say ----------------------------------------------------------------

    def _obey(self, link: ControlLink, messages: list[ToPeer], now: float) -> None:
        server = link.server
        if (key_hash := link.key.take_newly_trusted()) is not None:
            self._log(ServerTrusted(str(server), fingerprint(key_hash)))
        for message in messages:
            match message:
                case Welcome(peer, observed, members):
                    self._links.welcomed(server)
                    self._log(Registered(peer, self._config.room, str(observed), str(server)))
                    self._calls.enter(server, members, now)
                case MemberJoined(member):
                    self._calls.meet(server, member, now)
                case MemberLeft(peer):
                    self._calls.part(server, peer)
                case Wanted(peer):
                    self._calls.on_wanted(server, peer)
                case RelayOpened(peer):
                    if (pair := self._calls.get(peer)) is not None:
                        pair.open_relay(server, message, now)
                case PeerCandidates(peer, round_, candidates, observed):
                    if (pair := self._calls.get(peer)) is not None:
                        remotes = [candidate.address for candidate in candidates]
                        if observed is not None:
                            remotes.append(observed)
                        pair.set_candidates(round_, remotes, now)
                case Refused(reason):
                    link.failure = reason
                case _:
                    assert_never(message)
        self._calls.follow_sockets(now)
        self._tell_where_we_are()

    # ---- what we do --------------------------------------------------------------------------

    def _use_sockets(self, now: float) -> None:
        sockets = self._reserve.in_use
        reluctant = sorted({each.interface for each in sockets if self._reserve.avoids(each)})
        if reluctant != self._reluctant:
            self._log(ReserveChanged(reluctant or self._reluctant, used=bool(reluctant)))
        self._reluctant = reluctant
        self._calls.sockets = sockets
        self._links.set_sockets(sockets, now)
        self._calls.begin_to_follow(now)
        self._tell_where_we_are()

    def _is_in_need(self) -> bool:
        """Whether, beside the interfaces to avoid, none is known to live."""
        heard = [
            link
            for link in self._links
            if link.local is not None and not self._reserve.avoids(link.local)
        ]
        calls = [pair for pair in self._calls if pair.is_connected]
        if not calls:
            return all(link.lost is not None or link.is_overdue for link in heard)
        return any(
            self._config.interfaces.avoids(pair.interface)
            or (
                pair.doubted_since is not None
                and not any(link.works_since(pair.doubted_since) for link in heard)
            )
            for pair in calls
        )

    def _tell_where_we_are(self) -> None:
        """The kernel or a server may just have told us something new about that."""
        told, self._told_observed = self._told_observed, self._links.observed
        for local, address in self._told_observed:
            if (local, address) not in told:
                self._log(Observed(str(local), str(address)))
        self._calls.offer_candidates()

    def _gather(self, now: float) -> list[Action]:
        """Everything ordered by one event: audio, then signaling, then the record of it."""
        sends: list[SendDatagram] = []
        others: list[Action] = []
        self._calls.call_newcomers(now)
        if not self._links.are_at_rest:
            self._leave_silent_servers(now)
        for pair in self._calls:
            sends += pair.flush(now)
            for action in pair.drain():
                if isinstance(action, SendDatagram):
                    sends.append(action)
                else:
                    others.append(action)
            self._look_into_doubt(pair, now)
        self._calls.forget_finished(now, server_is_lost=self._told_failure is not None)
        if self._calls.follow_at is not None:
            # Told, and servers asked, when the audio of all calls has left.
            self._actions = [_dated(each, now) for each in [*self._actions, *others]]
            return [*sends]
        sends += self._links.flush(now)
        if not self._media_started and any(
            pair.is_connected and pair.config.sends for pair in self._calls
        ):
            self._media_started = True
            others.append(StartMedia())
        for sentence in self._links.judge(now):
            self._log(Failed(sentence))
        actions = [*sends, *self._actions, *others]
        self._actions.clear()
        return actions + self._end_without_servers()

    def _leave_silent_servers(self, now: float) -> None:
        before, self._silent = self._silent, self._links.silent
        for server in self._silent:
            if server not in before:
                self._calls.begin_elsewhere(server, now)

    def _look_into_doubt(self, pair: PairSession, now: float) -> None:
        """Ask the servers, once per doubt also on the other end's behalf.

        A server stamps candidates with the address it sees, so the same ones may be news there: a
        NAT that forgot us has given us another address, of which nobody told us.
        """
        if pair.doubted_since is None:
            return
        self._links.hurry(now)
        if pair.has_new_doubt():
            self._calls.offer_anew(pair.remote)

    def _end_without_servers(self) -> list[Action]:
        """Without a server there is nobody to meet; running calls go on."""
        told, self._told_failure = self._told_failure, self._links.failure
        reason = self._told_failure
        if reason is None:
            return []
        if self._calls:
            return [] if reason == told else [Log(Failed(f"{reason} The call goes on."))]
        return [Log(Failed(reason)), Log(Closed(reason)), Finish(reason, failed=True)]

    def _hang_up(self, reason: str, now: float) -> list[Action]:
        for pair in self._calls:
            pair.close(reason)
        farewell: list[Action] = []
        for pair in self._calls:
            farewell += pair.flush(now)
            farewell += pair.drain()
        self._links.leave()
        farewell += self._links.flush(now)
        self._links.close(reason)
        farewell += self._links.flush(now)
        return [*self._actions, *farewell, Log(Closed(reason)), Finish(reason)]

    def _log(self, record: Record) -> None:
        self._actions.append(Log(record))


def _dated(action: Action, now: float) -> Action:
    """What is told later than it happens says when it did."""
    if isinstance(action, Log) and action.happened_at is None:
        return Log(action.record, now)
    return action
