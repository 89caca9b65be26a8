"""IAX2 user agent on `firmware.wire.iax2`: one UDP socket for registration, calls and audio.

The wire's `Endpoint` keeps the protocol; this file decides where to register (`registration`),
whose calls to accept, and what becomes of legs. Only the registrar that has us may call us.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import time
from collections.abc import Callable

from firmware.causes import (
    CALL_REJECTED,
    CONGESTION,
    NETWORK_OUT_OF_ORDER,
    NORMAL_CLEARING,
    USER_BUSY,
    Cause,
)
from firmware.config import Iax2Config, parse_iax2_server
from firmware.legs import (
    Alert,
    Answer,
    Connect,
    FarDigit,
    HangUp,
    LegAnswered,
    LegCommand,
    LegEnded,
    Offered,
    PlaceCall,
    SendDigit,
)
from firmware.ua.base import AgentEvent, RegistrationChanged
from firmware.ua.iax2_leg import FORMATS, Iax2Leg
from firmware.ua.iax2_socket import Address, Found, UdpPort, look_up
from firmware.ua.registration import Attempt, Leave, Order, Registration, RetryTimes
from firmware.wire import iax2
from firmware.wire.jitter import JitterSettings
from hal.dsp.dtmf import DIGITS

_log = logging.getLogger(__name__)

MOST_LEGS = 4
_REFRESH_SHARE = 0.75
"""Of the granted time; the rest is for retransmissions."""
_REFRESH_LEAST_S = 1.0
_FAREWELL_S = 0.3
"""After BUSY or CONGESTION the far end may still say why, in its HANGUP."""
_ACCOUNT_CAUSES = frozenset({21, 29, 57})
"""A registrar's answers that mean the account: rejected, facility rejected, not authorized."""
_REFUSED, _FAILED = 403, 503
"""What these, and all others, are to `registration`, which thinks in SIP."""
_WITHHELD_MASK = 0x60
"""Presentation bits of a number that is restricted or not available (RFC 5456, 8.6.30)."""


class Iax2Agent:
    """`firmware.ua.base.UserAgent` over IAX2.

    Args:
        config: the account and its servers.
        random: numbers from 0 to 1, for the jitter of retries.
        clock: monotonic seconds, the clock of `now_ms` too.
        trace: is shown every datagram, with True where we sent it.
    Raises:
        AgentError: encryption is configured and its package is missing.
    """

    def __init__(
        self,
        config: Iax2Config,
        random: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        trace: Callable[[bytes, Address, bool], None] | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._trace = trace
        self._servers = tuple(parse_iax2_server(text) for text in config.servers)
        times = RetryTimes(
            config.retry_least_s * 1000,
            config.retry_most_s * 1000,
            config.register_timeout_s * 1000,
            config.fallback_s * 1000,
        )
        self._plan = Registration(len(self._servers), times, random)
        self._formats = tuple(FORMATS[name] for name in config.codecs)
        self._jitter = JitterSettings(
            min_ms=config.jitter_least_ms,
            max_ms=config.jitter_most_ms,
            late_aim=config.jitter_loss_pct / 100,
            resync_ms=max(1_000, 2 * config.jitter_most_ms + 1),
        )
        self._credentials = iax2.Credentials(config.username, config.password, config.encryption)
        self._port = UdpPort(config.address, config.port)
        crypto: iax2.Crypto | None = None
        if config.encryption != "no":
            from firmware.ua.iax2_crypto import AesCbc

            crypto = AesCbc()
        self._endpoint = iax2.Endpoint(
            iax2.EndpointSettings(formats=self._formats, max_calls=2 * MOST_LEGS + 8),
            os.urandom,
            None,
            crypto,
        )
        self._lookups: dict[int, Found] = {}
        self._attempts: dict[int, iax2.Registration] = {}
        self._active: dict[int, iax2.Registration] = {}
        self._addresses: dict[int, Address] = {}
        self._refresh_at: float | None = None
        self._poke_at: float | None = None
        self._legs: dict[str, Iax2Leg] = {}
        self._events: list[AgentEvent] = []
        self._offered = 0
        self._releasing = 0
        self.strangers = 0
        """Calls that did not come from the registrar."""

    # Start and stop

    def start(self, now_ms: float) -> None:
        """See `firmware.ua.base.UserAgent`."""
        v6 = ":" in self._config.address
        self._port.open(socket.AF_INET6 if v6 else socket.AF_INET)
        self._obey(self._plan.start(now_ms), now_ms / 1000)
        self._flush()

    def stop(self, timeout_s: float) -> None:
        """See `firmware.ua.base.UserAgent`."""
        until = self._clock() + timeout_s
        now = self._clock()
        for leg in self._legs.values():
            leg.call.hang_up(now, NORMAL_CLEARING)
        self._lookups.clear()
        releasing = list(self._active.items())
        self._active.clear()
        for _, registration in releasing:
            self._endpoint.release(registration, now)
        self._flush()
        while self._endpoint.busy and self._clock() < until:
            self._wait(20)
            self._run(self._clock())
        self._port.close()

    # The loop's side

    def descriptors(self) -> tuple[int, ...]:
        """See `firmware.ua.base.UserAgent`."""
        return self._port.descriptors()

    @property
    def deadline_ms(self) -> float | None:
        """See `firmware.ua.base.UserAgent`."""
        instants = [self._endpoint.next_deadline, self._refresh_at, self._poke_at]
        instants += [leg.deadline for leg in self._legs.values()]
        first = min((one for one in instants if one is not None), default=None)
        plan_ms = self._plan.deadline_ms
        if first is None:
            return plan_ms
        return first * 1000 if plan_ms is None else min(plan_ms, first * 1000)

    def take_events(self, now_ms: float, wait_ms: int) -> list[AgentEvent]:
        """See `firmware.ua.base.UserAgent`."""
        if wait_ms:
            self._wait(wait_ms)
        self._run(self._clock() if wait_ms else now_ms / 1000)
        events, self._events = self._events, []
        return events

    def carry_out(self, command: LegCommand) -> None:
        """See `firmware.ua.base.UserAgent`."""
        now = self._clock()
        if isinstance(command, PlaceCall):
            self._place(command, now)
            self._flush()
            return
        if isinstance(command, Connect):
            return  # audio goes where `hear` and `speak` are called for
        leg = self._legs.get(command.leg)
        if leg is None or leg.gone:
            return
        if isinstance(command, Alert):
            leg.call.ringing(now)
        elif isinstance(command, Answer):
            leg.answered = True
            leg.call.answer(now)
            self._events.append(LegAnswered(leg.name))
        elif isinstance(command, HangUp):
            if leg.call.outgoing or leg.answered:
                leg.call.hang_up(now, command.q850)
            else:
                leg.call.reject(now, command.q850, _REASONS.get(command.q850, ""))
        elif isinstance(command, SendDigit):
            leg.send_digit(command.digit, self._config.dtmf == "events", command.audible)
        self._flush()

    def hear(self, leg: str) -> bytes | None:
        """See `firmware.ua.base.UserAgent`."""
        found = self._legs.get(leg)
        return found.hear() if found is not None else None

    def speak(self, leg: str, frame: bytes) -> None:
        """See `firmware.ua.base.UserAgent`."""
        found = self._legs.get(leg)
        if found is not None and not found.gone:
            found.speak(frame)
            self._flush()

    def digits_out_of_band(self, leg: str) -> bool:
        """See `firmware.ua.base.UserAgent`."""
        return self._config.dtmf == "events" and leg in self._legs

    # Input and output

    def _wait(self, wait_ms: int) -> None:
        select.select(self._port.descriptors(), (), (), wait_ms / 1000)

    def _run(self, now: float) -> None:
        """Take what has come, do what is due, send what follows."""
        endpoint = self._endpoint
        for data, source in self._port.take():
            if self._trace is not None:
                self._trace(data, source, False)
            endpoint.receive_datagram(data, source, now)
        deadline = endpoint.next_deadline
        if deadline is not None and now >= deadline:
            endpoint.handle_timers(now)
        self._take_wire_events(now)
        self._look(now)
        self._obey(self._plan.handle_timer(now * 1000), now)
        self._keep_up(now)
        for leg in list(self._legs.values()):
            if leg.deadline is not None and now >= leg.deadline:
                leg.handle_timer(now)
                if leg.ends is not None and now >= leg.ends[0]:
                    leg.call.hang_up(now, leg.ends[1].q850)
        self._take_wire_events(now)
        self._flush()

    def _flush(self) -> None:
        outgoing = self._endpoint.outgoing
        for data, address in outgoing:
            if self._trace is not None:
                self._trace(bytes(data), address, True)
            self._port.send(data, address)
        outgoing.clear()

    def _take_wire_events(self, now: float) -> None:
        events = self._endpoint.events
        while events:
            taken = list(events)
            events.clear()
            for event in taken:
                self._wire_event(event, now)

    # Registration

    def _look(self, now: float) -> None:
        for server, found in list(self._lookups.items()):
            answer = found()
            if answer is None:
                continue
            del self._lookups[server]
            if isinstance(answer, str):
                self._settle(server, False, 0, answer, now)
            else:
                self._addresses[server] = answer
                self._register(server, now)

    def _register(self, server: int, now: float) -> None:
        self._attempts[server] = self._endpoint.register(
            self._addresses[server],
            self._config.username,
            self._config.password,
            self._config.expires_s,
            now,
            tag=server,
        )

    def _keep_up(self, now: float) -> None:
        """Refresh the registration and keep the way to us open."""
        current = self._plan.current
        if current is None:
            self._refresh_at = self._poke_at = None
            return
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None  # set again by the answer
            self._register(current, now)
        if self._poke_at is not None and now >= self._poke_at:
            self._poke_at = now + self._config.keep_alive_s
            self._endpoint.poke(self._addresses[current], now)

    def _accepted(self, event: iax2.RegisterAccepted, now: float) -> None:
        registration = event.registration
        server = _server_of(registration)
        if self._attempts.get(server) is registration:
            del self._attempts[server]
        self._active[server] = registration
        self._trust()
        self._settle(server, True, 0, "", now)
        if self._plan.current != server:
            return
        self._refresh_at = now + max(_REFRESH_LEAST_S, _REFRESH_SHARE * event.refresh_s)
        if self._config.keep_alive_s and self._poke_at is None:
            self._poke_at = now + self._config.keep_alive_s

    def _refused(self, event: iax2.RegisterRefused, now: float) -> None:
        registration = event.registration
        server = _server_of(registration)
        if self._attempts.get(server) is not registration:
            return  # given up meanwhile, or a farewell that was not answered
        del self._attempts[server]
        self._active.pop(server, None)
        self._trust()
        self._settle(server, False, event.cause, event.text, now)

    def _settle(self, server: int, registered: bool, cause: int, text: str, now: float) -> None:
        before = self._plan.current
        if registered:
            orders = self._plan.registered(server, now * 1000)
        else:
            status = _REFUSED if cause in _ACCOUNT_CAUSES else _FAILED
            orders = self._plan.failed(server, status if cause else 0, now * 1000)
        after = self._plan.current
        if after != before:
            self._refresh_at = self._poke_at = None
        if after != before or (not registered and after is None):
            at = server if after is None else after
            self._events.append(
                RegistrationChanged(after is not None, str(self._servers[at]), cause, text)
            )
        self._obey(orders, now)

    def _obey(self, orders: list[Order], now: float) -> None:
        for order in orders:
            if isinstance(order, Leave):
                self._lookups.pop(order.server, None)
                self._attempts.pop(order.server, None)
                registration = self._active.pop(order.server, None)
                if registration is not None:
                    self._endpoint.release(registration, now)
                    self._trust()
            elif isinstance(order, Attempt):
                self._lookups[order.server] = look_up(self._servers[order.server])
        self._look(now)

    def _trust(self) -> None:
        """Calls come from where we are registered, and from nowhere else."""
        peers = self._endpoint.trusted_peers
        peers.clear()
        peers.update(one.address for one in self._active.values())

    # Calls

    def _place(self, command: PlaceCall, now: float) -> None:
        current = self._plan.current
        if current is None or len(self._legs) >= MOST_LEGS:
            text = "not registered" if current is None else "no leg is free"
            self._events.append(LegEnded(command.leg, Cause(NETWORK_OUT_OF_ORDER, 0, text)))
            return
        new = iax2.NewCall(
            called=command.number,
            calling=self._config.username,
            name=self._config.display_name,
            username=self._config.username,
            formats_preferred=self._formats,
            capability=sum(self._formats),
            format=self._formats[0],
            encryption=self._config.encryption != "no",
        )
        call = self._endpoint.place(
            self._addresses[current], new, now, credentials=self._credentials, tag=command.leg
        )
        self._legs[command.leg] = self._leg(command.leg, call)

    def _leg(self, name: str, call: iax2.Call) -> Iax2Leg:
        return Iax2Leg(name, call, self._jitter, self._events_of_leg, self._clock)

    def _events_of_leg(self, event: AgentEvent) -> None:
        self._events.append(event)

    def _incoming(self, call: iax2.Call, now: float) -> None:
        """NEW: offered if a registrar that has us sent it, else refused."""
        if call.address not in self._endpoint.trusted_peers:
            self.strangers += 1
            call.reject(now, CALL_REJECTED, "Not my registrar")
            return
        if self._config.encryption == "require" and not call.encrypted:
            call.reject(now, CALL_REJECTED, "Only encrypted calls")
            return
        if len(self._legs) >= MOST_LEGS:
            call.reject(now, USER_BUSY, _REASONS[USER_BUSY])
            return
        self._offered += 1
        name = f"in{self._offered}"
        call.tag = name
        self._legs[name] = self._leg(name, call)
        shown = call.new.presentation & _WITHHELD_MASK == 0
        self._events.append(
            Offered(name, call.new.calling if shown else "", call.new.name if shown else "")
        )

    def _wire_event(self, event: iax2.Event, now: float) -> None:
        if isinstance(event, iax2.CallOffered):
            self._incoming(event.call, now)
        elif isinstance(event, iax2.RegisterAccepted):
            self._accepted(event, now)
        elif isinstance(event, iax2.RegisterRefused):
            self._refused(event, now)
        elif isinstance(event, iax2.Unreachable):
            current = self._plan.current
            if current is not None and self._addresses[current] == event.address:
                self._active.pop(current, None)
                self._trust()
                self._settle(current, False, 0, "does not answer", now)
        elif isinstance(event, iax2.CALL_EVENTS):
            leg = self._legs.get(str(event.call.tag))
            if leg is not None and leg.call is event.call:
                self._call_event(leg, event, now)

    def _call_event(self, leg: Iax2Leg, event: iax2.Event, now: float) -> None:
        if isinstance(event, iax2.Ended):
            self._ended(leg, event)
        elif isinstance(event, iax2.Ringing):
            leg.progress(False)
        elif isinstance(event, iax2.Progress):
            leg.progress(True)
        elif isinstance(event, iax2.Answered):
            if not leg.answered:
                leg.answered = True
                leg.ends = None
                self._events.append(LegAnswered(leg.name))
        elif isinstance(event, iax2.Busy | iax2.Congestion):
            if not leg.answered and leg.ends is None:
                busy = isinstance(event, iax2.Busy)
                cause = Cause(USER_BUSY, 0, "busy") if busy else Cause(CONGESTION, 0, "congestion")
                leg.ends = now + _FAREWELL_S, cause
        elif isinstance(event, iax2.Hold | iax2.Unhold):
            leg.held = isinstance(event, iax2.Hold)
        elif isinstance(event, iax2.DigitBegan):
            leg.far_digit = event.digit
            self._far_digit(leg, event.digit)
        elif isinstance(event, iax2.DigitEnded):
            begun, leg.far_digit = leg.far_digit, ""
            if begun != event.digit:
                self._far_digit(leg, event.digit)

    def _far_digit(self, leg: Iax2Leg, digit: str) -> None:
        if digit in DIGITS:
            self._events.append(FarDigit(leg.name, digit))

    def _ended(self, leg: Iax2Leg, event: iax2.Ended) -> None:
        leg.gone = True
        del self._legs[leg.name]
        cause = Cause(event.cause or NORMAL_CLEARING, 0, event.text)
        if leg.ends is not None and cause.q850 == NORMAL_CLEARING:
            cause = leg.ends[1]  # a plain HANGUP after BUSY says less than BUSY did
        self._events.append(LegEnded(leg.name, cause))


_REASONS = {
    NORMAL_CLEARING: "Normal clearing",
    USER_BUSY: "User busy",
    19: "No answer",
    CALL_REJECTED: "Call rejected",
}
"""CAUSE of a refusal, by CAUSECODE."""


def _server_of(registration: iax2.Registration) -> int:
    assert isinstance(registration.tag, int), "we gave it"
    return registration.tag
