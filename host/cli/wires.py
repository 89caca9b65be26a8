"""Commands: wire."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from host.charging.money import format_usd
from host.cli.context import Context, now
from host.cli.funds import Limit, list_deposits, main_account, parse_usd_or_fail, tell
from host.cli.output import say
from host.funds import deposits

wire = typer.Typer(no_args_is_help=True, help="Bank wires, which an operator confirms.")


@wire.command("add", epilog="Example: loopstart-host wire add alice 250 --note 'invoice 12'")
def wire_add(
    ctx: typer.Context,
    account: str,
    amount: Annotated[str, typer.Argument(help="USD, at least 100")],
    wire_id: Annotated[
        str, typer.Option("--id", help="What the customer writes on the remittance.")
    ] = "",
    note: str = "",
) -> None:
    """Note a wire that a customer announced; it counts once it is confirmed."""
    env: Context = ctx.obj
    wire_id, units = wire_id or f"wire-{secrets.token_hex(4)}", parse_usd_or_fail(amount)
    with env.writing() as conn:
        main = main_account(conn, account)
        made = deposits.open_deposit(conn, now(), wire_id, "wire", main, units, note)
    say(
        f"wire {made.id} of {format_usd(units)} USD waits: `wire confirm {made.id}` when it came",
        as_json=env.json,
        id=made.id,
        account=account,
        amount=units,
        state=made.state,
    )


@wire.command(
    "confirm",
    epilog="Example: loopstart-host wire confirm wire-1a2b3c4d --received 240 --bank-id F7",
)
def wire_confirm(
    ctx: typer.Context,
    wire_id: Annotated[str, typer.Argument(metavar="ID")],
    received: Annotated[str, typer.Option(help="USD, if not as announced.")] = "",
    bank_id: Annotated[str, typer.Option(help="The bank's reference: it is credited once.")] = "",
) -> None:
    """Credit a wire that came: under 1000 USD less a fee of 15 USD."""
    env: Context = ctx.obj
    units = parse_usd_or_fail(received) if received else None
    with env.writing() as conn:
        outcome = deposits.confirm_wire(conn, now(), wire_id, units, bank_id)
    tell(env, outcome, id=wire_id)


@wire.command("reject", epilog="Example: loopstart-host wire reject wire-1a2b3c4d 'never came'")
def wire_reject(
    ctx: typer.Context,
    wire_id: Annotated[str, typer.Argument(metavar="ID")],
    why: Annotated[str, typer.Argument()] = "rejected",
) -> None:
    """Strike a wire that did not come, or that goes back."""
    env: Context = ctx.obj
    with env.writing() as conn:
        outcome = deposits.reject_wire(conn, now(), wire_id, why)
    tell(env, outcome, id=wire_id)


@wire.command("list", epilog="Example: loopstart-host wire list --state pending")
def wire_list(
    ctx: typer.Context,
    account: str = "",
    state: Annotated[str, typer.Option(help="pending, credited or failed")] = "",
    limit: Limit = 50,
) -> None:
    """Wires, newest first."""
    list_deposits(ctx.obj, account, state, "wire", limit, "no such wires: `wire add`")
