"""Files through moves: how their rate is judged, and what it is in both worlds."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pquic.core.trace import Entry, PathSelected
from p2pquic.lab import virtual_transfer
from p2pquic.lab.changes import ChangeMade
from p2pquic.lab.networks import MOVER
from p2pquic.lab.scenarios import ChangeKind
from p2pquic.lab.transfers import Plan, Transfer, possible_bytes


def selected(at: float, interface: str) -> Entry:
    local = f"192.168.1.2:40000%{interface}"
    return Entry(at, PathSelected(interface, "direct", local, "198.51.100.3:1", "", "other"))


def changed(at: float, kind: ChangeKind, interface: str) -> ChangeMade:
    return ChangeMade(kind, MOVER, interface, at, at, 0.0)


def megabits(trace: list[Entry], changes: list[ChangeMade], ended: float = 10.0) -> float:
    return possible_bytes(trace, changes, 0.0, ended) * 8 / 1e6


def test_a_path_could_carry_its_rate_for_as_long_as_it_was_in_use() -> None:
    assert megabits([selected(-1.0, "wlan0")], []) == pytest.approx(200)
    assert megabits([selected(-1.0, "wlan0")], [], ended=2.5) == pytest.approx(50)


def test_without_an_address_nothing_could_be_carried() -> None:
    changes = [changed(4.0, "interface_down", "wlan0"), changed(4.5, "interface_up", "rmnet0")]
    trace = [selected(-1.0, "wlan0"), selected(4.5, "rmnet0")]
    assert megabits(trace, changes) == pytest.approx(80 + 55)


def test_who_takes_long_to_take_the_only_path_is_not_excused() -> None:
    changes = [changed(4.0, "interface_down", "wlan0"), changed(4.5, "interface_up", "rmnet0")]
    trace = [selected(-1.0, "wlan0"), selected(9.0, "rmnet0")]
    assert megabits(trace, changes) == pytest.approx(80 + 55)


def test_a_faster_interface_that_stands_by_does_not_count() -> None:
    changes = [
        changed(0.0, "interface_up", "rmnet0"),
        changed(2.0, "interface_down", "wlan0"),
        changed(5.0, "interface_up", "wlan0"),
    ]
    trace = [selected(-1.0, "wlan0"), selected(2.0, "rmnet0"), selected(7.0, "wlan0")]
    assert megabits(trace, changes) == pytest.approx(40 + 50 + 60)


def test_a_damaged_file_is_not_good_however_fast_it_came() -> None:
    assert Transfer(100, 0.0, 1.0, possible=120.0, is_identical=True).is_good
    assert not Transfer(100, 0.0, 1.0, possible=120.0, is_identical=False).is_good
    assert not Transfer(100, 0.0, 1.0, possible=200.0, is_identical=True).is_good


@pytest.mark.slow
def test_in_virtual_time_a_file_moves_twice_and_audio_beside_it_is_heard() -> None:
    transfer, audio = virtual_transfer.run(Plan(4_000_000, moves=2, every=0.8, manner="make"), 1)
    assert transfer.is_identical
    assert transfer.share > 0.8
    assert max(heard.longest_gap for heard in audio.values()) < 130.0  # milliseconds
    assert not any(heard.missing for heard in audio.values())


@pytest.mark.slow
def test_a_path_that_bulk_makes_look_slow_is_not_left_for_one_that_stands_by() -> None:
    """Both interfaces are up; the slower one is idle, and so its round trip is the shorter."""
    transfer, audio = virtual_transfer.run(Plan(4_000_000, moves=0), 2, both_up=True)
    assert transfer.share > 0.8  # 71 % when it is
    assert max(heard.longest_gap for heard in audio.values()) < 60.0


@pytest.mark.lab
@pytest.mark.slow
def test_on_real_kernels_a_file_comes_whole_through_two_moves(tmp_path: Path) -> None:
    from p2pquic.lab import kernel_transfer
    from p2pquic.lab.namespaces import gain_rights

    gain_rights()
    measured = kernel_transfer.run(Plan(5_000_000, moves=2, every=1.0), 1, tmp_path)
    assert measured.transfer.is_identical
    assert measured.transfer.share > 0.4  # 75 to 80 % on a machine that has time
