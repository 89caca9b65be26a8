"""Audio of a line through a sound device (pyalsaaudio): for codecs behind a SLIC, and PCM buses.

The device is open only while audio runs. One that fails in between, such as a codec on USB that
is pulled out, is opened again by and by; until then nothing is heard, and no call ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hal.values import FRAME_OCTETS, FRAME_SAMPLES, RATE_HZ, SILENCE, LineFault

_log = logging.getLogger("loopstart")
_PERIODS = 4
_AHEAD_FRAMES = 1
"""Silence before the first frame: so late may one come without a gap."""
_AGAIN_MS = 1_000.0


class AlsaAudio:
    """Frames of 20 ms to and from a pair of devices.

    Args:
        alsaaudio: the module, or a fake of it.
        capture, playback: names of devices as ALSA has them; `plughw:` ones convert by themselves.
        clock: monotonic milliseconds.
    """

    def __init__(
        self, alsaaudio: Any, capture: str, playback: str, clock: Callable[[], float]
    ) -> None:
        self._library = alsaaudio
        self._names = (capture, playback)
        self._clock = clock
        self._capture: Any = None
        self._playback: Any = None
        self._running = False
        self._partial = b""
        self._again_ms: float | None = None
        self.lost_frames = 0
        """Frames that found no room on their way to the ear."""

    def start(self) -> None:
        """Let frames run.

        Raises:
            LineFault: a device cannot be opened as needed.
        """
        self._running = True
        self._again_ms = None
        try:
            self._open()
        except LineFault:
            self.stop()
            raise

    def stop(self) -> None:
        """Give the devices back; twice is no error."""
        self._running = False
        self._again_ms = None
        self._close()

    def read(self) -> bytes | None:
        """The next whole frame, or None."""
        if self._again_ms is not None and self._clock() >= self._again_ms:
            self._try_again()
        if self._capture is None:
            return None
        if len(self._partial) < FRAME_OCTETS:
            try:
                count, octets = self._capture.read()
            except self._library.ALSAAudioError as error:
                self._fail(error)
                return None
            if count > 0:  # below 0 is an overrun, after which the library goes on by itself
                self._partial += octets
        if len(self._partial) < FRAME_OCTETS:
            return None
        frame, self._partial = self._partial[:FRAME_OCTETS], self._partial[FRAME_OCTETS:]
        return frame

    def write(self, frame: bytes) -> None:
        """Queue a frame; it is lost if there is no room."""
        if self._playback is None:
            return
        try:
            written = self._playback.write(frame)
            if written < 0:  # underrun: begin anew with something in hand
                self._playback.write(SILENCE)
                written = self._playback.write(frame)
        except self._library.ALSAAudioError as error:
            self._fail(error)
            return
        if written < FRAME_SAMPLES:
            self.lost_frames += 1

    def descriptors(self) -> tuple[int, ...]:
        """Descriptors that are readable when a frame has come."""
        if self._capture is None:
            return ()
        return tuple(fd for fd, _ in self._capture.polldescriptors())

    def wake_at_ms(self) -> float | None:
        """When a device that failed is tried again."""
        return self._again_ms

    def _open(self) -> None:
        library = self._library
        self._capture = self._device(library.PCM_CAPTURE, self._names[0])
        self._playback = self._device(library.PCM_PLAYBACK, self._names[1])
        for _ in range(_AHEAD_FRAMES):
            self._playback.write(SILENCE)

    def _device(self, way: Any, name: str) -> Any:
        library = self._library
        try:
            device = library.PCM(
                type=way,
                mode=library.PCM_NONBLOCK,
                device=name,
                rate=RATE_HZ,
                channels=1,
                format=library.PCM_FORMAT_S16_LE,
                periodsize=FRAME_SAMPLES,
                periods=_PERIODS,
            )
            info = device.info()
        except library.ALSAAudioError as error:
            raise LineFault(
                f"sound device {name} cannot be opened ({error}); `aplay -L` lists what there is"
            ) from None
        except TypeError:
            raise LineFault("pyalsaaudio is too old; `pip install 'pyalsaaudio>=0.10'`") from None
        if (info["rate"], info["channels"]) != (RATE_HZ, 1):
            device.close()
            raise LineFault(
                f"sound device {name} runs at {info['rate']} Hz with {info['channels']} channels, "
                f"not {RATE_HZ} Hz mono; name it as `plug{name}`, which converts"
            )
        return device

    def _fail(self, error: Exception) -> None:
        _log.warning("sound device failed", extra={"detail": str(error)})
        self._close()
        self._again_ms = self._clock() + _AGAIN_MS

    def _try_again(self) -> None:
        self._again_ms = None
        try:
            self._open()
        except (LineFault, self._library.ALSAAudioError) as error:
            _log.debug("sound device is still away", extra={"detail": str(error)})
            self._close()
            self._again_ms = self._clock() + _AGAIN_MS
        else:
            _log.info("sound device is back")

    def _close(self) -> None:
        for device in (self._capture, self._playback):
            if device is not None:
                with suppress(self._library.ALSAAudioError):
                    device.close()
        self._capture = self._playback = None
        self._partial = b""
