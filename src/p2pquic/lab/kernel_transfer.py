"""A file through moves between real programs on real kernels.

    namespace mover: transfer_end --size N      namespace other: transfer_end
         `--- wlan0, rmnet0 --- routers --- process of `internet` --- router --'

The other end is told to send when both are connected, and the moves are counted from its first
byte there. In the directory stand the traces of both ends.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread

assert sys.platform == "linux", "The lab of real kernels needs Linux."

from p2pquic.core.addresses import SocketAddress
from p2pquic.core.trace import Listening, from_line
from p2pquic.lab.changes import ChangeMade, Outages
from p2pquic.lab.internet import Report
from p2pquic.lab.kernel_lab import (
    GLANCE,
    P2PQUIC,
    PORT,
    START_TIMEOUT,
    RunFailedError,
    carry_out,
)
from p2pquic.lab.namespaces import Namespace, stop
from p2pquic.lab.networks import MOVER, OTHER, SERVER, Link
from p2pquic.lab.processor import Processor, processor_times, shares
from p2pquic.lab.scenarios import timeline
from p2pquic.lab.topology import KernelWorld
from p2pquic.lab.transfers import RATED, Plan, Transfer, possible_bytes
from p2pquic.session.pair_config import RelayUse

END = (sys.executable, "-m", "p2pquic.lab.transfer_end")
PATIENCE = 300.0  # seconds; a transfer that takes longer stands still
HEAD_START = 1.0  # seconds that a call has to find its direct path before the file begins


@dataclass(frozen=True, slots=True)
class Measured:
    """A transfer, what each program had of the machine meanwhile, and what the internet carried."""

    transfer: Transfer
    processor: dict[str, Processor]
    internet: Report


class _End:
    """A program that sends or receives, and what it has said so far."""

    def __init__(self, host: Namespace, arguments: Sequence[str], directory: Path) -> None:
        self.name = host.name
        self.trace = directory / f"{host.name}.trace.jsonl"
        self._log = directory / f"{host.name}.log"
        self.said: dict[str, dict[str, object]] = {}
        command = [*END, "--trace", str(self.trace), *arguments]
        with self._log.open("w") as log:
            self.process: Popen[str] = host.start(command, (), PIPE, PIPE, log)
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            self.said[said["what"]] = said

    def begin(self) -> None:
        """Tell it to send."""
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)

    def time(self, what: str) -> float:
        """When it said something."""
        return float(str(self.said[what]["time"]))

    def check_alive(self) -> None:
        """Raise RunFailedError if it has ended too early."""
        if self.process.poll() is not None and "ended" not in self.said:
            words = self._log.read_text(errors="replace")[-2000:].strip()
            raise RunFailedError(f"{self.name} ended early. Its last words: {words!r}")


def run(plan: Plan, seed: int, directory: Path, relay: RelayUse = "auto") -> Measured:
    """Transfer the file once. Call it from the main thread, see `Namespace.start`.

    Raises:
        MissingRequirementError: the lab cannot be built on this machine.
        RunFailedError: a program ended early, or the file did not arrive in time.
    """
    directory.mkdir(parents=True, exist_ok=True)
    scenario = plan.scenario
    with ExitStack() as stack:
        world = stack.enter_context(KernelWorld(scenario.topology, scenario.links_up, seed))
        arguments = [*_start_server(world, directory, stack), "--relay", relay]
        ends: dict[str, _End] = {}
        for name in (MOVER, OTHER):
            sends = ["--size", str(plan.size), "--seed", str(seed)] if name == plan.sender else []
            ends[name] = _End(world.host(name), [*arguments, *sends], directory)
            stack.callback(stop, ends[name].process)
        source = ends[plan.sender]
        target = ends[OTHER if plan.sender == MOVER else MOVER]
        _wait(ends, lambda: all("connected" in end.said for end in ends.values()), START_TIMEOUT)
        time.sleep(HEAD_START)
        before = {name: processor_times(end.process) for name, end in ends.items()}
        source.begin()
        _wait(ends, lambda: "began" in target.said, START_TIMEOUT)
        began = target.time("began")
        changes: list[ChangeMade] = []
        outages = Outages(scenario.links_up)
        for change in timeline(scenario, seed):
            due = began + change.at
            _wait(ends, partial(_is_past, due), PATIENCE)
            changes.append(carry_out(change, world, outages))
        _wait(ends, lambda: "ended" in target.said and "ended" in source.said, PATIENCE)
        ended = target.time("ended")
        after = {name: processor_times(end.process) for name, end in ends.items()}
        trace = [from_line(line) for line in ends[MOVER].trace.read_text().splitlines()]
        transfer = Transfer(
            plan.size,
            began,
            ended,
            possible_bytes([each for each in trace if each], changes, began, ended),
            target.said["ended"]["sha256"] == source.said["ended"]["sha256"],
        )
        return Measured(transfer, shares(before, after, ended - began), world.report())


def _start_server(world: KernelWorld, directory: Path, stack: ExitStack) -> list[str]:
    """Start the server; the options that lead to it."""
    address = str(SocketAddress(RATED.accesses[Link(SERVER, "eth0")].public, PORT))
    trace = directory / f"{SERVER}.trace.jsonl"
    identity = ["--cert", str(directory / "server.pem"), "--key", str(directory / "server.key")]
    command = [*P2PQUIC, "intermediate", "--listen", address, *identity, "--trace", str(trace)]
    log = stack.enter_context((directory / f"{SERVER}.log").open("w"))
    process = world.host(SERVER).start(command, stdout=log, stderr=log)
    stack.callback(stop, process)
    give_up = time.monotonic() + START_TIMEOUT
    while time.monotonic() < give_up:
        for line in trace.read_text().splitlines() if trace.exists() else []:
            entry = from_line(line)
            if entry is not None and isinstance(entry.record, Listening):
                return ["--intermediate", address, "--pin", entry.record.fingerprint]
        time.sleep(GLANCE)
    raise RunFailedError(f"The server does not listen; see {directory}.")


def _is_past(moment: float) -> bool:
    return time.monotonic() >= moment


def _wait(ends: dict[str, _End], condition: Callable[[], bool], timeout: float) -> None:
    give_up = time.monotonic() + timeout
    while not condition():
        for end in ends.values():
            end.check_alive()
        if time.monotonic() > give_up:
            raise RunFailedError(f"The transfer came to no end within {timeout:.0f} s.")
        time.sleep(GLANCE)
