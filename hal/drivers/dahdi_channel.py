"""One open channel of DAHDI: its calls, with the kernel's error numbers put into words."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from hal.drivers.dahdi_abi import (
    BUFFER_INFO_SIZE,
    CADENCE_PARTS,
    EVENT_WAITS,
    FLUSH_AUDIO,
    FXOKS,
    FXOLS,
    MOST_EVENTS,
    PARAMS_SIZE,
    Call,
    Event,
    Hook,
    Param,
    Params,
    cadence,
    gain,
    integer,
    integer_of,
)
from hal.drivers.devicefile import DeviceFiles
from hal.drivers.octets import swapped
from hal.values import FRAME_SAMPLES, LineFault

T = TypeVar("T")
PATH = "/dev/dahdi/channel"
_BUFFERS = 4
_IMMEDIATE = 0
_NOT_THERE = (errno.ENOTTY, errno.ENOSYS, errno.EINVAL)
"""A driver that lacks an ioctl says one of these."""


class CardGone(Exception):
    """The card was pulled out, or its driver unloaded."""


class Channel:
    """An open channel.

    Any call may raise CardGone, after which it has to be closed, and LineFault where the card
    refuses.

    Args:
        number: the channel's, as in system.conf.
    Raises:
        LineFault: it cannot be opened; says what to do.
    """

    def __init__(self, files: DeviceFiles, number: int) -> None:
        self._files = files
        self.number = number
        self._fd = _open(files)
        self._closed = False
        self.overrun = False
        """True once the event queue was full: some events are lost."""
        try:
            _specify(files, self._fd, number)
            self.set(Call.SET_BLOCKSIZE, FRAME_SAMPLES)
            self._set_buffers()
            self.set(Call.SETLINEAR, 1)
            if self.params()[Param.SIGNALLING] not in (FXOKS, FXOLS):
                raise LineFault(
                    f"DAHDI channel {number} is not set up as a telephone's port; write "
                    f"`fxoks={number}` into /etc/dahdi/system.conf and run dahdi_cfg"
                )
        except CardGone:
            self.close()
            raise LineFault(f"DAHDI channel {number} went away; plug the card in again") from None
        except LineFault:
            self.close()
            raise

    def close(self) -> None:
        """Give the channel back."""
        self._closed = True
        with suppress(OSError):
            self._files.close(self._fd)

    def watch(self, audio: bool) -> int:
        """A descriptor that is readable when an event waits, or with `audio` a frame."""
        return self._files.watch(self._fd, audio)

    def params(self) -> Params:
        """What the channel is and how long its signals are."""
        octets = bytearray(PARAMS_SIZE)
        self._ask(Call.GET_PARAMS, octets)
        return Params(bytes(octets))

    def set_flash_longest(self, ms: int) -> None:
        """A break that lasts longer is a hang-up, and is told when so much has gone by."""
        params = self.params()
        params[Param.FLASH_LONGEST_MS] = ms
        self._ask(Call.SET_PARAMS, params.octets)

    def can(self, call: Call, value: int) -> bool:
        """Try a call that not every card has."""
        try:
            self._tell(call, value)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return False
            raise self._refused(call, error) from None
        return True

    def set_gain(self, tenths_db: int, to_the_ear: bool) -> bool:
        """Set the hardware's gain, if it has one."""
        try:
            self._call(Call.SET_HWGAIN, gain(tenths_db, to_the_ear))
        except OSError as error:
            if error.errno in _NOT_THERE:
                return False
            raise self._refused(Call.SET_HWGAIN, error) from None
        return True

    def set_tone_zone(self, zone: int) -> None:
        """Without a zone the kernel does not ring.

        Raises:
            LineFault: none is loaded.
        """
        try:
            self._tell(Call.SETTONEZONE, zone)
        except OSError as error:
            raise LineFault(
                f"DAHDI has no tone zone ({error.strerror}), and rings without one no telephone; "
                "write `loadzone=us` into /etc/dahdi/system.conf and run dahdi_cfg"
            ) from None

    def hook(self, state: Hook) -> bool:
        """Set our end of the line; False if the channel is busy with what it was told before."""
        try:
            self._tell(Call.HOOK, state)
        except OSError as error:
            if error.errno == errno.EINPROGRESS:
                return True  # without waiting, this is how ringing begins
            if error.errno == errno.EBUSY:
                return False
            if error.errno == errno.ENODATA:
                raise LineFault(
                    "DAHDI has no tone zone and does not ring; write `loadzone=us` into "
                    "/etc/dahdi/system.conf and run dahdi_cfg"
                ) from None
            raise self._refused(Call.HOOK, error) from None
        return True

    def set_cadence(self, pattern_ms: tuple[int, ...]) -> None:
        """How to ring.

        Raises:
            LineFault: the pattern is longer than the kernel's.
        """
        if len(pattern_ms) > CADENCE_PARTS:
            raise LineFault(
                f"DAHDI's cadences have at most {CADENCE_PARTS} parts, not {len(pattern_ms)}"
            )
        self._ask(Call.SETCADENCE, cadence(pattern_ms))

    def set(self, call: Call, value: int) -> None:
        """Make a call that is known to be there."""
        self._ask(call, integer(value))

    def flush(self) -> None:
        """Forget audio that is queued either way."""
        self._ask(Call.FLUSH, integer(FLUSH_AUDIO))

    def take_events(self) -> list[int]:
        """Empty the event queue."""
        events: list[int] = []
        while len(events) < 2 * MOST_EVENTS:
            octets = integer(0)
            self._ask(Call.GETEVENT, octets)
            event = integer_of(octets)
            if event in (Event.NONE, -1):
                break
            events.append(event)
        self.overrun = self.overrun or len(events) >= MOST_EVENTS
        return events

    def read(self, octets: int, on_event: Callable[[], None]) -> bytes:
        """What audio there is, at most so many octets; `on_event` is called if events wait."""
        try:
            return swapped(self._twice(lambda: self._files.read(self._fd, octets), on_event))
        except BlockingIOError:
            return b""

    def write(self, frame: bytes, on_event: Callable[[], None]) -> bool:
        """Queue a frame; False if there was no room and it is lost."""
        try:
            octets = swapped(frame)
            return self._twice(lambda: self._files.write(self._fd, octets), on_event) > 0
        except BlockingIOError:
            return False

    def _twice(self, attempt: Callable[[], T], on_event: Callable[[], None]) -> T:
        try:
            return attempt()
        except OSError as error:
            if error.errno != EVENT_WAITS:
                raise _gone_or(error) from None
        on_event()
        if self._closed:
            raise CardGone("an event said so, and the descriptor is nobody's now")
        try:
            return attempt()
        except OSError as error:
            if error.errno == EVENT_WAITS:  # another has come in between: the next turn takes it
                raise BlockingIOError from None
            raise _gone_or(error) from None

    def _set_buffers(self) -> None:
        octets = bytearray(BUFFER_INFO_SIZE)
        self._ask(Call.GET_BUFINFO, octets)
        info = memoryview(octets).cast("i")
        info[0] = info[1] = _IMMEDIATE
        info[2], info[3] = _BUFFERS, FRAME_SAMPLES
        info.release()
        self._ask(Call.SET_BUFINFO, octets)

    def _tell(self, call: Call, value: int) -> None:
        self._call(call, integer(value))

    def _ask(self, call: Call, octets: bytearray) -> None:
        try:
            self._call(call, octets)
        except OSError as error:
            raise self._refused(call, error) from None

    def _refused(self, call: Call, error: OSError) -> LineFault:
        return LineFault(
            f"DAHDI channel {self.number} refused {call.name}: {error.strerror}; "
            "see the kernel's log"
        )

    def _call(self, call: Call, octets: bytearray) -> None:
        try:
            self._files.ioctl(self._fd, call.number(), octets)
        except OSError as error:
            raise _gone_or(error) from None


def _gone_or(error: OSError) -> Exception:
    if error.errno in (errno.ENODEV, errno.ENXIO):
        return CardGone(error.strerror)
    return error


def _open(files: DeviceFiles) -> int:
    try:
        return files.open(PATH)
    except OSError as error:
        remedy = {
            errno.ENOENT: "load the driver of your card (`modprobe dahdi`) and run dahdi_cfg",
            errno.ENXIO: "load the driver of your card (`modprobe dahdi`) and run dahdi_cfg",
            errno.EACCES: "let this user into the group that owns it",
        }.get(error.errno or 0, "see the kernel's log")
        raise LineFault(f"{PATH} cannot be opened ({error.strerror}); {remedy}") from None


def _specify(files: DeviceFiles, fd: int, number: int) -> None:
    try:
        files.ioctl(fd, Call.SPECIFY.number(), integer(number))
    except OSError as error:
        if error.errno == errno.EBUSY:
            what = "is in use; stop the program that has it (Asterisk?)"
        else:
            what = (
                f"is not there ({error.strerror}); plug the card in, write `fxoks={number}` into "
                "/etc/dahdi/system.conf and run dahdi_cfg"
            )
        raise LineFault(f"DAHDI channel {number} {what}") from None
