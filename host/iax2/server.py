"""The IAX2 server: what endpoints report goes to call control and the registrar, and what those ask
for goes to endpoints. `firmware.wire.iax2` has the protocol; sockets are `host.iax2.sockets`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from firmware.wire.iax2 import (
    Accepted,
    Answered,
    Busy,
    CallOffered,
    Congestion,
    DigitBegan,
    DigitEnded,
    Ended,
    Endpoint,
    EndpointSettings,
    Hold,
    JoinAsked,
    Proceeding,
    Progress,
    Quelched,
    Registering,
    Releasing,
    Ringing,
    Text,
    TransferAsked,
    Unhold,
    Unquelched,
)
from host.calls.call import State
from host.calls.control import CallControl
from host.calls.routing import Router
from host.deadlines import Deadlines
from host.iax2.authority import HostAuthority, Peers
from host.iax2.leg import CalleeLeg, Iax2Leg
from host.iax2.line import Iax2Flow, Line, bracketed
from host.iax2.maker import FORMATS, LegMaker
from host.iax2.referral import asked_to, asked_to_join
from host.iax2.sockets import Socket
from host.media.bridge import Ground
from host.settings import Listener, Settings
from host.sip.guard import Guard
from host.sip.registrar import Binding, Registrar

_DEVICE_SILENT_CHECK_S = 1.0


class _Silence(NamedTuple):
    """What a leg had heard at a look, and since when no more."""

    frames: int
    since: float


class Iax2Server(LegMaker):
    """All of IAX2 on one host.

    Args:
        settings: of the host.
        clock: monotonic seconds; the shell lets SIP know the time, too.
        flush: everything that was asked for is carried out and sent, whatever the protocol.
        refuses: True while no new calls are taken.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        peers: Peers,
        router: Router,
        control: CallControl,
        registrar: Registrar,
        guard: Guard,
        ground: Ground,
        new_call_id: Callable[[], str],
        random: Callable[[int], bytes],
        clock: Callable[[], float],
        flush: Callable[[], None],
        refuses: Callable[[], bool],
    ) -> None:
        self.settings = settings
        self.control = control
        self.ground = ground
        self.clock = clock
        self.lines: list[Line] = []
        self.counts: Counter[str] = Counter()
        self.authority = HostAuthority(
            settings.iax2, peers, guard, registrar, random, self._refresh, clock
        )
        self._peers = peers
        self._router = router
        self._registrar = registrar
        self._random = random
        self._new_call_id = new_call_id
        self._flush = flush
        self._refuses = refuses
        self._crypto: Any = None
        if settings.iax2.encryption:
            from firmware.aes import AesCbc

            self._crypto = AesCbc()
        self._fresh = False
        self._legs: dict[int, Iax2Leg] = {}
        """Live legs by their identity."""
        self._deadlines = Deadlines()
        self._silence: dict[int, _Silence] = {}
        self._look_at = 0.0
        self._frames = 0
        self._handlers: dict[type, Callable[[Line, Any, float], None]] = {
            CallOffered: self._on_offered,
            Registering: self._on_registering,
            Releasing: self._on_releasing,
            Ended: self._on_ended,
            Accepted: _callee(lambda leg, event, now: leg.accepted(now)),
            Proceeding: _callee(lambda leg, event, now: leg.accepted(now)),
            Ringing: _callee(lambda leg, event, now: leg.ringing(now)),
            Progress: _callee(lambda leg, event, now: leg.progressing(now)),
            Answered: _callee(lambda leg, event, now: leg.answered(now)),
            Busy: _nothing,  # Ended follows
            Congestion: _nothing,
            Hold: _any(lambda leg, event, now: leg.held(True, now)),
            Unhold: _any(lambda leg, event, now: leg.held(False, now)),
            Quelched: _nothing,  # the endpoint sends none
            Unquelched: _nothing,
            DigitBegan: _any(lambda leg, event, now: leg.digit_began(event.digit, now)),
            DigitEnded: _any(
                lambda leg, event, now: leg.digit_ended(event.digit, event.duration_ms, now)
            ),
            Text: self._on_text,
            TransferAsked: _any(asked_to),
            JoinAsked: _any(asked_to_join),
        }

    @property
    def _server(self) -> Iax2Server:
        return self

    # --- listeners ---

    def add_line(self, listener: Listener, socket: Socket) -> Line:
        """A listener whose socket is bound."""
        own = self.settings.iax2
        endpoint = Endpoint(
            EndpointSettings(
                formats=FORMATS,
                max_calls=own.max_calls,
                max_calls_per_address=own.max_calls_per_address,
                max_unauthenticated_per_user=own.max_unauthenticated_per_user,
                token_life_s=own.token_life_s,
                min_refresh_s=own.min_refresh_s,
                max_refresh_s=own.max_refresh_s,
                ping_s=own.ping_s,
                transfers=True,
                trunk_ms=own.trunk_ms,
                trunk_timestamps=own.trunk_timestamps,
            ),
            self._random,
            self.authority.at(listener.pop),
            self._crypto,
        )
        line = Line(listener, endpoint, socket)
        self.lines.append(line)
        return line

    def flow_to(self, listener: str, address: str, port: int) -> Iax2Flow | None:
        """A flow of a listener by its `address:port`, for bindings of the process before."""
        for line in self.lines:
            if f"{line.listener.address}:{line.listener.port}" == listener:
                return Iax2Flow(line, address, port)
        return None

    # --- datagrams and time ---

    def begin(self) -> None:
        """A batch of datagrams begins."""
        self.ground.now = self.clock()

    def over(self) -> None:
        """A batch is over: what is due has its turn, and what came of it all is told and sent."""
        self._fresh = False
        now = self.ground.now
        at = self.next_deadline
        if at is not None and at <= now:
            self.handle_timers(now)
        if self.control.commands or any(line.endpoint.events for line in self.lines):
            self._flush()
        else:
            self.send()

    @property
    def next_deadline(self) -> float | None:
        at = self._deadlines.next
        if self._legs and self.settings.media.silence_s and (at is None or self._look_at < at):
            at = self._look_at
        for line in self.lines:
            other = line.endpoint.next_deadline
            if other is not None and (at is None or other < at):
                at = other
        return at

    def handle_timers(self, now: float) -> None:
        self.ground.now = now
        for line in self.lines:
            line.endpoint.handle_timers(now)
        for key in self._deadlines.due(now):
            leg = self._legs.get(int(key))
            if leg is not None:
                leg.reoffer(now)
        if self.settings.media.silence_s and now >= self._look_at:
            self._look_at = now + min(_DEVICE_SILENT_CHECK_S, self.settings.media.silence_s / 4)
            self._look_for_silence(now)

    def lively(self) -> bool:
        """Whether there was any sound since it was asked last."""
        before, self._frames = self._frames, sum(leg.bridge.frames for leg in self._legs.values())
        return self._frames != before

    def take_events(self) -> bool:
        """Deal with what endpoints report; True when there was something."""
        told = False
        for line in self.lines:
            while line.endpoint.events:
                told = True
                events = line.endpoint.events[:]
                line.endpoint.events.clear()
                now = self.ground.now = self.clock()
                for event in events:
                    handler = self._handlers.get(type(event))
                    if handler is not None:
                        handler(line, event, now)
        return told

    def send(self) -> None:
        for line in self.lines:
            line.send()

    def later(self, leg: Iax2Leg, seconds: float) -> None:
        """Let a leg offer again in a while."""
        self._deadlines.arm(str(id(leg)), self.clock() + seconds)

    def close(self, now: float) -> None:
        """Hang up whatever is left."""
        for line in self.lines:
            line.endpoint.close(now)
        self.send()

    def _refresh(self) -> None:
        """Take notice of changed configuration, once a batch."""
        if not self._fresh:
            self._fresh = True
            self._peers.refresh()

    def _look_for_silence(self, now: float) -> None:
        """Calls whose media has been silent both ways for too long are ended."""
        for key, leg in list(self._legs.items()):
            call = leg.leg.call
            frames = leg.bridge.frames
            other = leg.bridge.linked
            if other is not None:
                frames += other.frames
            known = self._silence.get(key)
            if known is None or known.frames != frames or call.state is not State.TALKING:
                self._silence[key] = _Silence(frames, now)
            elif now - known.since >= self.settings.media.silence_s:
                self.control.media_silent(call, now)

    # --- registration ---

    def _on_registering(self, line: Line, event: Registering, now: float) -> None:
        address, port = event.address
        account = self._peers.account_by_username(event.username)
        # What was let in elsewhere is not reached there: its calls are refused with a reason.
        if account is None or account.bounds.believes(address, line.listener.pop, "iax2"):
            return
        self.counts["register"] += 1
        self.authority.succeeded(event.address)
        self._registrar.bind(
            Binding(
                account_id=account.id,
                username=account.username,
                uri=f"iax2:{account.username}@{bracketed(address)}:{port}",
                key=f"iax2:{address}:{port}",
                call_id="",
                cseq=0,
                flow=Iax2Flow(line, address, port),
                to_source=True,
                expires_at=now + event.refresh_s,
                user_agent="IAX2",
            ),
            now,
        )

    def _on_releasing(self, line: Line, event: Releasing, now: float) -> None:
        account = self._peers.account_by_username(event.username)
        if account is not None:
            self._registrar.unbind(account.id, f"iax2:{event.address[0]}:{event.address[1]}")

    # --- in a call ---

    def _on_ended(self, line: Line, event: Ended, now: float) -> None:
        leg = event.call.tag
        event.call.tag = None
        if isinstance(leg, Iax2Leg):
            leg.ended(event, now)

    def _on_text(self, line: Line, event: Text, now: float) -> None:
        """Goes on where the other side has a place for it."""
        leg = event.call.tag
        other = leg.bridge.linked if isinstance(leg, Iax2Leg) else None
        if other is not None:
            other.call.text(now, event.text)

    def forget(self, leg: Iax2Leg) -> None:
        self._legs.pop(id(leg), None)
        self._silence.pop(id(leg), None)
        self._deadlines.disarm(str(id(leg)))

    @property
    def legs(self) -> int:
        """Live legs."""
        return len(self._legs)


def _callee(tell: Callable[[CalleeLeg, Any, float], None]) -> Callable[[Line, Any, float], None]:
    def handle(line: Line, event: Any, now: float) -> None:
        leg = event.call.tag
        if isinstance(leg, CalleeLeg) and not leg.over:
            tell(leg, event, now)

    return handle


def _any(tell: Callable[[Iax2Leg, Any, float], None]) -> Callable[[Line, Any, float], None]:
    def handle(line: Line, event: Any, now: float) -> None:
        leg = event.call.tag
        if isinstance(leg, Iax2Leg) and not leg.over:
            tell(leg, event, now)

    return handle


def _nothing(line: Line, event: Any, now: float) -> None:
    """Needs nothing of us."""
