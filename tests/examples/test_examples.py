"""The examples do what they say: as processes of their own, on loopback, warnings being errors."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest

import p2pquic

PROJECT = Path(__file__).parents[2]
EXAMPLES, README = PROJECT / "examples", PROJECT / "README.md"
PATIENCE = 30.0  # seconds for all of a test; the machine may be busy

pytestmark = pytest.mark.slow


class Place:
    """A server, and how an example finds it."""

    def __init__(self, server: p2pquic.Server) -> None:
        self.address = server.address
        self.pin = server.fingerprint

    @property
    def words(self) -> list[str]:
        return ["--intermediate", self.address, "--pin", self.pin, "--room", "lobby"]

    def join(self, room: str = "lobby", role: Literal["sender", "both"] = "both") -> p2pquic.Room:
        return p2pquic.join(room, intermediate=self.address, pin=self.pin, role=role)


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    async with asyncio.timeout(PATIENCE), p2pquic.serve("127.0.0.1:0") as server:
        yield Place(server)


@asynccontextmanager
async def example(*words: str | Path, alone: bool = False) -> AsyncIterator[Process]:
    """One of them as it runs; its errors are in its output, unless that is wanted alone."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", EXAMPLES / words[0], *words[1:]),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE if alone else STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_with(process: Process, text: str) -> str:
    """Read on to the line that has this text."""
    assert process.stdout is not None
    read = []
    while line := (await process.stdout.readline()).decode():
        read.append(line)
        if text in line:
            return line
    raise AssertionError(f"{text!r} is not in {''.join(read)}")


async def type_line(process: Process, text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text.encode() + b"\n")
    await process.stdin.drain()


def test_two_peers_meet_and_talk_in_one_program() -> None:
    async def run() -> str:
        async with asyncio.timeout(PATIENCE), example("two_peers.py") as process:
            output, _ = await process.communicate()
            assert process.returncode == 0, output.decode()
            return output.decode()

    said = asyncio.run(run())
    assert "bob received datagram 4" in said
    assert "bob answered: 1000023 bytes, with the question" in said
    assert re.search(r"direct/\S+ +to 127\.0\.0\.1:\d+ +\d+\.\d ms, in use", said)


def test_a_file_arrives_whole_under_a_name_that_was_free(tmp_path: Path) -> None:
    content = bytes(range(256)) * 2000
    file, folder = tmp_path / "song.mp3", tmp_path / "in"
    file.write_bytes(content)
    folder.mkdir()
    (folder / "song.mp3").write_text("mine")

    async def run() -> dict[str, object]:
        words = ["receive", "--out", str(folder), "--json"]
        async with (
            place() as where,
            example("file_transfer.py", *words, *where.words, alone=True) as receiver,
            example("file_transfer.py", "send", file, *where.words) as sender,
        ):
            told, _ = await sender.communicate()
            assert sender.returncode == 0, told.decode()
            figures, _ = await receiver.communicate()
            assert receiver.returncode == 0
            figures_read: dict[str, object] = json.loads(figures)
            return figures_read

    figures = asyncio.run(run())
    assert figures["bytes"] == len(content)
    assert figures["sha256"] == hashlib.sha256(content).hexdigest()
    assert isinstance(figures["seconds"], float)
    assert (folder / "song.mp3").read_text() == "mine"
    assert (folder / "song (2).mp3").read_bytes() == content
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "kept", "as_name"),
    [
        ("../../escaped\u202e.txt", True, "escaped.txt"),
        ("..", True, "file"),
        ("short.bin", False, None),
    ],
)
def test_who_sends_badly_leaves_nothing_where_it_should_not_be(
    tmp_path: Path, name: str, kept: bool, as_name: str | None
) -> None:
    content = b"what it is"
    header = json.dumps(
        {
            "name": name,
            "size": len(content) + (not kept),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    ).encode()
    folder = tmp_path / "deep" / "in"

    async def run() -> None:
        async with (
            place() as where,
            example("file_transfer.py", "receive", "--out", folder, *where.words) as receiver,
            where.join(role="sender") as room,
        ):
            connection = await room.accept()
            stream = connection.open_stream()
            await stream.write(len(header).to_bytes(4) + header + content)
            stream.end()
            if kept:
                assert await stream.read() == b"ok"
            else:
                await line_with(receiver, "not the file that was announced")
                assert "not taken" in await connection.wait_closed()
            await receiver.communicate()
            assert receiver.returncode == (0 if kept else 1)

    asyncio.run(run())
    assert [each.name for each in folder.iterdir()] == ([as_name] if as_name else [])
    assert [each.name for each in tmp_path.rglob("*") if each.is_file()] == [
        each.name for each in folder.iterdir()
    ]


def test_a_chat_is_heard_by_all_and_paints_nobodys_screen() -> None:
    async def run() -> None:
        async with (
            place() as where,
            example("chat.py", "--name", "Ada", *where.words) as ada,
            example("chat.py", "--name", "Bob", *where.words) as bob,
            example("chat.py", "--name", "Eve", *where.words) as eve,
        ):
            for each, others in ((ada, "Bob Eve"), (bob, "Ada Eve"), (eve, "Ada Bob")):
                assert each.stdout is not None
                seen = ""
                while not all(f"* {other}" in seen for other in others.split()):
                    seen += (await each.stdout.readline()).decode()
            await type_line(ada, "hello\x1b[2J")
            for each in (bob, eve):
                assert (await line_with(each, "hello")).endswith("): hello?[2J\n")
            await type_line(ada, "last words")
            assert ada.stdin is not None
            ada.stdin.close()  # and leaves at once: the others have it all the same
            for each in (bob, eve):
                await line_with(each, "last words")
                await line_with(each, "has left")
            assert await ada.wait() == 0

    asyncio.run(run())


def test_who_roams_sees_the_paths_and_stays_on_the_one_held() -> None:
    async def run() -> None:
        words = ["roam.py", "--every", "0.5", "--hold", "relay*"]
        async with (
            place() as where,
            example(*words, *where.words) as roaming,
            where.join() as room,
        ):
            connection = await room.accept()
            await line_with(roaming, "pinned relay/")
            connection.send((0).to_bytes(8))
            await line_with(roaming, "* relay/")
            await asyncio.sleep(0.1)
            connection.send((5).to_bytes(8))
            await line_with(roaming, "HEARD NOTHING for")
            assert len(await connection.receive()) == 8
            roaming.send_signal(signal.SIGINT)
            rest, _ = await roaming.communicate()
            assert roaming.returncode == 130
            assert b"Traceback" not in rest, rest.decode()

    asyncio.run(run())


def test_what_does_not_work_out_is_a_sentence_and_an_exit_code(tmp_path: Path) -> None:
    async def run() -> None:
        async with place() as where:
            words = ["receive", "--out", str(tmp_path), *where.words]
            async with example("file_transfer.py", *words) as receiver:
                await line_with(receiver, "waiting for somebody")
                receiver.send_signal(signal.SIGINT)
                output, _ = await receiver.communicate()
                assert receiver.returncode == 130
                assert b"Traceback" not in output
            async with example("file_transfer.py", "send", tmp_path / "x", *where.words) as sender:
                await line_with(sender, "No such file")
                assert await sender.wait() == 1
            async with example("file_transfer.py", "teleport") as wrong:
                assert await wrong.wait() == 2

    asyncio.run(run())


def test_the_pair_of_the_first_page_says_hello() -> None:
    async def run() -> None:
        async with (
            place() as where,
            example("hello_receiver.py", where.address, where.pin) as receiver,
            example("hello_sender.py", where.address, where.pin) as sender,
        ):
            for process in (receiver, sender):
                output, _ = await process.communicate()
                assert process.returncode == 0, output.decode()
                if process is receiver:
                    assert output == b"hello, wherever you are\n"

    asyncio.run(run())


def test_the_program_in_the_readme_runs(tmp_path: Path) -> None:
    (text,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)

    async def run() -> None:
        async with place() as where, where.join("attic") as room:
            program = tmp_path / "readme.py"
            told = text.replace("203.0.113.10:12345", where.address)
            program.write_text(told.replace("sha256:...", where.pin))
            async with example(program) as process:
                connection = await room.accept()
                assert await connection.receive() == b"a datagram"
                stream = await connection.accept_stream()
                assert b"".join([piece async for piece in stream]) == b"a file, say"
                output, _ = await process.communicate()
                assert process.returncode == 0, output.decode()
                assert b"Statistics(rtt=" in output

    asyncio.run(run())
