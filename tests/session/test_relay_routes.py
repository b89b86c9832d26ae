"""The relays of a call that stand by: opened, asked now and then, and the last choice if silent."""

from __future__ import annotations

from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.path import RelayPath
from p2pquic.session.relay_route import Hearing
from p2pquic.session.relay_routes import ANSWER_TIME, STANDBY_INTERVAL, RelayRoutes
from p2pquic.session.relay_switch import RelaySwitch
from p2pquic.wire.signaling import RelayOpened
from tests.quic.pair import Pair, relay
from tests.session.relay_world import ALICE, BOB, SECRET, counting_entropy

FIRST, SECOND = relay().server, ServerAddress.of(SocketAddress("other server", 1))
STANDBY = RelayPath(b"session2", SECOND)
WLAN = LocalSocket("10.0.1.1", 1000, "wlan0")
HEARD = {FIRST: Hearing(WLAN), SECOND: Hearing(WLAN)}
DELAY = 0.02  # seconds one way by the standby


class Standby:
    """A call by the first server's relay, and the second's, which leads to the other end."""

    def __init__(self) -> None:
        self.pair = Pair()
        self.pair.join(STANDBY, STANDBY, DELAY)
        self.routes = RelayRoutes([FIRST, SECOND])
        self.routes.follow(HEARD)
        for server, path in ((FIRST, relay()), (SECOND, STANDBY)):
            grant, _ = RelaySwitch(SECRET, counting_entropy()).open_session(ALICE, BOB, 0.0)
            route = self.routes.at(server)
            assert route is not None
            route.open(RelayOpened(BOB, *grant))
            route.path = path  # what the pair of engines calls it
        self.asked: list[float] = []

    def run(self, seconds: float) -> None:
        """Let time pass; when the standby was asked."""
        end = self.pair.now + seconds
        while (due := self.routes.deadline) is not None and due <= end:
            self.pair.run(max(due, self.pair.now))
            before = len(self.sent)
            self.routes.keep(self.pair.client.connection, self.pair.now)
            self.pair.step(self.pair.client)
            self.asked += [self.pair.now] * (len(self.sent) - before)
        self.pair.run(end)

    @property
    def sent(self) -> list[float]:
        client = self.pair.client
        return [at for at, who, path, _ in self.pair.sent if who is client and path == STANDBY]

    def is_silent(self) -> bool:
        return self.routes.is_silent(self.pair.client.connection, STANDBY, self.pair.now)


def test_it_is_opened_proved_and_asked_at_long_intervals() -> None:
    world = Standby()
    world.run(2.5 * STANDBY_INTERVAL)
    assert world.pair.client.connection.is_validated(STANDBY)
    assert len(world.asked) == 3
    assert not world.is_silent()


def test_one_that_does_not_answer_is_asked_again_and_silent_until_it_does() -> None:
    world = Standby()
    world.run(1.0)
    world.pair.cut_both(STANDBY)
    world.run(STANDBY_INTERVAL)
    assert len(world.asked) > 2
    world.run(ANSWER_TIME)
    assert world.is_silent()
    world.pair.join(STANDBY, STANDBY, DELAY)
    world.run(STANDBY_INTERVAL)
    assert not world.is_silent()


def test_one_that_was_silent_under_the_call_is_so_at_once() -> None:
    world = Standby()
    world.run(1.0)
    connection = world.pair.client.connection
    world.routes.doubt(connection, STANDBY, world.pair.now)
    assert world.is_silent()
    assert not connection.is_validated(STANDBY), "what is still on the way to us proves nothing"
    world.run(1.0)
    assert not world.is_silent()
    assert connection.is_validated(STANDBY)


def test_one_whose_server_is_away_is_silent_and_asked_when_it_is_back() -> None:
    world = Standby()
    world.run(1.0)
    world.routes.follow({**HEARD, SECOND: Hearing(WLAN, answers=False)})
    assert world.is_silent()
    assert not world.routes.is_silent(world.pair.client.connection, relay(), world.pair.now)
    before = len(world.asked)
    world.routes.follow(HEARD)
    assert not world.is_silent()
    world.run(0.01)
    assert len(world.asked) <= before + 1
    assert world.routes.deadline is not None
    assert world.routes.deadline > world.pair.now


def test_only_a_server_that_hears_us_elsewhere_has_moved() -> None:
    routes = RelayRoutes([FIRST, SECOND])
    assert len(routes.follow(HEARD)) == 2
    (moved,) = routes.follow({FIRST: HEARD[FIRST]})
    assert moved.server == SECOND
