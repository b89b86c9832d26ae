"""What the relay host can see: end-to-end packets it has no key for, and nothing else."""

from __future__ import annotations

import pytest

from p2pquic.core.actions import Action, SendDatagram
from p2pquic.core.events import DatagramReceived, Event
from p2pquic.lab.catalogue import scenario_named
from p2pquic.lab.simulator import FRAME_BYTES, Simulation
from p2pquic.quic.packets import is_quic, opens_connection
from p2pquic.wire.relay_frame import FrameType, decode, is_relay_frame

SECRET = b"spoken in confidence"


@pytest.mark.slow
def test_the_relay_carries_every_frame_and_reads_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pquic.lab.simulator.FRAME_PAYLOAD", (SECRET * FRAME_BYTES)[:FRAME_BYTES])
    simulation = Simulation(scenario_named("relay-only"), seed=3)
    captured: list[bytes] = []
    server, handle = simulation.server.machine, simulation.server.machine.handle

    def handle_and_capture(event: Event, now: float) -> list[Action]:
        actions = handle(event, now)
        if isinstance(event, DatagramReceived):
            captured.append(event.data)
        captured.extend(action.data for action in actions if isinstance(action, SendDatagram))
        return actions

    monkeypatch.setattr(server, "handle", handle_and_capture)
    simulation.run()
    relayed = [decode(data) for data in captured if is_relay_frame(data)]
    carried = [frame.payload for frame in relayed if frame.type is FrameType.DATA]
    assert len(carried) > 1000
    assert all(is_relay_frame(data) or is_quic(data) for data in captured)
    assert all(is_quic(payload) for payload in carried)
    assert not any(SECRET in data for data in captured)
    handshakes = [payload for payload in carried if payload[0] & 0x80]
    assert any(opens_connection(payload) for payload in handshakes)
    assert len(handshakes) < 40, "after the handshake there are only packets with short headers"
