"""Commands: what a DID is ordered, routed and checked by."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from host.cli.account_options import one_of
from host.cli.context import Context, now, rows_of
from host.cli.output import fail, say, show, utc
from host.control_client import ask, live_pops
from host.numbering import dids, orders, pop_match
from host.numbering.pop_match import Mismatch
from host.store.connection import Connection

_To = Annotated[str, typer.Argument(help="account:NAME, fwd:ID, sip:ID, grp:ID, sys:busy, none:")]
_Busy = Annotated[str | None, typer.Option(help="Instead, when that is busy.")]
_Unreachable = Annotated[str | None, typer.Option(help="Instead, when that cannot be reached.")]
_NoAnswer = Annotated[str | None, typer.Option(help="Instead, when that does not answer.")]
_RingS = Annotated[
    int | None, typer.Option("--ring-s", help="Nobody answers after so long; 0: the host's.")
]
_LIST = """
SELECT number, is_range, plan, monthly, per_minute, american_per_minute AS american_callers,
    canadian_per_minute AS canadian_callers, did.channels, pop, username AS account, did.state,
    did.routing, failover_busy, failover_unreachable, failover_noanswer, ring_s, did.description,
    (SELECT paid_until_utc_ms FROM did_order WHERE did_order.id = order_id) AS paid_until_utc_ms
FROM did LEFT JOIN account ON account.id = account_id
WHERE (?1 = '' OR username = ?1) AND (?2 = 0 OR account_id IS NULL) ORDER BY number"""


def did_list(
    ctx: typer.Context,
    account: str = "",
    free: Annotated[bool, typer.Option("--free", help="Those that can be ordered.")] = False,
) -> None:
    """All DIDs, or one account's; a POP that does not match is shown with where it should be."""
    env: Context = ctx.obj
    at = _live(env)
    with env.reading() as conn:
        rows = rows_of(conn, _LIST, (account, free))
        wrong = {one.number: one for one in _mismatches(env, conn, at)}
    for row in rows:
        found = wrong.get(str(row["number"]))
        row["pop_mismatch"] = ", ".join(found.registered) if found else ""  # type: ignore[index]
    columns = ["number", "plan", "monthly", "per_minute", "channels", "pop", "account", "state"]
    columns += ["routing", "paid_until_utc_ms"]
    if wrong:
        columns.insert(6, "pop_mismatch")
    show(rows, columns, as_json=env.json, empty="no DIDs: `did add NUMBER`")


def did_order(
    ctx: typer.Context,
    number: str,
    account: Annotated[str, typer.Option(help="Who has it; its main account pays.")],
    plan: Annotated[str | None, typer.Option(help="Else the one that it has.")] = None,
    pop: str | None = None,
    routing: str = "",
    description: str = "",
    test: Annotated[
        bool, typer.Option("--test", help="Say what it costs, change nothing.")
    ] = False,
) -> None:
    """Give a free DID to an account; the first month's fee is taken at once."""
    env: Context = ctx.obj
    one_of("plan", plan, tuple(dids.CHANNELS))
    with env.writing() as conn:
        made = orders.order_did(
            conn,
            now(),
            number,
            account,
            plan=plan,  # type: ignore[arg-type]  # checked above
            pop=pop,
            routing=routing,
            description=description,
            test=test,
        )
    done = "can be ordered" if test else f"is {account}'s"
    text = f"DID {made.number} {done}, paid until {utc(made.paid_until_utc_ms)}"
    say(text, as_json=env.json, account=account, ordered=not test, **made._asdict())


def did_route(
    ctx: typer.Context,
    number: str,
    routing: _To,
    busy: _Busy = None,
    unreachable: _Unreachable = None,
    noanswer: _NoAnswer = None,
    ring_s: _RingS = None,
) -> None:
    """Send a DID's calls somewhere; '' is the account that has it."""
    _route(ctx.obj, number, routing, (busy, unreachable, noanswer), ring_s)


def did_failover(
    ctx: typer.Context,
    number: str,
    busy: _Busy = None,
    unreachable: _Unreachable = None,
    noanswer: _NoAnswer = None,
    ring_s: _RingS = None,
) -> None:
    """Send a DID's calls elsewhere when the first way is in vain; '' takes a fail-over away."""
    if (busy, unreachable, noanswer, ring_s) == (None,) * 4:
        fail("nothing to change: use --busy, --unreachable, --noanswer or --ring-s", 2)
    _route(ctx.obj, number, None, (busy, unreachable, noanswer), ring_s)


def _route(
    env: Context,
    number: str,
    routing: str | None,
    failovers: tuple[str | None, str | None, str | None],
    ring_s: int | None,
) -> None:
    changes: dict[str, Any] = {
        "routing": routing,
        "failover_busy": failovers[0],
        "failover_unreachable": failovers[1],
        "failover_noanswer": failovers[2],
        "ring_s": ring_s,
    }
    with env.writing() as conn:
        e164 = dids.route_did(conn, number, **changes)
    given = {name: value for name, value in changes.items() if value is not None}
    say(f"DID {e164} is routed anew", as_json=env.json, number=e164, **given)


def did_check(
    ctx: typer.Context,
    fix: Annotated[bool, typer.Option("--fix", help="Move each to its account's POP.")] = False,
) -> None:
    """DIDs whose POP is not the one that their account is registered to; exit status 1 if any."""
    env: Context = ctx.obj
    at = _live(env)  # before the transaction: a host that is slow to answer keeps no calls waiting
    with env.writing() as conn:
        found = _mismatches(env, conn, at)
        if fix:
            pop_match.mend(conn, found)
    rows = [{**one._asdict(), "registered": ", ".join(one.registered)} for one in found]
    if fix:
        text = f"{len(found)} DIDs moved to the POP that their account is registered at"
        say(text, as_json=env.json, moved=len(found))
        return
    columns = ("number", "pop", "account", "registered")
    show(rows, columns, as_json=env.json, empty="every DID is where its account is registered")
    if found:
        raise typer.Exit(1)


def _live(env: Context) -> list[tuple[int, str]]:
    """Who is registered with the host on this machine, and at which POP."""
    return live_pops(partial(ask, env.settings.control, "registrations"))


def _mismatches(env: Context, conn: Connection, live: list[tuple[int, str]]) -> list[Mismatch]:
    registered = pop_match.registered_pops(conn, now().utc_ms, env.settings.pop_of, live)
    return pop_match.mismatches(conn, registered)


def add_to(did: typer.Typer) -> None:
    """Make these commands of `did`."""
    number = "+12125550100"
    for name, command, example in (
        ("list", did_list, "did list --free"),
        ("order", did_order, f"did order {number} --account alice --plan flat"),
        ("route", did_route, f"did route {number} fwd:1 --busy account:alice --ring-s 20"),
        ("failover", did_failover, f"did failover {number} --unreachable fwd:1"),
        ("check", did_check, "did check --fix"),
    ):
        did.command(name, epilog=f"Example: loopstart-host {example}")(command)
