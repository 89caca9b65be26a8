"""Runs a device of several lines: a process a line, since pjsua2 has four legs a process.

The processes are this very program with `--line NAME`. Here is nothing of SIP, IAX2 or audio.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from firmware.clock import monotonic_ms
from firmware.heartbeat import EVERY_MS, WHOLE, Heartbeat
from firmware.status import name_of
from firmware.supervision import Kill, Order, Start, State, Supervision, Terminate

_log = logging.getLogger("loopstart")
_SIGNALS = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip
_NOT_STARTED = 127
_LONGEST_PAUSE_S = 60.0
_WAKE_OCTETS = 4_096


class Supervisor:
    """The shell around `Supervision`: processes, signals, the clock.

    Args:
        names: of the lines.
        command: what the process of a line is started with.
        good: whether the configuration may be read anew; says what is wrong if not.
        supervision: what decides; None: by the usual times.
        run: folder of the heartbeats; None: nobody asks for them.
    """

    def __init__(
        self,
        names: Sequence[str],
        command: Callable[[str], list[str]],
        good: Callable[[], bool],
        supervision: Supervision | None = None,
        run: Path | None = None,
    ) -> None:
        self._command = command
        self._good = good
        self._supervision = supervision or Supervision(names)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._signals: deque[int] = deque()
        self._heartbeat = Heartbeat(run, WHOLE) if run is not None else None
        self._beats = {name: Heartbeat(run, name_of(name)) for name in names} if run else {}
        """Of the lines: each process writes its own, and this one the first and the end of it."""

    def run(self) -> int:
        """Work until told to stop, or until every line has failed; answers the exit status."""
        wake_read, wake_write = os.pipe()
        for descriptor in (wake_read, wake_write):
            os.set_blocking(descriptor, False)
        before = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        handlers = {one: signal.signal(one, self._note) for one in _SIGNALS}
        try:
            self._obey(self._supervision.start(monotonic_ms()))
            while not self._supervision.done:
                if self._heartbeat is not None:
                    self._heartbeat.beat(monotonic_ms())
                select.select((wake_read,), (), (), self._pause_s())
                with suppress(BlockingIOError):
                    os.read(wake_read, _WAKE_OCTETS)
                self._step()
        finally:
            for process in self._processes.values():
                process.kill()
                process.wait()
            for beat in (*self._beats.values(), *([self._heartbeat] if self._heartbeat else [])):
                beat.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            os.close(wake_read)
            os.close(wake_write)
        _log.info("all lines have ended", extra={"status": self._supervision.status})
        return self._supervision.status

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _step(self) -> None:
        self._reap()
        while self._signals:
            self._signal(self._signals.popleft())
        self._obey(self._supervision.handle_timer(monotonic_ms()))

    def _signal(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            _log.info("stopping")
            self._obey(self._supervision.stop(monotonic_ms()))
        elif number == signal.SIGHUP and self._good():
            _log.info("the configuration is read anew")
            self._obey(self._supervision.restart(monotonic_ms()))
        elif number == signal.SIGUSR1:
            self._tell(signal.SIGUSR1)
        elif number == signal.SIGUSR2:
            _log.info("the lines end when nobody calls")
            self._supervision.end()
            self._tell(signal.SIGUSR2)

    def _tell(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            process.send_signal(number)

    def _reap(self) -> None:
        for name, process in list(self._processes.items()):
            status = process.poll()
            if status is not None:
                del self._processes[name]
                if name in self._beats:
                    self._beats[name].close()
                self._ended(name, status)

    def _ended(self, name: str, status: int) -> None:
        now_ms = monotonic_ms()
        orders = self._supervision.ended(name, status, now_ms)
        state = self._supervision.state(name)
        what = {"port": name, "status": status}
        if state is State.FAILED:
            _log.error("line failed; the others go on, SIGHUP starts it again", extra=what)
        elif state is State.WAITING:
            pause_s = self._supervision.pause_ms(name, now_ms) / 1000
            _log.warning("line ended", extra=what | {"again_s": f"{pause_s:g}"})
        else:
            _log.info("line ended", extra=what)
        self._obey(orders)

    def _obey(self, orders: Sequence[Order]) -> None:
        for order in orders:
            if isinstance(order, Start):
                self._start(order.name)
                continue
            process = self._processes.get(order.name)
            if process is None:
                continue
            if isinstance(order, Terminate):
                process.send_signal(signal.SIGTERM)
            elif isinstance(order, Kill):
                _log.warning("line does not end, and is killed", extra={"port": order.name})
                process.kill()

    def _start(self, name: str) -> None:
        try:
            process = subprocess.Popen(self._command(name), stdin=subprocess.DEVNULL)
        except OSError as error:
            _log.error("line cannot be started", extra={"port": name, "detail": error.strerror})
            self._ended(name, _NOT_STARTED)
            return
        self._processes[name] = process
        if name in self._beats:
            self._beats[name].grant(monotonic_ms())
        _log.info("line started", extra={"port": name, "pid": process.pid})

    def _pause_s(self) -> float:
        if self._signals:
            return 0.0
        deadline_ms = self._supervision.deadline_ms
        longest_s = _LONGEST_PAUSE_S if self._heartbeat is None else EVERY_MS / 1000
        if deadline_ms is None:
            return longest_s
        return min(longest_s, max(0.0, (deadline_ms - monotonic_ms()) / 1000))


def end_with_parent() -> None:
    """Let this process be told to end if its supervisor is gone (Linux)."""
    import ctypes

    parent = os.getppid()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit(1)  # it went before we asked
