"""A slice of the fuzz; all of it: `python -m tests.wire.iax2.fuzz --count 1000000 --seed 1`."""

from __future__ import annotations

import pytest

from tests.wire.iax2 import fuzz


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ten_thousand_datagrams_of_no_sense(seed: int) -> None:
    outcome = fuzz.run(10_000, seed)
    print(f"seed {seed}: {outcome}")
    assert outcome.growth_kb < 8_000
    assert outcome.peer_calls > 3, "it reached calls, and ended some of its own"
    assert outcome.counters["malformed"] > 100
    assert outcome.counters["unknown_call"] > 100
