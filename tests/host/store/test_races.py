"""Two hosts, two processes, one database: one balance and one channel limit, whoever races or dies.

`python3 tasks.py races` runs a hundred races; the tests of every day ten.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from host.charging import ledger
from host.charging.values import Money, Now, Reason
from host.store.postgres import PostgresConnection, open_postgres
from host.store.sqlite import BUSY_TIMEOUT_MS
from tests.host.charging.world import CENT, UTC_0
from tests.host.store.clusters import Cluster, needs_postgres

RACES = int(os.environ.get("LOOPSTART_RACES", "10"))
SEED = int(os.environ.get("LOOPSTART_SEED", "1"))
CALLS = 10
_REFUSED = (Reason.ACCOUNT_CHANNELS.value, Reason.NO_MONEY.value)
FIRST_HOLD = CENT // 10
"""Six seconds at a cent a minute."""


class Host:
    """The other end of `tests.host.store.racing`."""

    def __init__(self, url: str, host_id: str, *words: str, boot: str = "boot") -> None:
        self.host_id = host_id
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.host.store.racing"),
                *(f"{url}&application_name={host_id}", host_id, f"{host_id}-{boot}", *words),
            ],
            cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.answer() == "ready"

    def ask(self, what: str, **order: Any) -> None:
        """Say what is to be done, and do not wait."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": what, **order}) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """What came of it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{self.host_id} died"
        return json.loads(line)

    def told(self, what: str, **order: Any) -> Any:
        """Ask and wait."""
        self.ask(what, **order)
        return self.answer()

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    own = Cluster()
    yield own
    own.remove()


@pytest.fixture
def url(cluster: Cluster) -> str:
    name = cluster.database()
    open_postgres(name).close()
    return name


@contextlib.contextmanager
def two_hosts(url: str, *words: str) -> Iterator[tuple[Host, Host]]:
    hosts = [Host(url, "host1", *words)]
    try:
        hosts.append(Host(url, "host2", *words))
        yield hosts[0], hosts[1]
    finally:
        for host in hosts:
            host.end()


def opened(conn: PostgresConnection, name: str, funds: int) -> int:
    account = conn.execute("INSERT INTO account (username) VALUES (?)", (name,)).lastrowid
    assert account is not None
    ledger.pay(conn, Now(UTC_0, 0), account, Money(funds), "card", name)
    return account


def watched(conn: PostgresConnection, account: int, funds: int, most: int) -> list[str]:
    """What a look, at one instant, finds wrong."""
    live, held, balance, posted, pending = conn.execute(
        "SELECT (SELECT count(*) FROM live_limit WHERE key = ?1), held, balance, "
        "(SELECT coalesce(sum(amount), 0) FROM movement WHERE debit_id = ?2 AND kind = 'call'), "
        "(SELECT coalesce(sum(amount), 0) FROM hold WHERE account_id = ?2 AND state = 'pending') "
        "FROM ledger_account WHERE id = ?2",
        (f"account:{account}:out", account),
    ).fetchone()
    faults = []
    if live > most:
        faults.append(f"{live} channels of {most}")
    if posted + pending > funds or held != pending or balance != funds - posted:
        faults.append(f"of {funds}: posted {posted}, pending {pending}, held {held}")
    return faults


def race(
    conn: PostgresConnection, hosts: tuple[Host, Host], seed: str, reasons: dict[str, int]
) -> list[str]:
    """One race of both hosts for one account, looked at while it runs and after it."""
    dice = random.Random(seed)
    funds, most = dice.randrange(3, 30) * FIRST_HOLD + dice.randrange(3), dice.randrange(3, 9)
    account = opened(conn, seed, funds)
    faults: list[str] = []
    for host in hosts:
        host.ask("race", seed=seed, account=account, most=most, calls=CALLS)
    looks = 0
    while looks < 3 or _running(conn):
        faults += watched(conn, account, funds, most)
        looks += 1
    told = [host.answer() for host in hosts]
    faults += watched(conn, account, funds, most)
    for one, other in (told, told[::-1]):
        faults += one["faults"]
        for call_id, cost in one["costs"].items():
            if other["costs"].get(call_id, cost) != cost:
                faults.append(f"{call_id} costs both {cost} and {other['costs'][call_id]}")
        for call_id, reason in one["refusals"].items():
            reasons[reason] += 1
            if call_id in other["grants"]:
                faults.append(f"{call_id} is granted and refused")
        reasons["granted"] += len(one["grants"])
        reasons["renewed"] += sum(quota > 6_000 for quota in one["grants"].values())
    costs = told[0]["costs"] | told[1]["costs"]
    left = sorted((told[0]["grants"].keys() | told[1]["grants"].keys()) - costs.keys())
    # What is live is ended by both hosts at once.
    for host in hosts:
        host.ask("settle", calls=left, talk_ms=dice.randrange(15_000))
    ended = [host.answer() for host in hosts]
    if ended[0]["costs"] != ended[1]["costs"]:
        faults.append(f"the ends differ: {ended[0]['costs']}, {ended[1]['costs']}")
    costs |= ended[0]["costs"]
    return faults + ended[0]["faults"] + ended[1]["faults"] + _books(conn, account, funds, costs)


def _running(conn: PostgresConnection) -> bool:
    """Whether a host was at the database within the last moment."""
    return bool(
        conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'host_' "
            "AND (state <> 'idle' OR state_change > clock_timestamp() - interval '0.05 s')"
        ).fetchone()[0]
    )


def _books(conn: PostgresConnection, account: int, funds: int, costs: dict[str, int]) -> list[str]:
    """After all calls have ended: the ledger, CDRs, and what the hosts were told, agree."""
    faults = ledger.check(conn)
    spent = sum(costs.values())
    found = conn.execute(
        "SELECT (SELECT count(*) FROM call WHERE state = 'open' AND account_id = ?1), "
        "(SELECT count(*) FROM hold WHERE state = 'pending' AND account_id = ?1), "
        "(SELECT count(*) FROM live_limit WHERE key = ?2), "
        "(SELECT coalesce(sum(cost), 0) FROM cdr WHERE account_id = ?1), "
        "(SELECT coalesce(sum(amount), 0) FROM movement WHERE debit_id = ?1 AND kind = 'call'), "
        "(SELECT balance FROM ledger_account WHERE id = ?1), "
        "(SELECT sum(amount) FROM posting)",
        (account, f"account:{account}:out"),
    ).fetchone()
    if found != (0, 0, 0, spent, spent, funds - spent, 0):
        faults.append(f"open, pending, live, CDRs, postings, balance, sum: {found}; told {spent}")
    return faults


@needs_postgres
@pytest.mark.timeout(60 + 5 * RACES)
def test_two_processes_that_race_never_grant_more_than_there_is(url: str) -> None:
    reasons: collections.Counter[str] = collections.Counter()
    with two_hosts(url) as hosts, contextlib.closing(open_postgres(url)) as conn:
        for n in range(RACES):
            seed = f"{SEED + n}"
            print(f"seed {seed}")
            assert race(conn, hosts, seed, reasons) == [], f"LOOPSTART_SEED={seed}"
    print(dict(reasons))
    assert {"granted", "renewed", *_REFUSED} <= reasons.keys()


@needs_postgres
def test_the_race_is_one_that_can_be_lost(url: str) -> None:
    """Hosts that do not queue for the database go over the limits within a few races."""
    reasons: collections.Counter[str] = collections.Counter()
    with two_hosts(url, "apart") as hosts, contextlib.closing(open_postgres(url)) as conn:
        found = []
        for n in range(30):
            found = race(conn, hosts, f"{n}", reasons)
            if found:
                break
    print(sorted(set(found)))
    assert found


def _kill_in_a_transaction(conn: PostgresConnection, victim: Host, dice: random.Random) -> None:
    time.sleep(dice.uniform(0.02, 0.3))
    until = time.monotonic() + 5
    while time.monotonic() < until:
        (busy,) = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = ? "
            "AND backend_xid IS NOT NULL",
            (victim.host_id,),
        ).fetchone()
        if busy:
            break
    assert busy, "it was at work no longer"
    victim.process.kill()
    victim.process.wait(10)


@needs_postgres
@pytest.mark.parametrize("turn", range(max(4, RACES // 5)))
def test_one_is_killed_and_the_other_goes_on(url: str, turn: int) -> None:
    """Its transaction is undone at once; the holds of its calls are given back by the survivor's
    supervision, or by its own recovery when it comes back."""
    seed = f"{SEED + turn}-killed"
    print(f"seed {seed}")
    dice = random.Random(seed)
    with two_hosts(url) as (survivor, victim), contextlib.closing(open_postgres(url)) as conn:
        funds, most = 10_000 * FIRST_HOLD, 1_000
        account = opened(conn, seed, funds)
        victim.told("heartbeat", ms=500)
        survivor.told("heartbeat", ms=500)
        for host in (survivor, victim):
            host.ask("race", seed=seed, account=account, most=most, calls=150)
        _kill_in_a_transaction(conn, victim, dice)
        told = survivor.answer()
        assert told["faults"] == []
        assert told["longest_ms"] < BUSY_TIMEOUT_MS, "it went on within the lock's time-out"
        assert watched(conn, account, funds, most) == []
        left = sorted(told["grants"].keys() - told["costs"].keys())
        ended = survivor.told("settle", calls=left, talk_ms=3_000)
        assert ended["faults"] == []
        (open_now,) = conn.execute(
            "SELECT count(*) FROM call WHERE state = 'open' AND host_id = 'host2'"
        ).fetchone()
        if turn % 2:
            # Nobody knows yet that it is gone: the survivor sees its heartbeat stand still.
            assert survivor.told("supervise", ms=2_000)["result"] == 0
            assert survivor.told("supervise", ms=2_000_000)["result"] == open_now
        else:
            again = Host(url, "host2", boot="boot2")
            try:
                assert again.told("recover", ms=60_000)["result"] == open_now
            finally:
                again.end()
        costs = dict(
            conn.execute(
                "SELECT call_id, sum(cost)::BIGINT FROM cdr WHERE account_id = ? GROUP BY call_id",
                (account,),
            ).fetchall()
        )
        for call_id, cost in {**told["costs"], **ended["costs"]}.items():
            assert costs[call_id] == cost
        assert _books(conn, account, funds, costs) == []
        print(f"{open_now} calls were open, the longest wait was {told['longest_ms']:.0f} ms")


@needs_postgres
@pytest.mark.slow
def test_one_hangs_within_a_transaction_and_delays_the_other_by_no_more_than_the_time_outs(
    url: str,
) -> None:
    """The server ends its transaction; when it wakes up it connects anew and goes on."""
    with contextlib.closing(open_postgres(url)) as conn:
        host = Host(url, "host1")
        try:
            account = opened(conn, "hangs", 10_000 * FIRST_HOLD)
            host.told("heartbeat", ms=500)
            host.ask("race", seed="hangs", account=account, most=1_000, calls=150)
            _stop_in_a_transaction(conn, host)
            began = time.monotonic()
            while True:
                try:
                    conn.execute("BEGIN IMMEDIATE")
                    conn.execute("COMMIT")
                    break
                except sqlite3.OperationalError:
                    conn.execute("ROLLBACK")
            waited_s = time.monotonic() - began
            print(f"waited {waited_s:.1f} s")
            assert 1 < waited_s < 3 * BUSY_TIMEOUT_MS / 1000
            host.process.send_signal(signal.SIGCONT)
            told = host.answer()
            assert len(told["costs"]) > 20
            assert host.told("recover", ms=60_000)["result"] > 0
        finally:
            host.end()
        costs = dict(
            conn.execute(
                "SELECT call_id, sum(cost)::BIGINT FROM cdr WHERE account_id = ? GROUP BY call_id",
                (account,),
            ).fetchall()
        )
        assert _books(conn, account, 10_000 * FIRST_HOLD, costs) == []


def _stop_in_a_transaction(conn: PostgresConnection, host: Host) -> None:
    """Stopped (SIGSTOP) while the server waits for the rest of its transaction."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        host.process.send_signal(signal.SIGSTOP)
        time.sleep(0.01)
        (within,) = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = ? "
            "AND state = 'idle in transaction' AND backend_xid IS NOT NULL",
            (host.host_id,),
        ).fetchone()
        if within:
            return
        host.process.send_signal(signal.SIGCONT)
        time.sleep(0.003)
    raise AssertionError("never within a transaction")
