"""Who is in the room when several servers say so, and not the same."""

from __future__ import annotations

from p2pquic.core.addresses import ServerAddress, SocketAddress
from p2pquic.session.members import Members
from p2pquic.wire.signaling import MOST_MEMBERS, Member

FIRST = ServerAddress.of(SocketAddress("198.51.100.4", 1))
SECOND = ServerAddress.of(SocketAddress("198.51.100.5", 1))
ALICE, ALICE_ANEW = Member("a" * 32, "both", b"1"), Member("a" * 32, "both", b"2")
BOB = Member("b" * 32, "sender", b"3")


def members() -> Members:
    return Members([FIRST, SECOND])


def test_who_is_listed_anywhere_is_a_member_and_news_once() -> None:
    room = members()
    assert room.add(FIRST, ALICE)
    assert not room.add(SECOND, ALICE)
    assert room.add(SECOND, BOB)
    assert room.servers_of(ALICE.peer) == [FIRST, SECOND]
    assert room.servers_of(BOB.peer) == [SECOND]
    assert room.get(BOB.peer) == BOB


def test_who_has_left_one_server_has_not_left() -> None:
    room = members()
    room.add(FIRST, ALICE)
    room.add(SECOND, ALICE)
    assert not room.remove(FIRST, ALICE.peer, silent=[])
    assert room.get(ALICE.peer) == ALICE
    assert room.remove(SECOND, ALICE.peer, silent=[])
    assert room.get(ALICE.peer) is None


def test_a_server_that_is_away_holds_nobody_back() -> None:
    room = members()
    room.add(FIRST, ALICE)
    room.add(SECOND, ALICE)
    assert room.remove(FIRST, ALICE.peer, silent=[SECOND])


def test_who_was_started_anew_is_news_and_the_old_one_there_until_no_server_says_so() -> None:
    room = members()
    room.add(FIRST, ALICE)
    room.add(SECOND, ALICE)
    assert room.add(FIRST, ALICE_ANEW)
    assert room.is_listed(ALICE)
    room.add(SECOND, ALICE_ANEW)
    assert not room.is_listed(ALICE)


def test_a_server_that_begins_anew_has_forgotten_its_own_list_only() -> None:
    room = members()
    room.add(FIRST, ALICE)
    room.add(SECOND, BOB)
    room.forget(FIRST)
    assert room.get(ALICE.peer) is None
    assert room.get(BOB.peer) == BOB


def test_a_server_that_lists_the_world_fills_no_memory() -> None:
    room = members()
    for number in range(1000):
        room.add(FIRST, Member(f"{number:032x}", "both"))
    assert sum(room.get(f"{number:032x}") is not None for number in range(1000)) == MOST_MEMBERS
