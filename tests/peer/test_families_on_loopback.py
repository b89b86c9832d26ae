"""Real processes on loopback, without a common family of IP: the relay bridges them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from p2pquic.core.addresses import parse_socket_address
from p2pquic.core.trace import FrameReceived, Listening, PathSelected
from tests.peer.test_call_on_loopback import EXIT_PATIENCE, running, trace_of, write_tone


@pytest.mark.slow
def test_who_has_ipv4_alone_hears_who_has_ipv6_alone(tmp_path: Path) -> None:
    write_tone(tmp_path / "tone.wav", seconds=1.0)
    with running("intermediate --listen [::]:0", tmp_path) as server:
        listening = next(trace_of(server)).record
        assert isinstance(listening, Listening)
        addresses = [parse_socket_address(each) for each in listening.address.split(",")]
        assert [each.host for each in addresses] == ["0.0.0.0", "::"]
        assert len({each.port for each in addresses}) == 1
        port, key = addresses[0].port, f"--pin {listening.fingerprint}"
        with (
            running(
                f"peer --intermediate 127.0.0.1:{port} {key} --role receiver --sink none", tmp_path
            ) as receiver,
            running(
                f"peer --intermediate [::1]:{port} {key} --role sender --media tone.wav", tmp_path
            ),
        ):
            kinds = set()
            heard = 0
            for entry in trace_of(receiver):
                match entry.record:
                    case PathSelected(kind=kind):
                        kinds.add(kind)
                    case FrameReceived():
                        heard += 1
                if heard == 25:
                    break
        assert kinds == {"relay"}
        server.send_signal(signal.SIGTERM)
        assert server.wait(EXIT_PATIENCE) == 0
