"""A real process with the real writer and its thread, ended by SIGKILL in the midst of its work.

`python -m host.simulate.killed FILE SEED` works until it is killed, and prints what it knows to be
durable; `kill_one` runs it, kills it, and compares what it said with what the store has. In real
time, so what happens differs from run to run; what must hold does not.
"""

from __future__ import annotations

import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from host.charging import ledger
from host.charging.service import Charging
from host.charging.values import (
    BilledLeg,
    CallFacts,
    Ending,
    Grant,
    Limit,
    Money,
    Now,
    Reason,
    Tariff,
)
from host.numbering import provisioning
from host.settings import ChargingSettings
from host.store.opening import open_writer
from host.store.writer import Delivery, GroupCommitWriter

_WORKERS = 8
_ACCOUNTS = ("one", "two")
_SETTINGS = ChargingSettings(quota_s=6, renew_before_s=2)
_START = 2_000_000
_PATIENCE_S = 20.0


def _now() -> Now:
    return Now(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)


def work(path: str, seed: int) -> None:
    """Authorise, answer, renew and settle from several threads until killed."""

    def deliver(delivery: Delivery) -> None:
        for done, result in delivery:
            done(result)

    writer = GroupCommitWriter(path, 5, deliver)
    charging = Charging("host1", "boot1", _SETTINGS)

    def say(*words: object) -> None:
        # One write a line: a kill leaves whole lines.
        os.write(1, (" ".join(map(str, words)) + "\n").encode())

    def calls(worker: int) -> None:
        dice = random.Random(f"{seed}-{worker}")
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def do(operation: Any) -> Any:
            writer.submit(operation, answers.put)
            result = answers.get(timeout=_PATIENCE_S)
            if isinstance(result, BaseException):
                raise result
            return result

        number = 0
        while True:
            number += 1
            call_id, account = f"{seed}-{worker}-{number}", dice.choice((1, 2))
            if dice.random() < 0.2:
                units = Money(dice.randrange(1, 500_000))
                do(
                    lambda conn, a=account, u=units, c=call_id: ledger.pay(
                        conn, _now(), a, u, "card", c
                    )
                )
                say("paid", call_id, units)
            limit = Limit(f"account:{account}:out", 5, Reason.ACCOUNT_CHANNELS)
            tariff = Tariff(Money(dice.choice((0, 60_000, 1_000_001))))
            leg = BilledLeg(0, "out", account, tariff, "simulated", "value", (limit,))
            facts = CallFacts(call_id, "a", account, "out", "+12125550100", "+15145550100")
            grant = do(
                lambda conn, f=facts, one=leg: charging.authorize(conn, _now(), f, (one,), 60_000)
            )
            if not isinstance(grant, Grant):
                say("refused", call_id)
                continue
            say("granted", call_id, grant.quota_ms)
            do(lambda conn, c=call_id: charging.answered(conn, _now(), c, "north"))
            if dice.random() < 0.3:
                do(lambda conn, c=call_id: charging.renew(conn, _now(), c))
            if dice.random() < 0.1:
                do(lambda conn: charging.heartbeat(conn, _now()))
            ending, talk_ms = Ending("answered", 16, "caller"), dice.randrange(30_000)
            (told,) = do(
                lambda conn, c=call_id, t=talk_ms, e=ending: charging.settle(conn, _now(), c, t, e)
            )
            say("settled", call_id, told.billed_ms, told.cost)

    threads = [threading.Thread(target=calls, args=(n,), daemon=True) for n in range(_WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def kill_one(seed: int) -> tuple[str, int]:
    """Run such a process, kill it twice, look at what is left.

    Returns:
        The promise that was broken, in a sentence (empty: none), and how many calls were granted.
    """
    with TemporaryDirectory(prefix="loopstart-") as folder:
        path = Path(folder) / "killed.sqlite"
        with closing(open_writer(path)) as conn:
            for name in _ACCOUNTS:
                account = provisioning.add_account(conn, name, realm="simulated", password="")
                ledger.pay(conn, _now(), account, Money(_START), "card", f"first-{name}")
        said: list[list[str]] = []
        for life in range(2):
            said += _killed(path, seed * 2 + life)
            broken = _recovered(path)
            if broken:
                return broken, 0
        granted = [line[1] for line in said if line[0] == "granted"]
        return _as_said(path, said), len(granted)


def _killed(path: Path, seed: int) -> list[list[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "host.simulate.killed", str(path), str(seed)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.1, 0.5))
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=_PATIENCE_S)
    return [line.split() for line in (first + rest).splitlines()]


def _recovered(path: Path) -> str:
    """What the next process finds, before and after it settled what was left."""
    with closing(open_writer(path)) as conn:
        faults = ledger.check(conn)
        (left,) = conn.execute("SELECT count(*) FROM call WHERE state = 'open'").fetchone()
        settled = Charging("host1", "boot1", _SETTINGS).recover(conn, _now())
        faults += ledger.check(conn)
        if settled != left:
            faults.append(f"{left} calls were left, {settled} settled")
        for what, query in (
            ("channels", "SELECT count(*) FROM live_limit"),
            ("holds", "SELECT count(*) FROM hold WHERE state = 'pending'"),
        ):
            (count,) = conn.execute(query).fetchone()
            if count:
                faults.append(f"{count} {what} are left after the recovery")
    return faults[0] if faults else ""


def _as_said(path: Path, said: list[list[str]]) -> str:
    """Whether the store has everything that was acknowledged."""
    if not any(line[0] == "settled" for line in said):
        return "the process settled nothing before it was killed"
    with closing(open_writer(path)) as conn:
        records = {
            row[0]: row[1:]
            for row in conn.execute("SELECT call_id, billed_ms, cost, reason FROM cdr")
        }
        payments = dict(conn.execute("SELECT key, amount FROM movement WHERE kind = 'payment'"))
    for what, key, *values in said:
        if what == "paid":
            if payments.get(f"payment:card:{key}") != int(values[0]):
                return f"payment {key} was acknowledged, and is lost"
        elif key not in records:
            return f"call {key} was {what}, and is lost"
        elif what == "settled" and list(map(str, records[key][:2])) != values:
            return f"call {key} was settled as {values}, and is kept as {records[key]}"
        elif what == "refused" and not records[key][2]:
            return f"call {key} was refused, and is kept as {records[key]}"
    return ""


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
