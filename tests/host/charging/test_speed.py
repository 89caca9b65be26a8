"""What a call costs the store, and a look-up the directory: printed, and bounded generously."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from host.charging import ledger
from host.charging.service import Charging
from host.charging.values import BilledLeg, CallFacts, Ending, Grant, Money, Now, Tariff
from host.numbering import provisioning
from host.numbering.directory import Directory
from host.numbering.values import Carrier, OutgoingPlan
from host.settings import ChargingSettings
from host.store.opening import open_reader, open_writer
from host.store.writer import Delivery, GroupCommitWriter
from tests.host.charging.world import channels, one_number

RATE = 400
CALLS = 600


def test_processor_time_of_a_call_through_the_writer(tmp_path: Path) -> None:
    results: list[object] = []

    def deliver(delivery: Delivery) -> None:
        for done, result in delivery:
            done(result)

    writer = GroupCommitWriter(tmp_path / "host.sqlite", 20, deliver)
    writer.call(lambda conn: conn.execute("INSERT INTO account (username) VALUES ('a')"))
    writer.call(lambda conn: ledger.pay(conn, Now(0, 0), 1, Money(10**12), "test", "1"))
    charging = Charging("host1", "boot1", ChargingSettings())
    ending = Ending("answered", 16, "caller")
    before = writer.stats.cpu_s
    began = time.monotonic()
    for n in range(CALLS):
        call = CallFacts(f"call-{n:012d}", "a", 1, "out", "+12125550100", "+15145550100")
        limits = (channels(1, 10_000), one_number(1, 10_000, f"+1514555{n:04d}"))
        leg = BilledLeg(0, "out", 1, Tariff(Money(520_000)), "value 1514", "value", limits)
        now = Now(n, n)
        writer.submit(
            lambda conn, call=call, leg=leg, now=now: charging.authorize(  # type: ignore[misc]
                conn, now, call, (leg,), 3_600_000
            ),
            results.append,
        )
        writer.submit(
            lambda conn, call=call, now=now: charging.answered(conn, now, call.call_id, "n"),  # type: ignore[misc]
            results.append,
        )
        writer.submit(
            lambda conn, call=call, now=now: charging.settle(  # type: ignore[misc]
                conn, now, call.call_id, 1_000, ending
            ),
            results.append,
        )
        time.sleep(max(0.0, began + (n + 1) / RATE - time.monotonic()))
    assert writer.call(ledger.check) == []
    stats = writer.stats
    each_us = (stats.cpu_s - before) / CALLS * 1e6
    print(
        f"authorize + answered + settle at {RATE}/s: {each_us:.0f} us of the writer's thread a "
        f"call, {CALLS * 3 / stats.commits:.1f} operations a commit, waits ms: "
        f"p50 {stats.wait_ms_p50:.1f} p99 {stats.wait_ms_p99:.1f} max {stats.wait_ms_max:.1f}"
    )
    writer.close()
    assert sum(isinstance(result, Grant) for result in results) == CALLS
    assert each_us < 2_000
    assert stats.commits <= CALLS / RATE * 1000 / 20 * 1.5 + 5


@pytest.mark.sqlite_only(reason="the time that it takes is a file's")
def test_time_of_a_look_up(tmp_path: Path) -> None:
    path = tmp_path / "host.sqlite"
    conn = open_writer(path)
    provisioning.seed(conn)
    provisioning.add_carrier(conn, Carrier("north", "192.0.2.9", 5060, "udp"))
    provisioning.add_account(conn, "alice", realm="r", password="p", route="value")
    directory = Directory(open_reader(path), "r")
    numbers = [f"514{200 + n // 10_000:03d}{n % 10_000:04d}" for n in range(5_000)]
    began = time.perf_counter()
    for number in numbers:
        alice = directory.account_by_username("alice")
        assert alice is not None
        assert isinstance(directory.route_outgoing(alice, number), OutgoingPlan)
    each_us = (time.perf_counter() - began) / len(numbers) * 1e6
    began = time.perf_counter()
    for n in range(2_000):
        assert directory.rate("value", f"+1514{n:07d}") is not None
    cold_us = (time.perf_counter() - began) / 2_000 * 1e6
    print(f"account and outgoing plan {each_us:.1f} us, rate {cold_us:.1f} us")
    assert each_us < 500
