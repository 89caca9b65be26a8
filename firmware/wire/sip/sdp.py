"""Session descriptions (RFC 8866): readdressing them, offer and answer (RFC 3264)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from firmware.wire.sip.sdp_model import (
    MAX_OCTETS,
    Codec,
    Direction,
    Media,
    SdpPeerError,
    Session,
    parse,
)

__all__ = [
    "Codec",
    "Direction",
    "Media",
    "SdpPeerError",
    "Session",
    "answer",
    "both_ways",
    "continued",
    "offer",
    "parse",
    "rewrite",
    "with_address",
]

_MIRROR: dict[Direction, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}
_SENDS = ("sendrecv", "sendonly")
_RECEIVES = ("sendrecv", "recvonly")


def _address_type(address: str) -> str:
    return "IP6" if ":" in address else "IP4"


_DROPPED = ("a=rtcp:", "a=candidate:", "a=remote-candidates:", "a=ice-", "a=rtcp-mux")
"""Attributes that name the sender's own addresses, which do not hold behind a relay."""


def with_address(session: Session, address: str, ports: Sequence[int]) -> Session:
    """The same session with all media sent to `address` and these ports, one a stream.

    Streams that are refused (port 0) stay so, and take a place in `ports`. The address in o= is
    replaced too, and attributes that name the sender's other addresses are dropped.
    """
    assert len(ports) == len(session.media), "one port a stream"
    connection = f"c=IN {_address_type(address)} {address}"
    media = tuple(
        [
            replace(
                item,
                port=port if item.port else 0,
                port_count=1,
                lines=tuple(
                    [
                        connection if line[:2] == "c=" else line
                        for line in item.lines
                        if not line.startswith(_DROPPED)
                    ]
                ),
            )
            for item, port in zip(session.media, ports, strict=True)
        ]
    )
    lines: list[str] = []
    for line in session.lines:
        if line[:2] == "o=":
            parts = line[2:].split()
            if len(parts) == 6:
                line = f"o={' '.join(parts[:4])} {_address_type(address)} {address}"
        elif line[:2] == "c=":
            line = connection
        elif line.startswith(_DROPPED):
            continue
        lines.append(line)
    return Session(tuple(lines), media)


def rewrite(body: bytes, address: str, ports: Sequence[int]) -> bytes:
    """`with_address` on octets, in one pass and without a full parse; for the path of each call.

    Raises:
        SdpPeerError: no SDP, a malformed m= line, or more streams than `ports`.
    """
    if body[:3] != b"v=0" or len(body) > MAX_OCTETS:
        raise SdpPeerError("not SDP of version 0")
    wanted = f"{_address_type(address)} {address}"
    used = 0
    out: list[str] = []
    for line in body.decode("utf-8", "surrogateescape").split("\n"):
        line = line.rstrip("\r")
        start = line[:2]
        if start == "a=":
            if line.startswith(_DROPPED):
                continue
        elif start == "c=":
            line = f"c=IN {wanted}"
        elif start == "m=":
            kind, _, rest = line.partition(" ")
            old, _, rest = rest.partition(" ")
            if not rest or used >= len(ports):
                raise SdpPeerError("malformed m= line or too many streams")
            line = f"{kind} {0 if old == '0' else ports[used]} {rest}"
            used += 1
        elif start == "o=":
            parts = line.split(" ")
            if len(parts) == 6:
                line = f"{' '.join(parts[:4])} {wanted}"
        elif not line:
            continue
        out.append(line)
    return ("\r\n".join(out) + "\r\n").encode("utf-8", "surrogateescape")


_DIRECTIONS = (b"a=sendrecv", b"a=sendonly", b"a=recvonly", b"a=inactive")


def both_ways(body: bytes) -> bytes:
    """The same description of a side that sends and receives, whatever hold it is on: sendrecv is
    what holds where nothing is said (RFC 8866, 6.7)."""
    lines = [line for line in body.split(b"\r\n") if line.strip() not in _DIRECTIONS]
    return b"\r\n".join(lines)


def continued(body: bytes, before: bytes) -> bytes:
    """The same description as one that follows another to the same peer, though somebody else
    wrote it: its o= is that of `before`, one version later (RFC 3264, 8)."""
    origin = _origin(before)
    if origin is None or len(origin) != 6 or not origin[2].isdigit():
        return body
    if body == before:
        return body
    origin[2] = b"%d" % (int(origin[2]) + 1)
    line = b"o=" + b" ".join(origin)
    return b"\r\n".join([line if one[:2] == b"o=" else one for one in body.split(b"\r\n")])


def _origin(body: bytes) -> list[bytes] | None:
    for line in body.split(b"\r\n"):
        if line[:2] == b"o=":
            return line[2:].split(b" ")
    return None


def _codec_lines(codecs: Sequence[Codec]) -> list[str]:
    lines: list[str] = []
    for codec in codecs:
        channels = f"/{codec.channels}" if codec.channels != 1 else ""
        lines.append(f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.rate_hz}{channels}")
        if codec.fmtp:
            lines.append(f"a=fmtp:{codec.payload_type} {codec.fmtp}")
    return lines


def offer(
    *,
    address: str,
    port: int,
    codecs: Sequence[Codec],
    session_id: int,
    version: int = 1,
    direction: Direction = "sendrecv",
    ptime_ms: int = 20,
) -> Session:
    """An offer of one audio stream."""
    media = Media(
        "audio",
        port,
        "RTP/AVP",
        tuple([str(codec.payload_type) for codec in codecs]),
        (*_codec_lines(codecs), f"a=ptime:{ptime_ms}", f"a={direction}"),
    )
    return Session(_session_lines(address, session_id, version), (media,))


def _session_lines(address: str, session_id: int, version: int) -> tuple[str, ...]:
    kind = _address_type(address)
    return (
        "v=0",
        f"o=- {session_id} {version} IN {kind} {address}",
        "s=-",
        f"c=IN {kind} {address}",
        "t=0 0",
    )


def answer(
    offered: Session,
    supported: Sequence[Codec],
    *,
    address: str,
    port: int,
    session_id: int,
    version: int = 1,
    direction: Direction = "sendrecv",
) -> Session | None:
    """A user agent's answer to an offer (RFC 3264, 6): one audio stream, others refused.

    Codecs come in the offerer's order and with its payload types. `direction` is what we would
    do; less is answered if the offer allows less. None: no audio codec in common (488).
    """
    taken = False
    media: list[Media] = []
    for item in offered.media:
        common: list[Codec] = []
        if not taken and item.kind == "audio" and item.port and item.proto == "RTP/AVP":
            common = [
                replace(codec, fmtp=next((o.fmtp for o in supported if o.same_as(codec)), ""))
                for codec in item.codecs
                if any(other.same_as(codec) for other in supported)
            ]
        if not any(codec.name.lower() not in ("telephone-event", "cn") for codec in common):
            media.append(Media(item.kind, 0, item.proto, item.formats))
            continue
        taken = True
        allowed = _MIRROR[offered.direction(item)]
        sends = allowed in _SENDS and direction in _SENDS
        receives = allowed in _RECEIVES and direction in _RECEIVES
        agreed: Direction = (
            ("sendrecv" if receives else "sendonly")
            if sends
            else ("recvonly" if receives else "inactive")
        )
        media.append(
            Media(
                "audio",
                port,
                item.proto,
                tuple([str(codec.payload_type) for codec in common]),
                (*_codec_lines(common), f"a=ptime:{item.ptime_ms or 20}", f"a={agreed}"),
            )
        )
    if not taken:
        return None
    return Session(_session_lines(address, session_id, version), tuple(media))
