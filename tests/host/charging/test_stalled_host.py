"""A host that stood still for a minute looks at another machine's calls."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from host.charging.service import Charging
from host.charging.values import USD, BilledLeg, CallFacts, Money, Now, Tariff
from host.settings import ChargingSettings
from tests.host.sip.world import World


def test_looks_that_were_asked_for_before_the_stall_end_no_live_call(tmp_path: Path) -> None:
    world = World(tmp_path)
    account = world.account("alice", 10_000)
    host: Any = world.host
    host.loop = SimpleNamespace(call_later=lambda delay_s, do: None)
    other = Charging("host2", "another boot", ChargingSettings(quota_s=12, renew_before_s=4))

    def there() -> Now:
        return Now(0, 7_000_000 + round(world.now * 1000))

    leg = BilledLeg(0, "out", account, Tariff(Money(USD // 100)), "value 1514", "value")
    call = CallFacts("theirs", "alice", account, "out", "+12125550100", "+15145550100")
    assert other.authorize(world.conn, there(), call, (leg,), 3_600_000)
    other.answered(world.conn, there(), "theirs", "north")
    # Given: two looks that are asked for before the store stands still for 125 s...
    for _ in range(2):
        host.store.delay_s = 125.0
        host._supervise()
        world.run(0.5)
    # ...in which the other machine carries its call, renews its hold and shows that it lives.
    for _ in range(12):
        world.run(10)
        other.renew(world.conn, there(), "theirs")
        other.heartbeat(world.conn, there())
    # When the store goes on, and is looked at once more, then nothing is taken from that call.
    host.store.delay_s = 5.0
    host._supervise()
    world.run(20)
    (state,) = world.conn.execute("SELECT state FROM call WHERE call_id = 'theirs'").fetchone()
    assert state == "open"
    # A heartbeat that really stopped ends it.
    for _ in range(10):
        host._supervise()
        world.run(30)
    (state,) = world.conn.execute("SELECT state FROM call WHERE call_id = 'theirs'").fetchone()
    assert state == "ended"
