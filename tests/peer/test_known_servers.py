"""The key a server had when it was first met is the one it has to have."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from p2pquic.core.errors import UsageError
from p2pquic.core.trace import Failed, Registered, ServerTrusted
from p2pquic.peer.known_servers import KnownServers, OtherKeyError
from p2pquic.peer.memory import Memory

SERVER = "music.example:12345"
KEY = "sha256:" + "ab" * 32
OTHER_KEY = "sha256:" + "cd" * 32
TRUST_MANY = """
import sys
from pathlib import Path
from p2pquic.peer.known_servers import KnownServers
for number in range(20):
    KnownServers(Path(sys.argv[1])).trust(f"{sys.argv[2]}-{number}:1", "sha256:" + "ab" * 32)
"""


def test_a_server_is_known_after_the_first_contact(tmp_path: Path) -> None:
    servers = KnownServers(tmp_path / "new")
    assert servers.pin(SERVER) is None
    servers.trust(SERVER, KEY)
    pin = servers.pin(SERVER.upper())
    assert pin is not None
    assert pin.key_hash == bytes.fromhex("ab" * 32)
    assert f"line 1 of {tmp_path / 'new' / 'known_servers'}" in pin.advice
    assert servers.pin("music.example:4433") is None, "another port is another server"
    file = tmp_path / "new" / "known_servers"
    assert file.read_text() == f"{SERVER} {KEY}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_people_write_into_the_file_stays(tmp_path: Path) -> None:
    text = f"# the attic, by M\xfcller\n\n  10.0.0.1:1   {KEY}\n".encode("latin-1")
    (tmp_path / "known_servers").write_bytes(text)
    servers = KnownServers(tmp_path)
    assert servers.pin("10.0.0.1:1") is not None
    servers.trust(SERVER, OTHER_KEY)
    assert (tmp_path / "known_servers").read_bytes() == text + f"{SERVER} {OTHER_KEY}\n".encode()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"# fine\n{SERVER} sha256:abc\n", "Line 2 of .*known_servers is damaged"),
        (f"{SERVER}\n", "Line 1 .*'music.example:12345' is not of the form `HOST:PORT sha256:HEX`"),
        (f"music.example {KEY}", "Line 1 of .* is damaged"),
        (f"{SERVER} {KEY} {KEY}", "Line 1 of .* is damaged"),
        (f"{SERVER} {KEY}\nMUSIC.example:12345 {OTHER_KEY}", "Line 2 .* again, after line 1"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "known_servers").write_text(text)
    with pytest.raises(UsageError, match=sentence):
        KnownServers(tmp_path).pin("10.0.0.1:1")


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "known_servers").mkdir()
    with pytest.raises(UsageError, match="Cannot read"):
        KnownServers(tmp_path).pin(SERVER)


def test_two_first_contacts_at_once_must_have_met_the_same_key(tmp_path: Path) -> None:
    KnownServers(tmp_path).trust(SERVER, KEY)
    KnownServers(tmp_path).trust(SERVER, KEY)
    with pytest.raises(OtherKeyError, match="line 1 of"):
        KnownServers(tmp_path).trust(SERVER, OTHER_KEY)
    assert (tmp_path / "known_servers").read_text() == f"{SERVER} {KEY}\n"


@pytest.mark.slow
def test_processes_do_not_lose_each_others_servers(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TRUST_MANY, str(tmp_path)]
    processes = [subprocess.Popen([*command, f"from{number}"]) for number in range(4)]
    assert [process.wait(timeout=30.0) for process in processes] == [0] * 4
    lines = (tmp_path / "known_servers").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 80


def test_only_trust_is_written_down(tmp_path: Path) -> None:
    memory = Memory({"203.0.113.10:12345": SERVER}, KnownServers(tmp_path))
    assert memory.notice(Registered("a" * 32, "lobby", "203.0.113.5:4433")) is None
    assert not list(tmp_path.iterdir())
    assert memory.notice(ServerTrusted("203.0.113.10:12345", KEY)) is None
    assert KnownServers(tmp_path).pin(SERVER) is not None, "it goes by the name that was typed"
    assert Memory({}, None).notice(ServerTrusted("203.0.113.10:12345", KEY)) is None


def test_a_folder_that_cannot_be_written_is_told_and_ends_no_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = Memory({SERVER: SERVER}, KnownServers(tmp_path / "file")).notice(
        ServerTrusted(SERVER, KEY)
    )
    assert isinstance(told, Failed)
    assert "Cannot" in told.message
