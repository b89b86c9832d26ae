"""The lab's world keeps its promises: delays, changes as a machine makes them, nothing left over.

Run as root these tests use root; run as anybody else they use a user namespace.
"""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from p2pquic.core.addresses import SocketAddress
from p2pquic.core.errors import MissingRequirementError, UsageError
from p2pquic.lab.internet import Report
from p2pquic.lab.namespaces import CommandFailedError, Namespace, gain_rights
from p2pquic.lab.networks import HOME, WIFI, Host, Link, Nat, Topology
from p2pquic.lab.topology import KernelWorld

pytestmark = [pytest.mark.lab, pytest.mark.slow]

TOPOLOGY = Topology()
WIFI_LINK = Link("mover", "wlan0")
CELLULAR_LINK = Link("mover", "rmnet0")
SERVER_LINK = Link("server", "eth0")
SERVER = SocketAddress("198.51.100.4", 443)
PATIENCE = 5.0  # seconds for what the kernel does by itself, far more than it takes
TOLERANCE = 0.005  # seconds; on an idle machine half a millisecond is kept


@pytest.fixture(scope="module", autouse=True)
def rights() -> None:
    gain_rights()


@pytest.fixture
def world() -> Iterator[KernelWorld]:
    links_up = set(TOPOLOGY.interfaces) - {CELLULAR_LINK}
    with KernelWorld(TOPOLOGY, links_up, seed=7) as world:
        yield world


def open_socket(machine: Namespace, port: int = 0) -> socket.socket:
    udp = machine.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    udp.bind(("0.0.0.0", port))
    udp.settimeout(PATIENCE)
    return udp


def packets(report: Report, source: Link, target: Link, fate: str) -> int:
    wanted = (str(source), str(target), fate)
    return sum(
        each.packets for each in report.packets if (each.source, each.target, each.fate) == wanted
    )


def wait_for_end(pid: int) -> bool:
    """Whether the process ends in time; True also if it has ended already."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return select.select([descriptor], [], [], PATIENCE)[0] == [descriptor]
    finally:
        os.close(descriptor)


def children() -> set[int]:
    """The processes this one has started and not yet buried."""
    return set(map(int, Path("/proc/thread-self/children").read_text().split()))


def test_a_packet_takes_the_delay_of_both_links_and_never_less(world: KernelWorld) -> None:
    with (
        closing(open_socket(world.host("mover"))) as mover,
        closing(open_socket(world.host("server"), SERVER.port)) as server,
    ):
        there, back = [], []
        for _ in range(20):
            sent = time.monotonic()
            mover.sendto(b"there", SERVER)
            _, sender = server.recvfrom(10)
            answered = time.monotonic()
            server.sendto(b"back", sender)
            mover.recvfrom(10)
            there.append(answered - sent)
            back.append(time.monotonic() - answered)
    for delays in (there, back):
        assert min(delays) >= 0.015
        assert statistics.median(delays) < 0.015 + TOLERANCE


def test_the_internet_counts_what_it_carries_and_how_late(world: KernelWorld) -> None:
    with (
        closing(open_socket(world.host("mover"))) as mover,
        closing(open_socket(world.host("server"), SERVER.port)) as server,
    ):
        for _ in range(3):
            mover.sendto(b"x", SERVER)
            server.recvfrom(10)
    report = world.report()
    assert packets(report, WIFI_LINK, SERVER_LINK, "sent") == 3
    assert packets(report, WIFI_LINK, SERVER_LINK, "arrived") == 3
    assert 0 < report.late_median_ms <= report.late_p99_ms <= report.late_maximum_ms


def test_an_interface_goes_and_comes_as_on_a_real_machine(world: KernelWorld) -> None:
    machine = world.host("mover")

    def routes() -> list[str]:
        return [" ".join(line.split()) for line in machine.run(["ip", "route"]).splitlines()]

    assert "default via 192.168.1.1 dev wlan0 metric 600" in routes()
    lost = world.interface_down(WIFI_LINK)
    assert routes() == []
    assert "192.168.1.2" not in machine.run(["ip", "address"])
    found = world.interface_up(CELLULAR_LINK)
    assert "default via 192.168.2.1 dev rmnet0 metric 700" in routes()
    assert lost.start <= lost.end <= found.start <= found.end


def test_a_change_is_over_in_some_milliseconds(world: KernelWorld) -> None:
    spans = []
    for _ in range(10):
        spans += [world.interface_down(WIFI_LINK), world.interface_up(WIFI_LINK)]
    assert statistics.median(span.end - span.start for span in spans) < 0.010


def test_a_new_interface_carries_the_very_next_packet(world: KernelWorld) -> None:
    with (
        closing(open_socket(world.host("mover"))) as mover,
        closing(open_socket(world.host("server"), SERVER.port)) as server,
    ):
        world.interface_down(WIFI_LINK)
        with pytest.raises(OSError, match="unreachable"):
            mover.sendto(b"no way out", SERVER)
        world.interface_up(CELLULAR_LINK)
        mover.sendto(b"new way out", SERVER)
        data, sender = server.recvfrom(20)
    assert data == b"new way out"
    assert sender[0] == TOPOLOGY.accesses[CELLULAR_LINK].public


@pytest.mark.slow
def test_an_interface_that_comes_back_carries_the_very_next_packet(world: KernelWorld) -> None:
    with (
        closing(open_socket(world.host("mover"))) as mover,
        closing(open_socket(world.host("server"), SERVER.port)) as server,
    ):
        server.settimeout(0.5)  # seconds; a lost question for the gateway is asked again after one
        for number in range(30):
            world.interface_down(WIFI_LINK)
            world.interface_up(WIFI_LINK)
            mover.sendto(bytes([number]), SERVER)
            data, _ = server.recvfrom(20)
            assert data == bytes([number])


def test_what_is_on_its_way_to_a_dead_interface_dies_and_is_counted() -> None:
    far, farther = dataclasses.replace(WIFI, delay=0.2), dataclasses.replace(HOME, delay=0.3)
    topology = Topology(mover=Host("mover", (far,)), other=Host("other", (farther,)))
    server_at = SocketAddress(topology.accesses[SERVER_LINK].public, SERVER.port)
    with (
        KernelWorld(topology, topology.interfaces, seed=7) as world,
        closing(open_socket(world.host("mover"))) as mover,
        closing(open_socket(world.host("other"))) as other,
        closing(open_socket(world.host("server"), SERVER.port)) as server,
    ):
        mover.sendto(b"x", server_at)
        _, sender = server.recvfrom(10)
        server.sendto(b"too late", sender)
        world.interface_down(WIFI_LINK)
        other.sendto(b"a longer way, begun later", server_at)
        server.recvfrom(50)
        assert packets(world.report(), SERVER_LINK, WIFI_LINK, "dead") == 1


def test_a_world_leaves_no_process_behind_even_when_the_run_fails() -> None:
    before = children()
    try:
        with KernelWorld(TOPOLOGY, TOPOLOGY.interfaces, seed=7) as world:
            assert children() > before
            world.host("mover").run(["false"])
    except CommandFailedError:
        assert children() == before
    else:
        pytest.fail("the failure was swallowed")


def test_a_world_that_cannot_be_built_leaves_nothing_behind() -> None:
    odd = Nat("address-dependent", "address-dependent")
    topology = Topology(other=Host("other", (dataclasses.replace(WIFI, nat=odd),)))
    before = children(), len(os.listdir("/proc/self/fd"))
    with pytest.raises(UsageError, match="the simulator can"):
        KernelWorld(topology, topology.interfaces, seed=7)
    assert (children(), len(os.listdir("/proc/self/fd"))) == before


def test_nothing_outlives_a_runner_that_was_killed() -> None:
    script = """
import select
from p2pquic.lab.networks import Topology
from p2pquic.lab.topology import KernelWorld
world = KernelWorld(Topology(), Topology().interfaces, seed=7)
world.host("mover").start(["cat", "/dev/zero"], stdout=-3)
print("ready", flush=True)
select.select([], [], [])
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == b"ready\n"
        tasks = Path(f"/proc/{runner.pid}/task/{runner.pid}/children")
        started = [int(pid) for pid in tasks.read_text().split()]
        runner.send_signal(signal.SIGKILL)
    assert len(started) == 5  # the internet, `cat`, and an armed `ip` per host
    assert all(wait_for_end(pid) for pid in started)


def test_the_lab_does_not_move_this_process_into_another_namespace(world: KernelWorld) -> None:
    ours = os.readlink("/proc/self/ns/net")
    theirs = world.host("mover").call(lambda: os.readlink("/proc/thread-self/ns/net"))
    assert theirs != ours
    assert os.readlink("/proc/thread-self/ns/net") == ours


def test_a_command_that_fails_says_where_and_why(world: KernelWorld) -> None:
    with pytest.raises(
        CommandFailedError, match=r"ip link show nowhere failed in mover: .*nowhere"
    ):
        world.host("mover").run(["ip", "link", "show", "nowhere"])


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda program: None if program == "ip" else program)
    with pytest.raises(MissingRequirementError, match=r"`ip`; install the package iproute2"):
        KernelWorld(TOPOLOGY, TOPOLOGY.interfaces, seed=7)
