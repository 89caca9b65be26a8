"""Many seeds, on one core or several, and what came of all of them."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from host.simulate import faults
from host.simulate.killed import kill_one
from host.simulate.world import Outcome, run_seed

SEEDS_A_KILL = 500
"""One real process is killed for so many seeds, and one at least."""


@dataclass(slots=True)
class Totals:
    """Of a range of seeds."""

    seeds: int = 0
    calls: int = 0
    audits: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, str]] = field(default_factory=list)
    """Seed and the promise that it broke."""
    _digest: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def add(self, outcome: Outcome) -> None:
        """Count one more seed; they come in their order."""
        self.seeds += 1
        self.calls += outcome.calls
        self.audits += outcome.audits
        self.injected.update(outcome.injected)
        self.reached.update(outcome.reached)
        self._digest.update(f"{outcome.seed} {outcome.digest}\n".encode())
        if outcome.broken:
            self.broken.append((outcome.seed, outcome.broken))

    @property
    def digest(self) -> str:
        """Of all that happened in all seeds (but the killed processes): equal for equal runs."""
        return self._digest.hexdigest()

    @property
    def never(self) -> list[str]:
        """Kinds of faults that did not occur, and what did not come about among them."""
        kinds = [kind for kind in (*faults.KINDS, faults.KILL) if not self.injected[kind]]
        return kinds + [what for what in faults.REACHED if not self.reached[what]]

    @property
    def sound(self) -> bool:
        """Every promise was kept, under every kind of fault."""
        return not self.broken and not self.never


def run(
    first: int,
    count: int,
    *,
    jobs: int = 1,
    plant: str = "",
    told: Callable[[Outcome], None] = lambda outcome: None,
) -> Totals:
    """Run `count` seeds from `first` on, and kill real processes beside them.

    Args:
        jobs: processes at once.
        plant: a mistake to plant (see `host.simulate.plants`).
        told: hears of each seed, in order.
    """
    totals = Totals()
    for outcome in _outcomes(first, count, jobs, plant):
        totals.add(outcome)
        told(outcome)
    for number in range(max(1, count // SEEDS_A_KILL)):
        broken, calls = kill_one(first + number)
        totals.calls += calls
        totals.injected[faults.KILL] += 2
        if broken:
            totals.broken.append((first + number, f"{faults.KILL}: {broken}"))
    return totals


def _outcomes(first: int, count: int, jobs: int, plant: str) -> Iterator[Outcome]:
    seeds, one = range(first, first + count), partial(run_seed, plant=plant)
    if jobs == 1 or count == 1:
        yield from map(one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(min(jobs, count)) as pool:
        yield from pool.imap(one, seeds, chunksize=4)
