"""What goes wrong in a seed, and when. Each kind comes at least once a seed."""

from __future__ import annotations

import random
from typing import NamedTuple

from host.simulate.network import Link

CRASHES = (
    "crash between commits",
    "crash inside a transaction",
    "crash before the commit was told",
    "power failure within a commit",
    "power failure within a checkpoint",
)
"""The process of a host ends and starts again; power failures take the machine, its boot and its
monotonic clock with it."""

OTHERS = (
    "UTC stepped forward",
    "UTC stepped back",
    "disk full",
    "store late",
    "store answer lost",
    "host stalled",
    "host stopped",
    "host gone",
    "peer vanished",
    "relay full",
    "payment doubled",
)
FEES = ("fees killed between months", "fees killed inside a month", "fees run twice at once")
"""They strike the job of the monthly fees, when it next has something to do."""
TRAPS = ("disk full", "store answer lost", "relay full")
"""They take place when a call next meets them."""
MESSAGES = ("message lost", "message doubled", "message reordered")
KILL = "process killed"
"""A real process with the real writer, ended by SIGKILL: real time, so beside the seeds."""

KINDS = (*MESSAGES, *CRASHES, *OTHERS, *FEES)
"""All that a seed injects."""

AMENDED = "calls sent another way"
REACHED = ("months paid", "graces", "suspensions", "releases", AMENDED)
"""No faults, but what has to come about among them: a run in which one does not shows nothing."""

LOAD_S = 200.0
"""Calls begin within so long."""


class Fault(NamedTuple):
    """One thing that goes wrong."""

    at_s: float
    kind: str
    host: int
    """Index of the host that it strikes."""


def plan(dice: random.Random) -> list[Fault]:
    """All faults of a seed but those of messages, in their order."""
    planned = [
        Fault(dice.uniform(8, LOAD_S * (0.6 if kind in TRAPS else 0.95)), kind, dice.randrange(2))
        for kind in (*CRASHES, *OTHERS)
        if kind != "host gone"
    ]
    planned += [Fault(LOAD_S * dice.uniform(0.02, 0.35), kind, 0) for kind in FEES]
    # What a crash took away before it was met is laid again.
    planned += [Fault(LOAD_S * 0.85, kind, 0) for kind in TRAPS]
    extra = ("store late", "store answer lost", "peer vanished", "payment doubled", "relay full")
    planned += [
        Fault(dice.uniform(5, LOAD_S), dice.choice(extra), dice.randrange(2))
        for _ in range(dice.randrange(8))
    ]
    # One machine goes for good, late, so that it carried calls before.
    planned.append(Fault(dice.uniform(LOAD_S * 0.7, LOAD_S), "host gone", 1))
    return sorted(planned)


def link(dice: random.Random) -> Link:
    """How bad the network of a seed is."""
    slowest_s = dice.choice((0.03, 0.1, 0.4))
    return Link(dice.uniform(0.01, 0.15), dice.uniform(0.02, 0.2), (0.002, slowest_s))
