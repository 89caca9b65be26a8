"""Commands: fees."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import threading
from typing import Annotated

import structlog
import typer

from host.cli.context import Context, now, rows_of
from host.cli.output import fail, show
from host.funds.alerts import queue
from host.logs import configure
from host.numbering.orders import FeeTerms, Step, run_fees
from host.store.connection import Connection
from host.store.opening import open_writer
from host.store.sqlite import StoreError

fees = typer.Typer(no_args_is_help=True, help="Monthly fees of DIDs.")

_FEES = """
SELECT did.number, username AS account, months, monthly, paid_until_utc_ms, state, unpaid_utc_ms
FROM did JOIN did_order ON did_order.id = order_id
JOIN account ON account.id = did_order.account_id
WHERE (?1 = '' OR username = ?1) ORDER BY paid_until_utc_ms, did.number"""


@fees.command("list", epilog="Example: loopstart-host fees list --account alice")
def fees_list(ctx: typer.Context, account: str = "") -> None:
    """What is paid by the month, the next to be due first."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = rows_of(conn, _FEES, (account,))
    columns = ("number", "account", "months", "monthly", "paid_until_utc_ms", "state")
    show(rows, columns, as_json=env.json, empty="nothing is paid by the month: `did order NUMBER`")


@fees.command("run", epilog="Example: loopstart-host fees run --once")
def fees_run(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Take what is due, then end.")] = False,
) -> None:
    """Take the fees that are due until interrupted; a process of its own beside `serve`."""
    env: Context = ctx.obj
    if not once:
        configure(env.settings.log_level, env.settings.log_json)
    try:
        store = open_writer(env.settings.database)
    except StoreError as error:
        fail(str(error))
    terms = FeeTerms(env.settings.fees.grace_days, env.settings.fees.suspended_days)
    with contextlib.closing(store) as conn:
        if not once:
            _until_stopped(conn, terms, env.settings.fees.poll_s)
            return
        try:
            steps = list(run_fees(conn, now(), terms, queue))
        except sqlite3.OperationalError as error:
            fail(f"the store is busy or cannot be written ({error}): try again")
    rows = [step._asdict() for step in steps]
    columns = ("number", "what", "month", "amount")
    show(rows, columns, as_json=env.json, empty="no fee is due")


def _until_stopped(conn: Connection, terms: FeeTerms, poll_s: int) -> None:
    log = structlog.get_logger("fees")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        try:
            for step in run_fees(conn, now(), terms, queue):
                _tell(log, step)
        except sqlite3.OperationalError as error:
            # A full disk, or another who writes for long: what is due stays due.
            log.error("store", error=str(error))
        stop.wait(poll_s)


def _tell(log: structlog.stdlib.BoundLogger, step: Step) -> None:
    log.info(
        step.what,
        number=step.number,
        account_id=step.account_id,
        month=step.month,
        amount=step.amount,
    )
