"""Send a file to somebody in the same room, through every change of network at either end.

    python examples/file_transfer.py receive --intermediate HOST:PORT --room NAME --out FOLDER
    python examples/file_transfer.py send FILE --intermediate HOST:PORT --room NAME

One stream carries it: a header, the bytes, and the other way a verdict.

    sender    4 bytes: length of the header | JSON {name, size, sha256} | the bytes of the file
    receiver  "ok"

The receiver believes nothing: neither the name, nor the size, nor the bytes until their SHA-256 is
right. Exit codes: 0 done, 1 it did not work out, 2 the command was wrong, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import p2pquic
from p2pquic import events

PIECE = 64 * 1024  # bytes read from the disk at once: it takes less than a millisecond
LARGEST_HEADER = 4096  # bytes
LONGEST_NAME = 200  # bytes in UTF-8: file systems take 255
NOT_IN_NAMES = '<>:"/\\|?*'  # separators, and what one system or another does not take
TELL_EVERY = 1.0  # seconds
PAUSE = 0.2  # seconds without a byte that are worth a line of the receiver


class TransferError(Exception):
    """The sentence to show."""


@dataclass(frozen=True)
class Header:
    """What the sender says of its file."""

    name: str
    size: int
    sha256: str


# ---- sending -------------------------------------------------------------------------------------


async def send(arguments: argparse.Namespace) -> None:
    header = describe(arguments.file)
    async with join(arguments, role="sender") as room:
        say(f"waiting for somebody who receives in room {arguments.room!r}")
        connection = await room.accept()
        stream = connection.open_stream()
        await write_header(stream, header)
        progress = Progress(connection, header.size)
        with arguments.file.open("rb") as file:
            while piece := file.read(PIECE):
                await stream.write(piece)  # waits while too much is under way
                progress.add(len(piece))
        stream.end()
        if await stream.read_exactly(2) != b"ok":
            raise TransferError("the other end does not say that it has the file")
        say(f"sent {header.name}: {progress}")


def describe(path: Path) -> Header:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Header(path.name, file.tell(), digest.hexdigest())


async def write_header(stream: p2pquic.Stream, header: Header) -> None:
    data = json.dumps(asdict(header)).encode()
    await stream.write(len(data).to_bytes(4) + data)


# ---- receiving -----------------------------------------------------------------------------------


async def receive(arguments: argparse.Namespace) -> None:
    arguments.out.mkdir(parents=True, exist_ok=True)
    async with join(arguments, role="receiver") as room:
        say(f"waiting for somebody who sends in room {arguments.room!r}")
        connection = await room.accept()
        stream = await connection.accept_stream()
        try:
            header, progress = await receive_file(connection, stream, arguments.out)
        except (TransferError, OSError) as error:
            connection.close(f"the file was not taken: {error}"[:200])
            raise
        await stream.write(b"ok")
        stream.end()
        with suppress(p2pquic.ConnectionLostError):  # the sender may be gone as soon as it has it
            await stream.wait_delivered()
    if arguments.json:
        figures = {"bytes": header.size, "seconds": progress.seconds, "sha256": header.sha256}
        print(json.dumps(figures), flush=True)


async def receive_file(
    connection: p2pquic.Connection, stream: p2pquic.Stream, folder: Path
) -> tuple[Header, Progress]:
    """Under a temporary name until it is whole and right."""
    header = await read_header(stream)
    progress = Progress(connection, header.size)
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(prefix=".transfer-", dir=folder) as place:
        with (Path(place) / "file").open("xb") as file:
            async for piece in stream:
                if (pause := progress.pause) > PAUSE:
                    say(f"nothing came for {pause:.2f} s")
                progress.add(len(piece))
                if progress.done > header.size:
                    raise TransferError(f"more came than the {header.size} bytes announced")
                digest.update(piece)
                file.write(piece)
        if progress.done < header.size or digest.hexdigest() != header.sha256:
            raise TransferError("what came is not the file that was announced")
        final = free_name(folder, safe_name(header.name))
        os.replace(file.name, final)
    say(f"received {final}: {progress}")
    return header, progress


async def read_header(stream: p2pquic.Stream) -> Header:
    size = int.from_bytes(await stream.read_exactly(4))
    if size > LARGEST_HEADER:
        raise TransferError(f"a header of {size} bytes is not one of ours")
    try:
        match json.loads(await stream.read_exactly(size)):
            case {"name": str(name), "size": int(length), "sha256": str(digest)} if length >= 0:
                return Header(name, length, digest)
    except (ValueError, RecursionError):
        pass
    raise TransferError("the header is not one of ours")


def safe_name(name: str) -> str:
    """A name from the other end, as one that can lie in our folder and nowhere else."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(each for each in last if each.isprintable() and each not in NOT_IN_NAMES)
    short = kept.encode(errors="ignore")[:LONGEST_NAME].decode(errors="ignore")
    return short.strip(". ") or "file"


def free_name(folder: Path, name: str) -> Path:
    """Nothing that is there already is overwritten."""
    path, number = folder / name, 1
    while os.path.lexists(path):
        number += 1
        path = folder / f"{Path(name).stem} ({number}){Path(name).suffix}"
    return path


# ---- what a person sees --------------------------------------------------------------------------


class Progress:
    """How far it is; says so once a second."""

    def __init__(self, connection: p2pquic.Connection, size: int) -> None:
        self.done = 0  # bytes
        self._connection = connection
        self._size = size
        self._began = self._last = self._told = time.monotonic()

    @property
    def seconds(self) -> float:
        """From the header to the last byte."""
        return self._last - self._began

    @property
    def pause(self) -> float:
        """Seconds since something was added."""
        return time.monotonic() - self._last

    def add(self, size: int) -> None:
        self.done, self._last = self.done + size, time.monotonic()
        if self._last - self._told > TELL_EVERY:
            self._told = self._last
            path = self._connection.path
            say(f"{self.done / max(1, self._size):4.0%}  {self}  by {path.name if path else '?'}")

    def __str__(self) -> str:
        rate = self.done / max(self.seconds, 1e-3) / 1e6
        return f"{self.done:,} bytes in {self.seconds:.1f} s, {rate:.1f} MB/s"


def tell(entry: events.Entry) -> None:
    """Everything that happens passes here; some of it is worth a line."""
    match entry.record:
        case events.ServerTrusted(address, fingerprint):
            say(f"the server at {address} has the key {fingerprint}, taken on trust")
        case events.Connected(remote):
            say(f"connected with {remote}")
        case events.AddressChanged(added, removed):
            say("addresses: " + " ".join([f"+{a}" for a in added] + [f"-{a}" for a in removed]))
        case events.Suspected(_, path, reason):
            say(f"{path} is in doubt: {reason}")
        case events.PathSelected(path, reason=reason):
            say(f"now by {path}: {reason}")
        case events.Failed(message):
            say(message)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


# ---- the command ---------------------------------------------------------------------------------


def join(arguments: argparse.Namespace, role: Literal["sender", "receiver"]) -> p2pquic.Room:
    """Two senders, or two receivers, have nothing to share: they are not connected."""
    return p2pquic.join(
        arguments.room,
        intermediate=arguments.intermediate,
        pin=arguments.pin,
        role=role,
        on_event=tell,
    )


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Send a file to somebody in the same room.")
    commands = parser.add_subparsers(required=True)
    sender = commands.add_parser("send", help="send FILE to whoever receives")
    sender.add_argument("file", type=Path)
    sender.set_defaults(run=send)
    receiver = commands.add_parser("receive", help="receive one file")
    receiver.add_argument("--out", type=Path, required=True, help="the folder to put it in")
    receiver.add_argument("--json", action="store_true", help="print a line of figures at the end")
    receiver.set_defaults(run=receive)
    for command in (sender, receiver):
        command.add_argument("--intermediate", required=True, metavar="HOST:PORT")
        command.add_argument("--room", required=True, help="who knows its name can take part")
        command.add_argument("--pin", metavar="sha256:...", help="the server's key, as it says")
    return parser.parse_args()


def main() -> int:
    arguments = read_arguments()
    try:
        asyncio.run(arguments.run(arguments))
    except (TransferError, p2pquic.P2PQuicError, OSError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
