"""Commands: registrations, status."""

from __future__ import annotations

from typing import Annotated

import typer

from host.api.registrations import Registration, page, registrations
from host.api.services import Services
from host.api.store import Store
from host.cli.context import Context
from host.cli.output import fail, show, show_one, utc
from host.control_client import Unreachable, ask

_PAGE = 500


def list_registrations(
    ctx: typer.Context,
    account: Annotated[str, typer.Argument(help="Of this one alone.")] = "",
) -> None:
    """Where devices are registered now: live in this host, and over UDP in the others."""
    env: Context = ctx.obj
    services = Services(env.settings, Store(env.settings.database))
    found: list[Registration] = []
    with env.reading() as conn:
        if account:
            row = conn.execute("SELECT id FROM account WHERE username = ?", (account,)).fetchone()
            if row is None:
                fail(f"no account {account!r}: `account list` shows them")
            found = registrations(services, conn, row[0])
        else:
            while some := page(services, conn, found[-1].account_id if found else 0, _PAGE):
                found += some
    columns = ("account", "pop", "protocol", "transport", "address", "port", "expires_s")
    rows = [one._asdict() for one in found]
    show(rows, columns, as_json=env.json, empty="nobody is registered")


def status(ctx: typer.Context) -> None:
    """How the host on this machine is doing; exit status 1 if it does not answer."""
    env: Context = ctx.obj
    try:
        told = ask(env.settings.control, "figures")
    except Unreachable as error:
        fail(str(error))
    if env.json:
        show_one(told, as_json=True)
        return
    waits, lag = told["waits"]["authorize"], told["lag"]
    outcomes = ", ".join(f"{count} {what}" for what, count in sorted(told["outcomes"].items()))
    show_one(
        {
            "host": told["host_id"],
            "since": f"{utc(told['started_utc_ms'])} UTC",
            "live_calls": told["live_calls"],
            "waiting_for_a_quota": told["waiting"],
            "calls_since": outcomes or "none",
            "registrations": told["registrations"],
            "authorize_p99": _p99(waits["bounds"], waits["within"]),
            "loop_lag_p99": _p99(lag["bounds"], lag["within"]),
            "failed_commits": told["failed_commits"],
        },
        as_json=False,
    )


def _p99(bounds: list[float], within: list[int]) -> str:
    """The first bound that 99 of 100 did not exceed."""
    total = within[-1]
    if not total:
        return "nothing yet"
    for bound, count in zip(bounds, within, strict=False):
        if count >= 0.99 * total:
            return f"at most {bound * 1000:g} ms"
    return f"more than {bounds[-1] * 1000:g} ms"
