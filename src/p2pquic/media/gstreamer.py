"""GStreamer as a child process: start it, and say in one sentence why it failed.

    source    gst-launch-1.0 -- RTP on its stdout ---> we
    playout   we --- RTP on its stdin ---> gst-launch-1.0

The pipe is also the child's lifeline. However we end, even killed, the kernel closes our end:
a source that can no longer write dies, and a playout whose input is over completes its file. In a
session of its own (without a console, on Windows) the child does not see the terminal's Ctrl-C, so
that we are the ones to end it.

GStreamer is what the wheels of `gstreamer-bundle` put into our own Python environment, as on macOS
and Windows, or the system's. The commands that those wheels install are left alone: they start the
real program as a child of theirs, which would survive them, and on macOS only at a terminal.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import IO, Any

from p2pquic.core.errors import MissingRequirementError, P2PQuicError

LAUNCH = "gst-launch-1.0"
INSPECT = "gst-inspect-1.0"
INSTALL_HINT = (
    "Install GStreamer: apt install gstreamer1.0-tools gstreamer1.0-plugins-base "
    "gstreamer1.0-plugins-good (Debian, Ubuntu), brew install gstreamer (macOS), or "
    "pip install 'p2pquic[gstreamer]' (macOS, Windows)."
)

_COMPLAINT = re.compile(
    r"^(?:(?:ERROR|WARNING): from element [^ ]+: |WARNING: erroneous pipeline: )(.+)$", re.M
)
_DECODER = re.compile(r"^Missing element: (.+)$", re.M)

Blame = Callable[[str], P2PQuicError]
"""Makes GStreamer's complaint a sentence about what the person asked for."""


def launch_command(pipeline: str, *, quiet: bool = True) -> list[str]:
    """The command for `pipeline`, whose words are quoted as for a shell where they need it."""
    launch = find_program(LAUNCH) or LAUNCH
    return [launch, *(["--quiet"] if quiet else []), *shlex.split(pipeline)]


def find_program(name: str) -> str | None:
    """The full path of a program of GStreamer; None if it is not installed."""
    wheels = _wheels()
    return (wheels and shutil.which(name, path=wheels[1])) or shutil.which(name)


def _wheels() -> tuple[dict[str, str], str] | None:
    """Environment and program folders of GStreamer's wheels; None where they are not installed."""
    try:
        libraries = importlib.import_module("gstreamer_libs")
        environment, folders = libraries.gstreamer_env()
    except ImportError:
        return None
    return environment, folders


def file_name(name: str) -> str:
    """A file's name as a word of a pipeline; GStreamer takes a backslash for an escape."""
    return shlex.quote(name.replace("\\", "/") if sys.platform == "win32" else name)


def elements_of(pipeline: str) -> Iterator[str]:
    """The names of the elements a pipeline is made of (not its caps filters)."""
    words = ["!", *shlex.split(pipeline)]
    for before, word in pairwise(words):
        if before == "!" and "/" not in word:
            yield word


def environment() -> dict[str, str]:
    """Ours, with GStreamer's messages in English, since we read them."""
    wheels = _wheels()
    return {**os.environ, **(wheels[0] if wheels else {}), "LC_ALL": "C.UTF-8", "LANGUAGE": "en"}


def complaint_in(messages: str) -> str:
    """The one line of what gst-launch printed that names the cause."""
    if decoder := _DECODER.search(messages):
        return f"no plugin for {decoder[1]} is installed"
    causes = _COMPLAINT.findall(messages)
    # What follows the cause is its echo upstream: "Internal data stream error."
    telling = [cause for cause in causes if "Internal data stream error" not in cause]
    return next(iter(telling or causes), "GStreamer gave no reason").strip().rstrip(".")


class Child:
    """One running gst-launch-1.0."""

    def __init__(self, process: Process, messages: IO[bytes], blame: Blame) -> None:
        self._process = process
        self._messages = messages
        self._blame = blame

    @property
    def stdin(self) -> asyncio.StreamWriter:
        """The child's input; only if it was launched with a pipe there."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> asyncio.StreamReader:
        """The child's output."""
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def has_ended(self) -> bool:
        """Whether the process is over; its output may still wait in the pipe."""
        return self._process.returncode is not None

    async def wait_until_playing(self) -> None:
        """Wait until the clock of the pipeline runs; only if it was launched not `quiet`.

        What a pipeline reads before, it stamps with the time since the machine was started
        and would play that much later.

        Raises:
            P2PQuicError: it failed before.
        """
        async for line in self.stdout:
            if line.startswith(b"New clock"):
                return
        await self.wait_until_done()

    async def wait_until_done(self) -> None:
        """Wait for the end of the pipeline.

        Raises:
            P2PQuicError: it failed; which error and sentence, `blame` decides.
        """
        if await self._process.wait() != 0 and not self._messages.closed:
            self._messages.seek(0)
            raise self._blame(complaint_in(self._messages.read().decode(errors="replace")))

    async def kill(self) -> None:
        """End it at once and leave nothing; harmless when it is over."""
        if not self.has_ended:
            self._process.kill()
        await self.stdout.read()  # asyncio sees no end of a process whose pipe is full
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._messages.close()


async def launch(
    pipeline: str,
    *,
    blame: Blame,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    files: Sequence[IO[bytes]] = (),
    quiet: bool = True,
) -> Child:
    """Start `pipeline`; `stdin` is an open file or `subprocess.PIPE`, stdout is a pipe to us.

    `files` are those whose descriptors the pipeline names; Windows cannot hand any over. If it is
    not `quiet`, gst-launch tells its progress on stdout.

    Raises:
        MissingRequirementError: GStreamer is not installed.
    """
    messages = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
    try:
        process = await asyncio.create_subprocess_exec(
            *launch_command(pipeline, quiet=quiet),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=messages,
            env=environment(),
            **_apart(files),
        )
    except OSError as error:
        messages.close()
        raise MissingRequirementError(f"{LAUNCH} cannot be started. {INSTALL_HINT}") from error
    return Child(process, messages, blame)


def _apart(files: Sequence[IO[bytes]]) -> dict[str, Any]:
    """How to start a child away from our terminal; on Windows it cannot be given `files`."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW}
    else:  # noqa: RET505 (mypy understands only this form of a platform check)
        return {"start_new_session": True, "pass_fds": [file.fileno() for file in files]}
