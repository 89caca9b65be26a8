"""The jitter buffer on bad links, by simulated time: order, loss, delay, drift, jumps."""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firmware.wire.conceal import RepeatAndFade
from firmware.wire.jitter import Gap, JitterBuffer, JitterSettings, Playout


@dataclass
class Link:
    """A far end that sends a numbered frame each 20 ms, a network, and an ear."""

    seed: int
    loss: float = 0.0
    jitter_ms: float = 0.0
    duplication: float = 0.0
    drift: float = 0.0
    """The far end's clock is faster by this share."""
    settings: JitterSettings = field(default_factory=lambda: JitterSettings(late_aim=0.02))
    played: list[int] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    waits_ms: list[float] = field(default_factory=list)

    def run(self, seconds: float) -> JitterBuffer[int]:
        rng = random.Random(self.seed)
        buffer: JitterBuffer[int] = JitterBuffer(self.settings)
        steps: list[tuple[float, int, int]] = []
        sent_ms: dict[int, float] = {}
        for number in range(int(seconds * 50)):
            at_ms = sent_ms[number] = 5_000 + number * 20 / (1 + self.drift)
            if rng.random() < self.loss:
                continue
            copies = 2 if rng.random() < self.duplication else 1
            steps += [
                (at_ms + 30 + rng.random() * self.jitter_ms, 0, number) for _ in range(copies)
            ]
        steps += [(5_003.0 + read * 20, 1, 0) for read in range(int(seconds * 50))]
        for at_ms, reads, number in sorted(steps):
            if not reads:
                buffer.put(70_000 + number * 20, number, at_ms / 1000)
                continue
            found = buffer.get(at_ms / 1000)
            if isinstance(found, Gap):
                self.gaps.append(found)
            else:
                self.played.append(found)
                self.waits_ms.append(at_ms - sent_ms[found])
        return buffer


def test_a_clean_link_loses_nothing_and_waits_little() -> None:
    link = Link(1)
    buffer = link.run(30)
    assert link.played == list(range(link.played[-1] + 1))
    assert Gap.LOST not in link.gaps
    assert max(link.waits_ms) <= 30 + 20 + 20
    assert buffer.statistics.lost == 0
    assert buffer.statistics.jitter_ms < 1


@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize("loss", [0.05, 0.2])
def test_a_bad_link_loses_little_more_than_the_network_does(seed: int, loss: float) -> None:
    """Given 300 ms jitter, loss, duplicates and drift, then order, bounds and aim are kept."""
    link = Link(seed, loss, 300, 0.1, 200e-6)
    buffer = link.run(120)
    statistics = buffer.statistics
    assert link.played == sorted(set(link.played)), f"seed {seed}: order, at most once"
    late = statistics.late / statistics.received
    assert late < link.settings.late_aim * 1.25, f"seed {seed}: {statistics}"
    assert max(link.waits_ms) <= 30 + link.settings.max_ms + 3 * 20
    settled = link.waits_ms[500:]
    assert sum(settled) / len(settled) < 30 + 300 + 60
    share = len(link.played) / (120 * 50)
    assert share > 1 - loss - link.settings.late_aim * 1.25 - 0.01, f"seed {seed}: {statistics}"
    assert statistics.duplicates > 300
    assert statistics.resyncs == 0


@pytest.mark.parametrize("drift", [200e-6, -200e-6])
def test_drift_is_taken_up_for_an_hour(drift: float) -> None:
    """Given clocks 200 ppm apart, when an hour has passed, then 720 ms of it are not heard."""
    link = Link(3, drift=drift)
    buffer = link.run(3_600)
    corrected = buffer.statistics.dropped if drift > 0 else buffer.statistics.inserted
    assert 30 <= corrected <= 40, buffer.statistics
    assert max(link.waits_ms) < 30 + 100
    assert buffer.statistics.lost == 0


def test_the_delay_grows_at_once_and_shrinks_slowly() -> None:
    buffer: JitterBuffer[int] = JitterBuffer()
    rng = random.Random(4)
    delays = []
    arrivals = []
    for number in range(4_000):
        late = rng.random() * 200 if 500 <= number < 1_000 else 0
        arrivals.append((number * 20 + 10 + late, number))
    arrivals.sort(reverse=True)
    lost_late = []
    for read in range(4_000):
        at_ms = read * 20 + 15.0
        while arrivals and arrivals[-1][0] <= at_ms:
            came_ms, number = arrivals.pop()
            buffer.put(number * 20, number, came_ms / 1000)
        if buffer.get(at_ms / 1000) is Gap.LOST and 550 <= read < 1_000:
            lost_late.append(read)
        delays.append(buffer.statistics.delay_ms)
    assert delays[490] <= 40
    assert 180 <= delays[600] <= 260, "a tenth of the storm, and it is ridden out"
    assert len(lost_late) < 15
    assert delays[1_400] >= 180, "ten seconds are remembered"
    steps = [a - b for a, b in pairwise(delays[1_500:])]
    assert max(steps) <= 21, "one frame at a time"
    assert delays[-1] <= 60


def test_late_frames_are_counted_and_not_played() -> None:
    buffer: JitterBuffer[int] = JitterBuffer()
    heard: list[int | Gap] = []
    for step in range(12):
        now = step * 0.02
        if step != 2:
            buffer.put(step * 20, step, now)
        if step == 6:
            buffer.put(40, 2, now)
        heard.append(buffer.get(now + 0.001))
    assert heard[:7] == [Gap.EMPTY, 0, 1, Gap.LOST, 3, 4, Gap.LOST]
    assert [one for one in heard[7:] if not isinstance(one, Gap)] == [5, 6], "it waits longer now"
    assert buffer.statistics.late == 1
    assert buffer.statistics.lost == 1
    assert buffer.statistics.reordered == 1


def test_a_new_timestamp_origin_is_taken_up_and_a_rogue_frame_is_not() -> None:
    buffer: JitterBuffer[int] = JitterBuffer()
    heard = []
    for number in range(200):
        now = number * 0.02
        origin = 0 if number < 100 else 3_000_000
        buffer.put(origin + number * 20, number, now)
        if number == 50:
            buffer.put(900_000, -1, now)
        heard.append(buffer.get(now + 0.001))
    assert -1 not in heard
    assert heard[60:99] == list(range(heard[60], heard[60] + 39))
    assert heard[-50:] == list(range(heard[-50], heard[-50] + 50))
    assert buffer.statistics.resyncs == 1


def test_a_way_that_becomes_longer_than_the_bound_is_followed() -> None:
    """Given a detour of 700 ms, which no delay covers, then a second later all is heard again."""
    buffer: JitterBuffer[int] = JitterBuffer(JitterSettings(max_ms=200))
    heard = {}
    for step in range(400):
        now = step * 0.02
        for number in (step,) if step < 100 else (step - 35,) if step >= 135 else ():
            buffer.put(number * 20, number, now)
        heard[step] = buffer.get(now + 0.001)
    lost = [step for step in range(160, 400) if isinstance(heard[step], Gap)]
    assert len(lost) < 15, lost


def test_a_pause_of_the_far_end_is_silence_and_no_loss() -> None:
    buffer: JitterBuffer[int] = JitterBuffer()
    heard = []
    for step in range(300):
        now = step * 0.02
        if step < 100 or step >= 200:
            buffer.put(step * 20, step, now)
        heard.append(buffer.get(now + 0.001))
    assert heard[120:200] == [Gap.EMPTY] * 80
    assert heard[210:] == list(range(heard[210], heard[210] + 90))
    assert buffer.statistics.lost == 0


def test_an_ear_that_was_away_for_an_hour_hears_what_is_new() -> None:
    buffer: JitterBuffer[int] = JitterBuffer()
    for number in range(100):
        buffer.put(number * 20, number, number * 0.02)
        buffer.get(number * 0.02)
    heard = []
    for number in range(180_000, 180_050):
        buffer.put(number * 20, number, number * 0.02)
        heard.append(buffer.get(number * 0.02 + 0.001))
    assert heard[-40:] == list(range(heard[-40], heard[-40] + 40))


def test_what_came_before_anybody_listened_is_not_played_late() -> None:
    buffer: JitterBuffer[int] = JitterBuffer()
    for number in range(20):
        buffer.put(number * 20, number, number * 0.02)
    assert buffer.get(0.4) in (17, 18, 19)


def test_frames_pile_up_no_higher_than_the_bound() -> None:
    buffer: JitterBuffer[int] = JitterBuffer(JitterSettings(max_ms=200))
    for number in range(10_000):
        buffer.put(number * 20, number, number * 0.02)
    assert len(buffer) <= 25


_FRAMES = st.tuples(st.booleans(), st.integers(0, 200), st.floats(0, 0.3))


@given(st.lists(_FRAMES, max_size=200), st.integers(20, 300))
def test_whatever_comes_it_goes_out_in_order_and_once(
    steps: list[tuple[bool, int, float]], max_ms: int
) -> None:
    buffer: JitterBuffer[int] = JitterBuffer(JitterSettings(max_ms=max_ms))
    now, played, resyncs = 100.0, -1, 0
    for put, number, later in steps:
        now += later
        if put:
            buffer.put(number * 17, number, now)
        found = buffer.get(now)
        if buffer.statistics.resyncs != resyncs:
            resyncs, played = buffer.statistics.resyncs, -1
        if isinstance(found, Gap):
            continue
        assert found > played
        played = found
        assert buffer.statistics.delay_ms <= max_ms + 1_000 or not len(buffer)


def test_the_last_frame_is_repeated_and_fades() -> None:
    conceal = RepeatAndFade()
    assert not any(conceal.lost())
    loud = array("h", [10_000, -10_000] * 80).tobytes()
    assert conceal.heard(loud) == loud
    peaks = [max(map(abs, array("h", conceal.lost()))) for _ in range(6)]
    assert peaks == [10_000, 7_000, 4_000, 2_000, 0, 0]
    assert conceal.heard(loud) == loud
    assert conceal.lost() == loud


class _Words:
    """Concealment of paper."""

    def heard(self, audio: bytes) -> bytes:
        return audio

    def lost(self) -> bytes:
        return b"concealed"


def test_playout_decodes_and_conceals() -> None:
    buffer: JitterBuffer[str] = JitterBuffer()
    playout = Playout(buffer, lambda frame: frame.encode(), _Words())
    assert playout.frame(0.0) is None
    for number in (0, 2, 3):
        buffer.put(number * 20, f"{number}", number * 0.02)
    assert [playout.frame(0.06 + turn * 0.02) for turn in range(3)] == [b"0", b"concealed", b"2"]


FIXED = JitterSettings(min_ms=120, max_ms=600, resync_ms=2_000, fixed=True)
"""As a fax machine has it."""


@given(seed=st.integers(0, 10_000), jitter_ms=st.floats(0, 95))
@example(seed=2750, jitter_ms=84.0)  # the first frame is the slowest
def test_a_buffer_of_one_length_plays_every_frame_in_turn(seed: int, jitter_ms: float) -> None:
    link = Link(seed, jitter_ms=jitter_ms, settings=FIXED)
    link.run(20)
    assert link.played == list(range(len(link.played)))
    assert len(link.played) >= 20 * 50 - 12
    first = link.waits_ms[0]
    assert all(wait == first for wait in link.waits_ms), "no jump in time, either way"
    assert Gap.LOST not in link.gaps


@pytest.mark.parametrize("drift", [100e-6, -100e-6])
def test_its_delay_goes_with_the_clocks(drift: float) -> None:
    """Two crystals are up to 100 ppm apart: 120 ms in twenty minutes."""
    link = Link(1, jitter_ms=40, drift=drift, settings=FIXED)
    link.run(1_200)
    missing = set(range(link.played[-1])) - set(link.played)
    assert len(missing) <= 1, "one that another overtook just when the buffer ran dry"
    assert link.played == sorted(link.played)
    steps = [abs(later - before) for before, later in pairwise(link.waits_ms)]
    assert sum(step > 5 for step in steps) <= 5, "a page may be cut where the buffer runs dry"
    assert max(link.waits_ms) < 300


def test_a_buffer_of_one_length_conceals_what_is_lost_and_keeps_time() -> None:
    link = Link(3, jitter_ms=40, loss=0.01, settings=FIXED)
    buffer = link.run(30)
    assert link.played == sorted(link.played)
    lost = 1_500 - len(link.played) - 12
    assert 0 < buffer.statistics.lost <= lost + 12
    assert len(set(map(round, link.waits_ms))) == 1
