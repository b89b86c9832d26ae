"""Who is in which room, and who is willing to be connected with whom.

Rooms come into being with their first member and end with their last. Names are taken as they
are: who knows the name of a room may enter it, which is why peers pin each other's keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from p2pquic.core.errors import UsageError
from p2pquic.wire.signaling import LONGEST_ROOM_NAME, MOST_MEMBERS, Member, Role


class RegistrationError(UsageError):
    """A peer cannot be let into a room; the sentence is sent back to it."""


class RoomNameError(RegistrationError):
    """The name of a room cannot be shown to people as it is."""

    def __init__(self, room: str) -> None:
        super().__init__(
            f"{room!r} cannot be the name of a room: it takes 1 to {LONGEST_ROOM_NAME} "
            "printable characters."
        )


class RoomFullError(RegistrationError):
    """There are as many members in the room as it may have."""

    def __init__(self, room: str) -> None:
        super().__init__(
            f"Room {room!r} already has {MOST_MEMBERS} members, the most a room can have. "
            "Take another room, or wait until somebody leaves."
        )


class AlreadyRegisteredError(RegistrationError):
    """One peer id is in one room at a time."""

    def __init__(self, peer: str, room: str) -> None:
        super().__init__(f"Peer {peer} is already in room {room!r}; it has to leave first.")


@dataclass(slots=True)
class _Room:
    """Members in the order they came, and who said Connect to whom."""

    members: dict[str, Member] = field(default_factory=dict)
    willing: set[tuple[str, str]] = field(default_factory=set)


class Registry:
    """The rooms of one server."""

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}
        self._room_of: dict[str, str] = {}

    def register(self, peer: str, room: str, role: Role, instance: bytes = b"") -> list[Member]:
        """Let `peer` in; give the members who were there before, who must be told.

        Raises:
            RegistrationError: the name is no good, the room is full, or the peer is in a room.
        """
        if not (1 <= len(room) <= LONGEST_ROOM_NAME and room.isprintable()):
            raise RoomNameError(room)
        if peer in self._room_of:
            raise AlreadyRegisteredError(peer, self._room_of[peer])
        others = list(self._rooms[room].members.values()) if room in self._rooms else []
        if len(others) >= MOST_MEMBERS:
            raise RoomFullError(room)
        self._rooms.setdefault(room, _Room()).members[peer] = Member(peer, role, instance)
        self._room_of[peer] = room
        return others

    def leave(self, peer: str) -> list[Member]:
        """Let `peer` go, with all its willingness; give who stays and must be told.

        A peer that is in no room leaves nobody behind: the list is empty.
        """
        name = self._room_of.pop(peer, None)
        if name is None:
            return []
        room = self._rooms[name]
        del room.members[peer]
        room.willing = {pair for pair in room.willing if peer not in pair}
        if not room.members:
            del self._rooms[name]
        return list(room.members.values())

    def others(self, peer: str) -> list[Member]:
        """The other members of the room `peer` is in; empty if it is in none."""
        name = self._room_of.get(peer)
        if name is None:
            return []
        return [member for member in self._rooms[name].members.values() if member.peer != peer]

    def share_room(self, peer_a: str, peer_b: str) -> bool:
        """Whether two different peers are in one room."""
        room = self._room_of.get(peer_a)
        return room is not None and peer_a != peer_b and self._room_of.get(peer_b) == room

    def willing(self, peer_a: str, peer_b: str) -> bool:
        """`peer_a` said Connect to `peer_b`; whether by now both have, and share a room.

        Towards somebody who is not in the room (any more) it counts for nothing.
        """
        if not self.share_room(peer_a, peer_b):
            return False
        willing = self._rooms[self._room_of[peer_a]].willing
        willing.add((peer_a, peer_b))
        return (peer_b, peer_a) in willing
