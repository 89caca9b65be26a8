"""Commands: account, did, pop."""

from __future__ import annotations

import secrets
import sys
from typing import Annotated, Any

import typer

from host.charging.money import parse_usd
from host.cli.account_options import one_of, takes_columns
from host.cli.context import Context, now, rows_of
from host.cli.output import fail, say, show, show_one
from host.numbering import provisioning
from host.numbering.iax2_access import allow_iax2, forbid_iax2
from host.numbering.orders import release_did
from host.numbering.passwords import generate
from host.numbering.pops import pops

account = typer.Typer(no_args_is_help=True, help="Customers, their sub-accounts and PBX trunks.")
did = typer.Typer(no_args_is_help=True, help="Numbers that bring incoming calls.")
pop = typer.Typer(no_args_is_help=True, help="Points of presence: where devices register.")

_Iax2 = Annotated[
    bool | None, typer.Option(help="May use IAX2; its password is then kept in clear.")
]

_ACCOUNTS = """
SELECT account.id, username, (SELECT username FROM account AS parent
    WHERE parent.id = account.parent_id) AS parent, status, route, channels, balance AS funds,
    held, debt, international, premium_fallback, calls_to_one_number, caller_id, area_code,
    dial_rules, address, port, contact, number_range, media, iax2, call_token, encryption, trunk
FROM account JOIN ledger_account ON ledger_account.id = coalesce(parent_id, account.id)"""


def _columns(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


@account.command("add", epilog="Example: loopstart-host account add alice --route value")
@takes_columns
def account_add(
    ctx: typer.Context,
    username: str,
    password: Annotated[str, typer.Option(help="Made and shown once when not given.")] = "",
    parent: Annotated[str, typer.Option(help="Main account that pays for this one.")] = "",
    iax2: _Iax2 = None,
    *,
    columns: dict[str, Any],
) -> None:
    """Make an account, sub-account or PBX trunk. Its password is shown this once."""
    env: Context = ctx.obj
    secret = password or ("" if columns.get("address") else generate(secrets.token_bytes))
    with env.writing() as conn:
        number = provisioning.add_account(
            conn,
            username,
            realm=env.settings.sip.realm,
            password=secret,
            parent=parent,
            **columns,
        )
        if iax2:
            allow_iax2(conn, username, env.settings.sip.realm, secret)
    kept = "kept for IAX2 alone" if iax2 else "kept nowhere"
    shown = "" if password or not secret else f", password {secret} ({kept}: note it)"
    values = {"id": number, "username": username}
    if shown:
        values["password"] = secret
    say(f"account {username} made, number {number}{shown}", as_json=env.json, **values)


@account.command("list")
def account_list(ctx: typer.Context) -> None:
    """All accounts, with what they have."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = rows_of(conn, _ACCOUNTS + " ORDER BY account.id")
    columns = ("id", "username", "parent", "status", "route", "channels", "funds", "held")
    show(rows, columns, as_json=env.json, empty="no accounts yet: `account add NAME`")


@account.command("show")
def account_show(ctx: typer.Context, username: str) -> None:
    """All of one account."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = rows_of(conn, _ACCOUNTS + " WHERE username = ?", (username,))
    if not rows:
        fail(f"no account {username!r}: `account list` shows them")
    show_one(rows[0], as_json=env.json)


@account.command("set", epilog="Example: loopstart-host account set alice --channels 10")
@takes_columns
def account_set(
    ctx: typer.Context,
    username: str,
    iax2: _Iax2 = None,
    password: Annotated[str, typer.Option(help="Its password again, for --iax2.")] = "",
    *,
    columns: dict[str, Any],
) -> None:
    """Change an account; what is not named stays."""
    env: Context = ctx.obj
    if not columns and iax2 is None:
        fail(f"nothing to change in {username}: `account set --help` shows what there is", 2)
    if iax2 and not password and sys.stdin.isatty():
        password = typer.prompt(f"password of {username}", hide_input=True, default="")
    with env.writing() as conn:
        provisioning.set_account(conn, username, **columns)
        if iax2:
            allow_iax2(conn, username, env.settings.sip.realm, password)
        elif iax2 is not None:
            forbid_iax2(conn, username)
    columns |= _columns(iax2=iax2)
    say(f"account {username} changed", as_json=env.json, username=username, **columns)


@account.command("password")
def account_password(ctx: typer.Context, username: str, password: str = "") -> None:
    """Give an account a new password; made and shown once when not given."""
    env: Context = ctx.obj
    secret = password or generate(secrets.token_bytes)
    with env.writing() as conn:
        provisioning.set_password(conn, username, env.settings.sip.realm, secret)
    values = {"username": username} if password else {"username": username, "password": secret}
    shown = "" if password else f": {secret} (kept nowhere: note it)"
    say(f"new password of {username}{shown}", as_json=env.json, **values)


@account.command("block")
def account_block(ctx: typer.Context, username: str) -> None:
    """Refuse all calls of an account and its sub-accounts; live calls go on."""
    _set_status(ctx.obj, username, "blocked")


@account.command("unblock")
def account_unblock(ctx: typer.Context, username: str) -> None:
    """Let an account call again."""
    _set_status(ctx.obj, username, "active")


def _set_status(env: Context, username: str, status: str) -> None:
    with env.writing() as conn:
        provisioning.set_account(conn, username, status=status)
    say(f"account {username} is {status}", as_json=env.json, username=username, status=status)


@account.command("remove")
def account_remove(ctx: typer.Context, username: str) -> None:
    """Delete an account; its CDRs and ledger stay, its DIDs are released."""
    env: Context = ctx.obj
    with env.writing() as conn:
        provisioning.remove_account(conn, username)
    say(f"account {username} removed", as_json=env.json, username=username)


@did.command(
    "add", epilog="Example: loopstart-host did add +12125550100 --plan per-minute --account alice"
)
def did_add(
    ctx: typer.Context,
    number: str,
    plan: Annotated[str, typer.Option(help="per-minute, flat or international")] = "per-minute",
    account: str = "",
    pop: str = "default",
    per_minute: Annotated[str, typer.Option(help="USD; else the offer's.")] = "",
    monthly: Annotated[str, typer.Option(help="USD; else the offer's.")] = "",
    channels: int | None = None,
    is_range: Annotated[
        bool, typer.Option("--range", help="All numbers that begin so (PBX trunk).")
    ] = False,
) -> None:
    """Own a number, and give it to an account."""
    env: Context = ctx.obj
    one_of("plan", plan, tuple(provisioning.CHANNELS))
    with env.writing() as conn:
        e164 = provisioning.add_did(
            conn,
            number,
            plan=plan,  # type: ignore[arg-type]  # checked above
            pop=pop,
            account=account,
            per_minute=parse_usd(per_minute) if per_minute else None,
            monthly=parse_usd(monthly) if monthly else None,
            channels=channels,
            is_range=is_range,
        )
    say(f"DID {e164} added, {plan}, POP {pop}", as_json=env.json, number=e164, plan=plan, pop=pop)


@did.command("list")
def did_list(ctx: typer.Context, account: str = "") -> None:
    """All DIDs, or one account's."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = rows_of(
            conn,
            "SELECT number, is_range, plan, monthly, per_minute, did.channels, pop, "
            "username AS account FROM did LEFT JOIN account ON account.id = account_id "
            "WHERE ?1 = '' OR username = ?1 ORDER BY number",
            (account,),
        )
    columns = ("number", "plan", "monthly", "per_minute", "channels", "pop", "account")
    show(rows, columns, as_json=env.json, empty="no DIDs: `did add NUMBER`")


@did.command("set", epilog="Example: loopstart-host did set +12125550100 --pop toronto")
def did_set(
    ctx: typer.Context,
    number: str,
    pop: str | None = None,
    plan: str | None = None,
    account: str | None = None,
) -> None:
    """Move a DID to another POP, plan or account."""
    env: Context = ctx.obj
    one_of("plan", plan, tuple(provisioning.CHANNELS))
    if pop is None and plan is None and account is None:
        fail(f"nothing to change in {number}: use --pop, --plan or --account", 2)
    with env.writing() as conn:
        e164 = provisioning.set_did(
            conn,
            number,
            pop=pop,
            plan=plan,  # type: ignore[arg-type]  # checked above
            account=account,
        )
    changed = _columns(pop=pop, plan=plan, account=account)
    say(f"DID {e164} changed", as_json=env.json, number=e164, **changed)


@did.command("release")
def did_release(ctx: typer.Context, number: str) -> None:
    """Take a DID from its account; the host keeps it."""
    env: Context = ctx.obj
    with env.writing() as conn:
        e164 = release_did(conn, number, now())
    say(f"DID {e164} released", as_json=env.json, number=e164)


@pop.command("add", epilog="Example: loopstart-host pop add toronto 'Toronto, ON'")
def pop_add(
    ctx: typer.Context,
    name: str,
    description: str = typer.Argument(""),
    number: Annotated[int | None, typer.Option(min=1, help="What API clients know it by.")] = None,
    country: str = "",
) -> None:
    """Name a POP, or describe it anew."""
    env: Context = ctx.obj
    with env.writing() as conn:
        provisioning.add_pop(conn, name, description, number=number, country=country)
        (made,) = [one for one in pops(conn) if one.name == name]
    say(f"POP {name} added, number {made.number}", as_json=env.json, **made._asdict())


@pop.command("list")
def pop_list(ctx: typer.Context) -> None:
    """All POPs, and how many DIDs each has."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = rows_of(
            conn,
            "SELECT name, number, description, country, "
            "(SELECT count(*) FROM did WHERE pop = name) AS dids FROM pop ORDER BY name",
        )
    columns = ("name", "number", "description", "country", "dids")
    show(rows, columns, as_json=env.json, empty="no POPs: `pop add NAME`")
