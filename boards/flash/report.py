"""Shows a run to whoever watches: a bar on a terminal, lines in a pipe, or JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from boards import loader_run
from boards.flash.pace import Pace, spoken

_LINES_S = 10.0
"""In a pipe, one line of progress in so long."""


class Report(Protocol):
    """What a run is shown by."""

    def told(self, text: str) -> None:
        """A sentence."""

    def progress(self, at: loader_run.Progress, now: float) -> None:
        """How far it is; `now` in seconds of a monotonic clock."""

    def result(self, failure: str, **values: object) -> None:
        """How it ended; `failure` is empty where it went well."""


class Lines:
    """For a pipe or a file."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._pace = Pace()
        self._next = 0.0
        self._last = -1

    def told(self, text: str) -> None:
        """A sentence."""
        print(text, file=self._out, flush=True)

    def progress(self, at: loader_run.Progress, now: float) -> None:
        """One line now and then, and the last one."""
        self._pace.note(at.sent, now)
        percent = 100 * (at.done + at.arriving) // max(1, at.total)
        if percent == self._last or (now < self._next and at.done < at.total):
            return
        self._next, self._last = now + _LINES_S, percent
        left = self._pace.remaining(at.total - at.done - at.arriving)
        print(
            f"{percent:3} %  {_rate(self._pace)}  {spoken(left)} left", file=self._out, flush=True
        )

    def result(self, failure: str, **values: object) -> None:
        """The last line; errors go to stderr."""
        if failure:
            print(failure, file=sys.stderr, flush=True)


class Json:
    """For programs: `{"event": ...}` a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._pace = Pace()

    def told(self, text: str) -> None:
        """`told`, with its `text`."""
        self._line(event="told", text=text)

    def progress(self, at: loader_run.Progress, now: float) -> None:
        """`progress`: octets, octets a second, seconds left."""
        self._pace.note(at.sent, now)
        self._line(
            event="progress",
            done=at.done + at.arriving,
            total=at.total,
            sent=at.sent,
            rate=self._pace.rate,
            remaining_s=self._pace.remaining(at.total - at.done - at.arriving),
        )

    def result(self, failure: str, **values: object) -> None:
        """`result`, the last one."""
        self._line(event="result", ok=not failure, failure=failure, **values)

    def _line(self, **values: object) -> None:
        print(json.dumps(values), file=self._out, flush=True)


class Bar:
    """For a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pace = Pace()
        self._bar = Progress(
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[left]} left"),
            console=console,
        )
        self._task: TaskID | None = None

    def told(self, text: str) -> None:
        """A sentence, above the bar."""
        self._console.print(text, highlight=False, markup=False)

    def progress(self, at: loader_run.Progress, now: float) -> None:
        """Move the bar."""
        self._pace.note(at.sent, now)
        done = at.done + at.arriving
        rate, left = _rate(self._pace), spoken(self._pace.remaining(at.total - done))
        if self._task is None:
            self._task = self._bar.add_task("", total=at.total, rate=rate, left=left)
            self._bar.start()
        self._bar.update(self._task, total=at.total, completed=done, rate=rate, left=left)
        if at.done == at.total:
            self._bar.stop()

    def result(self, failure: str, **values: object) -> None:
        """Take the bar away, and say what went wrong."""
        self._bar.stop()
        if failure:
            Console(stderr=True).print(failure, highlight=False, markup=False, style="red")


def report_for(as_json: bool, out: TextIO | None = None) -> Report:
    """The one that fits what the output is; stdout, unless another is given."""
    out = out or sys.stdout
    if as_json:
        return Json(out)
    return Bar(Console(file=out)) if out.isatty() else Lines(out)


def clock() -> float:
    """Seconds that only ever grow."""
    return time.monotonic()


def _rate(pace: Pace) -> str:
    return "  - kB/s" if pace.rate is None else f"{pace.rate / 1000:5.1f} kB/s"
