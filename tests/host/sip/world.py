"""A whole host in simulated time, between simulated phones and carriers, over a link with a seed.

Everything but sockets and threads is the real thing: SIP server, registrar, authentication, call
control, numbering, charging and its store. The store answers late, and can be told to fail.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import structlog

from host.calls.control import CallControl
from host.calls.routing import Router
from host.calls.timers import CallTimers
from host.charging import ledger
from host.charging.service import Charging
from host.charging.values import USD, Money, Now
from host.main import Host
from host.media.echo import Echoes
from host.media.session import MediaSessions
from host.numbering import provisioning
from host.numbering.directory import Directory
from host.numbering.values import Carrier
from host.settings import ChargingSettings, Listener, Settings, SipSettings
from host.sip.auth import Authenticator
from host.sip.registrar import Registrar
from host.sip.server import SipServer
from host.store.opening import open_reader, open_writer
from host.store.sqlite import StoreError
from host.store.writer import WriterStats
from tests.stores import on_postgres

REALM = "loopstart"
HOST = ("10.0.0.1", 5060)
MONTREAL_POP = ("10.0.0.2", 5060)
RELAY = "10.0.0.1"
CALLED = "15145550100"
DID = "+12125550100"
VALUE_PER_MINUTE = 520_000
"""Montreal on the value route: $0.0052."""
UTC_0 = 1_800_000_000_000

structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(50),
    logger_factory=structlog.ReturnLoggerFactory(),
)

Where = tuple[str, int]


@dataclass(frozen=True)
class Link:
    """What happens to a datagram: chances, and delay in seconds."""

    loss: float = 0.0
    twice: float = 0.0
    delay_s: tuple[float, float] = (0.005, 0.005)


LINKS = {
    "clean": Link(),
    "lossy": Link(loss=0.25),
    "doubled": Link(twice=0.6),
    "reordered": Link(delay_s=(0.001, 0.3)),
    "late": Link(delay_s=(0.2, 1.5)),
    "dreadful": Link(loss=0.3, twice=0.3, delay_s=(0.001, 1.0)),
}


class SimFlow:
    """The host's view of one peer, over UDP or over a connection."""

    def __init__(self, world: World, listener: Listener, where: Where, reliable: bool) -> None:
        self.world = world
        self.listener = listener
        self.address, self.port = where
        self.reliable = reliable
        self.proven = False

    def prove(self) -> None:
        self.proven = True

    def send(self, data: bytes) -> None:
        own = (self.listener.address, self.listener.port)
        self.world.carry(own, (self.address, self.port), data)

    def _key(self) -> object:
        return (self.listener.address, self.address, self.port)

    def __eq__(self, other: object) -> bool:
        if self.reliable or not isinstance(other, SimFlow):
            return self is other
        return self._key() == other._key()

    def __hash__(self) -> int:
        return id(self) if self.reliable else hash(self._key())


class SimWriter:
    """The store's writer: answers after a while, and fails while it is told to."""

    def __init__(self, world: World, path: Path) -> None:
        self._world = world
        self.conn = open_writer(path)
        if not on_postgres():  # whose cluster does without, too
            self.conn.execute("PRAGMA synchronous = OFF")
        self.delay_s = 0.01
        self.failing: set[str] = set()
        """Operations of charging (`authorize`, `settle`...) that fail."""
        self.losing: set[str] = set()
        """Those that are done, and whose answer is lost."""
        self.done: list[str] = []
        self.stats = WriterStats()

    def submit(
        self, operation: Callable[[Any], Any], done: Callable[[Any], None], _kind: int = 0
    ) -> None:
        def run() -> None:
            name = operation.__code__.co_names
            kind = next((n for n in name if n in OPERATIONS), "")
            result: Any
            if kind in self.failing:
                result = StoreError("out of order")
            else:
                self.conn.execute("BEGIN IMMEDIATE")
                result = operation(self.conn)
                self.conn.execute("COMMIT")
                self.done.append(kind)
                if kind in self.losing:
                    result = StoreError("the answer was lost")
            host = self._world.host
            host.sip.now = self._world.now
            done(result)
            host.sip.flush()

        self._world.at(self.delay_s, run)


OPERATIONS = (
    "authorize",
    "amend",
    "refuse",
    "answered",
    "renew",
    "settle",
    "heartbeat",
    "supervise",
    "save",
)


class SimRelay:
    """The relay: gives ports after a while, remembers what is open."""

    address = RELAY

    def __init__(self, world: World) -> None:
        self._world = world
        self._ports = itertools.count(20_000, 2)
        self.open_calls: dict[str, dict[str, Where]] = {}
        self.full = False

    def open(self, call_id: str, offerer: str, peer: Where, done: Callable[..., None]) -> None:
        self.open_calls[call_id] = {offerer: peer}
        self._give(done)

    def offer(self, call_id: str, sides: Any, peer: Where, done: Callable[..., None]) -> None:
        self.open_calls[call_id][sides[0]] = peer
        self._give(done)

    def answer(self, call_id: str, sides: Any, peer: Where, done: Callable[..., None]) -> None:
        self.open_calls[call_id][sides[1]] = peer
        self._give(done)

    def close_call(self, call_id: str, sides: Any) -> None:
        del self.open_calls[call_id]

    def _give(self, done: Callable[..., None]) -> None:
        port = None if self.full else next(self._ports)
        self._world.at(0.001, lambda: done(port))


class SimHost(Host):
    """`host.main.Host` without its loop, sockets and threads."""

    def __init__(self, world: World, settings: Settings, path: Path) -> None:
        self._world = world
        super().__init__(settings)
        self.clock = lambda: world.now
        self.store = SimWriter(world, path)
        self.writer: Any = self.store
        self.charging = Charging("host1", "boot1", settings.charging, self.rules_off)
        self.directory = Directory(
            open_reader(path), REALM, self.rules_off, utc_ms=lambda: self._now().utc_ms
        )
        self.registrar = Registrar(settings.sip, self._registered)
        timers = CallTimers(
            settings.sip.ring_s, settings.sip.carrier_timeout_s, settings.charging.max_call_s
        )
        self.control = CallControl(timers, self.rules_off)
        self.sim_relay = SimRelay(world)
        self.sessions = MediaSessions(self.sim_relay, self._rewritten)  # type: ignore[arg-type]
        self.echoes = Echoes(RELAY, lambda receive: None, self.control, self.clock)
        self.authenticator = Authenticator(
            settings.sip, self.directory, self.registrar, b"secret of 16 octets and more"
        )
        tokens = itertools.count(1)
        self.sip = SipServer(
            settings.sip,
            peers=self.directory,
            router=Router(self.directory, self._contacts, self.rules_off),
            control=self.control,
            registrar=self.registrar,
            authenticator=self.authenticator,
            open_flow=self.open_flow,
            new_call_id=self.new_call_id,
            random_token=lambda: f"{next(tokens) * 2654435761 % 2**64:016x}",
            clock=self.clock,
            carry_out=self._carry_out,
            changed=self.rearm,
            find_name=self._find_name,
        )

    def open_flow(self, transport: str, address: str, port: int, pop: str | None) -> Any:
        listeners = self.settings.listeners
        chosen = next((x for x in listeners if pop is None or x.pop == pop), listeners[0])
        return SimFlow(self._world, chosen, (address, port), transport != "udp")

    def _find_name(self, name: str, found: Callable[[str | None], None]) -> None:
        """The resolver: `World.names`, after `name_s` seconds."""
        world = self._world
        world.looked_up.append(name)
        world.at(world.name_s, lambda: found(world.names.get(name)))

    def _now(self) -> Now:
        ms = round(self._world.now * 1000)
        return Now(UTC_0 + ms, ms)

    def rearm(self) -> None:
        """The world asks for the next deadline itself."""

    def receive(self, listener: Listener, source: Where, data: bytes) -> None:
        self.sip.datagram(data, SimFlow(self._world, listener, source, False))
        self.sip.drained()

    def tick(self) -> None:
        self._tick()

    @property
    def deadline(self) -> float | None:
        times = [self.sip.next_deadline, self.control.next_deadline]
        if self.iax2 is not None:
            times.append(self.iax2.next_deadline)
        return min((t for t in times if t is not None), default=None)


class World:
    """Simulated time and everything that stands in it."""

    def __init__(
        self,
        path: Path,
        *,
        link: Link | str = "clean",
        seed: int = 1,
        charging: ChargingSettings | None = None,
        **sip: Any,
    ) -> None:
        self.now = 1000.0
        self.random = random.Random(seed)
        self.seed = seed
        self.link = LINKS[link] if isinstance(link, str) else link
        self.wire: list[tuple[float, Where, Where, bytes]] = []
        self.agents: dict[Where, Any] = {}
        self.names: dict[str, str] = {}
        self.name_s = 0.05
        self.looked_up: list[str] = []
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.listeners = {
            HOST: Listener(pop="default", address=HOST[0], port=HOST[1]),
            MONTREAL_POP: Listener(pop="montreal", address=MONTREAL_POP[0], port=MONTREAL_POP[1]),
        }
        settings = Settings(
            listeners=tuple(self.listeners.values()),
            sip=SipSettings(realm=REALM, **sip),
            charging=charging or ChargingSettings(),
        )
        database = path / f"host{next(_FILES)}.sqlite"
        open_writer(database).close()
        self.host = SimHost(self, settings, database)
        self.conn = self.host.store.conn
        self._setup()

    def _setup(self) -> None:
        conn = self.conn
        conn.execute("BEGIN")
        for pop in ("default", "montreal"):
            provisioning.add_pop(conn, pop)
        conn.executemany(
            "INSERT INTO rate (deck, route, prefix, destination, per_minute) "
            "VALUES (1, ?, ?, ?, ?)",
            [
                ("value", "1514", "Montreal", VALUE_PER_MINUTE),
                ("premium", "1514", "Montreal", 1_000_000),
                ("premium", "1212", "New York", 1_000_000),
            ],
        )
        conn.execute(
            "INSERT INTO deck (state, effective_utc_ms, touched_utc_ms) VALUES ('ready', 0, 0)"
        )
        conn.execute("COMMIT")

    # --- what an operator does ---

    def account(self, name: str, usd_cents: int = 10_000, **columns: Any) -> int:
        row = provisioning.add_account(
            self.conn, name, realm=REALM, password=columns.pop("password", "secret"), **columns
        )
        if usd_cents:
            amount = Money(usd_cents * USD // 100)
            ledger.pay(self.conn, self.host._now(), row, amount, "test", f"pay-{name}")
        return row

    def carrier(self, name: str, where: Where, **columns: Any) -> None:
        priority = columns.pop("priority", 10)
        carrier = Carrier(name, where[0], where[1], "udp", **columns)
        provisioning.add_carrier(self.conn, carrier, priority=priority)

    def did(self, account: str, number: str = DID, **columns: Any) -> None:
        columns = {"plan": "per-minute", "pop": "default", **columns}
        provisioning.add_did(self.conn, number, account=account, **columns)

    def cdrs(self) -> list[dict[str, Any]]:
        cursor = self.conn.execute("SELECT * FROM cdr ORDER BY id, leg")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def cdr(self) -> dict[str, Any]:
        (only,) = self.cdrs()
        return only

    # --- time and the link ---

    def at(self, delay_s: float, do: Callable[[], None]) -> None:
        heappush(self._queue, (self.now + delay_s, next(self._order), do))

    def carry(self, source: Where, target: Where, data: bytes) -> None:
        self.wire.append((self.now, source, target, data))
        link, rng = self.link, self.random
        for _ in range(2 if rng.random() < link.twice else 1):
            if rng.random() >= link.loss:
                self.at(rng.uniform(*link.delay_s), lambda: self._arrive(source, target, data))

    def _arrive(self, source: Where, target: Where, data: bytes) -> None:
        listener = self.listeners.get(target)
        if listener is not None:
            self.host.receive(listener, source, data)
        elif target in self.agents:
            self.agents[target].receive(data, source)

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        until = self.now + seconds
        steps = 0
        while True:
            steps += 1
            assert steps < 300_000, "never quiet"
            times = [self.host.deadline, self._queue[0][0] if self._queue else None]
            times += [agent.layer.next_deadline for agent in self.agents.values()]
            moment = min((t for t in times if t is not None), default=None)
            if moment is None or moment > until:
                self.now = until
                return
            self.now = max(self.now, moment)
            while self._queue and self._queue[0][0] <= self.now:
                heappop(self._queue)[2]()
            deadline = self.host.deadline
            if deadline is not None and deadline <= self.now:
                self.host.tick()
            for agent in list(self.agents.values()):
                agent.tick()

    # --- what must hold when all is quiet ---

    def check(self) -> None:
        """Nothing is left of any call, and every one has been told, billed and settled once."""
        host, conn = self.host, self.conn
        assert not host.control.calls, f"seed {self.seed}: calls left"
        assert not host.sip._legs, f"seed {self.seed}: legs left"
        assert not host.sim_relay.open_calls, f"seed {self.seed}: relay sessions left"
        assert len(host.sip.layer) == 0, f"seed {self.seed}: transactions left"
        assert not host.sip.layer._merged
        assert not host.sip.layer._awaiting_ack
        assert len(host.sip.deadlines) == 0
        count = "SELECT count(*) FROM "
        for query in (
            count + "hold WHERE state = 'pending'",
            count + "live_limit",
            count + "call WHERE state = 'open'",
            count + "leg WHERE cost IS NULL",
            count + "ledger_account WHERE held <> 0",
        ):
            assert conn.execute(query).fetchone() == (0,), f"seed {self.seed}: {query}"
        assert ledger.check(conn) == []
        for agent in self.agents.values():
            agent.check()

    def finish(self) -> None:
        """Let everything run out, then check."""
        self.run(400)
        self.check()


_FILES = itertools.count()
