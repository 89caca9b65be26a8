"""The course of a line test: which state the line is brought into when. No I/O; time comes in."""

from __future__ import annotations

from hal.line_tests import (
    TESTS,
    Probe,
    Reach,
    Reading,
    Readings,
    Result,
    Verdict,
    judge_loop,
    judge_potentials,
    limits,
    potentials,
)

_AFTER_OPEN = (Probe.LOW, Probe.HIGH, Probe.GROUND, Probe.RINGING)


class LineTestRun:
    """One test of one line; it lasts a second at most.

    First the line is open, and what voltage it bears is measured. Only a line that bears none is
    fed after that. At `deadline_ms` a reading is to be handed to `take`, and the line then brought
    into the state that `probe` names; that is None when `results` are there.

    Args:
        reach: what the port measures.
        now_ms: monotonic milliseconds.
    """

    def __init__(self, reach: Reach, now_ms: float) -> None:
        times = limits()["times"]
        self._settle_ms, self._sample_ms = times["settle_ms"], times["sample_ms"]
        self._samples = int(times["samples"])
        self._reach = reach
        self._readings = Readings()
        self._todo = [one for one in (Probe.OPEN, *_AFTER_OPEN) if one in reach.probes]
        self.results: tuple[Result, ...] = ()
        self.probe: Probe | None = None
        self.deadline_ms = now_ms
        self._next(now_ms)

    def take(self, now_ms: float, reading: Reading) -> None:
        """The line as it is in the state of `probe`."""
        assert self.probe is not None, "a test that is over reads nothing"
        self._readings.add(self.probe, reading)
        if self.probe is Probe.OPEN:
            if len(self._readings.of[Probe.OPEN]) < self._samples:
                # By the plan: what comes late by a little moves none of those that follow.
                self.deadline_ms = max(now_ms, self.deadline_ms + self._sample_ms)
                return
            if self._foreign()[1]:
                self._todo.clear()
        self._next(now_ms)

    def _foreign(self) -> tuple[tuple[Result, Result], bool]:
        """What the voltages say, and whether one of them is too much."""
        measures = potentials(self._readings, self._reach)
        judged = judge_potentials(measures, self._reach)
        return judged, any(one.verdict is Verdict.FAIL for one in judged)

    def _next(self, now_ms: float) -> None:
        self.probe = self._todo.pop(0) if self._todo else None
        self.deadline_ms = now_ms + self._settle_ms
        if self.probe is None:
            self.results = self._judge()

    def _judge(self) -> tuple[Result, ...]:
        judged, too_much = self._foreign()
        if too_much:
            note = "not measured: there is foreign voltage on the line"
            rest = tuple(Result(one, Verdict.NOT_MEASURABLE, note=note) for one in TESTS[2:])
            return (*judged, *rest)
        return (*judged, *judge_loop(self._readings, self._reach))
