"""Rooms, their members, and who is willing to be connected with whom."""

from __future__ import annotations

import pytest

from p2pquic.core.errors import UsageError
from p2pquic.session.registry import (
    AlreadyRegisteredError,
    Registry,
    RoomFullError,
    RoomNameError,
)
from p2pquic.wire.signaling import MOST_MEMBERS, Member

ALICE, BOB, CAROL = "0a" * 16, "0b" * 16, "0c" * 16


def kitchen() -> Registry:
    """Alice and Bob in one room, Carol in another."""
    registry = Registry()
    registry.register(ALICE, "kitchen", "both")
    registry.register(BOB, "kitchen", "receiver")
    registry.register(CAROL, "garden", "sender")
    return registry


def test_who_was_there_before_is_told() -> None:
    registry = Registry()
    assert registry.register(ALICE, "kitchen", "sender") == []
    assert registry.register(BOB, "kitchen", "receiver") == [Member(ALICE, "sender")]
    assert registry.register(CAROL, "garden", "both") == []


def test_who_stays_is_told_who_leaves() -> None:
    registry = kitchen()
    assert registry.leave(ALICE) == [Member(BOB, "receiver")]
    assert registry.others(BOB) == []
    assert registry.leave(ALICE) == []


def test_the_others_are_those_in_the_same_room() -> None:
    registry = kitchen()
    assert registry.others(ALICE) == [Member(BOB, "receiver")]
    assert registry.others(CAROL) == []
    assert registry.others("0d" * 16) == []


def test_two_are_connected_once_both_are_willing() -> None:
    registry = kitchen()
    assert not registry.willing(ALICE, BOB)
    assert not registry.willing(ALICE, BOB)
    assert registry.willing(BOB, ALICE)
    assert registry.willing(ALICE, BOB)


def test_nobody_is_connected_across_rooms_or_with_itself() -> None:
    registry = kitchen()
    assert not registry.willing(ALICE, CAROL)
    assert not registry.willing(CAROL, ALICE)
    assert not registry.willing(ALICE, ALICE)


def test_who_leaves_takes_its_willingness_along() -> None:
    registry = kitchen()
    registry.willing(ALICE, BOB)
    registry.leave(ALICE)
    registry.register(ALICE, "kitchen", "both")
    assert not registry.willing(BOB, ALICE)


def test_willingness_towards_somebody_who_left_counts_for_nothing() -> None:
    registry = kitchen()
    registry.willing(ALICE, BOB)
    registry.leave(BOB)
    registry.register(BOB, "kitchen", "both")
    assert not registry.willing(BOB, ALICE)


def test_an_empty_room_is_no_room() -> None:
    registry = kitchen()
    for peer in (ALICE, BOB, CAROL):
        registry.leave(peer)
    assert not registry._rooms
    assert not registry._room_of


def test_a_room_has_at_most_16_members() -> None:
    registry = Registry()
    for n in range(MOST_MEMBERS):
        registry.register(f"{n:032x}", "hall", "both")
    with pytest.raises(RoomFullError, match="16 members"):
        registry.register(ALICE, "hall", "both")
    assert registry.others(ALICE) == []


def test_a_peer_is_in_one_room_at_a_time() -> None:
    registry = kitchen()
    with pytest.raises(AlreadyRegisteredError, match="kitchen"):
        registry.register(ALICE, "garden", "both")


@pytest.mark.parametrize("name", ["", "r" * 65, "two\nlines", "\x1b[31mred"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(RoomNameError):
        Registry().register(ALICE, name, "both")


def test_a_refusal_is_a_sentence_for_the_person_who_asked() -> None:
    with pytest.raises(UsageError) as refusal:
        Registry().register(ALICE, "\x07", "both")
    assert str(refusal.value).endswith("printable characters.")
