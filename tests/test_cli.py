"""The command line: what it accepts, and the sentence it answers with when it does not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from p2pquic import __version__
from p2pquic.cli import main
from p2pquic.core.addresses import ServerAddress, SocketAddress
from p2pquic.core.errors import P2PQuicError, UsageError
from p2pquic.core.jitter_buffer import DelayBounds
from p2pquic.core.trace import Connected
from p2pquic.net.resolving import data_directory, resolve
from p2pquic.peer.peer import PeerOptions

PIN = "sha256:" + "ab" * 32
HEAVY = ("aioquic", "matplotlib", "numpy", "rich", "cryptography", "asyncio")


def naming(*servers: str) -> str:
    """The words that name several servers."""
    return " ".join(f"--intermediate {server}" for server in servers)


def chosen_by(words: str, monkeypatch: pytest.MonkeyPatch, data: Path) -> PeerOptions:
    """What `p2pquic peer` would do with these words and this data folder."""
    chosen: list[PeerOptions] = []

    def run_peer(options: PeerOptions) -> int:
        chosen.append(options)
        return 0

    monkeypatch.setattr("p2pquic.peer.peer.run_peer", run_peer)
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    assert main(["peer", *words.split()]) == 0
    return chosen[0]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("dance", "invalid choice: 'dance'"),
        ("peer --pin sha256:abc", "is not a key fingerprint"),
        (f"peer --pin {PIN} --role listener", "invalid choice: 'listener'"),
        (f"peer --pin {PIN} --resilience cold", "invalid choice: 'cold'"),
        (f"peer --pin {PIN} --give-up 0", "'0' is no number of seconds above 0"),
        (f"peer --pin {PIN} --give-up nan", "'nan' is no number of seconds"),
        (f"peer --pin {PIN} --give-up 86401", "up to a day"),
        (f"peer --pin {PIN} --give-up soon", "'soon' is no number of seconds"),
        (f"peer --pin {PIN} --buffer much", "'much' is no delay in ms"),
        (f"peer --pin {PIN} --buffer 200-40", "'200-40' is no delay in ms"),
        (f"peer --pin {PIN} --buffer 0-200", "'0-200' is no delay in ms"),
        (f"peer --pin {PIN} --buffer 40-", "'40-' is no delay in ms"),
        (f"peer --pin {PIN} --intermediate nonsense", "'nonsense' is not an address"),
        (f"peer --pin {PIN} --intermediate 10.0.0.1:65536", "'10.0.0.1:65536' is not an address"),
        (f"peer --pin {PIN} --intermediate 10.0.0.1:0", "has port 0"),
        (f"peer --pin {PIN} --intermediate 0.0.0.0:1", "stands for every address"),
        (f"peer {naming('10.0.0.1:1', '10.0.0.1:1')}", "The server 10.0.0.1:1 is named twice"),
        (
            f"peer {naming('localhost:1', '127.0.0.1:1')}",
            "localhost:1 and 127.0.0.1:1 are the same server",
        ),
        (f"peer {naming('10.0.0.1:1', 'nonsense')}", "'nonsense' is not an address"),
        (f"peer {naming(*[f'10.0.0.1:{n}' for n in (1, 2, 3, 4)])}", "a peer can have 1 to 3"),
        (f"peer --pin {PIN} --pin sha256:abc", "is not a key fingerprint"),
        (f"peer --pin {PIN} --cert only.pem", "--cert and --key belong together"),
        (f"peer --pin {PIN} --only {'ab' * 15}", "is no peer id of 32 hexadecimal digits"),
        (f"peer --pin {PIN} --only {'xy' * 16}", "is no peer id of 32 hexadecimal digits"),
        (f"peer --pin {PIN} --ephemeral --cert a --key b", "not both"),
        (f"peer --pin {PIN} --prefer eth0,", "--prefer 'eth0,' has an empty name in it"),
        (f"peer --pin {PIN} --prefer eth0 --avoid eth0", "--prefer and --avoid both name eth0"),
        (f"peer --pin {PIN} --room {'x' * 300}", "The name of a room has 1 to"),
        ("intermediate --listen here", "'here' is not an address"),
        ("intermediate --cert only.pem", "--cert and --key belong together"),
        ("intermediate --listen 203.0.113.77:4433", "Cannot listen on 203.0.113.77:4433"),
        ("monitor --intermediate 1.2.3.4", "'1.2.3.4' is not an address"),
    ],
)
def test_a_wrong_command_is_answered_with_one_sentence(
    command: str,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert main(command.split()) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("p2pquic: ")
    assert sentence in said
    assert said.endswith(".")


def test_a_bug_is_told_as_one_and_traced_with_debug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(text: str) -> SocketAddress:
        raise KeyError(text)

    monkeypatch.setattr("p2pquic.cli.resolve", stumble)
    assert main(["peer", "--pin", PIN]) == 1
    assert "this is a bug: KeyError" in capsys.readouterr().err
    assert main(["peer", "--pin", PIN, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_host_name_is_looked_up() -> None:
    assert {address.port for address in resolve("localhost:4433").addresses} == {4433}
    assert resolve("[::1]:4433").addresses == (SocketAddress("::1", 4433),)
    with pytest.raises(UsageError, match="Cannot find the host"):
        resolve("no.such.host.invalid:4433")


def test_a_name_brings_an_address_of_each_family(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET6, 2, 17, "", ("2001:db8::1", 4433, 0, 0)),
        (socket.AF_INET6, 2, 17, "", ("2001:db8::2", 4433, 0, 0)),
        (socket.AF_INET, 2, 17, "", ("203.0.113.1", 4433)),
        (socket.AF_INET, 2, 17, "", ("203.0.113.2", 4433)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    server = resolve("server.example:4433")
    assert server == ServerAddress(
        SocketAddress("203.0.113.1", 4433), SocketAddress("2001:db8::1", 4433)
    )


def test_a_server_without_a_name_is_written_as_its_two_addresses() -> None:
    text = "203.0.113.1:4433,[2001:db8::1]:4434"
    assert str(resolve(text)) == text
    assert resolve("[2001:db8::1]:4434,203.0.113.1:4433") == resolve(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("203.0.113.1:4433,203.0.113.2:4433", "several addresses of one family"),
        ("203.0.113.1:4433,", "not a numeric address|is no"),
        ("203.0.113.1:4433,[::]:4433", "stands for every address"),
        ("203.0.113.1:4433,[2001:db8::1]:0", "port 0"),
    ],
)
def test_what_is_no_server_with_two_addresses_is_refused(text: str, fault: str) -> None:
    with pytest.raises(P2PQuicError, match=fault):
        resolve(text)


@pytest.mark.parametrize(
    ("words", "give_up", "buffer"),
    [
        ("", 60.0, DelayBounds(0.040, 0.200)),
        ("--give-up 86400 --buffer 100", 86400.0, DelayBounds(0.100, 0.100)),
        ("--give-up 2.5 --buffer 20-2000", 2.5, DelayBounds(0.020, 2.0)),
    ],
)
def test_patience_is_a_matter_of_taste(
    words: str,
    give_up: float,
    buffer: DelayBounds,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    chosen = chosen_by(f"--pin {PIN} {words}", monkeypatch, tmp_path)
    assert (chosen.give_up, chosen.buffer) == (give_up, buffer)


def test_interfaces_are_preferred_and_avoided_by_pattern(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chosen = chosen_by(f"--pin {PIN} --prefer eth0,wlan* --avoid rmnet0", monkeypatch, tmp_path)
    assert (chosen.prefer, chosen.avoid) == ("eth0,wlan*", "rmnet0")
    neither = chosen_by(f"--pin {PIN}", monkeypatch, tmp_path)
    assert (neither.prefer, neither.avoid) == (None, None)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"p2pquic {__version__}\n"


def test_data_lives_where_the_user_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert data_directory() == Path("/data/p2pquic")
    for told in ("", "data"):  # a relative path is to be ignored
        monkeypatch.setenv("XDG_DATA_HOME", told)
        assert data_directory().parts[-3:] == (".local", "share", "p2pquic")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert data_directory().parts[-3:] == (".local", "share", "p2pquic")


def test_who_has_no_home_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(UsageError, match="Set XDG_DATA_HOME"):
        data_directory()


def test_a_user_is_the_same_peer_again_unless_ephemeral(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data, met = tmp_path / "data", Connected("b0" * 16, "relay", "client", "00")
    ephemeral = chosen_by(f"--pin {PIN} --ephemeral", monkeypatch, data).identity
    chosen_by(f"--pin {PIN} --ephemeral", monkeypatch, data).memory.notice(met)
    assert not data.exists(), "it leaves nothing behind"
    first, second = (chosen_by(f"--pin {PIN}", monkeypatch, data).identity for _ in range(2))
    assert first.peer_id == second.peer_id != ephemeral.peer_id
    first.save(tmp_path / "own.pem", tmp_path / "own.key")
    words = f"--pin {PIN} --cert {tmp_path}/own.pem --key {tmp_path}/own.key"
    named = chosen_by(words, monkeypatch, tmp_path / "other")
    named.memory.notice(met)
    assert named.identity.peer_id == first.peer_id
    assert not (tmp_path / "other").exists()


def test_calls_can_be_had_with_some_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = f"--pin {PIN} --only {'AB' * 16} --only {'cd' * 16}"
    assert chosen_by(words, monkeypatch, tmp_path).only == ["ab" * 16, "cd" * 16]


def test_a_damaged_file_of_servers_is_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "p2pquic").mkdir()
    (tmp_path / "p2pquic" / "known_servers").write_text("localhost:1\n")
    assert main(["peer", "--intermediate", "localhost:1"]) == 2
    assert "Line 1 of" in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, p2pquic.cli\n"
        "try: p2pquic.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("command", "ready"),
    [("intermediate --listen 127.0.0.1:0", "Listening on 127.0.0.1:"), ("monitor", "usable: ")],
)
def test_a_signal_ends_it_at_once_with_success(
    command: str, ready: str, number: int, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "p2pquic", *command.split()],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert ready in output.readline()
        process.send_signal(number)
        assert process.wait(timeout=2.0) == 0
