"""What a port of DAHDI is to be, what its card turns out to be able to do, and its digits."""

from __future__ import annotations

from boards.lines import DahdiSettings
from hal.drivers.dahdi_abi import (
    DTMF_DOWN,
    FXOKS,
    LAMPS,
    PULSE_DIGIT,
    TONEDETECT_ON_AND_MUTE,
    Call,
    Param,
)
from hal.drivers.dahdi_channel import Channel
from hal.drivers.settings import HookTiming
from hal.dsp.dtmf import DIGITS
from hal.values import (
    Capabilities,
    DtmfDigit,
    FlashSeen,
    LineEvent,
    LineFault,
    PulseDigit,
    ShortBreak,
    UnknownEvent,
)

SHORTEST_TRANSFER_MS = 1
"""0 would let some cards stay in on-hook transmission."""


def probe(channel: Channel, port: DahdiSettings) -> Capabilities:
    """Ask the card what it has, by calls that change nothing on an idle line.

    Raises:
        LineFault: the port wants what the card has not.
        CardGone: it went away.
    """
    gains = channel.set_gain(round(port.gain_in_db * 10), False)
    gains = channel.set_gain(round(port.gain_out_db * 10), True) and gains
    if not gains and (port.gain_in_db or port.gain_out_db):
        raise LineFault(
            f"DAHDI channel {channel.number} has no gain to set; remove gain_in_db and "
            "gain_out_db from the board file"
        )
    lamp = channel.can(Call.VMWI_CONFIG, LAMPS[port.lamp])
    if port.lamp and not lamp:
        raise LineFault(
            f"DAHDI channel {channel.number} has no way to light a lamp; remove `lamp` from the "
            "board file"
        )
    return Capabilities(
        debounces_hook=True,
        counts_pulses=True,
        detects_dtmf=port.detect_dtmf and channel.can(Call.TONEDETECT, TONEDETECT_ON_AND_MUTE),
        reverses_feed=channel.can(Call.SETPOLARITY, 0),
        opens_loop=channel.params()[Param.SIGNALLING] == FXOKS,
        transfers_on_hook=channel.can(Call.ONHOOKTRANSFER, SHORTEST_TRANSFER_MS),
        lights_lamp=bool(port.lamp),
        sets_gain=gains,
        cancels_echo=port.echo_canceller and channel.can(Call.ECHOCANCEL, 0),
    )


def digit_of(code: int, now_ms: float, timing: HookTiming) -> LineEvent | None:
    """A digit that the kernel counted or heard; None if pulses mean nothing here.

    The kernel tells how many pulses there were, not how long: where a flash is as short as a
    pulse, a single one may be either.
    """
    digit = chr(code & 0x7F)
    if code & PULSE_DIGIT and digit.isdecimal():
        if digit == "1" and timing.flash_is_pulse:
            return ShortBreak(now_ms) if timing.pulse else FlashSeen(now_ms)
        return PulseDigit(now_ms, digit) if timing.pulse else None
    if code & DTMF_DOWN and digit in DIGITS:
        return DtmfDigit(now_ms, digit)
    return UnknownEvent(now_ms, code)
