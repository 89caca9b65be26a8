"""What DAHDI and its drivers say to each other: ioctls, structures, events (dahdi/user.h)."""

from __future__ import annotations

import struct
import sys
from enum import Enum, IntEnum

from hal.drivers.ioctls import HERE, Direction, Layout

_LETTER = 0xDA
_INT = struct.calcsize("i")
EVENT_WAITS = 500
"""ELAST: `read` and `write` fail with it while an event waits to be taken."""
MOST_EVENTS = 64
"""So many events wait in a channel's queue; later ones are lost."""
CADENCE_PARTS = 16
PARAMS_SIZE = 136
"""Of struct dahdi_params: 12 int, 40 octets of name, 12 int."""
BUFFER_INFO_SIZE = 24
HWGAIN_SIZE = 8


class Call(Enum):
    """An ioctl: direction, index, size of the argument."""

    SET_BLOCKSIZE = Direction.WRITE, 1, _INT
    FLUSH = Direction.WRITE, 3, _INT
    GET_PARAMS = Direction.BOTH, 5, PARAMS_SIZE
    SET_PARAMS = Direction.WRITE, 5, PARAMS_SIZE
    HOOK = Direction.WRITE, 7, _INT
    GETEVENT = Direction.READ, 8, _INT
    SETTONEZONE = Direction.WRITE, 22, _INT
    GET_BUFINFO = Direction.READ, 27, BUFFER_INFO_SIZE
    SET_BUFINFO = Direction.WRITE, 27, BUFFER_INFO_SIZE
    ECHOCANCEL = Direction.WRITE, 33, _INT
    SPECIFY = Direction.WRITE, 38, _INT
    SETLINEAR = Direction.WRITE, 40, _INT
    SETCADENCE = Direction.WRITE, 42, CADENCE_PARTS * _INT
    ONHOOKTRANSFER = Direction.WRITE, 51, _INT
    SET_HWGAIN = Direction.WRITE, 86, HWGAIN_SIZE
    TONEDETECT = Direction.WRITE, 91, _INT
    SETPOLARITY = Direction.WRITE, 92, _INT
    VMWI = Direction.BOTH, 94, _INT
    VMWI_CONFIG = Direction.WRITE, 95, _INT

    def number(self, layout: Layout = HERE) -> int:
        """The ioctl's number on a family of processors."""
        direction, index, size = self.value
        return layout.number(direction, _LETTER, index, size)


class Hook(IntEnum):
    """Arguments of HOOK. A port for telephones is driven as the exchange's end of the line."""

    ON_HOOK = 0
    OFF_HOOK = 1
    RING = 5
    RING_OFF = 6


class Event(IntEnum):
    """What GETEVENT answers, as far as a port for telephones meets it."""

    NONE = 0
    ON_HOOK = 1
    OFF_HOOK = 2
    FLASH = 3
    ALARM = 4
    NO_ALARM = 5
    DIAL_COMPLETE = 9
    RINGER_ON = 10
    RINGER_OFF = 11
    HOOK_COMPLETE = 12
    PULSE_START = 14
    POLARITY = 17
    ECHO_CANCELLER_OFF = 19
    REMOVED = 20
    FAX_CALLED_HEARD_OUT = 23
    FAX_CALLED_HEARD_IN = 24
    FAX_CALLING_HEARD_OUT = 25
    FAX_CALLING_HEARD_IN = 26
    NLP_OFF = 27
    NLP_ON = 28


PULSE_DIGIT = 1 << 16
"""With the digit's ASCII in the low octet; 11 and 12 pulses are `*` and `#`."""
DTMF_DOWN = 1 << 17
DTMF_UP = 1 << 18
FLUSH_AUDIO = 3
"""Of FLUSH: reading and writing, but not events."""
FXOKS = 1 << 5 | 1 << 12
"""Kewlstart: a hang-up of ours drops the battery, so that the telephone sees it."""
FXOLS = 1 << 3 | 1 << 12
"""Loopstart: the battery is never dropped."""
TONEDETECT_ON_AND_MUTE = 3
LAMPS = {"": 0, "reversal": 1 << 0, "dc": 1 << 1, "ac": 1 << 2}
"""Of VMWI_CONFIG: what a card puts on an idle line while messages wait (dahdi_vmwi_info)."""
ALARM_RED = 1 << 3
ALARM_NOT_OPEN = 1 << 5
"""The span is being taken away: its channels can still be opened, for a second."""


class Param(IntEnum):
    """Places of the `int` in struct dahdi_params; the name lies where 12 to 21 would be."""

    SIGNALLING = 3
    IS_OFF_HOOK = 5
    FLASH_LONGEST_MS = 28
    ALARMS = 33


class Params:
    """struct dahdi_params: what a channel is, and how long its signals are."""

    def __init__(self, octets: bytes = bytes(PARAMS_SIZE)) -> None:
        assert len(octets) == PARAMS_SIZE, "the kernel's structure has this size"
        self.octets = bytearray(octets)

    def __getitem__(self, place: Param) -> int:
        value: int = struct.unpack_from("i", self.octets, place * _INT)[0]
        return value

    def __setitem__(self, place: Param, value: int) -> None:
        struct.pack_into("i", self.octets, place * _INT, value)


def cadence(pattern_ms: tuple[int, ...]) -> bytearray:
    """The argument of SETCADENCE: on, off... in milliseconds, ended by 0 if there is room.

    Raises:
        ValueError: there are more than 16 parts.
    """
    if len(pattern_ms) > CADENCE_PARTS:
        raise ValueError(f"a cadence has at most {CADENCE_PARTS} parts, not {len(pattern_ms)}")
    padded = pattern_ms + (0,) * (CADENCE_PARTS - len(pattern_ms))
    return bytearray(struct.pack(f"{CADENCE_PARTS}i", *padded))


def integer(value: int) -> bytearray:
    """The argument of a call that points to an int."""
    return bytearray(struct.pack("i", value))


def integer_of(octets: bytes | bytearray) -> int:
    """What a call has answered into its int."""
    value: int = struct.unpack("i", octets)[0]
    return value


def gain(tenths_db: int, to_the_ear: bool) -> bytearray:
    """struct dahdi_hwgain: gain in 0.1 dB of one direction.

    The direction is a bit-field of one bit, which compilers put at the first bit in memory.
    """
    bit = 1 if sys.byteorder == "little" else 1 << 31
    return bytearray(struct.pack("iI", tenths_db, bit if to_the_ear else 0))
