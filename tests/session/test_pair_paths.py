"""Which paths could carry a packet now, and by which legs the relay is spoken to: tables."""

from __future__ import annotations

import pytest

from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.path import DirectPath, PathAddress, RelayPath
from p2pquic.session.pair_paths import FRESH, MOST_STRAWS, PairPaths
from p2pquic.session.relay_route import Hearing, RelayRoute
from p2pquic.session.relay_routes import RelayRoutes
from p2pquic.session.relay_switch import RelaySwitch
from p2pquic.wire.signaling import RelayOpened
from tests.quic.pair import Pair, relay
from tests.session.relay_world import ALICE, BOB, SECRET, counting_entropy

SERVER = ServerAddress.of(SocketAddress("server", 1))
THERE = SocketAddress("10.0.0.2", 1000)
WLAN = LocalSocket("10.0.1.1", 1000, "wlan0")
RMNET = LocalSocket("10.0.2.1", 1000, "rmnet0")
ETH = LocalSocket("10.0.3.1", 1000, "eth0")
WLAN_AGAIN = LocalSocket("10.0.1.9", 1000, "wlan0")  # a second address of the same interface
WLAN_V6 = LocalSocket("2001:db8::1", 1000, "wlan0")
RMNET_V6 = LocalSocket("2001:db8::2", 1000, "rmnet0")
BY_WLAN, BY_RMNET, BY_ETH = (DirectPath(socket, THERE) for socket in (WLAN, RMNET, ETH))
RELAY: PathAddress = relay()


def paths_of(
    *sockets: LocalSocket,
    server_hears: LocalSocket | None = WLAN,
    server: ServerAddress | None = None,
) -> tuple[PairPaths, RelayRoute]:
    """A call whose relay session is open, with these sockets."""
    grant, _ = RelaySwitch(SECRET, counting_entropy()).open_session(ALICE, BOB, 0.0)
    relays = RelayRoutes([server or SERVER])
    (route,) = relays
    route.move(Hearing(server_hears))
    route.open(RelayOpened(BOB, *grant))
    route.path = RelayPath(b"session1", SERVER)  # what the pair of engines calls it
    paths = PairPaths(relays)
    paths.sockets = sockets
    return paths, route


# ---- legs ----------------------------------------------------------------------------------------

ALL = (WLAN, RMNET, ETH)


@pytest.mark.parametrize(
    ("sockets", "selected", "hot", "doubtful", "legs"),
    [
        pytest.param(ALL, BY_WLAN, False, False, (WLAN,), id="one, usually"),
        pytest.param(ALL, RELAY, False, False, (WLAN,), id="one, when it carries the call"),
        pytest.param(ALL, BY_WLAN, False, True, ALL, id="all in doubt"),
        pytest.param(ALL, RELAY, False, True, ALL, id="all in doubt about the relay"),
        pytest.param(ALL, RELAY, True, True, ALL, id="all in doubt, hot or not"),
        pytest.param(ALL, BY_WLAN, True, False, (RMNET,), id="hot: by another interface"),
        pytest.param(ALL, BY_RMNET, True, False, (WLAN,), id="hot: the usual is another"),
        pytest.param(ALL, RELAY, True, False, (WLAN, RMNET), id="hot, the relay alone: two"),
        pytest.param((WLAN,), BY_WLAN, True, False, (WLAN,), id="hot, and no other interface"),
        pytest.param((WLAN,), RELAY, True, False, (WLAN,), id="hot, relay, no other interface"),
        pytest.param((WLAN,), RELAY, False, True, (WLAN,), id="doubt, and no other interface"),
        pytest.param(
            (WLAN, WLAN_AGAIN, RMNET),
            RELAY,
            False,
            True,
            (WLAN, RMNET),
            id="an interface is one leg, whatever addresses it has",
        ),
        pytest.param(
            (WLAN, WLAN_V6, RMNET_V6, RMNET),
            RELAY,
            False,
            True,
            (WLAN, RMNET),
            id="the server has one family",
        ),
        pytest.param(ALL, None, True, False, (WLAN, RMNET), id="hot, before any path"),
    ],
)
def test_the_relay_is_spoken_to_by(
    sockets: tuple[LocalSocket, ...],
    selected: PathAddress | None,
    hot: bool,
    doubtful: bool,
    legs: tuple[LocalSocket, ...],
) -> None:
    paths, route = paths_of(*sockets)
    assert tuple(paths.legs(route, selected, hot=hot, doubtful=doubtful)) == legs


@pytest.mark.parametrize(
    ("selected", "hot", "doubtful", "legs"),
    [
        pytest.param(BY_WLAN, False, False, (WLAN,), id="one, usually"),
        pytest.param(RELAY, False, True, (WLAN, RMNET_V6, WLAN_V6), id="in doubt"),
        pytest.param(RELAY, True, False, (WLAN, RMNET_V6), id="hot: another interface first"),
        pytest.param(BY_WLAN, True, False, (RMNET_V6,), id="hot, beside a direct path"),
    ],
)
def test_a_server_of_both_families_is_spoken_to_by_one_leg_of_each_other_interface_and_family(
    selected: PathAddress, hot: bool, doubtful: bool, legs: tuple[LocalSocket, ...]
) -> None:
    """Of two spare sockets on another interface the preferred, and the other family of our own."""
    sockets = (WLAN, WLAN_V6, RMNET_V6, RMNET)
    both = ServerAddress.of(*SERVER.addresses, SocketAddress("2001:db8:f::1", 1))
    paths, route = paths_of(*sockets, server=both)
    assert tuple(paths.legs(route, selected, hot=hot, doubtful=doubtful)) == legs
    assert paths.standby_legs(route) == [RMNET_V6, WLAN_V6]


@pytest.mark.parametrize("doubtful", [True, False])
@pytest.mark.parametrize("hot", [True, False])
def test_nobody_speaks_to_a_server_that_hears_us_nowhere(hot: bool, doubtful: bool) -> None:
    paths, route = paths_of(*ALL, server_hears=None)
    assert tuple(paths.legs(route, RELAY, hot=hot, doubtful=doubtful)) == ()


def test_with_another_servers_relay_beside_it_one_leg_is_enough_also_in_hot_manner() -> None:
    paths, route = paths_of(*ALL)
    assert tuple(paths.legs(route, RELAY, hot=True, doubtful=False, alone=False)) == (WLAN,)
    assert tuple(paths.legs(route, RELAY, hot=True, doubtful=True, alone=False)) == ALL


def test_a_usual_leg_that_was_not_heard_since_the_doubt_is_not_alone() -> None:
    paths, route = paths_of(*ALL)
    route.doubt(5.0)
    assert tuple(paths.legs(route, BY_RMNET, hot=False, doubtful=False)) == ALL
    route.move(Hearing(RMNET))
    assert tuple(paths.legs(route, BY_RMNET, hot=False, doubtful=False)) == (RMNET,)


# ---- candidates, refuges, straws -----------------------------------------------------------------


def call(*ways: tuple[DirectPath, bool]) -> Pair:
    """A call on the first way, which is proved; of the others some are."""
    pair = Pair()
    connection = pair.client.connection
    for number, (path, is_proved) in enumerate(ways):
        there = DirectPath(LocalSocket("10.0.0.2", 1000, "eth0"), path.local.address)
        if is_proved:
            pair.join(path, there, 0.02)
        assert connection.open_path(path, proven_rtt=None, now=pair.now)
        connection.challenge(path)
        pair.run(pair.now + 0.2)
        if number == 0:
            connection.select(path)
    pair.run(pair.now + 0.2)
    return pair


def refuges_in(pair: Pair, paths: PairPaths) -> list[PathAddress]:
    return paths.refuges(pair.client.connection, pair.now)


def companion_in(pair: Pair, paths: PairPaths) -> list[PathAddress]:
    return paths.companion(pair.client.connection, pair.now)


def test_a_path_without_a_socket_is_no_candidate() -> None:
    pair = call((BY_WLAN, True), (BY_RMNET, True))
    paths, _ = paths_of(RMNET, server_hears=None)
    found = paths.candidates(pair.client.connection, None, pair.now)
    assert [each.path for each in found] == [BY_RMNET]
    assert found[0].proven
    assert found[0].interface == "rmnet0"


def proven_in(pair: Pair, paths: PairPaths, doubted: float) -> set[PathAddress]:
    found = paths.candidates(pair.client.connection, doubted, pair.now)
    return {each.path for each in found if each.proven}


def test_what_was_not_heard_for_a_while_is_not_fresh() -> None:
    pair = call((BY_WLAN, True), (BY_RMNET, True))
    paths, _ = paths_of(WLAN, RMNET)
    heard = pair.client.connection.answers(BY_RMNET).heard_at
    for now, fresh in ((heard + FRESH, True), (heard + FRESH + 0.001, False)):
        by_path = {each.path: each for each in paths.candidates(pair.client.connection, None, now)}
        assert by_path[BY_RMNET].fresh is fresh
        assert by_path[BY_RMNET].proven


def test_in_doubt_only_what_answered_since_is_proven_beside_the_doubted_path() -> None:
    pair = call((BY_WLAN, True), (BY_RMNET, True))
    paths, _ = paths_of(WLAN, RMNET)
    connection, doubted = pair.client.connection, pair.now

    assert proven_in(pair, paths, doubted) == {BY_WLAN}
    connection.challenge(BY_RMNET)
    pair.run(pair.now + 0.2)
    assert proven_in(pair, paths, doubted) == {BY_WLAN, BY_RMNET}


@pytest.mark.parametrize(
    ("ways", "refuges", "companion"),
    [
        pytest.param([(BY_WLAN, True)], [RELAY], [RELAY], id="the relay"),
        pytest.param(
            [(BY_WLAN, True), (BY_RMNET, True)],
            [BY_RMNET, RELAY],
            [BY_RMNET],
            id="what shares least, and the relay",
        ),
        pytest.param(
            [(BY_WLAN, True), (BY_RMNET, True), (BY_ETH, True)],
            [BY_ETH, RELAY],
            [BY_ETH],
            id="one direct path is enough",
        ),
        pytest.param([(BY_WLAN, True), (BY_RMNET, False)], [RELAY], [RELAY], id="only the proved"),
    ],
)
def test_copies_take_refuge_on(
    ways: list[tuple[DirectPath, bool]],
    refuges: list[PathAddress],
    companion: list[PathAddress],
) -> None:
    pair = call(*ways)
    paths, route = paths_of(WLAN, RMNET, ETH)
    route.use([WLAN])
    found = refuges_in(pair, paths)
    assert len(found) == len(refuges)
    assert (found[-1], found[0].kind) == (refuges[-1], refuges[0].kind)
    assert companion_in(pair, paths) == found[:1]
    assert companion[0].kind == found[0].kind


@pytest.mark.parametrize(("sockets", "refuges"), [((WLAN, RMNET), [RELAY]), ((WLAN,), [])])
def test_a_relay_in_doubt_is_its_own_refuge_if_it_has_another_leg(
    sockets: tuple[LocalSocket, ...], refuges: list[PathAddress]
) -> None:
    pair = Pair()
    paths, _ = paths_of(*sockets)
    assert refuges_in(pair, paths) == refuges


def test_where_nothing_is_proved_two_open_paths_are_straws_to_clutch_at() -> None:
    pair = call((BY_WLAN, True), (BY_RMNET, False), (BY_ETH, False))
    gone = DirectPath(LocalSocket("10.0.4.1", 1000, "eth1"), THERE)
    pair.client.connection.open_path(gone, proven_rtt=None, now=pair.now)
    paths, _ = paths_of(WLAN, RMNET, ETH, server_hears=None)
    straws = paths.straws(pair.client.connection)
    assert straws == [BY_RMNET, BY_ETH][:MOST_STRAWS]
    assert refuges_in(pair, paths) == straws


def test_of_two_straws_each_leads_to_another_address() -> None:
    elsewhere = SocketAddress("10.0.0.3", 1000)
    by_rmnet_elsewhere = DirectPath(RMNET, elsewhere)
    pair = call((BY_WLAN, True), (BY_RMNET, False), (BY_ETH, False), (by_rmnet_elsewhere, False))
    paths, _ = paths_of(WLAN, RMNET, ETH, server_hears=None)
    assert paths.straws(pair.client.connection) == [BY_RMNET, by_rmnet_elsewhere]


def test_a_refuge_delivers_for_as_long_as_it_answers() -> None:
    pair = call((BY_WLAN, True), (BY_RMNET, True))
    paths, route = paths_of(WLAN, RMNET, ETH)
    route.use([WLAN])
    connection, doubted = pair.client.connection, pair.now
    connection.ping(BY_RMNET)
    pair.run(pair.now + 0.05)
    assert paths.answering(connection, doubted, pair.now) == BY_RMNET
    assert paths.answering(connection, doubted, pair.now + 0.5) is None
    assert paths.refuges(connection, pair.now + 0.5) == [BY_RMNET, RELAY]


def test_every_other_interface_is_a_standby_leg() -> None:
    paths, route = paths_of(WLAN, WLAN_AGAIN, RMNET, RMNET_V6, ETH)
    assert paths.standby_legs(route) == [RMNET, ETH]
    nowhere, route = paths_of(WLAN, RMNET, server_hears=None)
    assert nowhere.standby_legs(route) == []


def test_in_doubt_a_path_whose_answer_is_overdue_is_not_proven() -> None:
    pair = call((BY_WLAN, True), (BY_RMNET, True))
    paths, _ = paths_of(WLAN, RMNET)
    connection, doubted = pair.client.connection, pair.now

    connection.ping(BY_RMNET)
    pair.run(pair.now + 0.2)
    assert BY_RMNET in proven_in(pair, paths, doubted)
    pair.cut_both(BY_RMNET)
    connection.ping(BY_RMNET)
    pair.run(pair.now + 0.2)
    assert BY_RMNET not in proven_in(pair, paths, doubted)


def test_companions_that_are_all_mute_take_turns() -> None:
    pair = call((BY_WLAN, True), (BY_RMNET, True))
    paths, route = paths_of(WLAN, RMNET)
    route.use([RMNET])
    connection = pair.client.connection
    pair.cut_both(BY_RMNET)
    pair.cut_both(RELAY)
    for path in (BY_RMNET, RELAY):
        connection.ping(path)
        pair.run(pair.now + 0.1)
    pair.run(pair.now + 1.0)
    asked = []
    for _ in range(4):
        (companion,) = companion_in(pair, paths)
        asked.append(companion)
        connection.ping(companion)
        pair.run(pair.now + 0.02)
    assert asked[:2] == asked[2:]
    assert set(asked) == {BY_RMNET, RELAY}
