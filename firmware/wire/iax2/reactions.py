"""What the peer's frames do to a call (RFC 5456, 6.2 to 6.7), one function a frame.

Which of them are called in which state stands in `states`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from firmware.wire.iax2 import auth, events
from firmware.wire.iax2.causes import (
    BEARER_NOT_AUTHORIZED,
    BEARER_NOT_AVAILABLE,
    CALL_REJECTED,
    NORMAL_CLEARING,
)
from firmware.wire.iax2.elements import Elements, Ie
from firmware.wire.iax2.kinds import DTMF_DIGITS, Control, FrameType, Iax
from firmware.wire.iax2.offer import format_of
from firmware.wire.iax2.states import LIVE, State
from firmware.wire.iax2.voice import Statistics

if TYPE_CHECKING:
    from firmware.wire.iax2.call import Call


def on_control(call: Call, control: Control) -> None:
    if control is Control.ANSWER:
        call.go(State.UP)
    call.endpoint.events.append(_CONTROL_EVENTS[control](call))


def on_digit(call: Call, kind: int, digit: str, timestamp_ms: int) -> None:
    digit = digit.upper()
    if digit not in DTMF_DIGITS or call.state not in LIVE:
        return
    told = call.endpoint.events
    if kind == FrameType.DTMF_BEGIN:
        call.digit_down = (digit, timestamp_ms)
        told.append(events.DigitBegan(call, digit))
        return
    duration_ms = 0
    if call.digit_down is not None and call.digit_down[0] == digit:
        duration_ms = max(timestamp_ms - call.digit_down[1], 0)
    else:
        told.append(events.DigitBegan(call, digit))
    call.digit_down = None
    told.append(events.DigitEnded(call, digit, duration_ms))


def on_ping(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    pairs = call.reception().elements() if call.credit is None else []
    call.send_iax(now, Iax.PONG, pairs, timestamp_ms)


def on_pong(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    call.measured((call.clock_ms(now) - timestamp_ms) / 1000)
    call.peer_statistics = Statistics.of(elements) or call.peer_statistics


def on_lagrq(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    call.send_iax(now, Iax.LAGRP, (), timestamp_ms)


def on_lagrp(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    call.lag_ms = max(call.clock_ms(now) - timestamp_ms, 0)
    call.measured(call.lag_ms / 1000)


def on_end(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    cause = (elements.number(Ie.CAUSECODE) or 0) & 0x7F or NORMAL_CLEARING
    call.end_by_peer(now, cause, elements.text(Ie.CAUSE))


def on_reject(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    cause = (elements.number(Ie.CAUSECODE) or 0) & 0x7F or CALL_REJECTED
    call.end_by_peer(now, cause, elements.text(Ie.CAUSE))


def on_quelch(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    call.quelched, call.sending = True, False
    call.endpoint.events.append(events.Quelched(call))


def on_unquelch(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    call.quelched = False
    call.sending = call.credit is None and call.state in LIVE
    call.endpoint.events.append(events.Unquelched(call))


def on_txreq(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    other, transfer = elements.number(Ie.CALLNO), elements.number(Ie.TRANSFERID)
    if call.transfers and other is not None and transfer is not None:
        call.endpoint.events.append(events.JoinAsked(call, other, transfer))
    else:
        call.refuse_transfer(now, transfer)


def on_transfer(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    number = elements.text(Ie.CALLED_NUMBER)
    if not call.transfers:
        call.unsupported(Iax.TRANSFER, now)
    elif number:
        call.endpoint.events.append(events.TransferAsked(call, number))
    else:
        call.refuse_transfer(now)


def on_txready(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    if call.moving:
        call.endpoint.events.append(events.TransferReady(call))


def on_txrel(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    if call.released_by_peer:
        call.end_by_peer(now, NORMAL_CLEARING, "transferred")


def on_txrej(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    if call.moving:
        call.moving = False
        call.endpoint.events.append(events.TransferRefused(call, False))


def on_unsupport(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    if call.moving and elements.number(Ie.IAX_UNKNOWN) in (Iax.TRANSFER, Iax.TXREQ):
        call.moving = False
        call.endpoint.events.append(events.TransferRefused(call, True))


def on_authreq(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    """Answer a challenge (6.2.5, 6.2.6): by MD5, or not at all."""
    credentials = call.credentials
    methods = elements.number(Ie.AUTHMETHODS) or 0
    challenge = elements.text(Ie.CHALLENGE)
    if credentials is None or not methods & auth.AUTH_MD5 or not challenge:
        call.hang_up(now, BEARER_NOT_AUTHORIZED, "no way to authenticate to the peer")
        return
    if (elements.number(Ie.ENCRYPTION) or 0) & auth.ENCRYPT_AES128 and call.new.encryption:
        call.use_cipher(challenge, credentials.password)
    elif credentials.encryption == "require":
        call.hang_up(now, BEARER_NOT_AUTHORIZED, "the peer does not encrypt")
        return
    call.go(State.AUTHENTICATING)
    result = auth.response(challenge, credentials.password)
    call.send_iax(now, Iax.AUTHREP, [(Ie.MD5_RESULT, result)])


def on_accept(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    found = format_of(elements) or (call.format if Ie.FORMAT not in elements else None)
    if found is None or found not in call.endpoint.settings.formats:
        call.hang_up(now, BEARER_NOT_AVAILABLE, "Unable to negotiate codec")
        return
    wanted = call.credentials.encryption if call.credentials else "no"
    if wanted == "require" and not call.encrypted:
        call.hang_up(now, BEARER_NOT_AUTHORIZED, "the peer does not encrypt")
        return
    call.format = found
    call.go(State.ACCEPTED)
    call.sending = True
    call.endpoint.events.append(events.Accepted(call, found))


def on_authrep(call: Call, elements: Elements, timestamp_ms: int, now: float) -> None:
    access = call.access
    assert access is not None, "an answer to no challenge"
    result = elements.text(Ie.MD5_RESULT)
    if not auth.verify(call.challenge, access.secret, result):
        call.endpoint.authentication_failed(call, now)
        return
    if call.deciphered:
        call.use_cipher(call.challenge, access.secret)
    elif access.encryption == "require":
        call.refuse(now, BEARER_NOT_AUTHORIZED, "encryption required")
        return
    call.pending_cipher = None
    call.prove(now)
    call.endpoint.authenticated(call, now)


Reaction = Callable[["Call", Elements, int, float], None]

ALWAYS: dict[Iax, Reaction] = {
    Iax.PING: on_ping,
    Iax.PONG: on_pong,
    Iax.LAGRQ: on_lagrq,
    Iax.LAGRP: on_lagrp,
}
"""In any state but the last."""

EXPECTED_REACTIONS: dict[Iax, Reaction] = {
    Iax.HANGUP: on_end,
    Iax.REJECT: on_reject,
    Iax.QUELCH: on_quelch,
    Iax.UNQUELCH: on_unquelch,
    Iax.TXREQ: on_txreq,
    Iax.TRANSFER: on_transfer,
    Iax.TXREADY: on_txready,
    Iax.TXREL: on_txrel,
    Iax.TXREJ: on_txrej,
    Iax.UNSUPPORT: on_unsupport,
    Iax.AUTHREQ: on_authreq,
    Iax.AUTHREP: on_authrep,
    Iax.ACCEPT: on_accept,
}
"""Where `states.EXPECTED` has them."""

_CONTROL_EVENTS: dict[Control, Callable[[Call], events.Event]] = {
    Control.PROCEEDING: events.Proceeding,
    Control.RINGING: events.Ringing,
    Control.PROGRESS: events.Progress,
    Control.ANSWER: events.Answered,
    Control.BUSY: events.Busy,
    Control.CONGESTION: events.Congestion,
    Control.HOLD: events.Hold,
    Control.UNHOLD: events.Unhold,
    Control.FLASH: events.Flash,
}
