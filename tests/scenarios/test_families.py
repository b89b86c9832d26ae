"""Calls over IPv6, over both families and from one to the other, held against the same floors."""

from __future__ import annotations

import dataclasses

import pytest

from p2pquic.core.trace import PathSelected
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.scenarios import QuicRole
from p2pquic.lab.simulator import Simulation, VirtualHost
from tests.scenarios.test_moves import BOTH_QUIC_ROLES, check, simulate

pytestmark = pytest.mark.slow


def last_path(host: VirtualHost) -> PathSelected:
    record = host.records(PathSelected)[-1].record
    assert isinstance(record, PathSelected)
    return record


@pytest.mark.parametrize("quic_role", BOTH_QUIC_ROLES)
@pytest.mark.parametrize("name", ["both-ipv6", "one-side-dual", "both-dual"])
def test_a_move_over_ipv6_costs_what_one_over_ipv4_does(name: str, quic_role: QuicRole) -> None:
    simulation = simulate(name, quic_role)
    check(simulation)
    for host in (simulation.mover, simulation.other):
        assert last_path(host).kind == "direct"


@pytest.mark.parametrize("quic_role", BOTH_QUIC_ROLES)
def test_from_ipv4_to_ipv6_the_relay_bridges(quic_role: QuicRole) -> None:
    simulation = simulate("ipv4-to-ipv6", quic_role)
    check(simulation)
    mover, other = last_path(simulation.mover), last_path(simulation.other)
    assert mover.kind == other.kind == "relay"
    assert mover.remote_address.startswith("[2001:db8:")
    assert other.remote_address.startswith("198.51.100.")


@pytest.mark.parametrize("quic_role", BOTH_QUIC_ROLES)
def test_back_at_ipv4_the_call_is_direct_again(quic_role: QuicRole) -> None:
    simulation = simulate("ipv4-to-ipv6-and-back", quic_role)
    check(simulation)
    assert last_path(simulation.mover).path.startswith("direct/wlan0/")


def test_two_ends_without_a_common_family_talk_by_the_relay_from_the_start() -> None:
    scenario = scenario_named("both-ipv6")
    ipv4_alone = scenario_named("break-before-make").topology.other
    apart = dataclasses.replace(
        scenario,
        topology=dataclasses.replace(scenario.topology, other=ipv4_alone),
        settles_on="relay",
    )
    simulation = Simulation(apart, seed=1)
    simulation.run()
    check(simulation)
    assert {last_path(host).kind for host in (simulation.mover, simulation.other)} == {"relay"}
