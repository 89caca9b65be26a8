"""PostgreSQL goes away while calls run, and comes back: a whole host in simulated time on a real
server, which is stopped as by a loss of power."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from host.charging import ledger
from host.charging.values import Money
from host.settings import ChargingSettings
from host.store.opening import open_reader, open_writer
from host.store.sqlite import StoreError
from host.store.writer import Committer, Entry
from tests.host.sip import world as sip_world
from tests.host.sip.agents import Agent
from tests.host.sip.world import CALLED, VALUE_PER_MINUTE, World
from tests.host.store.clusters import Cluster, needs_postgres

QUOTA_S = 60


class CommittingWriter:
    """The real writer's transactions, in simulated time: a batch of one each."""

    def __init__(self, world: World, url: Any) -> None:
        self._world = world
        self.committer = Committer(url)
        self.conn = open_writer(url)
        self.stats = self.committer.stats
        self.refused = 0
        """Commits that failed, of any kind."""

    def submit(
        self, operation: Callable[[Any], Any], done: Callable[[Any], None], _kind: int = 0
    ) -> None:
        def run() -> None:
            (result,) = self.committer.transact([Entry(operation, done, False, 0.0)])
            self.refused += isinstance(result, StoreError)
            host = self._world.host
            host.sip.now = self._world.now
            done(result)
            host.sip.flush()

        self._world.at(0.01, run)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    own = Cluster(durable=True)
    yield own
    own.remove()


@pytest.fixture
def world(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    url = cluster.database()
    monkeypatch.setattr(sip_world, "open_writer", lambda _path: open_writer(url))
    monkeypatch.setattr(sip_world, "open_reader", lambda _path: open_reader(url))
    monkeypatch.setattr(sip_world, "SimWriter", lambda world, _: CommittingWriter(world, url))
    made = World(Path("unused"), charging=ChargingSettings(quota_s=QUOTA_S, renew_before_s=15))
    made.url = url  # type: ignore[attr-defined]
    yield made
    made.host.store.committer._conn.close()
    made.conn.close()


def cast(world: World, **account: Any) -> tuple[Agent, Agent]:
    """Alice with money on the value route, and the carrier north."""
    world.account("alice", route="value", **account)
    world.conn.execute(
        "INSERT INTO carrier (name, address, port, source_port) "
        "VALUES ('north', '10.0.0.9', 5060, 5060)"
    )
    return Agent(world, ("10.0.1.1", 5062), "alice"), Agent(world, ("10.0.0.9", 5060))


def back(world: World, cluster: Cluster) -> None:
    """The server is started again, and so is the test's own connection to it."""
    cluster.start()
    world.conn = open_writer(world.url)  # type: ignore[attr-defined]
    world.host.store.conn = world.conn


def sides(world: World, alice: Agent, count: int) -> list[Any]:
    """Calls that talk, to a number each."""
    made = [alice.call(f"1514555{n:04}") for n in range(count)]
    world.run(3)
    assert [side.outcome for side in made] == [200] * count
    return made


@needs_postgres
def test_calls_live_to_the_end_of_their_quota_and_not_beyond(
    world: World, cluster: Cluster
) -> None:
    alice, _north = cast(world)
    talking = sides(world, alice, 3)
    cluster.stop()
    world.run(QUOTA_S - 5)
    assert all(side.ended_by_host is None for side in talking), "a quota is a quota"
    world.run(8)
    assert all(side.ended_by_host is not None for side in talking)
    assert world.host.store.refused > 0
    world.run(60)
    assert len(world.host.control.calls) == 3, "their settlements wait"
    back(world, cluster)
    world.finish()
    cdrs = world.cdrs()
    assert [cdr["billed_ms"] for cdr in cdrs] == [QUOTA_S * 1000] * 3
    assert [cdr["cost"] for cdr in cdrs] == [VALUE_PER_MINUTE] * 3


@needs_postgres
def test_new_paid_calls_are_refused_with_503_and_the_next_after_it_pass(
    world: World, cluster: Cluster
) -> None:
    alice, _north = cast(world)
    (talking,) = sides(world, alice, 1)
    cluster.stop()
    refused = [alice.call(CALLED) for _ in range(2)]
    world.run(3)
    assert [side.outcome for side in refused] == [503, 503]
    back(world, cluster)
    again = alice.call(CALLED)
    world.run(3)
    assert again.outcome == 200, "the very first after the server is back"
    world.host._give_back()
    world.run(20)
    for side in (talking, again):
        side.bye()
    world.finish()
    reasons = sorted(str(cdr["reason"]) for cdr in world.cdrs())
    assert reasons == ["", "", "store unavailable", "store unavailable"]


@needs_postgres
def test_a_restart_that_nobody_notices_costs_no_call(world: World, cluster: Cluster) -> None:
    alice, _north = cast(world)
    cluster.stop()
    back(world, cluster)
    (side,) = sides(world, alice, 1)
    side.bye()
    world.finish()
    assert world.host.store.refused == 0
    assert world.cdr()["disposition"] == "answered"


@needs_postgres
@pytest.mark.parametrize("returns", ["before its end", "after its end"])
def test_an_emergency_call_passes_and_its_record_is_written_later(
    world: World, cluster: Cluster, returns: str
) -> None:
    alice, _north = cast(world)
    Agent(world, ("10.0.0.8", 5060))
    world.conn.execute(
        "INSERT INTO carrier (name, address, port, source_port, enabled) "
        "VALUES ('rescue', '10.0.0.8', 5060, 5060, 0)"
    )
    world.conn.execute("INSERT INTO emergency (number, carrier) VALUES ('911', 'rescue')")
    (talking,) = sides(world, alice, 1)
    cluster.stop()
    help_ = alice.call("911")
    world.run(20)
    assert help_.outcome == 200
    if returns == "before its end":
        back(world, cluster)
    help_.bye()
    world.run(5)
    if returns == "after its end":
        back(world, cluster)
    world.run(20)
    talking.bye()
    world.finish()
    (cdr,) = [cdr for cdr in world.cdrs() if cdr["route"] == "emergency"]
    assert (cdr["cost"], cdr["carrier"], cdr["disposition"]) == (0, "rescue", "answered")
    assert 18_000 < cdr["talk_ms"] < 20_000
    assert 0 < cdr["answered_utc_ms"] - cdr["started_utc_ms"] < 2_000
    assert not world.host.owed


@needs_postgres
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_whenever_it_goes_and_comes(
    world: World, cluster: Cluster, seed: int
) -> None:
    """Given calls that begin, talk and end at random, and three outages at random: each settlement
    is posted once, each answered call has its CDR, the books balance and limits are free again."""
    print(f"seed {seed}")
    dice = random.Random(seed)
    alice, _north = cast(world, usd_cents=500, channels=100)
    funds = world.conn.execute("SELECT sum(balance) FROM ledger_account WHERE id > 0").fetchone()
    placed: list[Any] = []
    away = False
    for n in range(60):
        if dice.random() < 0.12:
            if away:
                back(world, cluster)
            else:
                cluster.stop()
            away = not away
        placed.append(alice.call(f"1514556{n:04}"))
        for side in placed:
            if side.outcome == 200 and side.ended_by_host is None and dice.random() < 0.06:
                side.bye()
                side.outcome = 0
        if not away:
            world.host._give_back()
        world.run(dice.uniform(0.5, 12))
    if away:
        back(world, cluster)
    world.host._give_back()
    world.run(100)
    for side in placed:
        if side.outcome == 200 and side.ended_by_host is None:
            side.bye()
    world.finish()
    assert world.host.store.refused > 0
    cdrs = world.cdrs()
    assert len({cdr["call_id"] for cdr in cdrs}) == len(cdrs) == len(placed)
    answered = [cdr for cdr in cdrs if cdr["disposition"] == "answered"]
    assert 20 < len(answered) < len(placed)
    spent = sum(Money(int(cdr["cost"])) for cdr in cdrs)
    assert ledger.balance(world.conn, 1).funds == funds[0] - spent
