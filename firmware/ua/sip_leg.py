"""One SIP call as a leg: pjsua2's `Call`. Its callbacks run inside `libHandleEvents`, so on our own
thread."""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Callable
from typing import Any

import pjsua2 as pj

from firmware.causes import cause_of_status
from firmware.legs import FarDigit, LegAnswered, LegEnded, LegEvent, Progress, TransferNews
from firmware.ua.sip_port import LegPort
from firmware.ua.sip_settings import no_discard
from hal.dsp.dtmf import DIGITS, DtmfSender

_log = logging.getLogger(__name__)
_EVENT_MS = 100
"""Length of a digit that is sent as RFC 4733 event."""
_REASON = re.compile(
    r"^Reason[ \t]*:[^\r\n]*?\bQ\.850\b[^\r\n,]*?;[ \t]*cause[ \t]*=[ \t]*(\d{1,3})", re.I | re.M
)
_HAS_AUDIO = re.compile(r"^m=audio [1-9]", re.M)
_LONGEST_HEADERS = 65_536
_FORBIDDEN = 403
_FLASH = "R"
"""pjsua2's name of RFC 4733 event 16."""
_OFFER_AGAIN_S = 2.1
"""After a re-INVITE that met another: whose call it is waits 2.1 to 4 s (RFC 3261, 14.1)."""
_THEIR_OFFER_S = 1.5
"""Whose far end showed a modem first leaves it so long to ask for G.711 itself."""
_MOST_DATA_OFFERS = 3
_DATA_MOST_MS = 600
_G711 = ("PCMU", "PCMA")
_NOT_ACCEPTABLE = 488
_CROSSED = 491
_OFFER_PAUSE_S = 0.1
_OK = 200
_ANSWERED_STATES = (pj.PJSIP_TSX_STATE_PROCEEDING, pj.PJSIP_TSX_STATE_COMPLETED)
_REDIRECTED = 300


def q850_of(message: str) -> int | None:
    """The Q.850 cause in a message's `Reason` header (RFC 3326), if there is one."""
    headers = message[:_LONGEST_HEADERS].partition("\r\n\r\n")[0]
    found = _REASON.search(headers)
    return int(found[1]) if found else None


Callback = Callable[[Any, Any], None]


def guarded(callback: Callback) -> Callback:
    """Keep an exception out of C++: it would end the process, and a call is not worth that."""

    @functools.wraps(callback)
    def careful(self: Any, prm: Any) -> None:
        try:
            callback(self, prm)
        except Exception:
            _log.exception("callback failed", extra={"callback": callback.__name__})

    return careful


class SipLeg(pj.Call):  # type: ignore[misc]
    """One call.

    Args:
        account: pjsua2 account that it belongs to.
        leg: its name.
        emit: takes what happens to it.
        take_port: lends a port when media start.
        call_id: pjsua2's number of an incoming call.
    """

    def __init__(
        self,
        account: Any,
        leg: str,
        emit: Callable[[LegEvent], None],
        take_port: Callable[[], LegPort],
        call_id: int = -1,
    ) -> None:
        super().__init__(account, call_id)
        self.leg = leg
        self.port: LegPort | None = None
        self.gone = False
        self.events_refused = False
        """The far end takes no RFC 4733 events: digits go in-band."""
        self.heard = False
        """The far end has answered a request of ours, if only by 100 or 401."""
        self._emit = emit
        self._take_port = take_port
        self._answered = False
        self._reason: int | None = None
        self._inband: DtmfSender | None = None
        self._wants_hold = False
        self._said_hold = False
        self._offer_at_s = 0.0
        self._referred = False
        self._jitter_ms = 0
        """Of a data call; 0: it is speech."""
        self._data_offers = 0
        self._data_offering = False
        self._data_offer_at_s = 0.0
        self._data_stream = False
        """The stream at hand has been made for data."""
        self.stream_mark = False
        """See `mark_g711`."""

    def mute(self) -> None:
        """Nobody minds any more what happens to it."""
        self._emit = lambda _: None

    # pjsua2's callbacks

    @guarded
    def onCallState(self, prm: Any) -> None:
        """The dialog went on."""
        info = self.getInfo()
        state = info.state
        if state == pj.PJSIP_INV_STATE_EARLY:
            if info.role == pj.PJSIP_ROLE_UAC and info.lastStatusCode in (180, 181, 182):
                self._emit(Progress(self.leg, self.port is not None))
        elif state in (pj.PJSIP_INV_STATE_CONNECTING, pj.PJSIP_INV_STATE_CONFIRMED):
            if not self._answered:
                self._answered = True
                self._emit(LegAnswered(self.leg))
        elif state == pj.PJSIP_INV_STATE_DISCONNECTED and not self.gone:
            self.gone = True
            self._note_reason(prm)
            status = info.lastStatusCode
            self._emit(LegEnded(self.leg, cause_of_status(status, self._reason, info.lastReason)))

    @guarded
    def onCallTsxState(self, prm: Any) -> None:
        """A request or response of the call went by: it may say why the call ends."""
        self._note_reason(prm)
        event = prm.e
        if event.type != pj.PJSIP_EVENT_TSX_STATE:
            return
        tsx = event.body.tsxState.tsx
        if tsx.role == pj.PJSIP_ROLE_UAC and tsx.state in _ANSWERED_STATES:
            self.heard = True
        if not self._answered:
            return
        if tsx.role != pj.PJSIP_ROLE_UAC or tsx.state != pj.PJSIP_TSX_STATE_COMPLETED:
            return
        if tsx.method == "REFER" and tsx.statusCode >= _REDIRECTED and self._referred:
            self._referred = False
            self._emit(TransferNews(self.leg, tsx.statusCode, refused=True))
        elif tsx.method == "INVITE" and tsx.statusCode == _CROSSED and self._data_offering:
            self._data_offering = False
            self._data_offer_at_s = time.monotonic() + _OFFER_AGAIN_S
        elif tsx.method == "INVITE" and tsx.statusCode == _CROSSED:
            self._said_hold = not self._wants_hold
            self._offer_at_s = time.monotonic() + _OFFER_AGAIN_S

    @guarded
    def onCallMediaState(self, prm: Any) -> None:
        """Audio starts, stops or changes."""
        info = self.getInfo()
        active = (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD)
        usable = any(
            media.type == pj.PJMEDIA_TYPE_AUDIO and media.status in active for media in info.media
        )
        if not usable:
            return
        if self.port is None:
            self.port = self._take_port()
            self.port.clear()
        if self._jitter_ms:
            self.port.carry_data()
        audio = self.getAudioMedia(-1)
        audio.startTransmit(self.port)
        self.port.startTransmit(audio)
        if info.state == pj.PJSIP_INV_STATE_EARLY and info.role == pj.PJSIP_ROLE_UAC:
            self._emit(Progress(self.leg, True))

    @guarded
    def onStreamPreCreate(self, prm: Any) -> None:
        """An audio stream is about to be made: of a data call, with a buffer of one length."""
        info = prm.streamInfo
        self._data_stream = bool(self._jitter_ms) and info.codecName in _G711
        self.stream_mark = bool(info.audCodecParam.setting.penh)
        if self._jitter_ms:
            info.jbInit = info.jbMinPre = info.jbMaxPre = self._jitter_ms
            info.jbMax = _DATA_MOST_MS
            info.jbDiscardAlgo = no_discard()

    @guarded
    def onStreamDestroyed(self, prm: Any) -> None:
        """An audio stream goes, because the call ends or new audio was agreed."""
        self._report()

    @guarded
    def onCallRxOffer(self, prm: Any) -> None:
        """A re-INVITE. Who wants T.38 hears that there is none, and the fax goes on as audio."""
        if not _HAS_AUDIO.search(str(prm.offer.wholeSdp)):
            prm.statusCode = _NOT_ACCEPTABLE
            _log.info("offer without audio refused", extra={"leg": self.leg, "status": 488})

    @guarded
    def onDtmfDigit(self, prm: Any) -> None:
        """The far end sent a digit by RFC 4733."""
        digit = str(prm.digit).upper()
        if digit in DIGITS:
            self._emit(FarDigit(self.leg, digit))

    @guarded
    def onCallTransferStatus(self, prm: Any) -> None:
        """NOTIFY of a transfer that we have asked for: what became of it (RFC 3515, 2.4.5)."""
        if not self._referred:
            return
        if prm.statusCode >= _OK:
            self._referred = False
        self._emit(TransferNews(self.leg, prm.statusCode))

    @guarded
    def onCallTransferRequest(self, prm: Any) -> None:
        """REFER: the far end may not make this telephone call whom it likes, at its expense."""
        prm.statusCode = _FORBIDDEN

    @guarded
    def onCallReplaceRequest(self, prm: Any) -> None:
        """INVITE with Replaces: nobody takes over a call."""
        prm.statusCode = _FORBIDDEN

    # What the agent asks for

    def send_digit(self, digit: str, out_of_band: bool, audible: bool) -> None:
        """Send a digit as event, or in-band where that is wanted or all there is."""
        if out_of_band and not self.events_refused:
            wanted = pj.CallSendDtmfParam()
            wanted.method = pj.PJSUA_DTMF_METHOD_RFC2833
            wanted.duration = _EVENT_MS
            wanted.digits = digit
            try:
                self.sendDtmf(wanted)
                return
            except pj.Error:
                self.events_refused = True
                audible = False  # it was kept out of the audio, for the event's sake
        if not audible:
            self._inband = self._inband or DtmfSender()
            self._inband.send(digit)

    def send_flash(self, by_info: bool) -> None:
        """Tell the far end of a flash.

        Raises:
            pj.Error: it cannot be told so.
        """
        if by_info:
            request = pj.CallSendRequestParam()
            request.method = "INFO"
            request.txOption.contentType = "application/hook-flash"
            request.txOption.msgBody = "signal=hf\r\n"
            self.sendRequest(request)
            return
        wanted = pj.CallSendDtmfParam()
        wanted.method = pj.PJSUA_DTMF_METHOD_RFC2833
        wanted.duration = _EVENT_MS
        wanted.digits = _FLASH
        self.sendDtmf(wanted)

    def hold(self, on: bool) -> None:
        """Put the far end on hold, or take it off, as soon as no other offer is on its way."""
        self._wants_hold = on
        self.settle_hold(time.monotonic())

    def settle_hold(self, now_s: float) -> None:
        """Offer what is wanted of the audio, where that has not been done or did not succeed."""
        if self._wants_hold == self._said_hold or self.gone or now_s < self._offer_at_s:
            return
        if self.getInfo().state != pj.PJSIP_INV_STATE_CONFIRMED:
            return
        try:
            if self._wants_hold:
                self.setHold(pj.CallOpParam(True))
            else:
                operation = pj.CallOpParam(True)
                operation.opt.flag = pj.PJSUA_CALL_UNHOLD
                self.reinvite(operation)
            self._said_hold = self._wants_hold
        except pj.Error:
            self._offer_at_s = now_s + _OFFER_PAUSE_S  # an offer is on its way, either way

    def carry_data(self, jitter_ms: int, ours: bool) -> None:
        """A fax machine or modem is on it: G.711 and a buffer of one length from now on.

        pjmedia's buffer can be set when a stream is made and not later, so that a re-INVITE is
        needed even where the codec is right.
        """
        self._jitter_ms = jitter_ms
        self._data_offer_at_s = time.monotonic() + (0.0 if ours else _THEIR_OFFER_S)

    def wants_data_offer(self, now_s: float) -> bool:
        """True while the audio is not yet as a data call needs it, and it is time to ask."""
        return (
            self._jitter_ms > 0
            and not self._data_stream
            and self._answered
            and not self.gone
            and self._data_offers < _MOST_DATA_OFFERS
            and now_s >= self._data_offer_at_s
        )

    def offer_data(self, now_s: float) -> None:
        """Ask the far end for new audio. The caller sees to it that G.711 alone is offered."""
        self._data_offer_at_s = now_s + _OFFER_PAUSE_S
        if self.getInfo().state != pj.PJSIP_INV_STATE_CONFIRMED:
            return
        try:
            self.reinvite(pj.CallOpParam(True))
        except pj.Error:
            return  # an offer is on its way, either way
        self._data_offers += 1
        self._data_offering = True
        self._data_offer_at_s = now_s + _OFFER_AGAIN_S

    def refer(self, uri: str) -> None:
        """Ask the far end to call an address (RFC 3515).

        Raises:
            pj.Error: it cannot be asked.
        """
        self._referred = True
        self.xfer(f"<{uri}>", pj.CallOpParam(True))

    def refer_to(self, other: SipLeg | None) -> None:
        """Ask the far end to take another leg's place (RFC 3891).

        Raises:
            pj.Error: it cannot be asked.
        """
        if other is None or other.gone:
            return
        self._referred = True
        self.xferReplaces(other, pj.CallOpParam(True))

    def speak(self, frame: bytes) -> None:
        """One frame for the far end; digits that go in-band go before it."""
        if self.port is None:
            return
        if self._inband is not None:
            digits = self._inband.frame()
            if digits is None:
                self._inband = None
            else:
                frame = digits
        self.port.speak(frame)

    def part(self) -> None:
        """Cut the port loose before it is lent to another call."""
        if self.port is None or self.gone:
            return
        try:
            audio = self.getAudioMedia(-1)
            audio.stopTransmit(self.port)
            self.port.stopTransmit(audio)
        except pj.Error:
            pass  # the call took its end of the connection with it

    def _report(self) -> None:
        """How the far end was heard, for the log."""
        try:
            seen = self.getStreamStat(0)
        except pj.Error:
            return  # there has been no audio
        heard, buffer = seen.rtcp.rxStat, seen.jbuf
        detail = {
            "received": heard.pkt,
            "lost": heard.loss,
            "late": heard.discard + buffer.discard,
            "empty": buffer.empty,
            "delay_ms": buffer.avgDelayMsec,
        }
        if self._data_stream and self.port is not None:
            detail |= {"starved": self.port.starved, "dropped": self.port.dropped}
        _log.info("audio", extra={"leg": self.leg, **detail})

    def _note_reason(self, prm: Any) -> None:
        event = prm.e
        if event.type != pj.PJSIP_EVENT_TSX_STATE:
            return
        source = event.body.tsxState
        if source.type == pj.PJSIP_EVENT_RX_MSG:
            cause = q850_of(source.src.rdata.wholeMsg)
            if cause is not None:
                self._reason = cause
