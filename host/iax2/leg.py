"""One IAX2 leg of a call: what call control asks of it and what it reports, as a SIP leg does.

Session descriptions of an IAX2 leg are made by its bridge (`host.media.bridge`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware.wire.errors import PeerError
from firmware.wire.iax2 import Call, Ended, Format
from firmware.wire.sip import sdp
from firmware.wire.sip.sdp import Direction
from host.calls.call import State
from host.calls.commands import Failure
from host.charging.values import Reason
from host.iax2.causes import failure_of, told
from host.iax2.referral import Referral
from host.media.bridge import LAWS, Bridge

if TYPE_CHECKING:
    from host.calls.call import Leg
    from host.calls.commands import TellTransfer
    from host.iax2.server import Iax2Server

INCOMPATIBLE = 88
DTMF_RELAY = "application/dtmf-relay"
RETRY_S = 1.0
"""A hold that met another change is said again (RFC 3261, 14.1)."""
_MIRROR: dict[Direction, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}


class Iax2Leg:
    """What caller and callee legs have in common. It hangs on `Call.tag`, and on `Leg.agent`."""

    __slots__ = (
        "_held",
        "_holds",
        "_reoffered",
        "_said_hold",
        "account",
        "bridge",
        "call",
        "leg",
        "over",
        "referral",
        "server",
    )
    leg: Leg

    def __init__(self, server: Iax2Server, call: Call) -> None:
        self.server = server
        self.call = call
        call.tag = self
        self.bridge = Bridge(call, server.ground)
        self.over = False
        self.account = ""
        """Whose leg it is; empty: a carrier's, who may ask for no transfer."""
        self.referral: Referral | None = None
        """A transfer that the peer asked for."""
        self._held = False
        """The other side holds our peer, who has been told."""
        self._holds = False
        """Our peer holds the other side."""
        self._reoffered = False
        """The other side was offered a change, and has not answered yet."""
        self._said_hold = False

    # --- what call control asks for ---

    def end(self, cause: int) -> None:
        """Hang up, whatever the state; who was told that his transfer is done leaves by himself."""
        if not self.over:
            self._close()
            if not self.call.released_by_peer:
                self.call.hang_up(self.server.clock(), cause, told(None, Failure(cause))[1])

    def modify(self, body: bytes, update: bool) -> None:
        """The other side offers a change: hold and its end are told, the rest concerns media."""
        now, control = self.server.clock(), self.server.control
        if self.over:
            return
        try:
            session = sdp.parse(body)
        except PeerError:
            control.modify_failed(self.leg, 488, now)
            return
        peer = self._peer_of(body)
        if peer is not None:
            self.bridge.link(peer.bridge)
            answer: bytes | None = self.bridge.offer(_MIRROR[session.direction()])
        else:
            # Joined to somebody of SIP, it may need a port that it could do without so far.
            answer = self.bridge.answer(body) if self.bridge.open() else None
        if answer is None:
            control.modify_failed(self.leg, 488, now)
            return
        self._tell_hold(session.is_hold, now)
        control.modified(self.leg, answer, now)

    def modified(self, body: bytes) -> None:
        """The other side took our peer's hold, or its end."""
        self._reoffered = False
        if not self.over:
            self._connect(body)
            if self._said_hold is not self._holds:  # our peer changed its mind meanwhile
                self.reoffer(self.server.clock())

    def reject_modify(self, status: int) -> None:
        """It did not; what crossed another change is said again."""
        self._reoffered = False
        if not self.over and status in (491, 500):
            self.server.later(self, RETRY_S)

    def send_info(self, content_type: str, body: bytes) -> None:
        """DTMF of SIP devices that send it by INFO."""
        key, duration_ms = _dtmf(content_type, body)
        if key and not self.over:
            now = self.server.clock()
            self.call.digit_begin(now, key)
            self.call.digit_end(now, key, duration_ms)

    def acknowledge(self, body: bytes) -> None:
        """The caller's answer to the offer that our answer made (late offer)."""
        if not self.over and not self._connect(body):
            self._fail_media()

    def restate(self, here: bool = False) -> bytes:
        """Our description, for another peer than the one so far; empty: there is no port."""
        ready = not self.over and (here or self.bridge.open())
        return self.bridge.offer() if ready else b""

    def tell_transfer(self, command: TellTransfer) -> None:
        """How the transfer goes that our peer asked for."""
        if self.referral is not None and self.referral.tell(self, command):
            self.referral = None

    # --- what the peer does ---

    def ended(self, event: Ended, now: float) -> None:
        """The call is over, by the peer or by itself."""
        if not self.over:
            self._close()
            self._report_end(event.cause or 16, event.text, now)

    def _report_end(self, cause: int, text: str, now: float) -> None:
        self.server.control.ended(self.leg, cause, now, text[:80])

    def held(self, holds: bool, now: float) -> None:
        """HOLD or UNHOLD came (RFC 5456, 6.3.8)."""
        self._holds = holds
        self.reoffer(now)

    def reoffer(self, now: float) -> None:
        """Offer the other side what our peer wants of it."""
        if self.over or self._reoffered:
            return
        if self.leg.call.state is not State.TALKING:
            return
        self._reoffered, self._said_hold = True, self._holds
        body = self.bridge.offer("sendonly" if self._holds else "sendrecv")
        self.server.control.modify_offered(self.leg, body, False, now)

    def digit_began(self, key: str, now: float) -> None:
        self.bridge.digit_begin(key, now)

    def digit_ended(self, key: str, duration_ms: int, now: float) -> None:
        """By INFO where the other side takes no events in its media."""
        if not self.bridge.digit_end(key, duration_ms, now) and not self.over:
            body = f"Signal={key}\r\nDuration={duration_ms or 160}\r\n".encode()
            self.server.control.info(self.leg, DTMF_RELAY, body)

    # --- media ---

    def _connect(self, body: bytes) -> bool:
        """Join to whoever this description is of; False when that can't be."""
        peer = self._peer_of(body)
        if peer is None:
            return self.bridge.take_answer(body)
        self.bridge.link(peer.bridge)
        return True

    def _peer_of(self, body: bytes) -> Iax2Leg | None:
        """The IAX2 leg of the same call whose description this is, octet for octet.

        Nobody else's description is ever looked up: a stranger's that names one of our ports
        joins it to nothing.
        """
        call = self.leg.call
        shared = call.joint or (call.transfer.joint if call.transfer is not None else None)
        ends = shared.ends if shared is not None else ()
        for leg in (call.caller, call.winner, *call.attempts, *ends):
            agent = leg.agent if leg is not None and leg is not self.leg else None
            if isinstance(agent, Iax2Leg) and agent.bridge.local == body:
                return agent
        return None

    def _tell_hold(self, held: bool, now: float) -> None:
        if held is not self._held:
            self._held = held
            (self.call.hold if held else self.call.unhold)(now)

    def _fail_media(self) -> None:
        """There is no media in common after all."""
        now = self.server.clock()
        self.end(INCOMPATIBLE)
        self._report_end(INCOMPATIBLE, "no common codec", now)

    def _close(self) -> None:
        self.over = True
        self.bridge.close()
        self.server.forget(self)


class CallerLeg(Iax2Leg):
    """The leg of whoever calls: a NEW that came to us."""

    __slots__ = ("_told_ringing", "proceeding")

    def __init__(self, server: Iax2Server, call: Call) -> None:
        super().__init__(server, call)
        self._told_ringing = False
        self.proceeding = False
        """It was told that somebody is being called."""

    def proceed(self) -> None:
        """ACCEPT: the call is granted, and somebody is being called."""
        if not self.over:
            self.call.accept(self.server.clock())

    def progress(self, ringing: bool, body: bytes) -> None:
        """RINGING, or PROGRESS with early media."""
        if self.over:
            return
        now = self.server.clock()
        if body and self._connect(body):
            self.call.progress(now)
        elif not self._told_ringing:
            self._told_ringing = True
            self.call.ringing(now)

    def answer(self, body: bytes) -> None:
        if self.over:
            return
        if body and not self._connect(body):
            self._fail_media()
            return
        self.call.answer(self.server.clock())

    def reject(self, reason: Reason | None, failure: Failure | None) -> None:
        if not self.over:
            self._close()
            self.call.reject(self.server.clock(), *told(reason, failure))


class CalleeLeg(Iax2Leg):
    """The leg of whoever is called: a NEW that we sent."""

    __slots__ = ("_answered", "_offer")

    def __init__(self, server: Iax2Server, call: Call, leg: Leg, offer: bytes) -> None:
        super().__init__(server, call)
        self.leg = leg
        leg.agent = self
        self._offer = offer
        """The caller's; empty: ours comes with the answer."""
        self._answered = False

    @property
    def needs_port(self) -> bool:
        """False where the caller is on IAX2, too."""
        return not self._offer or self._peer_of(self._offer) is None

    def accepted(self, now: float) -> None:
        """ACCEPT: somebody is there, and what is spoken is agreed."""
        self.server.control.progressed(self.leg, False, b"", now)

    def ringing(self, now: float) -> None:
        self.server.control.progressed(self.leg, True, b"", now)

    def progressing(self, now: float) -> None:
        """Early media."""
        body = self._description() if self._offer else b""
        if body is not None:
            self.server.control.progressed(self.leg, not body, body, now)

    def answered(self, now: float) -> None:
        body = self._description()
        if body is None:
            self.end(INCOMPATIBLE)
            failure = Failure(INCOMPATIBLE, 488, "no common codec")
            self.server.control.failed(self.leg, failure, now)
            return
        self._answered = True
        self.server.control.answered(self.leg, body, now)

    def _description(self) -> bytes | None:
        """Our answer to the caller, made once; our offer if there was none; None: no codec."""
        bridge = self.bridge
        if bridge.local:
            return bridge.local
        if not self._offer or self._peer_of(self._offer) is not None:
            return bridge.offer()
        return bridge.answer(self._offer) if self.call.format in LAWS else None

    def _report_end(self, cause: int, text: str, now: float) -> None:
        if self._answered:
            super()._report_end(cause, text, now)
        else:
            self.server.control.failed(self.leg, failure_of(cause, text), now)


def formats_of(offer: bytes) -> tuple[Format, ...]:
    """What an offer leaves to an IAX2 leg, in the offerer's order; without one, what we can."""
    if not offer:
        return tuple(LAWS)
    try:
        audio = sdp.parse(offer).audio
    except PeerError:
        return ()
    names = [codec.name.upper() for codec in audio.codecs] if audio is not None else []
    known = {"PCMU": Format.ULAW, "PCMA": Format.ALAW}
    first = [known[name] for name in names if name in known]
    return tuple(dict.fromkeys((*first, *LAWS))) if first else ()


def _dtmf(content_type: str, body: bytes) -> tuple[str, int]:
    """Key and duration of an INFO; no key when it is none."""
    kind = content_type.partition(";")[0].strip().lower()
    text = body[:200].decode("ascii", "replace")
    key, duration = "", "160"
    if kind == "application/dtmf":
        key = text.strip()
    elif kind == DTMF_RELAY:
        for line in text.splitlines():
            name, _, value = line.partition("=")
            if name.strip().lower() == "signal":
                key = value.strip()
            elif name.strip().lower() == "duration":
                duration = value.strip()
    key = key.upper()
    good = len(key) == 1 and key in "0123456789*#ABCD"
    return (key if good else ""), min(int(duration), 8_000) if duration.isdecimal() else 160
