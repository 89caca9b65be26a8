"""SIP user agent on pjsua2. Signalling runs in our own loop (`threadCnt` 0).

pjsua2 keeps the protocol; this file decides where to register (`registration`), whose calls to
accept, and what becomes of legs.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pjsua2 as pj

from firmware.causes import (
    ANONYMITY_REJECTED,
    DESTINATION_OUT_OF_ORDER,
    NETWORK_OUT_OF_ORDER,
    NO_ANSWER,
    NORMAL_CLEARING,
    USER_BUSY,
    Cause,
)
from firmware.config import SipConfig, parse_server
from firmware.legs import (
    MOST_LEGS,
    Alert,
    Answer,
    CarryData,
    HangUp,
    Hold,
    LegCommand,
    LegEnded,
    LegEvent,
    Offered,
    PlaceCall,
    Redirect,
    Refer,
    SendDigit,
    SendFlash,
    TransferNews,
)
from firmware.ua.base import AgentError, AgentEvent, RegistrationChanged, SyncWanted
from firmware.ua.check_sync import overhear
from firmware.ua.emergency import CannotDial, EmergencyCalls, NoneFree
from firmware.ua.identity import alert_of, caller_of
from firmware.ua.message_summary import summary_of
from firmware.ua.registration import Attempt, Leave, Order, Registration, RetryTimes
from firmware.ua.sip_account import SipAccount, SipEndpoint
from firmware.ua.sip_leg import SipLeg
from firmware.ua.sip_port import LegPort
from firmware.ua.sip_settings import (
    TRANSPORTS,
    account_config,
    choose_codecs,
    endpoint_config,
    g711_alone,
    mark_g711,
    moved,
    operation,
    quiet,
    transport_config,
    uri,
    withhold,
)

_MOST_EVENTS_A_TURN = 64
_STATUS_OF_CAUSE = {
    USER_BUSY: 486,
    NO_ANSWER: 480,
    NORMAL_CLEARING: 480,
    DESTINATION_OUT_OF_ORDER: 480,
    ANONYMITY_REJECTED: 433,
}
_FORBIDDEN = 403
_TOO_MANY = 70_010
"""PJ_ETOOMANY: no call is free."""
_NOT_IMPLEMENTED = 501
_NO_NETWORK = 3
"""pjsua2: what had to be said has been said, do not wait for more."""


class SipAgent:
    """`firmware.ua.base.UserAgent` over SIP.

    Args:
        config: the account and its servers.
        random: numbers from 0 to 1, for the jitter of retries.
        debug: let pjsip print what it does.
        hears_sync: a NOTIFY of `check-sync` becomes an event.
    """

    def __init__(
        self,
        config: SipConfig,
        random: Callable[[], float],
        debug: bool = False,
        hears_sync: bool = False,
    ) -> None:
        self._config = config
        self._servers = tuple(parse_server(text) for text in config.servers)
        times = RetryTimes(
            config.retry_least_s * 1000,
            config.retry_most_s * 1000,
            config.register_timeout_s * 1000,
            config.fallback_s * 1000,
        )
        self._registration = Registration(len(self._servers), times, random)
        self._answers: list[tuple[int, bool, int, str]] = []
        self._disconnected = False
        self._endpoint: Any = None
        self._accounts: dict[int, SipAccount] = {}
        self._legs: dict[str, SipLeg] = {}
        self._strays: list[SipLeg] = []
        """Calls that are being refused, kept until pjsua2 is done with them."""
        self._ports: list[LegPort] = []
        self._events: list[AgentEvent] = []
        self._emergency = EmergencyCalls(self)
        self._offered = 0
        self._debug = debug
        self._hears_sync = hears_sync
        self.strangers = 0
        """INVITEs that did not come from the registrar."""

    # Start and stop

    def start(self, now_ms: float) -> None:
        """See `firmware.ua.base.UserAgent`."""
        endpoint = SipEndpoint(self.connection_gone)
        with quiet(not self._debug):
            endpoint.libCreate()
        self._endpoint = endpoint
        try:
            config = endpoint_config(self._config, self._debug)
            if self._hears_sync:
                overhear(config, self.check_sync, self._debug)
            endpoint.libInit(config)
            endpoint.audDevManager().setNullDev()
            for name in sorted({server.transport for server in self._servers} | {"udp"}):
                endpoint.transportCreate(TRANSPORTS[name], transport_config(self._config, name))
            endpoint.libStart()
        except pj.Error as error:
            self._destroy()
            where = f"{self._config.address or '*'}:{self._config.port}"
            raise AgentError(
                f"SIP cannot start at {where} ({error.reason}); check `address`, `port` and "
                "the TLS files in [sip], and that nothing else uses the port"
            ) from None
        choose_codecs(endpoint, self._config.codecs)
        self._obey(self._registration.start(now_ms))

    def stop(self, timeout_s: float) -> None:
        """See `firmware.ua.base.UserAgent`."""
        if self._endpoint is None:
            return
        until = time.monotonic() + timeout_s
        self._endpoint.hangupAllCalls()
        for account in self._accounts.values():
            if account.active:
                self._unregister(account)
        while time.monotonic() < until and (
            any(account.unregistering for account in self._accounts.values())
            or any(not leg.gone for leg in (*self._legs.values(), *self._strays))
        ):
            self._endpoint.libHandleEvents(20)
        self._destroy()

    def _destroy(self) -> None:
        """Give all of pjsua2's objects back before the library goes: else it aborts."""
        while self._legs:
            self._legs.popitem()[1].part()
        self._strays.clear()
        while self._accounts:
            self._accounts.popitem()[1].shutdown()
        self._ports.clear()
        gc.collect()  # a cycle would keep a call past the library's end
        with quiet(not self._debug):
            self._endpoint.libDestroy(_NO_NETWORK)
        self._endpoint = None

    # The loop's side

    def descriptors(self) -> tuple[int, ...]:
        """pjsua2 shows none: it is polled."""
        return ()

    @property
    def deadline_ms(self) -> float | None:
        """See `firmware.ua.base.UserAgent`."""
        return self._registration.deadline_ms

    def take_events(self, now_ms: float, wait_ms: int) -> list[AgentEvent]:
        """See `firmware.ua.base.UserAgent`."""
        handled = self._endpoint.libHandleEvents(wait_ms)
        turns = 0
        while handled > 0 and turns < _MOST_EVENTS_A_TURN:
            handled = self._endpoint.libHandleEvents(0)
            turns += 1
        for server, registered, status, text in self._answers:
            self._settle_answer(server, registered, status, text, now_ms)
        self._answers.clear()
        if self._disconnected:
            self._disconnected = False
            self._renew(now_ms)
        self._obey(self._registration.handle_timer(now_ms))
        self._bury()
        self._emergency.step()
        events = list(self._events)
        self._events.clear()  # legs hold on to this very list
        return events

    def carry_out(self, command: LegCommand) -> None:
        """See `firmware.ua.base.UserAgent`."""
        if isinstance(command, PlaceCall):
            self._place(command)
            return
        leg = self._legs.get(command.leg)
        if isinstance(command, HangUp):
            self._emergency.hung_up(command.leg)
        if leg is None or leg.gone:
            return
        try:
            if isinstance(command, Alert):
                leg.answer(operation(180))
            elif isinstance(command, Answer):
                leg.answer(operation(200))
            elif isinstance(command, HangUp):
                leg.hangup(operation(self._status_for(leg, command.q850), command.q850))
            elif isinstance(command, SendDigit):
                leg.send_digit(command.digit, self._config.dtmf == "rfc4733", command.audible)
            elif isinstance(command, SendFlash):
                leg.send_flash(command.by_info)
            elif isinstance(command, Hold):
                leg.hold(command.on)
            elif isinstance(command, CarryData):
                leg.carry_data(command.jitter_ms, command.ours)
            elif isinstance(command, Redirect):
                leg.hangup(moved(self._uri_of(command.number)))
            elif isinstance(command, Refer):
                self._refer(leg, command)
        except pj.Error as error:
            if isinstance(command, Hold | SendFlash):
                return  # a call goes on without it
            if not leg.gone:
                leg.gone = True
                self._events.append(LegEnded(leg.leg, Cause(NETWORK_OUT_OF_ORDER, 0, error.reason)))

    def _refer(self, leg: SipLeg, command: Refer) -> None:
        """Ask the far end of a leg to call somebody; who cannot even be asked has refused."""
        try:
            if command.replaces:
                leg.refer_to(self._legs.get(command.replaces))
            else:
                leg.refer(self._uri_of(command.number))
        except pj.Error:
            self._events.append(TransferNews(leg.leg, _NOT_IMPLEMENTED, refused=True))

    def _uri_of(self, number: str) -> str:
        current = self._registration.current
        return uri(number, self._servers[0 if current is None else current])

    def hear(self, leg: str) -> bytes | None:
        """See `firmware.ua.base.UserAgent`."""
        found = self._legs.get(leg)
        return found.port.hear() if found is not None and found.port is not None else None

    def speak(self, leg: str, frame: bytes) -> None:
        """See `firmware.ua.base.UserAgent`."""
        found = self._legs.get(leg)
        if found is not None:
            found.speak(frame)

    def digits_out_of_band(self, leg: str) -> bool:
        """True if digits of this leg travel as events, so must be kept out of its audio."""
        found = self._legs.get(leg)
        return found is not None and self._config.dtmf == "rfc4733" and not found.events_refused

    # What pjsua2 tells

    def registration_answer(self, server: int, registered: bool, status: int, text: str) -> None:
        """From an account's callback; looked at when pjsua2 has returned."""
        self._answers.append((server, registered, status, text))

    def connection_gone(self) -> None:
        """From the endpoint's callback; looked at when pjsua2 has returned."""
        self._disconnected = True

    def message_summary(self, notify: str, source: str) -> None:
        """A NOTIFY: believed if its source is a registrar that has us."""
        if self._config.message_waiting == "off" or source not in self._friends:
            return
        summary = summary_of(notify)
        if summary is not None:
            self._events.append(summary)

    def check_sync(self, source: str) -> None:
        """A NOTIFY of `check-sync`: obeyed if its source is a registrar that has us."""
        if source in self._friends:
            self._events.append(SyncWanted())

    @property
    def _friends(self) -> set[str]:
        """Addresses and ports of registrars that have us."""
        return {one.peer for one in self._accounts.values() if one.active and one.peer}

    def incoming(self, account: SipAccount, call_id: int, source: str, invite: str) -> None:
        """An INVITE: offered if its source is a registrar that has us, else refused."""
        if source not in self._friends:
            self.strangers += 1
            stray = SipLeg(account, "", lambda _: None, self._take_port, call_id)
            stray.hangup(operation(_FORBIDDEN))
            self._strays.append(stray)
            return
        self._offered += 1
        name = f"in{self._offered}"
        leg = SipLeg(account, name, self._events.append, self._take_port, call_id)
        self._legs[name] = leg
        caller = caller_of(invite)
        self._events.append(
            Offered(name, caller.number, caller.name, caller.withheld, alert_of(invite))
        )

    # Inner workings

    def _settle_answer(
        self, server: int, registered: bool, status: int, text: str, now_ms: float
    ) -> None:
        before = self._registration.current
        if registered:
            orders = self._registration.registered(server, now_ms)
        else:
            orders = self._registration.failed(server, status, now_ms)
        after = self._registration.current
        if after != before or (not registered and after is None):
            at = server if after is None else after
            self._events.append(
                RegistrationChanged(after is not None, str(self._servers[at]), status, text)
            )
        self._obey(orders)

    def _renew(self, now_ms: float) -> None:
        """A connection was closed: that of the registrar that has us, or an old one of another."""
        current = self._registration.current
        if current is not None and self._servers[current].transport != "udp":
            self._obey(self._registration.disconnected(current, now_ms))

    def _obey(self, orders: list[Order]) -> None:
        for order in orders:
            account = self._accounts.get(order.server)
            if isinstance(order, Leave):
                if account is not None and account.active:
                    self._unregister(account)
            elif isinstance(order, Attempt):
                self._attempt(order.server, account)

    def _attempt(self, server: int, account: SipAccount | None) -> None:
        try:
            if account is None:
                account = SipAccount(self, server)
                account.create(account_config(self._config, self._servers[server]))
                self._accounts[server] = account
            else:
                account.unregistering = False
                account.setRegistration(True)
        except pj.Error as error:
            # Not reachable, or an earlier attempt still runs: its answer or our timer decides.
            self._events.append(
                RegistrationChanged(False, str(self._servers[server]), 0, error.reason)
            )

    def _unregister(self, account: SipAccount) -> None:
        account.unregistering = True
        account.peer = ""
        try:
            account.setRegistration(False)
        except pj.Error:
            account.unregistering = False

    def _place(self, command: PlaceCall) -> None:
        current = self._registration.current
        if command.emergency:
            known = min(self._accounts, default=0) if current is None else current
            others = [one for one in range(len(self._servers)) if one != known]
            self._emergency.place(command, [known, *others])
        elif current is None or self._full:
            text = "not registered" if current is None else "no leg is free"
            self._events.append(LegEnded(command.leg, Cause(NETWORK_OUT_OF_ORDER, 0, text)))
        else:
            try:
                self._dial(command, current, self._events.append)
            except pj.Error as error:
                cause = Cause(NETWORK_OUT_OF_ORDER, 0, error.reason)
                self._events.append(LegEnded(command.leg, cause))

    def _dial(self, command: PlaceCall, server: int, emit: Callable[[LegEvent], None]) -> None:
        """Call by way of a server.

        Raises:
            pj.Error: it cannot even be tried.
        """
        leg = SipLeg(self._account(server), command.leg, emit, self._take_port)
        self._legs[command.leg] = leg
        how = operation(0)
        if command.withheld:
            withhold(how, self._config.username, self._servers[server])
        try:
            leg.makeCall(uri(command.number, self._servers[server]), how)
        except pj.Error:
            del self._legs[command.leg]
            raise

    # What emergency calls are lent

    def dial(self, command: PlaceCall, server: int) -> None:
        """See `firmware.ua.emergency.Dialler`."""
        if self._full:
            raise NoneFree
        try:
            self._dial(command, server, self._emergency.news)
        except pj.Error as error:
            raise NoneFree if error.status == _TOO_MANY else CannotDial(error.reason) from None

    def silent(self, leg: str) -> bool | None:
        """See `firmware.ua.emergency.Dialler`."""
        found = self._legs.get(leg)
        return None if found is None else not found.heard

    def abandon(self, leg: str) -> None:
        """See `firmware.ua.emergency.Dialler`."""
        found = self._legs.pop(leg)
        found.mute()
        self._strays.append(found)
        with suppress(pj.Error):
            found.hangup(operation(0))

    def tell(self, event: LegEvent) -> None:
        """See `firmware.ua.emergency.Dialler`."""
        self._events.append(event)

    def _account(self, server: int) -> SipAccount:
        """The account at a server; one that has not registered there calls all the same."""
        account = self._accounts.get(server)
        if account is None:
            account = SipAccount(self, server)
            config = account_config(self._config, self._servers[server])
            config.regConfig.registerOnAdd = False
            account.create(config)
            self._accounts[server] = account
        return account

    @property
    def _full(self) -> bool:
        """pjsua2 has no call to give."""
        return len(self._legs) + len(self._strays) >= MOST_LEGS

    def _status_for(self, leg: SipLeg, q850: int) -> int:
        """Status to refuse with; 0 (pjsua2's choice: BYE, CANCEL) where it is no refusal."""
        info = leg.getInfo()
        refusal = info.role == pj.PJSIP_ROLE_UAS and info.state < pj.PJSIP_INV_STATE_CONFIRMED
        return _STATUS_OF_CAUSE.get(q850, 480) if refusal else 0

    def _bury(self) -> None:
        """Forget legs that are gone, now that none of their callbacks runs."""
        now_s = time.monotonic()
        for leg in self._legs.values():
            leg.settle_hold(now_s)
            if leg.wants_data_offer(now_s):
                mark_g711(self._endpoint, not leg.stream_mark)
                with g711_alone(self._endpoint, self._config.codecs):
                    leg.offer_data(now_s)
        for name in [name for name, leg in self._legs.items() if leg.gone]:
            leg = self._legs.pop(name)
            if leg.port is not None:
                self._ports.append(leg.port)
                leg.port = None
        self._strays = [stray for stray in self._strays if not stray.gone]

    def _take_port(self) -> LegPort:
        return self._ports.pop() if self._ports else LegPort("leg")
