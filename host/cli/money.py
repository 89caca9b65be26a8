"""Commands: pay, cdr, ledger."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Annotated

import typer

from host.charging import ledger as books
from host.charging.money import format_usd, parse_usd
from host.cli.context import Context, now, rows_of
from host.cli.funds import show_methods
from host.cli.output import fail, say, show, show_one
from host.funds.deposits import credit_by_hand

cdr = typer.Typer(no_args_is_help=True, help="Calls that are over: one record a billed leg.")
ledger = typer.Typer(no_args_is_help=True, help="The double-entry ledger.")


def pay(
    ctx: typer.Context,
    account: str,
    amount: Annotated[str, typer.Argument(help="USD")] = "",
    provider: Annotated[str, typer.Option(help="card, paypal, wire or manual")] = "manual",
    payment_id: Annotated[
        str, typer.Option("--id", help="The provider's id: it is credited once.")
    ] = "",
    note: str = "",
) -> None:
    """Credit a payment to an account, or to the main account of a sub-account.

    `pay methods` shows the ways to pay, and what those that are not set up lack.
    """
    env: Context = ctx.obj
    if not amount:
        if account == "methods":
            show_methods(env)
            return
        fail("how much? `pay ACCOUNT AMOUNT`, or `pay methods` for the ways to pay", 2)
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
        fresh, fee = credit_by_hand(conn, now(), found[0], provider, units, payment_id, note)
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
    where, values = ["1 = 1"], []
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


@cdr.command("show", epilog="Example: loopstart-host cdr show host1-19a3-7")
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


@ledger.command("check", epilog="Example: loopstart-host ledger check --json")
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


@ledger.command("balance", epilog="Example: loopstart-host ledger balance alice")
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
