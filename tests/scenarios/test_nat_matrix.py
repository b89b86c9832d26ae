"""Every kind of NAT against every other (RFC 4787): who gets a direct path, who stays relayed."""

from __future__ import annotations

import dataclasses
import itertools
from typing import get_args

import pytest

from p2pquic.core.trace import FrameReceived, PathSelected
from p2pquic.lab.nat import can_punch
from p2pquic.lab.scenarios import (
    HOME,
    MOVER,
    OTHER,
    WIFI,
    Dependence,
    Host,
    Nat,
    Scenario,
    Topology,
)
from p2pquic.lab.simulator import ORIGIN, Simulation

LONG_ENOUGH = 4.0  # seconds from the first packet to the path a call settles on
KINDS: list[Nat | None] = [
    None,
    *(
        Nat(mapping, filtering, port_preservation=mapping == "endpoint-independent")
        for mapping, filtering in itertools.product(get_args(Dependence), repeat=2)
    ),
]


def name_of(nat: Nat | None) -> str:
    """`EIM/APDF` and the like, as the RFC's readers write it."""
    if nat is None:
        return "public"
    short = {"endpoint-independent": "EI", "address-dependent": "AD"}
    return f"{short.get(nat.mapping, 'APD')}M/{short.get(nat.filtering, 'APD')}F"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other"), [*itertools.combinations_with_replacement(KINDS, 2)], ids=name_of
)
def test_a_call_is_direct_between_those_nats_that_let_it(
    one: Nat | None, other: Nat | None
) -> None:
    topology = Topology(
        mover=Host(MOVER, (dataclasses.replace(WIFI, nat=one),)),
        other=Host(OTHER, (dataclasses.replace(HOME, nat=other),)),
    )
    call = Simulation(Scenario("nats", "Two NATs.", topology), seed=1)
    call.start()
    call.run_until(ORIGIN + LONG_ENOUGH)
    expected = "direct" if can_punch(one, other) else "relay"
    for host in (call.mover, call.other):
        chosen = [e.record.kind for e in host.trace if isinstance(e.record, PathSelected)]
        assert chosen[-1] == expected
        assert host.records(FrameReceived)[-1].t > call.now - 0.1
