"""The key a server had when it was first met is the one it has to have."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from p2pquic.api.named_servers import choose_pins, find_servers
from p2pquic.core.addresses import ServerAddress, SocketAddress
from p2pquic.core.errors import UsageError
from p2pquic.quic.identity import parse_fingerprint
from p2pquic.trust.known_servers import KnownServers, OtherKeyError

SERVER = "music.example:12345"
KEY = "sha256:" + "ab" * 32
OTHER_KEY = "sha256:" + "cd" * 32
TRUST_MANY = """
import sys
from pathlib import Path
from p2pquic.trust.known_servers import KnownServers
for number in range(20):
    KnownServers(Path(sys.argv[1])).trust(f"{sys.argv[2]}-{number}:1", "sha256:" + "ab" * 32)
"""


def test_a_server_is_known_after_the_first_contact(tmp_path: Path) -> None:
    servers = KnownServers(tmp_path / "new")
    assert servers.pin(SERVER) is None
    servers.trust(SERVER, KEY)
    pin = servers.pin(SERVER.upper())
    assert pin is not None
    assert pin.key_hashes == (bytes.fromhex("ab" * 32),)
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


def test_a_pin_that_is_told_wins_over_the_key_that_is_known(tmp_path: Path) -> None:
    known = KnownServers(tmp_path)
    assert known.choose_pin(SERVER, []) is None
    known.trust(SERVER, KEY)
    remembered, told = known.choose_pin(SERVER, []), known.choose_pin(SERVER, [OTHER_KEY, KEY])
    assert remembered is not None
    assert told is not None
    assert remembered.key_hashes == (parse_fingerprint(KEY),)
    assert told.key_hashes == (parse_fingerprint(OTHER_KEY), parse_fingerprint(KEY))


def test_each_of_several_servers_has_the_key_it_had_or_any_that_is_told(tmp_path: Path) -> None:
    known = KnownServers(tmp_path)
    known.trust(SERVER, KEY)
    addresses = {
        SERVER: ServerAddress.of(SocketAddress("10.0.0.1", 1)),
        "10.0.0.2:1": ServerAddress.of(SocketAddress("10.0.0.2", 1)),
    }
    servers = find_servers(choose_pins(list(addresses), [], known), addresses.__getitem__)
    assert list(servers) == list(addresses)
    assert servers[SERVER].pins == (parse_fingerprint(KEY),)
    assert not servers["10.0.0.2:1"].pins
    told = choose_pins(list(addresses), [KEY, OTHER_KEY], known)
    for server in find_servers(told, addresses.__getitem__).values():
        assert set(server.pins) == {parse_fingerprint(KEY), parse_fingerprint(OTHER_KEY)}
