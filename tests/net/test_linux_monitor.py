"""The monitor and our sockets against a real kernel, in a network namespace of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.net import moving_host

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
