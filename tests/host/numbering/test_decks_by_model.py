"""Decks that come, are announced, withdrawn and changed in any order, against a plain model."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from host.numbering import provisioning
from host.numbering.deck import import_deck, withdraw
from host.numbering.deck_csv import DeckError
from host.numbering.directory import Directory
from host.numbering.values import Route
from host.store.opening import open_reader, open_writer

Rates = dict[tuple[Route, str], int | None]
PREFIXES = ("1", "15", "151", "1514", "1514555", "16", "1613", "44", "4420")
NUMBERS = ("+15145550100", "+15155550100", "+16135550100", "+442079460000", "+33123456789")
ROUTES: tuple[Route, ...] = ("value", "premium")


class Model:
    """What ought to be in force, as obviously as can be."""

    def __init__(self) -> None:
        self.decks: dict[int, tuple[int, Rates]] = {}

    def in_force(self, now: int) -> int:
        return max((at, deck) for deck, (at, _) in self.decks.items() if at <= now)[1]

    def price(self, now: int, route: Route, number: str) -> tuple[int, int | None] | None:
        deck = self.in_force(now)
        rates = self.decks[deck][1]
        for length in range(len(number), 1, -1):
            if (route, number[1:length]) in rates:
                price = rates[route, number[1:length]]
                return None if price is None else (deck, price)
        return None


@pytest.mark.parametrize("seed", range(12))
def test_the_rate_is_always_that_of_the_model(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    path = tmp_path / "host.sqlite"
    conn = open_writer(path)
    provisioning.seed(conn)
    now = 1_000_000
    directory = Directory(open_reader(path), "r", utc_ms=lambda: now)
    model = Model()
    default: Rates = {}
    for route, prefix, price in conn.execute("SELECT route, prefix, per_minute FROM rate"):
        default[route, prefix] = price
    model.decks[1] = (0, default)
    did: list[str] = []
    for step in range(30):
        what = dice.choice(("now", "later", "replace", "withdraw", "hand", "wait", "wait"))
        did.append(what)
        if what in ("now", "later", "replace"):
            at = now + dice.randint(1, 2_000) if what == "later" else now
            routes = dice.choice((ROUTES, ROUTES[:1], ROUTES[1:]))
            prefixes = dice.sample(PREFIXES, dice.randint(1, 5))
            lines = [f"prefix,{','.join(routes)}\n"]
            base = {} if what == "replace" else dict(model.decks[model.in_force(at)][1])
            for prefix in prefixes:
                prices = [dice.choice((None, 100, 200, 300)) for _ in routes]
                told = ["" if one is None else f"0.{one:08}" for one in prices]
                lines.append(",".join((prefix, *told)) + "\n")
                base.update(((r, prefix), p) for r, p in zip(routes, prices, strict=True))
            done = import_deck(
                conn,
                lines,
                utc_ms=lambda at=now: at,  # type: ignore[misc]
                effective_utc_ms=at if what == "later" else None,
                replace=what == "replace",
            )
            assert done.total == len(base), (seed, step, did)
            model.decks[done.deck] = (at, base)
            # The one in force, the one before it, and those to come stay.
            over = sorted((a, d) for d, (a, _) in model.decks.items() if a <= now)[:-2]
            for _, deck in over:
                del model.decks[deck]
        elif what == "withdraw":
            deck = dice.choice(sorted(model.decks))
            left = [d for d, (a, _) in model.decks.items() if a <= now and d != deck]
            if left:
                withdraw(conn, deck, now)
                del model.decks[deck]
            else:
                with pytest.raises(DeckError):
                    withdraw(conn, deck, now)
        elif what == "hand":
            deck = model.in_force(now)
            key = dice.choice(sorted(model.decks[deck][1]))
            conn.execute(
                "UPDATE rate SET per_minute = 7 WHERE deck = ? AND route = ? AND prefix = ?",
                (deck, *key),
            )
            model.decks[deck][1][key] = 7
        else:
            now += dice.randint(0, 1_500)
        for route in ROUTES:
            for number in NUMBERS:
                rate = directory.rate(route, number)
                found = rate and (rate.deck, rate.tariff.per_minute)
                assert found == model.price(now, route, number), (seed, step, did, number)
    conn.close()
