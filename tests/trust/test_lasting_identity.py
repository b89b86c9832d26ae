"""A user is the same peer in every run, and one at a time."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from p2pquic.core.errors import UsageError
from p2pquic.trust.file_lock import holding_if_free
from p2pquic.trust.lasting_identity import lasting_identity

USE_FOR_EVER = """
import sys
from pathlib import Path
from p2pquic.trust.lasting_identity import lasting_identity
with lasting_identity(Path(sys.argv[1])) as identity:
    print(identity.peer_id, flush=True)
    sys.stdin.read()
"""


def peer_id_in(directory: Path) -> str | None:
    with lasting_identity(directory) as identity:
        return None if identity is None else identity.peer_id


def test_an_identity_is_made_once_and_then_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new"
    first = peer_id_in(folder)
    assert f"You are peer {first}, from now on" in capsys.readouterr().err
    assert peer_id_in(folder) == first
    assert f"You are peer {first} (" in capsys.readouterr().err
    for name in ("peer.pem", "peer.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_who_finds_it_in_use_is_told_and_gets_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with lasting_identity(tmp_path) as identity:
        assert identity is not None
        capsys.readouterr()
        assert peer_id_in(tmp_path) is None
        assert capsys.readouterr().err.splitlines() == [
            "Your lasting identity is in use; this run has one of its own."
        ]
    assert peer_id_in(tmp_path) == identity.peer_id, "it is free again"


@pytest.mark.slow
def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", USE_FOR_EVER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        peer = process.stdout.readline().strip()
        assert peer_id_in(tmp_path) is None
        process.kill()
        process.wait(timeout=10.0)
        assert peer_id_in(tmp_path) == peer


def test_a_folder_that_cannot_be_written_is_told_and_stops_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert peer_id_in(tmp_path / "file") is None
    said = capsys.readouterr().err
    assert said.startswith("Cannot write ")
    assert "an identity of its own" in said


def test_half_an_identity_is_not_replaced(tmp_path: Path) -> None:
    peer_id_in(tmp_path)
    (tmp_path / "peer.pem").unlink()
    with pytest.raises(UsageError, match=r"peer\.pem is missing"):
        peer_id_in(tmp_path)
    with holding_if_free(tmp_path / "peer.lock") as is_ours:
        assert is_ours, "an error lets go of it"
