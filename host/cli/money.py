"""Commands: rates, pay, calls, cdr, ledger."""

from __future__ import annotations

import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from host.charging import ledger as books
from host.charging.money import format_usd, parse_usd
from host.charging.payments import fee_of
from host.charging.rating import charge
from host.charging.values import Refusal
from host.cli.context import Context, now, rows_of
from host.cli.output import fail, say, show, show_one
from host.numbering.deck import DEFAULT_DECK, import_deck, read_deck
from host.numbering.directory import Directory

_GIVE_WAY_S = 0.02
"""Between two parts of an import, so that the commits of calls come in between."""

rates = typer.Typer(no_args_is_help=True, help="What calls cost.")
cdr = typer.Typer(no_args_is_help=True, help="Calls that are over: one record a billed leg.")
ledger = typer.Typer(no_args_is_help=True, help="The double-entry ledger.")


@rates.command("import", epilog="Example: loopstart-host rates import deck.csv --replace")
def rates_import(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="CSV with a header; the default deck if left out.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop the rates that are not in the file.")
    ] = False,
) -> None:
    """Put a deck of rates into force, all of it or nothing; calls go on meanwhile.

    Columns: prefix, then value and premium (USD a minute; empty: not offered), and if wanted
    destination, first_s, step_s, connect_fee, carriers (names, | between).
    """
    env: Context = ctx.obj
    file = file or DEFAULT_DECK
    with env.store() as conn:
        try:
            text = file.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            fail(f"{file} cannot be read ({error}): name a CSV file in UTF-8")
        rows = read_deck(text.splitlines(keepends=True))
        with Progress(
            console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True
        ) as bar:
            task = bar.add_task("importing", total=len(rows))
            total = import_deck(
                conn,
                rows,
                replace=replace,
                progress=lambda done: bar.update(task, completed=done),
                give_way=lambda: time.sleep(_GIVE_WAY_S),
            )
    say(
        f"{len(rows)} rates of {file.name} are in force, {total} in all",
        as_json=env.json,
        imported=len(rows),
        total=total,
    )


@rates.command("list")
def rates_list(ctx: typer.Context, prefix: Annotated[str, typer.Argument()] = "") -> None:
    """The deck in force, or what of it begins with PREFIX."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = rows_of(
            conn,
            "SELECT prefix, destination, route, per_minute, first_s, step_s, connect_fee, "
            "carriers FROM rate WHERE deck = (SELECT deck FROM config) "
            "AND prefix GLOB ? || '*' ORDER BY prefix, route",
            ("".join(c for c in prefix if c.isdigit()),),
        )
    columns = ("prefix", "destination", "route", "per_minute", "first_s", "step_s", "carriers")
    show(rows, columns, as_json=env.json, empty="no such rates: `rates import FILE`")


@rates.command("quote", epilog="Example: loopstart-host rates quote alice 5145550100 --seconds 90")
def rates_quote(
    ctx: typer.Context,
    account: str,
    number: str,
    seconds: Annotated[int, typer.Option(min=0, max=10_000_000)] = 60,
) -> None:
    """What a call of this account would cost, and by which carriers it would go."""
    env: Context = ctx.obj
    with env.reading() as conn:
        directory = Directory(conn, env.settings.sip.realm)
        found = directory.account_by_username(account)
        if found is None:
            fail(f"no account {account!r}: `account list` shows them")
        plan = directory.route_outgoing(found, number)
    if isinstance(plan, Refusal):
        fail(f"{account} cannot call {number}: {plan.reason.value} ({plan.detail})")
    leg = plan.legs[0]
    row = {
        "number": plan.number,
        "route": leg.route,
        "rate": leg.tariff_ref,
        "per_minute": leg.tariff.per_minute,
        "first_s": leg.tariff.first_s,
        "step_s": leg.tariff.step_s,
        "connect_fee": leg.tariff.connect_fee,
        "seconds": seconds,
        "cost": charge(leg.tariff, seconds * 1000),
        "carriers": ", ".join(one.name for one in plan.carriers),
    }
    show_one(row, as_json=env.json)


def pay(
    ctx: typer.Context,
    account: str,
    amount: Annotated[str, typer.Argument(help="USD")],
    provider: Annotated[str, typer.Option(help="card, paypal, wire or manual")] = "manual",
    payment_id: Annotated[
        str, typer.Option("--id", help="The provider's id: it is credited once.")
    ] = "",
    note: str = "",
) -> None:
    """Credit a payment to an account, or to the main account of a sub-account."""
    env: Context = ctx.obj
    if not payment_id:
        if provider != "manual":
            fail(f"a payment by {provider} needs --id, the id that {provider} gave it", 2)
        payment_id = secrets.token_hex(8)
    with env.writing() as conn:
        found = conn.execute(
            "SELECT coalesce(parent_id, id) FROM account WHERE username = ?", (account,)
        ).fetchone()
        if found is None:
            fail(f"no account {account!r}: `account list` shows them")
        units = parse_usd(amount)
        fee = fee_of(provider, units)
        instant = now()
        fresh = books.pay(conn, instant, found[0], units, provider, payment_id, note)
        if fresh and fee:
            books.take_fee(conn, instant, found[0], fee, f"{provider}:{payment_id}", note)
        funds = books.balance(conn, found[0])
    done = "credited" if fresh else "was credited before, nothing changed"
    say(
        f"{format_usd(units)} USD {done}; {account} has {format_usd(funds.available)} available",
        as_json=env.json,
        account=account,
        amount=units,
        fee=fee,
        id=payment_id,
        credited=fresh,
        **funds._asdict(),
    )


def calls(ctx: typer.Context) -> None:
    """Live calls, of all hosts."""
    env: Context = ctx.obj
    instant = now().utc_ms
    with env.reading() as conn:
        rows = rows_of(
            conn,
            "SELECT call_id, account, direction, caller, callee, carrier, started_utc_ms, "
            "max(0, ? - answered_utc_ms) AS talk_ms, granted_ms, (SELECT coalesce(sum(amount), 0) "
            "FROM hold WHERE hold.call = call.id AND hold.state = 'pending') AS held, host_id "
            "FROM call WHERE state = 'open' ORDER BY id",
            (instant,),
        )
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


@cdr.command("list", epilog="Example: loopstart-host cdr list --account alice --since 2026-01-31")
def cdr_list(
    ctx: typer.Context,
    account: str = "",
    number: Annotated[str, typer.Option(help="Caller or callee contains this.")] = "",
    disposition: Annotated[str, typer.Option(help="answered, refused, ...")] = "",
    since: Annotated[datetime | None, typer.Option(help="UTC")] = None,
    until: Annotated[datetime | None, typer.Option(help="UTC")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000)] = 50,
) -> None:
    """The last calls, newest first."""
    env: Context = ctx.obj
    where, values = ["1"], []
    for condition, value in (
        ("account = ?", account),
        ("instr(caller || ' ' || callee, ?)", number),
        ("disposition = ?", disposition),
        ("started_utc_ms >= ?", since and int(since.replace(tzinfo=UTC).timestamp() * 1000)),
        ("started_utc_ms < ?", until and int(until.replace(tzinfo=UTC).timestamp() * 1000)),
    ):
        if value:
            where.append(condition)
            values.append(value)
    with env.reading() as conn:
        rows = rows_of(
            conn,
            f"SELECT * FROM cdr WHERE {' AND '.join(where)} ORDER BY id DESC, leg LIMIT ?",
            (*values, limit),
        )
    columns = (
        "started_utc_ms",
        "account",
        "direction",
        "caller",
        "callee",
        "disposition",
        "reason",
        "billed_ms",
        "cost",
        "tariff_ref",
        "ended_by",
        "call_id",
    )
    show(rows, columns, as_json=env.json, empty="no such calls")


@cdr.command("show")
def cdr_show(ctx: typer.Context, call_id: str) -> None:
    """All records of one call."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = rows_of(conn, "SELECT * FROM cdr WHERE call_id = ? ORDER BY leg", (call_id,))
    if not rows:
        fail(f"no CDR of call {call_id}: `calls` shows live calls, `cdr list` those that are over")
    if env.json:
        show(rows, (), as_json=True, empty="")
        return
    for index, row in enumerate(rows):
        if index:
            print()
        show_one(row, as_json=False)


@ledger.command("check")
def ledger_check(ctx: typer.Context) -> None:
    """Audit ledger, holds, channels and CDRs; exit status 1 if anything is wrong."""
    env: Context = ctx.obj
    with env.reading() as conn:
        faults = books.check(conn)
    if env.json:
        say("", as_json=True, sound=not faults, faults=faults)
    elif not faults:
        print("the ledger is in balance")
    if faults:
        fail("\n       ".join(["the ledger is not in balance:", *faults]))


@ledger.command("balance")
def ledger_balance(ctx: typer.Context, account: str) -> None:
    """What an account has, what live calls hold of it, and what is left."""
    env: Context = ctx.obj
    with env.reading() as conn:
        found = conn.execute(
            "SELECT coalesce(parent_id, id) FROM account WHERE username = ?", (account,)
        ).fetchone()
        if found is None:
            fail(f"no account {account!r}: `account list` shows them")
        funds = books.balance(conn, found[0])
    show_one({"account": account, **funds._asdict()}, as_json=env.json)
