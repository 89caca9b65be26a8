"""Commands: rates."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from host.charging.money import parse_usd
from host.charging.values import Refusal
from host.cli.account_options import one_of
from host.cli.context import Context, now, rows_of
from host.cli.output import fail, say, show, show_one, utc
from host.numbering import deck as decks
from host.numbering import provisioning
from host.numbering.directory import Directory
from host.numbering.offers import did_offers, toll_free_offers
from host.numbering.quoting import quote
from host.numbering.rates import in_force, ready_decks
from host.numbering.values import Route

_GIVE_WAY_S = 0.01
"""Between two transactions of an import, so that the commits of calls come in between."""
_ROUTES = ("value", "premium")

app = typer.Typer(no_args_is_help=True, help="What calls cost, and what carriers charge.")


def instant(text: str) -> int:
    """A UTC instant as an operator writes it, in milliseconds since 1970.

    Raises:
        ValueError: it is none.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no instant: write it as 2027-01-31T00:00:00Z, UTC") from None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


@app.command(
    "import", epilog="Example: loopstart-host rates import deck.csv --from 2027-01-31T00:00:00Z"
)
def rates_import(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="CSV with a header; the default deck if left out.")
    ] = None,
    from_: Annotated[
        str, typer.Option("--from", help="UTC instant at which it takes force; else at once.")
    ] = "",
    carrier: Annotated[
        str, typer.Option(help="What this carrier charges us, not what customers pay.")
    ] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop the rates that are not in the file.")
    ] = False,
    below_cost: Annotated[
        bool, typer.Option("--below-cost", help="May be sold for less than a carrier takes.")
    ] = False,
) -> None:
    """Put a deck of rates into force, all of it or nothing; calls go on meanwhile.

    Columns: prefix, then value and premium (USD a minute; empty: not offered), with --carrier
    cost; and if wanted destination, first_s, step_s (6 and 6), connect_fee, carriers (names,
    | between). Lines that begin with # are notes.
    """
    env: Context = ctx.obj
    file = file or decks.DEFAULT_DECK
    effective = None
    if from_:
        try:
            effective = instant(from_)
        except ValueError as error:
            fail(str(error), 2)
        if effective <= now().utc_ms:
            fail(f"--from {from_} is past: leave it out to put the deck into force at once", 2)
    if carrier and below_cost:
        fail("--below-cost goes with what customers pay, not with --carrier", 2)
    try:
        size = file.stat().st_size
        lines = file.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        fail(f"{file} cannot be read ({error.strerror}): name a CSV file in UTF-8")
    with lines, env.store() as conn, _bar() as bar:
        if (
            carrier
            and not conn.execute("SELECT 1 FROM carrier WHERE name = ?", (carrier,)).fetchone()
        ):
            fail(f"no carrier {carrier!r}: `carrier list` shows them")
        reading = bar.add_task("reading", total=size)
        writing = bar.add_task("writing", total=None, start=False, visible=False)

        def told(done: int, total: int) -> None:
            bar.start_task(writing)
            bar.update(reading, visible=False)
            bar.update(writing, completed=done, total=total, visible=True)

        began = time.monotonic()
        done = decks.import_deck(
            conn,
            _counted(lines, bar, reading),
            utc_ms=lambda: now().utc_ms,
            name=file.name,
            carrier=carrier,
            effective_utc_ms=effective,
            replace=replace,
            below_cost=below_cost,
            progress=told,
            give_way=lambda: time.sleep(_GIVE_WAY_S),
        )
    when = f"from {utc(done.effective_utc_ms)} UTC on" if effective else "now"
    text = f"{done.imported} rates of {file.name} are in force {when} as deck {done.deck}"
    if carrier:
        text += f" of carrier {carrier}"
    if done.followed_by:
        later = ", ".join(map(str, done.followed_by))
        text += f"; deck {later}, imported before, takes force after it and does not have them"
    say(
        f"{text}, {done.total} in all",
        as_json=env.json,
        deck=done.deck,
        carrier=carrier,
        imported=done.imported,
        total=done.total,
        effective_utc_ms=done.effective_utc_ms,
        followed_by=list(done.followed_by),
        seconds=round(time.monotonic() - began, 3),
    )


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


def _counted(lines: Iterator[str], bar: Progress, task: Any) -> Iterator[str]:
    """Lines, the bar moved now and then by their letters, which are octets but for a few."""
    read = 0
    for number, line in enumerate(lines):
        read += len(line)
        if number % 10_000 == 0:
            bar.update(task, completed=read)
        yield line


@app.command("decks", epilog="Example: loopstart-host rates decks --all")
def rates_decks(
    ctx: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="With those that are gone.")] = False,
) -> None:
    """Decks of what customers pay and of what carriers charge, with when each takes force."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = _decks(conn, now().utc_ms)
    shown = [row for row in rows if every or row["state"] not in ("withdrawn", "dropped")]
    columns = ("deck", "carrier", "state", "effective_utc_ms", "rates", "below_cost", "name")
    show(shown, columns, as_json=env.json, empty="no decks: `rates import FILE`")


def _decks(conn: Any, utc_ms: int) -> list[dict[str, Any]]:
    ready = ready_decks(conn)
    current = {one.id for one in in_force(ready, utc_ms)}
    rows = []
    for row in rows_of(
        conn,
        "SELECT id AS deck, carrier, state, effective_utc_ms, rates, below_cost, name FROM deck "
        "ORDER BY carrier, effective_utc_ms, id",
    ):
        state = row["state"]
        if state == "ready":
            announced = row["effective_utc_ms"] > utc_ms
            state = "announced" if announced else "superseded"
            state = "in force" if row["deck"] in current else state
        rows.append({**row, "state": state})
    return rows


@app.command("withdraw", epilog="Example: loopstart-host rates withdraw 7")
def rates_withdraw(ctx: typer.Context, deck: int) -> None:
    """Take back a deck that is announced, or the one in force for the one before it."""
    env: Context = ctx.obj
    with env.writing() as conn:
        before = decks.withdraw(conn, deck, now().utc_ms)
    stands = f"; deck {before.id} is in force" if before else "; nothing stands in its place"
    say(
        f"deck {deck} is withdrawn{stands}",
        as_json=env.json,
        deck=deck,
        in_force=before.id if before else None,
    )


@app.command("list", epilog="Example: loopstart-host rates list 1514 --carrier north")
def rates_list(
    ctx: typer.Context,
    prefix: Annotated[str, typer.Argument()] = "",
    deck: Annotated[int, typer.Option(help="Another than the one in force.")] = 0,
    carrier: Annotated[str, typer.Option(help="What this carrier charges.")] = "",
) -> None:
    """The deck in force, or what of it begins with PREFIX."""
    env: Context = ctx.obj
    with env.reading() as conn:
        if not deck:
            current = in_force(ready_decks(conn), now().utc_ms)
            deck = next((one.id for one in current if one.carrier == carrier), 0)
        begin = "".join(c for c in prefix if c.isdigit())
        rows = rows_of(
            conn,
            "SELECT prefix, destination, route, per_minute, first_s, step_s, connect_fee, "
            "carriers FROM rate WHERE deck = ? AND prefix >= ? AND prefix < ? "
            "ORDER BY prefix, route",
            (deck, begin, begin + ":"),  # in ASCII ":" comes after "9"
        )
    columns = (
        *("prefix", "destination", "route", "per_minute", "first_s", "step_s"),
        *("connect_fee", "carriers"),
    )
    show(rows, columns, as_json=env.json, empty="no such rates: `rates decks` shows the decks")


@app.command(
    "quote", epilog="Example: loopstart-host rates quote 5145550100 --account alice --seconds 90"
)
def rates_quote(
    ctx: typer.Context,
    number: str,
    account: Annotated[str, typer.Option(help="By its route, its rules and its limits.")] = "",
    route: Annotated[str, typer.Option(help="value or premium; else the account's")] = "",
    seconds: Annotated[int, typer.Option(min=0, max=10_000_000)] = 60,
    at: Annotated[str, typer.Option(help="UTC instant of the call; else now.")] = "",
) -> None:
    """What a call would cost, by the function that bills it, and by which carriers it would go."""
    env: Context = ctx.obj
    one_of("route", route or None, _ROUTES)
    try:
        utc_ms = instant(at) if at else now().utc_ms
    except ValueError as error:
        fail(str(error), 2)
    with env.reading() as conn:
        directory = Directory(conn, env.settings.sip.realm, utc_ms=lambda: utc_ms)
        caller = directory.account_by_username(account) if account else None
        if account and caller is None:
            fail(f"no account {account!r}: `account list` shows them")
        chosen: Route | None = route or None  # type: ignore[assignment]  # checked above
        found = quote(directory, number, seconds * 1000, caller, chosen)
    if isinstance(found, Refusal):
        who = account or "a customer"
        fail(f"{who} cannot call {number}: {found.reason.value} ({found.detail})")
    leg, carrier_cost = found.leg, found.carrier_cost
    row = {
        "number": found.number,
        "route": leg.route,
        "rate": leg.tariff_ref,
        "deck": leg.deck,
        "per_minute": leg.tariff.per_minute,
        "first_s": leg.tariff.first_s,
        "step_s": leg.tariff.step_s,
        "connect_fee": leg.tariff.connect_fee,
        "seconds": seconds,
        "cost": found.cost,
        "carriers": ", ".join(one.name for one in found.carriers),
        "carrier_cost": carrier_cost,
        "margin": None if carrier_cost is None else found.cost - carrier_cost,
    }
    show_one(row, as_json=env.json)


@app.command("below-cost", epilog="Example: loopstart-host rates below-cost --route value --allow")
def rates_below_cost(
    ctx: typer.Context,
    account: Annotated[str, typer.Option(help="All calls of this account.")] = "",
    route: Annotated[str, typer.Option(help="All calls on this route: value or premium.")] = "",
    deck: Annotated[int, typer.Option(help="All calls by this deck's rates.")] = 0,
    allow: Annotated[bool | None, typer.Option("--allow/--forbid")] = None,
) -> None:
    """Where calls may be sold for less than a carrier takes; nowhere at first.

    Without options it shows where.
    """
    env: Context = ctx.obj
    one_of("route", route or None, _ROUTES)
    named = [one for one in (account, route, deck) if one]
    if allow is None and not named:
        with env.reading() as conn:
            rows = rows_of(
                conn,
                "SELECT 'account' AS kind, username AS name FROM account WHERE below_cost = 1 "
                "UNION ALL SELECT 'route', 'value' FROM config WHERE value_below_cost = 1 "
                "UNION ALL SELECT 'route', 'premium' FROM config WHERE premium_below_cost = 1 "
                "UNION ALL SELECT 'deck', CAST(id AS TEXT) FROM deck WHERE below_cost = 1 "
                "AND state = 'ready'",
            )
        show(rows, ("kind", "name"), as_json=env.json, empty="nothing is sold below cost")
        return
    if len(named) != 1 or allow is None:
        fail("name one of --account, --route and --deck, and --allow or --forbid", 2)
    with env.writing() as conn:
        if account:
            provisioning.set_account(conn, account, below_cost=allow)
        elif route:
            conn.execute(f"UPDATE config SET {route}_below_cost = ?", (allow,))
        elif not conn.execute(
            "UPDATE deck SET below_cost = ? WHERE id = ? AND carrier = '' AND state = 'ready'",
            (allow, deck),
        ).rowcount:
            fail(f"no deck {deck} of what customers pay: `rates decks` shows them")
    what = f"account {account}" if account else f"route {route}" if route else f"deck {deck}"
    verb = "may" if allow else "may not"
    values = {"account": account, "route": route, "deck": deck}
    chosen = {name: value for name, value in values.items() if value}
    say(f"{what} {verb} be sold below cost", as_json=env.json, **chosen, below_cost=allow)


@app.command("offers", epilog="Example: loopstart-host rates offers --json")
def rates_offers(ctx: typer.Context) -> None:
    """What DIDs and toll-free numbers cost, a month and a minute."""
    env: Context = ctx.obj
    rows: list[dict[str, Any]] = [
        {
            "number": f"DID {row['place']}",
            "plan": row["plan"],
            "monthly": parse_usd(row["monthly"]),
            "american_callers": parse_usd(row["per_minute"]),
            "canadian_callers": parse_usd(row["per_minute"]),
        }
        for row in did_offers()
    ]
    rows += [
        {
            "number": f"toll-free, carrier in {one.carrier}",
            "plan": "per-minute",
            "monthly": one.monthly,
            "american_callers": one.american_callers,
            "canadian_callers": one.canadian_callers,
        }
        for one in toll_free_offers()
    ]
    columns = ("number", "plan", "monthly", "american_callers", "canadian_callers")
    show(rows, columns, as_json=env.json, empty="no offers")
