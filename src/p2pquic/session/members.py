"""Who is in the room, by the word of each server: they know nothing of each other.

    server 1   alice  bob          bob has not left, though server 2 has never heard of him
    server 2   alice        carol

Who is listed anywhere is a member. What a server said last before it fell silent counts until one
that answers says otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from p2pquic.core.addresses import ServerAddress
from p2pquic.wire.signaling import MOST_MEMBERS, Member


class Members:
    """Lists of members by server, bounded: a server that says otherwise fills no memory."""

    def __init__(self, servers: Sequence[ServerAddress]) -> None:
        self._lists: dict[ServerAddress, dict[str, Member]] = {server: {} for server in servers}

    def forget(self, server: ServerAddress) -> None:
        """This server begins its list anew."""
        self._lists[server].clear()

    def add(self, server: ServerAddress, member: Member) -> bool:
        """This server lists a member; whether no other one told us the same."""
        others = [listed for each, listed in self._lists.items() if each != server]
        listed = self._lists[server]
        if len(listed) < MOST_MEMBERS:
            listed[member.peer] = member
        return not any(other.get(member.peer) == member for other in others)

    def remove(self, server: ServerAddress, peer: str, silent: Collection[ServerAddress]) -> bool:
        """This server lists a peer no more; whether it has left, if the `silent` are not asked."""
        for each in (server, *silent):
            self._lists[each].pop(peer, None)
        return not self.servers_of(peer)

    def get(self, peer: str) -> Member | None:
        """A member by its peer id."""
        return next((each[peer] for each in self._lists.values() if peer in each), None)

    def servers_of(self, peer: str) -> list[ServerAddress]:
        """The servers that list a peer."""
        return [server for server, listed in self._lists.items() if peer in listed]

    def is_listed(self, member: Member) -> bool:
        """Whether a server lists exactly this member, not one started anew under its key."""
        return any(listed.get(member.peer) == member for listed in self._lists.values())
