"""Commands: blocked, emergency."""

from __future__ import annotations

from typing import Annotated

import typer

from host.cli.context import Context
from host.cli.output import say, show
from host.numbering import emergencies, filters

blocked = typer.Typer(no_args_is_help=True, help="Numbers that may not be called.")
emergency = typer.Typer(no_args_is_help=True, help="Numbers that always pass, and who takes them.")

_Whose = Annotated[str, typer.Option(help="Of this account and its sub-accounts; else of all.")]


@blocked.command(
    "add", epilog="Example: loopstart-host blocked add +1900 --note 'premium services'"
)
def blocked_add(ctx: typer.Context, prefix: str, account: _Whose = "", note: str = "") -> None:
    """Let no calls go to numbers that begin so."""
    env: Context = ctx.obj
    with env.writing() as conn:
        begin = filters.block_number(conn, prefix, account=account, note=note)
    whose = account or "everybody"
    say(f"{begin} is blocked for {whose}", as_json=env.json, prefix=begin, account=account)


@blocked.command("remove", epilog="Example: loopstart-host blocked remove +1900")
def blocked_remove(ctx: typer.Context, prefix: str, account: _Whose = "") -> None:
    """Let calls go there again."""
    env: Context = ctx.obj
    with env.writing() as conn:
        begin = filters.unblock_number(conn, prefix, account=account)
    say(f"{begin} is blocked no more", as_json=env.json, prefix=begin, account=account)


@blocked.command("list", epilog="Example: loopstart-host blocked list --account alice")
def blocked_list(ctx: typer.Context, account: str = "") -> None:
    """All, or what one account may not call."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = [one._asdict() for one in filters.blocked_numbers(conn, account)]
    columns = ("prefix", "account", "note")
    show(rows, columns, as_json=env.json, empty="nothing is blocked: `blocked add PREFIX`")


@emergency.command("set", epilog="Example: loopstart-host emergency set 911 north")
def emergency_set(
    ctx: typer.Context,
    number: Annotated[str, typer.Argument(help="As it is dialled.")],
    carrier: str,
    send: Annotated[str, typer.Option(help="What the carrier is sent, if not that.")] = "",
    description: str = "",
) -> None:
    """Let calls to a number pass always, free of charge, by this carrier."""
    env: Context = ctx.obj
    with env.writing() as conn:
        emergencies.set_emergency(conn, number, carrier, send=send, description=description)
    say(f"{number} goes to {carrier}", as_json=env.json, number=number, carrier=carrier)


@emergency.command("remove", epilog="Example: loopstart-host emergency remove 911")
def emergency_remove(ctx: typer.Context, number: str) -> None:
    """Treat a number like any other again."""
    env: Context = ctx.obj
    with env.writing() as conn:
        emergencies.remove_emergency(conn, number)
    say(f"{number} is no emergency number", as_json=env.json, number=number)


@emergency.command("list", epilog="Example: loopstart-host emergency list")
def emergency_list(ctx: typer.Context) -> None:
    """All emergency numbers."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = [one._asdict() for one in emergencies.emergencies(conn)]
    columns = ("number", "carrier", "send", "description")
    show(rows, columns, as_json=env.json, empty="none: `emergency set 911 CARRIER`")
