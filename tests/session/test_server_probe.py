"""The probe ends by itself, whatever the server does, and says what it did."""

from __future__ import annotations

import heapq
import itertools
import math

import pytest

from p2pquic.core.actions import Action, Finish, SendDatagram
from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.core.events import DatagramReceived, DeadlinePassed, Event, SocketsChanged
from p2pquic.core.machine import Machine
from p2pquic.core.path import DirectPath
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.connection import MultipathConnection
from p2pquic.quic.frames import AddressDiscovery
from p2pquic.quic.identity import Identity
from p2pquic.quic.packets import destination_connection_id
from p2pquic.session.intermediate_session import IntermediateSession
from p2pquic.session.server_probe import PROBE_LIMIT, Answer, ServerProbe
from tests.session.relay_world import SECRET, counting_entropy

LISTEN = LocalSocket("198.51.100.4", 4433, "eth0")
WLAN = LocalSocket("192.0.2.1", 5000, "wlan0")
RMNET = LocalSocket("192.0.2.2", 5000, "rmnet0")
DELAY = 0.015  # seconds one way
IDENTITY = Identity.generate()


class Nobody:
    """A server that is not there."""

    deadline: float | None = None

    def handle(self, event: Event, now: float) -> list[Action]:
        del event, now
        return []


class Babbler(Nobody):
    """Answers everything with something that is no QUIC of ours."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer  # None for an echo

    def handle(self, event: Event, now: float) -> list[Action]:
        del now
        if not isinstance(event, DatagramReceived):
            return []
        answer = event.data if self._answer is None else self._answer
        return [SendDatagram(LISTEN, event.remote, answer)]


class Foreigner(Nobody):
    """A QUIC server of another protocol."""

    def __init__(self) -> None:
        self._connection: MultipathConnection | None = None

    def handle(self, event: Event, now: float) -> list[Action]:
        if not isinstance(event, DatagramReceived):
            return []
        path = DirectPath(LISTEN, event.remote)
        if self._connection is None:
            config = ConnectionConfig(IDENTITY, lambda _: True, "h3", AddressDiscovery.PROVIDES)
            self._connection = MultipathConnection(config, destination_connection_id(event.data))
        self._connection.receive_datagram(event.data, path, now)
        sends = self._connection.datagrams_to_send(now)
        return [SendDatagram(LISTEN, event.remote, data) for data, _ in sends]


def server() -> IntermediateSession:
    return IntermediateSession([LISTEN], IDENTITY, SECRET, counting_entropy())


def ask(there: Machine, *sockets: LocalSocket) -> tuple[list[Answer], float]:
    """The answers, and after how many seconds of virtual time the probe ended."""
    probe = ServerProbe([LISTEN.address], Identity.generate())
    start = now = 1000.0
    order = itertools.count()
    air: list[tuple[float, int, Machine, Event]] = [
        (now, next(order), probe, SocketsChanged(sockets))
    ]
    for _ in range(10_000):
        timers = [(each.deadline, each) for each in (probe, there) if each.deadline is not None]
        due, machine = min(timers, key=lambda timer: timer[0], default=(math.inf, there))
        if air and air[0][0] <= due:
            now, _, machine, event = heapq.heappop(air)
        else:
            now, event = due, DeadlinePassed()
        for action in machine.handle(event, now):
            if isinstance(action, Finish):
                return probe.answers, now - start
            if isinstance(action, SendDatagram):
                local = next((each for each in sockets if each.address == action.remote), None)
                arrival: Event = (
                    DatagramReceived(local, LISTEN.address, action.data)
                    if local is not None
                    else DatagramReceived(LISTEN, action.local.address, action.data)
                )
                target = probe if local is not None else there
                heapq.heappush(air, (now + DELAY, next(order), target, arrival))
    raise AssertionError("the probe does not end")


def test_a_server_tells_each_socket_who_it_is_and_where_it_hears_it() -> None:
    answers, took = ask(server(), WLAN, RMNET)
    assert [(each.local, each.observed) for each in answers] == [
        (WLAN, WLAN.address),
        (RMNET, RMNET.address),
    ]
    for each in answers:
        assert each.key_hash == IDENTITY.key_hash
        assert each.handshake == pytest.approx(4 * DELAY, abs=0.01)
    assert took < 0.1, "it does not wait when it knows all"


def test_it_enters_no_room() -> None:
    there = server()
    ask(there, WLAN)
    assert there._members == {}


def test_nobody_there_ends_at_the_limit_and_nothing_was_heard() -> None:
    answers, took = ask(Nobody(), WLAN)
    assert answers == [Answer(WLAN, LISTEN.address)]
    assert took == pytest.approx(PROBE_LIMIT, abs=0.01)


@pytest.mark.parametrize("answer", [b"hello", b"\xc0" * 1200, b"\x40" * 40, b"", None])
def test_what_is_not_ours_was_heard_and_never_believed(answer: bytes | None) -> None:
    (said,), took = ask(Babbler(answer), WLAN)
    assert said.heard
    assert said.key_hash is None
    assert took <= PROBE_LIMIT + 0.01


def test_a_server_of_another_protocol_refuses_at_once() -> None:
    (said,), took = ask(Foreigner(), WLAN)
    assert said.refusal
    assert said.key_hash is None
    assert took < 1.0


def test_without_a_socket_of_the_servers_family_there_is_nothing_to_wait_for() -> None:
    assert ask(server(), LocalSocket("2001:db8::1", 5000, "wlan0")) == ([], 0.0)


def test_two_servers_are_asked_by_one_socket() -> None:
    other = SocketAddress("203.0.113.9", 1)
    probe = ServerProbe([LISTEN.address, other], Identity.generate())
    sends = probe.handle(SocketsChanged((WLAN,)), 0.0)
    assert [each.remote for each in sends if isinstance(each, SendDatagram)] == [
        LISTEN.address,
        other,
    ]
