"""The relay and the two peers that use it, against each other, in virtual time."""

from __future__ import annotations

from p2pquic.core.addresses import SocketAddress
from p2pquic.session.relay_legs import RelayLegs
from p2pquic.session.relay_peer import MOVES_AT_ONCE
from p2pquic.wire.relay_frame import OVERHEAD, FrameType, decode
from tests.session.relay_world import ALICE, BOB, End, World, in_a_call

FIRST_DATAGRAM = bytes(1200)  # what a mover sends first is padded, so that 3x covers the answer
ATTACKER = SocketAddress("203.0.113.66", 666)


def talks(world: World, end: End, frames: int) -> None:
    """`end` sends numbered audio frames, one per 20 ms."""
    for n in range(frames):
        end.sends(b"audio %d " % n + bytes(100))
        world.now += 0.020


def numbers(heard: list[bytes]) -> list[int]:
    """The numbers of the audio frames among what was heard."""
    return [int(packet.split()[1]) for packet in heard if packet.startswith(b"audio")]


def challenges(world: World) -> int:
    return sum(1 for _, data in world.sent if decode(data).type is FrameType.CHALLENGE)


# --- carrying ---------------------------------------------------------------------------------


def test_packets_pass_both_ways_as_they_are() -> None:
    world = in_a_call()
    world.a.sends(b"from a")
    world.b.sends(b"from b")
    assert world.b.heard == [b"from a"]
    assert world.a.heard == [b"from b"]


def test_what_is_sent_before_the_other_is_there_is_held_for_it() -> None:
    world = World()
    wlan_a = world.a.opens("wlan0", "192.0.2.1")
    world.a.selects(wlan_a)
    world.a.sends(FIRST_DATAGRAM)
    world.now += 0.150
    world.b.announces(world.b.opens("wlan0", "198.51.100.1"))
    assert world.b.heard == [FIRST_DATAGRAM]  # once its address was proven


def test_what_is_held_longer_than_200_ms_is_forgotten() -> None:
    world = World()
    wlan_a = world.a.opens("wlan0", "192.0.2.1")
    world.a.selects(wlan_a)
    world.a.sends(FIRST_DATAGRAM)
    world.now += 0.201
    world.b.announces(world.b.opens("wlan0", "198.51.100.1"))
    assert world.b.heard == []


def test_a_repeated_datagram_is_not_forwarded_again() -> None:
    world = in_a_call()
    ((socket, data),) = world.a.legs.wrap(b"once")
    world.arrives(socket.address, data)
    world.arrives(socket.address, data)
    assert world.b.heard == [b"once"]
    assert world.switch.dropped["repeated"] == 1


def test_reordered_datagrams_pass() -> None:
    world = in_a_call()
    wrapped = [world.a.legs.wrap(b"%d" % n)[0] for n in range(3)]
    for socket, data in reversed(wrapped):
        world.arrives(socket.address, data)
    assert world.b.heard == [b"2", b"1", b"0"]


def test_the_relay_counts_what_goes_through_each_leg() -> None:
    world = in_a_call()
    before = {leg.peer: leg for leg in world.switch.statistics()}
    world.a.sends(bytes(100))
    after = {leg.peer: leg for leg in world.switch.statistics()}
    assert after[ALICE].packets_in - before[ALICE].packets_in == 1
    assert after[ALICE].bytes_in - before[ALICE].bytes_in == 100 + OVERHEAD
    assert after[BOB].packets_out - before[BOB].packets_out == 1
    assert after[BOB].bytes_out - before[BOB].bytes_out == 100 + OVERHEAD
    assert after[BOB].address == SocketAddress("198.51.100.1", 5000)
    assert after[BOB].validated


# --- moving -----------------------------------------------------------------------------------


def moved(end: End, address: str = "192.0.2.99") -> SocketAddress:
    """`end` loses its wlan0 socket and has another one; nothing is sent yet."""
    (old,) = end.sockets.values()
    end.closes(old)
    new = end.opens("wlan0", address)
    end.selects(new)
    return new.address


def test_the_first_packet_from_a_new_address_is_forwarded_and_answered_there() -> None:
    world = in_a_call()
    moved(world.a)
    world.a.sends(b"from my new address")
    world.b.sends(b"I hear you")
    assert world.b.heard == [b"from my new address"]
    assert world.a.heard[-1] == b"I hear you"


def test_a_move_brings_the_last_200_ms_in_their_order() -> None:
    world = in_a_call()
    moved(world.a)
    talks(world, world.b, frames=20)  # 400 ms into the void
    assert world.a.heard == []
    world.a.sends(FIRST_DATAGRAM)
    assert numbers(world.a.heard) == list(range(10, 20))


def test_a_move_by_a_small_datagram_brings_the_newest_first_and_the_rest_once_proven() -> None:
    world = in_a_call()
    address = moved(world.a)
    talks(world, world.b, frames=5)
    ((_, data),) = world.a.legs.wrap(bytes(100))
    sends = world.switch.receive(address, data, world.now)
    to_mover = [answer for to, answer in sends if to == address]
    # 378 bytes of credit: 34 for the challenge, 134 for each frame.
    assert decode(to_mover[0]).type is FrameType.CHALLENGE
    assert numbers([decode(answer).payload for answer in to_mover[1:]]) == [3, 4]
    for answer in to_mover:
        world.a.receives(world.a.sockets[address], answer)
    assert sorted(numbers(world.a.heard)) == [0, 1, 2, 3, 4]


def test_a_move_to_and_fro_brings_nothing_twice_in_one_place_but_what_was_sent_elsewhere() -> None:
    world = in_a_call()
    wlan = next(iter(world.a.sockets.values()))
    rmnet = world.a.opens("rmnet0", "203.0.113.7")
    world.a.announces(rmnet)
    talks(world, world.b, frames=3)
    world.a.selects(rmnet)
    world.a.sends(FIRST_DATAGRAM)
    world.a.selects(wlan)
    world.a.sends(b"back")
    assert numbers(world.a.heard) == [0, 1, 2, 0, 1, 2]


def test_a_late_datagram_from_the_old_address_is_forwarded_and_moves_nothing() -> None:
    world = in_a_call()
    ((old, late),) = world.a.legs.wrap(b"late")
    new = moved(world.a)
    world.a.sends(b"from my new address")
    world.arrives(old.address, late)
    assert world.b.heard == [b"from my new address", b"late"]
    world.sent.clear()
    world.b.sends(b"to the new address")
    assert [to for to, _ in world.sent] == [new]


def test_an_address_is_challenged_at_most_every_100_ms_until_it_answers() -> None:
    world = in_a_call()
    before = challenges(world)
    address = moved(world.a)
    socket = world.a.sockets.pop(address)  # nothing reaches it yet
    for _ in range(10):
        world.a.sends(bytes(200))
        world.now += 0.020
    assert challenges(world) - before == 2
    world.a.sockets[address] = socket
    for _ in range(10):
        world.a.sends(bytes(200))
        world.now += 0.020
    assert challenges(world) - before == 3


def test_only_the_challenged_address_can_answer_the_challenge() -> None:
    world = in_a_call()
    address = moved(world.a)
    socket = world.a.sockets[address]
    ((_, data),) = world.a.legs.wrap(b"moving")
    sends = world.switch.receive(address, data, world.now)
    (challenge,) = [d for to, d in sends if decode(d).type is FrameType.CHALLENGE]
    ((_, response),) = world.a.legs.receive(socket, challenge).replies
    world.arrives(SocketAddress("203.0.113.8", 1), response)
    assert not any(leg.validated for leg in world.switch.statistics() if leg.peer == ALICE)


def test_moves_cost_tokens_but_packets_pass_without() -> None:
    world = in_a_call()
    for n in range(2 * MOVES_AT_ONCE):
        ((_, data),) = world.a.legs.wrap(b"%d" % n)
        world.arrives(SocketAddress("203.0.113.9", 1000 + n), data)
    assert len(world.b.heard) == 2 * MOVES_AT_ONCE
    (leg,) = (leg for leg in world.switch.statistics() if leg.peer == ALICE)
    assert leg.address.port == 1000 + MOVES_AT_ONCE - 1
    world.now += 1.0
    world.a.sends(b"home again")
    world.b.sends(b"welcome")
    assert world.a.heard[-1] == b"welcome"


# --- several legs -----------------------------------------------------------------------------


def test_two_hot_legs_carry_each_packet_once_and_do_not_flap() -> None:
    world = in_a_call()
    wlan = next(iter(world.a.sockets.values()))
    rmnet = world.a.opens("rmnet0", "203.0.113.7")
    world.a.selects(wlan, rmnet)
    world.a.sends(b"now on both")
    world.sent.clear()
    for _ in range(50):
        world.a.sends(b"up")
        world.b.sends(b"down")
        world.now += 0.020
    assert challenges(world) == 0
    assert world.sent_to(wlan.address) == 50
    assert world.sent_to(rmnet.address) == 50


def test_a_newly_wanted_leg_gets_what_it_lacks() -> None:
    world = in_a_call()
    wlan = next(iter(world.a.sockets.values()))
    rmnet = world.a.opens("rmnet0", "203.0.113.7")
    world.a.announces(rmnet)
    world.a.closes(wlan)
    talks(world, world.b, frames=5)
    assert world.a.heard == []
    world.a.selects(rmnet)
    world.a.announces(rmnet)
    assert numbers(world.a.heard) == [0, 1, 2, 3, 4]


def test_a_leg_wanted_again_gets_what_went_out_elsewhere_meanwhile() -> None:
    world = in_a_call()
    wlan = next(iter(world.a.sockets.values()))
    rmnet = world.a.opens("rmnet0", "203.0.113.7")
    world.a.selects(rmnet)
    world.a.announces(rmnet)
    world.a.closes(rmnet)
    talks(world, world.b, frames=3)
    world.a.selects(wlan)
    world.a.announces(wlan)
    assert numbers(world.a.heard) == [0, 1, 2]


def test_a_standby_leg_is_kept_warm_and_not_sent_to() -> None:
    world = in_a_call()
    rmnet = world.a.opens("rmnet0", "203.0.113.7")
    world.a.announces(rmnet)
    world.sent.clear()
    talks(world, world.b, frames=5)
    world.a.announces(rmnet)
    assert world.sent_to(rmnet.address) == 0


def test_a_peer_that_fell_silent_is_sent_to_on_every_leg_and_what_it_lacks_there() -> None:
    world = in_a_call()
    wlan = next(iter(world.a.sockets.values()))
    rmnet = world.a.opens("rmnet0", "203.0.113.7")
    world.a.announces(rmnet)
    world.a.closes(wlan)
    talks(world, world.b, frames=5)
    assert world.a.heard == [], "it may have had nothing to say"
    talks(world, world.b, frames=10)
    assert set(numbers(world.a.heard)) == set(range(10))
    world.a.announces(rmnet)
    world.sent.clear()
    talks(world, world.b, frames=5)
    assert world.sent_to(rmnet.address) == 0, "it speaks again"


def test_an_older_wish_that_comes_late_changes_nothing() -> None:
    world = in_a_call()
    wlan = next(iter(world.a.sockets.values()))
    rmnet = world.a.opens("rmnet0", "203.0.113.7")
    ((_, late),) = world.a.legs.wrap(b"wanting wlan0")
    world.a.selects(rmnet)
    world.a.sends(b"wanting rmnet0")
    world.arrives(wlan.address, late)
    world.sent.clear()
    world.b.sends(b"where to?")
    assert [to for to, _ in world.sent] == [rmnet.address]


# --- strangers and thieves --------------------------------------------------------------------


def test_a_captured_packet_sent_again_from_elsewhere_moves_nothing() -> None:
    world = in_a_call()
    ((socket, data),) = world.a.legs.wrap(b"captured")
    world.arrives(socket.address, data)
    world.arrives(ATTACKER, data)
    world.b.sends(b"private")
    assert world.sent_to(ATTACKER) == 0
    assert world.a.heard == [b"private"]


def test_who_overtakes_a_packet_gets_copies_but_cannot_take_the_call() -> None:
    world = in_a_call()
    ((socket, data),) = world.a.legs.wrap(bytes(500))
    world.arrives(ATTACKER, data)
    world.arrives(socket.address, data)  # the true one comes second, as a repeat
    talks(world, world.b, frames=50)
    assert numbers(world.a.heard) == list(range(50))
    assert sum(len(d) for to, d in world.sent if to == ATTACKER) <= 3 * len(data)
    world.a.sends(b"it is me")
    before = world.sent_to(ATTACKER)
    talks(world, world.b, frames=5)
    assert world.sent_to(ATTACKER) == before


def test_noise_and_wrong_tags_get_no_answer() -> None:
    world = in_a_call()
    ((_, data),) = world.a.legs.wrap(b"data")
    for wrong in (b"", b"\x04", bytes(100), data[:-1], data[:-1] + b"!"):
        assert world.switch.receive(ATTACKER, wrong, world.now) == []
    assert world.switch.dropped == {"malformed": 3, "wrong tag": 2}


def test_an_unknown_session_is_answered_by_a_hint_and_a_hint_by_nothing() -> None:
    world = in_a_call()
    stranger = RelayLegs(b"unknown!", b"k" * 32, b"t")
    announced = stranger.announce(next(iter(world.a.sockets.values())))
    ((to, hint),) = world.switch.receive(ATTACKER, announced, world.now)
    assert to == ATTACKER
    assert decode(hint).type is FrameType.UNKNOWN_SESSION
    assert len(hint) <= len(announced)
    assert world.switch.receive(ATTACKER, hint, world.now) == []


def test_hints_are_limited_whatever_the_flood() -> None:
    world = in_a_call()
    stranger = RelayLegs(b"unknown!", b"k" * 32, b"t")
    socket = next(iter(world.a.sockets.values()))
    hints = sum(
        len(world.switch.receive(ATTACKER, stranger.announce(socket), world.now))
        for _ in range(3000)
    )
    assert hints == 1000
