"""What a person meets on macOS and Windows: keys, locks, files, folders, sound."""

from __future__ import annotations

import asyncio
import errno
import importlib
import os
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from p2pquic.core.errors import MissingRequirementError, UsageError
from p2pquic.doctor.system import judge_clock
from p2pquic.media import gstreamer
from p2pquic.media.gstreamer import (
    elements_of,
    environment,
    file_name,
    find_program,
    launch_command,
)
from p2pquic.media.playout import playout_pipeline
from p2pquic.media.requirements import check_elements, check_media
from p2pquic.media.source import source_pipeline
from p2pquic.net import resolving
from p2pquic.quic.identity import write_private_file

HOME = Path("/home/ada")
MUSIC = Path(__file__).parents[2] / "static" / "output.mp3"


class Console(types.ModuleType):
    """Windows' msvcrt: keys that were pressed, and locks on the first byte of files."""

    LK_LOCK, LK_NBLCK, LK_UNLCK = 1, 2, 0

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self.keys: list[str] = []
        self.locked: set[int] = set()

    def kbhit(self) -> bool:
        return bool(self.keys)

    def getwch(self) -> str:
        return self.keys.pop(0)

    def locking(self, descriptor: int, mode: int, length: int) -> None:
        assert length == 1
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 0  # where it locks
        file = os.fstat(descriptor).st_ino
        if mode == self.LK_UNLCK:
            self.locked.remove(file)
        elif file in self.locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        else:
            self.locked.add(file)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    """This process takes itself to be on Windows; modules asked for by `anew` do so throughout."""
    console = Console()
    monkeypatch.setitem(sys.modules, "msvcrt", console)
    monkeypatch.setattr(sys, "platform", "win32")
    yield console
    for name in ("p2pquic.peer.windows_keyboard", "p2pquic.trust.file_lock"):
        sys.modules.pop(name, None)


def anew(name: str) -> Any:
    """The module, imported as if it had not been."""
    sys.modules.pop(name, None)
    return importlib.import_module(name)


def test_keys_of_windows_are_told_but_for_arrows_and_function_keys(windows: Console) -> None:
    keyboard = anew("p2pquic.peer.windows_keyboard")

    async def press(monkeypatch: pytest.MonkeyPatch) -> list[str]:
        monkeypatch.setattr(keyboard, "POLL_INTERVAL", 0)
        pressed: list[str] = []
        keys = keyboard.Keyboard(
            sys.stdin, on_key=pressed.append, on_stop=pressed.clear, on_continue=pressed.clear
        )
        windows.keys += ["r", "\xe0", "H", "\0", ";", "x"]
        while windows.keys:
            await asyncio.sleep(0)
        keys.close()
        keys.close()
        windows.keys += ["r"]
        for _ in range(5):
            await asyncio.sleep(0)
        return pressed

    with pytest.MonkeyPatch.context() as patch:
        assert asyncio.run(press(patch)) == ["r", "x"]


def test_a_lock_of_windows_is_held_by_one_and_given_back(windows: Console, tmp_path: Path) -> None:
    locks = anew("p2pquic.trust.file_lock")
    path = tmp_path / "new" / "peer.lock"
    with locks.holding_if_free(path) as ours:
        assert ours
        with locks.holding_if_free(path) as also_ours:
            assert not also_ours
        with pytest.raises(UsageError, match="Cannot lock"), locks.holding(path):
            pass
    assert not windows.locked
    with locks.holding(path):
        assert windows.locked
    assert not windows.locked


def test_a_file_that_somebody_reads_on_windows_is_replaced_a_moment_later(
    windows: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del windows
    waited: list[float] = []
    real = os.replace

    def replace(source: str, target: Path) -> None:
        if len(waited) < 3:
            raise PermissionError(errno.EACCES, "The process cannot access the file")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(time, "sleep", waited.append)
    write_private_file(tmp_path / "known_peers", b"new")
    assert (tmp_path / "known_peers").read_bytes() == b"new"
    assert len(waited) == 3


def test_who_may_never_replace_a_file_is_told(
    windows: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del windows

    def replace(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(UsageError, match=r"Cannot write .*known_peers: Permission denied"):
        write_private_file(tmp_path / "known_peers", b"new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("platform", "environment", "folder"),
    [
        ("linux", {}, HOME / ".local/share/p2pquic"),
        ("darwin", {}, HOME / "Library/Application Support/p2pquic"),
        ("win32", {}, HOME / "AppData/Local/p2pquic"),
        ("win32", {"LOCALAPPDATA": "/d/local"}, Path("/d/local/p2pquic")),
        ("darwin", {"XDG_DATA_HOME": "/data"}, Path("/data/p2pquic")),
    ],
)
def test_keys_are_kept_where_the_system_has_a_place_for_them(
    platform: str, environment: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(HOME), **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert resolving.data_directory() == folder


def test_the_coarse_clock_of_an_old_python_is_pointed_out() -> None:
    assert "Python 3.13" in str(judge_clock(0.015625, [0.014]))


def test_files_are_named_to_gstreamer_on_windows(windows: Console) -> None:
    del windows
    source = source_pipeline(r"C:\Users\Ada L\it's! ours.mp3")
    command = launch_command(source)
    assert command[:4] == [
        command[0], "--quiet", "filesrc", "location=C:/Users/Ada L/it's! ours.mp3",
    ]  # fmt: skip
    assert next(iter(elements_of(source))) == "filesrc"
    assert list(elements_of(source))[:3] == ["filesrc", "decodebin", "audioconvert"]
    assert launch_command(playout_pipeline(r"heard\1.wav"))[-2:] == [
        "filesink", "location=heard/1.wav",
    ]  # fmt: skip


@pytest.mark.slow
def test_gstreamer_understands_file_names_as_windows_has_them(
    windows: Console, tmp_path: Path
) -> None:
    del windows
    song, heard = tmp_path / "it's! our song.mp3", tmp_path / "what's! heard.wav"
    song.write_bytes(MUSIC.read_bytes())
    check_media(str(song))
    record = f"audiotestsrc num-buffers=5 ! wavenc ! filesink location={file_name(str(heard))}"
    subprocess.run(launch_command(record), check=True, env=environment())
    assert heard.read_bytes()[:4] == b"RIFF"


def install_wheels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Wheels of GStreamer with its two programs, as gstreamer_libs describes them."""
    programs = folder / "gstreamer_cli" / "bin"
    programs.mkdir(parents=True)
    for name in (gstreamer.LAUNCH, gstreamer.INSPECT):
        (programs / name).write_text('#!/bin/sh\ntest "$GST_REGISTRY_1_0" = ours\n')
        (programs / name).chmod(0o755)
    libraries: Any = types.ModuleType("gstreamer_libs")
    libraries.gstreamer_env = lambda: (
        {"GST_REGISTRY_1_0": "ours", "LC_ALL": "de_DE"},
        os.pathsep.join([str(folder / "gstreamer_libs" / "bin"), str(programs)]),
    )
    monkeypatch.setitem(sys.modules, "gstreamer_libs", libraries)
    return programs


def test_the_wheels_programs_are_run_and_not_the_commands_that_wrap_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = install_wheels(tmp_path, monkeypatch)
    assert find_program(gstreamer.LAUNCH) == str(programs / gstreamer.LAUNCH)
    assert launch_command("fakesrc ! fakesink")[0] == str(programs / gstreamer.LAUNCH)
    assert environment()["GST_REGISTRY_1_0"] == "ours"
    assert environment()["LC_ALL"] == "C.UTF-8"
    check_elements(["opusenc"])  # which our program finds in its own environment alone


def test_without_wheels_and_without_gstreamer_the_wheels_are_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gstreamer_libs", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingRequirementError, match=r"pip install 'p2pquic\[gstreamer\]'"):
        check_elements(["opusenc"])
