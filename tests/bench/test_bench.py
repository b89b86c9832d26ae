"""Every benchmark at a hundredth of its size: the table is whole, and what is odd is said."""

from __future__ import annotations

import pytest

from p2pquic.bench.command import BENCHMARKS, run_bench
from p2pquic.bench.measuring import Benchmark, measure
from p2pquic.bench.processes import call_cost
from p2pquic.cli import main
from p2pquic.core.errors import MissingRequirementError, UsageError


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name != "processes"])
def test_a_group_prints_each_of_its_rows(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", name, "--repeats", "1", "--scale", "0.01"]) == 0
    printed = capsys.readouterr().out
    for benchmark in BENCHMARKS[name]:
        assert benchmark.what in printed
        assert benchmark.unit in printed
    assert "not measured" not in printed
    assert "1 repeats on" in printed


@pytest.mark.slow
def test_a_call_of_real_processes_costs_something() -> None:
    cost = call_cost(seconds=1)
    assert 0 < cost.peer < 100
    assert 0 <= cost.programs < 100


def test_rivals_take_turns_after_a_warm_up_that_does_not_count() -> None:
    order: list[str] = []

    def once(name: str, count: int) -> float:
        order.append(name)
        return float(count)

    rows = [Benchmark(name, "units", lambda n, name=name: once(name, n), 50) for name in "ab"]  # type: ignore[misc]
    results = measure(rows, repeats=2, scale=1.0)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert [result.figures for result in results] == [(50.0, 50.0), (50.0, 50.0)]
    assert results[0].median == 50.0


def test_what_this_machine_lacks_is_said_in_the_row() -> None:
    def once(_: int) -> float:
        raise MissingRequirementError("no such thing here")

    (result,) = measure([Benchmark("a", "units", once, 1)], repeats=2, scale=1.0)
    assert result.figures == ()
    assert result.missing == "no such thing here"


@pytest.mark.parametrize(
    ("names", "repeats", "scale", "sentence"),
    [
        (["speed"], 5, 1.0, "There is no benchmark 'speed'"),
        ([], 0, 1.0, "--repeats is at least 1"),
        ([], 5, 0.0, "--scale above 0"),
    ],
)
def test_a_wrong_wish_is_answered_with_a_sentence(
    names: list[str], repeats: int, scale: float, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        run_bench(names, repeats=repeats, scale=scale)
