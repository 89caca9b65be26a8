"""One life of a host's process: the real call control, routing and charging, in simulated time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from host.calls.call import Call, Leg, State
from host.calls.commands import Contact, Failure, PlaceLeg, RelayStep
from host.calls.control import CallControl
from host.calls.joint import Joint
from host.calls.routing import Refused, Router
from host.calls.timers import CallTimers
from host.carrying import Carrying
from host.charging.service import Charging
from host.charging.values import Grant, Now, Refusal
from host.figures import Faults
from host.numbering.directory import Directory
from host.numbering.values import Account, Carrier
from host.settings import ChargingSettings, Settings
from host.simulate.disk import Crashed, SimCommitter
from host.simulate.network import End, Packet, stray
from host.store.opening import open_reader
from host.store.sqlite import StoreError
from host.store.writer import Entry

if TYPE_CHECKING:
    from host.simulate.world import Machine, World

CHARGING = ChargingSettings(quota_s=12, renew_before_s=4, max_call_s=75)
TIMERS = CallTimers(ring_s=20.0, carrier_timeout_s=4.0, max_call_s=CHARGING.max_call_s)
SUPERVISE_S = 30.0
SILENCE_S = 15.0
"""Media that is silent for so long ends a call."""
REALM = "simulated"
TORN = "power failure within a commit"
UNTOLD = "crash before the commit was told"


class WatchedControl(CallControl):
    """Call control, whose answers from the store are noted."""

    def __init__(self, host: SimHost) -> None:
        super().__init__(TIMERS)
        self._books = host.world.books

    def rerouted(self, call: Call, answer: Grant | Refusal, now: float) -> None:
        self._books.rerouted(call.id, answer)
        super().rerouted(call, answer, now)

    def stored_answer(self, call: Call, ok: bool, now: float) -> None:
        self._books.stored_answer(call.id, ok)
        super().stored_answer(call, ok, now)


class HostLeg:
    """The host's side of a leg: what call control asks of its agent, and what the peer says."""

    def __init__(self, host: SimHost, peer: str, conversation: str, leg: Leg | None) -> None:
        self.host = host
        self.leg = leg
        self.answered = False
        world = host.world
        self.end_point = End(
            world.network,
            world.schedule,
            (host.name, peer),
            conversation,
            host.life,
            self.heard,
            lambda: host.enter(self._lost),
        )

    # --- what call control asks ---

    def progress(self, ringing: bool, sdp: bytes) -> None:
        self.end_point.send("progress", ringing)

    def answer(self, sdp: bytes) -> None:
        self.answered = True
        self.end_point.send("answer")

    def end(self, cause: int) -> None:
        self.end_point.send("hangup", cause)

    def reject(self, reason: object, failure: object) -> None:
        self.end_point.send("reject", str(reason or failure))

    # --- what the peer says ---

    def heard(self, kind: str, body: Any) -> None:
        """A message, once and in order."""
        host, leg = self.host, self.leg
        control, now = host.control, host.sip.now
        if kind == "setup":
            host.offer(self, *body)
        elif leg is None:
            return
        elif kind == "hangup":
            self._gone(16)
        elif kind == "progress":
            control.progressed(leg, body, b"early" if body else b"", now)
        elif kind == "answer":
            self.answered = True
            control.answered(leg, b"answer", now)
        elif kind == "reject":
            control.failed(leg, Failure(*body), now)

    def _lost(self) -> None:
        """The peer acknowledges nothing any more, or says that it knows of no such call."""
        if self.leg is not None:
            self._gone(41)

    def _gone(self, cause: int) -> None:
        host, leg = self.host, self.leg
        assert leg is not None
        if leg.is_caller or self.answered:
            host.control.ended(leg, cause, host.sip.now)
        else:
            host.control.failed(leg, Failure(cause, 408, "peer lost"), host.sip.now)


class Shell:
    """What the parts of a host ask of their protocol shell."""

    def __init__(self, host: SimHost) -> None:
        self.now = 0.0
        self._host = host

    def place(self, command: PlaceLeg) -> None:
        host, target = self._host, command.target
        peer = f"carrier:{target.name}" if isinstance(target, Carrier) else target.uri
        host.placed += 1
        conversation = f"{host.name}/{host.life}/{host.placed}"
        agent = HostLeg(host, peer, conversation, command.leg)
        command.leg.agent = agent
        host.legs[conversation] = agent
        agent.end_point.send("invite", command.callee)


class Sessions:
    """The relay's part: answers after a moment, and has no port now and then."""

    def __init__(self, host: SimHost) -> None:
        self.open: set[str] = set()
        self.full = False
        self._host = host

    def rewrite(self, call: Call | Joint, step: RelayStep, from_caller: bool, body: bytes) -> None:
        host = self._host
        answer: bytes | None = body
        if self.full:
            self.full, answer = False, None
            host.world.injected("relay full")
        else:
            self.open.add(call.id)
        host.later(0.001, lambda: host.control.relayed(step, answer, host.sip.now))

    def close(self, session_id: str) -> None:
        self.open.discard(session_id)


class SimWriter:
    """The store's writer: its batches, without its thread."""

    def __init__(self, host: SimHost) -> None:
        self.committer = SimCommitter(host.world.disk)
        self.late_s = 0.0
        self.lose_answer = False
        self._host = host
        self._queue: list[Entry] = []
        self._due = False

    def submit(
        self, operation: Callable[[Any], Any], done: Callable[[Any], None], kind: int = 0
    ) -> None:
        """As of `GroupCommitWriter`."""
        self._queue.append(Entry(operation, done, False, 0.0))
        if not self._due:
            self._due = True
            self._host.later(0.004 + self.late_s / 2, self._commit)

    def _commit(self) -> None:
        host, batch = self._host, self._queue
        self._queue, self._due = [], False
        results = self.committer.transact(batch)
        failed = isinstance(results[0], StoreError)
        world = host.world
        errors = [result for result in results if isinstance(result, BaseException)]
        for error in errors:
            world.books.refused(error)
            if failed:
                break
        if errors and world.disk.full:
            world.injected("disk full")
        if not failed:
            torn_from = self.committer.wal_before
            grown = world.disk.wal_size > torn_from
            if host.doom == UNTOLD or (host.doom == TORN and grown):
                raise Crashed
            world.books.committed(self.committer.wire.conn)
            if self.lose_answer:
                self.lose_answer = False
                world.injected("store answer lost")
                results = [StoreError("the answer was lost")] * len(batch)
        world.schedule.trace("commit", host.name, len(batch), failed)

        def deliver() -> None:
            for entry, result in zip(batch, results, strict=True):
                entry.done(result)

        host.later(self.late_s / 2, deliver)


class SimHost(Carrying):
    """A host's process from its start to its end."""

    def __init__(
        self, world: World, name: str, machine: Machine, life: int, charging: type[Charging]
    ) -> None:
        """Start: settle what the last life left.

        Raises:
            StoreError: the store did not take what a start has to write.
        """
        self.world = world
        self.name = name
        self.machine = machine
        self.life = life
        self.dead = False
        self.closing = False
        self.stalled = False
        self.stalled_once = False
        """Others may have settled its calls meanwhile."""
        self.doom = ""
        """The crash that waits for its moment."""
        self.beat_at = world.schedule.now
        """When the last heartbeat was stamped."""
        self.placed = 0
        self.legs: dict[str, HostLeg] = {}
        self.late_packets: Counter[str] = Counter()
        self._backlog: list[Callable[[], None]] = []
        self._serial = 0
        self._armed: float | None = None
        self.settings = Settings(host_id=name, charging=CHARGING)
        self.log = world.log
        self.iax2 = None
        self.in_doubt = {}
        self.owed = {}
        self.sip: Any = Shell(self)
        self.sessions: Any = Sessions(self)
        self.echoes: Any = None
        self.store = SimWriter(self)
        self.writer: Any = self.store
        self.charging = charging(name, machine.boot_id, CHARGING)
        self.control = WatchedControl(self)
        self._sends = self._table()
        self._started_ms = self._now().utc_ms
        self.unwritten = Faults()
        self.outcomes = {}
        entries = [Entry(self._start, lambda _: None, True, 0.0)]
        (result,) = self.store.committer.transact(entries)
        if isinstance(result, BaseException):
            self.store.committer.close()
            raise StoreError(str(result))
        self._read()
        world.network.attach(name, lambda *p: self.enter(lambda: self._receive(*p)))
        self._beat()
        self.later(SUPERVISE_S, self._supervise)

    def _read(self) -> None:
        self.reader = open_reader(self.world.disk.path)
        self.directory = Directory(
            self.reader, REALM, refreshed_by_user=True, utc_ms=lambda: self._now().utc_ms
        )
        self.router = Router(self.directory, self._contacts)

    def _start(self, conn: Any) -> int:
        now = self._now()
        settled = self.charging.recover(conn, now)
        self.charging.heartbeat(conn, now)
        return settled

    # --- time ---

    def _now(self) -> Now:
        return self.machine.now(self.world.schedule.now)

    def later(self, delay_s: float, do: Callable[[], None]) -> None:
        """In this process, in so many seconds, if it lives then."""
        self.world.schedule.at(delay_s, lambda: self.enter(do))

    def enter(self, do: Callable[[], None]) -> None:
        """Let something happen in this process, and all that comes of it."""
        if self.dead:
            return
        if self.stalled:
            self._backlog.append(do)
            return
        self.sip.now = self.machine.mono_s(self.world.schedule.now)
        try:
            do()
            self._carry_out()
        except Crashed:
            self.world.crash(self)
            return
        at = self.control.next_deadline
        if at is not None and (self._armed is None or at < self._armed):
            self._armed = at
            # A microsecond beyond: the deadline has to have come on this clock, too.
            self.later(max(0.0, at - self.sip.now) + 1e-6, self._tick)

    def wake(self) -> None:
        """Go on after having been stalled: all that came meanwhile comes now."""
        self.stalled = False
        backlog, self._backlog = self._backlog, []
        for do in backlog:
            self.enter(do)

    def _tick(self) -> None:
        self._armed = None
        self.control.handle_timers(self.sip.now)

    def _beat(self) -> None:
        stamp = self._now()
        self.beat_at = self.world.schedule.now
        self.writer.submit(
            lambda conn: self.charging.heartbeat(conn, stamp),
            self._unheard("heartbeat"),
        )
        self._give_back()
        self.later(CHARGING.heartbeat_ms / 1000, self._beat)

    def _supervise(self) -> None:
        self.writer.submit(
            lambda conn: self.charging.supervise(conn, self._now()),
            self._unheard("supervise"),
        )
        self.later(SUPERVISE_S, self._supervise)

    # --- calls ---

    def _receive(self, source: str, packet: Packet) -> None:
        leg = self.legs.get(packet.conversation)
        if leg is None and packet.kind == "setup" and not self.closing:
            leg = self.legs[packet.conversation] = HostLeg(self, source, packet.conversation, None)
        if leg is None or packet.epoch not in (0, self.life):
            self.late_packets[packet.kind] += 1
            stray(self.world.network, self.name, source, packet)
        else:
            leg.end_point.receive(packet)

    def offer(self, agent: HostLeg, number: str, caller: str) -> None:
        """A call from a peer, which its address names."""
        self._serial += 1
        call_id = f"{self.name}-{self._started_ms:x}-{self._serial:x}"
        self.directory.refresh()
        kind, _, name = agent.end_point.peer.partition(":")
        if kind == "carrier":
            carrier = self.directory.carrier_by_address(self.world.carriers[name], 5060)
            assert carrier is not None
            plan = self.router.from_carrier(carrier, call_id, number, caller, 70, b"offer")
        else:
            account = self.directory.account_by_username(name)
            assert account is not None
            plan = self.router.from_account(account, call_id, number, caller, 70, b"offer")
        self.world.books.asked(call_id, plan, self)
        if isinstance(plan, Refused):
            self.control.refused(plan.facts, plan.refusal)
            agent.reject(plan.refusal.reason, None)
        else:
            agent.leg = self.control.offered(plan, agent, self.sip.now)

    def _contacts(self, account: Account) -> tuple[Contact, ...]:
        return (Contact(f"phone:{account.username}", "default", None),)

    def silent(self, conversation: str) -> None:
        """The relay hears nothing any more of this leg's call."""
        agent = self.legs.get(conversation)
        if agent is not None and agent.leg is not None:
            call = agent.leg.call
            if call.state is not State.ENDED:
                self.control.media_silent(call, self.sip.now)

    def stop(self) -> None:
        """As `loopstart-host` does on SIGTERM, at the end of its grace."""
        self.closing = True
        for call in list(self.control.calls.values()):
            self.control.end(call, self.sip.now, "host stops")

    # --- what is noted of the store's part ---

    def _authorized(self, call: Call, answer: object) -> None:
        self.world.books.authorized(call.id, answer)
        super()._authorized(call, answer)

    def _amend(self, command: Any) -> None:
        self.world.books.amending(command.call.id, command.drop, command.legs)
        super()._amend(command)

    def _mark_answered(self, command: Any) -> None:
        self.world.books.answered(command.call.id, command.drop)
        super()._mark_answered(command)

    def _settle(self, command: Any) -> None:
        self.world.books.settling(command.call.id, command.talk_ms)
        super()._settle(command)

    def _settled(self, command: Any, result: Any) -> None:
        self.world.books.settled(command.call.id, result)
        super()._settled(command, result)

    def reopen(self) -> None:
        """Somebody else's crash moved the store's files."""
        self.store.committer.reopen()
        self.reader.close()
        self._read()

    def die(self) -> None:
        """The process is no more."""
        self.dead = True
        for leg in self.legs.values():
            leg.end_point.dead = True
        self.store.committer.close()
        self.reader.close()
