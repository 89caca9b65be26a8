"""When the process of a line is started, started again, given up and ended. No I/O; time comes in.

waiting --due--> running --ended--> waiting   after 1 s, then ever longer, up to a minute
                    |    --ended--> failed    so often in a row, or a wrong configuration
                    +----stop-----> stopped
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

WRONG_CONFIGURATION = 2
"""Exit status of a process that will not come up, however often it is started."""


class State(Enum):
    """Of one line's process."""

    WAITING = "waiting"
    RUNNING = "running"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds, and counts."""

    first_pause_ms: float = 1_000
    """From the first end to the next start; it doubles,"""
    longest_pause_ms: float = 60_000
    """up to this."""
    sound_ms: float = 60_000
    """Who ran for so long begins anew with the first pause."""
    most_ends: int = 8
    """In a row, each before it was sound: the line has failed."""
    stop_ms: float = 10_000
    """To end calls and leave the server; then a process is killed."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start the process of a line."""

    name: str


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask it to end."""

    name: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End it."""

    name: str


Order = Start | Terminate | Kill


@dataclass(slots=True)
class _Line:
    state: State = State.WAITING
    due_ms: float | None = None
    """Waiting: when it is started. Running, and asked to end: when it is killed."""
    started_ms: float = 0.0
    ends: int = 0
    again: bool = False
    """It was asked to end so that it starts anew."""


class Supervision:
    """All lines of a device.

    Args:
        names: of the lines, each once.
    """

    def __init__(self, names: Iterable[str], times: Times | None = None) -> None:
        self._times = times or Times()
        self._lines = {name: _Line() for name in names}
        assert self._lines, "a device has a line"
        self.stopping = False
        self._terminated = False

    def state(self, name: str) -> State:
        """Of one line."""
        return self._lines[name].state

    def pause_ms(self, name: str, now_ms: float) -> float:
        """How long a line that waits still does."""
        due_ms = self._lines[name].due_ms
        return max(0.0, due_ms - now_ms) if due_ms is not None else 0.0

    @property
    def deadline_ms(self) -> float | None:
        """When to call `handle_timer`."""
        instants = (line.due_ms for line in self._lines.values())
        return min((one for one in instants if one is not None), default=None)

    @property
    def done(self) -> bool:
        """Nothing runs, and nothing will."""
        return all(line.state in (State.FAILED, State.STOPPED) for line in self._lines.values())

    @property
    def status(self) -> int:
        """Exit status: 0, or 1 if a line has failed."""
        return int(any(line.state is State.FAILED for line in self._lines.values()))

    def start(self, now_ms: float) -> list[Order]:
        """Begin."""
        return [self._begin(name, now_ms) for name in self._lines]

    def ended(self, name: str, status: int, now_ms: float) -> list[Order]:
        """A process has ended, or could not be started.

        Args:
            status: what it exited with; negative: the signal that ended it.
        """
        line = self._lines[name]
        if line.state is not State.RUNNING:
            return []
        line.due_ms = None
        if self.stopping:
            line.state = State.STOPPED
            return []
        if line.again and status != WRONG_CONFIGURATION:
            return [self._begin(name, now_ms)]
        if now_ms - line.started_ms >= self._times.sound_ms:
            line.ends = 0
        line.ends += 1
        line.again = False
        if status == WRONG_CONFIGURATION or line.ends >= self._times.most_ends:
            line.state = State.FAILED
            return []
        line.state = State.WAITING
        pause_ms = self._times.first_pause_ms * 2 ** (line.ends - 1)
        line.due_ms = now_ms + min(pause_ms, self._times.longest_pause_ms)
        return []

    def handle_timer(self, now_ms: float) -> list[Order]:
        """Do what is due; earlier does no harm."""
        orders: list[Order] = []
        for name, line in self._lines.items():
            if line.due_ms is None or now_ms < line.due_ms:
                continue
            if line.state is State.WAITING:
                orders.append(self._begin(name, now_ms))
            else:
                line.due_ms = None
                orders.append(Kill(name))
        return orders

    def stop(self, now_ms: float) -> list[Order]:
        """End everything. Asked twice, it ends no faster."""
        if self._terminated:
            return []
        self._terminated = True
        self.end()
        return self._terminate(now_ms)

    def end(self) -> None:
        """Start nothing more: the lines end by themselves, each when nobody calls."""
        self.stopping = True
        for line in self._lines.values():
            if line.state is State.WAITING:
                line.state, line.due_ms = State.STOPPED, None

    def restart(self, now_ms: float) -> list[Order]:
        """Start every line anew, the failed ones too: the configuration has changed."""
        if self.stopping:
            return []
        orders = self._terminate(now_ms)
        for name, line in self._lines.items():
            if line.state is State.RUNNING:
                line.again = True
            else:
                line.ends = 0
                orders.append(self._begin(name, now_ms))
        return orders

    def _terminate(self, now_ms: float) -> list[Order]:
        orders: list[Order] = []
        for name, line in self._lines.items():
            if line.state is State.RUNNING:
                line.due_ms = now_ms + self._times.stop_ms
                orders.append(Terminate(name))
        return orders

    def _begin(self, name: str, now_ms: float) -> Start:
        line = self._lines[name]
        if line.again:
            line.ends = 0
        line.state, line.due_ms, line.again = State.RUNNING, None, False
        line.started_ms = now_ms
        return Start(name)
