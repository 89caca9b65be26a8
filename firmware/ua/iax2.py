"""IAX2 user agent on `firmware.wire.iax2`: one UDP socket for registration, calls and audio.

The wire's `Endpoint` keeps the protocol, `iax2_registrant` has us registered; this file decides
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
from firmware.config import Iax2Config
from firmware.legs import (
    MOST_LEGS,
    Alert,
    Answer,
    CarryData,
    FarDigit,
    HangUp,
    Hold,
    LegAnswered,
    LegCommand,
    LegEnded,
    LegEvent,
    Offered,
    PlaceCall,
    Refer,
    SendDigit,
    SendFlash,
    TransferNews,
)
from firmware.ua.base import AgentError, AgentEvent
from firmware.ua.emergency import CannotDial, EmergencyCalls, NoneFree
from firmware.ua.iax2_leg import FORMATS, Iax2Leg
from firmware.ua.iax2_registrant import Registrant
from firmware.ua.iax2_socket import Address, UdpPort
from firmware.wire import iax2
from firmware.wire.jitter import JitterSettings
from hal.dsp.dtmf import DIGITS

_log = logging.getLogger(__name__)

_FAREWELL_S = 0.3
"""After BUSY or CONGESTION the far end may still say why, in its HANGUP."""
_OK, _FAILED = 200, 480
"""What a transfer's news say, in SIP's words."""
_PRESENTATION_MASK = 0x60
_RESTRICTED = 0x20
"""Presentation bits of a number; what else there is in them means: not available (8.6.30)."""


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
        authority: iax2.Authority | None = None
        if config.encryption != "no":
            crypto = _aes()
            authority = self
        self._endpoint = iax2.Endpoint(
            iax2.EndpointSettings(formats=self._formats, max_calls=2 * MOST_LEGS + 8),
            os.urandom,
            authority,
            crypto,
        )
        self._registrant = Registrant(config, self._endpoint, random, self._emit)
        self._legs: dict[str, Iax2Leg] = {}
        self._events: list[AgentEvent] = []
        self._emergency = EmergencyCalls(self)
        self._offered = 0
        self._transfers = 0
        self.strangers = 0
        """Calls that did not come from the registrar."""

    # Start and stop

    def start(self, now_ms: float) -> None:
        """See `firmware.ua.base.UserAgent`."""
        v6 = ":" in self._config.address
        self._port.open(socket.AF_INET6 if v6 else socket.AF_INET)
        self._registrant.start(now_ms / 1000)
        self._flush()

    def stop(self, timeout_s: float) -> None:
        """See `firmware.ua.base.UserAgent`."""
        until = self._clock() + timeout_s
        now = self._clock()
        for leg in self._legs.values():
            leg.call.hang_up(now, NORMAL_CLEARING)
        self._registrant.leave(now)
        self._flush()
        while (self._legs or self._registrant.leaving) and self._clock() < until:
            self._wait(20)
            self._take(self._clock())
        self._port.close()

    # Authority of the endpoint, where calls are to be encrypted: keys come from a challenge

    def access(self, username: str, address: Address, purpose: iax2.Purpose) -> iax2.Access:
        """The registrar may call us; it shows our password where the call shall be encrypted."""
        config = self._config
        if purpose != "call" or address not in self._endpoint.trusted_peers:
            return iax2.Access("refuse")
        if config.encryption == "require" or username == config.username:
            return iax2.Access(
                "md5", secret=config.password, token="no", encryption=config.encryption
            )
        return iax2.Access("address", token="no")

    def failed(self, username: str, address: Address, now: float) -> None:
        """The registrar does not know our password: nobody is locked out for that."""
        _log.warning("call with a wrong password", extra={"address": address[0]})

    def refresh(self, username: str, asked_s: int) -> int:
        """Nobody registers here."""
        return asked_s

    def messages(self, username: str) -> tuple[int, int] | None:
        """Nobody registers here."""
        return None

    # The loop's side

    def descriptors(self) -> tuple[int, ...]:
        """See `firmware.ua.base.UserAgent`."""
        return self._port.descriptors()

    @property
    def deadline_ms(self) -> float | None:
        """See `firmware.ua.base.UserAgent`."""
        instants = [self._endpoint.next_deadline, self._registrant.deadline]
        instants += [leg.deadline for leg in self._legs.values()]
        first = min((one for one in instants if one is not None), default=None)
        return None if first is None else first * 1000

    def take_events(self, now_ms: float, wait_ms: int) -> list[AgentEvent]:
        """See `firmware.ua.base.UserAgent`."""
        if wait_ms:
            self._wait(wait_ms)
        self._run(self._clock() if wait_ms else now_ms / 1000)
        happened, self._events = self._events, []
        for event in happened:
            if isinstance(event, LegEvent):
                self._emergency.news(event)
            else:
                self._events.append(event)
        self._emergency.step()
        self._flush()
        events, self._events = self._events, []
        return events

    def carry_out(self, command: LegCommand) -> None:
        """See `firmware.ua.base.UserAgent`."""
        now = self._clock()
        if isinstance(command, PlaceCall):
            self._place(command, now)
            self._flush()
            return
        leg = self._legs.get(command.leg)
        if isinstance(command, HangUp):
            self._emergency.hung_up(command.leg)
        if leg is None or leg.gone:
            return
        if isinstance(command, Alert):
            leg.call.ringing(now)
        elif isinstance(command, Answer):
            leg.answered = True
            leg.call.answer(now)
            self._events.append(LegAnswered(leg.name))
        elif isinstance(command, HangUp):
            if leg.ready:
                leg.call.release(now)
            elif leg.call.outgoing or leg.answered:
                leg.call.hang_up(now, command.q850)
            else:
                leg.call.reject(now, command.q850, _REASONS.get(command.q850, ""))
        elif isinstance(command, SendDigit):
            leg.send_digit(command.digit, self._config.dtmf == "events", command.audible)
        elif isinstance(command, SendFlash):
            leg.call.flash(now)
        elif isinstance(command, Hold):
            leg.hold(command.on, now)
        elif isinstance(command, CarryData):
            leg.carry_data(command.jitter_ms, self._formats)
        elif isinstance(command, Refer):
            self._refer(leg, command, now)
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
        self._take(now)
        self._registrant.run(now)
        for leg in list(self._legs.values()):
            if leg.deadline is not None and now >= leg.deadline:
                leg.handle_timer(now)
                if leg.ends is not None and now >= leg.ends[0]:
                    leg.call.hang_up(now, leg.ends[1].q850)
        self._take_wire_events(now)
        self._flush()

    def _take(self, now: float) -> None:
        endpoint = self._endpoint
        for data, source in self._port.take():
            if self._trace is not None:
                self._trace(data, source, False)
            endpoint.receive_datagram(data, source, now)
        deadline = endpoint.next_deadline
        if deadline is not None and now >= deadline:
            endpoint.handle_timers(now)
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

    # Calls

    def _place(self, command: PlaceCall, now: float) -> None:
        if command.emergency:
            self._emergency.place(command, self._registrant.servers)
            return
        server = self._registrant.address
        if server is None or len(self._legs) >= MOST_LEGS:
            text = "not registered" if server is None else "no leg is free"
            self._events.append(LegEnded(command.leg, Cause(NETWORK_OUT_OF_ORDER, 0, text)))
            return
        self._call(command, server, now)

    def _call(self, command: PlaceCall, server: Address, now: float) -> None:
        new = iax2.NewCall(
            called=command.number,
            calling=self._config.username,
            name=self._config.display_name,
            username=self._config.username,
            formats_preferred=self._formats,
            capability=sum(self._formats),
            format=self._formats[0],
            encryption=self._config.encryption != "no",
            presentation=_RESTRICTED if command.withheld else 0,
        )
        call = self._endpoint.place(
            server, new, now, credentials=self._credentials, tag=command.leg
        )
        self._legs[command.leg] = self._leg(command.leg, call)

    # What emergency calls are lent

    def dial(self, command: PlaceCall, server: int) -> None:
        """See `firmware.ua.emergency.Dialler`. A leg more than others have is always free."""
        address = self._registrant.reach(server)
        if address is None:
            raise NoneFree
        if isinstance(address, str):
            raise CannotDial(address)
        self._call(command, address, self._clock())

    def silent(self, leg: str) -> bool | None:
        """See `firmware.ua.emergency.Dialler`."""
        found = self._legs.get(leg)
        return None if found is None else not found.call.peer_number

    def abandon(self, leg: str) -> None:
        """See `firmware.ua.emergency.Dialler`."""
        self._legs.pop(leg).call.hang_up(self._clock(), NORMAL_CLEARING)

    def tell(self, event: LegEvent) -> None:
        """See `firmware.ua.emergency.Dialler`."""
        self._events.append(event)

    # Transfers: TRANSFER to a number, TXREQ between two calls (RFC 5456, 6.4 and 6.5)

    def _refer(self, leg: Iax2Leg, command: Refer, now: float) -> None:
        """Ask the server; what it cannot be asked counts as refused."""
        if not command.replaces:
            leg.call.transfer_to(now, command.number)
            return
        second = self._legs.get(command.replaces)
        if second is None or second.gone or second.call.address != leg.call.address:
            self._events.append(TransferNews(leg.name, 0, refused=True))
            return
        self._transfers += 1
        leg.second, second.first = second, leg
        leg.call.join_to(now, second.call, self._transfers)
        second.call.join_to(now, leg.call, self._transfers)

    def _transfer_refused(self, leg: Iax2Leg, unsupported: bool) -> None:
        """The pair stays joined here; after a blind one that failed its far end comes back."""
        first = leg.first or leg
        second, first.second = first.second, None
        joins = second is not None
        if second is not None:
            second.first = None
        self._events.append(
            TransferNews(first.name, 0 if joins or unsupported else _FAILED, joins or unsupported)
        )

    def _transfer_ready(self, leg: Iax2Leg) -> None:
        leg.ready = True
        first = leg.first or leg
        if first.ready and first.second is not None and first.second.ready:
            self._events.append(TransferNews(first.name, _OK))

    def _leg(self, name: str, call: iax2.Call) -> Iax2Leg:
        return Iax2Leg(name, call, self._jitter, self._emit, self._clock)

    def _emit(self, event: AgentEvent) -> None:
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
        hidden = call.new.presentation & _PRESENTATION_MASK
        if hidden:
            self._events.append(Offered(name, "", withheld=hidden == _RESTRICTED))
        else:
            self._events.append(Offered(name, call.new.calling, call.new.name))

    def _wire_event(self, event: iax2.Event, now: float) -> None:
        if isinstance(event, iax2.CallOffered):
            self._incoming(event.call, now)
        elif not self._registrant.handle(event, now):
            call = getattr(event, "call", None)
            leg = self._legs.get(str(call.tag)) if call is not None else None
            if leg is not None and leg.call is call:
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
        elif isinstance(event, iax2.TransferReady):
            self._transfer_ready(leg)
        elif isinstance(event, iax2.TransferRefused):
            self._transfer_refused(leg, event.unsupported)
        elif isinstance(event, iax2.DigitBegan) and event.digit in DIGITS:
            self._events.append(FarDigit(leg.name, event.digit))

    def _ended(self, leg: Iax2Leg, event: iax2.Ended) -> None:
        leg.gone = True
        _log.info("audio", extra={"leg": leg.name, **leg.report()})
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


def _aes() -> iax2.Crypto:
    """AES for encrypted calls.

    Raises:
        AgentError: the package for it is not installed.
    """
    try:
        from firmware.aes import AesCbc
    except ImportError:
        raise AgentError(
            "encryption of IAX2 calls needs the package `cryptography`; install it with "
            "`pip install 'loopstart[encryption]'`, or write `encryption = \"no\"` in [iax2]"
        ) from None
    return AesCbc()
