"""What one port costs, and how long sound is on its way from handset to handset."""

from __future__ import annotations

import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from firmware.audio import AudioPath
from hal.countries import load_country
from hal.dsp.dtmf_receiver import DtmfReceiver
from hal.dsp.echo import EchoCanceller
from hal.values import FRAME_MS, FRAME_OCTETS
from tests.bench.subjects import CALLEE, DEVICE, DEVICE_SECRET, DID, SECRET, Bed
from tests.firmware.device_process import DeviceProcess

_RATE = 8_000
_DIGIT_HZ = (770, 1_336)
_SOUND_S = 0.5
_SETTLE_S = 1.0
"""Of a call, until its jitter buffers have come to rest."""
_LISTEN_S = 1.2
JITTER_MS = 40


def frames(seconds: float) -> list[bytes]:
    """What a receiver hears in a call: loud noise that comes and goes, and now and then a key."""
    rng = np.random.default_rng(1)
    at = np.arange(int(seconds * _RATE)) / _RATE
    sound = rng.normal(0, 2_000, len(at)) * (np.sin(2 * np.pi * 1.5 * at) > -0.5)
    digit = sum(6_000 * np.sin(2 * np.pi * hz * at) for hz in _DIGIT_HZ)
    sound = np.where(at % 2 < 0.1, digit, sound)
    octets = sound.astype("<i2").tobytes()
    return [octets[at : at + FRAME_OCTETS] for at in range(0, len(octets), FRAME_OCTETS)]


def receiver_us(seconds: float) -> float:
    """Microseconds of processor that the DTMF receiver takes for a frame."""
    receiver, heard = DtmfReceiver(), frames(seconds)
    begun = time.process_time()
    digits = "".join(map(receiver.hear, heard))
    took = time.process_time() - begun
    if len(digits) != int(seconds + 1.999) // 2:
        raise RuntimeError(f"the receiver heard {digits!r}, not a digit each two seconds")
    return took * 1e6 / len(heard)


def line_pct(seconds: float) -> float:
    """Percent of a core that echo canceller and DTMF receiver add to a call's audio.

    Both ends speak all the time, and the mouthpiece has the echo of the ear.
    """
    country, far = load_country("US"), frames(seconds)
    echoes = [np.frombuffer(frame, "<i2") // 2 for frame in far]
    own = np.random.default_rng(2).normal(0, 1_000, (len(far), len(echoes[0])))
    near = [(echo + one).astype("<i2").tobytes() for echo, one in zip(echoes, own, strict=True)]

    def spent(path: AudioPath) -> float:
        begun = time.process_time()
        for ear, mouth in zip(far, near, strict=True):
            path.to_ear(ear)
            path.from_mouth(mouth, True)
        return time.process_time() - begun

    bare = spent(AudioPath(country, detect_dtmf=False))
    whole = spent(AudioPath(country, detect_dtmf=True, echo=EchoCanceller()))
    return 100 * (whole - bare) / (len(far) * FRAME_MS / 1000)


def mouth_to_ear_ms(bed: Bed, calls: int) -> Iterator[float]:
    """Milliseconds from a handset to another, over IAX2 through a host that is up, for each call.

    Raises:
        HandsetError: a call did not come about.
        RuntimeError: the sound was not heard.
    """
    said = bed.folder / "said.wav"
    sound = make_sound(said)
    caller = _device(bed, "caller", DEVICE, DEVICE_SECRET)
    try:
        called = _device(bed, "called", CALLEE, SECRET)
        try:
            for device in (caller, called):
                device.handset.wait("registered")
            for number in range(calls):
                yield _one_call(caller, called, said, bed.folder / f"ear{number}.wav", sound)
        finally:
            called.stop()
    finally:
        caller.stop()


def _device(bed: Bed, name: str, account: str, password: str) -> DeviceProcess:
    folder = bed.folder / name
    folder.mkdir(exist_ok=True)
    address, port = bed.iax2_host
    settings = f'servers = ["{address}:{port}"]\njitter_least_ms = {JITTER_MS}'
    return DeviceProcess(folder, settings, "", "iax2", username=account, password=password)


def make_sound(path: Path) -> np.ndarray:
    """Noise, which is like itself at one instant alone; written to a file too."""
    sound = np.random.default_rng(3).normal(0, 4_000, int(_SOUND_S * _RATE)).astype("<i2")
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(_RATE)
        wav.writeframes(sound.tobytes())
    return sound.astype(float)


def _one_call(
    caller: DeviceProcess, called: DeviceProcess, said: Path, ear: Path, sound: np.ndarray
) -> float:
    """Dial, answer, say something, listen, hang up."""
    caller.handset.off_hook()
    caller.handset.wait("tone", "dial")
    caller.handset.dtmf(DID, 60, 60)
    called.handset.wait("ringing")
    called.handset.off_hook()
    for device in (caller, called):
        device.handset.wait("call", "talking")
    time.sleep(_SETTLE_S)
    recorded = called.handset.ask({"do": "record", "file": str(ear)})
    spoken = caller.handset.ask({"do": "say", "file": str(said)})
    time.sleep(_LISTEN_S)
    called.handset.stop_record()
    for device in (caller, called):
        device.handset.on_hook()
        device.handset.wait("call", "idle")
    # A simulated line carries at one instant what was said and heard in the 20 ms before it.
    return float(recorded["at_ms"]) + found_ms(ear, sound) - float(spoken["at_ms"])


def found_ms(ear: Path, sound: np.ndarray) -> float:
    """Where in a recording the sound begins, by cross-correlation.

    Raises:
        RuntimeError: it is not in it.
    """
    with wave.open(str(ear), "rb") as wav:
        heard = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").astype(float)
    alike = np.correlate(heard, sound, "valid")
    at = int(np.argmax(np.abs(alike)))
    piece = heard[at : at + len(sound)]
    likeness = abs(alike[at]) / (np.linalg.norm(piece) * np.linalg.norm(sound) + 1)
    if likeness < 0.5:
        raise RuntimeError(
            f"the called handset did not hear what was said (likeness {likeness:.2f})"
        )
    return at * 1000 / _RATE
