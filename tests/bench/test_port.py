"""How the sound of a port is measured: a delay that is known is found, and silence is no sound."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from tests.bench.port import found_ms, frames, line_pct, make_sound, receiver_us


def record(path: Path, samples: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(8_000)
        wav.writeframes(np.clip(samples, -32_767, 32_767).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("delay_ms", [0, 12.5, 87.25, 400])
def test_a_delay_is_found_to_the_sample(tmp_path: Path, delay_ms: float) -> None:
    sound = make_sound(tmp_path / "said.wav")
    noise = np.random.default_rng(5).normal(0, 1_000, 8_000)
    at = int(delay_ms * 8)
    noise[at : at + len(sound)] += sound / 2
    assert found_ms(record(tmp_path / "ear.wav", noise), sound) == delay_ms


def test_what_was_not_heard_is_told(tmp_path: Path) -> None:
    sound = make_sound(tmp_path / "said.wav")
    noise = np.random.default_rng(5).normal(0, 1_000, 8_000)
    with pytest.raises(RuntimeError, match="did not hear"):
        found_ms(record(tmp_path / "ear.wav", noise), sound)


def test_what_a_port_costs_is_some_of_a_core() -> None:
    assert len(frames(2)) == 100
    assert 0 < receiver_us(2) < 20_000
    assert 0 < line_pct(2) < 100
