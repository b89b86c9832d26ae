"""What the engine knows of a path's life: answers, acknowledgements where packets came, doubt."""

from __future__ import annotations

import itertools

import pytest
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.tls import Epoch

from p2pquic.core.path import PathAddress
from p2pquic.quic import events
from p2pquic.quic.congestion import LEAST_WINDOW, AudioCongestionControl
from p2pquic.quic.recovery import STALE_FLIGHT
from tests.quic.pair import FRAME, End, Pair, direct, relay

A, B = "10.0.0.1", "10.0.0.2"
WLAN, HOME = direct(A, B), direct(B, A)
DELAY = 0.02  # seconds one way by WLAN
RIDE = 0.02  # seconds an acknowledgement may wait for a datagram of ours to ride on
AUDIO, FRAMES = bytes(172), 500  # a frame of 64 kbit/s in RTP; ten seconds of them
SMALL, DATAGRAM = 60, 1200  # bytes; less than the one is no padding, the other is full


def pair_with_standby(ack_within: float = RIDE) -> Pair:
    """A call on the relay, and a direct path that both have proved and nobody speaks on."""
    pair = Pair()
    for end in (pair.client, pair.server):
        end.connection.acknowledge_within(ack_within)
    pair.join(WLAN, HOME, DELAY)
    assert pair.client.connection.open_path(WLAN, proven_rtt=None, now=pair.now)
    pair.client.connection.challenge(WLAN)
    pair.run(pair.now + 0.5)
    assert pair.client.connection.is_validated(WLAN)
    assert pair.server.connection.is_validated(HOME)
    pair.sent.clear()
    for end in (pair.client, pair.server):
        end.events.clear()
    return pair


def sent_by(pair: Pair, end: End, path: PathAddress) -> list[tuple[float, int]]:
    """When and how large: what an end sent on a path."""
    return [(at, size) for at, who, by, size in pair.sent if who is end and by == path]


def ping(pair: Pair, end: End, path: PathAddress) -> None:
    end.connection.ping(path)
    pair.step(end)


# ---- acknowledgements beside the selected path ---------------------------------------------------


@pytest.mark.parametrize("ack_within", [0.0, RIDE])
def test_what_comes_beside_the_selected_path_is_acknowledged_where_it_came(
    ack_within: float,
) -> None:
    pair = pair_with_standby(ack_within)
    start = pair.now
    pair.client.connection.send_datagram(b"frame", "frame", WLAN, start)
    pair.run(start + 0.5)
    ((left, _),) = sent_by(pair, pair.server, HOME)
    assert left == pytest.approx(start + DELAY + ack_within, abs=0.001)
    assert pair.client.seen(events.DatagramAcknowledged) == [
        events.DatagramAcknowledged(WLAN, "frame")
    ]
    answers = pair.client.connection.answers(WLAN)
    assert answers.answered_at == pytest.approx(left + DELAY, abs=0.001), "not by the slower relay"


def test_an_acknowledgement_rides_on_every_packet_beside_the_selected_path() -> None:
    pair = pair_with_standby(ack_within=10.0)  # no timer sends it
    pair.cut(pair.server, relay())
    start = pair.now
    for number in range(5):
        pair.client.connection.send_datagram(b"by the relay", number, relay(), pair.now)
        pair.run(pair.now + FRAME)
        ping(pair, pair.server, HOME)
    pair.run(pair.now + 2 * DELAY)
    acknowledged = pair.client.seen(events.DatagramAcknowledged)
    assert [event.tag for event in acknowledged] == [0, 1, 2, 3], "what arrived before a ping left"
    assert pair.client.connection.answers(relay()).answered_at > start


def test_on_the_selected_path_an_acknowledgement_rides_on_the_next_datagram() -> None:
    pair = pair_with_standby(ack_within=10.0)
    pair.client.connection.send_datagram(b"frame", "frame", relay(), pair.now)
    pair.run(pair.now + 0.2)
    assert not pair.client.seen(events.DatagramAcknowledged)
    pair.server.connection.send_datagram(b"answer", "answer", relay(), pair.now)
    pair.run(pair.now + 0.031)
    assert len(pair.client.seen(events.DatagramAcknowledged)) == 1


@pytest.mark.parametrize("beside", ["ping", "copy"])
def test_an_acknowledgement_that_rode_beside_the_selected_path_is_still_owed_on_it(
    beside: str,
) -> None:
    pair = pair_with_standby()
    pair.cut(pair.server, HOME)  # what rides there arrives nowhere
    pair.client.connection.send_datagram(b"frame", "frame", relay(), pair.now)
    pair.run(pair.now + 0.031)
    if beside == "ping":
        ping(pair, pair.server, HOME)
    else:  # our own builder makes that packet
        pair.server.connection.send_datagram(b"copy", "copy", HOME, pair.now)
        pair.step(pair.server)
    pair.server.connection.send_datagram(b"answer", "answer", relay(), pair.now)
    pair.run(pair.now + 0.031)
    assert [event.tag for event in pair.client.seen(events.DatagramAcknowledged)] == ["frame"]


def test_an_acknowledgement_for_a_path_that_cannot_send_does_not_wake_us_again_and_again() -> None:
    pair = pair_with_standby()
    pair.client.connection.send_datagram(b"frame", "frame", WLAN, pair.now)
    pair.run(pair.now + DELAY + 0.001)
    for path in pair.server.connection._paths.values():
        if path.addr == HOME:  # as if the other end had retired its id, and given us no other
            path.cid = None
    pair.server.connection._peer_cid_available.clear()
    pair.now += 1.0
    pair.server.connection.handle_timer(pair.now)
    pair.server.connection.datagrams_to_send(pair.now)
    due = pair.server.connection.get_timer()
    assert due is None or due > pair.now
    pair.run(pair.now + 1.0)  # and would never come to rest


# ---- asking --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [WLAN, relay()], ids=["beside", "selected"])
def test_a_ping_is_one_small_packet_that_is_answered(path: PathAddress) -> None:
    pair = pair_with_standby()
    start = pair.now
    ping(pair, pair.client, path)
    assert pair.client.connection.answers(path).waiting_since == start
    pair.run(start + 0.5)
    ((left, size),) = sent_by(pair, pair.client, path)
    assert (left, size < SMALL) == (start, True)
    answers = pair.client.connection.answers(path)
    assert answers.arrived_from == start
    assert answers.answered_at > start
    assert answers.waiting_since is None
    assert pair.client.connection.is_validated(path)


def test_pings_due_together_are_one_packet() -> None:
    pair = pair_with_standby()
    pair.client.connection.ping(WLAN)
    ping(pair, pair.client, WLAN)
    pair.run(pair.now + 0.5)
    assert len(sent_by(pair, pair.client, WLAN)) == 1


def test_who_is_pinged_beside_the_selected_path_knows_it() -> None:
    pair = pair_with_standby()
    before = pair.server.connection.heard_elsewhere_at
    ping(pair, pair.client, relay())
    pair.run(pair.now + 0.2)
    assert pair.server.connection.heard_elsewhere_at == before
    start = pair.now
    ping(pair, pair.client, WLAN)
    pair.run(pair.now + 0.2)
    assert pair.server.connection.heard_elsewhere_at == pytest.approx(start + DELAY)


# ---- doubt ---------------------------------------------------------------------------------------


def test_a_doubted_path_is_validated_again_by_its_answer() -> None:
    pair = pair_with_standby()
    pair.client.connection.doubt(WLAN)
    assert not pair.client.connection.is_validated(WLAN)
    pair.run(pair.now + 0.2)
    assert pair.client.connection.is_validated(WLAN)
    (proof,) = pair.client.seen(events.PathValidated)
    assert proof.path == WLAN
    assert proof.rtt == pytest.approx(2 * DELAY, abs=0.001)
    assert pair.server.connection.is_validated(HOME), "the doubt is ours alone"


def test_an_answer_on_a_path_that_nobody_doubts_is_no_news() -> None:
    pair = pair_with_standby()
    pair.client.connection.challenge(WLAN)
    pair.run(pair.now + 0.2)
    assert not pair.client.seen(events.PathValidated)


def test_what_is_sent_on_a_doubted_path_is_not_limited() -> None:
    pair = pair_with_standby()
    pair.cut(pair.server, HOME)  # no answer comes, and nothing that would renew a credit
    pair.client.connection.doubt(WLAN)
    for number in range(50):
        pair.client.connection.send_datagram(AUDIO, number, WLAN, pair.now)
        pair.run(pair.now + FRAME)
    pair.run(pair.now + 0.1)
    assert not pair.client.connection.is_validated(WLAN)
    assert len({time for time, _, path in pair.server.arrivals if path == HOME}) == 50


def test_a_path_proved_by_a_punch_is_doubted_no_longer() -> None:
    pair = pair_with_standby()
    pair.client.connection.doubt(WLAN)
    assert pair.client.connection.open_path(WLAN, proven_rtt=0.04, now=pair.now)
    assert pair.client.connection.is_validated(WLAN)


# ---- answers of a path that dies -----------------------------------------------------------------


def test_the_answers_of_a_path_that_dies_stop_and_begin_to_be_awaited() -> None:
    pair = pair_with_standby()
    pair.client.connection.select(WLAN)
    pair.talk(pair.client, WLAN, frames=20)
    pair.run(pair.now + 0.2)
    answers = pair.client.connection.answers(WLAN)
    last_heard, last_answered = answers.heard_at, answers.answered_at
    assert answers.waiting_since is None
    assert answers.time is not None
    assert 2 * DELAY <= answers.time <= 2 * DELAY + RIDE
    pair.cut_both(WLAN)
    died = pair.now
    pair.talk(pair.client, WLAN, frames=10, first=20)
    assert answers.waiting_since == pytest.approx(died)
    assert (answers.heard_at, answers.answered_at) == (last_heard, last_answered)
    assert answers.arrived_from < died


def test_what_arrives_one_way_is_answered_by_another_path() -> None:
    pair = pair_with_standby()
    pair.client.connection.select(WLAN)
    pair.talk(pair.client, WLAN, frames=20)
    pair.run(pair.now + 0.2)
    pair.cut(pair.server, HOME)
    answers = pair.client.connection.answers(WLAN)
    last_heard = answers.heard_at
    died = pair.now
    for number in range(20, 40):
        pair.client.connection.send_datagram(b"frame", number, WLAN, pair.now)
        pair.server.connection.ping(relay())
        pair.step(pair.server)
        pair.run(pair.now + FRAME)
    assert answers.heard_at == last_heard
    assert answers.answered_at > died + 0.3, "the acknowledgements ride on what comes otherwise"
    assert answers.waiting_since is not None
    assert answers.waiting_since > pair.now - 0.15


def test_a_hole_in_what_is_acknowledged_keeps_nobody_waiting() -> None:
    pair = pair_with_standby()
    pair.client.connection.select(WLAN)
    pair.talk(pair.client, WLAN, frames=5)
    pair.cut(pair.client, WLAN)
    pair.talk(pair.client, WLAN, frames=1, first=5)
    pair.join(WLAN, HOME, DELAY)
    pair.talk(pair.client, WLAN, frames=5, first=6)
    answers = pair.client.connection.answers(WLAN)
    assert answers.waiting_since is not None
    assert answers.waiting_since > pair.now - 2 * DELAY - RIDE - 2 * FRAME
    pair.run(pair.now + 0.5)
    assert answers.waiting_since is None


# ---- windows -------------------------------------------------------------------------------------


def test_the_window_of_audio_never_falls_below_two_seconds_of_it() -> None:
    least = LEAST_WINDOW * DATAGRAM
    control = AudioCongestionControl(max_datagram_size=DATAGRAM)
    assert control.congestion_window >= least
    for number in range(1, 50):
        packet = _sent_packet(number, sent_time=float(number))
        control.on_packet_sent(packet=packet)
        control.on_packets_lost(now=number + 0.5, packets=[packet])
        assert control.congestion_window >= least
        assert control.ssthresh is not None
        assert control.ssthresh >= least
    control.on_persistent_congestion()
    assert control.congestion_window >= least


def test_under_heavy_loss_every_frame_still_leaves_at_once() -> None:
    pair = pair_with_standby()
    loses = itertools.cycle([True, False, False])  # a third of all
    for number in range(200):
        way = WLAN if next(loses) else None
        if way is not None:
            pair.cut(pair.client, WLAN)
        start, before = pair.now, len(pair.sent)
        pair.client.connection.send_datagram(AUDIO, number, WLAN, start)
        pair.step(pair.client)
        assert len(pair.sent) > before, number
        if way is not None:
            pair.join(WLAN, HOME, DELAY)
        pair.run(start + FRAME)
    assert len(pair.client.seen(events.DatagramLost)) > 30
    recovery = pair.client.connection._paths[WLAN].recovery
    assert recovery.congestion_window >= LEAST_WINDOW * DATAGRAM


def test_a_silent_path_does_not_fill_its_window_for_ever() -> None:
    pair = pair_with_standby()
    pair.cut_both(WLAN)
    recovery = pair.client.connection._paths[WLAN].recovery
    window = recovery.congestion_window
    for number in range(FRAMES):
        pair.client.connection.send_datagram(AUDIO, number, WLAN, pair.now)
        pair.run(pair.now + FRAME)
    assert len(AUDIO) * FRAMES > 3 * window, "all of it would not fit"
    rtt = pair.client.connection.rtt(WLAN)
    assert rtt is not None
    young = STALE_FLIGHT + rtt + 2 * FRAME
    left = [size for at, size in sent_by(pair, pair.client, WLAN) if at >= pair.now - young]
    assert recovery.bytes_in_flight <= sum(left)
    least = LEAST_WINDOW * DATAGRAM  # where it begins anew after two seconds of silence
    assert recovery.congestion_window in (window, least), "silence is not congestion"
    assert recovery._cc.ssthresh is None
    lost = [event.tag for event in pair.client.seen(events.DatagramLost)]
    assert lost == list(range(len(lost)))
    assert len(lost) >= FRAMES - young / FRAME


@pytest.mark.parametrize("seconds", [0.5, 2.0, 10.0])
def test_after_everything_fell_silent_a_frame_still_leaves_and_wakes_the_path(
    seconds: float,
) -> None:
    pair = pair_with_standby()
    pair.cut_both(WLAN)
    pair.cut_both(relay())
    for number in range(round(seconds / FRAME)):
        for path in (WLAN, relay()):
            pair.client.connection.send_datagram(AUDIO, number, path, pair.now)
        pair.run(pair.now + FRAME)
    pair.join(WLAN, HOME, DELAY)
    back, before = pair.now, len(pair.sent)
    pair.client.connection.send_datagram(b"awake", "awake", WLAN, back)
    pair.run(back + DELAY + 0.001)
    assert (back, WLAN) in [(at, path) for at, _, path, _ in pair.sent[before:]]
    assert b"awake" in [data for _, data, _ in pair.server.arrivals]


def test_an_answer_to_what_was_given_up_as_stale_harms_nobody() -> None:
    pair = pair_with_standby()
    pair.join(WLAN, HOME, delay=1.0)  # all of a sudden, beyond what is believed in flight
    pair.talk(pair.client, WLAN, frames=200)
    pair.run(pair.now + 3.0)
    assert len(pair.server.arrivals) == 200
    assert not pair.client.seen(events.Terminated)
    assert pair.client.connection.answers(WLAN).answered_at > 0


def _sent_packet(number: int, sent_time: float) -> QuicSentPacket:
    return QuicSentPacket(
        epoch=Epoch.ONE_RTT,
        in_flight=True,
        is_ack_eliciting=True,
        is_crypto_packet=False,
        packet_number=number,
        packet_type=QuicPacketType.ONE_RTT,
        sent_time=sent_time,
        sent_bytes=DATAGRAM,
    )


# ---- what limits a path --------------------------------------------------------------------------


@pytest.mark.parametrize("was_reached", [True, False])
def test_nothing_limits_a_new_path_to_where_the_other_end_was_shown_to_be(
    was_reached: bool,
) -> None:
    pair = pair_with_standby()
    pair.cut(pair.server, HOME)
    pair.client.connection.close_path(WLAN, pair.now)
    pair.run(pair.now + 0.5)
    connection = pair.client.connection
    assert connection.open_path(WLAN, proven_rtt=None, was_reached=was_reached, now=pair.now)
    assert not connection.is_validated(WLAN)
    assert connection.is_limited(WLAN) is not was_reached
    before = len(pair.sent)
    for number in range(200):
        connection.send_datagram(AUDIO, number, WLAN, pair.now)
        pair.run(pair.now + FRAME)
    left = [at for at, who, by, _ in pair.sent[before:] if who is pair.client and by == WLAN]
    assert (len(left) == 200) is was_reached


def test_what_came_is_acknowledged_before_the_goodbye() -> None:
    pair = pair_with_standby()
    pair.server.connection.acknowledge_within(1.0)
    pair.client.connection.send_datagram(AUDIO, "the last", WLAN, pair.now)
    pair.run(pair.now + DELAY + FRAME)
    assert "the last" not in [each.tag for each in pair.client.seen(events.DatagramAcknowledged)]
    pair.server.connection.close()
    pair.step(pair.server)
    pair.run(pair.now + DELAY + FRAME)
    assert "the last" in [each.tag for each in pair.client.seen(events.DatagramAcknowledged)]
