"""Command: simulate."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from host.cli.context import Context
from host.cli.output import fail


def simulate(
    ctx: typer.Context,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="How many, one after the other.")] = 1,
    jobs: Annotated[
        int, typer.Option(min=0, help="Processes at once; 0: one a core.", show_default=True)
    ] = 0,
    plant: Annotated[
        str, typer.Option(help="Plant a mistake that has to be found.", hidden=True)
    ] = "",
) -> None:
    """Try the charging of calls under faults, by seed; no store of yours is touched.

    Each seed plays some hundred calls on two hosts while messages are lost, processes crash
    between two writes, clocks step and the disk fills up, and months go by whose fees are due; it
    audits the ledger all along. The same seed plays the same, so a failure can be repeated.
    """
    # Imported here: no other command needs it.
    from host.simulate import faults, runs
    from host.simulate.plants import PLANTS
    from host.simulate.world import Outcome

    env: Context = ctx.obj
    if plant and plant not in PLANTS:
        fail(f"there is no mistake {plant!r} to plant: use one of {', '.join(PLANTS)}", 2)
    jobs = min(jobs or os.cpu_count() or 1, seeds)
    again = f" --plant {plant}" if plant else ""
    bar = Progress(
        TextColumn("simulating"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty() or seeds == 1,
        transient=True,
    )
    began = time.monotonic()
    with bar:
        task = bar.add_task("", total=seeds)

        def told(outcome: Outcome) -> None:
            bar.advance(task)

        totals = runs.run(seed, seeds, jobs=jobs, plant=plant, told=told)
    took_s = time.monotonic() - began
    repeat = "loopstart-host simulate --seed {}" + again
    if env.json:
        values = {
            "first_seed": seed,
            "seeds": totals.seeds,
            "calls": totals.calls,
            "audits": totals.audits,
            "injected": {k: totals.injected[k] for k in (*faults.KINDS, faults.KILL)},
            "reached": {what: totals.reached[what] for what in faults.REACHED},
            "never_injected": totals.never,
            "failed": [
                {"seed": one, "broken": broken, "repeat": repeat.format(one)}
                for one, broken in totals.broken
            ],
            "digest": totals.digest,
            "seeds_per_minute": round(totals.seeds / took_s * 60, 1),
        }
        print(json.dumps(values))
    else:
        for one, broken in totals.broken:
            print(f"seed {one} failed: {broken}\n  repeat it: {repeat.format(one)}")
        counts = ", ".join(
            f"{totals.injected[kind]} {kind}" for kind in (*faults.KINDS, faults.KILL)
        )
        reached = ", ".join(f"{totals.reached[what]} {what}" for what in faults.REACHED)
        verdict = "every promise kept" if totals.sound else f"{len(totals.broken)} FAILED"
        if totals.never:
            verdict += f", NEVER INJECTED: {', '.join(totals.never)}"
        print(
            f"{totals.seeds} seeds, {totals.calls} calls, {totals.audits} audits: {verdict}; "
            f"faults: {counts}; among them: {reached}"
        )
    if not totals.sound:
        raise typer.Exit(1)
