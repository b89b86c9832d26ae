"""The calls of one peer: with whom, and where each of them was told that we are.

    a server says       who is there, who came, who was started anew, who left
    we say to it        Connect, for everybody with whom there is something to share; Candidates

What a server says begins calls, and ends none that lives. With each member there is one call,
however many servers list it: to each of these we say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2s

from p2pquic.core.actions import Action, Log
from p2pquic.core.addresses import LocalSocket, ServerAddress, may_be_offered
from p2pquic.core.events import Resilience
from p2pquic.core.trace import MemberIgnored, Record
from p2pquic.core.trace import MemberJoined as JoinedRecord
from p2pquic.core.trace import MemberLeft as LeftRecord
from p2pquic.quic.identity import Identity
from p2pquic.session.members import Members
from p2pquic.session.pair_config import PairConfig
from p2pquic.session.pair_session import PairSession
from p2pquic.session.peer_config import PeerConfig
from p2pquic.session.server_links import ServerLinks
from p2pquic.wire.signaling import (
    MOST_CANDIDATES,
    MOST_MEMBERS,
    Candidate,
    Candidates,
    Connect,
    Member,
    Role,
)

SILENT_ENOUGH = 0.5  # seconds of doubt after which the server is believed that a call has ended


class PeerCalls:
    """At most one call with each member. What happens to them here is ordered in `actions`."""

    def __init__(
        self,
        config: PeerConfig,
        identity: Identity,
        entropy: Callable[[int], bytes],
        links: ServerLinks,
        actions: list[Action],
    ) -> None:
        self.resilience: Resilience = config.resilience
        self.sockets: tuple[LocalSocket, ...] = ()
        self._config = config
        self._identity = identity
        self._entropy = entropy
        self._links = links
        self._actions = actions
        self._pairs: dict[str, PairSession] = {}
        self._members = Members([server.address for server in config.servers])
        self._newcomers: dict[str, Member] = {}  # want a new call, while the old one is not over
        self._offered: dict[str, list[Candidate]] = {}
        self._round = 0
        self._behind: list[str] = []  # the calls that have not followed our sockets yet
        self._moved_at = 0.0  # when those changed

    def __iter__(self) -> Iterator[PairSession]:
        return iter(self._pairs.values())

    def __len__(self) -> int:
        return len(self._pairs)

    def get(self, peer: str) -> PairSession | None:
        """The call with this member, if there is one."""
        return self._pairs.get(peer)

    def choose_resilience(self, resilience: Resilience) -> None:
        """Duplicate frames in this manner from now on, also in calls to come."""
        self.resilience = resilience
        for pair in self:
            pair.choose_resilience(resilience)

    def begin_to_follow(self, now: float) -> None:
        """Our sockets changed: the first call follows, the others one by one with `follow_next`.

        So the newest frame of each call leaves before the next call is looked at.
        """
        self._behind, self._moved_at = list(self._pairs), now
        self.follow_next(now)

    @property
    def follow_at(self) -> float | None:
        """When the next call is to follow; None if all have."""
        return self._moved_at if self._behind else None

    def follow_next(self, now: float) -> None:
        """One more call follows."""
        if self._behind and (pair := self._pairs.get(self._behind.pop(0))) is not None:
            pair.set_sockets(self.sockets, self._links.hearings, now)

    def follow_sockets(self, now: float) -> None:
        """Our sockets may have changed, or how servers hear us: all calls follow."""
        self._behind.clear()
        hearings = self._links.hearings
        for pair in self:
            pair.set_sockets(self.sockets, hearings, now)

    def forget_finished(self, now: float, *, server_is_lost: bool) -> None:
        """Those that are over, and those that will never begin without a server.

        Who fell silent for too long, and is still in the room, is called again: it may wake up.
        """
        for peer, pair in list(self._pairs.items()):
            if pair.is_over or (server_is_lost and not pair.is_connected):
                del self._pairs[peer]
                member = self._members.get(peer)
                if pair.gave_up and not server_is_lost and member is not None:
                    self._call(member, now)

    # ---- members -----------------------------------------------------------------------------

    def enter(self, server: ServerAddress, members: Sequence[Member], now: float) -> None:
        """A server let us in, perhaps not for the first time; these were there before."""
        self._members.forget(server)
        self._offered.clear()  # a server that was away has passed on nothing
        for member in members:
            self.meet(server, member, now)

    def meet(self, server: ServerAddress, member: Member, now: float) -> None:
        """Call a member that a server lists, if one of us has something for the other."""
        is_news = self._members.add(server, member)
        if self._config.only and member.peer not in self._config.only:
            if is_news:
                self._log(MemberIgnored(member.peer, member.role))
            return
        if is_news:
            self._log(JoinedRecord(member.peer, member.role))
        self._offered.pop(member.peer, None)
        old = self._pairs.get(member.peer)
        if old is None or old.is_over:
            self._call(member, now)
        elif member.instance != old.config.other.instance:
            self._await_the_end_of(old, member)
        elif not old.is_connected or server not in old.introduced_by:
            self._links.send(Connect(member.peer), [server])  # it was away, or is a second one

    def _call(self, member: Member, now: float) -> None:
        sends = _talks(self._config.role) and _listens(member.role)
        receives = _talks(member.role) and _listens(self._config.role)
        if not (sends or receives):
            return
        if len(self._pairs) >= MOST_MEMBERS - 1:
            return  # a room has no more; a server that says otherwise is not heard
        config = PairConfig(
            me=self._identity.peer_id,
            other=member,
            servers=tuple(server.address for server in self._config.servers),
            sends=sends,
            receives=receives,
            resilience=self.resilience,
            relay=self._config.relay,
            give_up=self._config.give_up,
            buffer=self._config.buffer,
            interfaces=self._config.interfaces,
        )
        pair = PairSession(config, self._identity, self._entropy, now)
        pair.set_sockets(self.sockets, self._links.hearings, now)
        if self._config.relay == "never":
            pair.use_punch_key(_punch_key_of_strangers(config.me, member.peer))
        self._pairs[member.peer] = pair
        self._links.send(Connect(member.peer), self._members.servers_of(member.peer))

    def begin_elsewhere(self, server: ServerAddress, now: float) -> None:
        """This server is away: a call whose handshake may hang on its relay begins anew by others.

        The other end finds the same. Paths cannot change before both ends are authenticated.
        """
        for peer, pair in list(self._pairs.items()):
            if pair.is_connected or pair.is_over or server not in pair.introduced_by:
                continue
            if any(other != server for other in self._members.servers_of(peer)):
                del self._pairs[peer]
                self._call(pair.config.other, now)

    def on_wanted(self, server: ServerAddress, peer: str) -> None:
        """A member wants a call. If this server introduced us before, its half of ours is over."""
        pair, member = self._pairs.get(peer), self._members.get(peer)
        if pair is None or member is None or not pair.is_connected:
            return
        if server in pair.introduced_by:
            self._newcomers[peer] = member

    def _await_the_end_of(self, old: PairSession, member: Member) -> None:
        """The other end was started anew, unless a server still lists the one we talk to."""
        if not self._members.is_listed(old.config.other):
            self._newcomers[member.peer] = member

    def call_newcomers(self, now: float) -> None:
        """Call who wants a new call once the old one has fallen silent, or is over.

        What the server says ends no call that lives.
        """
        for peer, member in list(self._newcomers.items()):
            pair = self._pairs.get(peer)
            if pair is not None and pair.is_connected:
                doubted_since = pair.doubted_since
                if doubted_since is None or now < doubted_since + SILENT_ENOUGH:
                    continue
            del self._newcomers[peer]
            if pair is not None:
                pair.close("the other end began anew")
                self._actions += [*pair.flush(now), *pair.drain()]
                del self._pairs[peer]
            self._call(member, now)

    def part(self, server: ServerAddress, peer: str) -> None:
        """A server lost sight of a member; a call that runs goes on without it."""
        has_left = self._members.remove(server, peer, self._links.silent)
        pair, listed = self._pairs.get(peer), self._members.get(peer)
        if not has_left:
            if pair is not None and listed is not None and listed != pair.config.other:
                self._await_the_end_of(pair, listed)
            return
        self._log(LeftRecord(peer))
        self._newcomers.pop(peer, None)
        if pair is not None and not pair.is_connected:
            del self._pairs[peer]

    # ---- where we are ------------------------------------------------------------------------

    def offer_candidates(self) -> None:
        """Tell each member under which addresses we may be reached, when they changed."""
        if self._config.relay == "only" or not self.sockets:
            return
        mine = [Candidate(socket.host, socket.port, "host") for socket in self.sockets]
        mine += [
            Candidate(address.host, address.port, "server-reflexive")
            for socket, address in self._links.observed
            if address != socket.address
        ]
        mine = [each for each in mine if may_be_offered(each.host)][:MOST_CANDIDATES]
        for peer in self._pairs:
            if self._offered.get(peer) != mine:
                self._round += 1
                self._offered[peer] = mine
                servers = self._members.servers_of(peer)
                self._links.send(Candidates(peer, self._round, mine), servers)

    def offer_anew(self, peer: str) -> None:
        """The same candidates may be news to this member: the server adds what it sees."""
        self._offered.pop(peer, None)
        self.offer_candidates()

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
