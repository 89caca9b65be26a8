"""Command: serve."""

from __future__ import annotations

import json
import os
import pickle
import sys

import typer

from host.cli.context import Context
from host.funds import deposits, methods
from host.numbering.pops import number_pops


def serve(ctx: typer.Context) -> None:
    """Carry calls until interrupted, with the API, fees, mail and webhooks beside it.

    The process that carries calls takes this one's place; its signals and its exit status are
    the command's. What is beside it is started again when it dies, and never ends a call.
    """
    env: Context = ctx.obj
    with env.store() as conn:
        for listener in env.settings.listeners:
            conn.execute(
                "INSERT INTO pop (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (listener.pop,)
            )
        number_pops(conn)
    # The process that carries calls starts afresh, without what the command line imported.
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as pipe:
        settings = pickle.dumps(env.settings)
        assert len(settings) < 65_536, "the settings fit into a pipe that nobody reads yet"
        pipe.write(settings)
    os.set_inheritable(reader, True)
    command = [sys.executable, "-m", "host", "--settings-fd", str(reader)]
    beside = companions(env)
    if beside:
        asked = {"companions": list(beside.items()), "json": env.settings.log_json}
        command += ["--companions", json.dumps(asked)]
    sys.stdout.flush()
    os.execv(sys.executable, command)


def companions(env: Context) -> dict[str, list[str]]:
    """What runs beside the process that carries calls: names, and the commands."""
    settings = env.settings
    config = ["--config", str(env.config.absolute())] if env.config else []
    command = [sys.executable, "-m", "host.cli.main", *config]
    found: dict[str, list[str]] = {}
    if settings.api.enabled:
        found["api"] = [sys.executable, "-m", "host.api", *config]
    if settings.fees.enabled:
        found["fees"] = [*command, "fees", "run"]
    if settings.mail.host:
        found["mail"] = [*command, "mail", "run"]
    if any(not methods.lacks(name) for name in deposits.PROVIDED):
        found["webhooks"] = [*command, "deposit", "listen"]
    return found
