"""Command: compile."""

from __future__ import annotations

import json

import typer
from rich.console import Console

from host import compiled, compiling
from host.cli.context import Context
from host.cli.output import fail


def compile_core(ctx: typer.Context) -> None:
    """Make machine code of the part that reads and writes SIP: a fifth less processor for a call.

    Half a minute, once after each update; the next `serve` takes it. Without it, and after the
    sources have changed, the same sources run as Python.
    """
    env: Context = ctx.obj
    there = compiled.place().is_dir()
    try:
        with Console(stderr=True).status("compiling the SIP core (half a minute) ..."):
            place = compiling.make()
    except compiling.CompileError as error:
        fail(f"the SIP core could not be compiled, it goes on as Python: {error}")
    if env.json:
        print(json.dumps({"compiled": str(place), "new": not there}))
    elif there:
        print(f"it is there already: {place}")
    else:
        print(f"compiled: {place}; the next `loopstart-host serve` takes it")
