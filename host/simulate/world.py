"""One seed: two machines with a host each on one store, telephones, carriers, and faults."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from host.charging import ledger
from host.charging.values import Money, Now, Refusal
from host.simulate import faults
from host.simulate.books import Books, Broken, Order
from host.simulate.disk import Disk, half_copied, torn
from host.simulate.faults import Fault
from host.simulate.host import SILENCE_S, TORN, SimHost
from host.simulate.months import Months
from host.simulate.network import Network
from host.simulate.peers import LONGEST_S, Peer
from host.simulate.plants import PLANTS, Plant
from host.simulate.prepared import ACCOUNTS, CARRIERS, DIDS, NUMBERS, UTC_0, memory, prepared
from host.simulate.schedule import Schedule
from host.store.connection import Connection
from host.store.opening import open_writer
from host.store.sqlite import StoreError

CALLS = 100
"""Calls of a seed, more or less: some are begun while nobody is there to take them."""
QUIET_S = 1_500.0
"""Supervision has settled everything so long after the last call."""


class Machine:
    """A machine's clocks."""

    def __init__(self, name: str, skipped_ms: Callable[[], int]) -> None:
        self.name = name
        self._skipped_ms = skipped_ms
        self.boots = 0
        self.utc_step_ms = 0
        self._booted_s = 0.0
        self.boot(0.0)

    def boot(self, at_s: float) -> None:
        """Start anew: the monotonic clock with it."""
        self.boots += 1
        self._booted_s = at_s

    @property
    def boot_id(self) -> str:
        """What the monotonic clock belongs to."""
        return f"{self.name}-boot{self.boots}"

    def mono_s(self, at_s: float) -> float:
        """Seconds of this boot."""
        return at_s - self._booted_s + 5.0

    def now(self, at_s: float) -> Now:
        """What both clocks show."""
        utc_ms = UTC_0 + self._skipped_ms() + self.utc_step_ms + round(at_s * 1000)
        return Now(utc_ms, round(self.mono_s(at_s) * 1000))


class Outcome(NamedTuple):
    """What came of a seed."""

    seed: int
    broken: str
    """The promise that was broken, in a sentence; empty: none."""
    calls: int
    injected: dict[str, int]
    reached: dict[str, int]
    digest: str
    audits: int
    """How often everything was audited."""
    commits: int


class _Silence:
    """A log that keeps nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *event, **values: None


class World:
    """Everything of one seed."""

    def __init__(self, seed: int, folder: Path, plant: str = "") -> None:
        def dice(of: str) -> random.Random:
            return random.Random(f"{seed}/{of}")

        self.seed = seed
        self.carriers = CARRIERS
        self.dice = dice("faults")
        self.schedule = Schedule()
        self.log: Any = _Silence()
        self.counts: Counter[str] = Counter()
        self.reached: Counter[str] = Counter()
        self.skipped_ms = 0
        """How far the calendar was put on."""
        self.months_dice = dice("months")
        self.network = Network(self.schedule, faults.link(dice("link")), dice("network"))
        self.disk = Disk(folder, prepared())
        self.books = Books(self)
        self.commits = 0
        planted = PLANTS[plant] if plant else Plant()
        self._charging = planted.charging
        self.machines = [Machine(name, lambda: self.skipped_ms) for name in ("one", "two")]
        self.months = Months(self, planted.fees)
        self._lives = 0
        self._gone: set[int] = set()
        self._broken = ""
        self.hosts: list[SimHost | None] = [None, None]
        self._peers = [
            *(Peer(self.schedule, self.network, f"phone:{n}", dice(n)) for n in ACCOUNTS),
            *(Peer(self.schedule, self.network, f"carrier:{n}", dice(n)) for n in CARRIERS),
        ]
        self._callers = dice("callers")
        with closing(open_writer(self.disk.path)) as conn:
            self._ids = dict(
                conn.execute("SELECT username, id FROM account WHERE parent_id IS NULL").fetchall()
            )
            self.months.begin(conn)
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # --- a run ---

    def run(self) -> Outcome:
        """From the first call until all is quiet, and what came of it."""
        broken = ""
        try:
            for index in range(2):
                self._start(index)
            self._plan()
            end_s = faults.LOAD_S + LONGEST_S + 90
            self._run_until(end_s)
            while not self._quiet():
                if self.schedule.now > end_s + QUIET_S:
                    break
                self._run_until(self.schedule.now + 60)
            self._audit(self.books.check_end)
        except Broken as found:
            broken = str(found)
        except AssertionError as found:
            broken = f"an assertion failed: {found}"
        injected = dict(self.counts + self.network.counts)
        for host in self.hosts:
            if host is not None:
                self._bury(host, self.hosts.index(host))
        return Outcome(
            self.seed,
            broken,
            len(self.books.calls),
            {kind: injected.get(kind, 0) for kind in faults.KINDS},
            {what: self.reached[what] for what in faults.REACHED},
            self.schedule.digest(),
            self.books.checks,
            self.commits,
        )

    def living(self) -> list[SimHost]:
        """Hosts whose process runs."""
        return [host for host in self.hosts if host is not None]

    def injected(self, kind: str) -> None:
        """A fault took place."""
        self.counts[kind] += 1
        self.schedule.trace("fault", kind)

    def _run_until(self, end_s: float) -> None:
        schedule = self.schedule
        while (at := schedule.next) is not None and at <= end_s:
            schedule.pop()()
        schedule.now = end_s

    def _quiet(self) -> bool:
        with closing(open_writer(self.disk.path)) as conn:
            (count,) = conn.execute("SELECT count(*) FROM call WHERE state = 'open'").fetchone()
        pending = any(order.done is None for order in self.books.orders.values())
        return not count and not pending and not any(h.control.calls for h in self.living())

    def _audit(self, check: Callable[[Connection], None]) -> None:
        with closing(open_writer(self.disk.path)) as conn:
            check(conn)

    def _start(self, index: int) -> None:
        """Start a host's process; one that cannot start is started again."""
        if index in self._gone:
            return
        self._lives += 1
        machine = self.machines[index]
        name = f"host{index + 1}"
        try:
            self.hosts[index] = SimHost(self, name, machine, self._lives, self._charging)
        except StoreError:
            self.schedule.at(2.0, lambda: self._start(index))
            return
        self.schedule.trace("started", name, machine.boot_id)
        self._audit(self.books.check)

    # --- what is done to it ---

    def _plan(self) -> None:
        at, dice = self.schedule.at, self._callers
        for name, units in (("acme", 9_000_000), ("bolt", 1_200_000), ("calm", 50_000_000)):
            self.pay(name, units)
        for _ in range(dice.randrange(CALLS - 10, CALLS + 31)):
            at(dice.uniform(1, faults.LOAD_S), self._call)
        for _ in range(8):
            at(
                dice.uniform(5, faults.LOAD_S),
                lambda: self.pay(dice.choice(("acme", "bolt")), dice.randrange(1, 1_500_000)),
            )
        for _ in range(6):
            at(
                dice.uniform(5, faults.LOAD_S),
                lambda: self._take(dice.choice(tuple(self._ids)), dice.randrange(1, 900_000)),
            )
        for index in range(8):
            at(faults.LOAD_S / 7 * (index + 1), lambda: self._audit(self.books.check))
        self.months.plan(faults.LOAD_S)
        at(faults.LOAD_S * 0.87, self._call_until_met)
        for fault in faults.plan(self.dice):
            at(fault.at_s, partial(self._strike, fault))

    def _call(self) -> None:
        dice = self._callers
        host = f"host{1 if dice.random() < 0.6 else 2}"
        if dice.random() < 0.2:
            peer = dice.choice(self._peers[len(ACCOUNTS) :])
            peer.call(host, _one_of(dice, DIDS), "+13125550000")
        else:
            peer = self._peers[list(ACCOUNTS).index(_one_of(dice, ACCOUNTS))]
            peer.call(host, _one_of(dice, NUMBERS), "+12125550100")

    def _call_until_met(self) -> None:
        """Some more calls to a DID, where none was sent another way than its first yet, or none
        has met a fault that waits for one."""
        missing = [kind for kind in faults.TRAPS if not self.counts[kind]]
        if self.schedule.now > faults.LOAD_S + 40 or not (
            missing or not self.reached[faults.AMENDED]
        ):
            return
        for kind in missing:
            self._strike(Fault(self.schedule.now, kind, 0))
        for peer in self._peers[len(ACCOUNTS) :]:
            peer.call("host1", "12125550100", "+13125550000")
        self.schedule.at(2.0, self._call_until_met)

    def _strike(self, fault: Fault) -> None:
        """Let a fault happen; where it cannot now, a little later."""
        kind, index = fault.kind, fault.host
        dice, schedule = self.dice, self.schedule
        if kind in faults.FEES:
            self.months.laid.add(kind)
            return
        if kind in faults.TRAPS and fault.at_s == faults.LOAD_S * 0.85 and self.counts[kind]:
            return
        host = self.hosts[index]
        if host is None or host.stalled or host.doom:
            if index in self._gone:
                fault = fault._replace(host=0)
            schedule.at(1.5, lambda: self._strike(fault))
            return
        machine = self.machines[index]
        if kind in faults.CRASHES:
            host.doom = kind
            if kind == "crash inside a transaction":
                host.store.committer.wire.countdown = dice.randrange(0, 8)
            elif kind not in ("crash before the commit was told", TORN):
                self.crash(host)
        elif kind == "UTC stepped forward":
            machine.utc_step_ms += dice.choice((900, 45_000, 3_600_000, 90_000_000))
            self.injected(kind)
        elif kind == "UTC stepped back":
            machine.utc_step_ms -= dice.choice((700, 30_000, 3_600_000, 100_000_000))
            self.injected(kind)
        elif kind == "disk full":
            self._set_full(True)
        elif kind == "store late":
            host.store.late_s = dice.choice((0.3, 2.0, 7.0))
            self.injected(kind)
            schedule.at(dice.uniform(2, 10), lambda: setattr(host.store, "late_s", 0.0))
        elif kind == "store answer lost":
            host.store.lose_answer = True
        elif kind == "host stalled":
            self._stall(host, dice.choice((3.0, 12.0, 70.0)))
        elif kind == "host stopped":
            self._stop(host, index)
        elif kind == "host gone":
            self._gone.add(index)
            self.injected(kind)
            host.doom = "host gone"
            self.crash(host)
        elif kind == "peer vanished":
            self._vanish()
        elif kind == "relay full":
            host.sessions.full = True
        elif kind == "payment doubled":
            self.pay(dice.choice(("acme", "bolt")), dice.randrange(1, 900_000), copies=2)
            self.injected(kind)

    def _set_full(self, full: bool) -> None:
        self.disk.full = full
        for host in self.living():
            self.disk.set_full(host.store.committer.wire.conn)
        if full:
            self.schedule.at(self.dice.uniform(4, 15), self._make_room)

    def _make_room(self) -> None:
        # A disk that nobody found full was not full: then it stays so until something is written.
        if not self.counts["disk full"] and self.schedule.now < faults.LOAD_S + 60:
            for _ in range(5):
                self.pay("calm", 1)
            self.schedule.at(2.0, self._make_room)
        else:
            self._set_full(False)

    def _stall(self, host: SimHost, for_s: float) -> None:
        host.stalled = host.stalled_once = True
        self.injected("host stalled")
        self.schedule.at(for_s, host.wake)

    def _stop(self, host: SimHost, index: int) -> None:
        self.injected("host stopped")
        host.doom = "stops"
        host.enter(host.stop)

        def over() -> None:
            if not host.dead:
                self._bury(host, index)
                self.schedule.at(1.0, lambda: self._start(index))

        self.schedule.at(5.0, over)

    def _vanish(self) -> None:
        busy = [peer for peer in self._peers if peer.legs and not peer.away]
        if not busy:
            return
        peer = self.dice.choice(busy)
        lost = peer.vanish(self.dice.uniform(10, 60))
        self.injected("peer vanished")

        def silent() -> None:
            for host in self.living():
                for conversation in lost:
                    host.enter(partial(host.silent, conversation))

        self.schedule.at(SILENCE_S, silent)

    def _bury(self, host: SimHost, index: int) -> None:
        self.commits += host.store.committer.stats.commits
        host.die()
        self.hosts[index] = None

    def crash(self, host: SimHost) -> None:
        """The process of a host ends at this very instant; the disk has what it has."""
        index, kind, disk = self.hosts.index(host), host.doom, self.disk
        assert kind, "a crash has a kind"
        power = kind.startswith("power")
        database, wal = disk.snapshot()
        if kind == TORN:
            wal = torn(wal, host.store.committer.wal_before, self.dice)
        elif kind == "power failure within a checkpoint":
            conn = host.store.committer.wire.conn
            conn.execute("PRAGMA wal_checkpoint(PASSIVE)")
            database = half_copied(database, disk.snapshot()[0], self.dice)
        if kind in faults.CRASHES:
            self.injected(kind)
        self._bury(host, index)
        disk.go_on_from(database, wal)
        if power:
            self.machines[index].boot(self.schedule.now)
        for other in self.living():
            other.reopen()
        self.months.reopen()
        self._audit(self.books.check)
        self.schedule.at(self.dice.uniform(0.2, 6), lambda: self._start(index))

    # --- the operator's money ---

    def pay_now(self, conn: Connection, name: str, units: int) -> None:
        """A payment of before the seed."""
        number = len(self.books.orders)
        self.books.orders[f"payment:card:{number}"] = Order("payment", self._ids[name], units, True)
        ledger.pay(conn, Now(UTC_0, 0), self._ids[name], Money(units), "card", str(number))

    def pay(self, name: str, units: int, copies: int = 1) -> None:
        """A payment, by whichever host is there."""
        number = len(self.books.orders)
        order = Order("payment", self._ids[name], units)
        self.books.orders[f"payment:card:{number}"] = order

        def pay(conn: Connection, now: Now) -> None:
            ledger.pay(conn, now, order.account_id, Money(units), "card", str(number))

        for _ in range(copies):
            self._until_done(order, pay)

    def _take(self, name: str, units: int) -> None:
        number = len(self.books.orders)
        order = Order("fee", self._ids[name], units)
        self.books.orders[f"fee:{number}"] = order
        self._until_done(
            order,
            lambda conn, now: ledger.take_fee(
                conn, now, order.account_id, Money(units), str(number)
            ),
        )

    def _until_done(self, order: Order, do: Callable[[Connection, Now], Refusal | None]) -> None:
        """Ask a host that runs, again until it says that it is done."""
        at = self.schedule.at

        def done(result: object) -> None:
            if not isinstance(result, BaseException) and order.done is None:
                order.done = result is None
                self.schedule.trace("money", order)

        def ask() -> None:
            if order.done is not None:
                return
            running = [host for host in self.living() if not host.stalled]
            if running:
                host = self.dice.choice(running)
                now = host._now()
                host.enter(lambda: host.writer.submit(lambda conn: do(conn, now), done))
            at(9.0, ask)

        ask()


def _one_of(dice: random.Random, weights: dict[str, int]) -> str:
    return dice.choices(tuple(weights), tuple(weights.values()))[0]


def run_seed(seed: int, plant: str = "") -> Outcome:
    """Run one seed from beginning to end; the same seed gives the same outcome."""
    with TemporaryDirectory(prefix="loopstart-", dir=memory()) as folder:
        return World(seed, Path(folder), plant).run()
