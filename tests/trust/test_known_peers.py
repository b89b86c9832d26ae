"""Whom a user has met is told from who is new."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pquic.core.trace import Connected, Failed, PeerRecognised
from p2pquic.peer.memory import Memory
from p2pquic.trust import known_peers
from p2pquic.trust.known_peers import KnownPeers

BOB = "b0" * 16
EVE = "e0" * 16


def test_a_peer_is_new_once(tmp_path: Path) -> None:
    peers = KnownPeers(tmp_path)
    assert peers.meet(BOB, "2026-11-20T18:03:11Z") is None
    assert peers.meet(EVE, "2026-11-20T18:03:12Z") is None
    assert peers.meet(BOB, "2026-11-22T09:00:00Z") == "2026-11-20T18:03:11Z"
    assert (tmp_path / "known_peers").read_text().splitlines() == [
        f"{BOB} 2026-11-22T09:00:00Z",
        f"{EVE} 2026-11-20T18:03:12Z",
    ]


def test_who_was_not_met_for_longest_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_peers, "MOST_PEERS", 3)
    peers = KnownPeers(tmp_path)
    for second in (3, 1, 2, 4):
        peers.meet(f"{second}" * 32, f"2026-11-20T18:03:0{second}Z")
    names = [line[0] for line in (tmp_path / "known_peers").read_text().splitlines()]
    assert names == ["3", "4", "2"]


def test_a_call_says_whether_its_peer_was_met_before(tmp_path: Path) -> None:
    memory = Memory(KnownPeers(tmp_path))
    connected = Connected(BOB, "relay", "client", "00")
    assert memory.notice(connected) == PeerRecognised(BOB, "")
    again = memory.notice(connected)
    assert isinstance(again, PeerRecognised)
    assert again.last_met.endswith("Z")
    (tmp_path / "known_peers").write_text("Bob is a friend\n")
    told = memory.notice(connected)
    assert isinstance(told, Failed), "and the call goes on"
    assert "Line 1 of" in told.message
