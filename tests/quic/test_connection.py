"""The engine alone: many paths, either end moves, in virtual time."""

from __future__ import annotations

import itertools

import pytest

from p2pquic.core.addresses import SocketAddress
from p2pquic.core.path import PathAddress
from p2pquic.quic import events
from p2pquic.quic.frames import AddressDiscovery
from tests.quic.pair import FRAME, End, Pair, direct, relay

A, B = "10.0.0.1", "10.0.0.2"
WLAN, RMNET, HOME = direct(A, B), direct("10.1.0.1", B), direct(B, A)
HOME_RMNET = direct(B, "10.1.0.1")


def longest_gap(end: End) -> float:
    times = [time for time, _, _ in end.arrivals]
    return max(after - before for before, after in itertools.pairwise(times))


def open_both(pair: Pair, client_path: PathAddress, server_path: PathAddress, delay: float) -> None:
    """Open and prove a way, as the client."""
    pair.join(client_path, server_path, delay)
    assert pair.client.connection.open_path(client_path, proven_rtt=None, now=pair.now)
    pair.client.connection.challenge(client_path)
    pair.run(pair.now + 0.5)
    assert pair.client.connection.is_validated(client_path)
    assert pair.server.connection.is_validated(server_path)


def test_both_ends_are_authenticated_before_anything_else_happens() -> None:
    pair = Pair()
    assert pair.client.seen(events.HandshakeConfirmed)
    assert pair.server.seen(events.HandshakeConfirmed)
    label = b"EXPORTER-test"
    assert pair.client.connection.export(label, 32) == pair.server.connection.export(label, 32)


def test_a_path_is_proved_in_both_directions_and_measured() -> None:
    pair = Pair()
    open_both(pair, WLAN, HOME, delay=0.02)
    assert pair.client.connection.rtt(WLAN) == pytest.approx(0.04, abs=0.002)
    assert pair.server.connection.rtt(HOME) == pytest.approx(0.04, abs=0.002)
    assert pair.client.connection.selected == relay()


@pytest.mark.parametrize("insists", [False, True])
@pytest.mark.parametrize("mover", ["client", "server"])
def test_either_end_moves_and_the_other_follows_from_its_first_packet(
    mover: str, insists: bool
) -> None:
    pair = Pair()
    open_both(pair, WLAN, HOME, delay=0.02)
    end = pair.client if mover == "client" else pair.server
    path, other_path = (WLAN, HOME) if mover == "client" else (HOME, WLAN)
    other = pair.other(end)
    end.connection.select(path, insists=insists)
    pair.talk(end, None, frames=1)
    pair.run(pair.now + 0.1)
    assert other.connection.selected == other_path
    assert other.seen(events.PathFollowed) == [events.PathFollowed(other_path, relay(), insists)]
    assert not end.seen(events.PathFollowed)


def test_of_two_choices_made_at_once_the_clients_stands() -> None:
    pair = Pair()
    open_both(pair, WLAN, HOME, delay=0.02)
    open_both(pair, RMNET, HOME_RMNET, delay=0.035)
    pair.client.connection.select(WLAN)
    pair.server.connection.select(HOME_RMNET)
    pair.run(pair.now + 0.5)
    assert pair.client.connection.selected == WLAN
    assert pair.server.connection.selected == HOME
    assert len(pair.client.seen(events.PathFollowed)) == 0
    assert len(pair.server.seen(events.PathFollowed)) == 1


@pytest.mark.parametrize("mover", ["client", "server"])
def test_a_frame_goes_out_on_a_new_path_before_anything_is_proved(mover: str) -> None:
    pair = Pair()
    end = pair.client if mover == "client" else pair.server
    mine, theirs = (WLAN, HOME) if mover == "client" else (HOME, WLAN)
    pair.join(WLAN, HOME, delay=0.02)
    start = pair.now
    assert end.connection.open_path(mine, proven_rtt=None, now=start)
    end.connection.challenge(mine)
    end.connection.select(mine)
    end.connection.send_datagram(b"frame", 0, mine, start)
    pair.run(start + 0.021)
    assert [(data, path) for _, data, path in pair.other(end).arrivals] == [(b"frame", theirs)]
    first = next(size for time, who, path, size in pair.sent if who is end and path == mine)
    assert first == 1200, "the first datagram is padded, so that the 3x limit covers the answer"


def test_an_unproved_address_never_gets_more_than_three_times_what_came() -> None:
    pair = Pair()
    pair.join(WLAN, HOME, delay=0.02)
    assert pair.client.connection.open_path(WLAN, proven_rtt=None, now=pair.now)
    pair.client.connection.challenge(WLAN)
    pair.step(pair.client)
    pair.cut_both(WLAN)
    pair.run(pair.now + 0.1)
    for number in range(200):
        if HOME in pair.server.connection.paths:
            pair.server.connection.send_datagram(bytes(150), number, HOME, pair.now)
        pair.run(pair.now + FRAME)
    received = sum(size for _, end, path, size in pair.sent if end is pair.client and path == WLAN)
    sent = sum(size for _, end, path, size in pair.sent if end is pair.server and path == HOME)
    assert sent <= 3 * received


def test_the_slow_path_of_two_is_not_taken_for_lossy() -> None:
    pair = Pair()
    open_both(pair, WLAN, HOME, delay=0.015)
    pair.join(RMNET, HOME_RMNET, delay=0.3)
    assert pair.client.connection.open_path(RMNET, proven_rtt=0.6, now=pair.now)
    for number in range(100):
        pair.client.connection.send_datagram(bytes(150), number, WLAN, pair.now)
        pair.client.connection.send_datagram(bytes(150), number, RMNET, pair.now)
        pair.run(pair.now + FRAME)
    pair.run(pair.now + 1)
    assert not pair.client.seen(events.DatagramLost)
    slow = [event for event in pair.client.seen(events.DatagramAcknowledged) if event.path == RMNET]
    assert len(slow) == 100


def test_an_acknowledgement_tells_which_copy_arrived() -> None:
    pair = Pair()
    open_both(pair, WLAN, HOME, delay=0.02)
    pair.cut(pair.client, WLAN)
    pair.client.connection.send_datagram(b"copy", "frame", WLAN, pair.now)
    pair.client.connection.send_datagram(b"copy", "frame", relay(), pair.now)
    pair.run(pair.now + 0.2)
    acknowledged = pair.client.seen(events.DatagramAcknowledged)
    assert acknowledged == [events.DatagramAcknowledged(relay(), "frame")]


def test_a_mapping_renewed_by_a_nat_moves_the_path_and_not_the_choice() -> None:
    pair = Pair()
    open_both(pair, WLAN, HOME, delay=0.02)
    pair.client.connection.select(WLAN)
    pair.talk(pair.client, None, frames=5)
    remapped = direct(B, "10.0.0.9")
    pair.cut_both(WLAN)
    pair.join(WLAN, remapped, delay=0.02)
    pair.talk(pair.client, None, frames=10, first=5)
    pair.run(pair.now + 0.2)
    assert pair.server.seen(events.PathMoved) == [events.PathMoved(HOME, remapped)]
    assert pair.server.connection.selected == remapped
    assert pair.server.connection.is_validated(remapped)
    assert [int(data[:4]) for _, data, _ in pair.server.arrivals] == list(range(15))


def test_a_mapping_of_a_slow_path_is_followed_though_newer_packets_come_by_a_faster_one() -> None:
    pair = Pair()
    open_both(pair, WLAN, HOME, delay=0.15)
    remapped = direct(B, "10.0.0.9")
    pair.cut_both(WLAN)
    pair.join(WLAN, remapped, delay=0.15)
    for number in range(30):
        pair.client.connection.send_datagram(bytes(4), number, WLAN, pair.now)
        pair.client.connection.send_datagram(bytes(4), number, relay(), pair.now)
        pair.run(pair.now + FRAME)
    pair.run(pair.now + 1.0)
    assert pair.server.seen(events.PathMoved) == [events.PathMoved(HOME, remapped)]
    assert pair.server.connection.is_validated(remapped)


def test_a_late_packet_from_the_mapping_before_does_not_bring_it_back() -> None:
    pair = Pair()
    open_both(pair, WLAN, HOME, delay=0.02)
    remapped = direct(B, "10.0.0.9")
    pair.join(WLAN, HOME, delay=0.1)
    pair.client.connection.send_datagram(b"late", 0, WLAN, pair.now)
    pair.step(pair.client)
    pair.join(WLAN, remapped, delay=0.02)
    pair.client.connection.send_datagram(b"soon", 1, WLAN, pair.now)
    pair.run(pair.now + 0.5)
    assert [data for _, data, _ in pair.server.arrivals][:2] == [b"soon", b"late"]
    assert pair.server.seen(events.PathMoved) == [events.PathMoved(HOME, remapped)]


def test_the_path_a_choice_means_is_the_one_its_packets_come_by() -> None:
    """A NAT remapped it, and a punch has opened another path to the new address already."""
    pair = Pair()
    open_both(pair, WLAN, HOME, delay=0.02)
    punched = direct(B, "10.0.0.9")
    pair.cut_both(WLAN)
    pair.join(WLAN, punched, delay=0.02)
    assert pair.server.connection.open_path(punched, proven_rtt=0.04, now=pair.now)
    pair.client.connection.select(WLAN)
    pair.talk(pair.client, None, frames=5)
    pair.run(pair.now + 0.2)
    assert pair.server.connection.selected == punched


def test_a_second_of_audio_on_a_slow_path_waits_for_no_pacer() -> None:
    pair = Pair()
    open_both(pair, WLAN, HOME, delay=0.15)
    for number in range(30):  # older frames sent again, all at once
        pair.client.connection.send_datagram(bytes(200), number, WLAN, pair.now)
    burst = pair.now
    pair.run(pair.now + 0.01)
    pair.client.connection.send_datagram(b"newest", 99, WLAN, pair.now)
    pair.run(pair.now + 1.0)
    arrived = {data: at for at, data, _ in pair.server.arrivals}
    assert arrived[b"newest"] - burst < 0.15 + 2 * FRAME


def test_sixty_moves_to_new_addresses_never_run_out_of_connection_ids() -> None:
    pair = Pair()
    previous = None
    for number in range(60):
        mine, theirs = direct(f"10.9.0.{number}", B), direct(B, f"10.9.0.{number}")
        pair.join(mine, theirs, delay=0.02)
        assert pair.client.connection.open_path(mine, proven_rtt=None, now=pair.now), number
        pair.client.connection.challenge(mine)
        assert pair.client.connection.select(mine)
        if previous is not None:
            pair.client.connection.close_path(previous, pair.now)
            pair.cut_both(previous)
        previous = mine
        pair.talk(pair.client, None, frames=10, first=number * 10)
    pair.run(pair.now + 0.5)
    assert len(pair.server.arrivals) == 600
    assert longest_gap(pair.server) == pytest.approx(FRAME, abs=0.02)
    assert len(pair.client.connection.paths) == 2
    assert len(pair.server.connection.paths) == 2


def test_closing_a_path_retires_it_at_both_ends() -> None:
    pair = Pair()
    open_both(pair, WLAN, HOME, delay=0.02)
    spare = pair.client.connection.spare_connection_ids
    pair.client.connection.close_path(WLAN, pair.now)
    pair.run(pair.now + 0.3)
    assert pair.server.seen(events.PathRetired) == [events.PathRetired(HOME)]
    assert pair.server.connection.paths == [relay()]
    assert pair.client.connection.spare_connection_ids == spare + 1


def test_a_path_reopened_before_the_other_end_knew_of_its_end_stays_open() -> None:
    """Its last packets come to the new path with the old connection id, which then is retired."""
    pair = Pair()
    open_both(pair, WLAN, HOME, delay=0.05)
    pair.client.connection.select(WLAN)
    pair.run(pair.now + 0.3)
    pair.talk(pair.server, None, frames=3, first=0)
    pair.client.connection.select(relay())
    pair.client.connection.close_path(WLAN, pair.now)
    pair.talk(pair.client, None, frames=1, first=5)
    assert pair.client.connection.open_path(WLAN, proven_rtt=0.1, now=pair.now)
    pair.talk(pair.server, None, frames=3, first=5)
    pair.client.connection.select(WLAN)
    for number in range(1, 20):
        pair.talk(pair.server, None, frames=3, first=10 * number)
        pair.talk(pair.client, None, frames=3, first=10 * number)
    assert pair.client.seen(events.PathRetired) == []
    assert len(pair.server.seen(events.PathRetired)) <= 2, "as selected, and as closed"
    assert pair.client.connection.selected == WLAN
    assert pair.server.connection.selected == HOME


def test_each_path_is_told_the_address_it_is_heard_from() -> None:
    pair = Pair(
        client_discovery=AddressDiscovery.RECEIVES,
        server_discovery=AddressDiscovery.PROVIDES,
        connect=False,
    )
    pair.join(WLAN, HOME, delay=0.02)
    pair.join(RMNET, HOME_RMNET, delay=0.03)
    pair.client.connection.connect(WLAN, pair.now)
    pair.run(0.3)
    assert pair.client.connection.open_path(RMNET, proven_rtt=None, now=pair.now)
    pair.client.connection.challenge(RMNET)
    pair.run(0.6)
    assert pair.client.seen(events.AddressObserved) == [
        events.AddressObserved(WLAN, SocketAddress(A, 1000)),
        events.AddressObserved(RMNET, SocketAddress("10.1.0.1", 1000)),
    ]


def test_a_stream_survives_the_loss_of_the_path_it_was_sent_on() -> None:
    pair = Pair()
    open_both(pair, WLAN, HOME, delay=0.02)
    pair.client.connection.select(WLAN)
    pair.run(pair.now + 0.1)
    pair.cut_both(WLAN)
    stream = pair.client.connection.get_next_available_stream_id(is_unidirectional=True)
    pair.client.connection.send_stream_data(stream, b"said into the void", end_stream=True)
    pair.run(pair.now + 0.05)
    pair.client.connection.select(relay())
    pair.client.connection.close_path(WLAN, pair.now)
    pair.run(pair.now + 0.3)
    assert [event.data for event in pair.server.seen(events.StreamData)] == [b"said into the void"]


def test_nothing_stale_waits_for_a_closed_window() -> None:
    pair = Pair()
    pair.cut_both(relay())
    for number in range(500):
        pair.client.connection.send_datagram(bytes(1000), number, relay(), pair.now)
        pair.run(pair.now + FRAME)
    waiting = sum(len(path.outbox) for path in pair.client.connection._paths.values())
    assert waiting <= 0.4 / FRAME + 1


def test_a_lost_challenge_is_sent_again_and_an_unproved_path_never_ends_the_connection() -> None:
    pair = Pair()
    pair.client.connection.open_path(WLAN, proven_rtt=None, now=pair.now)
    pair.client.connection.challenge(WLAN)
    pair.client.connection.select(WLAN)
    pair.run(pair.now + 0.3)
    pair.join(WLAN, HOME, delay=0.02)
    pair.talk(pair.client, relay(), frames=5)
    pair.run(pair.now + 5)
    assert pair.client.connection.is_validated(WLAN)
    assert not pair.client.seen(events.Terminated)


def test_a_goodbye_is_heard() -> None:
    pair = Pair()
    pair.client.connection.close(reason_phrase="hung up")
    pair.run(pair.now + 2)
    assert [event.reason for event in pair.server.seen(events.Terminated)] == ["hung up"]
