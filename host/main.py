"""The process that carries calls: sockets, clock, store and call control wired together.

Started by `loopstart-host serve` as `python -m host`, which hands over checked settings. It imports
neither the command line nor anything that draws or validates; what it needs per call is in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import pickle
import secrets
import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from host import compiled
from host.calls.call import State
from host.calls.commands import Contact, RelayStep
from host.calls.control import CallControl
from host.calls.joint import call_of
from host.calls.routing import Router
from host.calls.timers import CallTimers
from host.carrying import Carrying
from host.charging.service import Charging
from host.charging.values import Now, Rule
from host.companions import Companions
from host.control import ControlSocket
from host.figures import LAG_BOUNDS_S, Faults, Histogram
from host.logs import configure
from host.media.echo import Echoes
from host.media.relay import RtpIoRelay
from host.media.session import MediaSessions
from host.numbering.directory import Directory
from host.numbering.values import Account
from host.settings import Settings
from host.sip import bindings
from host.sip.auth import Authenticator
from host.sip.names import Names
from host.sip.registrar import Binding, Registrar
from host.sip.server import SipServer
from host.sip.transport import Flow, Transports, UdpFlow
from host.store.connection import Connection
from host.store.opening import open_reader
from host.store.writer import Delivery, GroupCommitWriter
from host.tokens import Tokens
from host.watch import Watch

if TYPE_CHECKING:
    from host.iax2.server import Iax2Server
    from host.iax2.sockets import RtpPorts
    from host.media.bridge import MediaPort

SUPERVISE_S = 30.0
LAG_OVERLOAD_S = 0.5
"""A loop that is so far behind its heartbeat takes no new calls for one heartbeat."""


class Host(Carrying):
    """One host. `start`, then `wait`, or `stop`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = structlog.get_logger("host")
        self.rules_off = frozenset(Rule(name) for name in settings.rules_off)
        self._boot_id = _boot_id()
        self._serial = 0
        self.started_utc_ms = time.time_ns() // 1_000_000
        self.armed_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._beat_at = 0.0
        self._deliveries: deque[Delivery] = deque()
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._echo_ports: RtpPorts | None = None
        """Only once somebody calls an echo."""
        self.iax2: Iax2Server | None = None
        """Only where a listener speaks it."""
        self.in_doubt = {}
        self.owed = {}
        self.unwritten = Faults()
        self.outcomes = {}
        self.lag = Histogram(LAG_BOUNDS_S)
        self._sends = self._table()

    # --- life ---

    async def start(self) -> None:
        """Open the store, settle what a crash left, bind the listeners.

        Raises:
            StoreError: the database can't be opened.
            OSError: an address can't be bound.
        """
        settings = self.settings
        self.loop = asyncio.get_running_loop()
        self.clock = time.monotonic
        charging = settings.charging
        self.writer = GroupCommitWriter(settings.database, charging.commit_window_ms, self._deliver)
        self.charging = Charging(settings.host_id, self._boot_id, charging, self.rules_off)
        recovered = self.writer.call(lambda conn: self.charging.recover(conn, self._now()))
        if recovered:
            self.log.warning("recovered", calls=recovered)
        self.writer.call(lambda conn: self.charging.heartbeat(conn, self._now()))
        reader: Connection = open_reader(settings.database)
        self.directory = Directory(
            reader,
            settings.sip.realm,
            self.rules_off,
            refreshed_by_user=True,
            utc_ms=lambda: self._now().utc_ms,
        )
        self.directory.refresh()
        self.registrar = Registrar(settings.sip, self._registered)
        timers = CallTimers(
            settings.sip.ring_s, settings.sip.carrier_timeout_s, settings.charging.max_call_s
        )
        self.control = CallControl(timers, self.rules_off)
        self.relay = RtpIoRelay(settings.media, settings.sip.ring_s, self._silent)
        await self.relay.start()
        self.sessions = MediaSessions(self.relay, self._rewritten)
        self.echoes = Echoes(settings.media.address, self._open_echo_port, self.control, self.clock)
        authenticator = Authenticator(
            settings.sip, self.directory, self.registrar, secrets.token_bytes(32)
        )
        router = Router(self.directory, self._contacts, self.rules_off)
        self.names = Names(self.clock)
        self.sip = SipServer(
            settings.sip,
            peers=self.directory,
            router=router,
            control=self.control,
            registrar=self.registrar,
            authenticator=authenticator,
            open_flow=lambda *where: self.transports.flow_to(*where),
            new_call_id=self.new_call_id,
            random_token=Tokens(),
            clock=self.clock,
            carry_out=self._carry_out,
            changed=self.rearm,
            find_name=self.names.find,
        )
        self.watch = Watch(
            settings.sip.batch_ms / 1000,
            begin=self._batch_begins,
            over=self._batch_over,
            lively_s=settings.iax2.batch_ms / 1000,
            lively=lambda: self.echoes.live > 0 or (self.iax2 is not None and self.iax2.lively()),
        )
        self.transports = Transports(self.sip, self.watch)
        if any(listener.transport == "iax2" for listener in settings.listeners):
            from host.iax2.shell import Iax2Shell

            self.iax2_shell = Iax2Shell(self, router, authenticator.guard)
            self.iax2 = self.iax2_shell.server
        self.log.info("starting", sip_core="compiled" if compiled.in_use() else "Python")
        for listener in settings.listeners:
            if listener.transport == "iax2":
                bound = self.iax2_shell.open(listener)
            else:
                bound = await self.transports.open(listener)
            self.log.info(
                "listening",
                pop=bound.pop,
                transport=bound.transport,
                address=bound.address,
                port=bound.port,
            )
        self._find_bindings()
        self.operators = ControlSocket(self)
        await self.operators.open()
        self._beat_at = self.clock()
        self._beat()
        self.loop.call_later(SUPERVISE_S, self._supervise)
        # What stands now lives as long as the process: the collector need not look at it. A call
        # is some hundred objects, so this looks once in a few hundred calls.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)

    async def wait(self) -> None:
        """Until somebody stops the host and its calls are over."""
        await self._stopping.wait()
        await self._drain()
        self._stopped.set()

    def stop(self) -> None:
        """Take no new calls; let live ones finish for a while. Twice: end them now."""
        if self._stopping.is_set():
            self._end_all()
        self.sip.closing = True
        self._stopping.set()

    async def _drain(self) -> None:
        self.log.info("stopping", calls=len(self.control.calls))
        until = self.clock() + self.settings.sip.shutdown_grace_s
        while self.control.calls and self.clock() < until:
            await asyncio.sleep(0.05)
        self._end_all()
        until = self.clock() + 5
        while self.control.calls and self.clock() < until:
            await asyncio.sleep(0.02)
        self.operators.close()
        if self.iax2 is not None:
            await self.iax2_shell.close()
        self.names.close()
        await self.relay.close()
        await self.transports.close()
        self.watch.close()
        self._save_bindings(self._now())
        self.writer.call(lambda conn: self.charging.heartbeat(conn, self._now()))
        self.writer.close()
        stats = self.writer.stats
        self.log.info(
            "stopped",
            unsettled=len(self.control.calls),
            commits=stats.commits,
            operations=stats.operations,
            commit_wait_ms_p50=round(stats.wait_ms_p50, 1),
            commit_wait_ms_p99=round(stats.wait_ms_p99, 1),
        )

    def _end_all(self) -> None:
        now = self.enter()
        for call in list(self.control.calls.values()):
            self.control.end(call, now, "host stops")
        self.flush()

    # --- time ---

    def _now(self) -> Now:
        return Now(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)

    def enter(self) -> float:
        """Something happens: what time it is, for all protocols."""
        now = self.sip.now = self.clock()
        return now

    def flush(self) -> None:
        """Carry out what is to be done, and send it."""
        if self.iax2 is not None and (self.control.commands or self.iax2.take_events()):
            self._carry_out()
        self.sip.flush()
        if self.iax2 is not None:
            self.iax2.send()

    def _batch_begins(self) -> None:
        """Datagrams are about to be taken."""
        if self.iax2 is not None:
            self.iax2.begin()

    def _batch_over(self) -> None:
        """They were taken: the store's answers have their turn, then everything is sent."""
        self._take_deliveries()
        if self.iax2 is not None:
            self.iax2.over()
        self.sip.drained()

    def rearm(self) -> None:
        """What was submitted is committed; one timer for all deadlines, moved only when one
        comes earlier.

        While sockets are looked at once a tick, protocols look at their deadlines then, which
        are never near (RFC 3261, T1); only the end of a quota has a timer of its own.
        """
        watch = self.watch
        self.writer.pace(watch.calm)
        at = self.control.next_deadline
        if not watch.ticking:
            other = self.sip.next_deadline
            if at is None or (other is not None and other < at):
                at = other
            if self.iax2 is not None:
                other = self.iax2.next_deadline
                if at is None or (other is not None and other < at):
                    at = other
        if at is None or (self.armed_at is not None and self.armed_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self.armed_at = at
        self._timer = self.loop.call_later(max(0.0, at - self.clock()), self._tick)

    def _tick(self) -> None:
        self._timer = self.armed_at = None
        now = self.enter()
        self.control.handle_timers(now)
        if self.iax2 is not None:
            self.iax2.handle_timers(now)
            self.flush()
        self.sip.handle_timers(now)

    def refuses_calls(self) -> bool:
        """While it stops, or is behind: new calls get their refusal at once."""
        sip, waiting = self.sip, self.control.waiting
        return sip.closing or sip.overloaded or waiting >= self.settings.sip.overload_pending

    def _beat(self) -> None:
        """The heartbeat row that a crash is settled by, and a look at the loop's lag."""
        interval_s = self.settings.charging.heartbeat_ms / 1000
        now = self.clock()
        behind_s = now - self._beat_at
        self.lag.add(max(0.0, behind_s))
        self.sip.overloaded = behind_s > LAG_OVERLOAD_S
        self._beat_at = now + interval_s
        stamp = self._now()
        self.writer.submit(
            lambda conn: self.charging.heartbeat(conn, stamp),
            self._unheard("heartbeat"),
        )
        self._save_bindings(stamp)
        self._give_back()
        if not self._stopped.is_set():
            self.loop.call_later(interval_s, self._beat)

    def _find_bindings(self) -> None:
        """Devices that were registered before the restart."""
        endpoints = {
            f"{e.listener.address}:{e.listener.port}": e for e in self.transports.endpoints
        }

        def flow_to(listener: str, address: str, port: int) -> Flow | None:
            endpoint = endpoints.get(listener)
            if endpoint is not None:
                return UdpFlow(endpoint, address, port)
            return self.iax2.flow_to(listener, address, port) if self.iax2 is not None else None

        host_id, stamp = self.settings.host_id, self._now()
        for binding in self.writer.call(lambda conn: bindings.load(conn, host_id, stamp, flow_to)):
            self.registrar.restore(binding)

    def _supervise(self) -> None:
        # The time is that of the look itself: after a stall an older one would make a heartbeat
        # seem to have been there since.
        self.writer.submit(
            lambda conn: self.charging.supervise(conn, self._now()),
            self._unheard("supervise"),
        )
        if not self._stopping.is_set():
            self.loop.call_later(SUPERVISE_S, self._supervise)

    # --- the store's answers ---

    def _deliver(self, delivery: Delivery) -> None:
        """From the writer's thread: one wake-up of the loop for a whole batch, or none when the
        loop looks by itself soon, at its next tick."""
        self._deliveries.append(delivery)
        if self.watch.resting or not self.watch.ticking:
            self.loop.call_soon_threadsafe(self._delivered)

    def _take_deliveries(self) -> None:
        while self._deliveries:
            for done, result in self._deliveries.popleft():
                done(result)

    def _delivered(self) -> None:
        self.enter()
        self._take_deliveries()
        self.sip.flush()

    def _open_echo_port(self, receive: Callable[[bytes], bool]) -> MediaPort | None:
        """A port for an echo, beside those of calls between IAX2 and SIP."""
        if self._echo_ports is None:
            from host.iax2.sockets import RtpPorts

            self._echo_ports = RtpPorts(self.settings.media, self.watch)
        return self._echo_ports.open(receive)

    # --- what shells report ---

    def _rewritten(self, step: RelayStep, body: bytes | None) -> None:
        now = self.sip.now = self.clock()
        self.control.relayed(step, body, now)
        self.sip.flush()

    def _silent(self, session_id: str) -> None:
        call = self.control.calls.get(call_of(session_id))
        if call is not None and call.state is not State.ENDED:
            self.sip.now = self.clock()
            self.control.media_silent(call, self.sip.now)
            self.sip.flush()

    def _contacts(self, account: Account) -> list[Contact]:
        return self.registrar.contacts(account.id, self.sip.now)

    def _registered(self, binding: Binding, added: bool) -> None:
        self.log.info(
            "registered" if added else "unregistered",
            account=binding.username,
            contact=binding.uri,
            pop=binding.flow.listener.pop,
            source=f"{binding.flow.address}:{binding.flow.port}",
        )

    def new_call_id(self) -> str:
        self._serial += 1
        return f"{self.settings.host_id}-{self.started_utc_ms:x}-{self._serial:x}"


def _boot_id() -> str:
    """What the monotonic clock belongs to."""
    path = Path("/proc/sys/kernel/random/boot_id")
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return f"unknown-{os.getpid()}-{time.time_ns()}"


def run(settings: Settings, companions: str = "") -> int:
    """Carry calls until SIGTERM or SIGINT; answers the exit status.

    Args:
        companions: what `host.supervise` is to keep alive meanwhile; empty: nothing.
    """
    configure(settings.log_level, settings.log_json)
    beside = Companions(companions)

    async def main() -> int:
        host = Host(settings)
        await host.start()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, host.stop)
        beside.start(loop)
        await host.wait()
        return 0

    try:
        import uvloop

        return uvloop.run(main())
    except ImportError:
        return asyncio.run(main())


def main() -> int:
    parser = argparse.ArgumentParser(description="Internal: use `loopstart-host serve`.")
    parser.add_argument("--settings-fd", type=int, required=True)
    parser.add_argument("--companions", default="")
    arguments = parser.parse_args()
    with os.fdopen(arguments.settings_fd, "rb") as stream:
        settings = pickle.load(stream)
    assert isinstance(settings, Settings)
    return run(settings, arguments.companions)


if __name__ == "__main__":
    raise SystemExit(main())
