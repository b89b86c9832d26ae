"""The stages of doubt about a path that dies, over two real connections in virtual time."""

from __future__ import annotations

import itertools
import math

import pytest

from p2pquic.core.liveness import (
    DEATH,
    LEAST_MARGIN,
    MISSING_FRAMES,
    SETTLING,
    SILENCE_MARGIN,
    STANDBY_LIMIT,
)
from p2pquic.session.pair_liveness import Health, PairLiveness
from tests.quic.pair import FRAME, End, Pair, direct, relay

A, B = "10.0.0.1", "10.0.0.2"
WLAN, HOME = direct(A, B), direct(B, A)
DELAY = 0.02  # seconds one way
STEP = 0.001  # seconds between two looks
WARM = SETTLING + 1.0  # seconds of a call after which every answer is usual


class Watch:
    """A call on a direct path beside the relay; the client's doubts about it, and when."""

    def __init__(self, *, sends: bool = True, hears: bool = True) -> None:
        self.pair = Pair()
        self.sends, self.hears = sends, hears
        for end in (self.pair.client, self.pair.server):
            end.connection.acknowledge_within(FRAME)
        self.pair.join(WLAN, HOME, DELAY)
        connection = self.pair.client.connection
        assert connection.open_path(WLAN, proven_rtt=2 * DELAY, now=self.pair.now)
        connection.challenge(WLAN)
        self.pair.run(self.pair.now + 0.2)
        connection.select(WLAN)
        self.liveness = PairLiveness(connection)
        self.liveness.chosen(self.pair.now)
        self.turns: list[tuple[Health, float]] = []
        self._frames = 0

    def run(self, seconds: float) -> None:
        """Audio every 20 ms; a look every millisecond."""
        for _ in range(round(seconds / STEP)):
            if self._frames % round(FRAME / STEP) == 0:
                self._speak()
            self._frames += 1
            self.pair.run(self.pair.now + STEP)
            if self.liveness.look(self.pair.now, cadence=self.hears):
                self.turns.append((self.liveness.health, self.pair.now))

    @property
    def stages(self) -> list[Health]:
        """What became of the path; a second doubt on top of the first is still doubt."""
        return [health for health, _ in itertools.groupby(health for health, _ in self.turns)]

    def when(self, stage: Health) -> list[float]:
        return [at for health, at in self.turns if health is stage]

    def _speak(self) -> None:
        speakers: list[End] = [self.pair.client] if self.sends else []
        speakers += [self.pair.server] if self.hears else []
        for end in speakers:
            path = end.connection.selected
            assert path is not None
            end.connection.send_datagram(bytes(172), self._frames, path, self.pair.now)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sends", "hears"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_a_path_that_works_is_never_doubted(sends: bool, hears: bool) -> None:
    watch = Watch(sends=sends, hears=hears)
    watch.run(4.0)
    assert watch.turns == []
    assert watch.liveness.doubted_since is None


@pytest.mark.slow
def test_a_path_that_dies_is_doubted_soon_then_lastingly_then_dead() -> None:
    watch = Watch()
    watch.run(WARM)
    watch.pair.cut_both(WLAN)
    cut = watch.pair.now
    watch.run(1.0)
    assert watch.stages == [Health.DOUBTED, Health.LASTING, Health.DEAD]
    (lasting,), (dead,) = watch.when(Health.LASTING), watch.when(Health.DEAD)
    doubted = watch.when(Health.DOUBTED)
    silent = DELAY + MISSING_FRAMES * FRAME + SILENCE_MARGIN
    unanswered = FRAME + 2 * DELAY + FRAME + LEAST_MARGIN
    assert doubted[0] - cut <= min(silent, unanswered) + 2 * STEP
    assert lasting - doubted[-1] == pytest.approx(STANDBY_LIMIT, abs=1.5 * STEP)
    assert dead - doubted[-1] == pytest.approx(DEATH, abs=1.5 * STEP)
    assert watch.liveness.doubted_since == doubted[-1]


@pytest.mark.slow
def test_the_deadline_says_when_each_stage_begins() -> None:
    watch = Watch(hears=False)
    watch.run(WARM)
    watch.pair.cut_both(WLAN)
    foretold = []
    while (at := watch.liveness.deadline(cadence=False)) < math.inf:
        foretold.append(at)
        assert not watch.liveness.look(at - STEP / 10, cadence=False)
        assert watch.liveness.look(at, cadence=False)
    assert watch.liveness.health is Health.DEAD
    doubted = watch.liveness.doubted_since
    assert doubted is not None
    assert foretold[-3:] == [doubted, doubted + STANDBY_LIMIT, doubted + DEATH]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("silence", "stages"),
    [
        (0.060, [Health.DOUBTED, Health.LIVES]),
        (0.170, [Health.DOUBTED, Health.LASTING, Health.LIVES]),
        (0.600, [Health.DOUBTED, Health.LASTING, Health.DEAD, Health.LIVES]),
    ],
)
def test_an_answer_ends_every_stage_of_doubt(silence: float, stages: list[Health]) -> None:
    watch = Watch()
    watch.run(WARM)
    watch.pair.cut_both(WLAN)
    watch.run(silence)
    watch.pair.join(WLAN, HOME, DELAY)
    watch.run(0.2)
    assert watch.stages == stages
    assert watch.liveness.doubted_since is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sends", "hears"),
    [
        pytest.param(True, False, id="nothing is acknowledged"),
        pytest.param(False, True, id="nothing is heard"),
    ],
)
def test_who_only_sends_misses_answers_and_who_only_hears_misses_audio(
    sends: bool, hears: bool
) -> None:
    watch = Watch(sends=sends, hears=hears)
    watch.run(WARM)
    watch.pair.cut_both(WLAN)
    watch.run(0.12)
    assert watch.stages == [Health.DOUBTED]


@pytest.mark.slow
def test_who_neither_sends_nor_hears_audio_has_nothing_to_doubt_a_dead_path_by() -> None:
    watch = Watch(sends=False, hears=False)
    watch.run(WARM)
    watch.pair.cut_both(WLAN)
    watch.run(1.0)
    assert watch.turns == []
    assert watch.liveness.deadline(cadence=False) == math.inf


@pytest.mark.slow
def test_an_end_that_speaks_beside_the_selected_path_misses_us_on_it() -> None:
    watch = Watch(sends=False, hears=False)
    watch.run(WARM)
    watch.pair.cut_both(WLAN)
    watch.pair.server.connection.ping(relay())
    watch.pair.step(watch.pair.server)
    watch.run(0.2)
    assert watch.stages[:1] == [Health.DOUBTED]


@pytest.mark.slow
@pytest.mark.parametrize("dead_way", ["there", "back"])
def test_one_direction_dead_is_doubted_by_one_end_at_least(dead_way: str) -> None:
    watch = Watch()
    theirs = PairLiveness(watch.pair.server.connection)
    theirs.chosen(watch.pair.now)
    watch.run(WARM)
    if dead_way == "there":
        watch.pair.cut(watch.pair.client, WLAN)
    else:
        watch.pair.cut(watch.pair.server, HOME)
    watch.run(0.12)
    theirs.look(watch.pair.now, cadence=True)
    assert Health.DOUBTED in (watch.liveness.health, theirs.health)


@pytest.mark.slow
def test_choosing_another_path_ends_the_doubt_and_gives_the_new_one_time() -> None:
    watch = Watch()
    watch.run(WARM)
    watch.pair.cut_both(WLAN)
    watch.run(0.12)
    assert watch.liveness.health is Health.DOUBTED
    watch.pair.client.connection.select(relay())
    watch.liveness.chosen(watch.pair.now)
    assert watch.liveness.doubted_since is None
    watch.run(1.0)
    assert watch.stages == [Health.DOUBTED], "the relay answers"
