"""The two wires between a simulated line card and a `Handset`, for fakes of real hardware.

A fake says what its card does to the wires (feed, ringing voltage, on-hook transmission) and
hears what the telephone does to them (loop current, speech). Time passes in the order of the
instants, however far the clock has run between two looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from hal.drivers.handset import Handset
from hal.values import FRAME_MS, SILENCE, Feed

Action = Callable[[float], None]
"""Something to do at an instant, which it is told."""


class Wire:
    """Wires and telephone.

    Args:
        clock: monotonic milliseconds.
        on_loop: told of each beginning and end of loop current, bounce included.
        seed: of the bounce of the handset's contacts.
    """

    def __init__(
        self, clock: Callable[[], float], on_loop: Callable[[float, bool], None], seed: int = 1
    ) -> None:
        self._clock = clock
        self._on_loop = on_loop
        self.handset = Handset(seed)
        self.flowing = False
        self.feed = Feed.FORWARD
        """What the card feeds; change it by `set_feed`."""
        self.transfers = False
        """The card carries audio to a receiver that is down."""
        self._ringing = False
        self._due: dict[str, tuple[float, Action]] = {}

    @property
    def now_ms(self) -> float:
        """The clock's now."""
        return self._clock()

    def at(self, name: str, at_ms: float, action: Action) -> None:
        """Do something at an instant; the same name again moves it."""
        self._due[name] = (at_ms, action)

    def cancel(self, name: str) -> None:
        """Do it not."""
        self._due.pop(name, None)

    def next_ms(self) -> float | None:
        """When something happens on the wire or the card, if nobody does anything."""
        instants = [self.handset.next_edge_ms(), *(at_ms for at_ms, _ in self._due.values())]
        return min((one for one in instants if one is not None), default=None)

    def advance(self) -> None:
        """Let time pass up to the clock's now."""
        now_ms = self._clock()
        while True:
            edge_ms = self.handset.next_edge_ms()
            name = min(self._due, key=lambda one: self._due[one][0], default=None)
            due_ms = self._due[name][0] if name is not None else None
            if edge_ms is not None and edge_ms <= now_ms and (due_ms is None or edge_ms <= due_ms):
                edge = self.handset.move_contacts(now_ms)
                assert edge is not None, "it was due"
                self._sense(edge[0])
            elif name is not None and due_ms is not None and due_ms <= now_ms:
                _, action = self._due.pop(name)
                action(due_ms)
            else:
                return

    def set_feed(self, at_ms: float, feed: Feed) -> None:
        """The card feeds the loop so from now on."""
        self.feed = feed
        self._sense(at_ms)

    def supply(self, at_ms: float, vrms: float, hz: float) -> None:
        """Ringing voltage from now on; 0 volts is none."""
        self._ringing = vrms > 0
        self.handset.supply(at_ms, vrms, hz)

    def hear(self, frame: bytes, at_ms: float) -> None:
        """The card puts one frame of audio on the wires."""
        if self.handset.closed:
            self.handset.hear(frame)
        elif self.transfers and not self._ringing:
            self.handset.hear_on_hook(frame, at_ms)

    def _sense(self, at_ms: float) -> None:
        flowing = self.handset.closed and self.feed is not Feed.OPEN
        if flowing != self.flowing:
            self.flowing = flowing
            self._on_loop(at_ms, flowing)


class Debounce:
    """A line card's own filter of loop current: what has been steady for a while is told.

    Args:
        tell: called with the instant at which it was believed, and the state.
    """

    def __init__(self, wire: Wire, ms: float, tell: Callable[[float, bool], None]) -> None:
        self._wire = wire
        self._ms = ms
        self._tell = tell
        self.steady = False

    def edge(self, at_ms: float, flowing: bool) -> None:
        """Loop current changed."""
        if flowing == self.steady:
            self._wire.cancel("debounce")
        else:
            self._wire.at("debounce", at_ms + self._ms, self._believe)

    def _believe(self, at_ms: float) -> None:
        self.steady = not self.steady
        self._tell(at_ms, self.steady)


class FrameClock:
    """A line card's audio: one frame each way every 20 ms, while it runs.

    Args:
        most_out, most_in: frames that its buffers hold towards the ear, and from the mouth.
    """

    def __init__(self, wire: Wire, most_out: int, most_in: int) -> None:
        self._wire = wire
        self._most_out = most_out
        self._most_in = most_in
        self._out: deque[bytes] = deque()
        self.mouth: deque[bytes] = deque()
        """Frames from the mouthpiece that nobody has read yet."""
        self.overruns = 0

    def start(self, at_ms: float) -> None:
        """Run from now on."""
        self._wire.at("frame", at_ms + FRAME_MS, self._tick)

    def stop(self) -> None:
        """Run no more; what was queued is gone."""
        self._wire.cancel("frame")
        self.flush()

    def flush(self) -> None:
        """Forget what is queued both ways."""
        self._out.clear()
        self.mouth.clear()

    def put(self, frame: bytes) -> bool:
        """Queue a frame for the ear; False if there is no room."""
        if len(self._out) >= self._most_out:
            return False
        self._out.append(frame)
        return True

    def _tick(self, at_ms: float) -> None:
        self._wire.at("frame", at_ms + FRAME_MS, self._tick)
        spoken = self._wire.handset.speak()
        if len(self.mouth) < self._most_in:
            self.mouth.append(spoken)
        else:
            self.overruns += 1
        self._wire.hear(self._out.popleft() if self._out else SILENCE, at_ms)
