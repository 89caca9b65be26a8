"""Commands: store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import typer

from host.cli.context import Context, sentences
from host.cli.output import show
from host.store.upgrading import StoreState, state, upgrade

store = typer.Typer(
    no_args_is_help=True, help="The store's schema: a file of SQLite, or a database of PostgreSQL."
)


@store.command(
    "status",
    epilog="Exit status: 0 up to date, 1 something is pending or the store cannot be read. "
    "Example: loopstart-host store status --json",
)
def store_status(ctx: typer.Context) -> None:
    """Which schema the store has, and which steps lead to the one that this program needs."""
    env: Context = ctx.obj
    with sentences():
        found = state(env.settings.database)
    _show(found, as_json=env.json)
    if found.schema != found.newest:
        raise typer.Exit(1)


@store.command(
    "upgrade",
    epilog="Exit status: 0 the store is up to date, 1 nothing was changed. "
    "Example: loopstart-host store upgrade --config host.toml",
)
def store_upgrade(ctx: typer.Context) -> None:
    """Bring the store to the newest schema, in one transaction; stop the hosts on it first."""
    env: Context = ctx.obj
    with sentences():
        before = upgrade(env.settings.database)
    if env.json:
        _show(replace(before, schema=before.newest, pending=()), as_json=True)
        return
    for number, about in before.pending:
        print(f"schema {number}: {about}")
    done = "made" if before.schema is None else "is now" if before.pending else "is already"
    print(f"the store {done} at schema {before.newest}")


def _show(found: StoreState, *, as_json: bool) -> None:
    steps = [f"{number} {about}" for number, about in found.pending]
    if found.schema is None:
        steps = ["it is made at the first start"]
    elif found.schema > found.newest:
        steps = ["none: a newer program wrote it"]
    row: dict[str, Any] = {
        "store": found.kind,
        "schema": found.schema,
        "newest": found.newest,
    }
    if as_json:
        pending: Any = [{"schema": number, "about": about} for number, about in found.pending]
        show([{**row, "pending": pending}], (), as_json=True, empty="")
        return
    rows = [{**row, "pending": step} for step in steps or [""]]
    show(rows, ("store", "schema", "newest", "pending"), as_json=False, empty="")
