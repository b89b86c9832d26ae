"""The simulator's internet: who reaches whom, when, and what dies on the way."""

import dataclasses
import itertools
from random import Random

import pytest

from p2pquic.core.addresses import LocalAddress, LocalSocket, SocketAddress
from p2pquic.core.errors import UsageError
from p2pquic.lab.access_links import Tally
from p2pquic.lab.catalogue import SCENARIOS, scenario_named
from p2pquic.lab.networks import CELLULAR, WIFI, Host, Interface, Link, Topology
from p2pquic.lab.scenarios import FRAME_CADENCE, timeline
from p2pquic.lab.virtual_internet import HEADERS, Arrival, VirtualInternet

MOVER = LocalSocket("192.168.1.2", 5000, "wlan0")
OTHER = LocalSocket("192.168.3.2", 6000, "eth0")
SERVER = LocalSocket("198.51.100.4", 443, "eth0")
MOVER_PUBLIC = SocketAddress("198.51.100.1", 5000)
OTHER_PUBLIC = SocketAddress("198.51.100.3", 6000)
WLAN0 = Link("mover", "wlan0")
SERVER_LINK = Link("server", "eth0")


def internet(wifi: Interface = WIFI, seed: int = 7) -> VirtualInternet:
    topology = Topology(mover=Host("mover", (wifi, CELLULAR)))
    return VirtualInternet(topology, topology.interfaces, Random(seed))


def all_arrivals(world: VirtualInternet) -> list[tuple[float, Arrival]]:
    arrivals = []
    while (now := world.next_time) is not None:
        arrivals += [(now, arrival) for arrival in world.deliver(now)]
    return arrivals


def test_a_packet_takes_the_sum_of_both_access_delays_and_arrives_from_the_nat() -> None:
    world = internet()
    world.send("mover", MOVER, SERVER.address, b"hello", now=1.0)
    assert world.deliver(1.0149) == []
    (arrival,) = world.deliver(1.0151)
    assert arrival == Arrival("server", SERVER, MOVER_PUBLIC, b"hello")


def test_an_answer_comes_back_through_the_nat() -> None:
    world = internet()
    world.send("mover", MOVER, SERVER.address, b"hello", now=0.0)
    all_arrivals(world)
    world.send("server", SERVER, MOVER_PUBLIC, b"answer", now=0.1)
    ((_, arrival),) = all_arrivals(world)
    assert arrival == Arrival("mover", MOVER, SERVER.address, b"answer")


def test_two_peers_punch_through_when_both_send_before_either_hears() -> None:
    world = internet()
    world.send("mover", MOVER, OTHER_PUBLIC, b"punch", now=0.000)
    world.send("other", OTHER, MOVER_PUBLIC, b"punch", now=0.005)
    assert {arrival.host for _, arrival in all_arrivals(world)} == {"mover", "other"}


def test_the_first_punch_dies_at_a_nat_that_has_not_sent_yet() -> None:
    world = internet()
    world.send("mover", MOVER, OTHER_PUBLIC, b"early", now=0.0)
    assert all_arrivals(world) == []
    world.send("other", OTHER, MOVER_PUBLIC, b"later", now=0.025)
    assert [arrival.host for _, arrival in all_arrivals(world)] == ["mover"]
    assert world.tallies[Tally(WLAN0, Link("other", "eth0"), "refused")] == 1


def test_a_packet_sent_before_its_interface_died_travels_on() -> None:
    world = internet()
    world.send("mover", MOVER, SERVER.address, b"last words", now=0.0)
    world.interface_down(WLAN0)
    assert len(all_arrivals(world)) == 1


def test_a_packet_that_arrives_at_a_dead_interface_dies() -> None:
    world = internet()
    world.send("mover", MOVER, SERVER.address, b"hello", now=0.0)
    world.send("server", SERVER, MOVER_PUBLIC, b"too late", now=0.0)
    world.interface_down(WLAN0)
    assert [arrival.host for _, arrival in all_arrivals(world)] == ["server"]
    assert world.tallies[Tally(SERVER_LINK, WLAN0, "dead")] == 1


def test_a_link_that_dies_swallows_what_is_in_the_air_either_way_and_recovers() -> None:
    world = internet()
    world.send("mover", MOVER, SERVER.address, b"in the air", now=0.0)
    world.send("server", SERVER, MOVER_PUBLIC, b"in the air", now=0.0)
    world.links.link_dies(WLAN0)
    world.send("mover", MOVER, SERVER.address, b"never", now=0.001)
    assert all_arrivals(world) == []
    assert world.tallies[Tally(WLAN0, SERVER_LINK, "swallowed")] == 2
    assert world.tallies[Tally(SERVER_LINK, WLAN0, "swallowed")] == 1
    assert len(world.local_addresses("mover")) == 2, "no kernel notices"
    world.links.link_recovers(WLAN0)
    world.send("mover", MOVER, SERVER.address, b"again", now=1.0)
    assert [arrival.data for _, arrival in all_arrivals(world)] == [b"again"]


def test_a_way_dies_in_one_direction_and_to_one_link_only() -> None:
    world = internet()
    world.links.way_dies(WLAN0, SERVER_LINK)
    world.send("mover", MOVER, SERVER.address, b"swallowed", now=0.0)
    world.send("mover", MOVER, OTHER_PUBLIC, b"elsewhere", now=0.0)
    world.send("server", SERVER, MOVER_PUBLIC, b"back", now=0.0)
    world.send("other", OTHER, MOVER_PUBLIC, b"punch", now=0.0)
    assert {arrival.host for _, arrival in all_arrivals(world)} == {"mover", "other"}
    assert world.tallies[Tally(WLAN0, SERVER_LINK, "swallowed")] == 1
    world.links.way_recovers(WLAN0, SERVER_LINK)
    world.send("mover", MOVER, SERVER.address, b"again", now=1.0)
    assert [arrival.host for _, arrival in all_arrivals(world)] == ["server"]


def test_the_home_router_still_knows_us_when_wifi_returns() -> None:
    world = internet()
    world.send("mover", MOVER, SERVER.address, b"hello", now=0.0)
    world.interface_down(WLAN0)
    world.interface_up(WLAN0)
    all_arrivals(world)
    world.send("server", SERVER, MOVER_PUBLIC, b"still there?", now=1.0)
    ((_, arrival),) = all_arrivals(world)
    assert arrival.local == MOVER


def test_a_host_knows_the_addresses_of_its_interfaces_that_are_up_preferred_first() -> None:
    world = internet()
    wifi, cellular = (LocalAddress("192.168.1.2", "wlan0"), LocalAddress("192.168.2.2", "rmnet0"))
    assert world.local_addresses("mover") == (wifi, cellular)
    world.interface_down(WLAN0)
    assert world.local_addresses("mover") == (cellular,)


def test_a_packet_to_nowhere_or_to_a_private_address_is_counted_and_dropped() -> None:
    world = internet()
    world.send("mover", MOVER, OTHER.address, b"hello", now=0.0)
    assert all_arrivals(world) == []
    assert world.tallies[Tally(WLAN0, None, "unroutable")] == 1


def test_a_nat_does_not_hairpin() -> None:
    world = internet()
    world.send("mover", MOVER, MOVER_PUBLIC, b"to myself", now=0.0)
    assert all_arrivals(world) == []


def test_sending_from_an_address_the_host_does_not_have_is_our_mistake() -> None:
    with pytest.raises(UsageError, match=r"no address 10\.0\.0\.1 on wlan0"):
        internet().send("mover", LocalSocket("10.0.0.1", 1, "wlan0"), OTHER_PUBLIC, b"", now=0.0)


def test_packets_keep_their_order_unless_jitter_is_asked_for() -> None:
    def order(world: VirtualInternet) -> list[bytes]:
        for number in range(100):
            world.send("mover", MOVER, SERVER.address, bytes([number]), now=number / 1000)
        return [arrival.data for _, arrival in all_arrivals(world)]

    steady = order(internet())
    shaken = order(internet(dataclasses.replace(WIFI, jitter=0.020)))
    assert steady == sorted(steady)
    assert shaken != steady
    assert sorted(shaken) == steady


def test_jitter_only_ever_delays() -> None:
    world = internet(dataclasses.replace(WIFI, jitter=0.020))
    for _ in range(100):
        world.send("mover", MOVER, SERVER.address, b"", now=0.0)
    times = [time for time, _ in all_arrivals(world)]
    assert min(times) >= 0.015
    assert max(times) <= 0.035


def test_loss_takes_its_share_and_the_tallies_add_up() -> None:
    world = internet(dataclasses.replace(WIFI, loss=0.3))
    for _ in range(1000):
        world.send("mover", MOVER, SERVER.address, b"", now=0.0)
    arrived = len(all_arrivals(world))
    assert 650 < arrived < 750
    assert world.tallies == {
        Tally(WLAN0, SERVER_LINK, "sent"): 1000,
        Tally(WLAN0, SERVER_LINK, "lost"): 1000 - arrived,
        Tally(WLAN0, SERVER_LINK, "arrived"): arrived,
    }


def test_the_same_seed_makes_the_same_world() -> None:
    def history(seed: int) -> list[tuple[float, Arrival]]:
        world = internet(dataclasses.replace(WIFI, jitter=0.020, loss=0.3), seed)
        for number in range(50):
            world.send("mover", MOVER, SERVER.address, bytes([number]), now=number / 100)
        return all_arrivals(world)

    assert history(seed=1) == history(seed=1)
    assert history(seed=1) != history(seed=2)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_changes_links_it_has_and_never_to_what_they_already_are(name: str) -> None:
    scenario = scenario_named(name)
    up = set(scenario.links_up)
    assert up <= set(scenario.topology.interfaces)
    for change in timeline(scenario, seed=7):
        assert change.link in scenario.topology.interfaces
        if change.kind in ("interface_down", "interface_up"):
            assert (change.link in up) is (change.kind == "interface_down")
            up ^= {change.link}
        else:
            assert change.link in up


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_moves_of_a_scenario_do_not_overlap(name: str) -> None:
    scenario = scenario_named(name)
    for earlier, later in itertools.pairwise(scenario.moves):
        end = earlier.after + max(change.at for change in earlier.changes) + FRAME_CADENCE
        assert end <= later.after


def test_two_hosts_that_move_at_once_do_so_at_phases_of_their_own() -> None:
    changes = timeline(scenario_named("both-move"), seed=7)
    begin = {change.host: change.at for change in changes if change.kind == "interface_down"}
    end = {change.host: change.at for change in changes if change.kind == "interface_up"}
    assert 0 < abs(begin["mover"] - begin["other"]) < FRAME_CADENCE
    assert all(end[host] - begin[host] == pytest.approx(0.5) for host in begin)


def test_a_move_begins_at_a_random_phase_and_keeps_its_outage() -> None:
    scenario = scenario_named("break-before-make")
    begins = []
    for seed in range(100):
        down, up = timeline(scenario, seed)
        assert up.at - down.at == pytest.approx(0.5)
        begins.append(down.at)
    assert min(begins) < 0.2 * FRAME_CADENCE
    assert max(begins) > 0.8 * FRAME_CADENCE


def test_an_unknown_scenario_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="break-before-make"):
        scenario_named("teleport")


def flood(
    seconds: float, per_second: int, payload: bytes
) -> tuple[VirtualInternet, list[tuple[float, float]]]:
    """Send at a steady pace over a Wi-Fi of 1 Mbit/s; gives when each left and came."""
    world = internet(dataclasses.replace(WIFI, rate=1e6, queue=0.1))
    sent = {n: n / per_second for n in range(round(seconds * per_second))}
    for number, time in sent.items():
        world.send("mover", MOVER, SERVER.address, number.to_bytes(4, "big") + payload, time)
    came = all_arrivals(world)
    return world, [(sent[int.from_bytes(each.data[:4], "big")], time) for time, each in came]


def test_a_link_with_a_rate_carries_no_more_than_that_and_drops_the_rest() -> None:
    payload = bytes(1250 - HEADERS - 4)  # 10 kbit with its headers: a hundred in a second
    world, came = flood(3.0, 200, payload)
    assert len([time for _, time in came if 1.0 <= time < 2.0]) == pytest.approx(100, abs=1)
    dropped = world.tallies[Tally(WLAN0, SERVER_LINK, "dropped")]
    assert dropped == 600 - len(came)
    assert 280 <= dropped <= 295  # 300 less what fits into the line


def test_a_full_line_makes_a_packet_wait_for_as_long_as_it_is_and_no_longer() -> None:
    _, came = flood(3.0, 200, bytes(1250 - HEADERS - 4))
    assert came[0][1] - came[0][0] == pytest.approx(0.015 + 0.010)  # delays, and its own time
    waits = [time - left for left, time in came if left > 1.0]
    assert max(waits) == pytest.approx(0.015 + 0.010 + 0.100, abs=0.006)
    assert min(waits) > 0.1


def test_a_link_with_a_rate_drops_nobody_who_keeps_to_it() -> None:
    _, came = flood(3.0, 99, bytes(1250 - HEADERS - 4))
    assert len(came) == 297
    assert max(time - left for left, time in came) == pytest.approx(0.025)


def test_packets_from_two_ends_stand_in_one_line_before_a_slow_link() -> None:
    """In the order in which they get there, not in that in which they left."""
    world = internet(dataclasses.replace(WIFI, rate=1e6))
    world.send("mover", MOVER, SERVER.address, b"here I am", 0.0)
    world.send("mover", MOVER, OTHER_PUBLIC, b"here I am", 0.0)
    world.send("other", OTHER, MOVER_PUBLIC, b"", 0.0)
    all_arrivals(world)
    packet = bytes(1250 - HEADERS)
    world.send("other", OTHER, MOVER_PUBLIC, packet, 1.000)  # there after 10 ms
    world.send("server", SERVER, MOVER_PUBLIC, packet, 1.001)  # there after 5 ms
    (first, by_server), (second, by_other) = all_arrivals(world)
    assert (by_server.remote, by_other.remote) == (SERVER.address, OTHER_PUBLIC)
    assert first == pytest.approx(1.001 + 0.015 + 0.010)
    assert second == pytest.approx(1.001 + 0.015 + 0.020)
