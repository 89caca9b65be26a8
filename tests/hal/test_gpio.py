"""SLICs on GPIO pins: ringing by software, pins and sound devices that fail."""

from __future__ import annotations

import dataclasses
import itertools
import select
import statistics
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.board import load_board
from boards.lines import GpioSettings, LineHardware
from hal.drivers import open_line
from hal.drivers.gpio import GpioLine
from hal.drivers.ringer import Ringer
from hal.drivers.slic_fake import FakeSlic
from hal.values import Feed, LineFault, LoopCurrent, RingCadence
from tests.hal.rigs import PINS, GpioRig

RING = RingCadence((2_000, 4_000))
SOUND = b"\x10\x20" * 160


@pytest.mark.parametrize("hz", [20, 25])
def test_the_line_swings_at_the_countrys_frequency_in_cadence(hz: int) -> None:
    ringer = Ringer(half_cycles=True)
    ringer.start(RingCadence((1_000, 500), hz), 0)
    swings, voltage = [0.0], []
    now_ms = 0.0
    while now_ms < 3_000:
        before = ringer.swung
        assert ringer.next_ms is not None
        now_ms = ringer.next_ms
        assert not ringer.step(now_ms, False)
        voltage.append((now_ms, ringer.voltage))
        if ringer.swung != before:
            swings.append(now_ms)
    gaps = {round(two - one, 3) for one, two in itertools.pairwise(swings)}
    assert 500 / hz in gaps
    assert max(gaps) <= 500 + 1_000 / hz, "one pause"
    assert {at for at, on in voltage if not on} == {1_000, 2_500}


def test_ringing_goes_on_in_step_after_a_busy_moment() -> None:
    ringer = Ringer(half_cycles=True)
    ringer.start(RING, 0)
    ringer.step(9_000, False)
    assert ringer.voltage is False
    assert ringer.next_ms == 12_000
    ringer.step(12_000, False)
    assert ringer.voltage is True


@given(
    st.lists(st.integers(20, 4_000), min_size=1, max_size=4).map(lambda half: (*half, *half)),
    st.lists(st.floats(0.1, 3_000), min_size=1, max_size=60),
)
def test_however_late_it_is_asked_ringing_keeps_to_its_cadence(
    pattern: tuple[int, ...], waits: list[float]
) -> None:
    ringer = Ringer(half_cycles=True)
    ringer.start(RingCadence(pattern, 25), 0)
    now_ms = 0.0
    for wait in waits:
        now_ms += wait
        ringer.step(now_ms, False)
        left = now_ms % sum(pattern)
        part = 0
        while left >= pattern[part]:
            left -= pattern[part]
            part += 1
        if 1e-6 < left < pattern[part] - 1e-6:
            assert ringer.voltage is (part % 2 == 0)
        assert ringer.voltage or not ringer.swung, "the line rests in pauses"
        assert ringer.next_ms is not None
        assert ringer.next_ms > now_ms - 20


def test_one_flicker_of_the_hook_detector_trips_nothing() -> None:
    ringer = Ringer(half_cycles=True)
    ringer.start(RING, 0)
    for step in range(1, 79):
        assert not ringer.step(step * 25.0, step % 2 == 1)
    ringer.step(2_000, True)
    assert not ringer.step(2_005, True)
    assert not ringer.step(2_010, False)
    assert ringer.next_ms == 6_000
    assert not ringer.step(2_025, True), "it has to last"
    assert ringer.step(2_046, True)
    assert ringer.cadence is None


def test_ringing_is_no_lifted_receiver_and_a_lifted_one_is_told_once() -> None:
    rig = GpioRig()
    rig.line.ring(RING)
    rig.wait(500)
    rig.wire.flowing = True  # the ringing current, as the detector takes it
    rig.wait(10)
    rig.wire.flowing = False
    rig.wait(300)
    assert rig.line.take_events() == []
    assert rig.bell_rings()
    rig.lift()
    lifted_ms = rig.now_ms
    rig.wait(200)
    (event,) = rig.line.take_events()
    assert isinstance(event, LoopCurrent)
    assert event.flowing
    assert event.at_ms - lifted_ms <= 60
    assert rig.line.ringing_due_ms is None


def test_edges_have_the_kernels_time() -> None:
    rig = GpioRig()
    rig.lift()
    rig.wait(400)
    events = rig.line.take_events()
    assert events[0].at_ms == pytest.approx(100, abs=0.01)
    assert all(one.at_ms <= 110 for one in events)


def test_edges_that_the_kernel_had_no_room_for_are_made_up_for() -> None:
    rig = GpioRig()
    rig.slic.room = 0
    rig.lift()
    rig.wait(100)
    assert rig.line.take_events() == [LoopCurrent(rig.now_ms, True)]


def test_a_receiver_that_is_off_from_the_beginning_is_told() -> None:
    slic = FakeSlic(lambda: 50.0, PINS)
    slic.wire.handset.lift(0)
    slic.wire.advance()
    slic.gpiod.request_lines("/dev/gpiochip0", consumer="x", config={5: slic.gpiod.LineSettings(
        direction=1, edge_detection=slic.gpiod.line.Edge.BOTH)}, event_buffer_size=1)  # fmt: skip
    slic.read_edge_events()
    line = GpioLine(slic.gpiod, slic.alsaaudio, PINS, lambda: 50.0, threaded=False)
    assert line.take_events() == [LoopCurrent(50, True)]
    line.close()


def test_the_feed_between_rings_is_the_one_that_was_set() -> None:
    rig = GpioRig()
    rig.line.feed(Feed.REVERSED)
    rig.line.ring(RING)
    rig.wait(3_000)
    assert rig.wire.feed is Feed.REVERSED
    rig.line.ring(None)
    rig.line.feed(Feed.FORWARD)
    assert rig.wire.feed is Feed.FORWARD  # type: ignore[comparison-overlap]


def test_what_is_not_wired_is_refused_with_the_remedy() -> None:
    bare = dataclasses.replace(PINS, power_down_line=-1, on_hook_audio=False)
    rig = GpioRig(bare)
    with pytest.raises(LineFault, match="power_down_line"):
        rig.line.feed(Feed.OPEN)
    with pytest.raises(LineFault, match="receiver that is down"):
        rig.line.on_hook_transfer(100)


def test_pins_that_cannot_be_had() -> None:
    slic = FakeSlic(lambda: 0.0, PINS)
    slic.busy = True
    with pytest.raises(LineFault, match="gpioinfo"):
        GpioLine(slic.gpiod, slic.alsaaudio, PINS, lambda: 0.0)
    other = dataclasses.replace(PINS, chip="/dev/gpiochip9")
    with pytest.raises(LineFault, match="gpiochip9"):
        GpioLine(slic.gpiod, slic.alsaaudio, other, lambda: 0.0)


def test_a_chip_that_fails_for_a_while_loses_nothing() -> None:
    rig = GpioRig()
    rig.slic.failing = True
    for deed in (rig.line.take_events, lambda: rig.line.ring(RING)):
        with pytest.raises(LineFault, match="cabling"):
            deed()
    rig.slic.failing = False
    rig.lift()
    rig.wait(100)
    assert [type(one) for one in rig.line.take_events()][:1] == [LoopCurrent]


def test_closing_leaves_the_line_at_rest() -> None:
    rig = GpioRig()
    rig.line.ring(RING)
    rig.wait(100)
    rig.line.audio(True)
    rig.line.close()
    assert not rig.handset.ringing
    assert rig.slic.released
    assert rig.slic.alsaaudio.open == set()
    assert rig.line.descriptors() == ()
    assert rig.line.take_events() == []


def test_an_idle_line_has_no_sound_device_open() -> None:
    rig = GpioRig()
    assert rig.slic.alsaaudio.open == set()
    rig.line.audio(True)
    assert len(rig.slic.alsaaudio.open) == 2
    assert len(rig.line.descriptors()) == 3
    rig.line.audio(False)
    assert rig.slic.alsaaudio.open == set()


def test_a_sound_device_that_is_not_as_needed() -> None:
    rig = GpioRig()
    rig.slic.alsaaudio.rate = 48_000
    with pytest.raises(LineFault, match="plugplughw:0"):
        rig.line.audio(True)
    assert rig.slic.alsaaudio.open == set()
    rig.slic.alsaaudio.rate = 8_000
    rig.slic.alsaaudio.present = False
    with pytest.raises(LineFault, match="aplay -L"):
        rig.line.audio(True)
    rig.slic.alsaaudio.present = True
    rig.line.audio(True)
    rig.wait(20)
    assert rig.line.read_audio() is not None


def test_a_codec_that_is_pulled_out_of_its_socket_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "loopstart")
    rig = GpioRig()
    rig.lift()
    rig.line.audio(True)
    rig.wait(100)
    rig.slic.alsaaudio.present = False
    rig.line.write_audio(SOUND)
    for _ in range(20):
        rig.wait(100)
        assert rig.line.read_audio() is None
        rig.line.write_audio(SOUND)
    assert rig.line.wake_at_ms() is not None
    rig.slic.alsaaudio.present = True
    frames = 0
    for _ in range(100):
        rig.wait(20)
        frames += rig.line.read_audio() is not None
        rig.line.write_audio(SOUND)
    assert frames >= 45
    assert rig.last_heard() == SOUND
    assert [one.message for one in caplog.records] == [
        "sound device failed",
        "sound device is back",
    ]


def test_a_gap_in_playing_is_got_over() -> None:
    rig = GpioRig()
    rig.lift()
    rig.line.audio(True)
    rig.wait(200)
    rig.slic.alsaaudio.underrun = True
    rig.line.write_audio(SOUND)
    rig.wait(60)
    assert rig.handset.heard_frames > 0
    for _ in range(5):
        rig.line.write_audio(SOUND)
        rig.wait(20)
    assert rig.last_heard() == SOUND


def real_ms() -> float:
    return time.monotonic_ns() / 1e6


def test_a_thread_rings_while_the_program_is_busy_and_wakes_it_at_the_trip() -> None:
    slic = FakeSlic(real_ms, PINS)
    line = GpioLine(slic.gpiod, slic.alsaaudio, PINS, real_ms)
    swings: list[float] = []
    set_values = slic.set_values

    def noting(values: dict[int, object]) -> None:
        swings.append(real_ms())
        set_values(values)  # type: ignore[arg-type]

    slic.set_values = noting  # type: ignore[assignment,method-assign]
    try:
        line.ring(RingCadence((5_000, 1_000), 25))
        time.sleep(0.5)
        gaps = [two - one for one, two in itertools.pairwise(swings)]
        assert statistics.median(gaps) == pytest.approx(20, abs=3)
        slic.wire.handset.lift(real_ms())
        woken, _, _ = select.select([line._wake], (), (), 2)
        assert woken, "the loop is told"
        events = line.take_events()
        assert [one.flowing for one in events if isinstance(one, LoopCurrent)] == [True]
        assert not slic.wire.handset.ringing
    finally:
        line.close()


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    hardware = load_board("rpi-ag1171").lines[0]
    monkeypatch.setitem(sys.modules, "gpiod", None)
    with pytest.raises(LineFault, match="pip install gpiod"):
        open_line(hardware, lambda: 0.0)
    monkeypatch.setitem(sys.modules, "gpiod", sys)
    monkeypatch.setitem(sys.modules, "alsaaudio", None)
    with pytest.raises(LineFault, match="pip install pyalsaaudio"):
        open_line(LineHardware("gpio"), lambda: 0.0)


def test_two_pins_on_one_line_are_refused() -> None:
    assert GpioSettings.problem(dataclasses.replace(PINS, reverse_line=5)) == (
        "reverse_line", "is 5, as hook_line is", "give each pin its own line"
    )  # fmt: skip
