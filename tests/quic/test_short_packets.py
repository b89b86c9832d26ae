"""A packet with a short header is read as stock code reads it, whoever made it."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
from aioquic import tls
from aioquic.quic.crypto import CryptoContext, CryptoPair

from p2pquic.quic.connection import MultipathConnection
from p2pquic.quic.many_paths import ManyPathsConnection
from tests.quic.pair import Pair, relay

FIXED, SPIN, RESERVED, PHASE, NUMBER_OF_TWO_BYTES = 0x40, 0x20, 0x18, 0x04, 0x01
PING, DATAGRAM, ACK_OF_ONE = b"\x01", b"\x31\x04opus", b"\x02\x05\x00\x00\x00"
CLOSE = b"\x1c\x00\x00\x00"
FRAMES = (
    PING,
    DATAGRAM,
    ACK_OF_ONE + DATAGRAM,
    ACK_OF_ONE,
    CLOSE,
    CLOSE + DATAGRAM,
    b"",  # no frame at all
    b"\x31\x40",  # a datagram cut short
    b"\x02\x00\x00\x00\x01",  # acknowledges a negative number
    b"\x06\x00\x01x",  # CRYPTO
    b"\x1e",  # HANDSHAKE_DONE, which a client may not send
    b"\x40\xff",  # unknown
    b"\x19\x07",  # retires a connection id that was never issued
)


class StockReading(MultipathConnection):
    """The product, but stock code reads all packets."""

    _read = ManyPathsConnection._read


class Twins:
    """Two receivers with the same keys and connection ids, and who can write packets for them."""

    def __init__(self, role: str) -> None:
        first, second = Pair(), Pair()
        self.now = first.now
        self.ours: MultipathConnection = getattr(first, role).connection
        self.stock: MultipathConnection = getattr(second, role).connection
        self.stock.__class__ = StockReading
        key_of(self.stock).recv = copy.copy(key_of(self.ours).recv)
        for twin, own in zip(self.stock._host_cids, self.ours._host_cids, strict=True):
            twin.cid = own.cid
        other = first.client if role == "server" else first.server
        self._keys = key_of(other.connection)
        self.number = other.connection._packet_number

    def packet(
        self, frames: bytes, *, flags: int = 0, ahead: int = 0, cid: bytes | None = None
    ) -> bytes:
        """What the other end could send; the packet number is `ahead` of the next."""
        number = max(0, self.number + ahead)
        self.number = max(self.number, number + 1)
        flags ^= FIXED | NUMBER_OF_TWO_BYTES | self._keys.send.key_phase << 2
        cid = self.ours._host_cids[0].cid if cid is None else cid
        header = bytes((flags,)) + cid + (number & 0xFFFF).to_bytes(2, "big")
        return bytes(self._keys.encrypt_packet(header, frames.ljust(3, b"\x00"), number))

    def update_key(self) -> None:
        """The other end goes on with the next key."""
        self._keys._update_key("local_update")

    def receive(self, data: bytes) -> None:
        """Both get it, and it makes the same of them."""
        for end in (self.ours, self.stock):
            end.receive_datagram(data, relay(), self.now)
        assert state(self.ours) == state(self.stock), data.hex()
        self.now += 0.01


def key_of(connection: MultipathConnection) -> CryptoPair:
    return connection._cryptos[tls.Epoch.ONE_RTT]


def state(connection: MultipathConnection) -> dict[str, Any]:
    """All that reading a packet may change."""
    space = connection._spaces[tls.Epoch.ONE_RTT]
    path = connection._paths[relay()]
    received: CryptoContext = key_of(connection).recv
    return {
        "close": (connection._close_event, connection._close_pending, connection._close_at),
        "state": connection._state,
        "spin": (connection._spin_bit, connection._spin_highest_pn),
        "asked": connection._ack_eliciting_sent_since_receipt,
        "events": [repr(event) for event in connection._events],
        "expected": space.expected_packet_number,
        "largest": (space.largest_received_packet, space.largest_received_time),
        "acknowledge": (space.ack_at, list(space.ack_queue)),
        "received": set(space.received_packets._received),
        "path": (path.bytes_received, path.host_sequence, path.is_validated),
        "heard": (connection.heard_at, path.recovery.answers),
        "phase": received.key_phase,
        "timer": connection.get_timer(),
    }


@pytest.fixture(params=["client", "server"])
def twins(request: pytest.FixtureRequest) -> Twins:
    return Twins(request.param)


@pytest.mark.parametrize("flags", [SPIN, RESERVED, PHASE, FIXED, 0x80])
@pytest.mark.parametrize("frames", FRAMES)
def test_every_kind_of_packet(twins: Twins, frames: bytes, flags: int) -> None:
    twins.receive(twins.packet(frames, flags=flags))
    twins.receive(twins.packet(DATAGRAM))


@pytest.mark.parametrize("ahead", [-1, -3, -200, 2, 200, 20_000])
def test_packets_out_of_turn_and_twice(twins: Twins, ahead: int) -> None:
    for data in (twins.packet(PING), twins.packet(DATAGRAM, ahead=ahead)):
        twins.receive(data)
        twins.receive(data)


def test_more_gaps_than_are_remembered(twins: Twins) -> None:
    for _ in range(80):
        twins.receive(twins.packet(DATAGRAM, ahead=1))


def test_a_packet_cut_anywhere(twins: Twins) -> None:
    data = twins.packet(DATAGRAM)
    for size in range(len(data) + 1):
        twins.receive(data[:size])


def test_a_packet_changed_anywhere(twins: Twins) -> None:
    data = twins.packet(DATAGRAM)
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            twins.receive(bytes(changed))
    twins.receive(data)


def test_a_connection_id_of_nobody(twins: Twins) -> None:
    for cid in (bytes(8), b"", b"short", bytes(20), *[own.cid for own in twins.ours._host_cids]):
        twins.receive(twins.packet(PING, cid=cid))


def test_a_path_whose_address_is_not_proved(twins: Twins) -> None:
    for end in (twins.ours, twins.stock):
        end._paths[relay()].is_validated = False
    for frames in (DATAGRAM, PING, b""):
        twins.receive(twins.packet(frames))


def test_after_our_own_goodbye(twins: Twins) -> None:
    for end in (twins.ours, twins.stock):
        end.close()
    twins.receive(twins.packet(DATAGRAM))
    for end in (twins.ours, twins.stock):
        end.datagrams_to_send(twins.now)
    twins.receive(twins.packet(DATAGRAM))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_in_any_order(twins: Twins, seed: int) -> None:
    dice = random.Random(seed)
    sent = [twins.packet(PING)]
    harmless: list[Callable[[], bytes]] = [
        lambda: dice.choice(sent),
        lambda: dice.choice(sent)[: dice.randrange(40)],
        lambda: dice.randbytes(dice.randrange(60)),
        lambda: bytes((FIXED,)) + twins.ours._host_cids[0].cid + dice.randbytes(40),
        lambda: twins.packet(PING, cid=dice.choice(twins.ours._host_cids).cid),
    ]
    for _ in range(150):
        if dice.random() < 0.02:
            twins.update_key()
        if dice.random() < 0.4:
            data = dice.choice(harmless)()
        else:
            frames = dice.choice(FRAMES[:4])
            ahead = dice.choice((0, 0, 0, 1, 3, -2, -70))
            data = twins.packet(frames, flags=dice.choice((0, SPIN)), ahead=ahead)
            sent.append(data)
        twins.receive(data)
