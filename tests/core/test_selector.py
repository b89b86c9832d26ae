"""The rule of choice as a table, both ways round, and that it does not flap."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.path import DirectPath, PathAddress, RelayPath
from p2pquic.core.selector import SWITCH_GAIN, Candidate, choose, companions

RELAY = RelayPath(b"session1", SocketAddress("198.51.100.4", 12345))
WLAN = DirectPath(LocalSocket("192.168.1.2", 4000, "wlan0"), SocketAddress("198.51.100.3", 4001))
RMNET = DirectPath(LocalSocket("192.168.2.2", 4000, "rmnet0"), SocketAddress("198.51.100.3", 4001))

relay = Candidate(RELAY, proven=True, rtt=0.030)
relay_unmeasured = Candidate(RELAY, proven=True)
wlan = Candidate(WLAN, proven=True, rtt=0.040)
wlan_unproven = Candidate(WLAN, proven=False)
wlan_slow = Candidate(WLAN, proven=True, rtt=0.300)
rmnet = Candidate(RMNET, proven=True, rtt=0.070)
rmnet_a_bit_faster = Candidate(RMNET, proven=True, rtt=0.040 - SWITCH_GAIN / 2)
rmnet_much_faster = Candidate(RMNET, proven=True, rtt=0.020)

TABLE = [
    # current, candidates, leads, chosen
    ("nothing can leave", WLAN, [], True, None),
    ("all is well", WLAN, [relay, wlan], True, None),
    ("the address is gone, the relay is left", WLAN, [relay], True, RELAY),
    ("the address is gone, another direct path is proved", WLAN, [relay, rmnet], False, RMNET),
    ("the address is gone, the relay is unmeasured", WLAN, [relay_unmeasured], False, RELAY),
    ("an untried path does not beat a proved relay", RMNET, [relay, wlan_unproven], True, RELAY),
    ("an untried path is not taken even if it is the only one", RMNET, [wlan_unproven], True, None),
    ("a direct path works, seen by the leader", RELAY, [relay, wlan], True, WLAN),
    ("a direct path works, seen by the other", RELAY, [relay, wlan], False, WLAN),
    ("a slow direct path still spares the relay", RELAY, [relay, wlan_slow], True, WLAN),
    ("an untried direct path is not taken", RELAY, [relay, wlan_unproven], True, None),
    ("a much faster path is taken by the leader", WLAN, [wlan, rmnet_much_faster], True, RMNET),
    ("and not by the other", WLAN, [wlan, rmnet_much_faster], False, None),
    ("a bit faster is not worth it", WLAN, [wlan, rmnet_a_bit_faster], True, None),
    (
        "a path that answers is better than one that does not",
        WLAN,
        [wlan_unproven, rmnet],
        0,
        RMNET,
    ),
    ("a fast relay does not take a direct call back", WLAN, [wlan_slow, relay], True, None),
]


@pytest.mark.parametrize(
    ("current", "candidates", "leads", "chosen"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_choice(
    current: DirectPath | RelayPath,
    candidates: list[Candidate],
    leads: bool,
    chosen: DirectPath | RelayPath | None,
) -> None:
    for order in itertools.permutations(candidates):
        choice = choose(current, order, leads=leads)
        assert (choice.path if choice else None) == chosen


@pytest.mark.parametrize("leads", [True, False])
@pytest.mark.parametrize("current", [RELAY, WLAN, RMNET, None])
def test_having_chosen_it_stays(current: DirectPath | RelayPath | None, leads: bool) -> None:
    everything = [relay, wlan, wlan_unproven, rmnet, rmnet_much_faster, wlan_slow]
    for size in (1, 2, 3):
        for candidates in itertools.combinations(everything, size):
            if len({candidate.path for candidate in candidates}) < size:
                continue
            first = choose(current, candidates, leads=leads)
            if first is not None:
                assert choose(first.path, candidates, leads=leads) is None


# ---- fresh signs of life -------------------------------------------------------------------------


def stale(candidate: Candidate) -> Candidate:
    return dataclasses.replace(candidate, fresh=False)


@pytest.mark.parametrize(
    ("current", "candidates", "chosen"),
    [
        pytest.param(WLAN, [wlan, rmnet_much_faster], RMNET, id="faster, and it lives"),
        pytest.param(WLAN, [wlan, stale(rmnet_much_faster)], None, id="faster, if it lives"),
        pytest.param(WLAN, [stale(wlan), rmnet_much_faster], RMNET, id="the slower may be stale"),
        pytest.param(WLAN, [relay, stale(rmnet)], RMNET, id="the address is gone"),
        pytest.param(WLAN, [wlan_unproven, stale(rmnet)], RMNET, id="this path answers"),
    ],
)
def test_an_old_proof_is_believed_where_something_forces_a_change(
    current: PathAddress, candidates: list[Candidate], chosen: PathAddress | None
) -> None:
    for order in itertools.permutations(candidates):
        choice = choose(current, order, leads=True)
        assert (choice.path if choice else None) == chosen


# ---- companions ----------------------------------------------------------------------------------

ELSEWHERE = SocketAddress("203.0.113.3", 4001)  # another interface of the other end
WLAN_ELSEWHERE = DirectPath(WLAN.local, ELSEWHERE)
WLAN_OTHER_PORT = DirectPath(WLAN.local, SocketAddress(WLAN.remote.host, 4009))
WLAN_OTHER_SOCKET = DirectPath(LocalSocket("192.168.1.2", 4009, "wlan0"), WLAN.remote)
RMNET_ELSEWHERE = DirectPath(RMNET.local, ELSEWHERE)


def by(interface: str, path: PathAddress, rtt: float = 0.040) -> Candidate:
    return Candidate(path, proven=True, rtt=rtt, interface=interface)


COMPANIONS = [
    # current, its interface, the candidates in the order expected
    ("nothing else is there", WLAN, "wlan0", [], []),
    ("another interface", WLAN, "wlan0", [by("rmnet0", RMNET)], []),
    ("and the other way round", RMNET, "rmnet0", [by("wlan0", WLAN)], []),
    (
        "another interface before another address of theirs before the relay",
        WLAN,
        "wlan0",
        [by("rmnet0", RMNET), by("wlan0", WLAN_ELSEWHERE), by("wlan0", RELAY)],
        [],
    ),
    (
        "and the other way round",
        RMNET,
        "rmnet0",
        [by("wlan0", WLAN), by("rmnet0", RMNET_ELSEWHERE), by("rmnet0", RELAY)],
        [],
    ),
    (
        "what shares nothing at all comes first, though slower",
        WLAN,
        "wlan0",
        [by("rmnet0", RMNET_ELSEWHERE, rtt=0.300), by("rmnet0", RMNET, rtt=0.010)],
        [],
    ),
    (
        "the relay by another interface shares less than another address of theirs",
        WLAN,
        "wlan0",
        [by("rmnet0", RELAY), by("wlan0", WLAN_ELSEWHERE)],
        [],
    ),
    (
        "of two that share as little the direct one, though slower",
        WLAN,
        "wlan0",
        [by("rmnet0", RMNET, rtt=0.300), by("rmnet0", RELAY, rtt=0.010)],
        [],
    ),
    (
        "another port of theirs or another socket of ours is no other way",
        WLAN,
        "wlan0",
        [],
        [by("wlan0", WLAN_OTHER_PORT), by("wlan0", WLAN_OTHER_SOCKET)],
    ),
    ("an unproved path helps nobody", WLAN, "wlan0", [], [Candidate(RMNET, proven=False)]),
    ("on the relay, a direct path", RELAY, "wlan0", [by("wlan0", WLAN)], []),
    (
        "on the relay, a direct path by another interface first",
        RELAY,
        "wlan0",
        [by("rmnet0", RMNET, rtt=0.300), by("wlan0", WLAN, rtt=0.010)],
        [],
    ),
    (
        "and the other way round",
        RELAY,
        "rmnet0",
        [by("wlan0", WLAN, rtt=0.300), by("rmnet0", RMNET, rtt=0.010)],
        [],
    ),
]


@pytest.mark.parametrize(
    ("current", "interface", "expected", "useless"),
    [row[1:] for row in COMPANIONS],
    ids=[row[0] for row in COMPANIONS],
)
def test_companions_share_least_first(
    current: PathAddress, interface: str, expected: list[Candidate], useless: list[Candidate]
) -> None:
    itself = by(interface, current)
    for order in itertools.permutations([itself, *expected, *useless]):
        found = companions(current, interface, order)
        assert found == [candidate.path for candidate in expected]


def test_a_companion_may_have_been_silent_for_a_while() -> None:
    assert companions(WLAN, "wlan0", [stale(by("rmnet0", RMNET))]) == [RMNET]


@pytest.mark.parametrize("order", list(itertools.permutations([relay, wlan, rmnet_much_faster])))
def test_who_sends_once_leaves_an_address_that_is_gone_by_the_relay(
    order: tuple[Candidate, ...],
) -> None:
    gone = DirectPath(LocalSocket("192.168.3.2", 4000, "eth0"), WLAN.remote)
    hedged = choose(gone, order, leads=True)
    lean = choose(gone, order, leads=True, sends_once=True)
    assert hedged is not None
    assert lean is not None
    assert (hedged.path, lean.path) == (RMNET, RELAY)
    unproven = [dataclasses.replace(each, proven=each is wlan) for each in order]
    left = choose(gone, unproven, leads=True, sends_once=True)
    assert left is None or left.path != RELAY, "but not if that never answered"
