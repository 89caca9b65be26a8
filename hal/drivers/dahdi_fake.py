"""A DAHDI card, or a software span, with a simulated handset on it: `DeviceFiles` for tests.

It keeps the states and times that the kernel keeps for a channel with FXO signalling: ringing in
cadence, the battery drop of a hang-up (kewlstart), flash, pulses, an event queue that is full at
64. A software span refuses what it has not with ENOTTY, as DAHDI does.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from enum import Enum

from hal.drivers.dahdi_abi import (
    ALARM_NOT_OPEN,
    ALARM_RED,
    BUFFER_INFO_SIZE,
    CADENCE_PARTS,
    EVENT_WAITS,
    FXOKS,
    MOST_EVENTS,
    PULSE_DIGIT,
    Call,
    Event,
    Hook,
    Param,
    Params,
    integer,
    integer_of,
)
from hal.drivers.dahdi_channel import PATH
from hal.drivers.wire import Debounce, FrameClock, Wire
from hal.values import FRAME_OCTETS, Feed

_KEWL_MS, _AFTER_KEWL_MS = 500.0, 300.0
_OFF_HOOK_DEBOUNCE_MS = 600.0
_FLASH_LONGEST_MS = 1_250
_PULSE_MS = (15.0, 200.0)
_PULSE_TIMEOUT_MS = 250.0
_CARD_DEBOUNCE_MS = 10.0
_MOST_PULSES = 12
_BUFFERS = 4
_RING_VRMS, _RING_HZ = 65, 20
_LEAVING_MS = 1_050.0
"""From the word that a card goes to the end of its channels, if programs have them open."""
_FD = 41
_HARDWARE_ONLY = frozenset(
    {
        Call.SETPOLARITY,
        Call.ONHOOKTRANSFER,
        Call.SET_HWGAIN,
        Call.TONEDETECT,
        Call.VMWI,
        Call.VMWI_CONFIG,
    }
)
_CALLS = {call.number(): call for call in Call}


class _State(Enum):
    """What the kernel calls txstate."""

    ON_HOOK = "on_hook"
    OFF_HOOK = "off_hook"
    DEBOUNCE = "debounce"
    RING_ON = "ring_on"
    RING_OFF = "ring_off"
    KEWL = "kewl"
    AFTER_KEWL = "after_kewl"


class FakeDahdi:
    """One channel.

    Args:
        software: a span of dahdi_dynamic_loc: no hardware behind it.
        zone: a tone zone is loaded.
        signalling: as dahdi_cfg has set it.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        channel: int = 1,
        *,
        software: bool = False,
        zone: bool = True,
        signalling: int = FXOKS,
        seed: int = 1,
    ) -> None:
        self.wire = Wire(clock, self._raw, seed)
        self.frames = FrameClock(self.wire, _BUFFERS, _BUFFERS)
        self.installed = True
        """The driver is loaded: /dev/dahdi/channel is there."""
        self.present = True
        """The card is plugged in."""
        self.in_use = False
        self.lamp_by = 0
        """What lights a telephone's lamp: a reversal, high voltage direct or alternating."""
        self.lamp_lit = False
        self.zone = zone
        self.calls: list[tuple[Call, int]] = []
        """Calls with one int, in order."""
        self._debounce = Debounce(self.wire, _CARD_DEBOUNCE_MS, self._hook_changed)
        self._channel = channel
        self._software = software
        self._open = self._specified = self._watching_audio = False
        self._events: deque[int] = deque()
        self.params = Params()
        self.params[Param.SIGNALLING] = signalling
        self.params[Param.FLASH_LONGEST_MS] = _FLASH_LONGEST_MS
        self._state = _State.ON_HOOK
        self._cadence: list[int] = []
        self._cadence_part = 0
        self._break_ms: float | None = None
        self._pulses = 0
        self._told_off_hook = False
        self._on_hook_in_kewl = False

    # What happens to a card

    def pull_out(self) -> None:
        """Take the card out of the running machine."""
        self.wire.advance()
        self.params[Param.ALARMS] = ALARM_NOT_OPEN
        self._event(Event.REMOVED)
        self._event(Event.ALARM)
        if self._specified:
            self.wire.at("leave", self.wire.now_ms + _LEAVING_MS, self._leave)
        else:
            self._leave(self.wire.now_ms)

    def _leave(self, at_ms: float) -> None:
        self.present = False
        self._silence()

    def plug_in(self) -> None:
        """Put it back."""
        self.wire.advance()
        self.wire.cancel("leave")
        self.params[Param.ALARMS] = 0
        self.present = True
        self.wire.set_feed(self.wire.now_ms, Feed.FORWARD)

    def be_busy(self) -> None:
        """Begin a battery drop that nobody has asked for."""
        self._drop_battery(self.wire.now_ms)

    def alarm(self, on: bool) -> None:
        """A red alarm of the span begins or ends."""
        self.params[Param.ALARMS] = ALARM_RED if on else 0
        self._event(Event.ALARM if on else Event.NO_ALARM)

    def readable(self) -> bool:
        """Whether the watched descriptor would wake the program."""
        self.wire.advance()
        return bool(self._events) or (self._watching_audio and bool(self.frames.mouth))

    # DeviceFiles

    def open(self, path: str) -> int:
        """See `DeviceFiles`."""
        if path != PATH or not self.installed:
            raise _error(errno.ENOENT)
        self._open = True
        return _FD

    def close(self, fd: int) -> None:
        """See `DeviceFiles`."""
        self._check(fd)
        self.wire.advance()
        self._open = self._specified = self._watching_audio = False
        self._silence()

    def watch(self, fd: int, readable: bool) -> int:
        """See `DeviceFiles`."""
        self._check(fd)
        self._watching_audio = readable
        return _FD + 1

    def read(self, fd: int, octets: int) -> bytes:
        """See `DeviceFiles`."""
        self._ready(fd)
        if not self.frames.mouth:
            raise _error(errno.EAGAIN)
        assert octets >= FRAME_OCTETS, "the driver reads whole blocks"
        return self.frames.mouth.popleft()

    def write(self, fd: int, data: bytes) -> int:
        """See `DeviceFiles`."""
        self._ready(fd)
        if not self.frames.put(data):
            raise _error(errno.EAGAIN)
        return len(data)

    def ioctl(self, fd: int, number: int, argument: bytearray | int = 0) -> int:
        """See `DeviceFiles`."""
        self._check(fd)
        self.wire.advance()
        call = _CALLS.get(number)
        assert isinstance(argument, bytearray), "DAHDI's calls point to their argument"
        assert call is None or len(argument) == call.value[2], "an argument of another size"
        if call is Call.SPECIFY:
            self._specify(integer_of(argument))
            return 0
        if not self._specified:
            raise _error(errno.ENOSYS)
        if not self.present and not self._events:
            raise _error(errno.ENODEV)
        if call is None or (self._software and call in _HARDWARE_ONLY):
            raise _error(errno.ENOTTY)
        if call is Call.SETCADENCE:
            self._cadence = [part for part in memoryview(argument).cast("i") if part]
            assert len(self._cadence) <= CADENCE_PARTS, "the structure holds no more"
        elif call is Call.GET_PARAMS:
            self.params[Param.IS_OFF_HOOK] = int(self._debounce.steady)
            argument[:] = self.params.octets
        elif call is Call.SET_PARAMS:
            self.params = Params(bytes(argument))
        elif call is Call.GET_BUFINFO:
            argument[:] = bytes(BUFFER_INFO_SIZE)
        elif call is Call.GETEVENT:
            argument[:] = integer(self._events.popleft() if self._events else Event.NONE)
        elif call not in (Call.SET_BUFINFO, Call.SET_HWGAIN):
            self._call(call, integer_of(argument))
        return 0

    def _specify(self, channel: int) -> None:
        if channel != self._channel or not self.present:
            raise _error(errno.EINVAL)
        if self.in_use:
            raise _error(errno.EBUSY)
        self._specified = True
        self._events.clear()
        self._state = _State.ON_HOOK
        self._break_ms = None
        self._pulses = 0
        self._told_off_hook = False
        self.frames.start(self.wire.now_ms)

    def _call(self, call: Call, value: int) -> None:
        self.calls.append((call, value))
        now_ms = self.wire.now_ms
        if call is Call.HOOK:
            self._hook(Hook(value), now_ms)
        elif call is Call.FLUSH:
            self.frames.flush()
        elif call is Call.SETTONEZONE and not self.zone:
            raise _error(errno.ENODATA)
        elif call is Call.SETPOLARITY:
            if self._state in (_State.RING_ON, _State.KEWL):
                raise _error(errno.EINVAL)
            self.wire.set_feed(now_ms, Feed.REVERSED if value else Feed.FORWARD)
        elif call is Call.VMWI_CONFIG:
            self.lamp_by, self.lamp_lit = value, False
        elif call is Call.VMWI:
            self.lamp_lit = bool(value and self.lamp_by)
        elif call is Call.ONHOOKTRANSFER:
            assert value > 0, "0 milliseconds never end on a TDM400P"
            self.wire.transfers = True
            self.wire.at("transfer", now_ms + value, self._end_transfer)

    def _hook(self, hook: Hook, now_ms: float) -> None:
        if hook is Hook.RING:
            if not self.zone:
                raise _error(errno.ENODATA)
            if self._state is not _State.ON_HOOK:
                raise _error(errno.EBUSY)
            self._cadence_part = -1
            self._next_ring_part(now_ms)
            raise _error(errno.EINPROGRESS)
        if hook is Hook.OFF_HOOK:
            if self._state in (_State.KEWL, _State.AFTER_KEWL):
                raise _error(errno.EBUSY)
            self._ring_voltage(now_ms, False)
            self._state = _State.DEBOUNCE
            self.wire.at("state", now_ms + _OFF_HOOK_DEBOUNCE_MS, self._debounced)
            return
        self._ring_voltage(now_ms, False)
        self.wire.cancel("state")
        if hook is Hook.ON_HOOK:
            self.frames.flush()
            away = not self._debounce.steady and self._break_ms is None
            kewl = self.params[Param.SIGNALLING] == FXOKS and self._state is not _State.ON_HOOK
            if kewl and not away:
                self._drop_battery(now_ms)
                return
        self._state = _State.ON_HOOK

    def _drop_battery(self, now_ms: float) -> None:
        self._on_hook_in_kewl = False
        self._state = _State.KEWL
        self.wire.set_feed(now_ms, Feed.OPEN)
        self.wire.at("state", now_ms + _KEWL_MS, self._end_kewl)

    # The kernel's timers

    def _end_kewl(self, at_ms: float) -> None:
        self._state = _State.AFTER_KEWL
        self.wire.set_feed(at_ms, Feed.FORWARD)
        self.wire.at("state", at_ms + _AFTER_KEWL_MS, self._end_after_kewl)

    def _end_after_kewl(self, at_ms: float) -> None:
        if self._on_hook_in_kewl:
            self._event(Event.ON_HOOK)
        self._state = _State.ON_HOOK
        self._told_off_hook = False

    def _debounced(self, at_ms: float) -> None:
        self._state = _State.OFF_HOOK
        if not self._debounce.steady:
            self._break_begins(at_ms)

    def _next_ring_part(self, at_ms: float) -> None:
        self._cadence_part = (self._cadence_part + 1) % len(self._cadence)
        on = self._cadence_part % 2 == 0
        if self._state is not _State.ON_HOOK:
            self._event(Event.RINGER_ON if on else Event.RINGER_OFF)
        self._state = _State.RING_ON if on else _State.RING_OFF
        self._ring_voltage(at_ms, on)
        self.wire.at("state", at_ms + self._cadence[self._cadence_part], self._next_ring_part)

    def _ring_voltage(self, at_ms: float, on: bool) -> None:
        on = on and not (self.wire.flowing and not self._software)
        self.wire.supply(at_ms, _RING_VRMS if on else 0, _RING_HZ if on else 0)

    def _end_transfer(self, at_ms: float) -> None:
        self.wire.transfers = False

    # What the telephone does

    def _raw(self, at_ms: float, flowing: bool) -> None:
        if flowing and not self._software:
            self.wire.supply(at_ms, 0, 0)  # the card's own ring trip
        self._debounce.edge(at_ms, flowing)

    def _hook_changed(self, at_ms: float, off_hook: bool) -> None:
        if not off_hook:
            self._went_on_hook(at_ms)
            return
        self._on_hook_in_kewl = False
        began_ms, self._break_ms = self._break_ms, None
        self.wire.cancel("flash")
        if began_ms is None:
            if not self._told_off_hook:
                self._told_off_hook = True
                self._event(Event.OFF_HOOK)
        elif at_ms - began_ms > _PULSE_MS[1]:
            self._event(Event.FLASH)
        elif at_ms - began_ms >= _PULSE_MS[0]:
            self._pulses += 1
            if self._pulses == 1:
                self._event(Event.PULSE_START)
            self.wire.at("pulse", at_ms + _PULSE_TIMEOUT_MS, self._end_digit)

    def _went_on_hook(self, at_ms: float) -> None:
        if self._state is _State.KEWL:
            self._on_hook_in_kewl = True
        elif self._state not in (_State.DEBOUNCE, _State.AFTER_KEWL):
            self._break_begins(at_ms)

    def _break_begins(self, at_ms: float) -> None:
        self._break_ms = at_ms
        self.wire.at("flash", at_ms + self.params[Param.FLASH_LONGEST_MS], self._hung_up)

    def _hung_up(self, at_ms: float) -> None:
        self._break_ms = None
        self._told_off_hook = False
        self._event(Event.ON_HOOK)

    def _end_digit(self, at_ms: float) -> None:
        pulses, self._pulses = self._pulses, 0
        if pulses <= _MOST_PULSES:
            digit = {10: "0", 11: "*", 12: "#"}.get(pulses, str(pulses))
            self._event(PULSE_DIGIT | ord(digit))

    def _event(self, code: int) -> None:
        if self._specified and len(self._events) < MOST_EVENTS:
            self._events.append(code)

    def _silence(self) -> None:
        for name in ("state", "flash", "pulse"):
            self.wire.cancel(name)
        self._ring_voltage(self.wire.now_ms, False)
        self.wire.set_feed(self.wire.now_ms, Feed.FORWARD if self.present else Feed.OPEN)
        self.wire.transfers = False
        self.frames.stop()

    def _check(self, fd: int) -> None:
        if fd != _FD or not self._open:
            raise _error(errno.EBADF)

    def _ready(self, fd: int) -> None:
        self._check(fd)
        self.wire.advance()
        if self._events:
            raise _error(EVENT_WAITS)
        if not self.present:
            raise _error(errno.ENODEV)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
