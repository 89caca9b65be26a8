"""Hook, flash and pulses from loop current with bounce, by simulated handset and simulated time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.hook import (
    Digit,
    Flash,
    HookDetector,
    HookSignal,
    HookTimes,
    OffHook,
    OnHook,
    PulseStart,
)
from hal.countries import country_codes, load_country
from hal.drivers.sim import SimLine
from hal.values import LoopCurrent

US = HookTimes()
DE = HookTimes(flash_least_ms=80, flash_most_ms=130)
BOUNCE_MS = 2.5
"""Of the contacts of the simulated dial."""


def of_country(code: str) -> HookTimes:
    low, high = load_country(code).flash_ms
    return HookTimes(flash_least_ms=low, flash_most_ms=high)


class Wire:
    """A handset, its line, and the detector that listens."""

    def __init__(self, times: HookTimes, seed: int) -> None:
        self.now_ms = 0.0
        self.line = SimLine(lambda: self.now_ms, seed=seed)
        self.detector = HookDetector(times)
        self.signals: list[HookSignal] = []

    def run(self, ms: float) -> None:
        for _ in range(int(ms / 5)):
            self.now_ms += 5
            for event in self.line.take_events():
                assert isinstance(event, LoopCurrent)
                self.signals += self.detector.edge(event.at_ms, event.flowing)
            self.signals += self.detector.handle_timer(self.now_ms)

    def lift(self) -> None:
        self.line.handset.lift(self.now_ms)
        self.run(100)
        assert [type(one) for one in self.signals] == [OffHook], "bounce is one lifting"
        self.signals.clear()

    @property
    def digits(self) -> str:
        return "".join(one.digit for one in self.signals if isinstance(one, Digit))


@pytest.mark.parametrize("pps", [8, 9, 10, 12, 16, 20, 22])
@pytest.mark.parametrize("share", [0.55, 0.61, 0.64, 0.70])
@pytest.mark.parametrize("seed", range(3))
def test_rotary_digits_at_every_speed_and_bounce(pps: float, share: float, seed: int) -> None:
    wire = Wire(US, seed)
    wire.lift()
    wire.line.handset.rotary(wire.now_ms, "1234567890", pps, share)
    wire.run(16_000)
    assert wire.digits == "1234567890", f"seed {seed}"
    assert not any(isinstance(one, (Flash, OnHook)) for one in wire.signals)


@settings(max_examples=200)
@given(
    st.sampled_from(country_codes()),
    st.text("0123456789", min_size=1, max_size=4),
    st.floats(8, 22),
    st.floats(0.55, 0.70),
    st.integers(0, 2**32 - 1),
)
def test_any_dial_is_understood_beside_any_countrys_flash(
    code: str, digits: str, pps: float, share: float, seed: int
) -> None:
    """A 1 whose break is as long as a flash of the country is the one thing that cannot be told."""
    times = of_country(code)
    if 1000 / pps * share > times.flash_least_ms - BOUNCE_MS:
        digits = digits.replace("1", "2")
    wire = Wire(times, seed)
    wire.lift()
    wire.line.handset.rotary(wire.now_ms, digits, pps, share)
    wire.run(sum(int(one) or 10 for one in digits) * 1000 / pps + 600 * len(digits) + 900)
    assert wire.digits == digits
    kinds = {type(one) for one in wire.signals}
    assert kinds <= {PulseStart, Digit}, "no pulse is a flash or a hang-up"


@given(st.sampled_from(country_codes()), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_a_break_within_the_countrys_window_is_a_flash_and_no_digit(
    code: str, share: float, seed: int
) -> None:
    times = of_country(code)
    least, most = times.flash_least_ms + BOUNCE_MS, times.flash_most_ms - BOUNCE_MS
    wire = Wire(times, seed)
    wire.lift()
    wire.line.handset.flash(wire.now_ms, least + share * (most - least))
    wire.run(most + 1_500)
    assert [type(one) for one in wire.signals] == [Flash]


@pytest.mark.parametrize("code", country_codes())
@pytest.mark.parametrize("seed", range(3))
def test_a_flash_between_two_digits_is_a_flash(code: str, seed: int) -> None:
    times = of_country(code)
    wire = Wire(times, seed)
    wire.lift()
    handset = wire.line.handset
    handset.rotary(wire.now_ms, "42")
    wire.run(3_000)
    handset.flash(wire.now_ms, (times.flash_least_ms + times.flash_most_ms) / 2)
    wire.run(2_000)
    handset.rotary(wire.now_ms, "70")
    wire.run(5_000)
    said = [one for one in wire.signals if not isinstance(one, PulseStart)]
    assert "".join(one.digit if isinstance(one, Digit) else "F" for one in said) == "42F70"


@pytest.mark.parametrize(
    ("times", "ms", "kind"),
    [
        (US, 350, Flash), (US, 500, Flash), (US, 900, Flash), (US, 1_200, OnHook),
        (US, 60, Digit), (US, 200, None), (DE, 90, Flash), (DE, 120, Flash), (DE, 60, Digit),
        (DE, 250, None), (DE, 500, OnHook), (HookTimes(flash=False), 500, OnHook),
        (HookTimes(pulse=False), 60, None), (HookTimes(pulse=False), 500, Flash),
    ],
)  # fmt: skip
def test_one_break_means_what_its_length_says(
    times: HookTimes, ms: float, kind: type | None
) -> None:
    for seed in range(5):
        wire = Wire(times, seed)
        wire.lift()
        wire.line.handset.flash(wire.now_ms, ms)
        wire.run(ms + 500)
        kinds = [type(one) for one in wire.signals if not isinstance(one, PulseStart)]
        expected = [] if kind is None else [kind]
        assert kinds[: len(expected)] == expected, f"seed {seed}"
        assert kinds[len(expected) :] == ([OffHook] if kind is OnHook else [])


def test_a_hang_up_is_told_when_no_flash_can_become_of_it() -> None:
    wire = Wire(US, 1)
    wire.lift()
    start = wire.now_ms
    wire.line.handset.hang_up(start)
    wire.run(1_500)
    assert [type(one) for one in wire.signals] == [OnHook]
    assert wire.signals[0].at_ms - start == pytest.approx(1_000, abs=15)


def test_an_open_loop_of_our_own_is_no_hang_up() -> None:
    wire = Wire(US, 1)
    wire.lift()
    detector = wire.detector
    detector.look_away(wire.now_ms + 300)
    wire.signals += detector.edge(wire.now_ms + 1, False)
    wire.signals += detector.edge(wire.now_ms + 250, True)
    wire.run(2_000)
    assert wire.signals == []


@given(st.lists(st.tuples(st.floats(0.05, 2_000), st.booleans()), max_size=60))
def test_any_edges_keep_lifting_and_hanging_up_in_turn(edges: list[tuple[float, bool]]) -> None:
    detector = HookDetector(US)
    now_ms = 0.0
    signals: list[HookSignal] = []
    for gap_ms, flowing in edges:
        now_ms += gap_ms
        signals += detector.edge(now_ms, flowing)
    signals += detector.handle_timer(now_ms + 10_000)
    turns = [type(one) for one in signals if isinstance(one, (OffHook, OnHook))]
    assert turns == [OffHook, OnHook] * (len(turns) // 2) + [OffHook] * (len(turns) % 2)
    off_hook = False
    for one in signals:
        if isinstance(one, (OffHook, OnHook)):
            off_hook = isinstance(one, OffHook)
        else:
            assert off_hook, "digits and flashes come from a lifted receiver only"
    assert [one.at_ms for one in signals] == sorted(one.at_ms for one in signals)
    deadline_ms = detector.deadline_ms
    assert deadline_ms is None or deadline_ms > now_ms


def test_noise_on_the_wire_is_nothing() -> None:
    seed = 7
    rng = random.Random(seed)
    detector = HookDetector(US)
    now_ms = 0.0
    for _ in range(1_000):
        now_ms += rng.uniform(30, 200)
        assert detector.edge(now_ms, True) == [], f"seed {seed}"
        assert detector.edge(now_ms + rng.uniform(0.1, 15), False) == [], f"seed {seed}"
