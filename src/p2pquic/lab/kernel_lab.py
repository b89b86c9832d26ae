"""Runs a scenario with real programs on real kernels, and leaves what happened as files.

The programs are started through the command line, as a stranger would, so any build of ours can
be run, and any rival with the same command line. What they decide is read from their traces; what
happens to them they learn from their kernels. In the directory of a run stand:

    scenario.json        the scenario as data, the seed, the command
    {mover,other,server}.trace.jsonl, .log       what each said, and so for each guest of a room
                                                 and each further server
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
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen, TimeoutExpired
from tempfile import TemporaryDirectory
from typing import Literal, assert_never

assert sys.platform == "linux", "The lab of real kernels needs Linux."

import msgspec

from p2pquic.core.addresses import SocketAddress
from p2pquic.core.errors import P2PQuicError, UsageError
from p2pquic.core.events import Resilience
from p2pquic.core.trace import (
    Connected,
    Entry,
    FrameReceived,
    Listening,
    PathKind,
    PathSelected,
    from_line,
)
from p2pquic.lab.changes import ChangeMade, Outages
from p2pquic.lab.internet import Report
from p2pquic.lab.namespaces import Namespace, stop
from p2pquic.lab.networks import MOVER, OTHER
from p2pquic.lab.processor import Processor, processor_times, shares
from p2pquic.lab.scenarios import Change, Role, Scenario, timeline
from p2pquic.lab.topology import KernelWorld
from p2pquic.quic.identity import Identity
from p2pquic.session.pair_config import RelayUse

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
class Run:
    """The frame of a run: the call was settled at `settled`, and told to end at `end`."""

    settled: float
    end: float
    quic_client: Literal["mover", "other"]
    internet: Report
    processor: dict[str, Processor]  # by host; empty if the kernel keeps no account (SCHED_INFO)


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
    resilience: Resilience = "hedged",
    relay: RelayUse = "auto",
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
        secrets = stack.enter_context(TemporaryDirectory(dir=directory, prefix="server-identity-"))
        manner = ["--resilience", resilience, "--relay", relay]
        call = _Call(scenario, world, directory, command, manner)
        stack.callback(call.stop)
        call.start(media, Path(secrets))
        settled = call.wait_until_settled()
        before = call.processor_times()
        last = settled
        with (directory / "changes.jsonl").open("wb") as file:
            outages = Outages(scenario.links_up)
            for change in timeline(scenario, seed):
                call.wait_until(settled + change.at)
                dies = change.kind == "server_dies"
                made = call.kill(change) if dies else carry_out(change, world, outages)
                file.write(msgspec.json.encode(made) + b"\n")
                last = made.end
        call.wait_until(last + scenario.aftermath)
        end = time.monotonic()
        after = call.processor_times()
        call.hang_up()
        processor = shares(before, after, end - settled)
        result = Run(settled, end, call.quic_client, world.report(), processor)
        _write_json(directory / "run.json", result)
        return result


class _Program:
    """A program running in a host, and its trace as far as it has been read."""

    def __init__(self, host: Namespace, command: Sequence[str], directory: Path) -> None:
        self.name = host.name
        self._trace = directory / f"{host.name}.trace.jsonl"
        self._log = directory / f"{host.name}.log"
        self._offset = 0
        self.fingerprint: str | None = None  # of a server that listens
        self.quic_role: str | None = None
        self.path_kinds: dict[str, PathKind] = {}  # by remote, of the path selected last
        self.hears = False
        with self._log.open("w") as log:
            self.process: Popen[str] = host.start(
                [*command, "--trace", str(self._trace)], (), DEVNULL, log, STDOUT
            )

    def read_trace(self) -> None:
        """Take in what the trace says since the last look."""
        for entry in self._new_entries():
            match entry.record:
                case Listening(fingerprint=fingerprint):
                    self.fingerprint = fingerprint
                case Connected(quic_role=role):
                    self.quic_role = role
                case PathSelected(kind=kind, remote=remote):
                    self.path_kinds[remote] = kind
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

    def processor_times(self) -> Processor:
        """Seconds so far, not shares."""
        return processor_times(self.process)

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


class _Call:
    """The programs of one call, from start to hanging up."""

    def __init__(
        self,
        scenario: Scenario,
        world: KernelWorld,
        directory: Path,
        command: Sequence[str],
        manner: Sequence[str],
    ) -> None:
        self._scenario = scenario
        self._world = world
        self._directory = directory
        self._command = command
        self._manner = manner
        self._programs: dict[str, _Program] = {}  # by host
        others = [host.name for host in scenario.topology.others]
        self._roles = dict.fromkeys(others, scenario.other_role)  # of the peers, as they start
        self._roles[MOVER] = scenario.mover_role

    def start(self, media: str, secrets: Path) -> None:
        """Start the servers, then the other side and the guests, then the mover."""
        reach = ["--room", ROOM]
        for host in self._scenario.topology.servers:
            reach += self._start_server(host.name, secrets)
        keys = self._make_keys(secrets)
        for name, role in self._roles.items():
            if name == MOVER:
                self.wait_until(time.monotonic() + self._scenario.stagger)
            self._start(name, self._peer(name, role, media) + reach + keys[name])

    def _start_server(self, name: str, secrets: Path) -> list[str]:
        """Start a server; the options that tell a peer of it."""
        topology = self._scenario.topology
        (link,) = (link for link in topology.interfaces if link.host == name)
        accesses = [topology.accesses[link]] if topology.interfaces[link].has_ipv4 else []
        accesses += [topology.ipv6_accesses[link]] if link in topology.ipv6_accesses else []
        address = ",".join(str(SocketAddress(access.public, PORT)) for access in accesses)
        identity = ["--cert", str(secrets / f"{name}.pem"), "--key", str(secrets / f"{name}.key")]
        self._start(name, ["intermediate", "--listen", address, *identity])
        server = self._programs[name]
        self._wait_for(lambda: server.fingerprint is not None, START_TIMEOUT, "reach its server")
        return ["--intermediate", address, "--pin", str(server.fingerprint)]

    def _make_keys(self, secrets: Path) -> dict[str, list[str]]:
        """Options that put the mover at the end of its QUIC connections the scenario wants.

        The lower peer id is the client, so keys are made and handed out in order; or in any, for
        whoever runs the lab lends nobody an identity.
        """
        wanted = self._scenario.mover_quic_role
        identities = [Identity.generate() for _ in self._roles]
        if wanted != "any":
            identities.sort(key=lambda each: each.peer_id, reverse=wanted == "client")
        names = list(self._roles)  # the mover is the last
        options = {}
        for name, identity in zip(names, identities, strict=True):
            certificate, key = secrets / f"{name}.pem", secrets / f"{name}.key"
            identity.save(certificate, key)
            options[name] = ["--cert", str(certificate), "--key", str(key)]
        return options

    def wait_until_settled(self) -> float:
        """Wait until all use the kind of path wanted and hear what they should; `settle` later."""
        wanted = self._scenario.settles_on

        def settled() -> bool:
            return all(
                set(self._programs[name].path_kinds.values()) == {wanted}
                and (self._programs[name].hears or role == "sender")
                for name, role in self._roles.items()
            )

        goal = f"settle on a {wanted} path"
        self._wait_for(settled, SETTLE_TIMEOUT, goal)
        self.wait_until(time.monotonic() + self._scenario.settle)
        self._wait_for(settled, SETTLE_TIMEOUT, goal)  # it may have changed its mind meanwhile
        return time.monotonic()

    def processor_times(self) -> dict[str, Processor]:
        """Seconds so far, not shares, of each program."""
        if not Path("/proc/self/schedstat").exists():
            return {}
        return {name: program.processor_times() for name, program in self._programs.items()}

    def wait_until(self, moment: float) -> None:
        """Let the call go on until `moment`, precisely, while every program lives."""
        while (left := moment - time.monotonic()) > 0:
            time.sleep(min(left, GLANCE))
            self._check_alive()

    def kill(self, change: Change) -> ChangeMade:
        """End a program, which has no time to tell anybody."""
        process = self._programs.pop(change.host).process
        start = time.monotonic()
        process.kill()
        process.wait()
        return ChangeMade(change.kind, *change.link, start, time.monotonic(), 0.0)

    def hang_up(self) -> None:
        """End the peers as Ctrl-C does, then the servers; all must end well."""
        for hosts in (
            list(self._roles),
            [each for each in self._programs if each not in self._roles],
        ):
            for host in hosts:
                self._programs[host].process.send_signal(signal.SIGINT)
            for host in hosts:
                self._programs[host].wait_for_exit()

    def stop(self) -> None:
        """End whatever still runs."""
        for program in self._programs.values():
            stop(program.process)

    @property
    def quic_client(self) -> Literal["mover", "other"]:
        """Which of these two is the QUIC client: the one whose peer id is the lower."""
        return "other" if self._programs[OTHER].quic_role == "client" else "mover"

    def _start(self, name: str, arguments: list[str]) -> None:
        words = [*self._command, *arguments]
        self._programs[name] = _Program(self._world.host(name), words, self._directory)

    def _peer(self, name: str, role: Role, media: str) -> list[str]:
        sends = [] if role == "receiver" else ["--media", media]
        hears = [] if role == "sender" else ["--sink", str(self._directory / f"{name}.wav")]
        return ["peer", "--role", role, *self._manner, *sends, *hears]

    def _wait_for(self, condition: Callable[[], bool], timeout: float, goal: str) -> None:
        give_up = time.monotonic() + timeout
        while True:
            for program in self._programs.values():
                program.read_trace()
            if condition():
                return
            if time.monotonic() > give_up:
                raise RunFailedError(
                    f"The call did not {goal} within {timeout:.0f} s. See {self._directory}."
                )
            self.wait_until(time.monotonic() + GLANCE)

    def _check_alive(self) -> None:
        for program in self._programs.values():
            program.check_alive()


def carry_out(change: Change, world: KernelWorld, outages: Outages) -> ChangeMade:
    """Do to the world what a scenario says."""
    link, outage = change.link, 0.0
    match change.kind:
        case "interface_down":
            span = world.interface_down(link)
            outages.lost(link, span.start)
        case "interface_up":
            span = world.interface_up(link)
            outage = outages.gained(link, span.end)
        case "link_dies":
            span = world.link_dies(link)
        case "link_recovers":
            span = world.link_recovers(link)
        case "way_dies":
            span = world.way_dies(*change.way)
        case "way_recovers":
            span = world.way_recovers(*change.way)
        case "nat_forgets":
            span = world.nat_forgets(link)
        case "address_replaced":
            span = world.address_replaced(link)
            outages.lost(link, span.start)
            outage = outages.gained(link, span.end)
        case "interface_preferred":
            span = world.interface_preferred(link)
        case "server_dies":
            raise UsageError(f"Only who started the server at {link} can kill it.")
        case _:
            assert_never(change.kind)
    return ChangeMade(change.kind, *link, *span, round(1000 * outage, 3), change.towards)


def _write_json(file: Path, content: object) -> None:
    file.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
