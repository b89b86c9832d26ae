"""The rule of choice as a table, both ways round, and that it does not flap."""

from __future__ import annotations

import itertools

import pytest

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.path import DirectPath, RelayPath
from p2pquic.core.selector import SWITCH_GAIN, Candidate, choose

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
