"""The peer's half of a relay session by itself."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pquic.core.addresses import LocalSocket
from p2pquic.core.errors import ProtocolError
from p2pquic.session.relay_legs import Received, RelayLegs
from p2pquic.wire.relay_frame import (
    Direction,
    FrameType,
    RelayFrame,
    decode,
    encode,
    encode_unknown_session,
)

SESSION, KEY, TICKET = b"session!", b"k" * 32, b"ticket"
WLAN = LocalSocket("192.0.2.1", 5000, "wlan0")
WLAN_6 = LocalSocket("2001:db8::1", 5000, "wlan0")
WLAN_AGAIN = LocalSocket("192.0.2.9", 5000, "wlan0")
RMNET = LocalSocket("203.0.113.7", 5000, "rmnet0")
OTHERS = [LocalSocket(f"198.51.100.{n}", 5000, f"eth{n}") for n in range(4)]


def legs() -> RelayLegs:
    return RelayLegs(SESSION, KEY, TICKET)


def wanted(data: bytes) -> tuple[int, int]:
    frame = decode(data)
    return frame.epoch, frame.mask


def from_server(
    kind: FrameType, payload: bytes = b"", leg: int = 0, sequence: int = 0, key: bytes = KEY
) -> bytes:
    frame = RelayFrame(kind, SESSION, leg, 0, 0, sequence, payload)
    return encode(frame, key, Direction.TO_PEER)


def test_nothing_is_sent_before_a_socket_is_selected() -> None:
    assert legs().wrap(b"quic") == []


def test_a_packet_goes_out_once_per_selected_socket_each_on_its_leg() -> None:
    ours = legs()
    ours.select([WLAN, RMNET])
    (first, data_1), (second, data_2) = ours.wrap(b"quic")
    assert (first, second) == (WLAN, RMNET)
    assert ours.selected == [WLAN, RMNET]
    assert (decode(data_1).leg, decode(data_2).leg) == (0, 1)
    assert decode(data_1).payload == decode(data_2).payload == b"quic"
    assert decode(data_1).verify(KEY, Direction.TO_SERVER)


def test_an_interface_is_one_leg_of_each_family_and_its_preferred_socket_is_taken() -> None:
    ours = legs()
    ours.select([WLAN, RMNET, WLAN_AGAIN, WLAN_6])
    assert ours.selected == [WLAN, RMNET, WLAN_6]
    assert [decode(data).leg for _, data in ours.wrap(b"quic")] == [0, 1, 2]


def test_an_interface_keeps_its_leg_when_its_address_changes() -> None:
    ours = legs()
    ours.select([WLAN])
    ((_, before),) = ours.wrap(b"quic")
    ours.select([WLAN_AGAIN])
    ((_, after),) = ours.wrap(b"quic")
    assert decode(before).leg == decode(after).leg
    assert decode(after).sequence == decode(before).sequence + 1


def test_the_epoch_rises_when_other_legs_are_wanted_and_only_then() -> None:
    ours = legs()
    epochs = []
    for sockets in ([WLAN], [WLAN], [WLAN, RMNET], [RMNET, WLAN], [RMNET], [], [RMNET]):
        ours.select(sockets)
        epochs.append(wanted(ours.announce(RMNET)))
    assert epochs == [
        (1, 0b01), (1, 0b01), (2, 0b11), (2, 0b11), (3, 0b10), (4, 0b00), (5, 0b10),
    ]  # fmt: skip


def test_a_fifth_interface_takes_the_leg_least_recently_used() -> None:
    ours = legs()
    numbers = [decode(ours.announce(socket)).leg for socket in OTHERS]
    assert numbers == [0, 1, 2, 3]
    ours.announce(OTHERS[0])
    assert decode(ours.announce(WLAN)).leg == 1
    assert decode(ours.announce(OTHERS[1])).leg == 2


def test_a_standby_never_takes_the_leg_of_a_selected_interface() -> None:
    ours = legs()
    ours.select([*OTHERS, WLAN])
    selected = {decode(data).leg for _, data in ours.wrap(b"quic")}
    assert len(selected) == 3
    for socket in (OTHERS[3], WLAN, RMNET):
        assert decode(ours.announce(socket)).leg not in selected


def test_a_packet_comes_out_once() -> None:
    ours = legs()
    data = from_server(FrameType.DATA, b"quic")
    assert ours.receive(WLAN, data) == Received(b"quic", [])
    assert ours.receive(WLAN, data) == Received(None, [])


def test_each_leg_counts_for_itself() -> None:
    ours = legs()
    for leg in (0, 1):
        data = from_server(FrameType.DATA, b"quic", leg=leg, sequence=5)
        assert ours.receive(WLAN, data).packet == b"quic"


def test_a_challenge_is_answered_from_where_it_came() -> None:
    ours = legs()
    ours.select([RMNET])
    challenge = from_server(FrameType.CHALLENGE, b"8 bytes!")
    ((socket, response),) = ours.receive(RMNET, challenge).replies
    assert socket == RMNET
    assert decode(response).type is FrameType.RESPONSE
    assert decode(response).payload == b"8 bytes!"


def test_a_challenge_for_a_leg_that_is_elsewhere_by_now_is_left_alone() -> None:
    ours = legs()
    ours.select([WLAN, RMNET])
    challenge = from_server(FrameType.CHALLENGE, b"8 bytes!", leg=0)
    assert ours.receive(RMNET, challenge) == Received(None, [])


def test_a_hint_that_echoes_our_frame_is_answered_by_the_ticket_once() -> None:
    ours = legs()
    ours.select([WLAN])
    ((_, data),) = ours.wrap(b"quic")
    hint = encode_unknown_session(decode(data))
    ((socket, ticket),) = ours.receive(WLAN, hint).replies
    assert socket == WLAN
    assert decode(ticket).type is FrameType.TICKET
    assert decode(ticket).payload == TICKET
    assert decode(ticket).verify(KEY, Direction.TO_SERVER)
    with pytest.raises(ProtocolError):
        ours.receive(WLAN, hint)


def test_a_hint_that_is_made_up_is_refused() -> None:
    ours = legs()
    ours.select([WLAN])
    ours.wrap(b"quic")
    with pytest.raises(ProtocolError, match="hint"):
        ours.receive(WLAN, from_server(FrameType.UNKNOWN_SESSION))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        from_server(FrameType.DATA, b"quic", key=b"x" * 32),
        from_server(FrameType.ANNOUNCE),
        from_server(FrameType.TICKET, b"ticket"),
        encode(
            RelayFrame(FrameType.DATA, b"another!", 0, 0, 0, 0, b"quic"), KEY, Direction.TO_PEER
        ),
        encode(RelayFrame(FrameType.DATA, SESSION, 0, 0, 0, 0, b"quic"), KEY, Direction.TO_SERVER),
    ],
    ids=["noise", "another key", "announce", "ticket", "another session", "reflected"],
)
def test_what_is_not_the_servers_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        legs().receive(WLAN, data)


@given(
    st.binary(max_size=60)
    | st.builds(
        lambda a, b: bytes([a]) + SESSION + b,
        st.integers(4, 9),
        st.binary(min_size=17, max_size=40),
    )
)
def test_any_bytes_bring_nothing_or_a_protocol_error(data: bytes) -> None:
    with suppress(ProtocolError):
        assert legs().receive(WLAN, data) == Received(None, [])
