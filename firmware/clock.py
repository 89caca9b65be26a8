"""The clock that the shells hand to all that has none of its own."""

from __future__ import annotations

import time


def monotonic_ms() -> float:
    """Monotonic milliseconds."""
    return time.monotonic_ns() / 1e6
