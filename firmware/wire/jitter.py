"""Adaptive jitter buffer: frames come in as the network likes, and go out one each 20 ms, in order.

What a frame's journey took cannot be known, but how much longer than the fastest of the last ten
seconds it took can: its relative delay. Playing a frame `delay_ms` after the fastest one would
have come means that only those with more relative delay are too late. So the delay follows the
percentile of recent relative delays that leaves no more late frames than aimed at. It grows at
once, by concealed frames put in, and shrinks slowly: in pauses and at holes for nothing, else by
one frame left out at a time. The same control takes up the drift of the two clocks.

The buffer holds frames of any type, and neither decodes nor conceals: `Playout` joins it to
functions that do.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from heapq import heappop, heappush
from math import ceil
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JitterSettings:
    """How a buffer behaves. Times in milliseconds."""

    min_ms: int = 20
    """The delay is never less."""
    max_ms: int = 400
    """The delay is never more: frames later than that are lost."""
    frame_ms: int = 20
    late_aim: float = 0.01
    """Share of frames that may come too late."""
    window_frames: int = 500
    """So many frames are remembered: ten seconds."""
    resync_ms: int = 1_000
    """Timestamps that are off by more have been set anew by the far end."""
    pause_ms: int = 200
    """Nothing to play for so long is a pause of the far end, not loss."""
    fixed: bool = False
    """The delay begins at `min_ms` and is left alone: a modem bears delay, not a jump in time."""

    def __post_init__(self) -> None:
        assert 0 < self.frame_ms <= self.min_ms <= self.max_ms, "frame, least and most delay"
        assert 0.0 < self.late_aim < 1.0, "a share"
        assert self.window_frames > 0, "some history"
        assert self.resync_ms > 2 * self.max_ms, "a late frame is no jump"


class Gap(Enum):
    """What comes out when no frame does."""

    LOST = "lost"
    """A frame is missing, or the delay grows: conceal."""
    EMPTY = "empty"
    """The far end sends nothing: silence."""


@dataclass(slots=True)
class JitterStatistics:
    """What a buffer has seen. Counts are of frames."""

    received: int = 0
    lost: int = 0
    """Not there when they should have been played; late ones among them."""
    late: int = 0
    """Came after their time."""
    duplicates: int = 0
    reordered: int = 0
    """Came after a frame with a higher timestamp."""
    dropped: int = 0
    """Left out to lower the delay."""
    inserted: int = 0
    """Concealed to raise the delay."""
    resyncs: int = 0
    delay_ms: int = 0
    """Now: between the fastest arrival and playing."""
    jitter_ms: float = 0.0
    """Of arrivals (RFC 3550, 6.4.1)."""


_ODD_FRAMES = 3
"""So many in a row make a jump of timestamps; fewer are rogues."""
_LATE_FRAMES = 10
"""So many late ones in a row, and the way has become longer than the delay can follow."""
_ROGUES = 200
"""One frame in so many may be faster than what counts as the fastest."""
_SHRINK_AFTER_MS = 1_000
"""A surplus has lasted so long before a frame is left out for it, and again for the next one."""
_SHRINK_FREE_AFTER_MS = 200
"""The same where nothing is lost by it."""
_PLAYED_KEPT = 64


class JitterBuffer(Generic[T]):
    """One direction of one leg.

    Args:
        settings: bounds and aims.
        quiet: tells frames that nobody misses; None: all are missed.
    """

    def __init__(
        self, settings: JitterSettings | None = None, quiet: Callable[[T], bool] | None = None
    ) -> None:
        self._settings = settings or JitterSettings()
        self._quiet = quiet
        self._frame_ms = self._settings.frame_ms
        self._most = (self._settings.max_ms + self._settings.pause_ms) // self._frame_ms + 2
        self.statistics = JitterStatistics()
        self.reset()

    def reset(self) -> None:
        """Forget frames and history: another stream begins. Statistics go on."""
        self._frames: dict[int, T] = {}
        self._order: list[int] = []
        self._delays: deque[int] = deque()
        self._sorted: list[int] = []
        self._played: deque[int] = deque(maxlen=_PLAYED_KEPT)
        self._target = float(self._settings.min_ms)
        self._playing = False
        self._next = 0
        self._floor: int | None = None
        self._last_put: tuple[int, int] | None = None
        self._missing = self._waited = 0
        self._odd = 0
        self._late_run = 0
        self._surplus_since: float | None = None

    @property
    def target_ms(self) -> int:
        """The delay that the history asks for."""
        return round(self._target)

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, timestamp_ms: int, frame: T, now: float) -> None:
        """A frame has come.

        Args:
            timestamp_ms: of its first sample, by the far end's clock, unwrapped.
            now: monotonic seconds.
        """
        delay = round(now * 1000.0) - timestamp_ms
        if timestamp_ms in self._frames or timestamp_ms in self._played:
            self.statistics.duplicates += 1
            return
        if self._sorted and self._jumped(delay):
            return
        self.statistics.received += 1
        self._note_arrival(timestamp_ms, delay)
        self._remember(delay)
        if self._is_late(timestamp_ms, delay):
            self.statistics.late += 1
            self._late_run += 1
            if self._late_run < _LATE_FRAMES:
                return
            self.statistics.resyncs += 1
            self.reset()
            self._remember(delay)
        self._late_run = 0
        self._frames[timestamp_ms] = frame
        heappush(self._order, timestamp_ms)
        while len(self._order) > self._most:
            self._leave_out()

    def get(self, now: float) -> T | Gap:
        """The frame to be played now. To be called once each `frame_ms`, on the average."""
        now_ms = now * 1000.0
        if not self._playing and not self._begin(now_ms):
            return Gap.EMPTY
        delay = now_ms - self._fastest() - self._next
        self.statistics.delay_ms = round(delay)
        if self._settings.fixed:
            return self._next_in_turn()
        if delay < self._target - self._frame_ms / 2:
            self.statistics.inserted += 1
            return Gap.LOST
        if delay > self._settings.max_ms + 2 * self._frame_ms:
            self._catch_up(now_ms - self._fastest() - self._target)
            if not self._begin(now_ms):
                return Gap.EMPTY
        else:
            self._shrink(delay, now_ms)
        return self._next_in_turn()

    def _next_in_turn(self) -> T | Gap:
        """The frame that follows the last one, or what there is in its place."""
        here = self._frame_ms // 2 + self._next
        if self._order and self._order[0] <= here:
            self.statistics.lost += self._missing
            self._missing = self._waited = 0
            return self._pop()
        if self._settings.fixed and not self._order:
            # It has not come yet, nor any after it: to wait for it costs less than to lose it.
            self.statistics.inserted += 1
            self._waited += 1
        else:
            self._next += self._frame_ms
            self._missing += 1
        if self._order or (self._missing + self._waited) * self._frame_ms < self._settings.pause_ms:
            return Gap.LOST
        self._pause()
        return Gap.EMPTY

    # Arrivals

    def _jumped(self, delay: int) -> bool:
        """True if a frame's timestamp is of another clock: it is dropped, or begins a new stream.

        A rogue frame is no new stream; three in a row are.
        """
        if abs(delay - self._fastest()) <= self._settings.resync_ms:
            self._odd = 0
            return False
        self._odd += 1
        if self._odd < _ODD_FRAMES:
            self.statistics.dropped += 1
            return True
        self.statistics.resyncs += 1
        self.reset()
        return False

    def _fastest(self) -> int:
        """The delay that others are measured against."""
        return self._sorted[len(self._sorted) // _ROGUES]

    def _is_late(self, timestamp_ms: int, delay: int) -> bool:
        """True if it is past its time, or before what has been played."""
        if delay - self._fastest() > self._settings.max_ms + 2 * self._frame_ms:
            return True
        over = self._next if self._playing else self._floor
        return over is not None and timestamp_ms + self._frame_ms // 2 <= over

    def _note_arrival(self, timestamp_ms: int, delay: int) -> None:
        if self._last_put is not None:
            step = abs(delay - self._last_put[1])
            self.statistics.jitter_ms += (step - self.statistics.jitter_ms) / 16
            if timestamp_ms < self._last_put[0]:
                self.statistics.reordered += 1
                timestamp_ms = self._last_put[0]
        self._last_put = timestamp_ms, delay

    def _remember(self, delay: int) -> None:
        if len(self._delays) >= self._settings.window_frames:
            del self._sorted[bisect_left(self._sorted, self._delays.popleft())]
        self._delays.append(delay)
        insort(self._sorted, delay)
        known = self._sorted
        worst = known[ceil((1.0 - self._settings.late_aim) * len(known)) - 1]
        wanted = worst - self._fastest() + self._frame_ms
        most_ms = self._settings.min_ms if self._settings.fixed else self._settings.max_ms
        self._target = float(min(max(wanted, self._settings.min_ms), most_ms))

    # Playing

    def _begin(self, now_ms: float) -> bool:
        """True if the first frame after a pause is due."""
        if not self._order:
            return False
        due_ms = now_ms - self._fastest() - self._target
        if self._order[0] > due_ms:
            return False
        # Of a buffer of one length nothing is left out because those after it came faster.
        slack_ms = self._settings.min_ms if self._settings.fixed else 2 * self._frame_ms
        while len(self._order) > 1 and self._order[0] < due_ms - slack_ms:
            self._leave_out()  # came while nobody listened
        self._playing = True
        self._next = self._order[0]
        return True

    def _pop(self) -> T:
        timestamp_ms = heappop(self._order)
        self._played.append(timestamp_ms)
        self._next = self._floor = timestamp_ms + self._frame_ms
        return self._frames.pop(timestamp_ms)

    def _leave_out(self) -> None:
        self._pop()
        self.statistics.dropped += 1

    def _catch_up(self, timestamp_ms: float) -> None:
        """Begin again from there: the delay is beyond its bound."""
        while self._order and self._order[0] < timestamp_ms - self._frame_ms / 2:
            self._leave_out()
        self._pause()

    def _pause(self) -> None:
        self._playing = False
        self._missing = self._waited = 0
        self._surplus_since = None

    def _shrink(self, delay: float, now_ms: float) -> None:
        """Leave one frame out if the delay has long been more than it must be."""
        if delay <= self._target + 1.5 * self._frame_ms:
            self._surplus_since = None
            return
        if self._surplus_since is None:
            self._surplus_since = now_ms
        lasted = now_ms - self._surplus_since
        missing = not self._order or self._order[0] > self._next + self._frame_ms // 2
        free = missing or (self._quiet is not None and self._quiet(self._frames[self._order[0]]))
        if lasted < (_SHRINK_FREE_AFTER_MS if free else _SHRINK_AFTER_MS):
            return
        self._surplus_since = now_ms
        if missing:
            self._next += self._frame_ms
            self._missing += 1
        else:
            self._leave_out()


class Concealment(Protocol):
    """Makes up for lost frames of 16-bit linear audio, 8000 samples a second."""

    def heard(self, audio: bytes) -> bytes:
        """Take a good frame; the same, with a smooth seam after lost ones."""

    def lost(self) -> bytes:
        """A frame in place of a lost one."""


class Playout(Generic[T]):
    """A buffer with what decodes its frames and what conceals their loss."""

    def __init__(
        self, buffer: JitterBuffer[T], decode: Callable[[T], bytes], conceal: Concealment
    ) -> None:
        self.buffer = buffer
        self._decode = decode
        self._conceal = conceal

    def frame(self, now: float) -> bytes | None:
        """The next audio; None while the far end sends nothing."""
        found = self.buffer.get(now)
        if found is Gap.EMPTY:
            return None
        if found is Gap.LOST:
            return self._conceal.lost()
        assert not isinstance(found, Gap), "these are all"
        return self._conceal.heard(self._decode(found))
