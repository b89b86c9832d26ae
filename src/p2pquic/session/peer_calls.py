"""The calls of one peer: with whom, and where each of them was told that we are.

the server says     who is there, who came, who was started anew, who left
we say to it        Connect, for everybody with whom there is something to share; Candidates
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2s

from p2pquic.core.actions import Action, Log
from p2pquic.core.addresses import LocalSocket
from p2pquic.core.events import Resilience
from p2pquic.core.trace import MemberIgnored, Record
from p2pquic.core.trace import MemberJoined as JoinedRecord
from p2pquic.core.trace import MemberLeft as LeftRecord
from p2pquic.quic.identity import Identity
from p2pquic.session.control_link import ControlLink
from p2pquic.session.pair_config import PairConfig
from p2pquic.session.pair_session import PairSession
from p2pquic.session.peer_config import PeerConfig
from p2pquic.wire.signaling import (
    MOST_CANDIDATES,
    MOST_MEMBERS,
    Candidate,
    Candidates,
    Connect,
    Member,
    Role,
)


class PeerCalls:
    """At most one call with each member. What happens to them here is ordered in `actions`."""

    def __init__(
        self,
        config: PeerConfig,
        identity: Identity,
        entropy: Callable[[int], bytes],
        control: ControlLink,
        actions: list[Action],
    ) -> None:
        self.resilience: Resilience = config.resilience
        self.sockets: tuple[LocalSocket, ...] = ()
        self._config = config
        self._identity = identity
        self._entropy = entropy
        self._control = control
        self._actions = actions
        self._pairs: dict[str, PairSession] = {}
        self._newcomers: dict[str, Member] = {}  # started anew, while we still talk to their past
        self._offered: dict[str, list[Candidate]] = {}
        self._round = 0

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

    def follow_sockets(self, now: float) -> None:
        """Our sockets may have changed, or the one that the server hears us on."""
        for pair in self:
            pair.set_sockets(self.sockets, self._control.local, now)

    def forget_finished(self, *, server_is_lost: bool) -> None:
        """Those that are over, and those that will never begin without a server."""
        self._pairs = {
            peer: pair
            for peer, pair in self._pairs.items()
            if not pair.is_over and (pair.is_connected or not server_is_lost)
        }

    # ---- members -----------------------------------------------------------------------------

    def meet(self, member: Member, now: float) -> None:
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
            resilience=self.resilience,
            relay=self._config.relay,
            give_up=self._config.give_up,
            buffer=self._config.buffer,
            interfaces=self._config.interfaces,
        )
        pair = PairSession(config, self._identity, self._entropy, now)
        pair.set_sockets(self.sockets, self._control.local, now)
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

    def call_newcomers(self, now: float) -> None:
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
            self.meet(member, now)

    def part(self, peer: str) -> None:
        """The server lost sight of a member; a call that runs goes on without it."""
        self._log(LeftRecord(peer))
        pair = self._pairs.get(peer)
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
            for socket, address in self._control.observed.items()
            if address != socket.address
        ]
        mine = mine[:MOST_CANDIDATES]
        for peer in self._pairs:
            if self._offered.get(peer) != mine:
                self._round += 1
                self._offered[peer] = mine
                self._control.send(Candidates(peer, self._round, mine))

    def offer_anew(self, peer: str) -> None:
        """The same candidates may be news to this member: the server adds what it sees."""
        self._offered.pop(peer, None)
        self.offer_candidates()

    def forget_offers(self) -> None:
        """The server, which passes candidates on, was away: nobody may have heard them."""
        self._offered.clear()

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
