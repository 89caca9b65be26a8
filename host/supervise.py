"""Keeps companions alive: the processes beside the one that carries calls.

A program of its own that imports the standard library alone, run by its path (`python -I -S`), so
that it stays small. The process that carries calls is its parent and holds the other end of its
standard input: whatever way that process ends, `kill -9` too, the end of input ends this one,
which then ends the companions. They in turn die with this one (PR_SET_PDEATHSIG, prctl(2)).
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0
"""A companion that dies is started again after the first delay, then twice as long, up to this."""
GRACE_S = 5.0
"""Companions have so long to end by SIGTERM."""
_PR_SET_PDEATHSIG = 1


class Companion:
    """One process to be kept alive."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.command = command
        self.pid = 0
        """0: it does not run."""
        self.start_at = 0.0
        """When it is to be started, monotonic seconds, if it does not run."""
        self._started_at = 0.0
        self._delay_s = 0.0

    def started(self, pid: int, now: float) -> None:
        self.pid = pid
        self._started_at = now

    def ended(self, now: float) -> float:
        """It died; answers the seconds until it is to be started again.

        One that lived longer than the longest delay begins with the first again.
        """
        self.pid = 0
        if now - self._started_at > LONGEST_DELAY_S:
            self._delay_s = 0.0
        self._delay_s = min(2 * self._delay_s or FIRST_DELAY_S, LONGEST_DELAY_S)
        self.start_at = now + self._delay_s
        return self._delay_s


class Supervisor:
    """Starts companions, starts those that die again, and ends them all."""

    def __init__(
        self, companions: list[Companion], as_json: bool, grace_s: float = GRACE_S
    ) -> None:
        """Keep companions alive until standard input ends."""
        self._companions = companions
        self._as_json = as_json
        self._life = 0
        self._grace_s = grace_s
        self._stopping = False
        self._die_with_parent = _prctl()

    def run(self) -> None:
        """Until the process that carries calls is gone, or SIGTERM."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, self._signalled)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        poll = select.poll()
        poll.register(self._life, select.POLLIN | select.POLLHUP)
        poll.register(reader, select.POLLIN)
        while not self._stopping:
            self._start_due(time.monotonic())
            for fd, _event in poll.poll(self._wait_ms(time.monotonic())):
                if fd == self._life:
                    self._stopping = True
                else:
                    os.read(reader, 512)
            self._reap(time.monotonic())
        self._end_all()

    def _signalled(self, number: int, _frame: object) -> None:
        if number == signal.SIGTERM:
            self._stopping = True

    def _wait_ms(self, now: float) -> int | None:
        waits = [one.start_at - now for one in self._companions if not one.pid]
        return max(0, round(min(waits) * 1000) + 1) if waits else None

    def _start_due(self, now: float) -> None:
        for one in self._companions:
            if not one.pid and one.start_at <= now:
                one.started(self._spawn(one.command), now)
                self._say("started", one.name, pid=one.pid)

    def _spawn(self, command: list[str]) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self._die_with_parent()
            if os.getppid() == parent:  # else it is too late to die with it
                null = os.open(os.devnull, os.O_RDONLY)
                os.dup2(null, 0)
                os.execv(command[0], command)
        except OSError as error:
            os.write(2, f"cannot start {command}: {error}\n".encode())
        finally:
            os._exit(127)

    def _reap(self, now: float) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for one in self._companions:
                if one.pid == pid:
                    code = os.waitstatus_to_exitcode(status)
                    again_s = one.ended(now)
                    self._say("ended", one.name, status=code, again_s=again_s)

    def _end_all(self) -> None:
        for one in self._companions:
            if one.pid:
                os.kill(one.pid, signal.SIGTERM)
        until = time.monotonic() + self._grace_s
        while any(one.pid for one in self._companions) and time.monotonic() < until:
            select.select((), (), (), 0.02)
            self._reap(time.monotonic())
        for one in self._companions:
            if one.pid:
                os.kill(one.pid, signal.SIGKILL)
        self._reap(time.monotonic())

    def _say(self, event: str, name: str, **values: object) -> None:
        if event == "ended" and self._stopping:
            return
        level = "warning" if event == "ended" else "info"
        line: dict[str, object] = {"event": f"companion {event}", "companion": name, **values}
        if self._as_json:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            text = json.dumps({**line, "level": level, "timestamp": stamp})
        else:
            text = " ".join(f"{key}={value}" for key, value in line.items())
        os.write(2, f"{text}\n".encode())


def _prctl() -> Callable[[], object]:
    """A function that makes this process die with its parent; looked up before any fork."""
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):  # no Linux: companions see the end of the pipe alone
        return lambda: None
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def main() -> None:
    """The only argument: `{"companions": [[name, [program, ...]], ...], "json": true}`; `grace_s`
    if companions have another time to end."""
    asked = json.loads(sys.argv[1])
    companions = [Companion(name, command) for name, command in asked["companions"]]
    Supervisor(companions, asked["json"], asked.get("grace_s", GRACE_S)).run()


if __name__ == "__main__":
    main()
