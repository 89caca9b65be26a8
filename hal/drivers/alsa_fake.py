"""pyalsaaudio as far as a line needs it, with a wire in place of a sound card."""

from __future__ import annotations

from typing import Any

from hal.drivers.wire import FrameClock, Wire
from hal.values import FRAME_OCTETS, FRAME_SAMPLES, RATE_HZ

_PERIODS = 4
_FD = 51


class FakeAlsa:
    """Stands where the module `alsaaudio` would.

    Args:
        rate: what the device runs at, whatever it is asked for.
    """

    PCM_CAPTURE = 1
    PCM_PLAYBACK = 0
    PCM_NONBLOCK = 1
    PCM_FORMAT_S16_LE = 2

    class ALSAAudioError(Exception):
        """The library's own."""

    def __init__(self, wire: Wire, rate: int = RATE_HZ) -> None:
        self.wire = wire
        self.frames = FrameClock(wire, _PERIODS, _PERIODS)
        self.rate = rate
        self.present = True
        self.underrun = False
        """The next write is told of one."""
        self.open: set[int] = set()
        """Ways that are open."""

    def PCM(self, **wanted: Any) -> _Pcm:
        """Open a device."""
        if not self.present or wanted["device"] == "none":
            raise self.ALSAAudioError(f"No such file or directory [{wanted['device']}]")
        assert wanted["periodsize"] == FRAME_SAMPLES, "a period is a frame"
        assert wanted["mode"] == self.PCM_NONBLOCK, "the loop never waits"
        assert wanted["type"] not in self.open, "a device opens once"
        return _Pcm(self, wanted["type"])


class _Pcm:
    """One way of a device."""

    def __init__(self, library: FakeAlsa, way: int) -> None:
        self._library = library
        self._way = way
        library.open.add(way)
        library.wire.advance()
        if way == library.PCM_CAPTURE:
            library.frames.start(library.wire.now_ms)

    def info(self) -> dict[str, int]:
        """What the device settled for."""
        return {"rate": self._library.rate, "channels": 1}

    def read(self) -> tuple[int, bytes]:
        """A period, or nothing."""
        self._check()
        mouth = self._library.frames.mouth
        return (FRAME_SAMPLES, mouth.popleft()) if mouth else (0, b"")

    def write(self, data: bytes) -> int:
        """How many samples were taken."""
        self._check()
        assert len(data) == FRAME_OCTETS, "frames are whole"
        if self._library.underrun:
            self._library.underrun = False
            return -32
        return FRAME_SAMPLES if self._library.frames.put(data) else 0

    def polldescriptors(self) -> list[tuple[int, int]]:
        """Descriptors and what to wait for."""
        return [(_FD, 1)]

    def close(self) -> None:
        """Give it back."""
        self._library.open.discard(self._way)
        if self._way == self._library.PCM_CAPTURE:
            self._library.frames.stop()

    def _check(self) -> None:
        self._library.wire.advance()
        if not self._library.present:
            raise self._library.ALSAAudioError("No such device")
        if self._way not in self._library.open:
            raise self._library.ALSAAudioError("PCM device is closed")
