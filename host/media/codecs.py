"""The codecs that an account may use: what a session description has of them, in the account's
order (RFC 3264, 5 and 6)."""

from __future__ import annotations

from dataclasses import replace

from firmware.wire.errors import PeerError
from firmware.wire.sip import sdp
from firmware.wire.sip.sdp import Codec, Media

_BESIDE = ("TELEPHONE-EVENT", "CN")
"""Not codecs of speech: what goes with any of them."""
_OF_A_FORMAT = ("a=rtpmap:", "a=fmtp:", "a=rtcp-fb:")


def restrict(body: bytes, allowed: tuple[str, ...]) -> bytes:
    """A description with these codecs alone (by their names in capitals), the first one preferred.
    Other streams than those of audio stay.

    Returns:
        Empty where no audio is left, or the body is no description.
    """
    try:
        session = sdp.parse(body)
    except PeerError:
        return b""
    media = tuple(_restricted(one, allowed) for one in session.media)
    if not any(one.kind == "audio" and one.port for one in media):
        return b""
    return replace(session, media=media).to_bytes()


def _restricted(media: Media, allowed: tuple[str, ...]) -> Media:
    if media.kind != "audio" or not media.port:
        return media
    codecs = media.codecs
    speech = [codec for codec in codecs if codec.name.upper() in allowed]
    if not speech:
        return replace(media, port=0)
    speech.sort(key=lambda codec: allowed.index(codec.name.upper()))
    kept = speech + [codec for codec in codecs if codec.name.upper() in _BESIDE]
    formats = tuple(str(codec.payload_type) for codec in kept)
    return replace(media, formats=formats, lines=tuple(_lines(media, kept)))


def _lines(media: Media, kept: list[Codec]) -> list[str]:
    """Those that are not about a format that was dropped."""
    types = {str(codec.payload_type) for codec in kept} | {"*"}
    return [
        line
        for line in media.lines
        if not line.startswith(_OF_A_FORMAT) or line.partition(":")[2].split(" ")[0] in types
    ]
