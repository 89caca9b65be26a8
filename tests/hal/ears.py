"""Decoders that we did not write: minimodem and multimon-ng, fed with audio of 8000 samples/s."""

from __future__ import annotations

import re
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

needs_minimodem = pytest.mark.skipif(
    shutil.which("minimodem") is None, reason="minimodem is not installed (Debian: minimodem)"
)
needs_multimon = pytest.mark.skipif(
    shutil.which("multimon-ng") is None, reason="multimon-ng is not installed (Debian: multimon-ng)"
)
_MINIMODEM_HZ = 48_000
_MULTIMON_HZ = 22_050
MODEMS = {"bell202": (1_200, 2_200), "v23": (1_300, 2_100)}


def resampled(audio: bytes, hz: int) -> bytes:
    """The same sound at another rate, with half a second of silence around it."""
    samples = np.concatenate([np.zeros(4_000), np.frombuffer(audio, "<i2"), np.zeros(4_000)])
    samples = np.pad(samples, (0, -len(samples) % 160))
    spectrum = np.fft.rfft(samples)
    count = len(samples) * hz // 8_000
    wider = np.zeros(count // 2 + 1, complex)
    wider[: len(spectrum)] = spectrum
    sound = np.fft.irfft(wider, count) * (count / len(samples))
    return np.clip(sound, -32_767, 32_767).astype("<i2").tobytes()


def _minimodem(audio: bytes, folder: Path, *words: str) -> bytes:
    path = folder / "ear.wav"
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(_MINIMODEM_HZ)
        wav.writeframes(resampled(audio, _MINIMODEM_HZ))
    command = ["minimodem", "--rx", "-f", str(path), *words]
    return subprocess.run(command, capture_output=True, timeout=20, check=True).stdout


def displayed(audio: bytes, folder: Path) -> dict[str, str]:
    """What minimodem's Bell 202 display shows: `Time`, `Phone`, `Name`."""
    text = _minimodem(audio, folder, "callerid").decode("ascii", "replace")
    return dict(re.findall(r"^(\w+):\s+(.*?)\s*$", text, re.M))


def octets(audio: bytes, modem: str, folder: Path) -> bytes:
    """The octets that follow the channel seizure, if there is one, as minimodem reads them."""
    mark, space = MODEMS[modem]
    words = ("-M", str(mark), "-S", str(space), "--binary-output", "1200")
    bits = _minimodem(audio, folder, *words).decode("ascii")
    read = bytes(int(one[::-1], 2) for one in bits.split())
    # The first bits of a seizure may be misread, before the decoder is in step.
    seizure = re.search(rb"U{8,}", read)
    return (read[seizure.end() :] if seizure else read).lstrip(b"\xff")


def _multimon(audio: bytes, folder: Path, demodulator: str) -> str:
    path = folder / "ear.raw"
    path.write_bytes(resampled(audio, _MULTIMON_HZ))
    command = ["multimon-ng", "-q", "-t", "raw", "-a", demodulator, str(path)]
    done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    return done.stdout.decode("ascii", "replace")


def clip_fsk(audio: bytes, folder: Path) -> str:
    """What multimon-ng's CLIPFSK says."""
    return _multimon(audio, folder, "CLIPFSK")


def dtmf(audio: bytes, folder: Path) -> str:
    """Digits as multimon-ng hears them."""
    lines = _multimon(audio, folder, "DTMF").splitlines()
    return "".join(line.split()[-1] for line in lines if line.startswith("DTMF"))
