"""What goes over the wire of IAX2, a log line a frame: for `--debug`.

Mini and trunk frames are only counted, and the count shown with the next full frame. Passwords,
and answers that one could be guessed from, are not shown; enciphered frames mostly look like no
frame type that there is.
"""

from __future__ import annotations

import logging

from firmware.wire.errors import PeerError
from firmware.wire.iax2.elements import Ie, Value
from firmware.wire.iax2.frames import FULL_BIT, FullFrame
from firmware.wire.iax2.kinds import Control, FrameType, Iax

_log = logging.getLogger(__name__)
_SECRET = frozenset({Ie.PASSWORD, Ie.MD5_RESULT, Ie.RSA_RESULT, Ie.ENCKEY, Ie.CALLTOKEN})
_LONGEST = 60


class Trace:
    """Says each full frame; counts the others."""

    def __init__(self) -> None:
        self._voice = [0, 0]

    def __call__(self, data: bytes, address: tuple[str, int], sent: bool) -> None:
        """A datagram was sent, or came."""
        if len(data) < 2 or not data[0] & FULL_BIT >> 8:
            self._voice[sent] += 1
            return
        arrow = "->" if sent else "<-"
        where = f"{arrow} {address[0]}:{address[1]}"
        try:
            what = describe(FullFrame.from_bytes(data))
        except PeerError as error:
            what = f"{len(data)} octets: {error}"
        heard, said = self._voice
        self._voice = [0, 0]
        _log.debug("frame", extra={"at": where, "what": what, "voice": f"{said}/{heard}"})


def describe(frame: FullFrame) -> str:
    """One line: kind, call numbers, timestamp, sequence numbers, elements."""
    again = " again" if frame.retransmission else ""
    body = ""
    name = _name(FrameType, frame.type)
    if frame.type == FrameType.IAX:
        name = _name(Iax, frame.subclass)
        try:
            body = "".join(f" {_element(code, one)}" for code, one in frame.elements.pairs)
        except PeerError as error:
            body = f" ({error})"
    elif frame.type == FrameType.CONTROL:
        name = f"CONTROL {_name(Control, frame.subclass)}"
    elif frame.type in (FrameType.DTMF, FrameType.DTMF_BEGIN):
        name = f"{name} {chr(frame.subclass & 0x7F)!r}"
    elif frame.payload:
        name = f"{name} {frame.subclass:#x}"
        body = f" {len(frame.payload)} octets"
    if not 1 <= frame.type <= max(FrameType):
        name, body = "enciphered", f" {len(frame.payload)} octets"
        return f"{name} {frame.source}>{frame.destination}{again}{body}"
    numbers = f"{frame.source}>{frame.destination} o{frame.oseqno} i{frame.iseqno}"
    return f"{name} {numbers} {frame.timestamp_ms} ms{again}{body}"


def _element(code: int, value: Value) -> str:
    name = _name(Ie, code)
    if value is None or value in ("", b""):
        return name
    if code in _SECRET:
        return f"{name}=..."
    shown = value.hex() if isinstance(value, bytes) else str(value)
    return f"{name}={shown[:_LONGEST]}"


def _name(kind: type[FrameType | Iax | Control | Ie], number: int) -> str:
    try:
        return kind(number).name
    except ValueError:
        return f"{number:#x}"
