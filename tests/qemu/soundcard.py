"""In the guest: the audio of the GPIO driver over a real sound device, snd-aloop.

    python -m tests.qemu.soundcard

Pins and handset are simulated, ALSA and pyalsaaudio are not: the loop's other end is a telephone's
ear and mouth. Prints one JSON object: what the driver heard, what the ear heard, frames lost.
"""

from __future__ import annotations

import base64
import json
import math
import select
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

from boards.lines import GpioSettings
from hal.drivers.gpio import GpioLine
from hal.drivers.slic_fake import FakeSlic
from hal.values import FRAME_SAMPLES, RATE_HZ

OURS, TELEPHONE = "plughw:CARD=Loopback,DEV=0", "plughw:CARD=Loopback,DEV=1"
EAR_HZ, MOUTH_HZ = 1_500, 700
SECONDS = 3.0
_PEAK = 7_200
"""Of a tone of -10 dBm0."""


def tone(hz: float) -> Iterator[bytes]:
    """Frames of a tone without end."""
    start = 0
    while True:
        at = range(start, start + FRAME_SAMPLES)
        values = (round(_PEAK * math.sin(2 * math.pi * hz * n / RATE_HZ)) for n in at)
        yield struct.pack(f"<{FRAME_SAMPLES}h", *values)
        start += FRAME_SAMPLES


class Far:
    """The loop's other end; its two threads wait for the device, as programs of ALSA do."""

    def __init__(self, alsaaudio: Any) -> None:
        self._library = alsaaudio
        self._stop = threading.Event()
        self.heard = bytearray()
        self._threads = [threading.Thread(target=way) for way in (self._ear, self._mouth)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop both ways."""
        self._stop.set()
        for thread in self._threads:
            thread.join(5)

    def _device(self, way: Any) -> Any:
        return self._library.PCM(
            type=way, device=TELEPHONE, rate=RATE_HZ, channels=1,
            format=self._library.PCM_FORMAT_S16_LE, periodsize=FRAME_SAMPLES, periods=8,
        )  # fmt: skip

    def _ear(self) -> None:
        device = self._device(self._library.PCM_CAPTURE)
        while not self._stop.is_set():
            count, octets = device.read()
            if count > 0:
                self.heard += octets
        device.close()

    def _mouth(self) -> None:
        device = self._device(self._library.PCM_PLAYBACK)
        frames = tone(MOUTH_HZ)
        while not self._stop.is_set():
            device.write(next(frames))
        device.close()


def clock() -> float:
    """Monotonic milliseconds."""
    return time.monotonic() * 1000


def carry(line: GpioLine) -> bytes:
    """A tone to the ear, frame by frame as they come from the mouth; what the mouth said."""
    frames, heard = tone(EAR_HZ), bytearray()
    end_ms = clock() + SECONDS * 1000
    while clock() < end_ms:
        select.select(line._sound.descriptors(), (), (), 0.02)  # the pins have none: a fake's
        line.take_events()
        while (frame := line.read_audio()) is not None:
            heard += frame
            line.write_audio(next(frames))
    return bytes(heard)


def main() -> None:
    """Carry audio for three seconds, and tell."""
    import alsaaudio  # type: ignore[import-not-found,unused-ignore]

    settings = GpioSettings(capture=OURS, playback=OURS)
    slic = FakeSlic(clock, settings)
    slic.wire.handset.lift(clock())
    line = GpioLine(slic.gpiod, alsaaudio, settings, clock, threaded=False)
    far = Far(alsaaudio)
    try:
        line.audio(True)
        mouth = carry(line)
        line.audio(False)
    finally:
        far.end()
        line.close()
    answer = {
        "mouth": base64.b64encode(mouth).decode(),
        "ear": base64.b64encode(bytes(far.heard)).decode(),
        "lost": line._sound.lost_frames,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
