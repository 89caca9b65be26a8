"""A telephone on a channel of DAHDI: what hangs on our line in the guest.

The channel has FXS signalling: it is the telephone's end of the pair. Keys, pulses and the flash
are the kernel's own (DIAL, HOOK), so that what our driver hears was not made by our code.
"""

from __future__ import annotations

import math
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum

from hal.drivers.dahdi_abi import (
    EVENT_WAITS,
    PARAMS_SIZE,
    Call,
    Event,
    Param,
    Params,
    integer,
    integer_of,
)
from hal.drivers.dahdi_channel import PATH
from hal.drivers.devicefile import DeviceFiles
from hal.drivers.ioctls import HERE, Direction
from hal.values import FRAME_MS, FRAME_OCTETS, FRAME_SAMPLES, RATE_HZ, SILENCE

DIAL = HERE.number(Direction.WRITE, 0xDA, 31, 260)
"""struct dahdi_dialoperation: an int (1: dial this now), then 256 octets of text."""
_REPLACE = 1
_BUFFERS = 16
_AHEAD = 6
"""Frames that are queued for the line: the guest's processor may be slow, the sound is not."""
_FULL_SCALE_DBM0 = 3.14
NAMES = {
    1: "battery dropped", 2: "ring ended", 4: "alarm", 5: "alarm over", 9: "dialled",
    12: "hook done", 17: "polarity", 18: "ring began", 20: "removed",
}  # fmt: skip
"""Events as the telephone's end of a line means them (dahdi/user.h)."""


CONTROL = "/dev/dahdi/ctl"


def longest_flash_ms(files: DeviceFiles, channel: int) -> int:
    """The longest flash that the kernel has for a channel, whoever has it open (rxflashtime)."""
    fd = files.open(CONTROL)
    try:
        octets = bytearray(PARAMS_SIZE)
        struct.pack_into("i", octets, 0, channel)
        files.ioctl(fd, Call.GET_PARAMS.number(), octets)
        return Params(bytes(octets))[Param.FLASH_LONGEST_MS]
    finally:
        files.close(fd)


class Hook(IntEnum):
    """Arguments of HOOK at the telephone's end."""

    ON = 0
    OFF = 1
    FLASH = 3


class Telephone:
    """One telephone.

    Args:
        clock: monotonic milliseconds.
    Raises:
        OSError: the channel is not there, or in use.
    """

    def __init__(self, files: DeviceFiles, channel: int, clock: Callable[[], float]) -> None:
        self._files = files
        self._clock = clock
        self._fd = files.open(PATH)
        self.events: list[tuple[float, str]] = []
        """All that happened on the line: monotonic milliseconds, and what."""
        self.recording = bytearray()
        """What the ear has heard since `listen`: 16-bit linear, 8000 a second."""
        self.frames = 0
        """Frames that the ear has heard since the channel is open."""
        self.lost = 0
        """Frames of the mouth that found no room."""
        self.off_hook = False
        self.dialling = False
        """The kernel is sending digits; audio that is written would end them."""
        self._mouth: deque[bytes] = deque()
        self._owed = _AHEAD
        self._ear = b""
        for call, value in (
            (Call.SPECIFY, channel), (Call.SET_BLOCKSIZE, FRAME_SAMPLES), (Call.SETLINEAR, 1),
        ):  # fmt: skip
            files.ioctl(self._fd, call.number(), integer(value))
        buffers = bytearray(struct.pack("6i", 0, 0, _BUFFERS, FRAME_SAMPLES, 0, 0))
        files.ioctl(self._fd, Call.SET_BUFINFO.number(), buffers)

    def descriptor(self) -> int:
        """Readable when `work` has something to do."""
        return self._files.watch(self._fd, True)

    def close(self) -> None:
        """Put the receiver back, and give the channel back."""
        self._files.close(self._fd)

    # What a hand does

    def lift(self) -> None:
        """Take the receiver off."""
        self._hook(Hook.OFF)
        self.off_hook = True
        self._mouth.clear()

    def hang_up(self) -> None:
        """Put it back."""
        self._hook(Hook.ON)
        self.off_hook = self.dialling = False
        self._mouth.clear()

    def flash(self) -> None:
        """Interrupt the loop as long as the kernel's flash lasts (750 ms)."""
        self._hook(Hook.FLASH)

    def dial(self, digits: str, *, pulses: bool = False) -> None:
        """Dial by keys or by a rotary dial; the kernel makes the tones and the breaks."""
        self.dialling = True
        text = ("P" if pulses else "T") + digits
        operation = struct.pack("i256s", _REPLACE, text.encode())
        self._files.ioctl(self._fd, DIAL, bytearray(operation))

    def say(self, hz: float, ms: float, dbm0: float) -> None:
        """Sound one tone at the mouthpiece, in place of what it was to say."""
        peak = 32_767 * 10 ** ((dbm0 - _FULL_SCALE_DBM0) / 20)
        step = 2 * math.pi * hz / RATE_HZ
        count = round(ms / FRAME_MS) * FRAME_SAMPLES
        values = (round(peak * math.sin(step * n)) for n in range(count))
        samples = struct.pack(f"<{count}h", *values)
        frames = range(0, len(samples), FRAME_OCTETS)
        self._mouth.clear()
        self._mouth.extend(samples[at : at + FRAME_OCTETS] for at in frames)

    def listen(self) -> None:
        """Record what the ear hears from now on."""
        self.recording.clear()

    # What the wires do

    def work(self) -> None:
        """Take events and audio, and keep the mouth's queue filled."""
        while self._take_event():
            pass
        try:
            while data := self._files.read(self._fd, FRAME_OCTETS):
                self._heard(data)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != EVENT_WAITS:
                raise

    def _heard(self, data: bytes) -> None:
        self.recording += data
        self._ear += data
        while len(self._ear) >= FRAME_OCTETS:
            self._ear = self._ear[FRAME_OCTETS:]
            self.frames += 1
            self._speak()

    def _speak(self) -> None:
        """For each frame that comes, one goes; at first some more, so that none is late."""
        if self.dialling:
            self._owed = _AHEAD
            return
        owed, self._owed = self._owed, 1
        for _ in range(owed):
            frame = self._mouth.popleft() if self._mouth else SILENCE
            try:
                self._files.write(self._fd, frame)
            except BlockingIOError:
                self.lost += 1
            except OSError as error:
                if error.errno != EVENT_WAITS:
                    raise
                self._mouth.appendleft(frame)

    def _take_event(self) -> bool:
        octets = integer(0)
        self._files.ioctl(self._fd, Call.GETEVENT.number(), octets)
        code = integer_of(octets)
        if code in (Event.NONE, -1):
            return False
        if code == Event.DIAL_COMPLETE:
            self.dialling = False
        self.events.append((self._clock(), NAMES.get(code, f"event {code}")))
        return True

    def _hook(self, hook: Hook) -> None:
        with suppress(BlockingIOError):  # EINPROGRESS: it has begun, and nobody waits here
            self._files.ioctl(self._fd, Call.HOOK.number(), integer(hook))
