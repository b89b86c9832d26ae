"""Real processes on loopback: two servers with keys of their own; the one that relays is killed."""

from __future__ import annotations

import itertools
import signal
import time
from pathlib import Path

import pytest

from p2pquic.core.trace import (
    Failed,
    FrameReceived,
    Listening,
    PathSelected,
    Registered,
    ServerTrusted,
)
from tests.peer.test_call_on_loopback import EXIT_PATIENCE, running, trace_of

pytestmark = pytest.mark.alone

TAKEOVER_LIMIT = 1.0  # seconds without audio; it is about 0.1 where the machine has nothing to do


@pytest.mark.slow
def test_when_the_server_that_relays_is_killed_the_other_does(tmp_path: Path) -> None:
    listen = "intermediate --listen 127.0.0.1:0 --cert {0}.pem --key {0}.key"
    with (
        running(listen.format("first"), tmp_path) as first,
        running(listen.format("second"), tmp_path) as second,
    ):
        servers, pins = {}, []
        for process in (first, second):
            listening = next(trace_of(process)).record
            assert isinstance(listening, Listening)
            servers[listening.address] = process
            pins.append(f"--pin {listening.fingerprint}")
        join = " ".join(["peer", *[f"--intermediate {address}" for address in servers]])
        join += " --relay only"
        with (
            running(f"{join} --role receiver --sink none", tmp_path) as receiver,
            running(f"{join} --role sender --media tone {' '.join(pins)}", tmp_path) as sender,
        ):
            registered: set[str] = set()
            trusted: set[str] = set()
            times: list[float] = []
            relay, killed_at, missed = "", 0.0, ""
            for entry in trace_of(receiver):
                match entry.record:
                    case Registered(server=server):
                        registered.add(server)
                    case ServerTrusted(address=address):
                        trusted.add(address)
                    case PathSelected(kind="relay", remote_address=address):
                        relay = address
                    case FrameReceived():
                        times.append(entry.t)
                    case Failed(message):
                        missed = message
                if not killed_at and len(times) > 50 and registered == set(servers):
                    servers[relay].kill()
                    killed_at, dead = time.monotonic(), relay
                if killed_at and missed and entry.t > killed_at + 1.0:
                    break
            for peer in (sender, receiver):
                peer.send_signal(signal.SIGINT)
                assert peer.wait(EXIT_PATIENCE) == 0
    known = (tmp_path / "p2pquic" / "known_servers").read_text()
    assert trusted == set(servers)
    assert all(address in known for address in servers)
    assert dead in missed
    assert relay != dead
    heard = [at for at in times if at > killed_at - 0.5]
    assert max(after - before for before, after in itertools.pairwise(heard)) < TAKEOVER_LIMIT
    assert heard[-1] > killed_at + 0.9
