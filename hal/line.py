"""The protocol that every driver of an FXS port follows."""

from __future__ import annotations

from typing import Protocol

from hal.values import Capabilities, Feed, LineEvent, LineStatus, RingCadence


class Line(Protocol):
    """One FXS port. Calls return at once; none waits for the far end.

    Audio is 16-bit linear little-endian, 8000 samples a second, 160 samples a 20 ms frame.
    Every method raises LineFault if the hardware refuses, having changed no cached state.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What the driver does by itself."""

    @property
    def fault(self) -> str:
        """Why no telephone can be rung here at present, a sentence; empty if one can.

        `take_events` finds a fault, and its end. With its beginning the receiver counts as put
        back; one that is up is told before the fault ends, or with its end.
        """

    def take_events(self) -> list[LineEvent]:
        """Drain what happened on the line, in order of arrival, each with its monotonic `at_ms`."""

    def ring(self, cadence: RingCadence | None) -> None:
        """Start ringing, or stop with None. Asking twice for the same is no error.

        Ring trip is the line card's own: ringing voltage leaves the line as soon as the handset
        draws direct current, before anybody reads the event.
        """

    def feed(self, feed: Feed) -> None:
        """Set the direct current feed. Without a call of this the line is fed forward.

        Raises:
            LineFault: this line cannot (`reverses_feed`, `opens_loop`).
        """

    def audio(self, on: bool) -> None:
        """Let audio frames run, or stop them. A line that is idle costs nothing."""

    def cancel_echo(self, on: bool) -> None:
        """Let the line's own echo canceller work, or let all pass for fax (ITU-T G.168, 7).

        It works whenever audio is switched on. A line that has none does nothing.

        Raises:
            LineFault: it has one (`cancels_echo`) that nobody can switch.
        """

    def on_hook_transfer(self, ms: int) -> None:
        """Let audio reach a telephone whose receiver is down, for so long: on-hook transmission.

        Audio has to run, too. Asked anew it lasts so long from now; 0 ends it. While the line
        rings, audio passes in the pauses of the cadence alone. A receiver that is lifted ends it.

        Raises:
            LineFault: this line cannot (`transfers_on_hook`).
            ValueError: `ms` is negative.
        """

    def light_lamp(self, on: bool) -> None:
        """Light a telephone's message-waiting lamp by the line's own voltage, or let it go out.

        A line that cannot (`lights_lamp`) does nothing. What is told by signals of caller ID is
        audio, and no business of this.
        """

    def read_audio(self) -> bytes | None:
        """The next frame from the mouthpiece, or None if none is complete yet or audio is off."""

    def write_audio(self, frame: bytes) -> None:
        """Queue one frame for the earpiece. Late frames are heard as silence, too many are lost.

        Raises:
            ValueError: the frame is not 320 octets long.
        """

    def show(self, status: LineStatus) -> None:
        """Show the device's state on whatever lamp there is."""

    def descriptors(self) -> tuple[int, ...]:
        """File descriptors whose readability means: call `take_events` and `read_audio`."""

    def wake_at_ms(self) -> float | None:
        """When, by the monotonic clock, there will be something without a descriptor's help."""

    def close(self) -> None:
        """Stop ringing, give everything back. Closing twice is no error."""
