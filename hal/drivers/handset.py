"""A telephone as its line sees it: contacts, bell, earpiece and mouthpiece.

It knows nothing of the device that it hangs on. Its contacts make and break the loop, with
bounce, at instants of a timeline; its bell rings if the line carries ringing voltage; its
keypad and mouthpiece are audio. So everything that the device learns of it, it learns as from
a wire.
"""

from __future__ import annotations

import random
import wave
from collections import deque
from collections.abc import Callable
from math import ceil

from hal.dsp.dtmf import DtmfSender
from hal.dsp.tones import Tone, ToneGenerator
from hal.values import FRAME_MS, FRAME_OCTETS, FRAME_SAMPLES, RATE_HZ, SILENCE

BELL_VRMS = 40
"""A bell rings from so many volts."""
BELL_HZ = (15, 68)
_HOOK_BOUNCE_MS = 5.0
_PULSE_BOUNCE_MS = 2.5
_ROTARY_BREAK = 0.61
"""Share of a pulse during which the dial breaks the loop (58-64 % is usual)."""
_ROTARY_PAUSE_MS = 600.0
"""Between two digits: the dial is wound up, and runs back."""
_ROTARY_LEAD_MS = 100.0
_MOST_DIGITS = 64
_MOST_EDGES = 10_000
_CADENCE_KEPT = 16
_ON_HOOK_FRAMES_KEPT = 1_000

FrameSource = Callable[[], bytes | None]
"""Gives 20 ms frames until it has none left."""


class Handset:
    """One telephone. All times are monotonic milliseconds.

    Args:
        seed: of the bounce of the contacts.
    """

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._timeline: deque[tuple[float, bool]] = deque()
        self._off_hook = False
        self.closed = False
        """True while the contacts close the loop."""
        self._mouth: deque[FrameSource] = deque()
        self._wav: wave.Wave_write | None = None
        self.last_heard = SILENCE
        self.heard_frames = 0
        self.heard_on_hook: deque[tuple[float, bytes]] = deque(maxlen=_ON_HOOK_FRAMES_KEPT)
        """What its caller-ID unit heard of late while the receiver was down: when, and a frame."""
        self._ringing_vrms = 0.0
        self._ringing_hz = 0.0
        self._changed_ms = 0.0
        self.ringing = False
        self.rings = 0
        self._cadence: deque[int] = deque(maxlen=_CADENCE_KEPT)

    # Contacts

    @property
    def off_hook(self) -> bool:
        """Where the hook switch is, or will be when its contacts have settled."""
        return self._off_hook

    def lift(self, now_ms: float) -> None:
        """Take the receiver off."""
        if not self._off_hook:
            self._off_hook = True
            self._switch(now_ms, True, _HOOK_BOUNCE_MS)

    def hang_up(self, now_ms: float) -> None:
        """Put the receiver back; a dial that still runs pulses nothing more."""
        if self._off_hook:
            self._off_hook = False
            while self._timeline and self._timeline[-1][0] > now_ms:
                self._timeline.pop()
            self._switch(now_ms, False, _HOOK_BOUNCE_MS)
            self._mouth.clear()

    def flash(self, now_ms: float, ms: float) -> None:
        """Break the loop for so long, by key or hook.

        Raises:
            ValueError: the receiver is on the hook.
        """
        self._must_be_lifted("flash")
        start = self._free_at(now_ms)
        self._switch(start, False, _PULSE_BOUNCE_MS)
        self._switch(start + ms, True, _PULSE_BOUNCE_MS)

    def rotary(
        self, now_ms: float, digits: str, pps: float = 10.0, share: float = _ROTARY_BREAK
    ) -> None:
        """Dial by a dial: `digits` of `0` to `9`, `pps` pulses a second, break `share`.

        Raises:
            ValueError: the receiver is on the hook, or this cannot be dialled.
        """
        self._must_be_lifted("dial")
        if not digits.isdecimal() or len(digits) > _MOST_DIGITS:
            raise ValueError(f"a dial has the digits 0 to 9, at most {_MOST_DIGITS} of them")
        if not 1.0 <= pps <= 50.0 or not 0.1 <= share <= 0.9:
            raise ValueError("a dial makes 1 to 50 pulses a second and breaks for 10 to 90 %")
        at = self._free_at(now_ms) + _ROTARY_LEAD_MS
        for digit in digits:
            for _ in range(int(digit) or 10):
                self._switch(at, False, _PULSE_BOUNCE_MS)
                self._switch(at + 1000.0 / pps * share, True, _PULSE_BOUNCE_MS)
                at += 1000.0 / pps
            at += _ROTARY_PAUSE_MS

    def next_edge_ms(self) -> float | None:
        """When the contacts move next."""
        return self._timeline[0][0] if self._timeline else None

    def move_contacts(self, now_ms: float) -> tuple[float, bool] | None:
        """Carry out the earliest movement due by `now_ms`: when it was, and closed or not."""
        if not self._timeline or self._timeline[0][0] > now_ms:
            return None
        edge = self._timeline.popleft()
        self.closed = edge[1]
        self._ring_by(edge[0])
        return edge

    def _must_be_lifted(self, what: str) -> None:
        if not self._off_hook:
            raise ValueError(f"the receiver is on the hook; lift it before you {what}")

    def _free_at(self, now_ms: float) -> float:
        return max(now_ms, self._timeline[-1][0]) if self._timeline else now_ms

    def _switch(self, at_ms: float, closed: bool, bounce_ms: float) -> None:
        """Move the contacts at `at_ms`; they bounce for at most `bounce_ms`."""
        if len(self._timeline) >= _MOST_EDGES:
            raise ValueError("too much is dialled at once; wait until it is done")
        at_ms = self._free_at(at_ms)
        self._timeline.append((at_ms, closed))
        instants = sorted(
            self._random.uniform(0.2, bounce_ms) for _ in range(2 * self._random.randint(0, 3))
        )
        state = closed
        for instant in instants:
            state = not state
            self._timeline.append((at_ms + instant, state))

    # Bell

    def supply(self, at_ms: float, vrms: float, hz: float) -> None:
        """The line's ringing voltage from now on; 0 volts is none."""
        self._ringing_vrms, self._ringing_hz = vrms, hz
        self._ring_by(at_ms)

    @property
    def cadence_ms(self) -> list[int]:
        """On, off, on... as the bell rang, without what still lasts."""
        return list(self._cadence)

    def _ring_by(self, at_ms: float) -> None:
        strong = self._ringing_vrms >= BELL_VRMS
        swings = BELL_HZ[0] <= self._ringing_hz <= BELL_HZ[1]
        ringing = strong and swings and not self.closed
        if ringing == self.ringing:
            return
        if self.rings:
            self._cadence.append(round(at_ms - self._changed_ms))
        self._changed_ms = at_ms
        self.ringing = ringing
        if ringing:
            self.rings += 1

    def forget_rings(self) -> None:
        """Begin to count anew: a new call."""
        self._cadence.clear()
        self.rings = 1 if self.ringing else 0

    # Mouth and ear

    @property
    def quiet(self) -> bool:
        """True when nothing waits to be said, dialled or switched."""
        return not self._mouth and not self._timeline

    def press(self, digits: str, on_ms: int = 80, off_ms: int = 80) -> int:
        """Press keys of the keypad; returns how long that will sound, milliseconds.

        Raises:
            ValueError: the receiver is on the hook, or there is no such key.
        """
        self._must_be_lifted("press keys")
        if len(digits) > _MOST_DIGITS:
            raise ValueError(f"at most {_MOST_DIGITS} digits at once")
        sender = DtmfSender(on_ms, off_ms)
        sender.send(digits)
        self._mouth.append(sender.frame)
        return len(digits) * (on_ms + off_ms)

    def say(self, path: str) -> int:
        """Play a WAV file into the mouthpiece; returns its length, milliseconds.

        Raises:
            ValueError: the file is no 16-bit mono WAV of 8000 samples a second.
        """
        try:
            with wave.open(path, "rb") as wav:
                shape = (wav.getnchannels(), wav.getsampwidth(), wav.getframerate())
                if shape != (1, 2, RATE_HZ):
                    raise ValueError(
                        f"{path} has (channels, octets, rate) {shape}; convert it: "
                        f"sox {path} -c 1 -b 16 -r 8000 out.wav"
                    )
                octets = wav.readframes(wav.getnframes())
        except (OSError, EOFError, wave.Error) as error:
            raise ValueError(f"{path} cannot be played: {error}") from None
        pieces = iter(
            octets[at : at + FRAME_OCTETS].ljust(FRAME_OCTETS, b"\0")
            for at in range(0, len(octets), FRAME_OCTETS)
        )
        self._mouth.append(lambda: next(pieces, None))
        return len(octets) // 2 * 1000 // RATE_HZ

    def sound(self, hz: tuple[int, ...], dbm0: float, ms: int) -> None:
        """Play sines into the mouthpiece."""
        generator = ToneGenerator(Tone(hz, dbm0))
        count = iter(range(ceil(ms / FRAME_MS)))
        self._mouth.append(lambda: generator.frame() if next(count, None) is not None else None)

    def hush(self) -> None:
        """Say nothing more."""
        self._mouth.clear()

    def speak(self) -> bytes:
        """The next frame from the mouthpiece: silence if nobody speaks or the loop is open."""
        if not self.closed:
            return SILENCE
        while self._mouth:
            frame = self._mouth[0]()
            if frame is not None:
                return frame
            self._mouth.popleft()
        return SILENCE

    def hear(self, frame: bytes) -> None:
        """One frame arrives at the earpiece; on the hook nobody hears it."""
        if not self.closed:
            return
        self.last_heard = frame
        self.heard_frames += 1
        if self._wav is not None:
            self._wav.writeframesraw(frame)

    def hear_on_hook(self, frame: bytes, at_ms: float) -> None:
        """One frame arrives while the receiver is down: the caller-ID unit listens."""
        if self.closed:
            return
        self.heard_on_hook.append((at_ms, frame))
        if self._wav is not None:
            self._wav.writeframesraw(frame)

    def record(self, path: str) -> None:
        """Write what ear and caller-ID unit hear to a WAV file (16-bit, mono, 8000 samples/s).

        Raises:
            ValueError: the file cannot be written.
        """
        self.stop_record()
        try:
            wav = wave.open(path, "wb")  # noqa: SIM115 - it stays open while the call lasts
        except OSError as error:
            raise ValueError(f"{path} cannot be written: {error.strerror}") from None
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(RATE_HZ)
        self._wav = wav

    def stop_record(self) -> int:
        """Close the recording; returns its length, milliseconds."""
        wav, self._wav = self._wav, None
        if wav is None:
            return 0
        samples = wav.tell()
        wav.close()
        return samples * FRAME_MS // FRAME_SAMPLES
