"""Lantiq's TAPI: its table of calls, its events, its packets, and drivers of another release."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.lines import TapiSettings, TapiStep
from boards.schema import ConfigError, loads
from hal.drivers import tapi_abi as abi
from hal.drivers.settings import HookTiming
from hal.drivers.tapi import TapiLine
from hal.drivers.tapi_abi import TapiEvent
from hal.drivers.tapi_fake import FakeTapi
from hal.dsp.codecs import Encoder
from hal.values import (
    FlashSeen,
    HookChanged,
    LineEvent,
    LineFault,
    PulseDigit,
    RingCadence,
    UnknownEvent,
)
from tests.hal.rigs import TAPI, TapiRig


def lifted(timing: HookTiming | None = None) -> TapiRig:
    rig = TapiRig(timing=timing)
    rig.lift()
    rig.wait(200)
    assert [type(one) for one in rig.line.take_events()] == [HookChanged]
    return rig


def after(rig: TapiRig, ms: float) -> list[LineEvent]:
    rig.wait(ms)
    return rig.line.take_events()


def test_the_line_is_brought_up_by_the_board_files_steps_in_their_order() -> None:
    rig = TapiRig()
    assert rig.tapi.steps == [
        ("DEV_STOP", 0),
        ("DEV_START", struct.pack("=3I", 3, 0, 0)),
        ("LINE_TYPE_SET", struct.pack("=2I", 2, 0)),
    ]
    assert rig.tapi.opened == {81, 82}


@pytest.mark.parametrize("name", ["DEV_START", "LINE_FEED_SET"])
def test_a_call_that_the_driver_does_not_know_is_named(name: str) -> None:
    tapi = FakeTapi(lambda: 0.0, TAPI)
    tapi.refused = name
    with pytest.raises(LineFault, match=rf"{name} .*drv_tapi_io\.h"):
        TapiLine(tapi, TAPI, HookTiming(), lambda: 0.0)
    assert tapi.opened == set(), "the descriptors were given back"


def test_a_driver_that_is_not_loaded() -> None:
    tapi = FakeTapi(lambda: 0.0, TAPI)
    tapi.installed = False
    with pytest.raises(LineFault, match=r"/dev/vmmc10 .*drv_tapi"):
        TapiLine(tapi, TAPI, HookTiming(), lambda: 0.0)


def test_a_table_that_lacks_calls_is_refused_by_key() -> None:
    with pytest.raises(ConfigError) as caught:
        loads(TapiSettings, "[calls]\nEVENT_GET = 1\n")
    (problem,) = caught.value.problems
    assert problem.key == "calls"
    assert "RING_START" in problem.what
    with pytest.raises(ConfigError, match="number"):
        loads(TapiStep, 'name = "DEV_STOP"\nnumber = -1\n')


@pytest.mark.parametrize("digit", "1234567890")
def test_rotary_digits(digit: str) -> None:
    rig = lifted()
    rig.handset.rotary(rig.now_ms, digit)
    events = after(rig, 2_000)
    assert [one.digit for one in events if isinstance(one, PulseDigit)] == [digit]


def test_flash_is_one_unless_it_is_switched_off() -> None:
    for timing, seen in ((HookTiming(), [FlashSeen]), (HookTiming(flash=False), [])):
        rig = lifted(timing)
        rig.handset.flash(rig.now_ms, 300)
        assert [type(one) for one in after(rig, 1_000)] == seen


def test_unknown_events_are_counted_and_end_nothing() -> None:
    rig = lifted()
    rig.tapi.tell(0xDEADBEEF)
    rig.tapi.tell(TapiEvent.RING_BURST_END)
    rig.tapi.tell(TapiEvent.OVER_TEMPERATURE)
    rig.tapi.tell(TapiEvent.PULSE_DIGIT, 0x4400)
    rig.tapi.tell(TapiEvent.ON_HOOK)
    events = rig.line.take_events()
    assert [one.code for one in events if isinstance(one, UnknownEvent)] == [
        0xDEADBEEF, TapiEvent.PULSE_DIGIT
    ]  # fmt: skip
    assert isinstance(events[-1], HookChanged)
    assert rig.line.unknown_events == 2  # type: ignore[attr-defined]


def test_packets_that_are_not_the_lines_are_passed_over() -> None:
    rig = lifted()
    rig.line.audio(True)
    good = Encoder("PCMU").encode(b"\x7c\x20" * 160)
    for octets in (
        b"x", bytes(172), abi.packet(101, 1, 0, 1, bytes(4)), abi.packet(8, 1, 0, 1, good),
        abi.packet(0, 1, 0, 1, good[:80]), abi.packet(0, 2, 160, 1, good),
    ):  # fmt: skip
        rig.tapi.spoken.append(octets)
    assert rig.line.read_audio() == b"\x7c\x20" * 160


def test_cadences_in_steps_of_50_ms() -> None:
    octets = abi.cadence((2_000, 4_000))
    assert octets[:5] == b"\xff" * 5
    assert struct.unpack_from("=i", octets, 40) == (120,)
    rig = TapiRig()
    with pytest.raises(LineFault, match="too short"):
        rig.line.ring(RingCadence((20, 1_000)))
    with pytest.raises(LineFault, match="16 s"):
        rig.line.ring(RingCadence((2_000, 20_000)))
    rig.line.ring(RingCadence((400, 200, 400, 2_000), 25))
    rig.wait(3_500)
    assert rig.handset.cadence_ms[:4] == [400, 200, 400, 2_000]


@given(
    st.lists(st.integers(1, 40).map(lambda steps: 50 * steps), min_size=2, max_size=8)
    .filter(lambda parts: len(parts) % 2 == 0 and sum(parts) <= 16_000)
)  # fmt: skip
def test_a_cadence_survives_its_bits(parts: list[int]) -> None:
    assert abi.pattern_of(abi.cadence(tuple(parts))) == parts


def test_a_line_that_is_closed_has_given_all_back() -> None:
    rig = TapiRig(dataclasses.replace(TAPI, codec="PCMA"))
    rig.line.ring(RingCadence((2_000, 4_000)))
    rig.line.close()
    assert rig.tapi.opened == set()
    assert not rig.bell_rings()
    assert rig.line.descriptors() == ()
