"""Runs a scenario with real programs on real kernels, and leaves what happened as files.

The programs are started through the command line, as a stranger would, so any build of ours can
be run, and any rival with the same command line. What they decide is read from their traces; what
happens to them they learn from their kernels. In the directory of a run stand:

    scenario.json        the scenario as data, the seed, the command
    {mover,other,server}.trace.jsonl, .log       what each said
    {mover,other}.wav    what each heard, if it listens
    changes.jsonl        a `ChangeMade` per line: what was done to which interface, and when
    run.json             the `Run`: when it settled and ended, who was QUIC client, packets carried

All times are seconds of CLOCK_MONOTONIC, which every program of one machine shares. Measuring is
the business of `measure`.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen, TimeoutExpired
from tempfile import TemporaryDirectory
from typing import Literal

import msgspec

from p2pquic.core.addresses import SocketAddress
from p2pquic.core.errors import P2PQuicError, UsageError
from p2pquic.core.trace import (
    Connected,
    Entry,
    FrameReceived,
    Listening,
    PathKind,
    PathSelected,
    from_line,
)
from p2pquic.lab.internet import Report
from p2pquic.lab.namespaces import Namespace, stop
from p2pquic.lab.scenarios import Change, ChangeKind, Link, Role, Scenario, timeline
from p2pquic.lab.topology import KernelWorld

P2PQUIC = (sys.executable, "-m", "p2pquic")
PORT = 4433  # of the server
ROOM = "lab"
START_TIMEOUT = 20.0  # seconds for the server to listen: a busy machine starts Python slowly
SETTLE_TIMEOUT = 30.0  # seconds for the call to reach the path it should settle on
HANG_UP_TIMEOUT = 10.0  # seconds a program has to end by itself after SIGINT
GLANCE = 0.020  # seconds between looks at traces and programs; nothing measured hangs on it
LOG_TAIL = 2000  # characters of a program's last words worth quoting in an error


class RunFailedError(P2PQuicError):
    """The scenario could not be run to its end; the text quotes the program at fault."""


@dataclass(frozen=True, slots=True)
class ChangeMade:
    """A change as it was carried out. It took effect between `begin` and `end`.

    For `interface_down` nothing passes after `begin`; an interface that came `up` is usable at
    `end`. `outage_ms` (L) is the time that a change which brought a host its only address ended,
    from the `begin` of the loss to the `end` of this; 0 for every other change.
    """

    kind: ChangeKind
    host: str
    interface: str
    begin: float
    end: float
    outage_ms: float


@dataclass(frozen=True, slots=True)
class Run:
    """The frame of a run: the call was settled at `settled`, and told to end at `end`."""

    settled: float
    end: float
    quic_client: Literal["mover", "other"]
    internet: Report


@dataclass(frozen=True, slots=True)
class _Plan:
    """scenario.json"""

    scenario: Scenario
    seed: int
    command: tuple[str, ...]


def run(
    scenario: Scenario,
    seed: int,
    directory: Path,
    command: Sequence[str] = P2PQUIC,
    media: str = "tone",
) -> Run:
    """Run a scenario once; `media` is what who sends sends (a file or "tone").

    Takes as long as the scenario says and a few seconds more. Call it from the main thread:
    the programs it starts die with the thread that started them.

    Raises:
        UsageError: the directory already holds something.
        MissingRequirementError: the lab cannot be built on this machine.
        RunFailedError: a program ended early or badly, or the call did not settle.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise UsageError(f"{directory} is not empty; give every run a directory of its own.")
    _write_json(directory / "scenario.json", _Plan(scenario, seed, tuple(command)))
    with ExitStack() as stack:
        world = stack.enter_context(KernelWorld(scenario.topology, scenario.links_up, seed))
        call = _Call(world, directory, stack, tuple(command))
        secrets = stack.enter_context(TemporaryDirectory(dir=directory, prefix="server-identity-"))
        call.start(scenario, media, Path(secrets))
        settled = call.wait_until_settled(scenario)
        last = settled
        with (directory / "changes.jsonl").open("wb") as file:
            outages = _Outages(scenario.links_up)
            for change in timeline(scenario, seed):
                call.wait_until(settled + change.at)
                made = _make(change, world, outages)
                file.write(msgspec.json.encode(made) + b"\n")
                last = made.end
        call.wait_until(last + scenario.aftermath)
        end = time.monotonic()
        call.hang_up()
        result = Run(settled, end, call.quic_client, world.report())
        _write_json(directory / "run.json", result)
        return result


class _Program:
    """A program running in a host, and its trace as far as it has been read."""

    def __init__(self, host: Namespace, command: Sequence[str], directory: Path) -> None:
        self.name = host.name
        self._trace = directory / f"{host.name}.trace.jsonl"
        self._log = directory / f"{host.name}.log"
        self._offset = 0
        self.connected: Connected | None = None
        self.listening: Listening | None = None
        self.path_kind: PathKind | None = None
        self.hears = False
        with self._log.open("w") as log:
            self.process: Popen[str] = host.start(
                [*command, "--trace", str(self._trace)], (), DEVNULL, log, STDOUT
            )

    def read_trace(self) -> None:
        """Take in what the trace says since the last look."""
        for entry in self._new_entries():
            match entry.record:
                case Listening():
                    self.listening = entry.record
                case Connected():
                    self.connected = entry.record
                case PathSelected():
                    self.path_kind = entry.record.kind
                case FrameReceived():
                    self.hears = True

    def _new_entries(self) -> Iterable[Entry]:
        if not self._trace.exists():
            return
        with self._trace.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]  # the rest of a line comes with the next look
        self._offset += len(whole)
        for line in whole.decode().splitlines():
            entry = from_line(line)
            if entry is not None:
                yield entry

    def check_alive(self) -> None:
        """Raise RunFailedError if it has ended."""
        if self.process.poll() is not None:
            raise RunFailedError(
                f"{self.name} ended early with exit code {self.process.returncode}. {self._words()}"
            )

    def wait_for_exit(self) -> None:
        """Raise RunFailedError unless it ends by itself, and well."""
        try:
            code = self.process.wait(HANG_UP_TIMEOUT)
        except TimeoutExpired:
            raise RunFailedError(
                f"{self.name} did not end within {HANG_UP_TIMEOUT:.0f} s of SIGINT. {self._words()}"
            ) from None
        if code != 0:
            raise RunFailedError(f"{self.name} ended with exit code {code}. {self._words()}")

    def _words(self) -> str:
        return f"Its last words: {self._log.read_text(errors='replace')[-LOG_TAIL:].strip()!r}"


@dataclass
class _Call:
    """The programs of one call, from start to hanging up."""

    world: KernelWorld
    directory: Path
    stack: ExitStack
    command: tuple[str, ...]
    peers: list[_Program] = field(default_factory=list)
    servers: list[_Program] = field(default_factory=list)

    def start(self, scenario: Scenario, media: str, secrets: Path) -> None:
        """Start the server, then the other side, then the mover."""
        topology = scenario.topology
        link = Link(topology.server.name, topology.server.interfaces[0].name)
        server = str(SocketAddress(topology.accesses[link].public, PORT))
        identity = ["--cert", str(secrets / "cert.pem"), "--key", str(secrets / "key.pem")]
        listener = self._start(
            topology.server.name, ["intermediate", "--listen", server, *identity]
        )
        self.servers.append(listener)
        self._wait_for(lambda: listener.listening is not None, START_TIMEOUT, "start to listen")
        assert listener.listening is not None
        reach = ["--intermediate", server, "--pin", listener.listening.fingerprint, "--room", ROOM]
        other, mover = topology.other.name, topology.mover.name
        self.peers.append(self._start(other, self._peer(other, scenario.other_role, media) + reach))
        self.wait_until(time.monotonic() + scenario.stagger)
        self.peers.append(self._start(mover, self._peer(mover, scenario.mover_role, media) + reach))

    def wait_until_settled(self, scenario: Scenario) -> float:
        """Wait until both sides use the path wanted, and hear each other, for `settle` seconds."""
        wanted = scenario.settles_on
        hears = {
            scenario.topology.mover.name: scenario.mover_role != "sender",
            scenario.topology.other.name: scenario.other_role != "sender",
        }

        def settled() -> bool:
            return all(
                peer.connected is not None
                and peer.path_kind == wanted
                and (peer.hears or not hears[peer.name])
                for peer in self.peers
            )

        self._wait_for(settled, SETTLE_TIMEOUT, f"settle on a {wanted} path")
        self.wait_until(time.monotonic() + scenario.settle)
        return time.monotonic()

    def wait_until(self, moment: float) -> None:
        """Let the call go on until `moment`, precisely, while every program lives."""
        while (left := moment - time.monotonic()) > 0:
            time.sleep(min(left, GLANCE))
            self._check_alive()

    def hang_up(self) -> None:
        """End the peers as Ctrl-C does, then the server; all must end well."""
        for programs in (self.peers, self.servers):
            for program in programs:
                program.process.send_signal(signal.SIGINT)
            for program in programs:
                program.wait_for_exit()

    @property
    def quic_client(self) -> Literal["mover", "other"]:
        """Which side's peer id is the lower."""
        (mover,) = (each for each in self.peers if each.name == "mover")
        assert mover.connected is not None
        return "mover" if mover.connected.quic_role == "client" else "other"

    def _start(self, host: str, arguments: list[str]) -> _Program:
        words = [*self.command, *arguments]
        program = _Program(self.world.host(host), words, self.directory)
        self.stack.callback(stop, program.process)
        return program

    def _peer(self, name: str, role: Role, media: str) -> list[str]:
        sends = [] if role == "receiver" else ["--media", media]
        hears = [] if role == "sender" else ["--sink", str(self.directory / f"{name}.wav")]
        return ["peer", "--role", role, *sends, *hears]

    def _wait_for(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        give_up = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > give_up:
                raise RunFailedError(
                    f"The call did not {what} within {timeout:.0f} s. See {self.directory}."
                )
            time.sleep(GLANCE)
            self._check_alive()
            for program in (*self.servers, *self.peers):
                program.read_trace()

    def _check_alive(self) -> None:
        for program in (*self.servers, *self.peers):
            program.check_alive()


class _Outages:
    """Since when a host has had no interface at all."""

    def __init__(self, links_up: Iterable[Link]) -> None:
        self._up = set(links_up)
        self._since: dict[str, float] = {}

    def lost(self, link: Link, begin: float) -> None:
        self._up.discard(link)
        if not any(each.host == link.host for each in self._up):
            self._since[link.host] = begin

    def gained(self, link: Link, end: float) -> float:
        """The seconds of outage that end with this link."""
        self._up.add(link)
        return end - self._since.pop(link.host, end)


def _make(change: Change, world: KernelWorld, outages: _Outages) -> ChangeMade:
    link, outage = change.link, 0.0
    match change.kind:
        case "interface_down":
            span = world.interface_down(link)
            outages.lost(link, span.begin)
        case "interface_up":
            span = world.interface_up(link)
            outage = outages.gained(link, span.end)
    return ChangeMade(change.kind, *link, *span, outage_ms=round(1000 * outage, 3))


def _write_json(file: Path, content: object) -> None:
    file.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
