"""What the process of a line tells those that look after updates and lamps, in files that all know.

One small JSON file a line, in a folder that a restart empties: whether it is registered, whether
somebody calls, when its registrar answered last. And one that a restart does not empty: the last
tests of the line, until the host has them.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from boards.schema import ConfigError, load_table
from firmware.heartbeat import Heartbeat
from hal.line_tests import Result

_log = logging.getLogger("loopstart")
_SUFFIX = ".line"
UPDATING = "updating"
"""File beside the states, while another version is fetched or about to be started."""
_TESTS_SUFFIX = ".tests"
_MOST_OCTETS = 65_536
_MOST_RUNS = 8
"""Tests of one line that wait for the host; the oldest go first, but the last that failed."""


@dataclass(frozen=True, slots=True)
class LineState:
    """One line, as its process has told last. Instants are monotonic milliseconds of the machine;
    0: never."""

    name: str
    pid: int
    program: int
    """Process that SIGUSR2 ends when nobody calls: its supervisor, or itself."""
    registered: bool = False
    calls: bool = True
    answered_ms: float = 0.0
    """When the registrar has answered last, whatever it said."""
    sync_ms: float = 0.0
    """When the registrar has wanted the device to ask for its configuration."""
    ringing: bool = False
    messages: bool = False
    """Voice mail waits."""
    alarm: bool = False
    """A test of the line has found a fault, or its port cannot ring."""


def run_folder() -> Path | None:
    """Where the system wants to be told how the program is: systemd's folder for this service."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(given) if given else None


def name_of(line: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", line) or "line"


class Notices:
    """The writer's side of one line; a file is written when something has changed.

    Args:
        run: folder of the states; made if it is missing.
        tests: folder of the line tests.
        line: name of the line.
        program: see `LineState`.
        balance: asks the host what the account may still spend; it waits for the answer.
        heartbeat: shows that the line's loop goes round; None: nobody asks.
    """

    def __init__(
        self,
        run: Path,
        tests: Path,
        line: str,
        program: int,
        balance: Callable[[], str] | None = None,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self.balance = balance
        self._heartbeat = heartbeat
        self._path = run / (name_of(line) + _SUFFIX)
        self.tests = TestFile(tests, line)
        self._told = LineState(name_of(line), os.getpid(), program)
        self._write()

    def tell(
        self,
        registered: bool,
        calls: bool,
        ringing: bool = False,
        messages: bool = False,
        alarm: bool = False,
    ) -> None:
        """The line is like this now."""
        self._change(
            replace(
                self._told,
                registered=registered,
                calls=calls,
                ringing=ringing,
                messages=messages,
                alarm=alarm,
            )
        )

    def beat(self, now_ms: float) -> None:
        """The line's loop goes round."""
        if self._heartbeat is not None:
            self._heartbeat.beat(now_ms)

    def answered(self, now_ms: float) -> None:
        """The registrar has answered, whatever it said."""
        self._change(replace(self._told, answered_ms=now_ms))

    def check_sync(self, now_ms: float) -> None:
        """The registrar wants the device to ask for its configuration."""
        self._change(replace(self._told, sync_ms=now_ms))

    def _change(self, state: LineState) -> None:
        if state != self._told:
            self._told = state
            self._write()

    def _write(self) -> None:
        try:
            write_whole(self._path, json.dumps(asdict(self._told)), durable=False)
        except OSError as error:
            what = {"file": str(self._path), "detail": error.strerror}
            _log.warning("the line's state is not told", extra=what)

    def close(self) -> None:
        """The line is gone."""
        if self._heartbeat is not None:
            self._heartbeat.close()
        with suppress(OSError):
            self._path.unlink()


def line_states(folder: Path, alive: Callable[[int], bool]) -> list[LineState]:
    """All lines of which a process tells that is alive; what cannot be read is passed over."""
    found = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            told = json.loads(_read(path))
            state = load_table(LineState, told if isinstance(told, dict) else {}, str(path))
        except (OSError, ValueError, ConfigError, RecursionError):
            continue
        if alive(state.pid):
            found.append(state)
    return found


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


# --- line tests ---


class TestFile:
    """Keeps a line's tests until the host has them.

    Args:
        folder: outlives a restart.
        line: name of the line.
        utc_ms: the clock.
    """

    __test__ = False

    def __init__(
        self,
        folder: Path,
        line: str,
        utc_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._path = folder / (name_of(line) + _TESTS_SUFFIX)
        self._line = name_of(line)
        self._utc_ms = utc_ms

    def keep(self, results: Sequence[Result]) -> None:
        """A test has come to its end. A disk that refuses costs a line in the log."""
        now_ms = self._utc_ms()
        tests = [
            {
                "test": one.test,
                "verdict": one.verdict.value,
                "measures": ", ".join(str(measure) for measure in one.measures),
                "faults": " ".join(one.faults),
                "note": one.note,
            }
            for one in results
        ]
        runs = _runs(self._path)
        taken = {run["id"] for run in runs}
        number = next(n for n in range(len(runs) + 1) if f"{now_ms}-{n}" not in taken)
        runs.append({"id": f"{now_ms}-{number}", "utc_ms": now_ms, "tests": tests})
        failed = [run for run in runs if _failed(run)]
        while len(runs) > _MOST_RUNS:
            runs.remove(next(run for run in runs if run not in failed[-1:]))
        try:
            write_whole(self._path, json.dumps(runs))
        except OSError as error:
            what = {"file": str(self._path), "detail": error.strerror}
            _log.warning("the line's test is not kept for the host", extra=what)


def waiting_tests(folder: Path) -> dict[str, list[dict[str, object]]]:
    """Line to its runs that the host does not have yet, the oldest first."""
    return {path.stem: _runs(path) for path in sorted(folder.glob(f"*{_TESTS_SUFFIX}"))}


def forget_tests(folder: Path, line: str, ids: set[str]) -> None:
    """The host has these. What a line adds meanwhile it may lose, so that it is sent again."""
    path = folder / (line + _TESTS_SUFFIX)
    left = [run for run in _runs(path) if run["id"] not in ids]
    if left:
        write_whole(path, json.dumps(left))
    else:
        path.unlink(missing_ok=True)


def _failed(run: dict[str, object]) -> bool:
    tests = run["tests"]
    return isinstance(tests, list) and any(one.get("verdict") == "fail" for one in tests)


def _runs(path: Path) -> list[dict[str, object]]:
    try:
        runs = json.loads(_read(path))
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(runs, list):
        return []
    keys = {"id", "utc_ms", "tests"}
    return [run for run in runs if isinstance(run, dict) and keys <= run.keys()]


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_MOST_OCTETS)


def write_whole(path: Path, text: str, durable: bool = True) -> None:
    """Put a file in place of another, all of it or nothing; its owner alone may read it.

    Raises:
        OSError: the disk refuses; what there was stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
