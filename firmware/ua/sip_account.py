"""pjsua2's endpoint and accounts: what they tell, passed on to the user agent that owns them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import pjsua2 as pj

from firmware.ua.sip_leg import guarded

_FORBIDDEN = 403


class AccountOwner(Protocol):
    """The user agent. It looks at what it is told when pjsua2 has returned."""

    def registration_answer(self, server: int, registered: bool, status: int, text: str) -> None:
        """A registration was answered, or timed out."""

    def incoming(self, account: SipAccount, call_id: int, source: str, invite: str) -> None:
        """An INVITE came."""

    def message_summary(self, notify: str, source: str) -> None:
        """A NOTIFY of message-summary came."""


class SipEndpoint(pj.Endpoint):  # type: ignore[misc]
    """The library."""

    def __init__(self, gone: Callable[[], None]) -> None:
        super().__init__()
        self._gone = gone

    @guarded
    def onTransportState(self, prm: Any) -> None:
        """A connection over TCP or TLS was opened, or closed."""
        if prm.state == pj.PJSIP_TP_STATE_DISCONNECTED:
            self._gone()


class SipAccount(pj.Account):  # type: ignore[misc]
    """The registration at one server."""

    def __init__(self, agent: AccountOwner, server: int) -> None:
        super().__init__()
        self._agent = agent
        self._server = server
        self.peer = ""
        """Address and port that the server answered from; empty while not registered."""
        self.active = False
        self.unregistering = False

    @guarded
    def onRegState(self, prm: Any) -> None:
        """REGISTER was answered, or timed out."""
        self.active = bool(self.getInfo().regIsActive) and prm.code // 100 == 2
        self.peer = str(prm.rdata.srcAddress) if self.active else ""
        if self.unregistering:
            self.unregistering = self.active
            return
        self._agent.registration_answer(self._server, self.active, prm.code, prm.reason)

    @guarded
    def onIncomingCall(self, prm: Any) -> None:
        """INVITE."""
        self._agent.incoming(self, prm.callId, str(prm.rdata.srcAddress), str(prm.rdata.wholeMsg))

    @guarded
    def onMwiInfo(self, prm: Any) -> None:
        """NOTIFY of message-summary, within a subscription or without one."""
        self._agent.message_summary(str(prm.rdata.wholeMsg), str(prm.rdata.srcAddress))

    @guarded
    def onIncomingSubscribe(self, prm: Any) -> None:
        """Nobody may watch this telephone: a subscription would be state for a stranger."""
        prm.code = _FORBIDDEN
