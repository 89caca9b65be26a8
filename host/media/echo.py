"""The host's own echo: it answers a call, and sends back what it hears, packet by packet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from firmware.wire.errors import PeerError
from firmware.wire.sip import sdp
from firmware.wire.sip.sdp import Codec, Session
from host.calls.call import Leg
from host.calls.commands import Failure, PlaceLeg
from host.media.bridge import MediaPort

MOST_A_SECOND = 200
"""Packets that are sent back; four times what speech takes. Two echoes that were made to hear each
other stay within it."""
_UNASKED = (Codec(0, "PCMU"), Codec(8, "PCMA"))
"""What is offered to a caller who made no offer."""


class Answers(Protocol):
    """What an echo tells call control."""

    def answered(self, leg: Leg, sdp: bytes, now: float) -> None: ...
    def failed(self, leg: Leg, failure: Failure, now: float) -> None: ...
    def modified(self, leg: Leg, sdp: bytes, now: float) -> None: ...
    def modify_failed(self, leg: Leg, status: int, now: float) -> None: ...


OpenPort = Callable[[Callable[[bytes], bool]], MediaPort | None]


class Echoes:
    """All echoes of a host.

    Args:
        address: what stands in descriptions.
        open_port: opens a port for packets, which are handed over; None when there is none left.
        control: call control.
        clock: monotonic seconds.
    """

    def __init__(
        self, address: str, open_port: OpenPort, control: Answers, clock: Callable[[], float]
    ) -> None:
        self.address = address
        self.open_port = open_port
        self.control = control
        self.clock = clock
        self.live = 0
        self.serial = 0

    def place(self, command: PlaceLeg) -> None:
        """Answer a call at once."""
        leg, now = command.leg, self.clock()
        echo = _Echo(self, leg)
        if not echo.opened:
            self.control.failed(leg, Failure(34, 503, "no port for media"), now)
            return
        body = echo.describe(command.sdp)
        if not body:
            echo.end(88)
            self.control.failed(leg, Failure(88, 488, "no audio that can be echoed"), now)
            return
        leg.agent = echo
        self.control.answered(leg, body, now)


class _Echo:
    """The host's side of one call; what call control asks of any agent."""

    def __init__(self, echoes: Echoes, leg: Leg) -> None:
        self._echoes = echoes
        self._leg = leg
        self._port = echoes.open_port(self._heard)
        self._sends = False
        self._version = 0
        self._second = 0
        self._count = 0
        echoes.serial += 1
        echoes.live += self.opened
        self._session_id = 2_000_000 + echoes.serial

    @property
    def opened(self) -> bool:
        """It has a port."""
        return self._port is not None

    def describe(self, offer: bytes) -> bytes:
        """Our answer to an offer, or our own offer; empty: there is no use in it."""
        echoes, port = self._echoes, self._port
        assert port is not None
        self._version += 1
        if not offer:
            return sdp.offer(
                address=echoes.address, port=port.port, codecs=_UNASKED, session_id=self._session_id
            ).to_bytes()
        try:
            session = sdp.parse(offer)
        except PeerError:
            return b""
        audio = session.audio
        made = sdp.answer(
            session,
            audio.codecs if audio is not None else (),
            address=echoes.address,
            port=port.port,
            session_id=self._session_id,
            version=self._version,
        )
        if made is None:
            return b""
        self._aim(session, made.direction() in ("sendrecv", "sendonly"))
        return made.to_bytes()

    def _aim(self, session: Session, sends: bool) -> None:
        audio, port = session.audio, self._port
        address = session.address_of(audio) if audio is not None else None
        self._sends = sends and address not in (None, "0.0.0.0", "::")
        if audio is not None and address and self._sends and port is not None:
            port.aim(address, audio.port, False)

    def _heard(self, packet: bytes) -> bool:
        """A packet: True where it is RTP."""
        if len(packet) < 12 or packet[0] >> 6 != 2:
            return False
        second = int(self._echoes.clock())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        if self._sends and self._port is not None and self._count <= MOST_A_SECOND:
            self._port.send(packet)
        return True

    # --- what call control asks ---

    def restate(self, here: bool = False) -> bytes:
        """Our own offer, for another caller."""
        return self.describe(b"")

    def acknowledge(self, body: bytes) -> None:
        """The caller's answer to our offer."""
        try:
            session = sdp.parse(body)
        except PeerError:
            return
        self._aim(session, session.direction() in ("sendrecv", "recvonly"))

    def modify(self, body: bytes, update: bool) -> None:
        """The caller changes the session: hold, or another address."""
        made, control, now = self.describe(body), self._echoes.control, self._echoes.clock()
        if made:
            control.modified(self._leg, made, now)
        else:
            control.modify_failed(self._leg, 488, now)

    def send_info(self, content_type: str, body: bytes) -> None:
        """Digits beside the audio are not sent back."""

    def end(self, cause: int) -> None:
        """The call is over."""
        if self._port is not None:
            self._port.close()
            self._port = None
            self._echoes.live -= 1
