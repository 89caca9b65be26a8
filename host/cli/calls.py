"""Commands: calls."""

from __future__ import annotations

import typer

from host.cli.context import Context, now, rows_of
from host.cli.output import fail, say, show
from host.control_client import Refused, Unreachable, ask

app = typer.Typer(
    invoke_without_command=True,
    help="Live calls, of all hosts; `calls end` ends one.",
    epilog="Example: loopstart-host calls end host1-19a3-7",
)

_LIVE = """
SELECT call_id, account, direction, caller, callee, carrier, started_utc_ms,
    CASE WHEN ? > answered_utc_ms THEN ? - answered_utc_ms ELSE 0 END AS talk_ms, granted_ms,
    (SELECT coalesce(sum(amount), 0) FROM hold WHERE hold.call = call.id
        AND hold.state = 'pending') AS held, host_id
FROM call WHERE state = 'open' ORDER BY id"""


@app.callback()
def calls(ctx: typer.Context) -> None:
    """Live calls, of all hosts; `calls end` ends one."""
    if ctx.invoked_subcommand is not None:
        return
    env: Context = ctx.obj
    instant = now().utc_ms
    with env.reading() as conn:
        rows = rows_of(conn, _LIVE, (instant, instant))
    columns = (
        "call_id",
        "account",
        "caller",
        "callee",
        "carrier",
        "started_utc_ms",
        "talk_ms",
        "granted_ms",
        "held",
    )
    show(rows, columns, as_json=env.json, empty="no live calls")


@app.command("end", epilog="Example: loopstart-host calls end host1-19a3-7")
def calls_end(ctx: typer.Context, call_id: str) -> None:
    """End a live call of the host on this machine; it is charged for what was talked."""
    env: Context = ctx.obj
    with env.reading() as conn:
        found = conn.execute(
            "SELECT host_id FROM call WHERE call_id = ? AND state = 'open'", (call_id,)
        ).fetchone()
    if found and found[0] != env.settings.host_id:
        fail(f"call {call_id} is on {found[0]}: run this there, with that host's configuration")
    try:
        ask(env.settings.control, "end", call_id=call_id)
    except (Refused, Unreachable) as error:
        fail(str(error))
    say(f"call {call_id} is ended", as_json=env.json, call_id=call_id)
