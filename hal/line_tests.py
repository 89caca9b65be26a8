"""What is measured on a line, and what that says of it: the five tests of GR-909. No I/O.

A driver that measures gives `Readings` of the line in states that are asked for (`Probe`); `judge`
makes verdicts of them. Limits are data, in `line_tests.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from math import cos, pi, sqrt
from pathlib import Path
from typing import Any, Protocol

from hal.line import Line

_FILE = Path(__file__).with_name("line_tests.toml")


class Probe(Enum):
    """A state of the line in which something is measured."""

    LOW = "low"
    """Fed as ever, with as little current as the port can limit it to."""
    HIGH = "high"
    """The same with as much as it can."""
    OPEN = "open"
    """Not fed: what voltage there is comes from elsewhere."""
    GROUND = "ground"
    """Both wires at one voltage against ground, so that nothing flows from one to the other."""
    RINGING = "ringing"
    """Ringing voltage that is too low for a bell to ring."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The line at one instant. What a port cannot see is None."""

    tip_v: float | None = None
    """Tip against ground."""
    ring_v: float | None = None
    tip_ma: float | None = None
    """Current through the port's tip wire, whichever way."""
    ring_ma: float | None = None
    vrms: float | None = None
    """Between the wires: the ringing voltage that is sent."""
    ma_rms: float | None = None
    """What flows by it."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a port measures."""

    probes: frozenset[Probe] = frozenset(Probe)
    least_ma: float = 0.001
    """Less current is none to it."""
    lowest_v: float = -500.0
    """A reading at the end of this range says that there is as much, or more."""
    highest_v: float = 500.0


class MeasuringLine(Line, Protocol):
    """A line that measures: `Capabilities.measures_line`.

    Every method raises LineFault if the hardware refuses; the line is then fed as before.
    """

    @property
    def reach(self) -> Reach:
        """What can be measured here."""

    def probe(self, probe: Probe | None) -> None:
        """Bring the line into a state; None: as it was before the first one.

        Raises:
            LineFault: it rings, or audio runs.
        """

    def reading(self) -> Reading:
        """The line as it is now."""


class Verdict(Enum):
    """Of one test."""

    PASS = "pass"
    FAIL = "fail"
    NOT_MEASURABLE = "not measurable"


@dataclass(frozen=True, slots=True)
class Measure:
    """One value: `ring_ground`, 1.2e5, `ohm`."""

    name: str
    value: float
    unit: str
    more: bool = False
    """At least so much: the end of what the port measures."""

    def __str__(self) -> str:
        value, prefix = self.value, ""
        for factor, letter in ((1e6, "M"), (1e3, "k")):
            if self.unit == "ohm" and value >= factor:
                value, prefix = value / factor, letter
                break
        return f"{self.name} {'>' * self.more}{value:.3g} {prefix}{self.unit}"


@dataclass(frozen=True, slots=True)
class Result:
    """One test's."""

    test: str
    verdict: Verdict
    measures: tuple[Measure, ...] = ()
    faults: tuple[str, ...] = ()
    """Names of the measures beyond the limits."""
    note: str = ""
    """Why something was not measured, or what to look for."""


TESTS = (
    "hazardous_potential", "foreign_emf", "resistive_faults", "receiver_off_hook", "ringers",
)  # fmt: skip
"""In the order in which they are made; [section of the limits]."""


@cache
def limits() -> dict[str, dict[str, float]]:
    """Section, name, value."""
    document: dict[str, Any] = tomllib.loads(_FILE.read_text("utf-8"))
    return document


@dataclass(slots=True)
class Readings:
    """What was read in each state."""

    of: dict[Probe, list[Reading]] = field(default_factory=dict)

    def add(self, probe: Probe, reading: Reading) -> None:
        """One more."""
        self.of.setdefault(probe, []).append(reading)

    def last(self, probe: Probe) -> Reading:
        """The last one there; nothing seen if there is none."""
        return self.of.get(probe, [Reading()])[-1]


def potentials(readings: Readings, reach: Reach) -> tuple[Measure, ...]:
    """Voltages that come from elsewhere: direct and alternating, of each wire."""
    found: list[Measure] = []
    for wire in ("tip", "ring"):
        values = [getattr(one, f"{wire}_v") for one in readings.of.get(Probe.OPEN, ())]
        seen: list[float] = [one for one in values if one is not None]
        if not seen:
            continue
        dc, ac = _components(seen, reach)
        at_end = min(seen) <= reach.lowest_v or (
            reach.highest_v > 0 and max(seen) >= reach.highest_v
        )
        found.append(Measure(f"{wire}_dc", dc, "V", at_end))
        found.append(Measure(f"{wire}_ac", ac, "Vrms", at_end))
    return tuple(found)


def judge_potentials(measures: Sequence[Measure], reach: Reach) -> tuple[Result, Result]:
    """Hazardous potential, and foreign EMF that is none."""
    if not measures:
        note = "this port measures no voltage of a line that it does not feed"
        nothing = Verdict.NOT_MEASURABLE
        return Result(TESTS[0], nothing, note=note), Result(TESTS[1], nothing, note=note)
    shown = tuple(measures)
    hazards = _beyond(measures, TESTS[0])
    foreign = tuple(one for one in _beyond(measures, TESTS[1]) if one not in hazards)
    clipped = [one for one in measures if one.more and one.name not in hazards]
    if hazards:
        dangerous = Verdict.FAIL
        note = "keep off the wires: look for mains or another line on them"
    elif clipped:
        dangerous = Verdict.NOT_MEASURABLE
        note = "the voltage is at the end of what this port measures"
    elif reach.highest_v <= 0:
        dangerous = Verdict.NOT_MEASURABLE
        note = "not too much below ground; direct voltage above it is not seen by this port"
    else:
        dangerous, note = Verdict.PASS, ""
    first = Result(TESTS[0], dangerous, shown, hazards, note)
    if foreign:
        note = "look for a contact with another line"
        return first, Result(TESTS[1], Verdict.FAIL, shown, foreign, note)
    if hazards:
        return first, Result(TESTS[1], Verdict.NOT_MEASURABLE, note="the potential is hazardous")
    return first, Result(TESTS[1], dangerous, shown, note=note)


def judge_loop(readings: Readings, reach: Reach) -> tuple[Result, Result, Result]:
    """Resistive faults, receiver off-hook, ringers. The line bears no foreign voltage."""
    telephone = _telephone(readings)
    loop, ground = _loop_ohm(readings, reach), _ground_ohm(readings, reach)
    off_hook = Result(TESTS[3], Verdict.NOT_MEASURABLE, note="this port measures no loop")
    if telephone is not None:
        off_hook = telephone
    lifted = off_hook.verdict is Verdict.FAIL
    resistive = _resistive(() if lifted else loop, ground, lifted)
    leak = next((one.value for one in loop if not one.more), None)
    return resistive, off_hook, _ringers(readings, reach, lifted, leak)


def _components(seen: Sequence[float], reach: Reach) -> tuple[float, float]:
    """Direct voltage, and root mean square of the alternating one.

    A port that sees nothing above ground sees half of the waves; the other half is as large.
    """
    # A Hann window: where the cycles begin and end within the samples changes little.
    weights = [1 - cos(2 * pi * at / len(seen)) for at in range(len(seen))]
    whole = sum(weights) or 1.0

    def average(values: Iterable[float]) -> float:
        return sum(one * weight for one, weight in zip(values, weights, strict=True)) / whole

    if reach.highest_v <= 0 and min(seen) < 0 <= max(seen):
        return 0.0, sqrt(2 * average(one * one for one in seen))
    mean = average(seen)
    return mean, sqrt(average((one - mean) ** 2 for one in seen))


def _beyond(measures: Sequence[Measure], test: str) -> tuple[str, ...]:
    row = limits()[test]
    most = {"V": row["dc_v"], "Vrms": row["ac_vrms"]}
    return tuple(one.name for one in measures if abs(one.value) > most[one.unit])


def _resistance(name: str, volts: float | None, ma: float | None, reach: Reach) -> Measure | None:
    if volts is None or ma is None:
        return None
    if abs(ma) < reach.least_ma:
        return Measure(name, abs(volts) / reach.least_ma * 1_000, "ohm", True)
    return Measure(name, abs(volts) / abs(ma) * 1_000, "ohm")


def _loop_v(reading: Reading) -> float | None:
    if reading.tip_v is None or reading.ring_v is None:
        return None
    return abs(reading.tip_v - reading.ring_v)


def _loop_ohm(readings: Readings, reach: Reach) -> tuple[Measure, ...]:
    low = readings.last(Probe.LOW)
    found = _resistance("tip_ring", _loop_v(low), low.tip_ma, reach)
    return () if found is None else (found,)


def _ground_ohm(readings: Readings, reach: Reach) -> tuple[Measure, ...]:
    both = readings.last(Probe.GROUND)
    tip = _resistance("tip_ground", both.tip_v, both.tip_ma, reach)
    ring = _resistance("ring_ground", both.ring_v, both.ring_ma, reach)
    return tuple(one for one in (tip, ring) if one is not None)


def _resistive(loop: Sequence[Measure], ground: Sequence[Measure], lifted: bool) -> Result:
    least = limits()[TESTS[2]]["least_ohm"]
    measures = (*loop, *ground)
    faults = tuple(one.name for one in measures if one.value < least and not one.more)
    if faults:
        return Result(TESTS[2], Verdict.FAIL, measures, faults, "look for damp, or a bad cable")
    unseen = [one.name for one in measures if one.value < least]
    if lifted:
        note = "a telephone that is off the hook hides a fault between the wires"
    elif unseen:
        note = f"this port sees no leak of so little current: {', '.join(unseen)}"
    elif not loop or not ground:
        note = "this port does not measure every pair of wire and ground"
    else:
        return Result(TESTS[2], Verdict.PASS, measures)
    return Result(TESTS[2], Verdict.NOT_MEASURABLE, measures, note=note)


def _telephone(readings: Readings) -> Result | None:
    """Whether what draws current between the wires is a telephone."""
    ohms: list[float] = []
    row = limits()[TESTS[3]]
    for probe in (Probe.LOW, Probe.HIGH):
        reading = readings.last(probe)
        volts = _loop_v(reading)
        if volts is None or reading.tip_ma is None:
            return None
        if reading.tip_ma == 0 or volts < row["least_v"]:
            return Result(TESTS[3], Verdict.PASS)
        ohms.append(volts / abs(reading.tip_ma) * 1_000)
    if ohms[0] >= limits()[TESTS[2]]["least_ohm"]:
        return Result(TESTS[3], Verdict.PASS)
    measures = (Measure("at_low_current", ohms[0], "ohm"), Measure("at_high", ohms[1], "ohm"))
    if ohms[1] > ohms[0] * (1 - row["falls_pct"] / 100):
        return Result(TESTS[3], Verdict.PASS, measures)
    faults = tuple(one.name for one in measures)
    return Result(TESTS[3], Verdict.FAIL, measures, faults, "put the receiver back")


def _ringers(readings: Readings, reach: Reach, lifted: bool, leak: float | None) -> Result:
    row = limits()[TESTS[4]]
    reading = readings.last(Probe.RINGING)
    if reading.vrms is None or reading.ma_rms is None:
        note = "this port does not measure what ringing draws"
        return Result(TESTS[4], Verdict.NOT_MEASURABLE, note=note)
    if lifted or (leak is not None and leak < row["needs_ohm"]):
        note = "what draws current between the wires hides the ringers"
        return Result(TESTS[4], Verdict.NOT_MEASURABLE, note=note)
    ren = reading.ma_rms / 1_000 / reading.vrms * row["ren_ohm"]
    ren = max(0.0, ren - (row["ren_ohm"] / leak if leak else 0.0))
    measure = Measure("ren", ren, "REN")
    if row["least_ren"] <= ren <= row["most_ren"]:
        return Result(TESTS[4], Verdict.PASS, (measure,))
    note = "no telephone is connected" if ren < row["least_ren"] else "take a telephone away"
    return Result(TESTS[4], Verdict.FAIL, (measure,), (measure.name,), note)
