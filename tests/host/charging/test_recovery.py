"""After a crash, and when nobody ended a call."""

from __future__ import annotations

from pathlib import Path

from host.charging.values import USD, Rule
from tests.host.charging.world import CENT, PER_MINUTE, World, channels, leg


def crashed(world: World, *rules_off: Rule, boot_id: str = "boot1", after_ms: int = 0) -> World:
    """The same store, opened by the next process."""
    world.conn.close()
    after = World(world.path, *rules_off, boot_id=boot_id)
    after.ms = world.ms + after_ms
    return after


def live_call(tmp_path: Path, talk_ms: int, beat: bool = True) -> tuple[World, int]:
    """A call that is answered, a heartbeat `talk_ms` later, and then nothing more."""
    world = World(tmp_path / "host.sqlite")
    alice = world.account(USD)
    world.authorize("c1", leg(alice, PER_MINUTE, channels(alice, 5)))
    world.answered("c1")
    world.ms += talk_ms
    if beat:
        world.charging.heartbeat(world.conn, world.now)
    return world, alice


def test_a_call_is_billed_to_the_last_heartbeat(tmp_path: Path) -> None:
    world, alice = live_call(tmp_path, 24_000)
    after = crashed(world, after_ms=500_000)
    assert after.charging.recover(after.conn, after.now) == 1
    (cdr,) = after.cdrs("c1")
    assert (cdr["billed_ms"], cdr["cost"], cdr["ended_by"]) == (24_000, CENT * 4 // 10, "crash")
    assert after.funds(alice) == (USD - CENT * 4 // 10, 0, USD - CENT * 4 // 10, 0)
    assert after.conn.execute("SELECT count(*) FROM live_limit").fetchone() == (0,)
    assert after.charging.recover(after.conn, after.now) == 0
    after.sound()


def test_what_the_crash_leaves_unknown_is_not_billed(tmp_path: Path) -> None:
    world, _ = live_call(tmp_path, 24_000, beat=False)
    after = crashed(world)
    after.charging.recover(after.conn, after.now)
    assert after.cdrs("c1")[0]["billed_ms"] == 0
    after.sound()


def test_never_more_than_granted_and_never_less_than_nothing(tmp_path: Path) -> None:
    world, _ = live_call(tmp_path, 700_000)
    after = crashed(world)
    after.charging.recover(after.conn, after.now)
    assert after.cdrs("c1")[0]["billed_ms"] == 60_000
    later, _ = live_call(tmp_path / "b", -50_000)
    again = crashed(later)
    again.charging.recover(again.conn, again.now)
    assert again.cdrs("c1")[0]["billed_ms"] == 0


def test_a_stepped_utc_clock_changes_nothing_within_one_boot(tmp_path: Path) -> None:
    world, _ = live_call(tmp_path, 24_000)
    world.conn.execute("UPDATE host SET utc_ms = utc_ms + 3600000")
    after = crashed(world)
    after.charging.recover(after.conn, after.now)
    assert after.cdrs("c1")[0]["billed_ms"] == 24_000


def test_the_monotonic_clock_of_another_boot_is_not_compared(tmp_path: Path) -> None:
    world, _ = live_call(tmp_path, 24_000)
    world.conn.execute("UPDATE host SET boot_id = 'boot2', mono_ms = 12")
    after = crashed(world, boot_id="boot2")
    after.charging.recover(after.conn, after.now)
    assert after.cdrs("c1")[0]["billed_ms"] == 24_000


def test_a_call_that_rang_costs_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "host.sqlite")
    alice = world.account(USD)
    world.authorize("c1", leg(alice))
    world.charging.heartbeat(world.conn, world.now)
    after = crashed(world)
    assert after.charging.recover(after.conn, after.now) == 1
    (cdr,) = after.cdrs("c1")
    assert (cdr["disposition"], cdr["cost"], after.funds(alice).held) == ("failed", 0, 0)


def test_recovery_leaves_other_hosts_alone(tmp_path: Path) -> None:
    world, alice = live_call(tmp_path, 24_000)
    other = World(world.path, host_id="host2")
    assert other.charging.recover(other.conn, other.now) == 0
    assert other.funds(alice).held == CENT


def test_without_the_rule_the_call_stays_open(tmp_path: Path) -> None:
    world, alice = live_call(tmp_path, 24_000)
    after = crashed(world, Rule.RECOVERY)
    assert after.charging.recover(after.conn, after.now) == 0
    assert after.funds(alice).held == CENT


def test_any_host_settles_what_nobody_renewed(tmp_path: Path) -> None:
    world, alice = live_call(tmp_path, 24_000)
    other = World(world.path, host_id="host2")
    for elapsed, settled in ((119_000, 0), (121_000, 1), (122_000, 0)):
        other.ms = elapsed
        assert other.charging.supervise(other.conn, other.now) == settled
    assert other.cdrs("c1")[0]["billed_ms"] == 24_000
    assert other.funds(alice).held == 0
    other.sound()


def test_a_renewed_call_and_one_that_rings_long_are_left_alone(tmp_path: Path) -> None:
    world = World(tmp_path / "host.sqlite")
    alice = world.account(USD)
    world.authorize("talks", leg(alice))
    world.authorize("rings", leg(alice))
    world.answered("talks")
    for _ in range(5):
        world.ms += 50_000
        world.renew("talks")
        assert world.charging.supervise(world.conn, world.now) == 0
    world.ms = 601_000
    assert world.charging.supervise(world.conn, world.now) == 2
    world.sound()


def another_machine(world: World) -> World:
    """A host of another boot beside the first, its clocks set otherwise."""
    other = World(world.path, host_id="host2", boot_id="boot2")
    other.ms = -1_000_000
    return other


def test_a_stepped_utc_clock_ends_no_call_of_another_machine(tmp_path: Path) -> None:
    world, _ = live_call(tmp_path, 24_000)
    other = another_machine(world)
    assert other.charging.supervise(other.conn, other.now) == 0
    for _ in range(3):
        world.ms += 30_000
        world.renew("c1")
        world.charging.heartbeat(world.conn, world.now)
        other.ms += 30_000
        stepped = other.now._replace(utc_ms=other.now.utc_ms + 90_000_000)
        assert other.charging.supervise(other.conn, stepped) == 0
    assert world.settle("c1", 114_000) == [CENT * 19 // 10]


def test_a_machine_whose_heartbeat_stopped_is_settled_for_whatever_utc_says(tmp_path: Path) -> None:
    world, alice = live_call(tmp_path, 24_000)
    other = another_machine(world)
    for elapsed, settled in ((0, 0), (30_000, 0), (95_000, 0), (97_000, 1), (98_000, 0)):
        now = other.now._replace(utc_ms=0, mono_ms=other.now.mono_ms + elapsed)
        assert other.charging.supervise(other.conn, now) == settled
    assert other.cdrs("c1")[0]["billed_ms"] == 24_000
    assert other.funds(alice).held == 0
    other.sound()


def test_a_live_machine_that_forgot_a_call_does_not_keep_its_channel(tmp_path: Path) -> None:
    world, _ = live_call(tmp_path, 24_000)
    other = another_machine(world)
    assert other.charging.supervise(other.conn, other.now) == 0
    world.ms = 121_000
    world.charging.heartbeat(world.conn, world.now)
    assert other.charging.supervise(other.conn, other.now) == 1
    assert other.cdrs("c1")[0]["billed_ms"] == 60_000


def test_a_call_of_the_boot_before_is_settled_by_another_machine(tmp_path: Path) -> None:
    world, _ = live_call(tmp_path, 24_000)
    other = another_machine(world)
    world.conn.execute("UPDATE host SET boot_id = 'boot3', mono_ms = 119000")
    assert other.charging.supervise(other.conn, other.now) == 0
    world.conn.execute("UPDATE host SET mono_ms = 121000")
    assert other.charging.supervise(other.conn, other.now) == 1
