"""Commands: threshold, mail."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Annotated

import typer

from host.charging.ledger import balance
from host.charging.money import format_usd
from host.cli.context import Context, now, rows_of
from host.cli.funds import main_account, parse_usd_or_fail
from host.cli.output import fail, say, show, show_one
from host.funds import alerts
from host.logs import configure
from host.store.opening import open_writer
from host.store.sqlite import StoreError

PASSWORD = "LOOPSTART_SMTP_PASSWORD"

threshold = typer.Typer(no_args_is_help=True, help="Low-balance alerts of customers.")
mail = typer.Typer(no_args_is_help=True, help="Mail to customers.")


@threshold.command(
    "set",
    epilog="Example: loopstart-host threshold set alice 5 --email alice@example.net --language fr",
)
def threshold_set(
    ctx: typer.Context,
    account: str,
    amount: Annotated[str, typer.Argument(help="USD; 0: no alert. Left out: as it is.")] = "",
    email: Annotated[str | None, typer.Option(help="Where mail to this customer goes.")] = None,
    language: Annotated[str | None, typer.Option(help="en, fr or es")] = None,
) -> None:
    """Tell a customer by mail each time that the balance falls below an amount."""
    env: Context = ctx.obj
    units = parse_usd_or_fail(amount) if amount else None
    with env.writing() as conn:
        main = main_account(conn, account)
        after = alerts.set_alert(conn, main, threshold=units, address=email, language=language)
        funds = balance(conn, main)
    text = f"{account} is told of no low balance"
    if after.threshold:
        text = (
            f"{after.address} is told when {account} falls below {format_usd(after.threshold)} USD"
        )
        if funds.funds < after.threshold:
            text += "; it is below already, so first after the next deposit above it"
    say(text, as_json=env.json, account=account, **after._asdict(), funds=funds.funds)


@threshold.command("show", epilog="Example: loopstart-host threshold show alice")
def threshold_show(ctx: typer.Context, account: str) -> None:
    """When and where a customer is told."""
    env: Context = ctx.obj
    with env.reading() as conn:
        found = alerts.alert(conn, main_account(conn, account))
    show_one({"account": account, **found._asdict()}, as_json=env.json)


@mail.command("list", epilog="Example: loopstart-host mail list --state failed")
def mail_list(
    ctx: typer.Context,
    state: Annotated[str, typer.Option(help="waiting, sent or failed")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1_000_000)] = 50,
) -> None:
    """The outbox, newest first."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = rows_of(
            conn,
            "SELECT outbox.id, utc_ms, kind, username AS account, mail_address.address, state, "
            "tries, due_utc_ms, error, facts, token FROM outbox LEFT JOIN account "
            "ON account.id = outbox.account_id LEFT JOIN mail_address USING (account_id) "
            "WHERE ? = '' OR state = ? ORDER BY outbox.id DESC LIMIT ?",
            (state, state, limit),
        )
    columns = ("utc_ms", "kind", "account", "address", "state", "tries", "due_utc_ms", "error")
    show(rows, columns, as_json=env.json, empty="no mail")


@mail.command("retry", epilog="Example: loopstart-host mail retry")
def mail_retry(ctx: typer.Context) -> None:
    """Try what waits now, and once more what failed less than five days ago."""
    from host.funds.sender import GIVE_UP_S

    env: Context = ctx.obj
    instant = now().utc_ms
    with env.writing() as conn:
        count = conn.execute(
            "UPDATE outbox SET state = 'waiting', due_utc_ms = ? "
            "WHERE state = 'waiting' OR (state = 'failed' AND utc_ms > ?)",
            (instant, instant - GIVE_UP_S * 1000),
        ).rowcount
    say(f"{count} messages are tried now", as_json=env.json, messages=count)


@mail.command("run", epilog="Example: loopstart-host mail run --config host.toml")
def mail_run(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Send what is due, then end.")] = False,
) -> None:
    """Send what waits in the outbox until interrupted; a process of its own beside `serve`."""
    from host.funds.sender import MailSender

    env: Context = ctx.obj
    settings = env.settings.mail
    if not settings.host:
        fail("no SMTP server is set: write host and sender into [mail] of the configuration", 2)
    if settings.username and not os.environ.get(PASSWORD):
        fail(f"{settings.username} has no password: set {PASSWORD} in the environment", 2)
    if not once:
        configure(env.settings.log_level, env.settings.log_json)
    try:
        store = open_writer(env.settings.database)
    except StoreError as error:
        fail(str(error))
    with contextlib.closing(store) as conn:
        sender = MailSender(conn, settings, os.environ.get(PASSWORD, ""))
        if not once:
            asyncio.run(_until_stopped(sender))
            return
        tally = asyncio.run(sender.send_due())
    sent, failed, put_off = tally.sent, tally.failed, tally.put_off
    text = f"{sent} sent, {put_off} put off, {failed} failed"
    say(text, as_json=env.json, sent=sent, put_off=put_off, failed=failed)
    if failed or put_off:
        raise typer.Exit(1)


async def _until_stopped(sender: object) -> None:
    from host.funds.sender import MailSender

    assert isinstance(sender, MailSender)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await sender.run(stop)
