"""Cancelling of the hybrid's echo (ITU-T G.168 asks what of it), by libspeexdsp through cffi.

Two adaptive filters hear the same. A long one of coarse blocks finds where in time the echo is; a
short one of fine blocks is laid around that instant, and learns several times as fast because it
has so little to learn. Whichever leaves less is heard. Nothing is cut off or attenuated beside
(no non-linear processing), so that both may speak at once.
"""

from __future__ import annotations

from array import array
from collections import deque
from functools import lru_cache
from operator import mul
from typing import Any

from hal.dsp.libraries import open_library
from hal.values import FRAME_OCTETS, FRAME_SAMPLES, RATE_HZ

SPAN_MS = 80
"""Echo is looked for so long after a frame was heard."""
_LIBRARIES = ("libspeexdsp.so.1", "libspeexdsp.so")
_SET_SAMPLING_RATE = 24
_GET_IMPULSE_RESPONSE_SIZE = 27
_GET_IMPULSE_RESPONSE = 29
"""Requests of speex_echo.h."""
_NOTCH_HZ = 16_000
"""Told as the sampling rate. The rate chooses the library's filter against direct current, and the
one for 8000 takes 3 dB of all below 130 Hz and turns the phase of what is above."""
_SAMPLES_A_MS = RATE_HZ // 1000
_FIND_BLOCK = FRAME_SAMPLES
_LEARN_BLOCK = 16
_LEARN_SAMPLES = 12 * _SAMPLES_A_MS
_LEAD_SAMPLES = 2 * _SAMPLES_A_MS
"""The short filter begins so long before the strongest part of the echo."""
_LOOK_FRAMES = 2
"""The long filter is looked at every so many frames."""
_SHARE = 0.5
"""So much of the long filter's energy under the short one means: the echo is there."""
_LOOKS_TO_MOVE = 3
"""The short filter is moved when so many looks in turn find the echo in another place."""
_NEAR_SAMPLES = 2 * _SAMPLES_A_MS
_REHEARSALS = (0, 20, 40, 60, 80)
"""So many frames after it was laid the short filter hears the last ones again, to learn more."""
_REHEARSED_FRAMES = 25
_FORGET = 0.8
"""Of the mean power that decides which filter is heard, at each frame."""


@lru_cache(maxsize=1)
def library() -> tuple[Any, Any]:
    """The cffi interface and the library, loaded once.

    Raises:
        LineFault: libspeexdsp is not installed.
    """
    return open_library(
        "hal.dsp._speexdsp_abi",
        _LIBRARIES,
        "libspeexdsp is not installed, so echo cannot be cancelled; "
        "install it with `apt install libspeexdsp1`",
    )


class _Filter:
    """One adaptive filter of the library.

    Args:
        block: samples that it takes at a time; a frame is a multiple of it.
        tail: samples that it spans, a multiple of `block`.
    """

    def __init__(self, block: int, tail: int) -> None:
        self._ffi, self._lib = library()
        state = self._lib.speex_echo_state_init(block, tail)
        assert state != self._ffi.NULL, "libspeexdsp could not allocate a filter"
        self._state = self._ffi.gc(state, self._lib.speex_echo_state_destroy)
        self._block = block
        self._out = self._ffi.new("int16_t[]", FRAME_SAMPLES)
        self._octets = self._ffi.buffer(self._out)
        self._set_rate()
        self.power = 0.0
        """Of what is left, a running mean."""

    def cancel(self, near: bytes, far: bytes) -> bytes:
        """What of a frame from the mouthpiece is no echo of the frame for the ear."""
        # Named, for the library keeps no hold on them: a temporary would be gone while it runs.
        rec = self._ffi.from_buffer("int16_t[]", near)
        play = self._ffi.from_buffer("int16_t[]", far)
        for at in range(0, FRAME_SAMPLES, self._block):
            self._lib.speex_echo_cancellation(self._state, rec + at, play + at, self._out + at)
        left = bytes(self._octets)
        samples = array("h", left)
        self.power = _FORGET * self.power + (1 - _FORGET) * sum(map(mul, samples, samples))
        return left

    def response(self) -> list[int]:
        """The impulse response that it has learnt."""
        size = self._ffi.new("int *")
        self._lib.speex_echo_ctl(self._state, _GET_IMPULSE_RESPONSE_SIZE, size)
        taps = self._ffi.new("int32_t[]", size[0])
        self._lib.speex_echo_ctl(self._state, _GET_IMPULSE_RESPONSE, taps)
        return list(taps)

    def forget(self) -> None:
        """Begin to learn anew."""
        self._lib.speex_echo_state_reset(self._state)
        self._set_rate()

    def _set_rate(self) -> None:
        rate = self._ffi.new("int *", _NOTCH_HZ)
        self._lib.speex_echo_ctl(self._state, _SET_SAMPLING_RATE, rate)


class EchoCanceller:
    """Takes out of the mouthpiece's audio what comes back there of the ear's.

    Args:
        delay_ms: how long a frame waits in the driver before it is heard; the echo path, and
            what is wrong with this figure, may take `SPAN_MS` more.
    Raises:
        LineFault: libspeexdsp is not installed.
    """

    def __init__(self, delay_ms: int = 0) -> None:
        assert delay_ms >= 0, "nothing is heard before it is played"
        self.enabled = True
        """False lets everything pass, as fax and modems want it."""
        self._delay = delay_ms * _SAMPLES_A_MS
        self._finder = _Filter(_FIND_BLOCK, SPAN_MS * _SAMPLES_A_MS)
        self._learner = _Filter(_LEARN_BLOCK, _LEARN_SAMPLES)
        self._offset: int | None = None
        """Where the short filter begins, in samples after the long one; None: not yet known."""
        self._elsewhere = 0
        self._frames = 0
        self._kept = 2 * (self._delay + SPAN_MS * _SAMPLES_A_MS) + _REHEARSED_FRAMES * FRAME_OCTETS
        self._played = bytes(self._kept)
        self._spoken: deque[bytes] = deque(maxlen=_REHEARSED_FRAMES)
        self._since_laid = 0

    @property
    def echo_ms(self) -> float | None:
        """How long after `delay_ms` the echo begins, about; None while none has been found."""
        return None if self._offset is None else self._offset / _SAMPLES_A_MS

    def played(self, frame: bytes) -> None:
        """Take a frame that goes to the ear, before the next one of the mouthpiece."""
        self._played = (self._played + frame)[-self._kept :]

    def cancel(self, frame: bytes) -> bytes:
        """A frame of the mouthpiece without echo."""
        if not self.enabled:
            return frame
        found = self._finder.cancel(frame, self._heard(0))
        self._look()
        if self._offset is None:
            self._spoken.append(frame)
            return found
        if self._since_laid in _REHEARSALS:
            self._rehearse(self._offset)
        self._since_laid += 1
        self._spoken.append(frame)
        learnt = self._learner.cancel(frame, self._heard(self._offset))
        return learnt if self._learner.power <= self._finder.power else found

    def _rehearse(self, offset: int) -> None:
        """Let the short filter hear the last frames again."""
        for ago in range(len(self._spoken), 0, -1):
            self._learner.cancel(self._spoken[-ago], self._heard(offset + ago * FRAME_SAMPLES))

    def _heard(self, offset: int) -> bytes:
        """What the ear heard so many samples before the frame that comes in now."""
        end = self._kept - 2 * (self._delay + offset)
        return self._played[end - FRAME_OCTETS : end]

    def _look(self) -> None:
        """Where is the echo? Lay the short filter there."""
        self._frames += 1
        if self._frames % _LOOK_FRAMES:
            return
        taps = self._finder.response()
        energies = list(map(mul, taps, taps))
        peak = max(range(len(taps)), key=energies.__getitem__)
        offset = max(0, peak - _LEAD_SAMPLES)
        total = sum(energies)
        if not total or sum(energies[offset : offset + _LEARN_SAMPLES]) < _SHARE * total:
            self._elsewhere = 0
            return
        if self._offset is not None:
            if abs(offset - self._offset) <= _NEAR_SAMPLES:
                self._elsewhere = 0
                return
            self._elsewhere += 1
            if self._elsewhere < _LOOKS_TO_MOVE:
                return
        self._elsewhere = 0
        self._offset = offset
        self._since_laid = 0
        self._learner.forget()
        self._learner.power = self._finder.power
