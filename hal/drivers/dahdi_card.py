"""A DAHDI card behind a line: its channel, its absences, and what its events mean."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from boards.lines import DahdiSettings
from hal.drivers.dahdi_abi import (
    ALARM_NOT_OPEN,
    ALARM_RED,
    DTMF_UP,
    Call,
    Event,
    Hook,
    Param,
)
from hal.drivers.dahdi_channel import CardGone, Channel
from hal.drivers.dahdi_port import SHORTEST_TRANSFER_MS, digit_of, probe
from hal.drivers.devicefile import DeviceFiles
from hal.drivers.settings import HookTiming
from hal.values import (
    Capabilities,
    Feed,
    FlashSeen,
    HookChanged,
    LineEvent,
    LineFault,
    RingCadence,
)

_log = logging.getLogger("loopstart")
_MOST_EVENTS = 1_000
_REOPEN_FIRST_MS = 1_000.0
_REOPEN_MOST_MS = 30_000.0
_BUSY_AGAIN_MS = 100.0
"""After the battery was dropped the kernel is busy for 800 ms."""
ECHO_TAPS = 128
_SILENT_EVENTS = frozenset(Event) - {
    Event.ON_HOOK, Event.OFF_HOOK, Event.FLASH, Event.ALARM, Event.NO_ALARM, Event.REMOVED
}  # fmt: skip


class DahdiCard:
    """One channel of a card that may be pulled out and come back.

    Args:
        clock: monotonic milliseconds.
    Raises:
        LineFault: the channel cannot be opened.
    """

    def __init__(
        self,
        files: DeviceFiles,
        port: DahdiSettings,
        timing: HookTiming,
        clock: Callable[[], float],
    ) -> None:
        self._files = files
        self._port = port
        self._timing = timing
        self._clock = clock
        self._events: deque[LineEvent] = deque(maxlen=_MOST_EVENTS)
        self._off_hook = False
        self._cadence: RingCadence | None = None
        self._feed = Feed.FORWARD
        self._audio = False
        self._transfer = False
        self._partial = b""
        self._alarm = False
        self._lamp = False
        self._closed = False
        self._wanted: Hook | None = None
        self._next_ms: float | None = None
        self._pause_ms = _REOPEN_FIRST_MS
        self.capabilities = Capabilities()
        self.lost_frames = 0
        """Frames that found no room on their way to the ear."""
        self._channel: Channel | None = None
        self._channel = self._open()

    @property
    def _closed_text(self) -> str:
        return f"the line of DAHDI channel {self._port.channel} is closed; open it again"

    @property
    def _in_alarm(self) -> str:
        return f"DAHDI channel {self._port.channel} is in alarm and cannot ring"

    def _working(self) -> Channel:
        if self._closed:
            raise LineFault(self._closed_text)
        if self._channel is None:
            raise self._gone()
        return self._channel

    def _gone(self) -> LineFault:
        return LineFault(
            f"the card of DAHDI channel {self._port.channel} is gone; plug it in again, "
            "the line comes back by itself"
        )

    def _open(self) -> Channel:
        channel = Channel(self._files, self._port.channel)
        try:
            if channel.params()[Param.ALARMS] & ALARM_NOT_OPEN:
                raise CardGone("the kernel is about to take it away")
            self.capabilities = probe(channel, self._port)
            channel.set_tone_zone(self._port.tone_zone)
            channel.set_flash_longest(self._timing.release_ms)
            params = channel.params()
            self._set_alarm(bool(params[Param.ALARMS] & ALARM_RED))
            if params[Param.IS_OFF_HOOK] and not self._alarm:
                self._hook(channel, Hook.OFF_HOOK)
                self._off_hook = True
                self._events.append(HookChanged(self._clock(), True))
            if self._audio:
                self._set_audio(channel)
            if self._lamp:
                channel.can(Call.VMWI, 1)
        except CardGone:
            channel.close()
            raise self._gone() from None
        except LineFault:
            channel.close()
            raise
        return channel

    def _set_audio(self, channel: Channel) -> None:
        if self._audio:
            channel.flush()
        if self.capabilities.cancels_echo:
            channel.can(Call.ECHOCANCEL, ECHO_TAPS if self._audio else 0)
        channel.watch(self._audio)

    def _guarded(self, action: Callable[[Channel], None]) -> None:
        """Do something whose failure is the card's absence, which events tell."""
        if self._channel is None:
            return
        try:
            action(self._channel)
        except (CardGone, LineFault):
            self._lose()

    def _hook(self, channel: Channel, state: Hook) -> None:
        """Set our end of the line, later if the kernel is busy with what came before."""
        self._wanted = None
        if not channel.hook(state):
            self._wanted = state
            self._next_ms = self._clock() + _BUSY_AGAIN_MS

    def _again(self) -> None:
        """Something was put off: the hook's state, or the whole card."""
        wanted = self._wanted
        if self._channel is not None:
            if wanted is not None and self._still_wanted(wanted):
                self._guarded(lambda channel: self._hook(channel, wanted))
            return
        try:
            self._channel = self._open()
        except LineFault as fault:
            self._pause_ms = min(2 * self._pause_ms, _REOPEN_MOST_MS)
            self._next_ms = self._clock() + self._pause_ms
            _log.debug("card is still away", extra={"detail": str(fault)})
            return
        self._pause_ms = _REOPEN_FIRST_MS
        self._feed = Feed.FORWARD
        _log.info("card is back", extra={"detail": f"DAHDI channel {self._port.channel}"})

    def _still_wanted(self, state: Hook) -> bool:
        if state is Hook.RING:
            return self._cadence is not None and not self._off_hook
        return state is not Hook.OFF_HOOK or self._off_hook

    def _lose(self) -> LineFault:
        """The card is gone: a safe state, and a word about it. Returns what to raise."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
            _log.warning("card is gone", extra={"detail": str(self._gone())})
        now_ms = self._clock()
        if self._off_hook:
            self._off_hook = False
            self._events.append(HookChanged(now_ms, False))
        self._cadence = None
        self._wanted = None
        self._transfer = False
        self._partial = b""
        self._next_ms = now_ms + self._pause_ms
        return self._gone()

    # Events

    def _drain(self) -> None:
        """Take the kernel's events: audio waits until the queue is empty."""
        channel = self._channel
        if channel is None:
            return
        try:
            for code in channel.take_events():
                self._note(channel, code)
                if self._channel is None:
                    return
            if channel.overrun:
                channel.overrun = False
                self._believe(channel)
        except (CardGone, LineFault):
            self._lose()

    def _believe(self, channel: Channel) -> None:
        """Events were lost: see where the receiver is."""
        off_hook = bool(channel.params()[Param.IS_OFF_HOOK])
        if off_hook != self._off_hook:
            self._note(channel, Event.OFF_HOOK if off_hook else Event.ON_HOOK)

    def _note(self, channel: Channel, code: int) -> None:
        now_ms = self._clock()
        if self._alarm and code in (Event.OFF_HOOK, Event.ON_HOOK, Event.FLASH):
            return  # a span in alarm knows nothing of the hook: its end shows where that is
        if code == Event.OFF_HOOK:
            self._lifted(channel, now_ms)
        elif code == Event.ON_HOOK:
            self._put_back(channel, now_ms)
        elif code == Event.FLASH:
            if self._timing.flash and self._off_hook:
                self._events.append(FlashSeen(now_ms))
        elif code == Event.REMOVED:
            self._lose()
        elif code in (Event.ALARM, Event.NO_ALARM):
            self._note_alarm(channel, code == Event.ALARM, now_ms)
        elif code not in _SILENT_EVENTS and not code & DTMF_UP:
            event = digit_of(code, now_ms, self._timing)
            if event is not None:
                self._events.append(event)

    def _set_alarm(self, alarm: bool) -> None:
        if alarm is self._alarm:
            return
        self._alarm = alarm
        say = _log.warning if alarm else _log.info
        text = "card is in alarm" if alarm else "card is out of alarm"
        say(text, extra={"detail": f"DAHDI channel {self._port.channel}"})

    def _note_alarm(self, channel: Channel, alarm: bool, now_ms: float) -> None:
        """The span carries nothing while it is in alarm: a call is over, and so is ringing."""
        if alarm is self._alarm:
            return
        self._set_alarm(alarm)
        if not alarm:
            self._believe(channel)
            return
        if self._cadence is not None:
            self._cadence = None
            channel.hook(Hook.RING_OFF)
        if self._off_hook:
            self._put_back(channel, now_ms)

    def _lifted(self, channel: Channel, now_ms: float) -> None:
        self._cadence = None
        self._wanted = None
        if self._transfer:
            self._transfer = False
            channel.can(Call.ONHOOKTRANSFER, SHORTEST_TRANSFER_MS)
        self._hook(channel, Hook.OFF_HOOK)
        if not self._off_hook:
            self._off_hook = True
            self._events.append(HookChanged(now_ms, True))

    def _put_back(self, channel: Channel, now_ms: float) -> None:
        self._hook(channel, Hook.ON_HOOK)
        if self._off_hook:
            self._off_hook = False
            self._events.append(HookChanged(now_ms, False))
