"""The pace of hole punching, in virtual time."""

from __future__ import annotations

import itertools

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.punching import (
    FAST_INTERVAL,
    FAST_PROBES,
    MOST_PAIRS,
    PROBES_AT_ONCE,
    REFRESH_INTERVAL,
    SLOWEST_INTERVAL,
    Pair,
    Punching,
)

WLAN = LocalSocket("192.168.1.2", 4000, "wlan0")
RMNET = LocalSocket("192.168.2.2", 4000, "rmnet0")
THEIRS = SocketAddress("198.51.100.3", 4001)
THEIR_HOST = SocketAddress("192.168.3.2", 4001)


def probe_times(punching: Punching, until: float, now: float = 0.0) -> list[float]:
    times = []
    while (deadline := punching.deadline) is not None and deadline <= until:
        now = max(now, deadline)
        times += [now] * len(punching.due(now))
    return times


def test_every_pair_is_probed_at_once() -> None:
    punching = Punching()
    punching.set_locals([WLAN, RMNET], now=1.0)
    punching.set_remotes([THEIRS, THEIR_HOST], now=1.0)
    assert set(punching.due(1.0)) == {
        Pair(local, remote) for local in (WLAN, RMNET) for remote in (THEIRS, THEIR_HOST)
    }
    assert punching.due(1.0) == []


def test_a_pair_without_an_answer_is_tried_less_and_less_but_never_forgotten() -> None:
    punching = Punching()
    punching.set_locals([WLAN], now=0.0)
    punching.set_remotes([THEIRS], now=0.0)
    times = probe_times(punching, until=3600.0)
    waits = [after - before for before, after in itertools.pairwise(times)]
    assert all(abs(wait - FAST_INTERVAL) < 1e-9 for wait in waits[: FAST_PROBES - 1])
    assert all(later > wait - 1e-6 for wait, later in itertools.pairwise(waits))
    assert abs(waits[-1] - SLOWEST_INTERVAL) < 1e-6
    assert len(times) < 100


def test_a_new_round_makes_every_silent_pair_fresh() -> None:
    punching = Punching()
    punching.set_locals([WLAN], now=0.0)
    punching.set_remotes([THEIRS], now=0.0)
    probe_times(punching, until=100.0)
    punching.set_remotes([THEIRS], now=100.0)
    assert len(probe_times(punching, until=100.2, now=100.0)) == 11


def test_rounds_that_come_too_fast_do_not_speed_up_the_probing() -> None:
    punching = Punching()
    punching.set_locals([WLAN], now=0.0)
    probes = 0
    for n in range(1000):
        now = n * 0.010
        punching.set_remotes([THEIRS], now)
        probes += len(punching.due(now))
    assert probes <= 10 / REFRESH_INTERVAL * (REFRESH_INTERVAL / FAST_INTERVAL + 1)


def test_an_answered_pair_is_left_in_peace_until_it_is_reopened() -> None:
    punching = Punching()
    punching.set_locals([WLAN], now=0.0)
    punching.set_remotes([THEIRS], now=0.0)
    punching.due(0.0)
    punching.answered(Pair(WLAN, THEIRS))
    assert punching.deadline is None
    punching.set_remotes([THEIRS], now=5.0)
    assert punching.deadline is None
    punching.reopen(Pair(WLAN, THEIRS), now=9.0)
    assert punching.due(9.0) == [Pair(WLAN, THEIRS)]


def test_a_pair_that_worked_is_forgotten_with_the_address_it_led_to() -> None:
    punching = Punching()
    punching.set_locals([WLAN], now=0.0)
    for port in range(1, 10 * MOST_PAIRS):
        theirs = SocketAddress("198.51.100.2", port)
        punching.set_remotes([theirs], now=float(port))
        assert punching.due(float(port)) == [Pair(WLAN, theirs)]
        punching.answered(Pair(WLAN, theirs))
        punching.set_remotes([], now=float(port))
        punching.reopen(Pair(WLAN, theirs), now=float(port))


def test_a_probe_from_them_is_answered_by_one_from_us_at_once() -> None:
    punching = Punching()
    punching.set_locals([WLAN], now=0.0)
    unknown = Pair(WLAN, SocketAddress("198.51.100.9", 7))
    assert punching.heard(unknown, now=3.0)
    assert punching.due(3.0) == [unknown]


def test_pairs_of_a_vanished_address_are_gone() -> None:
    punching = Punching()
    punching.set_locals([WLAN], now=0.0)
    punching.set_remotes([THEIRS], now=0.0)
    punching.set_locals([RMNET], now=1.0)
    assert punching.due(1.0) == [Pair(RMNET, THEIRS)]


def test_an_address_that_moved_is_probed_from_everywhere() -> None:
    punching = Punching()
    punching.set_locals([WLAN, RMNET], now=0.0)
    punching.set_remotes([THEIRS], now=0.0)
    punching.answered(Pair(WLAN, THEIRS))
    elsewhere = SocketAddress(THEIRS.host, 5001)
    punching.moved(THEIRS, elsewhere, now=1.0)
    assert set(punching.due(1.0)) == {Pair(WLAN, elsewhere), Pair(RMNET, elsewhere)}
    punching.moved(SocketAddress("203.0.113.1", 1), THEIR_HOST, now=2.0)
    assert not punching.knows(Pair(WLAN, THEIR_HOST)), "it was no candidate"


def test_where_they_were_seen_since_finds_room_among_what_never_answered() -> None:
    punching = Punching()
    punching.set_locals([WLAN], now=0.0)
    answered, *others = [SocketAddress("198.51.100.1", port) for port in range(1, MOST_PAIRS + 1)]
    punching.set_remotes([answered, *others], now=0.0)
    punching.answered(Pair(WLAN, answered))
    for n in range(MOST_PAIRS):
        punching.due(n * FAST_INTERVAL)
    punching.add_remotes([THEIRS], now=1.0)
    assert punching.knows(Pair(WLAN, THEIRS))
    assert punching.knows(Pair(WLAN, answered))


def test_no_list_of_candidates_makes_us_flood() -> None:
    punching = Punching()
    punching.set_locals([LocalSocket("10.0.0.1", port, "wlan0") for port in range(1, 9)], now=0.0)
    punching.set_remotes([SocketAddress("198.51.100.1", port) for port in range(1, 99)], now=0.0)
    assert len(punching.due(0.0)) == PROBES_AT_ONCE
    probed = [pair for n in range(1, 100) for pair in punching.due(n * FAST_INTERVAL)]
    assert len(set(probed)) == MOST_PAIRS
    assert not punching.heard(Pair(WLAN, THEIRS), now=0.0)


def test_families_are_not_mixed() -> None:
    punching = Punching()
    punching.set_locals([WLAN], now=0.0)
    punching.set_remotes([SocketAddress("2001:db8::1", 1)], now=0.0)
    assert punching.deadline is None


def test_of_both_families_each_is_probed_from_its_own_sockets() -> None:
    ours, theirs = LocalSocket("2001:db8:1::2", 4000, "wlan0"), SocketAddress("2001:db8::1", 4001)
    punching = Punching()
    punching.set_locals([WLAN, ours], now=0.0)
    punching.set_remotes([THEIRS, theirs], now=0.0)
    assert set(punching.due(0.0)) == {Pair(WLAN, THEIRS), Pair(ours, theirs)}


def test_an_address_that_stands_for_nobody_out_there_is_never_probed() -> None:
    ours = LocalSocket("2001:db8:1::2", 4000, "wlan0")
    hostile = (
        "127.0.0.1",
        "169.254.1.1",
        "::1",
        "fe80::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "fd00::1",
    )
    punching = Punching()
    punching.set_locals([WLAN, ours], now=0.0)
    punching.set_remotes([SocketAddress(host, 53) for host in hostile], now=0.0)
    assert punching.due(0.0) == []
