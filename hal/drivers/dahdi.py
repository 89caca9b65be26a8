"""Ports of DAHDI: PCI and USB cards, and its software spans.

The kernel debounces the hook, times flashes and counts pulses. What a card or span lacks it
refuses with ENOTTY when the port is opened; then `capabilities` says so, and software takes over.
Frequency and voltage of ringing are the card's own (options of its module).
"""

from __future__ import annotations

from hal.drivers.dahdi_abi import (
    Call,
    Hook,
)
from hal.drivers.dahdi_card import ECHO_TAPS, DahdiCard
from hal.drivers.dahdi_channel import CardGone
from hal.drivers.dahdi_port import SHORTEST_TRANSFER_MS
from hal.values import (
    FRAME_OCTETS,
    Feed,
    LineEvent,
    LineFault,
    LineStatus,
    RingCadence,
    check_frame,
    check_transfer,
)


class DahdiLine(DahdiCard):
    """`hal.line.Line` over a channel of DAHDI.

    A card that is pulled out ends no call but its own: the receiver counts as put back, and the
    channel is opened again, every second at first, then ever more rarely. An alarm of the span
    does the same to a call, since it carries none.
    """

    @property
    def fault(self) -> str:
        """See `hal.line.Line`."""
        if self._closed:
            return self._closed_text
        if self._channel is None:
            return str(self._gone())
        return self._in_alarm if self._alarm else ""

    def take_events(self) -> list[LineEvent]:
        """See `hal.line.Line`."""
        if self._closed:
            return []
        if self._next_ms is not None and self._clock() >= self._next_ms:
            self._next_ms = None
            self._again()
        self._drain()
        events = list(self._events)
        self._events.clear()
        return events

    def ring(self, cadence: RingCadence | None) -> None:
        """See `hal.line.Line`."""
        if cadence is None and self._channel is None and not self._closed:
            return  # nothing rings on a card that is gone
        self._drain()
        channel = self._working()
        if cadence == self._cadence:
            return
        if self._alarm and cadence is not None:
            raise LineFault(self._in_alarm)
        if self._off_hook:
            return
        try:
            if cadence is not None:
                channel.set_cadence(cadence.pattern_ms)
            if self._cadence is not None:
                self._cadence = None
                channel.hook(Hook.RING_OFF)
            if cadence is None:
                return
            self._hook(channel, Hook.RING)
            self._cadence = cadence
        except CardGone:
            raise self._lose() from None

    def feed(self, feed: Feed) -> None:
        """See `hal.line.Line`. OPEN lasts 500 ms, as the kernel has it."""
        channel = self._working()
        can = self.capabilities
        if (feed is Feed.REVERSED and not can.reverses_feed) or (
            feed is Feed.OPEN and not can.opens_loop
        ):
            raise LineFault(f"DAHDI channel {channel.number} cannot have its feed {feed.value}")
        if feed is self._feed:
            return
        try:
            if can.reverses_feed and Feed.REVERSED in (feed, self._feed):
                channel.set(Call.SETPOLARITY, int(feed is Feed.REVERSED))
            if feed is Feed.OPEN:
                self._hook(channel, Hook.ON_HOOK)
            elif self._feed is Feed.OPEN and self._off_hook:
                self._hook(channel, Hook.OFF_HOOK)
        except CardGone:
            raise self._lose() from None
        self._feed = feed

    def audio(self, on: bool) -> None:
        """See `hal.line.Line`."""
        if self._closed:
            raise LineFault(self._closed_text)
        if on == self._audio:
            return
        self._audio = on
        self._partial = b""
        if self._channel is not None:
            self._guarded(lambda channel: self._set_audio(channel))

    def cancel_echo(self, on: bool) -> None:
        """See `hal.line.Line`."""
        channel = self._working()
        if not self.capabilities.cancels_echo or not self._audio:
            return
        try:
            channel.can(Call.ECHOCANCEL, ECHO_TAPS if on else 0)
        except CardGone:
            raise self._lose() from None

    def on_hook_transfer(self, ms: int) -> None:
        """See `hal.line.Line`."""
        check_transfer(ms)
        self._drain()
        channel = self._working()
        if not self.capabilities.transfers_on_hook:
            raise LineFault(
                f"DAHDI channel {channel.number} carries no audio to a receiver that is down"
            )
        if self._off_hook:
            return
        try:
            channel.flush()
            channel.set(Call.ONHOOKTRANSFER, max(SHORTEST_TRANSFER_MS, ms))
        except CardGone:
            raise self._lose() from None
        self._transfer = ms > 0

    def light_lamp(self, on: bool) -> None:
        """See `hal.line.Line`. The kernel sees to it that a lifted receiver has none of it."""
        self._lamp = on and self.capabilities.lights_lamp
        if not self.capabilities.lights_lamp or self._channel is None:
            return
        try:
            self._channel.set(Call.VMWI, int(on))
        except CardGone:
            raise self._lose() from None

    def read_audio(self) -> bytes | None:
        """See `hal.line.Line`."""
        if self._channel is None or not self._audio:
            return None
        wanted = FRAME_OCTETS - len(self._partial)
        try:
            self._partial += self._channel.read(wanted, self._drain)
        except CardGone:
            self._lose()
        if len(self._partial) < FRAME_OCTETS:
            return None
        frame, self._partial = self._partial, b""
        return frame

    def write_audio(self, frame: bytes) -> None:
        """See `hal.line.Line`."""
        check_frame(frame)
        if self._closed:
            raise LineFault(self._closed_text)
        if self._channel is None or not self._audio:
            return
        try:
            if not self._channel.write(frame, self._drain):
                self.lost_frames += 1
        except CardGone:
            self._lose()

    def show(self, status: LineStatus) -> None:
        """See `hal.line.Line`. Cards have lamps of their own."""

    def descriptors(self) -> tuple[int, ...]:
        """See `hal.line.Line`."""
        return () if self._channel is None else (self._channel.watch(self._audio),)

    def wake_at_ms(self) -> float | None:
        """See `hal.line.Line`."""
        return self._clock() if self._events else self._next_ms

    def close(self) -> None:
        """See `hal.line.Line`."""
        if self._closed:
            return
        self._closed = True
        channel, self._channel = self._channel, None
        self._cadence = None
        self._next_ms = None
        if channel is not None:
            try:
                if not self._off_hook:
                    channel.hook(Hook.RING_OFF)
            except (CardGone, LineFault):
                pass  # it is given back in any case
            finally:
                channel.close()
