"""One side's part in offer and answer (RFC 3264), and what follows for its audio."""

from __future__ import annotations

from firmware.wire.errors import PeerError
from firmware.wire.sip import sdp
from tests.peers.media import CODECS, Media


class Described:
    """Media, and the descriptions that both sides gave of it."""

    def __init__(self, address: str) -> None:
        self.media = Media(address)
        self.offers: list[sdp.Session] = []
        """What the peer offered, the first offer and each later one."""
        self.direction: sdp.Direction = "sendrecv"
        """What we want; hold is `sendonly`."""
        self.agreed: sdp.Session | None = None
        """The peer's last description."""
        self._version = 0
        self._remote: tuple[str, int] | None = None

    def sdp_direction(self) -> sdp.Direction | None:
        """The direction of the peer's last description."""
        return self.agreed.direction() if self.agreed is not None else None

    def _offer(self) -> bytes:
        self._version += 1
        return sdp.offer(
            address=self.media.address,
            port=self.media.port,
            codecs=CODECS,
            session_id=1_000 + self.media.port,
            version=self._version,
            direction=self.direction,
        ).to_bytes()

    def _answer(self) -> bytes:
        self._version += 1
        assert self.agreed is not None
        answer = sdp.answer(
            self.agreed,
            CODECS,
            address=self.media.address,
            port=self.media.port,
            session_id=1_000 + self.media.port,
            version=self._version,
        )
        assert answer is not None, "no codec in common"
        return answer.to_bytes()

    def _take(self, body: bytes, is_offer: bool) -> None:
        """Take the peer's description: where to send, and what."""
        if not body:
            return
        try:
            session = sdp.parse(body)
        except PeerError:
            return
        if is_offer:
            self.offers.append(session)
        self.agreed = session
        audio = session.audio
        if audio is None:
            return
        address = session.address_of(audio)
        if address is not None and address != "0.0.0.0":
            self._remote = (address, audio.port)
            if not is_offer:
                self._open_audio()
        for codec in audio.codecs:
            if codec.name.upper() in ("PCMU", "PCMA"):
                self.media.payload_type = codec.payload_type
                break
        for codec in audio.codecs:
            if codec.name == "telephone-event":
                self.media.event_type = codec.payload_type

    def _open_audio(self) -> None:
        """Audio may be sent: from early media or an answer on, not before."""
        self.media.remote = self._remote
