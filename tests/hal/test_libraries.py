"""The libraries themselves, where they are installed: what drivers ask of them is there."""

from __future__ import annotations

import inspect
import time

import pytest

from boards.lines import Si3210Settings
from hal.drivers import slic_fake
from hal.drivers.alsa import AlsaAudio
from hal.drivers.si3210_bus import open_chip
from hal.drivers.slic_pins import SlicPins
from hal.values import FRAME_OCTETS, SILENCE, LineFault
from tests.hal.rigs import PINS


def test_gpiod_has_what_the_driver_and_its_fake_have() -> None:
    gpiod = pytest.importorskip("gpiod", reason="gpiod is not installed")
    for name in ("get_value", "set_values", "wait_edge_events", "read_edge_events", "release"):
        wanted = inspect.signature(getattr(slic_fake.FakeSlic, name)).parameters
        assert set(wanted) <= set(inspect.signature(getattr(gpiod.LineRequest, name)).parameters)
    assert isinstance(gpiod.LineRequest.fd, property)
    for kind in (slic_fake.Value, slic_fake.Direction, slic_fake.Edge, slic_fake.Clock):
        assert {one.name for one in kind} <= {
            one.name for one in getattr(gpiod.line, kind.__name__)
        }
    assert {one.name for one in slic_fake.EventType} <= {one.name for one in gpiod.EdgeEvent.Type}
    assert {"event_type", "timestamp_ns"} <= set(gpiod.EdgeEvent.__dataclass_fields__)
    assert issubclass(gpiod.RequestReleasedError, Exception)
    with pytest.raises(LineFault, match="gpiochip0"):
        SlicPins(gpiod, PINS)


def test_alsas_null_device_runs() -> None:
    alsaaudio = pytest.importorskip("alsaaudio", reason="pyalsaaudio is not installed")
    sound = AlsaAudio(alsaaudio, "null", "null", lambda: time.monotonic_ns() / 1e6)
    sound.start()
    frame = sound.read()
    assert frame is not None
    assert len(frame) == FRAME_OCTETS
    sound.write(SILENCE)
    assert sound.lost_frames == 0
    assert sound.descriptors()
    sound.stop()
    with pytest.raises(LineFault, match="aplay -L"):
        AlsaAudio(alsaaudio, "nonesuch", "null", lambda: 0.0).start()


def test_spidev_has_what_the_driver_asks_for() -> None:
    spidev = pytest.importorskip("spidev", reason="spidev is not installed")
    for name in ("open", "close", "xfer2", "max_speed_hz", "mode"):
        assert hasattr(spidev.SpiDev, name)
    with pytest.raises(LineFault, match=r"/dev/spidev0\.0"):
        open_chip(spidev, Si3210Settings())
