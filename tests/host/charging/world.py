"""A store, an account with money, and calls on it: what the stories of charging start from."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path

from host.charging import ledger
from host.charging.service import Charging
from host.charging.values import (
    USD,
    BilledLeg,
    CallFacts,
    Direction,
    Ending,
    Limit,
    Money,
    Now,
    Reason,
    Rule,
    Tariff,
)
from host.settings import ChargingSettings
from host.store.opening import open_writer

CENT = Money(USD // 100)
HUNG_UP = Ending("answered", 16, "caller")
PER_MINUTE = Tariff(per_minute=CENT)
"""One cent a minute, 6/6."""
UTC_0 = 1_800_000_000_000


class World:
    """One host on one store, with its clocks in hand."""

    def __init__(
        self,
        path: Path,
        *rules_off: Rule,
        settings: ChargingSettings | None = None,
        host_id: str = "host1",
        boot_id: str = "boot1",
    ) -> None:
        self.path = path
        self.conn: sqlite3.Connection = open_writer(path)
        self.settings = settings or ChargingSettings()
        self.charging = Charging(host_id, boot_id, self.settings, frozenset(rules_off))
        self.ms = 0

    @property
    def now(self) -> Now:
        return Now(UTC_0 + self.ms, 5_000 + self.ms)

    def account(self, funds: int = 0, name: str = "") -> int:
        row = self.conn.execute(
            "INSERT INTO account (username) VALUES (?)", (name or secrets.token_hex(6),)
        ).lastrowid
        assert row is not None
        if funds:
            self.pay(row, funds)
        return row

    def pay(self, account: int, amount: int, payment_id: str = "") -> bool:
        payment_id = payment_id or f"p{account}-{amount}-{self.conn.total_changes}"
        return ledger.pay(self.conn, self.now, account, Money(amount), "test", payment_id)

    def authorize(
        self,
        call_id: str,
        *legs: BilledLeg,
        max_talk_ms: int = 3_600_000,
        caller: str = "+12125550100",
    ) -> object:
        call = CallFacts(call_id, "alice", legs[0].account_id, "out", caller, "+15145550100")
        return self.charging.authorize(self.conn, self.now, call, legs, max_talk_ms)

    def answered(self, call_id: str) -> None:
        self.charging.answered(self.conn, self.now, call_id, "north")

    def renew(self, call_id: str) -> object:
        return self.charging.renew(self.conn, self.now, call_id)

    def settle(self, call_id: str, talk_ms: int, ending: Ending = HUNG_UP) -> list[int]:
        """Costs, one a leg."""
        return [
            leg.cost for leg in self.charging.settle(self.conn, self.now, call_id, talk_ms, ending)
        ]

    def funds(self, account: int) -> ledger.Balance:
        return ledger.balance(self.conn, account)

    def cdrs(self, call_id: str) -> list[dict[str, object]]:
        cursor = self.conn.execute("SELECT * FROM cdr WHERE call_id = ? ORDER BY leg", (call_id,))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def sound(self) -> None:
        assert ledger.check(self.conn) == []


def leg(
    account: int,
    tariff: Tariff = PER_MINUTE,
    *limits: Limit,
    number: int = 0,
    direction: Direction = "out",
) -> BilledLeg:
    return BilledLeg(number, direction, account, tariff, "value 1514", "value", limits)


def channels(account: int, most: int) -> Limit:
    return Limit(f"account:{account}:out", most, Reason.ACCOUNT_CHANNELS)


def one_number(account: int, most: int = 2, number: str = "+15145550100") -> Limit:
    return Limit(f"account:{account}:to:{number}", most, Reason.ONE_NUMBER)
