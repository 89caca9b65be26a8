"""Frame types and subclasses (RFC 5456, 8.2 to 8.4, and what came later)."""

from __future__ import annotations

from enum import IntEnum


class FrameType(IntEnum):
    """Types of full frames (8.2). DTMF_BEGIN came after the RFC; DTMF ends the digit."""

    DTMF = 1
    VOICE = 2
    VIDEO = 3
    CONTROL = 4
    NULL = 5
    IAX = 6
    TEXT = 7
    IMAGE = 8
    HTML = 9
    COMFORT_NOISE = 10
    MODEM = 11
    DTMF_BEGIN = 12


class Iax(IntEnum):
    """Subclasses of IAX frames (8.4). CALLTOKEN came with AST-2009-006, RTKEY and TXMEDIA later."""

    NEW = 1
    PING = 2
    PONG = 3
    ACK = 4
    HANGUP = 5
    REJECT = 6
    ACCEPT = 7
    AUTHREQ = 8
    AUTHREP = 9
    INVAL = 10
    LAGRQ = 11
    LAGRP = 12
    REGREQ = 13
    REGAUTH = 14
    REGACK = 15
    REGREJ = 16
    REGREL = 17
    VNAK = 18
    DPREQ = 19
    DPREP = 20
    DIAL = 21
    TXREQ = 22
    TXCNT = 23
    TXACC = 24
    TXREADY = 25
    TXREL = 26
    TXREJ = 27
    QUELCH = 28
    UNQUELCH = 29
    POKE = 30
    PAGE = 31
    MWI = 32
    UNSUPPORT = 33
    TRANSFER = 34
    PROVISION = 35
    FWDOWNL = 36
    FWDATA = 37
    TXMEDIA = 38
    RTKEY = 39
    CALLTOKEN = 40


class Control(IntEnum):
    """Subclasses of control frames (8.3)."""

    HANGUP = 1
    RING = 2
    RINGING = 3
    ANSWER = 4
    BUSY = 5
    CONGESTION = 8
    FLASH = 9
    WINK = 10
    OPTION = 11
    KEY = 12
    UNKEY = 13
    PROGRESS = 14
    PROCEEDING = 15
    HOLD = 16
    UNHOLD = 17
    VIDEO_UPDATE = 18
    SOURCE_UPDATE = 20


UNNUMBERED = frozenset((Iax.ACK, Iax.INVAL, Iax.VNAK, Iax.TXCNT, Iax.TXACC, Iax.CALLTOKEN))
"""IAX frames that take no outbound sequence number (RFC 5456, 7)."""

OPENING = frozenset((Iax.NEW, Iax.REGREQ, Iax.REGREL, Iax.POKE))
"""What may come without a call of ours in the destination."""

NO_INVAL = frozenset(
    (Iax.ACK, Iax.INVAL, Iax.HANGUP, Iax.REJECT, Iax.VNAK, Iax.TXCNT, Iax.TXACC, Iax.TXREJ,
     Iax.UNSUPPORT, Iax.PONG, Iax.LAGRP, Iax.CALLTOKEN, Iax.REGACK, Iax.REGREJ)
)  # fmt: skip
"""What a call that we do not know gets no INVAL for: answers and farewells."""

UNSUPPORTED = frozenset(
    (Iax.DPREQ, Iax.DIAL, Iax.PAGE, Iax.MWI, Iax.TRANSFER, Iax.PROVISION, Iax.FWDOWNL,
     Iax.FWDATA, Iax.TXMEDIA, Iax.RTKEY)
)  # fmt: skip
"""What a peer may ask for and gets UNSUPPORT for (RFC 5456, 6.10.1)."""


DTMF_DIGITS = frozenset("0123456789*#ABCD")
"""What a DTMF frame may carry (RFC 5456, 8.2)."""


def compress(subclass: int) -> int:
    """The octet for a subclass: itself below 128, else 0x80 with the power of two (8.1.1).

    Raises:
        ValueError: no power of two and no small number.
    """
    if 0 <= subclass < 0x80:
        return subclass
    power = subclass.bit_length() - 1
    if subclass < 0 or subclass != 1 << power:
        raise ValueError(f"subclass {subclass} cannot be sent")
    return 0x80 | power


def uncompress(octet: int) -> int:
    """The subclass that an octet stands for; 0xFF is -1 by custom."""
    if octet < 0x80:
        return octet
    return -1 if octet == 0xFF else 1 << (octet & 0x3F)
