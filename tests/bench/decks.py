"""What a million prefixes cost: to import, to look up, and in the memory of the process with calls.

Run as a program it is told a store, and looks numbers up in it as that process does.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from host.numbering.directory import Directory
from host.store.opening import open_reader
from tests.bench.figures import Figure
from tests.bench.processes import resident_mb, running, wait_bound
from tests.bench.subjects import Bed
from tests.scenarios.rig import ROOT

PREFIXES = 1_000_000
NUMBERS = 100_000
"""Looked up in a round: more than fit any cache of theirs."""
_SEED = 20_260_101
_TIMEOUT_S = 300
_PATH = {"PYTHONPATH": str(ROOT)}


def write_deck(path: Path, prefixes: int) -> None:
    """A deck of prefixes of three to eight digits, many within others, of many prices on both
    routes, by a fixed seed."""
    dice = random.Random(_SEED)
    made: set[str] = set()
    while len(made) < prefixes:
        length = dice.choice((2, 3, 4, 5, 6, 6, 7))
        made.add(f"{dice.randint(2, 9)}{dice.randrange(10**length):0{length}}")
    with path.open("w", encoding="utf-8") as out:
        out.write("prefix,destination,value,premium,first_s,step_s\n")
        for prefix in sorted(made):
            price = dice.randint(10, 4_000)
            first_s, step_s = dice.choice(((1, 1), (6, 6), (30, 6), (60, 60)))
            out.write(
                f"{prefix},Place {prefix[:3]},{price / 10_000:.4f},{price / 10_000 + 0.005:.4f},"
                f"{first_s},{step_s}\n"
            )


def measure(
    bed: Bed, rounds: int, prefixes: int, step: Callable[[str, float], None]
) -> Iterator[Figure]:
    """All three figures, of a store of their own."""
    folder = bed.folder / "rates"
    folder.mkdir()
    config, database, deck = folder / "host.toml", folder / "host.sqlite", folder / "deck.csv"
    config.write_text(
        f'database = "{database}"\n[[listeners]]\naddress = "{bed.host.address}"\n'
        f'port = {bed.host.port}\n[media]\naddress = "{bed.host.address}"\n'
        "[api]\nenabled = false\n[fees]\nenabled = false\n"
    )
    command = [sys.executable, "-m", "host.cli.main", "--config", str(config)]
    step("a deck of a million prefixes", 8)
    write_deck(deck, prefixes)
    step("importing it", 30)
    began = time.monotonic()
    told = json.loads(_run([*command, "rates", "import", str(deck), "--replace", "--json"]))
    import_s = time.monotonic() - began
    if told["imported"] != 2 * prefixes:
        raise RuntimeError(f"of 2 * {prefixes} rates {told['imported']} were imported")
    yield Figure.of("rate_import_s", [import_s])
    runs = []
    for turn in range(rounds):
        step(f"looking numbers up, round {turn + 1}", 2)
        runs.append(float(_run([sys.executable, "-m", "tests.bench.decks", str(database)])))
    yield Figure.of("rate_lookup_us", runs)
    step("a host with a million prefixes", 3)
    log = folder / "host.log"
    with running([*command, "serve"], log, folder, _PATH) as process:
        wait_bound(process, *bed.host, log)
        time.sleep(1)
        memory = resident_mb(process.pid)
    yield Figure.of("million_rates_rss_mb", [memory])


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


def look_up_us(database: Path) -> float:
    """Microseconds that a look-up of a number takes, numbers and both routes in turn."""
    directory = Directory(
        open_reader(database),
        "bench",
        refreshed_by_user=True,
        utc_ms=lambda: time.time_ns() // 1_000_000,
    )
    directory.refresh()
    dice = random.Random(_SEED + 1)
    numbers = [f"+{dice.randrange(2 * 10**10, 10**11)}" for _ in range(NUMBERS)]
    find, found = directory.rate, 0
    began = time.perf_counter()
    for number in numbers:
        if find("value", number) is not None:
            found += 1
        if find("premium", number) is not None:
            found += 1
    took_s = time.perf_counter() - began
    if found < NUMBERS:
        raise RuntimeError(f"of {2 * NUMBERS} look-ups {found} found a rate")
    return took_s / (2 * NUMBERS) * 1e6


if __name__ == "__main__":
    print(look_up_us(Path(sys.argv[1])))
