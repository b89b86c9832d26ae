"""What a relay session lives through: restarts of the server, idleness, its end."""

from __future__ import annotations

import pytest

from p2pquic.core.addresses import SocketAddress
from p2pquic.session.relay_legs import RelayLegs
from p2pquic.session.relay_switch import IDLE_TIME, TICKET_LIFETIME, RelaySwitch
from p2pquic.wire.relay_frame import Direction, FrameType, RelayFrame, encode
from tests.session.relay_world import ALICE, BOB, counting_entropy, in_a_call

ATTACKER = SocketAddress("203.0.113.66", 666)


def test_a_restarted_server_is_shown_the_ticket_and_carries_on() -> None:
    world = in_a_call()
    world.restarts()
    world.b.sends(b"lost: the server does not know us")
    assert world.a.heard == []
    world.b.sends(b"held until a is heard")
    world.a.sends(bytes(100))  # the ticket of b opened the session for both
    assert world.b.heard == [bytes(100)]
    assert world.a.heard == [b"held until a is heard"]
    world.b.sends(b"as before")
    assert world.a.heard[-1] == b"as before"


def test_one_ticket_answers_for_all_that_was_in_flight() -> None:
    world = in_a_call()
    world.restarts()
    socket = next(iter(world.a.sockets.values()))
    volley = [data for n in range(5) for _, data in world.a.legs.wrap(b"%d" % n)]
    hints = [
        hint for data in volley for _, hint in world.switch.receive(socket.address, data, world.now)
    ]
    assert len(hints) == 5
    assert len(world.a.legs.receive(socket, hints[0]).replies) == 1


def test_a_ticket_of_another_server_is_refused() -> None:
    world = in_a_call()
    world.switch = RelaySwitch(b"x" * 32, counting_entropy())
    world.a.sends(b"hello?")
    assert world.switch.dropped == {"wrong ticket": 1}
    assert world.switch.statistics() == []


def test_a_ticket_is_good_for_a_day() -> None:
    world = in_a_call()
    world.now += TICKET_LIFETIME
    world.restarts()
    world.a.sends(b"hello?")
    assert world.switch.dropped == {"wrong ticket": 1}


def test_a_ticket_opens_its_own_session_only_and_not_once_that_is_closed() -> None:
    world = in_a_call()
    grant, _ = world.switch.open_session(ALICE, BOB, world.now)
    elsewhere = bytes([grant.session[0] ^ 1]) + grant.session[1:]
    world.switch.close_session(grant.session, world.now)
    for session in (elsewhere, grant.session):
        frame = RelayFrame(FrameType.TICKET, session, 0, 0, 0, 0, grant.ticket)
        data = encode(frame, grant.key, Direction.TO_SERVER)
        assert world.switch.receive(ATTACKER, data, world.now) == []
    assert world.switch.dropped == {"wrong ticket": 2}


def test_a_ticket_in_a_strangers_frame_is_refused() -> None:
    world = in_a_call()
    grant, _ = world.switch.open_session(ALICE, BOB, world.now)
    thief = RelayLegs(grant.session, b"k" * 32, grant.ticket)
    world.restarts()
    socket = next(iter(world.a.sockets.values()))
    ((_, hint),) = world.switch.receive(ATTACKER, thief.announce(socket), world.now)
    ((_, ticket),) = thief.receive(socket, hint).replies
    assert world.switch.receive(ATTACKER, ticket, world.now) == []
    assert world.switch.dropped == {"wrong tag": 1}


def test_a_session_idle_for_two_minutes_is_forgotten_and_wakes_by_its_ticket() -> None:
    world = in_a_call()
    assert world.switch.expire(world.now + IDLE_TIME - 11.0) == []
    assert world.switch.deadline == world.now + IDLE_TIME - 1.0
    assert len(world.switch.expire(world.now + IDLE_TIME)) == 2
    world.a.sends(b"lost")
    world.b.sends(b"hello again")
    assert world.a.heard == [b"hello again"]


@pytest.mark.parametrize("by", ["a", "b"])
def test_a_closed_session_stays_closed_and_silent(by: str) -> None:
    world = in_a_call()
    world.switch.close_session(getattr(world, by).legs.session, world.now)
    world.sent.clear()
    world.a.sends(b"hello?")
    world.b.sends(b"hello?")
    assert world.sent == []
    assert world.switch.dropped["unknown session"] == 2
    world.switch.expire(world.now + TICKET_LIFETIME)
    assert world.switch.deadline is None


def test_the_secret_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        RelaySwitch(b"short", counting_entropy())
