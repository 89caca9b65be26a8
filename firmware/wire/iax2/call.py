"""One call: what its user may do, and what the peer's frames do (RFC 5456, 6.2 to 6.7)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from firmware.wire.errors import PeerError
from firmware.wire.iax2 import auth, events
from firmware.wire.iax2 import settings as limits
from firmware.wire.iax2.auth import Access, Credentials
from firmware.wire.iax2.causes import (
    CONGESTED,
    NETWORK_OUT_OF_ORDER,
    NORMAL_CLEARING,
    TEMPORARY_FAILURE,
    USER_BUSY,
    cause_elements,
)
from firmware.wire.iax2.crypto import FrameCipher
from firmware.wire.iax2.elements import Elements, Ie, Value
from firmware.wire.iax2.formats import Format
from firmware.wire.iax2.frames import FULL, MAX_CALL_NUMBER, Iax2PeerError
from firmware.wire.iax2.kinds import DTMF_DIGITS, UNSUPPORTED, Control, FrameType, Iax
from firmware.wire.iax2.offer import NewCall
from firmware.wire.iax2.reactions import ALWAYS, EXPECTED_REACTIONS, on_control, on_digit
from firmware.wire.iax2.states import CONTROLS, EXPECTED, LIVE, State
from firmware.wire.iax2.transfers import Transfers
from firmware.wire.iax2.voice import Statistics

if TYPE_CHECKING:
    from firmware.wire.iax2.endpoint import Endpoint

_SUBCLASSES = frozenset(map(int, Iax))
_CONTROLS = frozenset(map(int, Control))
_CLEAR = frozenset(
    (Iax.NEW, Iax.ACK, Iax.INVAL, Iax.HANGUP, Iax.REJECT, Iax.VNAK, Iax.PING, Iax.LAGRQ,
     Iax.AUTHREP)
)  # fmt: skip
"""What may come in clear while an encrypted AUTHREP is waited for."""
_ENCIPHERED = frozenset((Iax.AUTHREP, Iax.HANGUP, Iax.ACK))
MAX_TEXT_OCTETS = 1024


class Call(Transfers):
    """A call of an endpoint, made by `Endpoint.place` or told of by `CallOffered`.

    `tag` is the user's own. `voice_sink` is called with the time (32 bits, milliseconds, in the
    peer's clock), the octets and the format of each voice frame, in the order of arrival.
    Methods of a call that has ended do nothing.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        address: tuple[str, int],
        now: float,
        new: NewCall,
        outgoing: bool,
        credit: int | None = None,
    ) -> None:
        super().__init__(endpoint, address, now, credit)
        self.new = new
        self.outgoing = outgoing
        self.tag: object = None
        self.username = ""
        self.credentials: Credentials | None = None
        self.access: Access | None = None
        self.challenge = ""
        self.format = new.format or Format(0)
        self.encrypted = False
        self.trunk = False
        self.state = State.CALLING if outgoing else State.CHALLENGED
        self.peer_statistics: Statistics | None = None
        self.lag_ms: int | None = None
        self._init_voice()
        self.quelched = False
        self.pending_cipher: FrameCipher | None = None
        self.deciphered = False
        self._owed_hangup: list[tuple[int, Value]] | None = None
        self.digit_down: tuple[str, int] | None = None
        self._init_transfers()
        self._expires_at = inf if outgoing else now + limits.UNAUTHENTICATED_S
        self._forget_at = inf
        self._ping_at = now + endpoint.settings.ping_s
        self._lag_at = now + endpoint.settings.lag_s

    # What the user may do

    @property
    def rtt_ms(self) -> int | None:
        """Measured round trip, None before the first."""
        return None if self.rtt_s is None else int(self.rtt_s * 1000)

    @property
    def takes_clear_trunk(self) -> bool:
        """Whether audio in clear is taken for an encrypted call. chan_iax2 never encrypts what it
        sends in trunk frames; who does not insist on encryption hears it."""
        if not self.trunk:
            return False
        if self.access is not None:
            return self.access.encryption != "require"
        return self.credentials is not None and self.credentials.encryption != "require"

    @property
    def statistics(self) -> Statistics:
        """Reception here; `peer_statistics` is what the peer told last of its own."""
        return self.reception()

    def accept(self, now: float, format: Format | None = None) -> None:
        """Take an offered call on (ACCEPT), in the format agreed, or another that both have."""
        if self.state is not State.OFFERED:
            return
        if format is not None:
            self.format = format
        pairs: list[tuple[int, Value]] = [
            (Ie.FORMAT, int(self.format) & 0x7FFFFFFF),
            (Ie.FORMAT2, int(self.format)),
        ]
        self.go(State.ACCEPTED)
        self.send_iax(now, Iax.ACCEPT, pairs)
        self.sending = self.credit is None
        self.endpoint.arm(self)

    def proceeding(self, now: float) -> None:
        """Tell the caller that the call is being set up."""
        self._indicate(now, Control.PROCEEDING)

    def ringing(self, now: float) -> None:
        """Tell the caller that it rings."""
        self._indicate(now, Control.RINGING)

    def progress(self, now: float) -> None:
        """Tell the caller that there is audio to be heard before the answer."""
        self._indicate(now, Control.PROGRESS)

    def answer(self, now: float) -> None:
        """Answer."""
        if self.state is not State.UP:
            self._indicate(now, Control.ANSWER)
            if self.state is State.ACCEPTED:
                self.go(State.UP)

    def busy(self, now: float) -> None:
        """Tell the caller that the called party is busy; `hang_up` is still to come."""
        self._indicate(now, Control.BUSY)

    def congestion(self, now: float) -> None:
        """Tell the caller of congestion; `hang_up` is still to come."""
        self._indicate(now, Control.CONGESTION)

    def _indicate(self, now: float, control: Control) -> None:
        self.accept(now)
        if self.state in LIVE and not self.outgoing:
            self._control(now, control)

    def _control(self, now: float, control: Control) -> None:
        if self.state in LIVE:
            self.send_full(now, FrameType.CONTROL, control, b"")
            self.endpoint.arm(self)

    def reject(self, now: float, cause: int, text: str = "") -> None:
        """Refuse an offered call; after ACCEPT by busy or congestion where apt, and HANGUP."""
        if self.state is State.OFFERED:
            self.send_iax(now, Iax.REJECT, cause_elements(cause, text))
            self._end(now, cause, text, by_peer=False)
            return
        if self.state is State.ACCEPTED and not self.outgoing:
            if cause == USER_BUSY:
                self._control(now, Control.BUSY)
            elif cause in CONGESTED:
                self._control(now, Control.CONGESTION)
        self.hang_up(now, cause, text)

    def hang_up(self, now: float, cause: int = NORMAL_CLEARING, text: str = "") -> None:
        """End the call with a Q.850 cause."""
        if self.state is State.OFFERED:
            self.reject(now, cause, text)
        elif not self.ended:
            pairs = cause_elements(cause, text)
            if self.peer_number:
                self.send_iax(now, Iax.HANGUP, pairs)
            else:
                # Whether the peer has the NEW shows when it answers.
                self.drop_unacked()
                self._owed_hangup = pairs
            self._end(now, cause, text, by_peer=False)

    def hold(self, now: float) -> None:
        """Put the peer on hold."""
        self._control(now, Control.HOLD)

    def unhold(self, now: float) -> None:
        """Take the peer off hold."""
        self._control(now, Control.UNHOLD)

    def flash(self, now: float) -> None:
        """Flash the hook towards the peer."""
        self._control(now, Control.FLASH)

    def quelch(self, now: float) -> None:
        """Ask the peer to send no audio (6.6.1)."""
        if self.state in LIVE:
            self.send_iax(now, Iax.QUELCH)
            self.endpoint.arm(self)

    def unquelch(self, now: float) -> None:
        """Ask the peer for audio again (6.6.2)."""
        if self.state in LIVE:
            self.send_iax(now, Iax.UNQUELCH)
            self.endpoint.arm(self)

    # Digits and text

    def digit_begin(self, now: float, digit: str) -> None:
        """A key goes down: one of 0123456789*#ABCD."""
        self._send_digit(now, FrameType.DTMF_BEGIN, digit)

    def digit_end(self, now: float, digit: str, duration_ms: int = 0) -> None:
        """The key goes up. The peer takes the length from the timestamps of both."""
        self._send_digit(now, FrameType.DTMF, digit)

    def digit(self, now: float, digit: str) -> None:
        """A key pressed for a moment: the frame of RFC 5456 alone, that every peer knows."""
        self._send_digit(now, FrameType.DTMF, digit)

    def _send_digit(self, now: float, kind: FrameType, digit: str) -> None:
        assert digit in DTMF_DIGITS, f"no DTMF digit: {digit!r}"
        if self.state in LIVE:
            self.send_full(now, kind, ord(digit), b"")
            self.endpoint.arm(self)

    def text(self, now: float, text: str) -> None:
        """Send a text, cut at 1024 octets."""
        if self.state in LIVE:
            octets = text.encode("utf-8", "replace")[:MAX_TEXT_OCTETS]
            self.send_full(now, FrameType.TEXT, 0, octets)
            self.endpoint.arm(self)

    # The ways to the end

    def _end(self, now: float, cause: int, text: str, by_peer: bool) -> None:
        if self.ended:
            return
        told = self.state is not State.CHALLENGED
        self.ended = True
        self.sending = False
        self.voice_sink = None
        self.go(State.ENDED)
        self._forget_at = now + limits.LINGER_S
        self._expires_at = inf
        self.endpoint.ended(self)
        if told:
            self.endpoint.events.append(events.Ended(self, cause, text, by_peer))
        if not by_peer and self._unacked:
            # Stays until HANGUP or REJECT is acknowledged or given up.
            self._forget_at = inf if self.credit is None else now + limits.UNAUTHENTICATED_S
            self.finish()
        else:
            self.drop_unacked()
        self.endpoint.arm(self)

    def refuse(self, now: float, cause: int, text: str) -> None:
        """Send a stranger away before its call was told of."""
        self.send_iax(now, Iax.REJECT, cause_elements(cause, text))
        self._end(now, cause, text, by_peer=False)

    def on_inval(self, now: float) -> None:
        self.end_by_peer(now, TEMPORARY_FAILURE, "the peer does not know the call")

    def end_by_peer(self, now: float, cause: int, text: str) -> None:
        if self.ended:
            self.drop_unacked()
            self.finishing = False
            self._forget_at = now + limits.LINGER_S
        else:
            self._end(now, cause, text, by_peer=True)

    def give_up(self, now: float) -> None:
        if self.ended:
            self.endpoint.forget(self)
            return
        heard = bool(self.peer_number)
        cause = TEMPORARY_FAILURE if heard else NETWORK_OUT_OF_ORDER
        self.drop_unacked()
        self._end(now, cause, "no answer from the peer", by_peer=False)

    def on_finished(self, now: float) -> None:
        self._forget_at = now + limits.LINGER_S

    def go(self, state: State) -> None:
        self.state = state

    # Time

    def deadline(self) -> float:
        due = super().deadline()
        if self.ended:
            return min(due, self._forget_at)
        if self.peer_number and self.credit is None:
            due = min(due, self._ping_at, self._lag_at)
        return min(due, self._expires_at, self.release_at)

    def on_timer(self, now: float) -> None:
        super().on_timer(now)
        settings = self.endpoint.settings
        if self.ended:
            if now >= self._forget_at:
                self.endpoint.forget(self)
        elif now >= self._expires_at:
            self.endpoint.counters.expired += 1
            self.drop_unacked()
            self._end(now, TEMPORARY_FAILURE, "not authenticated in time", by_peer=False)
            self.endpoint.forget(self)
        elif now >= self.release_at:
            self.hang_up(now, NORMAL_CLEARING, "transferred")
        elif self.peer_number and self.credit is None:
            if now >= self._ping_at:
                self._ping_at = now + settings.ping_s
                self.send_iax(now, Iax.PING)
            if now >= self._lag_at and not self.ended:
                self._lag_at = now + settings.lag_s
                self.send_iax(now, Iax.LAGRQ)

    # What the peer's frames do

    def receive(self, data: bytes, now: float) -> None:
        super().receive(data, now)
        if self._owed_hangup is not None and self.peer_number:
            owed, self._owed_hangup = self._owed_hangup, None
            self.send_iax(now, Iax.HANGUP, owed)
            self._forget_at = inf
            self.finish()

    def decipher(self, data: bytes, now: float) -> bytes:
        """A frame in clear, or the first that the peer enciphered."""
        self.deciphered = False
        if self.pending_cipher is None:
            return data
        try:
            plain = self.pending_cipher.open(data, 4)
        except PeerError:
            plain = data
        if plain is not data and plain[10] == FrameType.IAX and plain[11] in _ENCIPHERED:
            self.deciphered = True
            return plain
        if data[10] == FrameType.IAX and data[11] in _CLEAR:
            return data
        if int.from_bytes(data[2:4], "big") & MAX_CALL_NUMBER == self.number:
            # From who heard the challenge, and has another key: a wrong password.
            self.pending_cipher = None
            self.endpoint.authentication_failed(self, now)
        raise Iax2PeerError("a frame that makes no sense under the key of the call")

    def open_cipher(self, data: bytes) -> bytes:
        """A refusal of the credentials comes in clear: the peer has no key that we share."""
        if self.state is State.AUTHENTICATING and data[10] == FrameType.IAX:
            source, destination = FULL.unpack_from(data)[:2]
            known = destination & MAX_CALL_NUMBER == self.number
            if data[11] == Iax.REJECT and known and source & MAX_CALL_NUMBER == self.peer_number:
                self.cipher = None
                return data
        return super().open_cipher(data)

    def prove(self, now: float) -> None:
        super().prove(now)
        self._expires_at = inf if self.state is not State.CHALLENGED else self._expires_at
        self.sending = self.state in LIVE and not self.quelched

    def handle(self, kind: int, octet: int, timestamp_ms: int, payload: bytes, now: float) -> None:
        if self.ended:
            if kind == FrameType.IAX and octet in (Iax.HANGUP, Iax.REJECT):
                self.end_by_peer(now, 0, "")
            return
        if kind == FrameType.IAX:
            if octet not in _SUBCLASSES:
                self.unsupported(octet, now)
                return
            subclass = Iax(octet)
            elements = Elements.from_bytes(payload)
            handler = ALWAYS.get(subclass)
            if handler is None and subclass in EXPECTED[self.state]:
                handler = EXPECTED_REACTIONS[subclass]
            if handler is not None:
                handler(self, elements, timestamp_ms, now)
            elif subclass in UNSUPPORTED:
                self.unsupported(octet, now)
        elif kind == FrameType.CONTROL:
            if octet in _CONTROLS and octet in CONTROLS[self.state]:
                on_control(self, Control(octet))
        elif kind in (FrameType.DTMF, FrameType.DTMF_BEGIN):
            on_digit(self, kind, chr(octet), timestamp_ms)
        elif kind == FrameType.TEXT and self.state in LIVE:
            text = payload[:MAX_TEXT_OCTETS].rstrip(b"\0").decode("utf-8", "replace")
            self.endpoint.events.append(events.Text(self, text))

    def unsupported(self, octet: int, now: float) -> None:
        """What the peer asks for is not done here (UNSUPPORT, 6.10.1)."""
        self.endpoint.counters.unsupported += 1
        if self.credit is None:
            self.send_iax(now, Iax.UNSUPPORT, [(Ie.IAX_UNKNOWN, octet)])

    def make_cipher(self, challenge: str, secret: str) -> FrameCipher:
        """The cipher that challenge and secret agree on."""
        crypto = self.endpoint.crypto
        assert crypto is not None, "encryption without a Crypto"
        return FrameCipher(crypto, auth.key(challenge, secret), self.endpoint.random)

    def use_cipher(self, challenge: str, secret: str) -> None:
        """All further frames are encrypted."""
        self.cipher = self.make_cipher(challenge, secret)
        self.encrypted = True

    def expect_cipher(self) -> None:
        """AUTHREQ asked for encryption: AUTHREP comes encrypted."""
        assert self.access is not None
        self.pending_cipher = self.make_cipher(self.challenge, self.access.secret)

    def offered(self) -> None:
        """Authenticated, with a format: its user is told."""
        self.go(State.OFFERED)
        if self.credit is None:
            self._expires_at = inf
