"""More than two in a room, in virtual time: all hear one another, whoever moves, goes or comes."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping
from cProfile import Profile

import pytest

from p2pquic.core.actions import Action, Log, SendDatagram
from p2pquic.core.events import Event
from p2pquic.core.trace import Closed, FrameReceived, FrameSent, Registered
from p2pquic.lab.networks import HOME, OTHER, Host, Topology
from p2pquic.lab.scenarios import FRAME_CADENCE, Role, Scenario, break_before_make
from p2pquic.lab.simulator import SERVER_PORT, Simulation, VirtualHost
from p2pquic.quic.many_paths import ManyPathsConnection
from p2pquic.quic.packets import is_quic
from p2pquic.session.peer_session import PeerSession
from p2pquic.wire.punch import is_punch

ON_THE_WAY = 0.2  # seconds in which a frame arrives
UNDISTURBED = FRAME_CADENCE + 0.002


class Room(Simulation):
    """A room in which every call has settled on its direct path."""

    def __init__(
        self, guests: int, mover_role: Role, roles: Mapping[str, Role] | None = None
    ) -> None:
        hosts = tuple(Host(f"guest{number}", (HOME,)) for number in range(guests))
        topology = Topology(guests=hosts)
        super().__init__(
            Scenario("room", "A room.", topology, mover_role=mover_role),
            seed=1,
            resilience="hedged",
            roles=roles,
        )
        self.settle()
        self.run_for(2.0)
        self.begin = self.now

    def move(self, link_down: str = "wlan0", link_up: str = "rmnet0") -> None:
        """The mover, break before make."""
        for change in break_before_make(link_down, link_up).changes:
            self.at(self.now + change.at, lambda change=change: self.apply(change))  # type: ignore[misc]

    def gaps(self, host: VirtualHost) -> dict[str, float]:
        """The longest gap since the room settled, by who is heard."""
        times = defaultdict[str, list[float]](list)
        for entry in host.trace:
            if isinstance(entry.record, FrameReceived) and entry.t >= self.begin - 0.03:
                times[entry.record.remote].append(entry.t)
        return {
            remote: max(after - before for before, after in itertools.pairwise(heard))
            for remote, heard in times.items()
        }

    def peer_id(self, host: VirtualHost) -> str:
        """Under which id the others know it."""
        return next(e.record.peer for e in host.trace if isinstance(e.record, Registered))

    def undelivered(self, sender: VirtualHost, receiver: VirtualHost) -> set[int]:
        """The frames since the room settled that left for this one, which it never heard."""
        there, here = self.peer_id(receiver), self.peer_id(sender)
        sent = {
            entry.record.seq
            for entry in sender.trace
            if isinstance(entry.record, FrameSent)
            and entry.record.remote == there
            and self.begin <= entry.t < self.now - ON_THE_WAY
        }
        return sent - {
            entry.record.seq
            for entry in receiver.trace
            if isinstance(entry.record, FrameReceived) and entry.record.remote == here
        }


def test_in_a_room_of_four_everybody_hears_everybody() -> None:
    room = Room(2, "both")
    room.run_for(1.0)
    for host in room.peers:
        gaps = room.gaps(host)
        assert len(gaps) == 3
        assert max(gaps.values()) < UNDISTURBED


def test_a_moving_sender_reaches_eight_receivers_as_soon_as_one() -> None:
    def worst_gap(guests: int) -> float:
        room = Room(guests, "sender")
        room.move()
        room.run_for(2.5)
        receivers = [room.other, *room.guests]
        assert [room.undelivered(room.mover, receiver) for receiver in receivers] == [set()] * (
            1 + guests
        )
        return max(gap for receiver in receivers for gap in room.gaps(receiver).values())

    assert worst_gap(7) < worst_gap(0) + 0.020


def test_of_a_move_the_newest_frame_of_each_call_leaves_first_and_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = Room(7, "sender")
    room.move()
    room.run_for(0.5 - 0.001)
    ordered: list[list[Action]] = []  # by event
    handle = room.mover.machine.handle

    def watch(event: Event, now: float) -> list[Action]:
        ordered.append(handle(event, now))
        return ordered[-1]

    monkeypatch.setattr(room.mover.machine, "handle", watch)
    room.run_for(0.002)
    *first, last = ordered[:8]
    for actions in first:
        assert {type(action) for action in actions} == {SendDatagram}, "what is told can wait"
    assert not any(_punches(actions) for actions in [*first, last])
    assert sorted(_frames(last).values()) == [1] * 8
    assert any(_is_to_the_server(action) for action in last), "signaling follows audio at once"
    for actions in ordered[8:16]:
        assert len(_frames(actions)) == 1
        assert _punches(actions)


def _is_to_the_server(action: Action) -> bool:
    """Whether it is a packet of the control connection."""
    return (
        isinstance(action, SendDatagram)
        and is_quic(action.data)
        and action.remote.port == SERVER_PORT
    )


def _frames(actions: list[Action]) -> Counter[str]:
    """How many frames were sent, by to whom."""
    records = [action.record for action in actions if isinstance(action, Log)]
    frames = {(each.seq, each.remote) for each in records if isinstance(each, FrameSent)}
    return Counter(remote for _, remote in frames)


def _punches(actions: list[Action]) -> int:
    return sum(isinstance(each, SendDatagram) and is_punch(each.data) for each in actions)


def test_what_happens_to_one_call_asks_no_other_for_packets() -> None:
    room = Room(7, "sender")
    with Profile() as profile:
        room.run_for(0.5)
    counts: Counter[str] = Counter()
    for each in profile.getstats():
        if not isinstance(each.code, str):
            counts[each.code.co_qualname] += each.callcount
    events, frames = counts[PeerSession.handle.__qualname__], counts[Simulation._tick.__qualname__]
    asked = counts[ManyPathsConnection.datagrams_to_send.__qualname__]
    assert frames >= 25
    assert events + 7 * frames <= asked < 1.5 * (events + 7 * frames)


class Distrustful(Room):
    """A room in which every call is asked after every event whether its deadline is still true."""

    def _feed(self, host: VirtualHost, event: Event) -> None:
        super()._feed(host, event)
        if isinstance(host.machine, PeerSession):
            for pair in host.machine._calls:
                assert pair.deadline == pair._find_deadline(), event


def test_a_call_that_is_not_asked_again_has_nothing_new_to_say() -> None:
    room = Distrustful(1, "both")
    room.move()
    room.run_for(0.3)
    room.stop(room.guests[0], kindly=False)
    room.run_for(0.5)
    room.start_anew(room.guests[0])
    room.run_for(1.0)


def test_nobody_hears_that_another_moves_vanishes_and_comes_back() -> None:
    room = Room(2, "both")
    room.move()
    room.run_for(1.5)
    room.stop(room.guests[0], kindly=False)
    room.run_for(2.0)
    room.start_anew(room.guests[0])
    room.run_for(2.0)
    for listener, neighbour in itertools.permutations((room.other, room.guests[1])):
        gaps = room.gaps(listener)
        assert gaps[room.peer_id(neighbour)] < UNDISTURBED
        assert 0.4 < gaps[room.peer_id(room.mover)] < 0.7
        assert 2.0 < gaps[room.peer_id(room.guests[0])] < 3.0, "it is heard again"
        ended = [e for e in listener.trace if isinstance(e.record, Closed)]
        assert len(ended) == 1


def test_who_leaves_with_a_goodbye_is_gone_at_once_and_the_others_talk_on() -> None:
    room = Room(1, "both")
    room.stop(room.mover, kindly=True)
    left = room.now
    room.run_for(1.0)
    for host in (room.other, room.guests[0]):
        (ended,) = [e.t for e in host.trace if isinstance(e.record, Closed)]
        assert ended - left < 0.5, "the goodbye is repeated for a while (RFC 9000 section 10.2)"
    assert room.gaps(room.other)[room.peer_id(room.guests[0])] < UNDISTURBED


@pytest.mark.slow
def test_in_a_room_of_sixteen_nobody_hears_what_does_not_concern_him() -> None:
    """Four senders, eight receivers, four who do both; 86 calls."""
    roles: dict[str, Role] = {f"guest{number}": "receiver" for number in range(14)}
    roles |= dict.fromkeys(("guest0", "guest1", "guest2"), "sender")
    roles |= dict.fromkeys(("guest3", "guest4", "guest5", "guest6"), "both")
    room = Room(14, "sender", roles)
    roles |= {"mover": "sender", "other": "receiver"}
    sender_who_left, vanished_sender = room.guests[1], room.guests[2]
    vanished, vanished_receiver = room.guests[3], room.guests[7]
    room.move()
    room.run_for(0.3)
    room.stop(sender_who_left, kindly=True)
    for host in (vanished_sender, vanished, vanished_receiver):
        room.stop(host, kindly=False)
    room.run_for(0.4)
    for host in (vanished, vanished_receiver):
        room.start_anew(host)
    room.run_for(1.8)

    disturbed = [sender_who_left, vanished_sender, vanished, vanished_receiver]
    steady = [host for host in room.peers if host not in disturbed]
    for listener in (host for host in steady if roles[host.name] != "sender"):
        gaps = room.gaps(listener)
        for sender in (host for host in steady if roles[host.name] != "receiver"):
            if sender is listener:
                continue
            gap = gaps[room.peer_id(sender)]
            assert room.undelivered(sender, listener) == set()
            assert gap < 0.7 if sender is room.mover else gap < UNDISTURBED
        assert 0.4 < gaps[room.peer_id(vanished)] < 2.0, "it is heard again"
    for host in (vanished, vanished_receiver):
        came_back = room.now - 1.0
        heard = {
            entry.record.remote
            for entry in host.trace
            if isinstance(entry.record, FrameReceived) and entry.t > came_back
        }
        speakers = [each for each in steady if roles[each.name] != "receiver"]
        assert {room.peer_id(each) for each in speakers} <= heard


def test_a_seventeenth_is_told_that_the_room_is_full() -> None:
    hosts = tuple(Host(f"guest{number}", (HOME,)) for number in range(15))
    scenario = Scenario("room", "A room.", Topology(guests=hosts), mover_role="receiver")
    names = [OTHER, *(host.name for host in hosts)]
    room = Simulation(scenario, seed=1, roles=dict.fromkeys(names, "receiver"))
    room.start()
    room.run_until(room.now + 2.0)
    refused = [host for host in room.peers if host.finished is not None]
    assert refused == [room.mover], "who comes last"
    assert room.mover.finished is not None
    assert "already has 16 members" in room.mover.finished
    assert "Take another room" in room.mover.finished
    assert all(host.records(Registered) for host in room.peers if host is not room.mover)
