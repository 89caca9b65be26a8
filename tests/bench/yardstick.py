"""How fast this machine is at the moment: a fixed piece of work that nothing of ours is part of.

A virtual machine shares its processor with others that nobody sees: the same work has taken half
as long again an hour later. A figure says something only beside the yardstick of its own minutes.
"""

from __future__ import annotations

import statistics
import time

_LINES = [f"Header-{number}: value {number};tag={number * 7919:x}" for number in range(64)]
_ROUNDS, _TIMES = 60, 25


def yardstick_ms() -> float:
    """Milliseconds of processor time that splitting and gathering 3,840 lines takes, the median."""
    return statistics.median(_once_ms() for _ in range(_TIMES))


def _once_ms() -> float:
    began = time.thread_time()
    for _ in range(_ROUNDS):
        fields: dict[str, list[str]] = {}
        for line in _LINES:
            name, _, value = line.partition(":")
            fields.setdefault(name.lower(), []).append(value.strip())
        assert len(fields) == len(_LINES)
        "\r\n".join(f"{name}: {values[0]}" for name, values in fields.items()).encode()
    return (time.thread_time() - began) * 1000
