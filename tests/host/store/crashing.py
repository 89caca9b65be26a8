"""A host's store under load, to be killed: run as `python -m tests.host.store.crashing FILE SEED`.

Prints one line for each operation, as soon as it is known to be durable.
"""

from __future__ import annotations

import os
import queue
import random
import sys
import threading
import time

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
from host.settings import ChargingSettings
from host.store.writer import Delivery, GroupCommitWriter

WORKERS = 12


def main(path: str, seed: int) -> None:
    """Work until killed."""

    def deliver(delivery: Delivery) -> None:
        for done, result in delivery:
            done(result)

    writer = GroupCommitWriter(path, 5, deliver)
    charging = Charging("host1", "boot1", ChargingSettings(quota_s=6, renew_before_s=2))
    out = threading.Lock()

    def now() -> Now:
        return Now(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)

    def say(*words: object) -> None:
        with out:
            # One write a line: a kill leaves whole lines.
            os.write(1, (" ".join(map(str, words)) + "\n").encode())

    def work(worker: int) -> None:
        dice = random.Random(f"{seed}-{worker}")
        answers: queue.SimpleQueue[object] = queue.SimpleQueue()

        def do(operation: object) -> object:
            writer.submit(operation, answers.put)  # type: ignore[arg-type]
            result = answers.get(timeout=20)
            if isinstance(result, BaseException):
                raise result
            return result

        def one_call(call_id: str) -> None:
            account = dice.choice((1, 2))
            tariff = Tariff(Money(dice.choice((0, 60_000, 1_000_001))), 6, 6)
            limit = Limit(f"account:{account}:out", 5, Reason.ACCOUNT_CHANNELS)
            bill = BilledLeg(0, "out", account, tariff, "test", "value", (limit,))
            call = CallFacts(call_id, "a", account, "out", "+12125550100", "+15145550100")
            talk_ms = dice.randrange(0, 30_000)
            if dice.random() < 0.2:
                amount = Money(dice.randrange(1, 500_000))
                do(lambda conn: ledger.pay(conn, now(), account, amount, "test", call_id))
                say("paid", account, call_id, amount)
            grant = do(lambda conn: charging.authorize(conn, now(), call, (bill,), 60_000))
            if not isinstance(grant, Grant):
                say("refused", call_id)
                return
            say("granted", call_id, grant.quota_ms)
            do(lambda conn: charging.answered(conn, now(), call_id, "north"))
            say("answered", call_id)
            if dice.random() < 0.3:
                grant = do(lambda conn: charging.renew(conn, now(), call_id))
                assert isinstance(grant, Grant)
                say("granted", call_id, grant.quota_ms)
            if dice.random() < 0.1:
                do(lambda conn: charging.heartbeat(conn, now()))
            ending = Ending("answered", 16, "caller")
            (leg,) = do(lambda conn: charging.settle(conn, now(), call_id, talk_ms, ending))  # type: ignore[misc]
            say("settled", call_id, leg.billed_ms, leg.cost)

        for n in range(1_000_000):
            one_call(f"{seed}-{worker}-{n}")

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
