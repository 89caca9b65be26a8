"""A host that races another for one account: `python -m tests.host.store.racing URL HOST BOOT`.

Reads a JSON object a line and answers with one. With `apart` as a last word it queues behind no
other writer, to show what that queue is for.
"""

from __future__ import annotations

import json
import queue
import random
import sys
import threading
import time
from typing import Any

from host.charging.service import Charging
from host.charging.values import CallFacts, Ending, Grant, Now, Refusal
from host.settings import ChargingSettings
from host.store import postgres
from host.store.writer import Delivery, GroupCommitWriter
from tests.host.charging.world import PER_MINUTE, UTC_0, channels, leg

WORKERS = 6
SETTINGS = ChargingSettings(quota_s=6, renew_before_s=2)
_ENDING = Ending("answered", 16, "caller")


class Racer:
    """One host's writer and charging, and what it was told."""

    def __init__(self, url: str, host_id: str, boot_id: str) -> None:
        self.host_id = host_id
        self.charging = Charging(host_id, boot_id, SETTINGS)
        self.writer = GroupCommitWriter(url, 1, _deliver)

    def do(self, operation: Any) -> Any:
        """Run one operation; raises what it, or its commit, raised."""
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.writer.submit(operation, answers.put)
        result = answers.get(timeout=60)
        if isinstance(result, BaseException):
            raise result
        return result

    def race(self, seed: str, account: int, most: int, calls: int) -> dict[str, Any]:
        """Many calls at once on one account; returns what came of each."""
        told: dict[str, Any] = {"grants": {}, "refusals": {}, "costs": {}, "faults": []}
        todo: queue.SimpleQueue[str] = queue.SimpleQueue()
        for n in range(calls):
            todo.put(f"{seed}-{self.host_id}-{n}")
            if n % 4 == 0:
                todo.put(f"{seed}-both-{n}")

        def work() -> None:
            while True:
                try:
                    call_id = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    self._call(call_id, account, most, told)
                except Exception as error:
                    told["faults"].append(f"{call_id}: {error}")

        threads = [threading.Thread(target=work) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return told

    def _call(self, call_id: str, account: int, most: int, told: dict[str, Any]) -> None:
        dice = random.Random(f"{call_id}-{self.host_id}")
        began = dice.randrange(1_000)
        facts = CallFacts(call_id, "a", account, "out", "+12125550100", f"+1{call_id}")
        bill = (leg(account, PER_MINUTE, channels(account, most)),)
        answer = self.do(
            lambda conn: self.charging.authorize(conn, _at(began), facts, bill, 600_000)
        )
        if isinstance(answer, Refusal):
            told["refusals"][call_id] = answer.reason.value
            return
        told["grants"][call_id] = answer.quota_ms
        self.do(lambda conn: self.charging.answered(conn, _at(began), call_id, "north"))
        for turn in range(1, dice.randrange(4)):
            at = _at(began + turn * 6_000)
            more = self.do(lambda conn, at=at: self.charging.renew(conn, at, call_id))
            assert isinstance(more, Grant)
            told["grants"][call_id] = max(more.quota_ms, told["grants"][call_id])
        if dice.random() < 0.5:
            self.settle(call_id, dice.randrange(20_000), told)

    def settle(self, call_id: str, talk_ms: int, told: dict[str, Any]) -> None:
        """End a call, and end it again: both times the same is told."""
        at = _at(talk_ms + 1_000)
        for _ in range(2):
            settled = self.do(
                lambda conn: self.charging.settle(conn, at, call_id, talk_ms, _ENDING)
            )
            cost = sum(one.cost for one in settled)
            if told["costs"].setdefault(call_id, cost) != cost:
                told["faults"].append(f"{call_id} cost {told['costs'][call_id]}, then {cost}")


def _deliver(delivery: Delivery) -> None:
    for done, result in delivery:
        done(result)


def _at(ms: int) -> Now:
    return Now(UTC_0 + ms, ms)


def main(url: str, host_id: str, boot_id: str) -> None:
    """Do what is asked until there is nothing more."""
    racer = Racer(url, host_id, boot_id)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        what, answer = order.pop("do"), None
        began = time.monotonic()
        if what == "race":
            answer = racer.race(**order)
        elif what == "settle":
            answer = {"costs": {}, "faults": []}
            for call_id in order["calls"]:
                racer.settle(call_id, order["talk_ms"], answer)
        else:
            at = _at(order["ms"])
            method = getattr(racer.charging, what)
            answer = {"result": racer.do(lambda conn, at=at, run=method: run(conn, at))}
        if isinstance(answer, dict):
            answer["took_s"] = time.monotonic() - began
            answer["longest_ms"] = racer.writer.stats.wait_ms_max
        print(json.dumps(answer), flush=True)
    racer.writer.close()


if __name__ == "__main__":
    if sys.argv[4:] == ["apart"]:
        postgres.WRITERS_LOCK = int.from_bytes(sys.argv[2].encode(), "big")
    main(*sys.argv[1:4])
