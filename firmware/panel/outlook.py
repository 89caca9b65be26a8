"""How the device is, as its processes and the kernel tell it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from firmware.network import has_way_out
from firmware.panel.leds import Situation
from firmware.status import UPDATING, is_alive, line_states

START_MS = 60_000.0
"""A program that does not run for longer than this is not starting any more."""


class Outlook:
    """Looks at one device.

    Args:
        config: its configuration, which may not be there yet.
        run: folder of the lines' states.
        alive: whether there is such a process.
        network: folder of the kernel's network interfaces.
        way_out: whether there is a default route.
    """

    def __init__(
        self,
        config: Path,
        run: Path,
        alive: Callable[[int], bool] = is_alive,
        network: Path = Path("/sys/class/net"),
        way_out: Callable[[], bool] = has_way_out,
    ) -> None:
        self._config, self._run, self._alive = config, run, alive
        self._network, self._way_out = network, way_out
        self._gone_ms: float | None = None
        """Since when a configured program has not run."""

    def look(self, holding: bool, now_ms: float) -> Situation:
        """How it is now."""
        lines = line_states(self._run, self._alive)
        configured = _there(self._config)
        if lines or not configured:
            self._gone_ms = None
        elif self._gone_ms is None:
            self._gone_ms = now_ms
        late = self._gone_ms is not None and now_ms - self._gone_ms >= START_MS
        link = any(_carries(path) for path in sorted(self._network.glob("*")))
        return Situation(
            starting=configured and not lines and not late,
            stopped=late,
            holding=holding,
            link=link,
            address=link and self._way_out(),
            configured=configured,
            registered=bool(lines) and all(one.registered for one in lines),
            ringing=any(one.ringing for one in lines),
            in_use=any(one.calls for one in lines),
            messages=any(one.messages for one in lines),
            updating=(self._run / UPDATING).exists(),
            alarm=any(one.alarm for one in lines),
        )


def _there(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _carries(interface: Path) -> bool:
    """Whether a cable is in; the kernel refuses to say of an interface that is switched off."""
    if interface.name == "lo":
        return False
    try:
        return (interface / "carrier").read_text().strip() == "1"
    except OSError:
        return False


def words(situation: Situation) -> Sequence[str]:
    """What is true of it, for the log."""
    return [name for name in Situation.__slots__ if getattr(situation, name)]
