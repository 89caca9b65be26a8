"""What every part of the API is given: settings, store, clock, and the process with the calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from host.api.limits import Lockout, Pace
from host.api.store import Store
from host.api.totals import Totals
from host.charging.values import Now
from host.control_client import ask
from host.settings import Settings


def this_instant() -> Now:
    return Now(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)


@dataclass(slots=True)
class Services:
    """One API process."""

    settings: Settings
    store: Store
    now: Callable[[], Now] = this_instant
    ask: Callable[..., Any] = ask
    """Asks the process that carries calls, as `host.control_client.ask`."""
    sources: Lockout = field(init=False)
    """Of wrong passwords and tokens, by address."""
    pace: Pace = field(init=False)
    totals: Totals = field(default_factory=Totals)

    def __post_init__(self) -> None:
        api = self.settings.api
        self.sources = Lockout(api.lockout_failures, api.lockout_s)
        self.pace = Pace(api.requests_per_minute)

    def live(self, do: str, **values: Any) -> Any:
        """Ask the process that carries calls.

        Raises:
            Unreachable, Refused: as `host.control_client.ask`.
        """
        return self.ask(self.settings.control, do, **values)
