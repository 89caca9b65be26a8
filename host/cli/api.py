"""Commands: api."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from host.api import access
from host.cli.context import Context, now
from host.cli.output import fail, say, show
from host.numbering.passwords import generate

app = typer.Typer(
    no_args_is_help=True, help="Who may use the API, and from where; it runs beside `serve`."
)
token = typer.Typer(no_args_is_help=True, help="Operators' tokens for /api/v2 and /metrics.")
app.add_typer(token, name="token")

_Addresses = Annotated[
    list[str] | None,
    typer.Argument(help="As 203.0.113.5 or 203.0.113.0/24; 0.0.0.0 is everywhere."),
]


@app.command("password", epilog="Example: loopstart-host api password alice")
def api_password(ctx: typer.Context, account: str, password: str = "") -> None:
    """Give a customer a password for the API alone; made and shown once when not given."""
    env: Context = ctx.obj
    secret = password or generate(secrets.token_bytes, 20)
    with env.writing() as conn:
        access.set_password(conn, account, secret)
    shown = "" if password else f": {secret} (kept nowhere: note it)"
    values = {"account": account} if password else {"account": account, "password": secret}
    say(f"new API password of {account}{shown}", as_json=env.json, **values)


@app.command("enable", epilog="Example: loopstart-host api enable alice 203.0.113.5")
def api_enable(ctx: typer.Context, account: str, addresses: _Addresses = None) -> None:
    """Let a customer use the API; addresses that are named take the place of those before."""
    env: Context = ctx.obj
    with env.writing() as conn:
        access.enable(conn, account, True)
        if addresses:
            access.set_addresses(conn, account, addresses)
        (found,) = [one for one in access.accesses(conn) if one.account == account]
    if found.addresses:
        text = f"{account} may use the API from {', '.join(found.addresses)}"
    else:
        text = f"{account} may use the API, but from nowhere yet: `api addresses {account} ADDRESS`"
    say(text, as_json=env.json, **found._asdict())


@app.command("disable", epilog="Example: loopstart-host api disable alice")
def api_disable(ctx: typer.Context, account: str) -> None:
    """Let a customer use the API no more; password and addresses stay."""
    env: Context = ctx.obj
    with env.writing() as conn:
        access.enable(conn, account, False)
    say(f"{account} may not use the API", as_json=env.json, account=account, enabled=False)


@app.command("addresses", epilog="Example: loopstart-host api addresses alice 203.0.113.5 ::1")
def api_addresses(
    ctx: typer.Context,
    account: str,
    addresses: _Addresses = None,
    none: Annotated[bool, typer.Option("--none", help="From nowhere.")] = False,
) -> None:
    """Enable these addresses of a customer, and no others; without any, show them."""
    env: Context = ctx.obj
    if not addresses and not none:
        with env.reading() as conn:
            rows = [
                {"network": one} for one in access.networks_of(conn, access.main(conn, account))
            ]
        show(rows, ("network",), as_json=env.json, empty=f"{account} may come from nowhere")
        return
    with env.writing() as conn:
        kept = access.set_addresses(conn, account, addresses or [])
    text = f"{account} may come from {', '.join(kept) or 'nowhere'}"
    say(text, as_json=env.json, account=account, addresses=kept)


@app.command("list")
def api_list(ctx: typer.Context) -> None:
    """Customers that the API knows."""
    env: Context = ctx.obj
    with env.reading() as conn:
        found = [one._asdict() for one in access.accesses(conn)]
    rows = [{**row, "addresses": ", ".join(row["addresses"])} for row in found]
    columns = ("account", "enabled", "has_password", "addresses")
    show(rows, columns, as_json=env.json, empty="nobody yet: `api password ACCOUNT`")


@app.command("run", epilog="Example: loopstart-host api run --config host.toml")
def api_run(ctx: typer.Context) -> None:
    """Answer the API until interrupted; `serve` starts this by itself."""
    from host.api.__main__ import serve

    env: Context = ctx.obj
    status = serve(env.settings)
    if status:
        raise typer.Exit(status)


@token.command("add", epilog="Example: loopstart-host api token add prometheus --read-only")
def token_add(
    ctx: typer.Context,
    name: str,
    read_only: Annotated[bool, typer.Option("--read-only", help="It changes nothing.")] = False,
) -> None:
    """Make a token, which is shown this once: `Authorization: Bearer TOKEN`."""
    env: Context = ctx.obj
    if not name.strip() or len(name) > 64:
        fail("a token needs a name of up to 64 letters", 2)
    with env.writing() as conn:
        made = access.add_token(conn, now(), name, not read_only)
    text = f"token {name}: {made} (kept nowhere: note it)"
    say(text, as_json=env.json, name=name, token=made, may_write=not read_only)


@token.command("list")
def token_list(ctx: typer.Context) -> None:
    """All tokens, without what is secret of them."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = [one._asdict() for one in access.tokens(conn)]
    columns = ("name", "may_write", "made_utc_ms")
    show(rows, columns, as_json=env.json, empty="no tokens yet: `api token add NAME`")


@token.command("remove", epilog="Example: loopstart-host api token remove prometheus")
def token_remove(ctx: typer.Context, name: str) -> None:
    """Take a token back; it is good for nothing at once."""
    env: Context = ctx.obj
    with env.writing() as conn:
        access.remove_token(conn, name)
    say(f"token {name} removed", as_json=env.json, name=name)
