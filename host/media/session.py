"""Session descriptions on their way through the host: whose address goes to the relay, and how
the description is rewritten for the other side."""

from __future__ import annotations

import re
from collections.abc import Callable

from firmware.wire.errors import PeerError
from firmware.wire.sip import sdp
from firmware.wire.sip.sdp import SdpPeerError
from host.calls.call import Call
from host.calls.commands import RelayStep
from host.calls.joint import Joint
from host.media.relay import MediaRelay, Peer

CALLER, CALLEE = "caller", "callee"
"""Tags of the two sides in the relay's protocol."""

OFFERS = ("offer", "reoffer", "update", "join-offer")

Rewritten = Callable[[RelayStep, bytes | None], None]


class MediaSessions:
    """Carries out call control's `Relay` and `CloseRelay`.

    Args:
        relay: the relay.
        rewritten: called with the description for the other side; None when the relay has no
            port, empty when the peer's description can't be used.
    """

    def __init__(self, relay: MediaRelay, rewritten: Rewritten) -> None:
        self._relay = relay
        self._rewritten = rewritten
        self._offerers: dict[str, str] = {}
        """Who made the first offer of each live call."""

    def rewrite(self, call: Call | Joint, step: RelayStep, from_caller: bool, body: bytes) -> None:
        try:
            session = sdp.parse(body)
            audio = session.audio
            address = session.address_of(audio) if audio is not None else None
            if audio is None or address is None or not _is_ip(address):
                raise SdpPeerError("no audio with an address")
        except PeerError:
            self._rewritten(step, b"")
            return
        peer = Peer(address, audio.port, pinned=step.leg.of_carrier)
        streams = session.media

        def done(relay_port: int | None) -> None:
            if relay_port is None:
                self._rewritten(step, None)
                return
            # Hold after RFC 2543 (c=0.0.0.0) means something: that address stays.
            shown = address if address == "0.0.0.0" else self._relay.address
            ports = [relay_port if stream is audio else 0 for stream in streams]
            try:
                rewritten = sdp.rewrite(body, shown, ports)
            except PeerError:
                rewritten = b""
            self._rewritten(step, rewritten)

        me, other = (CALLER, CALLEE) if from_caller else (CALLEE, CALLER)
        late = call.late_offer and step.kind == "answer"
        first = self._offerers.get(call.id)
        if first is None:
            self._offerers[call.id] = me
            self._relay.open(call.id, me, peer, done)
        elif late or step.kind in OFFERS:
            self._relay.offer(call.id, (me, other), peer, done)
        else:
            self._relay.answer(call.id, (other, me), peer, done)

    def close(self, session_id: str) -> None:
        first = self._offerers.pop(session_id, None)
        if first is not None:
            self._relay.close_call(session_id, (first, CALLEE if first == CALLER else CALLER))


def _is_ip(text: str) -> bool:
    """A literal address: names are not looked up for strangers."""
    return _ADDRESS.fullmatch(text) is not None


_OCTET = "(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_ADDRESS = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}|[0-9A-Fa-f]{{0,4}}:[0-9A-Fa-f:.]{{1,41}}")
"""An IPv4 address, or what has the letters of an IPv6 one (the relay reads it)."""
