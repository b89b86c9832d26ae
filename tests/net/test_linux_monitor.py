"""The monitor and our sockets against a real kernel, in a network namespace of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.net import many_addresses, moving_host

UNSHARE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.parametrize("name", moving_host.WALKS)
def test_a_host_always_knows_which_addresses_reach_the_server(name: str) -> None:
    """And by the interface it names: from each of them a datagram leaves by that one."""
    walk = subprocess.run(
        [*UNSHARE, sys.executable, moving_host.__file__, name],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    steps = [json.loads(line) for line in walk.stdout.splitlines()]
    _, expected = moving_host.WALKS[name]
    assert steps == [[each.command, each.usable, each.usable] for each in expected], walk.stderr


@pytest.mark.lab
@pytest.mark.slow
def test_a_gateway_that_prohibits_does_no_harm_to_our_sockets() -> None:
    visit = subprocess.run(
        [*UNSHARE, sys.executable, "-m", "tests.net.captive_host"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert visit.stdout, visit.stderr
    assert json.loads(visit.stdout) == [3, [], "welcome"]


@pytest.mark.lab
@pytest.mark.slow
def test_of_ipv6_addresses_each_is_used_when_the_kernel_lets_it_be_bound() -> None:
    """Not while tentative, at once if optimistic, a temporary one before the stable."""
    walk = subprocess.run(
        [*UNSHARE, sys.executable, "-m", many_addresses.__name__],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert walk.returncode == 0, walk.stderr
    told = json.loads(walk.stdout)
    assert told["binding while tentative"] == "EADDRNOTAVAIL"
    assert told["tentative, seconds"] > 0.5
    assert "optimistic" in told["its flags"], "detection still ran"
    assert told["optimistic, seconds"] < told["tentative, seconds"]
    assert told["local route"] == "waited for"
    assert told["temporary"] == "preferred until deprecated, and kept until gone"
