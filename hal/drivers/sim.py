"""A line card with a simulated handset on its wire."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from boards.lines import FaultSettings
from hal.drivers import faults as physics
from hal.drivers.handset import Handset
from hal.dsp.levels import level_dbm0, mix
from hal.line_tests import Probe, Reach, Reading
from hal.values import (
    FRAME_MS,
    SILENCE,
    Capabilities,
    Feed,
    LineEvent,
    LineFault,
    LineStatus,
    LoopCurrent,
    RingCadence,
    check_frame,
    check_transfer,
)

if TYPE_CHECKING:
    from hal.drivers.hybrid import Hybrid
    from hal.drivers.sim_control import ControlServer

_BATTERY_V = 48
_OFF_HOOK_V = 7
"""Across a telephone that draws current."""
_SPARE_EAR_FRAMES = 2
_MOST_MOUTH_FRAMES = 10
_MOST_EVENTS = 1_000
_LAG_FORGIVEN_MS = 500.0
"""A device that slept longer has missed its frames: the wire does not wait."""


class SimLine:
    """`hal.line.Line` over a wire to a `Handset`.

    It debounces nothing, counts nothing and detects nothing: all that it does by itself is to feed
    the loop either way or not at all, to carry audio to a telephone that is on the hook, and to
    measure the line, whose `faults` others may set.

    Args:
        clock: monotonic milliseconds.
        control: path of a UNIX socket through which others move the handset; empty for none.
        seed: of the bounce of the handset's contacts.
        in_hand: frames that wait for the ear, so that a device that is late leaves no gap.
        hybrid: gives back to the mouthpiece of what goes to the ear; None: the line has no echo.
        faults: what is wrong with the line; None: nothing.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        control: str = "",
        seed: int = 1,
        hybrid: Hybrid | None = None,
        faults: FaultSettings | None = None,
        in_hand: int = 1,
    ) -> None:
        self.capabilities = Capabilities(
            reverses_feed=True,
            opens_loop=True,
            transfers_on_hook=True,
            cancels_echo=hybrid is None,  # as good as: there is none
            measures_line=True,
        )
        self._faults = faults or FaultSettings()
        self._probe: Probe | None = None
        self._clock = clock
        self._hybrid = hybrid
        self.handset = Handset(seed)
        self.status = LineStatus()
        self._events: deque[LineEvent] = deque(maxlen=_MOST_EVENTS)
        self._flowing = False
        self._feed = Feed.FORWARD
        self._cadence: RingCadence | None = None
        self._ring_part = 0
        self._ring_next_ms = 0.0
        self._audio = False
        self._frame_ms = 0.0
        self._transfer_until_ms = 0.0
        self._mouth: deque[bytes] = deque(maxlen=_MOST_MOUTH_FRAMES)
        self._in_hand = in_hand
        self._ear: deque[bytes] = deque(maxlen=in_hand + _SPARE_EAR_FRAMES)
        self.starved = 0
        """Frames that the ear had to do without, since the device was late."""
        self._closed = False
        if self._faults.off_hook:
            self.handset.lift(clock())
        self._sense(clock())
        self._control: ControlServer | None = None
        if control:
            from hal.drivers.sim_control import ControlServer

            self._control = ControlServer(control, self, clock)

    # Line protocol

    fault = ""
    """See `hal.line.Line`. It has none, but a test may say so."""

    def take_events(self) -> list[LineEvent]:
        """See `hal.line.Line`."""
        if self._control is not None:
            self._control.serve(self._clock())
        self.advance()
        if self._control is not None:
            self._control.answer_waiting(self._clock())
        events = list(self._events)
        self._events.clear()
        return events

    def ring(self, cadence: RingCadence | None) -> None:
        """See `hal.line.Line`."""
        self._check_open()
        now_ms = self._clock()
        self.advance()
        if cadence == self._cadence:
            return
        self._end_probe()
        if cadence is None:
            self._stop_ring(now_ms)
            return
        if self._flowing:
            return  # ring trip: no ringing voltage while the handset draws current
        self._cadence = cadence
        self._ring_part = 0
        self._ring_next_ms = now_ms + cadence.pattern_ms[0]
        self.handset.supply(now_ms, cadence.vrms, cadence.hz)

    def feed(self, feed: Feed) -> None:
        """See `hal.line.Line`."""
        self._check_open()
        self.advance()
        self._feed = feed
        self._sense(self._clock())

    def audio(self, on: bool) -> None:
        """See `hal.line.Line`."""
        self._check_open()
        if on == self._audio:
            return
        self._audio = on
        self._mouth.clear()
        self._ear.clear()
        if on:
            self._frame_ms = self._clock() + FRAME_MS
            self._ear.extend([SILENCE] * self._in_hand)

    def cancel_echo(self, on: bool) -> None:
        """See `hal.line.Line`. It has none."""

    def on_hook_transfer(self, ms: int) -> None:
        """See `hal.line.Line`."""
        check_transfer(ms)
        self._check_open()
        self.advance()
        if not self._flowing:
            self._transfer_until_ms = self._clock() + ms

    def light_lamp(self, on: bool) -> None:
        """See `hal.line.Line`. It cannot."""

    def read_audio(self) -> bytes | None:
        """See `hal.line.Line`."""
        self.advance()
        return self._mouth.popleft() if self._mouth else None

    def write_audio(self, frame: bytes) -> None:
        """See `hal.line.Line`."""
        check_frame(frame)
        self._check_open()
        if self._audio:
            self._ear.append(frame)

    def show(self, status: LineStatus) -> None:
        """See `hal.line.Line`."""
        self.status = status

    def descriptors(self) -> tuple[int, ...]:
        """See `hal.line.Line`."""
        return self._control.descriptors() if self._control is not None else ()

    def wake_at_ms(self) -> float | None:
        """See `hal.line.Line`."""
        instants = [self.handset.next_edge_ms()]
        if self._cadence is not None:
            instants.append(self._ring_next_ms)
        if self._audio:
            instants.append(self._frame_ms)
        if self._control is not None:
            instants.append(self._control.wake_at_ms())
        return min((instant for instant in instants if instant is not None), default=None)

    def close(self) -> None:
        """See `hal.line.Line`."""
        if self._closed:
            return
        self._end_probe()
        self._stop_ring(self._clock())
        self._audio = False
        self._closed = True
        self.handset.stop_record()
        if self._control is not None:
            self._control.close()

    # hal.line_tests.MeasuringLine

    reach = Reach()
    """It measures everything."""

    @property
    def faults(self) -> FaultSettings:
        """What is wrong with the line now."""
        return self._faults

    @faults.setter
    def faults(self, faults: FaultSettings) -> None:
        self.advance()
        self._faults = faults
        self._sense(self._clock())

    def probe(self, probe: Probe | None) -> None:
        """See `hal.line_tests.MeasuringLine`."""
        self._check_open()
        if probe is not None and (self._cadence is not None or self._audio):
            raise LineFault("a line that rings or carries a call is not tested; try again later")
        self.advance()
        self._probe = probe
        self._sense(self._clock())

    def reading(self) -> Reading:
        """See `hal.line_tests.MeasuringLine`."""
        self._check_open()
        self.advance()
        if self._probe is None:
            raise LineFault("a line is measured in a state of the test; ask for one first")
        return physics.reading(self.faults, self.handset.closed, self._probe, self._clock())

    def _end_probe(self) -> None:
        if self._probe is not None:
            self.probe(None)

    # The wire

    def advance(self) -> None:
        """Let time pass on the wire up to the clock's now, in the order of the instants."""
        now_ms = self._clock()
        if self._audio and now_ms - self._frame_ms > _LAG_FORGIVEN_MS:
            self._frame_ms = now_ms
        while True:
            edge_ms = self.handset.next_edge_ms()
            ring_ms = self._ring_next_ms if self._cadence is not None else None
            frame_ms = self._frame_ms if self._audio else None
            due = [at for at in (edge_ms, ring_ms, frame_ms) if at is not None and at <= now_ms]
            if not due:
                return
            first = min(due)
            if first == edge_ms:
                edge = self.handset.move_contacts(now_ms)
                assert edge is not None, "it was due"
                self._sense(edge[0])
            elif first == ring_ms:
                self._next_ring_part(first)
            else:
                self._frame_ms += FRAME_MS
                self._exchange(first)

    @property
    def next_frame_ms(self) -> float:
        """When the next frame is carried, while audio runs."""
        return self._frame_ms

    def voltage(self) -> tuple[int, int, int]:
        """What is on the wire: volts direct, volts ringing (rms), hertz ringing."""
        if self._cadence is not None and self._ring_voltage:
            return _BATTERY_V, self._cadence.vrms, self._cadence.hz
        if self._feed is Feed.OPEN:
            return 0, 0, 0
        volts = _OFF_HOOK_V if self._flowing else _BATTERY_V
        return (-volts if self._feed is Feed.REVERSED else volts), 0, 0

    def state(self) -> dict[str, Any]:
        """All that can be seen of handset, wire and device, as plain values."""
        self.advance()
        volts, vrms, hz = self.voltage()
        handset = self.handset
        return {
            "hook": "off" if handset.off_hook else "on",
            "loop_current": self._flowing,
            "ringing": handset.ringing,
            "rings": handset.rings,
            "cadence_ms": handset.cadence_ms,
            "line_volts": volts,
            "ring_vrms": vrms,
            "ring_hz": hz,
            "quiet": handset.quiet,
            "audio": self._audio,
            "ear_frames": handset.heard_frames,
            "ear_dbm0": round(level_dbm0(handset.last_heard), 1),
            "registered": self.status.registered,
            "server": self.status.server,
            "line": self.status.state,
            "call": self.status.call,
            "tone": self.status.tone,
            "probe": self._probe.value if self._probe is not None else "",
        }

    def _exchange(self, at_ms: float) -> None:
        """One frame each way."""
        self.starved += not self._ear
        ear, mouth = self._ear.popleft() if self._ear else SILENCE, self.handset.speak()
        if self._hybrid is not None:
            mouth = mix(mouth, self._hybrid.echo(ear))
        self._mouth.append(mouth)
        self._carry(ear, at_ms)

    def _carry(self, frame: bytes, at_ms: float) -> None:
        """Bring one frame to the telephone: to the ear, or on the hook to the caller-ID unit."""
        if self.handset.closed:
            self.handset.hear(frame)
        elif at_ms <= self._transfer_until_ms and not self._ring_voltage:
            self.handset.hear_on_hook(frame, at_ms)

    @property
    def _ring_voltage(self) -> bool:
        return self._cadence is not None and self._ring_part % 2 == 0

    def _check_open(self) -> None:
        if self._closed:
            raise LineFault("the simulated line is closed; open it again")

    def _sense(self, at_ms: float) -> None:
        # What is not fed for a moment of a test shows no change of the hook.
        fed = self._feed is not Feed.OPEN
        if self._probe is not None:
            fed = self._probe in (Probe.LOW, Probe.HIGH)
            if not fed and self._flowing:
                return
        ma = physics.loop(self._faults.tip_ring_ohm, self.handset.closed, physics.LOW_MA)[1]
        flowing = ma >= physics.HOOK_MA and fed
        if flowing == self._flowing:
            return
        self._flowing = flowing
        if flowing:
            self._transfer_until_ms = 0.0
            if self._cadence is not None:
                self._stop_ring(at_ms)
        self._events.append(LoopCurrent(at_ms, flowing))

    def _next_ring_part(self, at_ms: float) -> None:
        cadence = self._cadence
        assert cadence is not None, "only a ringing line has a next part"
        self._ring_part = (self._ring_part + 1) % len(cadence.pattern_ms)
        self._ring_next_ms = at_ms + cadence.pattern_ms[self._ring_part]
        on = self._ring_part % 2 == 0
        self.handset.supply(at_ms, cadence.vrms if on else 0, cadence.hz if on else 0)

    def _stop_ring(self, at_ms: float) -> None:
        self._cadence = None
        self.handset.supply(at_ms, 0, 0)
