"""Hardware that refuses ends no program: it is said, once, and the next call is tried anew."""

from __future__ import annotations

import pytest

from firmware.tolerant import TolerantLine
from hal.drivers.sim import SimLine
from hal.values import SILENCE, Feed, LineStatus, RingCadence


def test_refusals_are_logged_once_and_nothing_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    line = SimLine(lambda: 0.0)
    tolerant = TolerantLine(line, lambda: 0.0)
    tolerant.ring(RingCadence((100, 100)))
    assert line.handset.ringing
    assert tolerant.capabilities is line.capabilities
    tolerant.close()
    tolerant.ring(RingCadence((200, 100)))
    tolerant.feed(Feed.OPEN)
    tolerant.audio(True)
    tolerant.on_hook_transfer(100)
    tolerant.write_audio(SILENCE)
    tolerant.show(LineStatus())
    assert tolerant.read_audio() is None
    assert tolerant.take_events() == []
    (said,) = caplog.records
    assert said.message == "the line refused"
    assert "is closed" in said.__dict__["detail"]


def test_a_mistake_of_the_program_is_no_refusal() -> None:
    with pytest.raises(ValueError, match="320"):
        TolerantLine(SimLine(lambda: 0.0), lambda: 0.0).write_audio(b"")
