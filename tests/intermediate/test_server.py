"""What the server keeps on disk and says on screen."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from p2pquic.core.errors import UsageError
from p2pquic.core.trace import Entry, Failed, Listening, MemberJoined, MemberLeft, Observed
from p2pquic.intermediate.server import sentence
from p2pquic.trust.server_identity import load_or_create_identity, load_or_create_secret


def test_the_identity_is_made_once_and_then_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = tmp_path / "new" / "server.pem", tmp_path / "new" / "server.key"
    made = load_or_create_identity(*files)
    assert "Made a new identity" in capsys.readouterr().err
    assert load_or_create_identity(*files).fingerprint == made.fingerprint
    assert capsys.readouterr().err == ""
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


@pytest.mark.parametrize("lost", [0, 1])
def test_half_an_identity_is_not_replaced(tmp_path: Path, lost: int) -> None:
    files = tmp_path / "server.pem", tmp_path / "server.key"
    load_or_create_identity(*files)
    files[lost].unlink()
    with pytest.raises(UsageError, match=f"{files[lost].name} is missing"):
        load_or_create_identity(*files)


def test_the_secret_is_made_once_and_then_kept(tmp_path: Path) -> None:
    file = tmp_path / "server.secret"
    secret = load_or_create_secret(file)
    assert load_or_create_secret(file) == secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_damaged_secret_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "server.secret"
    file.write_bytes(b"short")
    with pytest.raises(UsageError, match="is damaged"):
        load_or_create_secret(file)
    with pytest.raises(UsageError, match="Cannot read"):
        load_or_create_secret(tmp_path)


def test_the_screen_tells_who_comes_and_goes() -> None:
    said = [
        sentence(Entry(0.0, record))
        for record in (
            Listening("192.0.2.1:12345", "sha256:00"),
            MemberJoined("abcd", "sender"),
            MemberLeft("abcd"),
            Failed("trouble"),
            Observed("a", "b"),
        )
    ]
    assert said == [
        "Listening on 192.0.2.1:12345 (UDP) as sha256:00",
        "abcd joined as sender.",
        "abcd left.",
        "trouble",
        None,
    ]
