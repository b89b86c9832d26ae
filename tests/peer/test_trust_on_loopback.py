"""Real processes on loopback: whom a peer trusts and remembers from one run to the next."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from p2pquic.core.trace import (
    Connected,
    Listening,
    MemberIgnored,
    MemberJoined,
    PeerRecognised,
    Record,
    Registered,
    ServerTrusted,
)
from p2pquic.quic.identity import Identity
from tests.peer.test_call_on_loopback import EXIT_PATIENCE, running, trace_of

pytestmark = pytest.mark.slow


@contextmanager
def server(directory: Path, name: str, port: int = 0) -> Iterator[Listening]:
    """An intermediate server whose key is called `name`."""
    keys = f"--cert {name}.pem --key {name}.key"
    with running(f"intermediate --listen 127.0.0.1:{port} {keys}", directory) as process:
        listening = next(trace_of(process)).record
        assert isinstance(listening, Listening)
        yield listening


def until_registered(join: str, directory: Path) -> list[Record]:
    """What a peer writes until it is in the room; it leaves then."""
    seen: list[Record] = []
    with running(f"{join} --role receiver --sink none", directory) as peer:
        for entry in trace_of(peer):
            seen.append(entry.record)
            if isinstance(entry.record, Registered):
                break
        peer.send_signal(signal.SIGINT)
        assert peer.wait(EXIT_PATIENCE) == 0
    return seen


def test_the_first_key_of_a_server_is_trusted_and_another_refused(tmp_path: Path) -> None:
    known = tmp_path / "p2pquic" / "known_servers"
    with server(tmp_path, "first") as first:
        join = f"peer --intermediate {first.address}"
        pinned = until_registered(f"{join} --pin {first.fingerprint}", tmp_path)
        assert not known.exists(), "--pin is not for the file"
        seen = until_registered(join, tmp_path)
        assert ServerTrusted(first.address, first.fingerprint) in seen
        assert known.read_text() == f"{first.address} {first.fingerprint}\n"
        again = until_registered(join, tmp_path)
        assert not [each for each in pinned + again if isinstance(each, ServerTrusted)]
    with server(tmp_path, "second", int(first.address.rpartition(":")[2])) as second:
        refused = subprocess.run(
            [
                sys.executable,
                "-m",
                "p2pquic",
                *join.split(),
                "--role",
                "receiver",
                "--sink",
                "none",
            ],
            env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=20.0,
        )
        assert refused.returncode == 1
        for part in (first.fingerprint, second.fingerprint, f"line 1 of {known}", "--pin"):
            assert part in refused.stderr
        assert known.read_text() == f"{first.address} {first.fingerprint}\n"
        until_registered(f"{join} --pin {second.fingerprint}", tmp_path)


def test_of_two_first_contacts_with_different_keys_the_second_is_refused(tmp_path: Path) -> None:
    known, other_key = tmp_path / "p2pquic" / "known_servers", f"sha256:{'ab' * 32}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = f"peer --intermediate localhost:{port} --ephemeral --role receiver --sink none"
    with running(command, tmp_path, stderr=subprocess.PIPE) as peer:
        next(trace_of(peer))  # by now it has found the server unknown
        known.parent.mkdir(exist_ok=True)
        known.write_text(f"localhost:{port} {other_key}\n")
        with server(tmp_path, "server", port):
            assert peer.wait(20.0) == 1
        assert peer.stderr is not None
        assert f"showed {other_key} to another process just now" in peer.stderr.read()
    assert known.read_text() == f"localhost:{port} {other_key}\n"


def test_a_user_is_one_peer_who_remembers_others_and_calls_whom_it_likes(tmp_path: Path) -> None:
    wanted, unwanted = Identity.generate(), Identity.generate()
    wanted.save(tmp_path / "wanted.pem", tmp_path / "wanted.key")
    unwanted.save(tmp_path / "unwanted.pem", tmp_path / "unwanted.key")
    with server(tmp_path, "server") as listening:
        join = f"peer --intermediate {listening.address} --pin {listening.fingerprint}"
        hear = f"{join} --role receiver --sink none"
        send = f"{join} --role sender --media tone --only {wanted.peer_id}"
        ours = []
        with running(f"{hear} --cert unwanted.pem --key unwanted.key", tmp_path) as stranger:
            next(each for each in trace_of(stranger) if isinstance(each.record, Registered))
            with running(f"{hear} --cert wanted.pem --key wanted.key", tmp_path) as friend:
                next(each for each in trace_of(friend) if isinstance(each.record, Registered))
                for _ in range(2):
                    with running(send, tmp_path) as peer:
                        ours.append(until_recognised(peer))
                        peer.send_signal(signal.SIGINT)
                        assert peer.wait(EXIT_PATIENCE) == 0
    first, second = ours
    for seen in ours:
        assert MemberIgnored(unwanted.peer_id, "receiver") in seen
        assert [each.peer for each in seen if isinstance(each, MemberJoined)] == [wanted.peer_id]
        assert [each.remote for each in seen if isinstance(each, Connected)] == [wanted.peer_id]
    assert first[-1] == PeerRecognised(wanted.peer_id, "")
    assert isinstance(second[-1], PeerRecognised)
    assert second[-1].last_met.endswith("Z")
    (us,) = {each.peer for seen in ours for each in seen if isinstance(each, Registered)}
    assert (
        us
        == Identity.load(*(tmp_path / "p2pquic" / f"peer.{end}" for end in ("pem", "key"))).peer_id
    )


def until_recognised(peer: subprocess.Popen[str]) -> list[Record]:
    """What a peer writes until it says whether it knows whom it called."""
    seen: list[Record] = []
    for entry in trace_of(peer):
        seen.append(entry.record)
        if isinstance(entry.record, PeerRecognised):
            break
    return seen
