"""Where a SIP leg's audio goes in and out of pjmedia.

The two callbacks run on pjmedia's clock thread and touch nothing but two bounded deques.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import pjsua2 as pj

from hal.values import FRAME_MS, FRAME_OCTETS, RATE_HZ, SILENCE

_MOST_FRAMES = 5
"""Frames that wait each way at most: 100 ms."""
_FRAMES_IN_HAND = 2
"""Gathered before the ear hears the first: two clocks beat against each other."""
_MOST_DATA_FRAMES = 25
_DATA_FRAMES_IN_HAND = 4
"""The same for fax machines and modems, either way: they bear delay, but no gap."""


class LegPort(pj.AudioMediaPort):  # type: ignore[misc]
    """Where pjmedia's conference bridge meets our frames."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._from_far: deque[bytes] = deque(maxlen=_MOST_FRAMES)
        self._to_far: deque[bytes] = deque(maxlen=_MOST_FRAMES)
        self._flowing = self._sending = False
        self._in_hand = 0
        self.starved = self.dropped = 0
        """Of a data call, either way: gaps where no frame was there in time, and frames left out
        where too many waited; both mean that the board is busy."""
        shape = pj.MediaFormatAudio()
        shape.init(pj.PJMEDIA_FORMAT_PCM, RATE_HZ, 1, FRAME_MS * 1000, 16)
        self.createPort(name, shape)

    def clear(self) -> None:
        """Forget the frames of an earlier call."""
        self._from_far = deque(maxlen=_MOST_FRAMES)
        self._to_far = deque(maxlen=_MOST_FRAMES)
        self._flowing = self._sending = False
        self._in_hand = self.starved = self.dropped = 0

    def carry_data(self) -> None:
        """Frames wait longer each way from now on, so that none is missing or left out."""
        self._in_hand = _DATA_FRAMES_IN_HAND
        self._from_far = deque(self._from_far, maxlen=_MOST_DATA_FRAMES)
        self._to_far = deque(self._to_far, maxlen=_MOST_DATA_FRAMES)
        self._flowing = self._sending = False

    def onFrameRequested(self, frame: Any) -> None:
        """pjmedia wants 20 ms for the far end (its clock thread)."""
        queue: deque[bytes] | None = self._to_far
        if self._in_hand:
            was, self._sending = self._sending, len(self._to_far) >= self._wanted
            self.starved += was and not self._sending
            queue = self._to_far if self._sending else None
        frame.type = pj.PJMEDIA_FRAME_TYPE_AUDIO
        frame.buf = pj.ByteVector(queue.popleft() if queue else SILENCE)

    def onFrameReceived(self, frame: Any) -> None:
        """pjmedia has 20 ms from the far end (its clock thread)."""
        octets = bytes(frame.buf)
        if len(octets) == FRAME_OCTETS:
            self.dropped += len(self._from_far) == self._from_far.maxlen
            self._from_far.append(octets)

    def hear(self) -> bytes | None:
        """The next frame from the far end."""
        if not self._flowing:
            if len(self._from_far) < max(self._in_hand, _FRAMES_IN_HAND):
                return None
            self._flowing = True
        if self._from_far:
            return self._from_far.popleft()
        if self._in_hand:
            self._flowing = False
            self.starved += 1
        return None

    def speak(self, frame: bytes) -> None:
        """One frame for the far end."""
        self.dropped += len(self._to_far) == self._to_far.maxlen
        self._to_far.append(frame)

    @property
    def _wanted(self) -> int:
        """Frames that have to be there before one goes to the far end."""
        return 1 if self._sending else self._in_hand
