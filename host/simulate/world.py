"""One seed: two machines with a host each on one store, telephones, carriers, and faults."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from host.charging import ledger
from host.charging.service import Charging
from host.charging.values import Money, Now, Refusal
from host.numbering import provisioning
from host.numbering.deck import import_deck
from host.numbering.values import Carrier
from host.simulate import faults
from host.simulate.books import Books, Broken, Order
from host.simulate.disk import Disk, half_copied, torn
from host.simulate.faults import Fault
from host.simulate.host import REALM, SILENCE_S, TORN, SimHost
from host.simulate.network import Network
from host.simulate.peers import LONGEST_S, Peer
from host.simulate.plants import PLANTS
from host.simulate.schedule import Schedule
from host.store.connection import Connection
from host.store.opening import open_writer
from host.store.sqlite import StoreError

UTC_0 = 1_800_000_000_000
CALLS = 100
"""Calls of a seed, more or less: some are begun while nobody is there to take them."""
QUIET_S = 1_500.0
"""Supervision has settled everything so long after the last call."""

CARRIERS = {"north": "192.0.2.1", "south": "192.0.2.2"}
"""By name, where their calls come from."""

_DECK = """\
prefix,destination,value,premium,first_s,step_s,connect_fee
1514,Montreal,0.0052,0.01,6,6,0
1212,New York,0.004,0.01,6,6,0
1204,Winnipeg,,0.0125,30,6,0.001
61,Australia,0.0123,0.0201,30,6,0.002
1800,Toll-free,0,0,6,6,0
"""
_DEARER = """\
prefix,destination,value,premium,first_s,step_s,connect_fee
1514,Montreal,0.0061,0.0111,12,1,0
61,Australia,0.0133,0.0221,6,6,0.003
"""
_NUMBERS = {
    "15145550100": 6,
    "15145550101": 6,
    "12045550177": 3,
    "01161291234567": 6,
    "18005550199": 2,
    "01133140000000": 1,
    "12125550100": 4,
    "12045550100": 2,
}
"""What telephones dial, and how often; the last two are DIDs of this host."""
_DIDS = {"12125550100": 6, "12045550100": 3, "12125559999": 1}
"""What carriers bring calls for; the last one is nobody's."""
_ACCOUNTS = {"acme": 5, "acme-desk": 4, "bolt": 5, "calm": 8, "dull": 1, "barred": 1}
"""Who calls, and how often."""


class Machine:
    """A machine's clocks."""

    def __init__(self, name: str) -> None:
        self.name = name
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
        return Now(UTC_0 + self.utc_step_ms + round(at_s * 1000), round(self.mono_s(at_s) * 1000))


class Outcome(NamedTuple):
    """What came of a seed."""

    seed: int
    broken: str
    """The promise that was broken, in a sentence; empty: none."""
    calls: int
    injected: dict[str, int]
    digest: str
    audits: int
    """How often everything was audited."""
    commits: int


class _Silence:
    """A log that keeps nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *event, **values: None


@lru_cache(maxsize=1)
def prepared() -> bytes:
    """A database with accounts, rates, numbers and carriers, and no money."""
    with TemporaryDirectory(prefix="loopstart-", dir=_memory()) as folder:
        path = Path(folder) / "prepared.sqlite"
        with closing(open_writer(path)) as conn:
            provisioning.add_pop(conn, "default")
            for name in _ACCOUNTS:
                columns: dict[str, Any] = {"international": True, "channels": 4}
                if name == "bolt":
                    columns |= {"route": "premium", "caller_id": "+12125550123"}
                if name == "calm":
                    columns |= {"premium_fallback": True, "channels": 8}
                parent = "acme" if name == "acme-desk" else ""
                provisioning.add_account(
                    conn, name, realm=REALM, password="", parent=parent, **columns
                )
            provisioning.set_account(conn, "barred", status="blocked")
            import_deck(conn, _DECK.splitlines(), utc_ms=lambda: 0)
            # Prices rise in the middle of the load, where no clock was stepped over that.
            import_deck(
                conn, _DEARER.splitlines(), utc_ms=lambda: 0, effective_utc_ms=UTC_0 + 100_000
            )
            provisioning.add_did(
                conn,
                "+12125550100",
                plan="per-minute",
                pop="default",
                account="calm",
                per_minute=Money(900_000),
            )
            provisioning.add_did(conn, "+12045550100", plan="flat", pop="default", account="dull")
            for priority, (name, address) in enumerate(CARRIERS.items()):
                carrier = Carrier(name, address, 5060, "udp")
                provisioning.add_carrier(conn, carrier, priority=priority)
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()


def _memory() -> str | None:
    """Where files need no disk, if the system has that."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() else None


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
        self.network = Network(self.schedule, faults.link(dice("link")), dice("network"))
        self.disk = Disk(folder, prepared())
        self.books = Books(self)
        self.commits = 0
        self._charging = PLANTS[plant] if plant else Charging
        self._machines = [Machine("one"), Machine("two")]
        self._lives = 0
        self._gone: set[int] = set()
        self._broken = ""
        self.hosts: list[SimHost | None] = [None, None]
        self._peers = [
            *(Peer(self.schedule, self.network, f"phone:{n}", dice(n)) for n in _ACCOUNTS),
            *(Peer(self.schedule, self.network, f"carrier:{n}", dice(n)) for n in CARRIERS),
        ]
        self._callers = dice("callers")
        with closing(open_writer(self.disk.path)) as conn:
            self._ids = dict(
                conn.execute("SELECT username, id FROM account WHERE parent_id IS NULL").fetchall()
            )

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
        machine = self._machines[index]
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
            self._pay(name, units)
        for _ in range(dice.randrange(CALLS - 10, CALLS + 31)):
            at(dice.uniform(1, faults.LOAD_S), self._call)
        for _ in range(8):
            at(
                dice.uniform(5, faults.LOAD_S),
                lambda: self._pay(dice.choice(("acme", "bolt")), dice.randrange(1, 1_500_000)),
            )
        for _ in range(6):
            at(
                dice.uniform(5, faults.LOAD_S),
                lambda: self._take(dice.choice(tuple(self._ids)), dice.randrange(1, 900_000)),
            )
        for index in range(8):
            at(faults.LOAD_S / 7 * (index + 1), lambda: self._audit(self.books.check))
        for fault in faults.plan(self.dice):
            at(fault.at_s, partial(self._strike, fault))

    def _call(self) -> None:
        dice = self._callers
        host = f"host{1 if dice.random() < 0.6 else 2}"
        if dice.random() < 0.2:
            peer = dice.choice(self._peers[len(_ACCOUNTS) :])
            peer.call(host, _one_of(dice, _DIDS), "+13125550000")
        else:
            peer = self._peers[list(_ACCOUNTS).index(_one_of(dice, _ACCOUNTS))]
            peer.call(host, _one_of(dice, _NUMBERS), "+12125550100")

    def _strike(self, fault: Fault) -> None:
        """Let a fault happen; where it cannot now, a little later."""
        kind, index = fault.kind, fault.host
        dice, schedule = self.dice, self.schedule
        if kind in faults.TRAPS and fault.at_s == faults.LOAD_S * 0.85 and self.counts[kind]:
            return
        host = self.hosts[index]
        if host is None or host.stalled or host.doom:
            if index in self._gone:
                fault = fault._replace(host=0)
            schedule.at(1.5, lambda: self._strike(fault))
            return
        machine = self._machines[index]
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
            self._pay(dice.choice(("acme", "bolt")), dice.randrange(1, 900_000), copies=2)
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
                self._pay("calm", 1)
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
            self._machines[index].boot(self.schedule.now)
        for other in self.living():
            other.reopen()
        self._audit(self.books.check)
        self.schedule.at(self.dice.uniform(0.2, 6), lambda: self._start(index))

    # --- the operator's money ---

    def _pay(self, name: str, units: int, copies: int = 1) -> None:
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
    with TemporaryDirectory(prefix="loopstart-", dir=_memory()) as folder:
        return World(seed, Path(folder), plant).run()
