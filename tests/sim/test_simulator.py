"""The simulated hosts: what their kernels tell them, and what they are never told."""

from __future__ import annotations

import pytest

from p2pquic.core.errors import UsageError
from p2pquic.lab.catalogue import SCENARIOS, scenario_named
from p2pquic.lab.networks import OTHER, SERVER, Link
from p2pquic.lab.scenarios import Change
from p2pquic.lab.simulator import Simulation

WIFI_GOES = Change(0.0, "interface_down", "wlan0")
WIFI_COMES = Change(0.0, "interface_up", "wlan0")
CELLULAR_COMES = Change(0.0, "interface_up", "rmnet0")


def test_an_address_that_comes_back_gets_the_port_it_had() -> None:
    simulation = Simulation(scenario_named("break-before-make"), seed=1)
    ports = []
    for change in (WIFI_COMES, WIFI_GOES, CELLULAR_COMES, WIFI_COMES):
        simulation.apply(change)
        ports.append({each.interface: each.port for each in simulation.mover.sockets.values()})
    assert ports[1] == {}
    assert ports[3] == ports[0] | ports[2]
    assert len(set(ports[3].values())) == 2


@pytest.mark.parametrize(
    "change",
    [
        Change(0.0, "link_dies", "wlan0"),
        Change(0.0, "nat_forgets", "wlan0"),
        Change(0.0, "server_dies", "eth0", SERVER),
        Change(0.0, "way_dies", "wlan0", towards=Link(OTHER, "eth0")),
    ],
)
def test_what_no_kernel_announces_is_written_down_and_told_to_nobody(change: Change) -> None:
    simulation = Simulation(scenario_named("silent-death"), seed=1)
    simulation.apply(change)
    (made,) = simulation.changes
    assert (made.kind, made.link, made.towards) == (change.kind, change.link, change.towards)
    assert simulation.mover.sockets == {}, "not even asked for, as a kernel's news would"


def test_a_way_must_lead_somewhere() -> None:
    simulation = Simulation(scenario_named("silent-death"), seed=1)
    with pytest.raises(UsageError, match="from a link to another"):
        simulation.apply(Change(0.0, "way_dies", "wlan0"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "lossy"])
def test_every_scenario_can_be_run_to_its_end(name: str) -> None:
    simulation = Simulation(scenario_named(name), seed=1)
    simulation.run()
    planned = [change for move in simulation.scenario.moves for change in move.changes]
    assert len(simulation.changes) == len(planned)
