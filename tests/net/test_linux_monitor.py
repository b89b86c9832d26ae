"""The monitor against a real kernel, in a network namespace of its own."""

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
def test_a_moving_host_always_knows_which_addresses_reach_the_server() -> None:
    walk = subprocess.run(
        [*UNSHARE, sys.executable, moving_host.__file__],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    steps = [tuple(json.loads(line)) for line in walk.stdout.splitlines()]
    assert steps == list(moving_host.STEPS), walk.stderr
