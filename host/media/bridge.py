"""Between one IAX2 leg and the other side's media: RTP of a SIP leg, or another IAX2 leg.

To call control an IAX2 leg looks like an RTP endpoint: it offers and answers session descriptions
with this host's address and a port of its own. Frames become packets and packets frames here;
mu-law becomes A-law where the two differ; nothing else is transcoded. Where both legs are IAX2
frames go from one to the other as they are, and no port is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from firmware.wire.errors import PeerError
from firmware.wire.iax2 import Call, Format
from firmware.wire.rtp import PCMA, PCMU
from firmware.wire.sip import sdp
from firmware.wire.sip.sdp import Codec, Direction, Session
from host.charging.values import Rule
from host.media.g711 import TABLES
from host.media.rtp_in import DigitBegan, DigitEnded, RtpIn, Voice
from host.media.rtp_out import RtpOut

LAWS: dict[Format, int] = {Format.ULAW: PCMU, Format.ALAW: PCMA}
"""What goes over to RTP, by payload type (RFC 3551)."""
_NAMES = {"PCMU": PCMU, "PCMA": PCMA}
_CODECS = {PCMU: Codec(PCMU, "PCMU"), PCMA: Codec(PCMA, "PCMA")}
_EVENTS = Codec(101, "telephone-event", fmtp="0-15")
NOWHERE = 9
"""Port in a description that never leaves this host."""


class MediaPort(Protocol):
    """One socket for RTP."""

    port: int

    def aim(self, address: str, port: int, pinned: bool) -> None:
        """Send there; unless `pinned`, to where the first packet comes from as soon as it does."""

    def send(self, data: bytes) -> None:
        """Never raises for what the network does."""

    def close(self) -> None: ...


class Ground:
    """What all bridges of one host share; its shell keeps `now`.

    Args:
        address: what stands in descriptions.
        open_port: opens a port whose packets go to a bridge; None when there is none left.
        random: so many octets.
        rules_off: rules that a test switched off.
    """

    def __init__(
        self,
        address: str,
        open_port: Callable[[Bridge], MediaPort | None],
        random: Callable[[int], bytes],
        rules_off: frozenset[Rule] = frozenset(),
    ) -> None:
        self.bridges = Rule.BRIDGE not in rules_off
        self.trunks = Rule.TRUNK not in rules_off
        self.digits = Rule.DIGITS not in rules_off
        self.address = address
        self.open_port = open_port
        self.random = random
        self.now = 0.0
        """Of the batch that is being dealt with, monotonic seconds."""
        self._serial = 0

    def session_id(self) -> int:
        """Of the next description (RFC 8866, 5.2)."""
        self._serial += 1
        return 1_000_000 + self._serial


class Bridge:
    """The media of one IAX2 leg."""

    __slots__ = (
        "_ground",
        "_in",
        "_law",
        "_link",
        "_out",
        "_port",
        "_session_id",
        "_version",
        "call",
        "frames",
        "local",
        "pinned",
        "sending",
    )

    def __init__(self, call: Call, ground: Ground) -> None:
        self.call = call
        self.frames = 0
        """Frames and packets that have come from either side."""
        self.local = b""
        """The last description that we gave; on this host it names the leg."""
        self.pinned = False
        """Media comes from where the description says or not at all (a carrier)."""
        self.sending = False
        """The RTP peer takes media."""
        self._ground = ground
        self._port: MediaPort | None = None
        self._link: Bridge | None = None
        self._law: Format | None = None
        """What the IAX2 peer sends, as `_out` is made for."""
        self._in = RtpIn()
        self._out: RtpOut | None = None
        self._session_id = 0
        self._version = 0

    # --- descriptions ---

    def open(self) -> bool:
        """Have a port; False when there is none left."""
        if self._port is None:
            self._port = self._ground.open_port(self)
        return self._port is not None

    def offer(self, direction: Direction = "sendrecv") -> bytes:
        """Our description: the law that the leg speaks first, then the other."""
        law = LAWS.get(self.call.format, PCMU)
        codecs = (_CODECS[law], _CODECS[PCMA if law == PCMU else PCMU], _EVENTS)
        session_id, version = self._next_version()
        made = sdp.offer(
            address=self._ground.address,
            port=self._port.port if self._port is not None else NOWHERE,
            codecs=codecs,
            session_id=session_id,
            version=version,
            direction=direction,
        )
        self.local = made.to_bytes()
        self._take_in({PCMU: PCMU, PCMA: PCMA}, _EVENTS.payload_type)
        return self.local

    def answer(self, body: bytes) -> bytes | None:
        """Our answer to an offer, which from now on holds; None: nothing in common, or no use."""
        try:
            offered = sdp.parse(body)
        except PeerError:
            return None
        session_id, version = self._next_version()
        made = sdp.answer(
            offered,
            (_CODECS[PCMU], _CODECS[PCMA], _EVENTS),
            address=self._ground.address,
            port=self._port.port if self._port is not None else NOWHERE,
            session_id=session_id,
            version=version,
        )
        if made is None or not self._aim(offered):
            return None
        self.local = made.to_bytes()
        return self.local

    def take_answer(self, body: bytes) -> bool:
        """The other side's answer to our offer; False when it can't be used."""
        try:
            return self._aim(sdp.parse(body))
        except PeerError:
            return False

    def _next_version(self) -> tuple[int, int]:
        if not self._session_id:
            self._session_id = self._ground.session_id()
        self._version += 1
        return self._session_id, self._version

    def _aim(self, session: Session) -> bool:
        """Send as a description of the other side says (RFC 3264, 5.1 and 7)."""
        audio = session.audio
        address = session.address_of(audio) if audio is not None else None
        if audio is None or address is None or self.call.format not in LAWS:
            return False
        laws: dict[int, int] = {}
        """Payload type to law, in the peer's order."""
        events: int | None = None
        for codec in audio.codecs:
            name = codec.name.upper()
            if codec.rate_hz != 8000 or codec.channels != 1:
                continue
            if name in _NAMES:
                laws[codec.payload_type] = _NAMES[name]
            elif name == "TELEPHONE-EVENT" and events is None:
                events = codec.payload_type
        if not laws or self._port is None:
            return False
        if self._out is None:
            seed = self._ground.random(10)
            numbers = [int.from_bytes(seed[a:b], "big") for a, b in ((0, 4), (4, 6), (6, 10))]
            self._out = RtpOut(*numbers)
        own = LAWS[self.call.format]
        chosen = next((kind for kind, law in laws.items() if law == own), next(iter(laws)))
        self._out.payload_type = chosen
        self._out.event_type = events
        self._law = self.call.format
        self._out.table = TABLES.get((own, laws[chosen]))
        self._take_in(laws, events)
        direction = session.direction(audio)
        nowhere = address in ("0.0.0.0", "::")
        self.sending = direction in ("sendrecv", "recvonly") and not nowhere
        if not nowhere:
            self._port.aim(address, audio.port, self.pinned)
        self.unlink()
        self.call.voice_sink = self._to_rtp if self._ground.bridges else None
        return True

    def _take_in(self, laws: dict[int, int], events: int | None) -> None:
        own = LAWS.get(self.call.format)
        if own is not None:
            taken = {PCMU: PCMU, PCMA: PCMA} | laws
            self._in.tables = {kind: TABLES.get((law, own)) for kind, law in taken.items()}
        self._in.event_type = events

    # --- another IAX2 leg ---

    def link(self, other: Bridge) -> None:
        """Frames go from leg to leg, both ways."""
        for mine, theirs in ((self, other), (other, self)):
            if mine._link is not theirs:
                mine.unlink()
                mine._link = theirs
            mine.call.voice_sink = mine._to_leg

    def unlink(self) -> None:
        """No longer; the other leg hears nothing until it is joined to something else."""
        other, self._link = self._link, None
        if other is not None and other._link is self:
            other._link = None
            other.call.voice_sink = None

    @property
    def linked(self) -> Bridge | None:
        """The IAX2 leg that this one is joined to."""
        return self._link

    def _to_leg(self, time_ms: int, payload: bytes, law: Format) -> None:
        """A frame for the other IAX2 leg."""
        self.frames += 1
        other = self._link
        if other is None:
            return
        call = other.call
        if law is not call.format and law != call.format:
            table = TABLES.get((LAWS.get(law, -1), LAWS.get(call.format, -1)))
            if table is None:
                return
            payload = payload.translate(table)
        call.send_voice(payload, self._ground.now, time_ms)

    # --- RTP ---

    def _to_rtp(self, time_ms: int, payload: bytes, law: Format) -> None:
        """A frame for the RTP peer."""
        self.frames += 1
        out, port = self._out, self._port
        if not self.sending or out is None or port is None:
            return
        if law is not self._law and law != self._law and not self._changed_law(out, law):
            return
        port.send(out.voice(time_ms, payload))

    def _changed_law(self, out: RtpOut, law: Format) -> bool:
        """The IAX2 peer may change between the laws as it likes (RFC 5456, 8.7)."""
        if law not in LAWS:
            return False
        wanted = PCMA if out.payload_type == PCMA else PCMU
        out.table = TABLES.get((LAWS[law], wanted))
        self._law = law
        return True

    def receive(self, data: bytes) -> bool:
        """A packet of the RTP peer; True when it is one of the stream, whose sender it shows."""
        now, call = self._ground.now, self.call
        if self._link is not None:  # another contact of a fork, while this one is heard
            return False
        got = self._in.read(data, int(now * 1000), now)
        if got is None:
            return False
        self.frames += 1
        if isinstance(got, Voice):
            call.send_voice(got.payload, now, got.time_ms)
            if self._in.lost_end(now):
                got = self._in.end()
        if isinstance(got, DigitBegan):
            call.digit_begin(now, got.key)
        elif isinstance(got, DigitEnded):
            call.digit_end(now, got.key, got.duration_ms)
        return True

    # --- digits of the IAX2 peer ---

    def digit_begin(self, key: str, now: float) -> bool:
        """False where the other side takes none in its media."""
        if not self._ground.digits:
            return True
        if self._link is not None:
            self._link.call.digit_begin(now, key)
            return True
        return self._send_all(lambda out: out.digit_begin(key, now))

    def digit_end(self, key: str, duration_ms: int, now: float) -> bool:
        """As `digit_begin`."""
        if self._link is not None:
            self._link.call.digit_end(now, key, duration_ms)
            return True
        return self._send_all(lambda out: out.digit_end(now, duration_ms))

    def _send_all(self, make: Callable[[RtpOut], list[bytes]]) -> bool:
        out, port = self._out, self._port
        if out is None or port is None or out.event_type is None:
            return False
        for packet in make(out):
            if self.sending:
                port.send(packet)
        return True

    # --- the end ---

    def close_port(self) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None

    def close(self) -> None:
        """Nothing goes through any more."""
        self.unlink()
        self.call.voice_sink = None
        self.close_port()
