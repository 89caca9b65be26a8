"""Tests a line: once for the command line, or by and by while the device runs and nobody calls."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import cast

from boards.schema import setting
from hal.line import Line
from hal.line_test_run import LineTestRun
from hal.line_tests import MeasuringLine, Result, Verdict
from hal.values import HookChanged, LineFault, LoopCurrent

_log = logging.getLogger("loopstart")
_SETTLE_MS = 300.0
"""A port that has just been opened: its feed comes up, and contacts bounce no more."""
_FIRST_MS = 10_000.0
_BUSY_MS = 1_000.0
"""So often a line that was busy when its test was due is looked at again."""
_HOUR_MS = 3_600_000.0
_ALARM_MS = 60_000.0
_FOREIGN = frozenset(("hazardous_potential", "foreign_emf"))


@dataclass(frozen=True, slots=True)
class LineTestConfig:
    """`[line_test]`: when the device tests its line by itself."""

    at_start: bool = False
    every_h: float = setting(0.0, least=0, most=8_760)
    """Hours from one test to the next; 0: none but the first."""


class Lifted(Exception):
    """The receiver was lifted, or somebody called, while the line was tested."""


def measuring(line: Line) -> MeasuringLine:
    """The line as one that measures.

    Raises:
        LineFault: it does not.
    """
    if not line.capabilities.measures_line:
        raise LineFault(
            "this port does not measure its line; `sim` and `si3210` do, "
            "other ports want a line tester of their own"
        )
    return cast(MeasuringLine, line)


def run_now(
    line: Line, clock: Callable[[], float], sleep: Callable[[float], None]
) -> tuple[Result, ...]:
    """Test a line that nobody else uses, from beginning to end; it takes a second or two.

    Args:
        clock: monotonic milliseconds.
        sleep: seconds.
    Raises:
        LineFault: it does not measure, or the hardware has failed.
        Lifted: the hook moved meanwhile.
    """
    port = measuring(line)
    _wait(port, clock, sleep, clock() + _SETTLE_MS)
    run = LineTestRun(port.reach, clock())
    try:
        port.probe(run.probe)
        while run.probe is not None:
            if _wait(port, clock, sleep, run.deadline_ms):
                raise Lifted("the receiver was moved while the line was tested; try again")
            _step(port, run, clock())
    finally:
        with suppress(LineFault):
            port.probe(None)
    return run.results


def _wait(
    port: Line, clock: Callable[[], float], sleep: Callable[[float], None], until_ms: float
) -> bool:
    """Let time pass; True if the hook moved."""
    while True:
        moved = _moved(port.take_events())
        left_ms = until_ms - clock()
        if moved or left_ms <= 0:
            return moved
        sleep(min(left_ms, 20.0) / 1000)


def _moved(events: Sequence[object]) -> bool:
    return any(isinstance(one, LoopCurrent | HookChanged) for one in events)


def _step(port: MeasuringLine, run: LineTestRun, now_ms: float) -> None:
    """Read, and bring the line into the state that is wanted next."""
    before = run.probe
    run.take(now_ms, port.reading())
    if run.probe is not before:
        port.probe(run.probe)


class LineTester:
    """Tests the line of a running device when it is due, and the telephone rests.

    Args:
        line: the driver's own: what it refuses ends the test.
        now_ms: monotonic milliseconds.
        keep: is given the results, for the host; None: they are logged alone.
    """

    def __init__(
        self,
        line: Line,
        config: LineTestConfig,
        now_ms: float,
        keep: Callable[[Sequence[Result]], None] | None = None,
    ) -> None:
        self._line = measuring(line)
        self._keep = keep
        self._every_ms = config.every_h * _HOUR_MS
        self._run: LineTestRun | None = None
        self._due_ms: float | None = None
        self.results: tuple[Result, ...] = ()
        """Of the last test that came to its end."""
        if config.at_start:
            self._due_ms = now_ms + _FIRST_MS
        elif self._every_ms:
            self._due_ms = now_ms + self._every_ms

    @property
    def running(self) -> bool:
        """The line is being tested."""
        return self._run is not None

    @property
    def deadline_ms(self) -> float | None:
        """When to call `step`."""
        return self._run.deadline_ms if self._run is not None else self._due_ms

    def ask(self, now_ms: float) -> None:
        """Test as soon as the telephone rests."""
        if not self.running:
            self._due_ms = now_ms

    def step(self, now_ms: float, idle: bool) -> None:
        """Do what is due.

        Args:
            idle: nothing goes on at this line's telephone.
        """
        due_ms = self.deadline_ms
        if due_ms is None or now_ms < due_ms:
            return
        if not idle:
            self.abort(now_ms, "the line is in use")
            return
        try:
            if self._run is None:
                self._run = LineTestRun(self._line.reach, now_ms)
                self._line.probe(self._run.probe)
                return
            _step(self._line, self._run, now_ms)
        except LineFault as fault:
            self._leave(now_ms, self._every_ms or None)
            _log.warning("line test failed", extra={"detail": str(fault)})
            return
        if self._run.probe is None:
            self._end(self._run.results, now_ms)

    def _end(self, results: tuple[Result, ...], now_ms: float) -> None:
        """A test has come to its end. A line in alarm is tested until it is out of it; that it
        still is, is no news."""
        before = self.alarm
        self.results, self._run = results, None
        again_ms = _ALARM_MS if self.alarm else self._every_ms
        self._due_ms = now_ms + again_ms if again_ms else None
        if before and self.alarm:
            return
        log_results(results)
        if self._keep is not None:
            self._keep(results)

    @property
    def alarm(self) -> bool:
        """The last test found voltage on the line that is not ours, and may be dangerous."""
        return any(one.test in _FOREIGN and one.verdict is Verdict.FAIL for one in self.results)

    def abort(self, now_ms: float, why: str) -> None:
        """The telephone needs its line: it gets it now, and is tested later."""
        if self._run is not None:
            _log.info("line test ended early", extra={"detail": why})
        self._leave(now_ms, _BUSY_MS)

    def _leave(self, now_ms: float, again_ms: float | None) -> None:
        if self._run is not None:
            self._run = None
            with suppress(LineFault):
                self._line.probe(None)
        self._due_ms = now_ms + again_ms if again_ms is not None else None


def log_results(results: Sequence[Result]) -> None:
    """One record a test, so that whoever gathers logs has them."""
    for one in results:
        say = _log.warning if one.verdict is Verdict.FAIL else _log.info
        details = {"faults": " ".join(one.faults), "note": one.note}
        measures = ", ".join(str(measure) for measure in one.measures)
        extra = {"test": one.test, "verdict": one.verdict.value, "measures": measures}
        say("line test", extra=extra | {key: text for key, text in details.items() if text})


def status_of(results: Sequence[Result]) -> int:
    """Exit status: 0 no fault was found, 1 one was."""
    return int(any(one.verdict is Verdict.FAIL for one in results))


def as_json(port: str, results: Sequence[Result]) -> str:
    """For programs: `tests` has name, verdict, measures (values in V, Vrms, ohm, REN), faults."""
    rows = [asdict(one) | {"verdict": one.verdict.value} for one in results]
    return json.dumps({"port": port, "status": status_of(results), "tests": rows})


def as_table(port: str, results: Sequence[Result], wide: bool) -> str:
    """For people, with columns as wide as their words; or for pipes, with tabs between."""
    rows = [
        (
            port,
            one.test.replace("_", " ") if wide else one.test,
            one.verdict.value,
            "  ".join(str(measure) for measure in one.measures) if wide
            else ", ".join(str(measure) for measure in one.measures),
            one.note,
        )
        for one in results
    ]  # fmt: skip
    if not wide:
        return "\n".join("\t".join(row) for row in rows)
    rows.insert(0, ("PORT", "TEST", "VERDICT", "MEASURED", "NOTE"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines: list[str] = []
    for row in rows:
        words = [word.ljust(width) for word, width in zip(row[:3], widths, strict=True)]
        lines.append("  ".join((*words, row[3])).rstrip())
        if row[4] and row is not rows[0]:
            lines.append(" " * (widths[0] + widths[1] + 4) + row[4])
    return "\n".join(lines)
