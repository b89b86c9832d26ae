"""The rule of choice as a table, both ways round, and that it does not flap."""

from __future__ import annotations

import dataclasses
import itertools
import random

import pytest

from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.path import DirectPath, PathAddress, RelayPath
from p2pquic.core.selector import (
    EQUALLY_FAST,
    SWITCH_GAIN,
    Candidate,
    choose,
    companions,
    is_ours_alone,
)

RELAY = RelayPath(b"session1", ServerAddress.of(SocketAddress("198.51.100.4", 12345)))
WLAN = DirectPath(LocalSocket("192.168.1.2", 4000, "wlan0"), SocketAddress("198.51.100.3", 4001))
RMNET = DirectPath(LocalSocket("192.168.2.2", 4000, "rmnet0"), SocketAddress("198.51.100.3", 4001))

OTHER_RELAY = RelayPath(b"session2", ServerAddress.of(SocketAddress("198.51.100.5", 4433)))
relay = Candidate(RELAY, proven=True, rtt=0.030)
relay_unmeasured = Candidate(RELAY, proven=True)


def other_relay(rtt: float) -> Candidate:
    """Another server's."""
    return Candidate(OTHER_RELAY, proven=True, rtt=rtt)


wlan = Candidate(WLAN, proven=True, rtt=0.040)
wlan_unproven = Candidate(WLAN, proven=False)
wlan_slow = Candidate(WLAN, proven=True, rtt=0.300)
rmnet = Candidate(RMNET, proven=True, rtt=0.070)
rmnet_a_bit_faster = Candidate(RMNET, proven=True, rtt=0.040 - SWITCH_GAIN / 2)
rmnet_much_faster = Candidate(RMNET, proven=True, rtt=0.020)
wlan_pinned_and_late = Candidate(WLAN, proven=True, rtt=0.040, fresh=False, pinned=True)

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
    ("pinned, though an answer is late", WLAN, [wlan_pinned_and_late, rmnet_much_faster], 1, None),
    ("a bit faster is not worth it", WLAN, [wlan, rmnet_a_bit_faster], True, None),
    (
        "a path that answers is better than one that does not",
        WLAN,
        [wlan_unproven, rmnet],
        0,
        RMNET,
    ),
    ("a relay nearer by less than the gain", RELAY, [relay, other_relay(0.022)], True, None),
    ("a nearer relay", RELAY, [relay, other_relay(0.019)], True, OTHER_RELAY),
    ("a nearer relay, seen by the other end", RELAY, [relay, other_relay(0.019)], False, None),
    ("of two relays the nearer", WLAN, [other_relay(0.040), relay], False, RELAY),
    (
        "a relay that does not answer is last",
        WLAN,
        [relay_unmeasured, other_relay(0.3)],
        False,
        OTHER_RELAY,
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


# ---- preferred and avoided interfaces ------------------------------------------------------------

rmnet_preferred = dataclasses.replace(rmnet, order=0)
wlan_next = dataclasses.replace(wlan, order=1)
wlan_next_unproven = dataclasses.replace(wlan_next, proven=False)
rmnet_avoided = dataclasses.replace(rmnet_much_faster, order=1, avoided=True)
relay_avoided = dataclasses.replace(relay, order=1, avoided=True)
RMNET_TO_OTHER_ADDRESS = DirectPath(RMNET.local, SocketAddress("203.0.113.9", 4001))
rmnet_to_other_address = dataclasses.replace(rmnet_preferred, path=RMNET_TO_OTHER_ADDRESS)


@pytest.mark.parametrize("leads", [True, False])
@pytest.mark.parametrize(
    ("current", "candidates", "chosen"),
    [
        pytest.param(WLAN, [wlan_next, rmnet_preferred], RMNET, id="the preferred though slower"),
        pytest.param(RMNET, [wlan_next, rmnet_preferred], None, id="and it stays"),
        pytest.param(WLAN, [wlan_next, stale(rmnet_preferred)], None, id="only if it lives"),
        pytest.param(None, [wlan_next, rmnet_preferred], RMNET, id="the address is gone"),
        pytest.param(RELAY, [relay, wlan_next], WLAN, id="direct first, preferred second"),
        pytest.param(WLAN, [wlan_next, relay], None, id="a preferred relay takes nothing back"),
        pytest.param(
            WLAN, [wlan, rmnet_avoided], None, id="what is avoided is not taken for speed"
        ),
        pytest.param(RELAY, [relay, rmnet_avoided], None, id="nor to spare the relay"),
        pytest.param(RMNET, [wlan, rmnet_avoided], WLAN, id="it is left for a slower path"),
        pytest.param(RMNET, [relay, rmnet_avoided], RELAY, id="and for the relay"),
        pytest.param(RMNET, [wlan_unproven, rmnet_avoided], None, id="not for what proved nothing"),
        pytest.param(RMNET, [relay_avoided, rmnet_avoided], None, id="not for another such"),
        pytest.param(None, [wlan_unproven, rmnet_avoided], RMNET, id="it is taken in need"),
        pytest.param(WLAN, [wlan_unproven, rmnet_avoided], RMNET, id="and where silence is"),
    ],
)
def test_a_persons_preference_of_an_interface(
    current: PathAddress | None,
    candidates: list[Candidate],
    chosen: PathAddress | None,
    leads: bool,
) -> None:
    for order in itertools.permutations(candidates):
        choice = choose(current, order, leads=leads)
        assert (choice.path if choice else None) == chosen
        if chosen is not None:
            assert choose(chosen, order, leads=leads) is None


@pytest.mark.parametrize(
    ("leads", "yields", "chosen"),
    [(True, False, RMNET_TO_OTHER_ADDRESS), (True, True, None), (False, False, None)],
)
def test_only_who_leads_prefers_at_the_cost_of_the_other_ends_choice(
    leads: bool, yields: bool, chosen: PathAddress | None
) -> None:
    candidates = [wlan_next, rmnet_to_other_address]
    choice = choose(WLAN, candidates, leads=leads, yields=yields)
    assert (choice.path if choice else None) == chosen


def test_where_the_other_end_insists_nobody_moves_for_speed_or_off_the_relay() -> None:
    assert choose(WLAN, [wlan, rmnet_much_faster], leads=True, yields=True) is None
    assert choose(RELAY, [relay, wlan], leads=True, yields=True) is None
    assert choose(WLAN, [wlan_next, rmnet_preferred], leads=True, yields=True) is not None
    assert choose(WLAN, [relay], leads=True, yields=True) == choose(WLAN, [relay], leads=True)


class TwoEnds:
    """Two ends with two interfaces each, who see the same paths from either side."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.orders = [[self.random.randrange(2) for _ in range(2)] for _ in range(2)]
        ways = [*itertools.product(range(2), range(2)), None]  # None is the relay
        self.rtts = {way: self.random.choice([0.02, 0.04, 0.08]) for way in ways}
        self.lives = [way for way in ways if way is None or self.random.random() < 0.8]
        self.avoids = self.random.choice([0, 1, 2])  # who avoids an interface that is in use

    def path(self, end: int, way: tuple[int, int] | None) -> PathAddress:
        if way is None:
            return RELAY
        mine, theirs = way[end], way[1 - end]
        local = LocalSocket("10.0.0.1", 4000 + mine, str(mine))
        return DirectPath(local, SocketAddress("203.0.113.9", 4000 + theirs))

    def candidate(self, end: int, way: tuple[int, int] | None) -> Candidate:
        mine = 0 if way is None else way[end]
        order = self.orders[end][mine]
        avoided = end == self.avoids and mine == 1
        path = self.path(end, way)
        return Candidate(
            path, True, self.rtts[way], True, str(mine), 2 if avoided else order, avoided
        )

    def changes(self, most: int) -> int:
        """How often one of them chooses, in any order, until neither wants to."""
        current: tuple[int, int] | None = self.random.choice(self.lives)
        yields = [False, False]
        for count in range(most):
            for end in self.random.sample([0, 1], 2):
                by_path = {self.path(end, way): way for way in self.lives}
                candidates = [self.candidate(end, way) for way in self.lives]
                choice = choose(
                    self.path(end, current),
                    candidates,
                    leads=end == 0,
                    yields=yields[end],
                )
                if choice is not None:
                    yields[end] &= is_ours_alone(self.path(end, current), choice.path)
                    yields[1 - end] = choice.insists
                    current = by_path[choice.path]
                    break
            else:
                return count
        return most


@pytest.mark.parametrize("block", range(10))
def test_two_ends_with_any_preferences_come_to_rest(block: int) -> None:
    for seed in range(300 * block, 300 * (block + 1)):
        assert TwoEnds(seed).changes(most=12) <= 6, f"seed {seed}"


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
        "another server's relay by another interface before one by the same",
        RELAY,
        "wlan0",
        [by("rmnet0", WLAN), by("rmnet0", OTHER_RELAY, rtt=0.300)],
        [],
    ),
    (
        "another server's relay by the same interface",
        RELAY,
        "wlan0",
        [by("wlan0", OTHER_RELAY)],
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


@pytest.mark.parametrize("leads", [True, False])
@pytest.mark.parametrize(
    ("slower_by", "taken"),
    [(-0.020, True), (0.0, True), (0.9 * EQUALLY_FAST, True), (1.1 * EQUALLY_FAST, False)],
)
def test_what_the_kernel_prefers_is_taken_if_it_is_about_as_fast(
    slower_by: float, taken: bool, leads: bool
) -> None:
    """And stays, once taken, though the other may be a little faster."""
    here = Candidate(WLAN, proven=True, rtt=0.040, interface="wlan0", place=1)
    there = Candidate(RMNET, proven=True, rtt=0.040 + slower_by, interface="rmnet0", place=0)
    for order in ([here, there], [there, here]):
        choice = choose(WLAN, order, leads=leads)
        assert (choice is not None and choice.path == RMNET) is taken
        if taken:
            assert choose(RMNET, order, leads=leads) is None


def test_a_person_s_preference_is_worth_more_than_the_kernel_s() -> None:
    here = Candidate(WLAN, proven=True, rtt=0.040, interface="wlan0", place=1)
    there = Candidate(RMNET, proven=True, rtt=0.040, interface="rmnet0", place=0)
    for worse in (
        dataclasses.replace(there, order=1),
        dataclasses.replace(there, avoided=True),
        dataclasses.replace(there, fresh=False),
        dataclasses.replace(there, proven=False),
    ):
        assert choose(WLAN, [here, worse], leads=True) is None


def test_the_kernel_chooses_among_our_interfaces_not_where_the_other_end_is() -> None:
    here = Candidate(WLAN, proven=True, rtt=0.040, place=1)
    elsewhere = RMNET._replace(remote=SocketAddress("198.51.100.9", 4001))
    assert choose(WLAN, [here, Candidate(elsewhere, proven=True, rtt=0.040)], leads=True) is None


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
