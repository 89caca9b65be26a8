"""Commands: forward, sip-uri, ring-group, caller-filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from host.cli.context import Context
from host.cli.output import fail, say, show
from host.numbering import destinations, filters
from host.numbering.destinations import Member

forward = typer.Typer(no_args_is_help=True, help="Numbers that DIDs are forwarded to.")
sip_uri = typer.Typer(no_args_is_help=True, help="SIP URIs that DIDs are sent to.")
ring_group = typer.Typer(no_args_is_help=True, help="Several that ring for one call.")
caller_filter = typer.Typer(no_args_is_help=True, help="Callers whose calls go elsewhere.")

_Id = Annotated[int | None, typer.Option("--id", help="Change this one.")]
_Account = Annotated[str, typer.Option(help="The customer.")]


@forward.command("add", epilog="Example: loopstart-host forward add 5145550111 --account alice")
def forward_add(
    ctx: typer.Context,
    number: str,
    account: _Account,
    description: str = "",
    caller_id: Annotated[str, typer.Option(help="Shown in place of the caller's.")] = "",
    id: _Id = None,
) -> None:
    """Forward to a number: calls are charged as the customer's own to it."""
    env: Context = ctx.obj
    with env.writing() as conn:
        made = destinations.set_forwarding(
            conn, account, number, id=id, description=description, caller_id=caller_id
        )
    say(f"forward {made} to {number}: route to fwd:{made}", as_json=env.json, id=made)


@sip_uri.command(
    "add", epilog="Example: loopstart-host sip-uri add sip:me@203.0.113.5 --account alice"
)
def sip_uri_add(
    ctx: typer.Context, uri: str, account: _Account, description: str = "", id: _Id = None
) -> None:
    """Send calls to a SIP URI; its host is an address."""
    env: Context = ctx.obj
    with env.writing() as conn:
        made = destinations.set_sip_uri(conn, account, uri, id=id, description=description)
    say(f"SIP URI {made} is {uri}: route to sip:{made}", as_json=env.json, id=made)


@ring_group.command(
    "add",
    epilog="Example: loopstart-host ring-group add desk account:alice fwd:1+10 --account alice",
)
def ring_group_add(
    ctx: typer.Context,
    name: str,
    members: Annotated[
        list[str], typer.Argument(help="account:NAME, fwd:ID or sip:ID; +10: ten seconds later.")
    ],
    account: _Account,
    id: _Id = None,
) -> None:
    """Let several ring for one call; the first to answer has it."""
    env: Context = ctx.obj
    with env.writing() as conn:
        made = destinations.set_ring_group(
            conn, account, name, [_member(text) for text in members], id=id
        )
    say(f"ring group {made}, {name}: route to grp:{made}", as_json=env.json, id=made)


@caller_filter.command(
    "add",
    epilog="Example: loopstart-host caller-filter add '+1900*' sys:busy --account alice",
)
def caller_filter_add(
    ctx: typer.Context,
    caller: Annotated[str, typer.Argument(help="A number, how it begins with *, or anonymous.")],
    routing: str,
    account: _Account,
    did: Annotated[str, typer.Option(help="Of this DID alone.")] = "",
    busy: str = "",
    unreachable: str = "",
    noanswer: str = "",
    note: str = "",
    id: _Id = None,
) -> None:
    """Send the calls of some callers elsewhere; a number beats how it begins."""
    env: Context = ctx.obj
    with env.writing() as conn:
        made = filters.set_caller_filter(
            conn,
            account,
            caller,
            routing,
            did=did,
            failover_busy=busy,
            failover_unreachable=unreachable,
            failover_noanswer=noanswer,
            note=note,
            id=id,
        )
    say(f"calls of {caller} go to {routing}: filter {made}", as_json=env.json, id=made)


def _member(text: str) -> Member:
    target, plus, delay = text.rpartition("+")
    if not plus:
        return Member(text)
    if not delay.isdigit():
        fail(f"{text!r} is no member: write account:NAME, or account:NAME+10 for 10 s later", 2)
    return Member(target, int(delay))


def _more(
    app: typer.Typer,
    name: str,
    find: Callable[..., Sequence[Any]],
    remove: Callable[..., None],
    columns: tuple[str, ...],
) -> None:
    """`list` and `remove`, which are the same for all of them."""

    def list_them(ctx: typer.Context, account: str = "") -> None:
        env: Context = ctx.obj
        with env.reading() as conn:
            rows = [_shown(one._asdict()) for one in find(conn, account)]
        show(rows, columns, as_json=env.json, empty=f"none yet: `{name} add`")

    def remove_one(ctx: typer.Context, id: int, account: _Account) -> None:
        env: Context = ctx.obj
        with env.writing() as conn:
            remove(conn, account, id)
        say(f"{name} {id} removed", as_json=env.json, id=id)

    list_them.__doc__ = "All, or one customer's."
    remove_one.__doc__ = "Remove one that nothing goes to."
    app.command("list", epilog=f"Example: loopstart-host {name} list --account alice")(list_them)
    app.command("remove", epilog=f"Example: loopstart-host {name} remove 1 --account alice")(
        remove_one
    )


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    members = row.get("members")
    if members is not None:
        row["members"] = " ".join(
            f"{m.target}+{m.delay_s}" if m.delay_s else m.target for m in members
        )
    return row


_more(
    forward,
    "forward",
    destinations.forwardings,
    destinations.remove_forwarding,
    ("id", "account", "number", "caller_id", "description"),
)
_more(
    sip_uri,
    "sip-uri",
    destinations.sip_uris,
    destinations.remove_sip_uri,
    ("id", "account", "uri", "description"),
)
_more(
    ring_group,
    "ring-group",
    destinations.ring_groups,
    destinations.remove_ring_group,
    ("id", "account", "name", "members"),
)
_more(
    caller_filter,
    "caller-filter",
    filters.caller_filters,
    filters.remove_caller_filter,
    ("id", "account", "caller", "did", "routing", "note"),
)
