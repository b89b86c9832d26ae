"""The simulated world: the production sessions in virtual time, over a virtual internet.

    PeerSession --+
    PeerSession --+-- Simulation (one clock, one queue of wake-ups) -- VirtualInternet (NATs, links)
    Intermediate -+

Only links, NATs, sources and the clock are made up. A run repeats in every time, length, path and
decision for a seed; the bytes differ, since the cryptography draws its own dice.
"""

from __future__ import annotations

import heapq
import itertools
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import assert_never

from p2pquic.core.actions import (
    Finish,
    Log,
    PlayMedia,
    SendDatagram,
    StartMedia,
    StopMedia,
    TellApplication,
)
from p2pquic.core.addresses import LocalAddress, LocalSocket, ServerAddress
from p2pquic.core.application import News, Request
from p2pquic.core.deadlines import earliest
from p2pquic.core.errors import P2PQuicError
from p2pquic.core.events import (
    DatagramReceived,
    DeadlinePassed,
    Event,
    HangUpRequested,
    MediaPacketReady,
    Requested,
    Resilience,
    Resumed,
    SocketsChanged,
)
from p2pquic.core.machine import Machine
from p2pquic.core.preference import INDIFFERENT, InterfacePreference
from p2pquic.core.trace import Entry, FrameReceived, PathSelected, Record
from p2pquic.lab.changes import ChangeMade, Outages
from p2pquic.lab.networks import MOVER, OTHER
from p2pquic.lab.scenarios import FRAME_CADENCE, Change, Role, Scenario, timeline
from p2pquic.lab.virtual_internet import VirtualInternet
from p2pquic.quic.identity import Identity
from p2pquic.session.intermediate_session import IntermediateSession
from p2pquic.session.pair_config import RelayUse
from p2pquic.session.peer_config import PeerConfig, Server
from p2pquic.session.peer_session import PeerSession

SERVER_PORT = 12345
FIRST_PORT = 40000  # of the peers' sockets; each new one gets the next
ORIGIN = 1000.0  # seconds on the clock at the start: no monotonic clock starts at 0
MOST_STEPS_AT_ONCE = 10_000  # that an honest session may need without time passing
SETTLE_LIMIT = 20.0  # virtual seconds in which a call must have settled
FRAME_BYTES = 160  # of Opus at 64 kbit/s in 20 ms
FRAME_PAYLOAD = bytes(FRAME_BYTES)  # nobody listens here


class StandstillError(AssertionError):
    """A session asks again and again to be called at once, and nothing comes of it."""


class NeverSettledError(P2PQuicError):
    """The call did not get as far as its scenario wants before anything changes."""


@dataclass
class VirtualHost:
    """A machine with its program, its sockets, and what that traced.

    An address that comes back gets the port it had, since its NAT may still know that.
    """

    name: str
    program: Callable[[], Machine]
    sockets: dict[LocalAddress, LocalSocket] = field(default_factory=dict)
    ports: dict[LocalAddress, int] = field(default_factory=dict)
    trace: list[Entry] = field(default_factory=list)
    wake_at: float | None = None
    frames: int = 0
    finished: str | None = None
    on_news: Callable[[str, News], None] | None = None  # what its program does with it
    machine: Machine = field(init=False)

    def __post_init__(self) -> None:
        self.machine = self.program()

    def records(self, kind: type[Record]) -> list[Entry]:
        """The entries of one kind."""
        return [entry for entry in self.trace if isinstance(entry.record, kind)]


class Simulation:
    """One scenario with one seed; `interfaces` are the hosts' preferences, by name.

    `told` are the servers that a host was told of, by their names and its own; all by default.
    `roles` are of peers who have another than the scenario gives them, by name.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        *,
        resilience: Resilience = "hedged",
        relay: RelayUse = "auto",
        interfaces: Mapping[str, InterfacePreference] | None = None,
        told: Mapping[str, Sequence[str]] | None = None,
        roles: Mapping[str, Role] | None = None,
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.resilience = resilience
        self.now = ORIGIN
        self.settled = math.inf  # when changes may begin
        self.changes: list[ChangeMade] = []
        self._random = Random(seed)  # what the sessions draw
        self._phases = Random(seed + 2)  # of the sources; a session that draws more changes none
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._ports = itertools.count(FIRST_PORT)
        self._outages = Outages(scenario.links_up)
        topology = scenario.topology
        self.internet = VirtualInternet(topology, scenario.links_up, Random(seed + 1))
        known: dict[str, Server] = {}  # by name, as peers are told of them

        def server(name: str) -> VirtualHost:
            listen = {
                address: LocalSocket(address.host, SERVER_PORT, address.interface)
                for address in self.internet.local_addresses(name)
            }
            identity = Identity.generate()
            secret = self._random.randbytes(32)
            address = ServerAddress.of(*(each.address for each in listen.values()))
            known[name] = Server(address, (identity.key_hash,))
            return VirtualHost(
                name,
                lambda: IntermediateSession(
                    tuple(listen.values()), identity, secret, self._random.randbytes
                ),
                listen,
            )

        self.servers = [server(host.name) for host in topology.servers]
        self.server = self.servers[0]
        identities = _identities(scenario)
        usual_roles = {host.name: scenario.other_role for host in topology.others}
        usual_roles[MOVER] = scenario.mover_role

        def peer(name: str) -> VirtualHost:
            config = PeerConfig(
                tuple(known[each] for each in (told or {}).get(name, known)),
                (roles or {}).get(name, usual_roles[name]),
                "lab",
                resilience,
                relay,
                interfaces=(interfaces or {}).get(name, INDIFFERENT),
            )
            return VirtualHost(
                name, lambda: PeerSession(config, identities[name], self._random.randbytes)
            )

        self.mover, self.other = peer(MOVER), peer(OTHER)
        self.guests = [peer(host.name) for host in topology.guests]
        self.peers = [self.mover, self.other, *self.guests]
        self.hosts = {host.name: host for host in (*self.peers, *self.servers)}

    # ---- running -----------------------------------------------------------------------------

    def run(self) -> None:
        """The whole scenario: start, settle, change, aftermath, hang up."""
        self.settle()
        begin = self.settled = self.now + self.scenario.settle
        last = self.schedule_changes(begin)
        self.run_until(last + self.scenario.aftermath)
        for host in self.peers:
            self._feed(host, HangUpRequested("the scenario is over"))
        self.run_until(self.now + 1.0)

    def start(self) -> None:
        """Start the peers: as soon as they have an address they begin."""
        for host in (self.other, *self.guests):
            self.at(self.now, lambda host=host: self._refresh_sockets(host))  # type: ignore[misc]
        self.at(self.now + self.scenario.stagger, lambda: self._refresh_sockets(self.mover))

    def settle(self) -> None:
        """Start both peers and wait until each speaks on the kind of path the scenario wants."""
        self.start()
        while not self._is_settled():
            if self.now > ORIGIN + SETTLE_LIMIT:
                raise NeverSettledError(
                    f"The call of {self.scenario.name} (seed {self.seed}) never settled on a "
                    f"{self.scenario.settles_on} path within {SETTLE_LIMIT:.0f} s."
                )
            self.run_until(self.now + 0.05)

    def run_until(self, end: float) -> None:
        """Let virtual time pass."""
        steps_without_progress = 0
        while (step := self._next_time()) is not None and step <= end:
            steps_without_progress = steps_without_progress + 1 if step <= self.now else 0
            if steps_without_progress > MOST_STEPS_AT_ONCE:
                raise StandstillError(f"{self.scenario.name}, seed {self.seed}, at {self.now}")
            self.now = max(self.now, step)
            for arrival in self.internet.deliver(self.now):
                host = self.hosts[arrival.host]
                if arrival.local in host.sockets.values():
                    received = DatagramReceived(arrival.local, arrival.remote, arrival.data)
                    self._feed(host, received)
            while self._agenda and self._agenda[0][0] <= self.now:
                heapq.heappop(self._agenda)[2]()
            for host in self.hosts.values():
                if host.wake_at is not None and host.wake_at <= self.now:
                    self._feed(host, DeadlinePassed())
        self.now = end

    def run_for(self, seconds: float) -> None:
        """Let so much of it pass."""
        self.run_until(self.now + seconds)

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self._agenda, (time, next(self._order), action))

    def apply(self, change: Change) -> None:
        """Something changes, now."""
        self.internet.apply(change)
        outage = 0.0
        if change.kind == "interface_down":
            self._outages.lost(change.link, self.now)
        elif change.kind == "interface_up":
            outage = self._outages.gained(change.link, self.now)
        elif change.kind == "server_dies":
            self.stop(self.hosts[change.host], kindly=False)
        now, milliseconds = self.now, round(1000 * outage, 3)
        self.changes.append(
            ChangeMade(change.kind, *change.link, now, now, milliseconds, change.towards)
        )
        if change.is_announced:
            self._refresh_sockets(self.hosts[change.host])

    def schedule_changes(self, begin: float) -> float:
        """Have the scenario's changes happen, from `begin` on; gives when the last one does."""
        changes = timeline(self.scenario, self.seed)
        for change in changes:
            self.at(begin + change.at, lambda change=change: self.apply(change))  # type: ignore[misc]
        return begin + max((change.at for change in changes), default=0.0)

    def stop(self, host: VirtualHost, *, kindly: bool) -> None:
        """End a host's program: it says goodbye, or it is killed."""
        if kindly:
            self._feed(host, HangUpRequested("stopped"))
        host.finished, host.wake_at = "stopped", None

    def start_anew(self, host: VirtualHost) -> None:
        """Start a host's program, which remembers nothing but its key."""
        host.machine, host.finished, host.frames = host.program(), None, 0
        if host not in self.servers:
            self._refresh_sockets(host)

    def fall_asleep(self, host: VirtualHost) -> None:
        """Suspend a machine: it hears, says and does nothing; its sessions' clock goes on."""
        host.finished, host.wake_at = "asleep", None

    def wake_up(self, host: VirtualHost, asleep: float) -> None:
        """Its kernel had no time to look at the network yet."""
        host.finished = None
        self._feed(host, Resumed(asleep))

    # ---- hosts -------------------------------------------------------------------------------

    def _next_time(self) -> float | None:
        times = [
            self.internet.next_time,
            self._agenda[0][0] if self._agenda else None,
            *(host.wake_at for host in self.hosts.values()),
        ]
        return earliest(times)

    def _is_settled(self) -> bool:
        return all(
            any(
                isinstance(entry.record, PathSelected)
                and entry.record.kind == self.scenario.settles_on
                for entry in host.trace
            )
            for host in self.peers
        ) and any(host.records(FrameReceived) for host in self.peers)

    def _refresh_sockets(self, host: VirtualHost) -> None:
        """What the driver does when the kernel reports a change."""
        addresses = self.internet.local_addresses(host.name)
        for address in addresses:
            if address not in host.ports:
                host.ports[address] = next(self._ports)
        host.sockets = {
            address: LocalSocket(address.host, host.ports[address], address.interface)
            for address in addresses
        }
        self._feed(host, SocketsChanged(tuple(host.sockets.values())))

    def _feed(self, host: VirtualHost, event: Event) -> None:
        if host.finished is not None:
            return
        for action in host.machine.handle(event, self.now):
            match action:
                case SendDatagram(local, remote, data):
                    if local in host.sockets.values():
                        self.internet.send(host.name, local, remote, data, self.now)
                case Log(record, happened_at):
                    at = self.now if happened_at is None else happened_at
                    host.trace.append(Entry(at, record))
                case StartMedia():
                    begin = self.now + self._phases.uniform(0, FRAME_CADENCE)
                    self.at(begin, lambda machine=host.machine: self._tick(host, machine))  # type: ignore[misc]
                case Finish(reason):
                    host.finished = reason
                case TellApplication(remote, news):
                    if host.on_news is not None:
                        host.on_news(remote, news)
                case PlayMedia() | StopMedia():
                    pass
                case _:
                    assert_never(action)
        host.wake_at = None if host.finished is not None else host.machine.deadline

    def request(self, host: VirtualHost, remote: str, request: Request) -> None:
        """The program on a host asks something of its call with `remote`."""
        self._feed(host, Requested(remote, request))

    def _tick(self, host: VirtualHost, machine: Machine) -> None:
        """The source's next frame, and the one after, as long as its program runs."""
        if host.machine is not machine:
            return
        seq = host.frames
        host.frames += 1
        header = struct.pack(
            ">BBHII", 0x80, 96, seq & 0xFFFF, seq * 960 & 0xFFFFFFFF, len(host.name)
        )
        self.at(self.now + FRAME_CADENCE, lambda: self._tick(host, machine))
        self._feed(host, MediaPacketReady(header + FRAME_PAYLOAD))


def _identities(scenario: Scenario) -> dict[str, Identity]:
    """New keys, such that the mover is at the end of the QUIC connections the scenario wants."""
    names = [OTHER, *(host.name for host in scenario.topology.guests)]
    names.insert(len(names) if scenario.mover_quic_role == "server" else 0, MOVER)
    identities = sorted((Identity.generate() for _ in names), key=lambda each: each.peer_id)
    return dict(zip(names, identities, strict=True))
