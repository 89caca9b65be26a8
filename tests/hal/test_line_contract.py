"""What every driver of a line does. A driver joins by adding itself to `RIGS`.

What a driver can stands in `capabilities.toml`: a test that is skipped where the table says that
the driver can fails (`conftest.py`).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pytest

from hal.drivers.handset import Handset
from hal.drivers.sim import SimLine
from hal.values import (
    FRAME_OCTETS,
    SILENCE,
    Capabilities,
    Feed,
    HookChanged,
    LineFault,
    LineStatus,
    LoopCurrent,
    RingCadence,
)
from tests.hal.rigs import CAPABILITIES, HARDWARE_RIGS, HandsetRig, Rig, lacks

RING = RingCadence((2_000, 4_000))


class SimRig(HandsetRig):
    """The simulated line and handset."""

    line: SimLine

    def __init__(self) -> None:
        super().__init__()
        self.line = SimLine(self.clock)

    @property
    def handset(self) -> Handset:
        return self.line.handset

    def wait(self, ms: float) -> None:
        self.now_ms += ms
        self.line.advance()


RIGS: dict[str, Callable[[], Rig]] = {"sim": SimRig, **HARDWARE_RIGS}


@pytest.fixture(params=[pytest.param(make, id=name) for name, make in RIGS.items()])
def rig(request: pytest.FixtureRequest) -> Rig:
    made: Rig = request.param()
    return made


@pytest.mark.parametrize("name", RIGS)
def test_capabilities_are_those_of_the_table(name: str) -> None:
    can = RIGS[name]().line.capabilities
    assert isinstance(can, Capabilities)
    told = {key for key, value in dataclasses.asdict(can).items() if value}
    assert told == set(CAPABILITIES[name]), "capabilities.toml says what each driver can"


def test_lifting_and_hanging_up_are_events_in_order(rig: Rig) -> None:
    rig.lift()
    rig.wait(100)
    rig.hang_up()
    rig.wait(1_500)
    events = rig.line.take_events()
    assert [one.at_ms for one in events] == sorted(one.at_ms for one in events)
    if rig.line.capabilities.debounces_hook:
        hooks = [one.off_hook for one in events if isinstance(one, HookChanged)]
    else:
        hooks = [one.flowing for one in events if isinstance(one, LoopCurrent)]
        assert all(one != two for one, two in itertools.pairwise(hooks))
        hooks = [hooks[0], hooks[-1]]
    assert hooks == [True, False]
    assert rig.line.take_events() == [], "taken once"


def test_the_bell_rings_in_cadence_and_stops(rig: Rig) -> None:
    rig.line.ring(RING)
    rig.line.ring(RING)
    assert rig.bell_rings()
    rig.wait(2_500)
    assert not rig.bell_rings()
    rig.wait(3_600)
    assert rig.bell_rings()
    rig.line.ring(None)
    rig.line.ring(None)
    assert not rig.bell_rings()


def test_lifting_trips_the_ring_before_anybody_reads(rig: Rig) -> None:
    rig.line.ring(RING)
    rig.lift()
    rig.wait(30)
    assert not rig.bell_rings()
    rig.wait(6_000)
    assert not rig.bell_rings()


def test_no_ringing_into_a_lifted_receiver(rig: Rig) -> None:
    rig.lift()
    rig.wait(50)
    rig.line.ring(RING)
    rig.wait(100)
    assert not rig.bell_rings()


def test_audio_runs_only_when_switched_on(rig: Rig) -> None:
    rig.lift()
    rig.wait(100)
    assert rig.line.read_audio() is None
    rig.line.audio(True)
    rig.line.audio(True)
    frames = []
    for _ in range(50):
        rig.wait(20)
        frame = rig.line.read_audio()
        if frame is not None:
            frames.append(frame)
    assert len(frames) == pytest.approx(50, abs=2)
    assert {len(one) for one in frames} == {FRAME_OCTETS}
    rig.line.audio(False)
    rig.wait(100)
    assert rig.line.read_audio() is None


def test_what_is_written_is_heard_and_gaps_are_silence(rig: Rig) -> None:
    rig.lift()
    rig.wait(100)
    rig.line.audio(True)
    sound = b"\x7c\x20" * 160
    heard = []
    for _ in range(5):
        rig.line.write_audio(sound)
        rig.wait(20)
        heard.append(rig.last_heard())
    assert heard.count(sound) >= 3
    rig.wait(200)
    assert rig.last_heard() == SILENCE


@pytest.mark.parametrize("length", [0, 319, 321, 640])
def test_a_frame_of_another_length_is_refused(rig: Rig, length: int) -> None:
    with pytest.raises(ValueError, match="320"):
        rig.line.write_audio(bytes(length))


def test_an_open_feed_draws_no_current(rig: Rig) -> None:
    if not rig.line.capabilities.opens_loop:
        lacks(rig, "opens_loop")
    rig.lift()
    rig.wait(100)
    rig.line.take_events()
    rig.line.feed(Feed.OPEN)
    rig.wait(300)
    rig.line.feed(Feed.FORWARD)
    rig.wait(100)
    flowing = [one.flowing for one in rig.line.take_events() if isinstance(one, LoopCurrent)]
    assert flowing in ([False, True], []), "what a driver debounces it may keep to itself"


SOUND = b"\x7c\x20" * 160


def play(rig: Rig, frames: int) -> int:
    """Write so many frames, one each 20 ms; how many more reached a receiver that is down."""
    before = rig.heard_on_hook().count(SOUND)
    for _ in range(frames):
        rig.line.write_audio(SOUND)
        rig.wait(20)
    return rig.heard_on_hook().count(SOUND) - before


@pytest.fixture
def transferring(rig: Rig) -> Rig:
    if not rig.line.capabilities.transfers_on_hook:
        with pytest.raises(LineFault):
            rig.line.on_hook_transfer(1_000)
        lacks(rig, "transfers_on_hook")
    rig.line.audio(True)
    return rig


def test_audio_reaches_a_receiver_that_is_down_only_by_on_hook_transfer(transferring: Rig) -> None:
    rig = transferring
    assert play(rig, 10) == 0
    rig.line.on_hook_transfer(1_000)
    assert play(rig, 20) >= 18
    rig.line.on_hook_transfer(0)
    assert play(rig, 10) <= 2, "ended at once"
    rig.line.on_hook_transfer(100)
    assert play(rig, 50) <= 8, "it ends by itself"
    with pytest.raises(ValueError):
        rig.line.on_hook_transfer(-1)


def test_on_hook_transfer_passes_between_rings_and_ends_when_the_receiver_is_lifted(
    transferring: Rig,
) -> None:
    rig = transferring
    rig.line.ring(RING)
    rig.line.on_hook_transfer(10_000)
    assert play(rig, 50) == 0, "ringing voltage is on the wire"
    rig.wait(1_200)
    assert play(rig, 50) >= 45
    rig.lift()
    rig.wait(50)
    assert play(rig, 10) == 0
    rig.hang_up()
    rig.wait(1_500)
    assert play(rig, 10) == 0, "asked for one call, not for the next"


@pytest.mark.parametrize("feed", [Feed.REVERSED, Feed.OPEN])
def test_a_feed_that_a_line_cannot_is_refused(rig: Rig, feed: Feed) -> None:
    can = rig.line.capabilities
    if can.reverses_feed if feed is Feed.REVERSED else can.opens_loop:
        rig.line.feed(feed)
        rig.line.feed(feed)
    else:
        with pytest.raises(LineFault):
            rig.line.feed(feed)
    rig.line.feed(Feed.FORWARD)


def test_a_reversed_feed_is_no_hook(rig: Rig) -> None:
    if not rig.line.capabilities.reverses_feed:
        lacks(rig, "reverses_feed")
    rig.lift()
    rig.wait(100)
    rig.line.take_events()
    rig.line.feed(Feed.REVERSED)
    rig.wait(300)
    assert rig.line.take_events() == []


def test_closing_twice_and_using_it_after(rig: Rig) -> None:
    rig.line.show(LineStatus())
    rig.line.close()
    rig.line.close()
    with pytest.raises(LineFault):
        rig.line.ring(RING)
    assert not rig.bell_rings()


def test_descriptors_and_wake_are_told(rig: Rig) -> None:
    assert all(isinstance(one, int) for one in rig.line.descriptors())
    rig.lift()
    rig.wait(100)
    rig.line.audio(True)
    wake_ms = rig.line.wake_at_ms()
    assert wake_ms is not None or rig.line.descriptors()
