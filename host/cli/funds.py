"""Commands: deposit, refund, returns, chargeback, transactions."""

from __future__ import annotations

import contextlib
import secrets
import signal
from datetime import UTC, datetime
from typing import Annotated

import typer

from host.charging import ledger
from host.charging.money import format_usd, parse_usd
from host.charging.values import Money, Refusal
from host.cli.context import Context, now, rows_of, sentences
from host.cli.output import fail, say, show
from host.funds import deposits, desk, methods
from host.funds.deposits import Deposit, Outcome
from host.funds.notices import PaymentProvider, ProviderError
from host.logs import configure
from host.store.connection import Connection

deposit = typer.Typer(no_args_is_help=True, help="Payments by card and PayPal.")
transactions = typer.Typer(no_args_is_help=True, help="What moved a customer's money.")

_COLUMNS = (
    "id",
    "method",
    "account",
    "amount",
    "fee",
    "state",
    "payment_id",
    "opened_utc_ms",
    "note",
)
_LIST = (
    "SELECT deposit.id, method, username AS account, amount, fee, state, reference, payment_id, "
    "opened_utc_ms, changed_utc_ms, note FROM deposit LEFT JOIN account "
    "ON account.id = deposit.account_id WHERE "
)
Limit = Annotated[int, typer.Option(min=1, max=1_000_000)]


@deposit.command("open", epilog="Example: loopstart-host deposit open alice 25 --by card")
def deposit_open(
    ctx: typer.Context,
    account: str,
    amount: Annotated[str, typer.Argument(help="USD, at least 15")],
    by: Annotated[str, typer.Option(help="card or paypal")] = "card",
    deposit_id: Annotated[
        str, typer.Option("--id", help="Ours; the same again opens no second one.")
    ] = "",
    saved_card: Annotated[
        str, typer.Option(help="Charge this saved card (pm_...) at once, by Stripe.")
    ] = "",
) -> None:
    """Open a payment and print where the customer pays it."""
    env: Context = ctx.obj
    if by not in deposits.PROVIDED:
        fail(f"no deposits by {by!r}: use {' or '.join(deposits.PROVIDED)}, or `wire add`", 2)
    if saved_card and by != "card":
        fail("--saved-card is of Stripe: use it with --by card", 2)
    units, deposit_id = parse_usd_or_fail(amount), deposit_id or f"deposit-{secrets.token_hex(8)}"
    provider = _provider(env, by)
    with env.reading() as conn:
        main = main_account(conn, account)
    asked = Deposit(deposit_id, by, main, units)
    try:
        made, url, outcome = desk.start(
            env.transact, now, provider, asked, f"Deposit to account {account}", saved_card
        )
    except ProviderError as error:
        again = "" if error.final else f"; repeat with --id {deposit_id}"
        fail(f"{error}{again}")
    if made.state != "pending":
        fail(f"deposit {made.id} is {made.state}: leave out --id to open another")
    text = f"deposit {made.id}: the customer pays {format_usd(units)} USD at {url}"
    if outcome:
        text = f"deposit {made.id}: {outcome.what}, {outcome.detail}"
    elif not url:
        text = f"deposit {made.id} is on its way: `deposit check {made.id}` tells when it came"
    say(
        text,
        as_json=env.json,
        id=made.id,
        account=account,
        amount=units,
        url=url,
        reference=made.reference,
        state=outcome.what if outcome else "pending",
    )


@deposit.command("check", epilog="Example: loopstart-host deposit check deposit-0a1b2c3d4e5f6071")
def deposit_check(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID", help="Ours or the provider's.")],
) -> None:
    """Ask the provider what became of a payment, and credit it if it came; for lost webhooks."""
    env: Context = ctx.obj
    with env.reading() as conn:
        found = _find(conn, name)
    if found.method not in deposits.PROVIDED:
        fail(f"{found.id} is a {found.method} payment: `wire confirm` is for those", 2)
    if not found.reference:
        fail(f"deposit {found.id} never reached its provider: `deposit open` with --id {found.id}")
    try:
        outcome = desk.look(env.transact, now, _provider(env, found.method), found)
    except ProviderError as error:
        fail(str(error))
    tell(env, outcome, id=found.id)


@deposit.command("list", epilog="Example: loopstart-host deposit list --state review")
def deposit_list(
    ctx: typer.Context,
    account: str = "",
    state: Annotated[str, typer.Option(help="pending, credited, failed or review")] = "",
    limit: Limit = 50,
) -> None:
    """Deposits of every kind, newest first; those under review wait for an operator's `pay`."""
    list_deposits(ctx.obj, account, state, "", limit, "no such deposits: `deposit open`")


@deposit.command("listen", epilog="Example: loopstart-host deposit listen --port 8480")
def deposit_listen(
    ctx: typer.Context,
    address: Annotated[
        str, typer.Option(help="A proxy that speaks TLS stands before it; else the configured.")
    ] = "",
    port: Annotated[int | None, typer.Option(min=0, max=65_535)] = None,
) -> None:
    """Take the providers' webhooks at /card and /paypal until interrupted; beside `serve`."""
    from host.funds.shell import WebhookServer

    env: Context = ctx.obj
    address = address or env.settings.payments.webhook_address
    port = env.settings.payments.webhook_port if port is None else port
    providers = {n: _provider(env, n) for n in deposits.PROVIDED if not methods.lacks(n)}
    if not providers:
        fail("no provider is set up that could send webhooks: `pay methods` shows what is missing")
    configure(env.settings.log_level, env.settings.log_json)
    try:
        server = WebhookServer(address, port, env.settings.database, providers)
    except OSError as error:
        fail(f"cannot listen at {address}:{port}: {error.strerror}")
    print(f"listening at {address}:{server.server_port} for {', '.join(providers)}", flush=True)
    # Not KeyboardInterrupt alone: a service manager sends SIGTERM.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


def refund(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="DEPOSIT", help="Our id or the provider's.")],
    amount: Annotated[str, typer.Argument(help="USD; all that is left if not given.")] = "",
    return_id: Annotated[
        str, typer.Option("--id", help="Ours; the same again refunds nothing twice.")
    ] = "",
    outside: Annotated[
        bool, typer.Option("--outside", help="You send the money yourself; only post it.")
    ] = False,
    note: str = "",
) -> None:
    """Give a deposit back, or part of it, by the way that it came."""
    env: Context = ctx.obj
    return_id = return_id or f"refund-{secrets.token_hex(8)}"
    units = parse_usd_or_fail(amount) if amount else None
    with env.reading() as conn:
        found = _find(conn, name)
    provider = None
    if found.method in deposits.PROVIDED and not outside:
        provider = _provider(env, found.method)
    try:
        with sentences():
            asked = desk.refund(env.transact, now, provider, found.id, units, return_id, note)
    except ProviderError as error:
        fail(str(error) if error.final else f"{error}, repeat with --id {return_id}")
    if isinstance(asked, Refusal):
        fail(f"nothing was refunded: {asked.detail}, the rest is spent or held by live calls")
    by_hand = "" if provider else "; now send it"
    say(
        f"{format_usd(asked.amount)} USD of deposit {found.id} goes back{by_hand}",
        as_json=env.json,
        id=return_id,
        deposit=found.id,
        amount=asked.amount,
        reference=asked.reference,
    )


def returns(
    ctx: typer.Context,
    account: str = "",
    state: Annotated[str, typer.Option(help="early, asked, done or undone")] = "",
    limit: Limit = 50,
) -> None:
    """Refunds and chargebacks, newest first; one that stays `asked` is to be repeated by its id."""
    env: Context = ctx.obj
    with env.reading() as conn:
        main = main_account(conn, account) if account else 0
        rows = rows_of(
            conn,
            "SELECT payment_return.utc_ms, kind, username AS account, payment_return.amount, "
            "from_funds AS funds, from_debt AS debt, payment_return.state, payment_return.id, "
            "payment_return.method, payment_id, payment_return.reference, payment_return.note "
            "FROM payment_return LEFT JOIN deposit USING (method, payment_id) "
            "LEFT JOIN account ON account.id = deposit.account_id "
            "WHERE (? = 0 OR deposit.account_id = ?) AND (? = '' OR payment_return.state = ?) "
            "ORDER BY payment_return.utc_ms DESC, payment_return.id LIMIT ?",
            (main, main, state, state, limit),
        )
    columns = ("utc_ms", "kind", "account", "amount", "state", "id", "method", "payment_id", "note")
    show(rows, columns, as_json=env.json, empty="nothing went back")


def chargeback(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="DEPOSIT", help="Our id or the provider's.")],
    amount: Annotated[str, typer.Argument(help="USD; all of it if not given.")] = "",
    case_id: Annotated[str, typer.Option("--id", help="The dispute's: it counts once.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="The dispute was won.")] = False,
) -> None:
    """Post that a bank took a deposit back; what was spent of it is owed, and calls stop."""
    env: Context = ctx.obj
    with env.writing() as conn:
        found = _find(conn, name)
        case = case_id or f"case-{found.payment_id}"
        units = parse_usd_or_fail(amount) if amount else None
        outcome = desk.charge_back(conn, now(), found, units, case, undo)
    tell(env, outcome, id=case)


@transactions.command(
    "list", epilog="Example: loopstart-host transactions list alice --since 2026-01-31"
)
def transactions_list(
    ctx: typer.Context,
    account: str,
    kind: Annotated[str, typer.Option(help="payment, fee, call, refund, chargeback, debt")] = "",
    since: Annotated[datetime | None, typer.Option(help="UTC")] = None,
    until: Annotated[datetime | None, typer.Option(help="UTC")] = None,
    limit: Limit = 50,
) -> None:
    """What moved a customer's funds or debt, newest first, and the funds after each."""
    env: Context = ctx.obj
    with env.reading() as conn:
        main = main_account(conn, account)
        rows = rows_of(
            conn,
            "SELECT * FROM (SELECT movement.id, movement.utc_ms, movement.kind, "
            "posting.amount, CASE WHEN posting.account_id < 0 THEN 1 ELSE 0 END AS is_debt, "
            "coalesce(key, call.call_id || '/' || movement.leg) AS key, note, "
            "sum(CASE WHEN posting.account_id > 0 THEN posting.amount ELSE 0 END) "
            "OVER (ORDER BY movement.id) AS funds FROM posting "
            "JOIN movement ON movement.id = movement_id "
            "LEFT JOIN call ON call.id = movement.call "
            "WHERE posting.account_id IN (?, ?)) AS moved "
            "WHERE (? = '' OR kind = ?) AND utc_ms >= ? AND utc_ms < ? "
            "ORDER BY id DESC, is_debt LIMIT ?",
            (main, ledger.DEBTS_FROM - main, kind, kind, _ms(since, 0), _ms(until, 1 << 62), limit),
        )
    columns = ("utc_ms", "kind", "amount", "funds", "is_debt", "key", "note")
    show(rows, columns, as_json=env.json, empty="nothing moved")


def show_methods(env: Context) -> None:
    """Print the ways to pay, and what those that are not set up lack."""
    rows = [method._asdict() for method in methods.methods()]
    columns = ("name", "ready", "minimum", "fee", "fee_below", "how")
    show(rows, columns, as_json=env.json, empty="")


def main_account(conn: Connection, username: str) -> int:
    """The account that pays for this one; ends the command if there is none."""
    row = conn.execute(
        "SELECT coalesce(parent_id, id) FROM account WHERE username = ?", (username,)
    ).fetchone()
    if row is None:
        fail(f"no account {username!r}: `account list` shows them")
    return int(row[0])


def parse_usd_or_fail(text: str) -> Money:
    """Read an amount; ends the command if it is none."""
    try:
        return parse_usd(text)
    except ValueError as error:
        fail(str(error))


def list_deposits(
    env: Context, account: str, state: str, method: str, limit: int, empty: str
) -> None:
    """Print deposits by account, state and method, whichever are given."""
    where, values = ["1 = 1"], list[object]()
    with env.reading() as conn:
        if account:
            where.append("deposit.account_id = ?")
            values.append(main_account(conn, account))
        for column, value in (("state", state), ("method", method)):
            if value:
                where.append(f"{column} = ?")
                values.append(value)
        query = f"{_LIST}{' AND '.join(where)} ORDER BY opened_utc_ms DESC, deposit.id LIMIT ?"
        rows = rows_of(conn, query, (*values, limit))
    show(rows, _COLUMNS, as_json=env.json, empty=empty)


def _provider(env: Context, name: str) -> PaymentProvider:
    try:
        return methods.provider(name, env.settings.payments)
    except ProviderError as error:
        fail(f"{error}; `pay methods` shows what is there")


def _find(conn: Connection, name: str) -> Deposit:
    found = deposits.find(conn, name)
    if found is None:
        fail(f"no deposit {name!r}: `deposit list` shows them")
    return found


def tell(env: Context, outcome: Outcome, **values: str) -> None:
    """Say what was done, and what the customer has now."""
    text = f"{outcome.what}: {outcome.detail}"
    if not outcome.account_id:
        say(text, as_json=env.json, outcome=outcome.what, detail=outcome.detail, **values)
        return
    with env.reading() as conn:
        funds = ledger.balance(conn, outcome.account_id)
    text += f"; {format_usd(funds.available)} USD available"
    if funds.debt:
        text += f", {format_usd(funds.debt)} USD owed"
    say(
        text,
        as_json=env.json,
        outcome=outcome.what,
        detail=outcome.detail,
        **values,
        **funds._asdict(),
    )


def _ms(instant: datetime | None, otherwise: int) -> int:
    return otherwise if instant is None else int(instant.replace(tzinfo=UTC).timestamp() * 1000)
