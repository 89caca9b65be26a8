"""Looks after what a device runs: the shell around `machine`. A process of its own, beside the one
that carries calls; it looks at the lines once a second and waits for the rest."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Protocol

from boards.state import BootState
from firmware.clock import monotonic_ms
from firmware.status import (
    UPDATING,
    LineState,
    forget_tests,
    is_alive,
    line_states,
    waiting_tests,
)
from firmware.update.files import ConfigFiles, save_kept
from firmware.update.machine import Stage, Update
from firmware.update.places import Places
from firmware.update.values import (
    Ask,
    CheckSync,
    Event,
    Fetch,
    GiveBackConfig,
    Keep,
    Lines,
    Network,
    NotTold,
    Order,
    Pause,
    RegistrarAnswered,
    Restart,
    TakeConfig,
    Told,
    WriteState,
)
from firmware.wire.provisioning import (
    MOST_PROBLEMS,
    Configuration,
    DocumentError,
    LineTests,
    Report,
)

_log = logging.getLogger("loopstart")
_LOOK_S = 1.0
_REPORT_AGAIN_MS = 300_000.0
"""A report that the host has not taken is sent again after so long."""
_FAILED = 1


class Working(Protocol):
    """What the agent asks of `firmware.update.worker.Worker`."""

    def ask(self) -> None: ...
    def fetch(self, order: Fetch) -> None: ...
    def pause(self) -> None: ...
    def report(self, report: Report, taken: Callable[[bool], None]) -> None: ...


@dataclass(frozen=True, slots=True)
class Hands:
    """What the agent does to the machine that it runs on."""

    write_state: Callable[[BootState], object]
    end_program: Callable[[int], None]
    """Let a process end when nobody calls."""
    restart: Callable[[], None]
    """Restart the board, now."""
    network: Callable[[], bool]
    """Whether there is an address and a way out."""
    alive: Callable[[int], bool] = is_alive


class Agent:
    """One device's.

    Args:
        label: of the version that runs, as people call it.
        worker: is given what waits; answers come by `events`.
        clock: monotonic milliseconds.
        utc_ms: the time of day.
    """

    def __init__(
        self,
        update: Update,
        places: Places,
        files: ConfigFiles,
        worker: Working,
        hands: Hands,
        events: SimpleQueue[Event],
        label: str = "",
        clock: Callable[[], float] = monotonic_ms,
        utc_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._update = update
        self._places = places
        self._files = files
        self._worker = worker
        self._hands = hands
        self._events = events
        self._label = label
        self._clock = clock
        self._utc_ms = utc_ms
        self._answered_ms = self._synced_ms = clock()
        self._leaving: tuple[LineState, ...] | None = None
        """Lines whose end is waited for before the board restarts."""
        self._reported: tuple[Report, set[tuple[str, str]]] | None = None
        self._report_ms: float | None = None
        """When to look whether there is something to report; None: one is on its way."""
        self._host_there = False
        self._shows_updating = False
        self.stopping = False

    def run(self) -> int:
        """Work until told to stop; answers the exit status."""
        try:
            self._obey(self._update.start())
            while not self.stopping:
                self.turn(_LOOK_S)
        except OSError as error:
            # What outlives a restart could not be written: better anew than half.
            _log.error("updates stop", extra={"detail": str(error)})
            return _FAILED
        return 0

    def turn(self, wait_s: float) -> None:
        """Wait for what comes, at most so long, and do it.

        Raises:
            OSError: what has to outlive a restart cannot be written.
        """
        with suppress(Empty):
            self._take(self._events.get(timeout=wait_s))
            while True:
                self._take(self._events.get_nowait())
        self.look()

    def look(self) -> None:
        """See how lines and network are, and do what is due.

        Raises:
            OSError: as `turn`.
        """
        states = line_states(self._places.run, self._hands.alive)
        self._show_updating()
        if self._leaving is not None:
            if not any(self._hands.alive(one.pid) for one in self._leaving):
                _log.warning("restarting for another version")
                self._hands.restart()
                self.stopping = True
            return
        now_ms = self._clock()
        registered = bool(states) and all(one.registered for one in states)
        calls = any(one.calls for one in states)
        self._tell(Network(self._hands.network()))
        self._tell(Lines(registered, calls))
        answered_ms = max((one.answered_ms for one in states), default=0.0)
        if answered_ms > self._answered_ms:
            self._answered_ms = answered_ms
            self._tell(RegistrarAnswered())
        synced_ms = max((one.sync_ms for one in states), default=0.0)
        if synced_ms > self._synced_ms:
            self._synced_ms = synced_ms
            _log.info("the host wants to be asked")
            self._tell(CheckSync())
        deadline_ms = self._update.deadline_ms
        if deadline_ms is not None and deadline_ms <= now_ms:
            self._obey(self._update.handle_timer(now_ms))
        self._report(now_ms)
        if not self._update.asks and not self._update.on_trial:
            self.stopping = True

    def _take(self, event: Event) -> None:
        if isinstance(event, Told):
            self._host_there = True
        elif isinstance(event, NotTold):
            self._host_there = False
            _log.warning("the host was not asked", extra={"detail": event.why})
        self._tell(event)

    def _tell(self, event: Event) -> None:
        self._obey(self._update.handle(event, self._clock()))

    def _show_updating(self) -> None:
        """Let whoever lights the lamps know that the power should stay on."""
        under_way = self._update.stage in (Stage.FETCHING, Stage.STAGED, Stage.LEAVING)
        if under_way is self._shows_updating:
            return
        self._shows_updating = under_way
        with suppress(OSError):
            if under_way:
                (self._places.run / UPDATING).touch()
            else:
                (self._places.run / UPDATING).unlink()

    # --- orders ---

    def _obey(self, orders: list[Order]) -> None:
        for order in orders:
            if isinstance(order, Ask):
                self._worker.ask()
            elif isinstance(order, Fetch):
                what = {"version": order.firmware.version, "slot": order.slot}
                _log.info("fetching firmware", extra=what)
                self._worker.fetch(order)
            elif isinstance(order, Pause):
                self._worker.pause()
            elif isinstance(order, WriteState):
                self._hands.write_state(order.state)
            elif isinstance(order, Keep):
                save_kept(self._places.kept, order.kept)
            elif isinstance(order, TakeConfig):
                _log.info("taking another configuration")
                self._files.take(Configuration(order.schema, order.toml))
                self._end_programs()
            elif isinstance(order, GiveBackConfig):
                _log.warning("the configuration before comes back")
                self._files.give_back()
                self._end_programs()
            elif isinstance(order, Restart):
                self._leaving = self._end_programs()

    def _end_programs(self) -> tuple[LineState, ...]:
        states = tuple(line_states(self._places.run, self._hands.alive))
        for program in sorted({one.program for one in states}):
            self._hands.end_program(program)
        return states

    # --- what is told ---

    def _report(self, now_ms: float) -> None:
        """Tell the host what has changed since it was told last."""
        on_its_way = self._report_ms is None and self._reported is not None
        if not self._host_there or on_its_way:
            return
        if self._report_ms is not None and now_ms < self._report_ms:
            return
        report, ids = self._made_report()
        if self._reported is not None and (report, ids) == self._reported:
            return
        self._reported, self._report_ms = (report, ids), None
        self._worker.report(report, lambda taken: self._was_reported(ids, taken))

    def _was_reported(self, ids: set[tuple[str, str]], taken: bool) -> None:
        """From the worker's thread."""
        if not taken:
            self._reported = None
            self._report_ms = self._clock() + _REPORT_AGAIN_MS
            return
        for line in {line for line, _ in ids}:
            try:
                forget_tests(self._places.tests, line, {one for of, one in ids if of == line})
            except OSError as error:
                _log.warning("line tests stay", extra={"detail": str(error)})
        self._reported = (self._reported[0], set()) if self._reported is not None else None
        self._report_ms = self._clock()

    def _made_report(self) -> tuple[Report, set[tuple[str, str]]]:
        update = self._update
        board = update.board
        problems = tuple(f"{what}: {why}"[:500] for what, why in update.problems.items())
        report = Report(
            board.name,
            board.version,
            self._label,
            board.running or "",
            update.kept.config,
            tuple(one for problem in problems for one in problem.splitlines())[:MOST_PROBLEMS],
        )
        ids: set[tuple[str, str]] = set()
        tests: list[LineTests] = []
        for line, runs in waiting_tests(self._places.tests).items():
            for run in runs:
                ids.add((line, str(run["id"])))
                made = _line_tests(line, run, self._utc_ms())
                if made is not None:
                    tests.append(made)
        return replace(report, line_tests=tuple(tests)), ids


def _line_tests(line: str, run: dict[str, object], utc_ms: int) -> LineTests | None:
    """A run as the host is told it; None where the file was not written by this program."""
    at_ms = run["utc_ms"]
    age_s = max(0, utc_ms - at_ms) // 1000 if isinstance(at_ms, int) else 0
    table = {"line": line, "id": run["id"], "age_s": age_s, "tests": run["tests"]}
    try:
        return LineTests.from_table(table)
    except DocumentError as error:
        _log.warning("a line test cannot be told", extra={"detail": str(error)[:200]})
        return None


def end_when_idle(pid: int) -> None:
    """Let a program of lines end when nobody calls."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGUSR2)
