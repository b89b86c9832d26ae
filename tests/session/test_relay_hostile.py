"""What holds whatever a peer with a good key, or a stranger, sends to the relay."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pquic.core.addresses import SocketAddress
from p2pquic.wire.relay_frame import Direction, FrameType, RelayFrame, decode, encode
from tests.session.relay_world import World, in_a_call

VICTIMS = [SocketAddress("203.0.113.1", port) for port in (1, 2, 3)]


class Spoofed(NamedTuple):
    """A frame with a good tag from an address whose owner knows nothing of it."""

    victim: SocketAddress
    type: FrameType
    leg: int
    epoch: int
    mask: int
    ahead: int  # of the highest sequence number so far
    size: int


class Spoken(NamedTuple):
    """The honest peer at the other end sends a packet."""

    size: int


class Waited(NamedTuple):
    """Time passes."""

    seconds: float


steps = st.one_of(
    st.builds(
        Spoofed,
        st.sampled_from(VICTIMS),
        st.sampled_from([FrameType.DATA, FrameType.ANNOUNCE, FrameType.RESPONSE, FrameType.TICKET]),
        st.integers(0, 3),
        st.integers(0, 4095),
        st.integers(0, 15),
        st.integers(-3, 3),
        st.integers(1, 1200),
    ),
    st.builds(Spoken, st.integers(1, 1200)),
    st.builds(Waited, st.floats(0, 0.3)),
)


def spoof(world: World, step: Spoofed, sequence: int) -> int:
    """Send it; give the size if the relay took it for good and new."""
    legs = world.a.legs
    size = {FrameType.ANNOUNCE: 0, FrameType.RESPONSE: 8}.get(step.type, min(step.size, 128))
    payload = bytes(step.size if step.type is FrameType.DATA else size)
    frame = RelayFrame(step.type, legs.session, step.leg, step.epoch, step.mask, sequence, payload)
    data = encode(frame, legs._key, Direction.TO_SERVER)
    repeated = world.switch.dropped["repeated"]
    world.arrives(step.victim, data)
    return len(data) if world.switch.dropped["repeated"] == repeated else 0


@pytest.mark.slow
@given(st.lists(steps, max_size=40))
def test_an_address_that_proved_nothing_gets_at_most_three_times_what_came_from_it(
    story: list[Spoofed | Spoken | Waited],
) -> None:
    world = in_a_call()
    came: Counter[SocketAddress] = Counter()
    highest = 1000
    for step in story:
        if isinstance(step, Waited):
            world.now += step.seconds
        elif isinstance(step, Spoken):
            world.b.sends(bytes(step.size))
        else:
            sequence = highest + step.ahead
            highest = max(highest, sequence)
            came[step.victim] += spoof(world, step, sequence)
        for victim in VICTIMS:
            sent = sum(len(data) for to, data in world.sent if to == victim)
            assert sent <= 3 * came[victim]


@pytest.mark.slow
@given(st.lists(steps, max_size=40))
def test_while_nobody_else_proves_to_be_there_the_honest_peer_loses_nothing(
    story: list[Spoofed | Spoken | Waited],
) -> None:
    world = in_a_call()
    highest = 1000
    spoken = 0
    for step in story:
        if isinstance(step, Waited):
            world.now += step.seconds
        elif isinstance(step, Spoken):
            spoken += 1
            world.b.sends(b"audio %d" % spoken)
        else:
            sequence = highest + step.ahead
            highest = max(highest, sequence)
            spoof(world, step, sequence)
    expected = {b"audio %d" % n for n in range(1, spoken + 1)}
    assert expected <= set(world.a.heard)


@given(
    st.binary(max_size=80)
    | st.builds(lambda a, b: bytes([a]) + b, st.integers(4, 9), st.binary(min_size=25))
)
def test_a_stranger_gets_nothing_but_a_hint_no_larger_than_what_it_sent(data: bytes) -> None:
    world = in_a_call()
    for to, answer in world.switch.receive(VICTIMS[0], data, world.now):
        assert to == VICTIMS[0]
        assert decode(answer).type is FrameType.UNKNOWN_SESSION
        assert len(answer) <= len(data)
