"""Caller ID and message waiting as a telephone gets them: from its wire, by a simulated clock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.caller_id import TRANSITIONS, first_ring_ms
from firmware.causes import Cause
from firmware.config import ConfigError, load_config
from firmware.legs import Answer, LegAnswered, LegEnded, Offered
from firmware.ua.base import MessagesWaiting
from hal.caller_id.schemes import Scheme, load_scheme, scheme_names
from hal.countries import country_codes, load_country
from hal.values import Capabilities, Feed, LineFault, RingCadence
from tests.firmware.simulated import NOON, Desk
from tests.hal import ears

ANN = Offered("in1", "5145550199", "Ann Lee")
SCHEMES = [load_scheme(name) for name in scheme_names() if name != "off"]
LOUD = 60


@dataclass
class Span:
    """Something on the wire, from when to when."""

    start_ms: float
    end_ms: float

    @property
    def ms(self) -> float:
        return self.end_ms - self.start_ms


class Wire:
    """Watches the wire of a desk's telephone."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.rings: list[Span] = []
        self.reversals: list[tuple[float, bool]] = []
        self._supply = desk.handset.supply
        self._feed = desk.line.feed
        desk.handset.supply = self._on_supply
        desk.line.feed = self._on_feed  # type: ignore[method-assign]

    def _on_supply(self, at_ms: float, vrms: float, hz: float) -> None:
        on = bool(self.rings) and self.rings[-1].end_ms < 0
        if vrms and not on:
            self.rings.append(Span(at_ms, -1))
        elif not vrms and on:
            self.rings[-1].end_ms = at_ms
        self._supply(at_ms, vrms, hz)

    def _on_feed(self, feed: Feed) -> None:
        self.reversals.append((self.desk.now_ms, feed is Feed.REVERSED))
        self._feed(feed)

    @property
    def audio(self) -> bytes:
        return b"".join(frame for _, frame in self.desk.handset.heard_on_hook)

    def sounds(self) -> list[Span]:
        """What sounded while the receiver was down; silence of 20 ms parts it."""
        spans: list[Span] = []
        for at_ms, frame in self.desk.handset.heard_on_hook:
            loud = np.flatnonzero(np.abs(np.frombuffer(frame, "<i2").astype(int)) > LOUD)
            for sample in loud:
                instant = at_ms + float(sample) / 8
                if spans and instant - spans[-1].end_ms < 20:
                    spans[-1].end_ms = instant + 0.125
                else:
                    spans.append(Span(instant, instant + 0.125))
        return spans


def watched(seed: int = 1, **line: Any) -> tuple[Desk, Wire]:
    desk = Desk(seed, **line)
    return desk, Wire(desk)


def check_number(one: Scheme, audio: bytes, folder: Path) -> None:
    """The number on the wire, by a decoder that is not ours."""
    if one.signal == "dtmf":
        assert ears.dtmf(audio, folder) == one.message[0].format(number="5145550199")
    elif one.signal == "bell202":
        shown = ears.displayed(audio, folder)
        assert (shown["Time"], shown["Phone"]) == ("03/27 12:00", "514-555-0199")
    else:
        octets = ears.octets(audio, one.signal, folder)
        assert sum(octets[: octets[1] + 3]) % 256 == 0
        assert b"\x02\x0a5145550199" in octets
        assert b"\x07\x07Ann Lee" in octets


@ears.needs_minimodem
@ears.needs_multimon
@pytest.mark.parametrize("one", SCHEMES, ids=lambda one: one.name)
@pytest.mark.parametrize("country", ["US", "UK", "FR"])
def test_the_number_comes_at_the_right_moment_in_every_scheme(
    one: Scheme, country: str, tmp_path: Path
) -> None:
    desk, wire = watched(country=country, caller_id=one.name)
    began_ms = desk.now_ms
    desk.event(ANN)
    desk.run(12_000)
    check_number(one, wire.audio, tmp_path)
    sounds, rings = wire.sounds(), wire.rings
    if one.tone_ms:
        alert, sounds = sounds[0], sounds[1:]
        assert alert.ms == pytest.approx(100, abs=10)
        assert 45 <= sounds[0].start_ms - alert.end_ms <= 500
    first = alert if one.tone_ms else sounds[0]
    data = Span(sounds[0].start_ms, sounds[-1].end_ms)
    next_ring = next(ring for ring in rings if ring.start_ms > data.end_ms)
    if one.after_ring:
        cadence = load_country(country).ring.pattern_ms
        first_ms, pause_ms = first_ring_ms(RingCadence(cadence))
        before = [ring for ring in rings if ring.start_ms < data.start_ms]
        assert before[0].start_ms - began_ms < 50
        assert before[-1].end_ms - before[0].start_ms == pytest.approx(first_ms, abs=10)
        assert 500 <= data.start_ms - before[-1].end_ms <= 2_000
        assert next_ring.start_ms - data.end_ms >= 200
        if one.signal != "dtmf":
            assert next_ring.start_ms - before[-1].end_ms == pytest.approx(pause_ms, abs=10)
    else:
        assert 200 <= next_ring.start_ms - data.end_ms <= 500
    if one.pulse_ms:
        assert 200 <= rings[0].ms <= 300
        assert 500 <= first.start_ms - rings[0].end_ms <= 800
    elif not one.after_ring:
        assert next_ring is rings[0], "the bell is silent before"
    if one.reversal:
        reversed_ms, on = wire.reversals[0]
        assert on
        assert first.start_ms - reversed_ms >= 100
        if one.tone_ms:
            assert data.start_ms - reversed_ms <= 700
        assert len(wire.reversals) == 1, "until ringing ends"
    else:
        assert wire.reversals == []


@ears.needs_minimodem
@ears.needs_multimon
@pytest.mark.parametrize("country", country_codes())
def test_every_country_has_its_scheme(country: str, tmp_path: Path) -> None:
    desk, wire = watched(country=country)
    desk.event(ANN)
    desk.run(8_000)
    one = load_scheme(load_country(country).caller_id)
    assert one is not None
    check_number(one, wire.audio, tmp_path)
    assert desk.line.state()["ring_vrms"] > 0 or desk.handset.rings > 1


@ears.needs_minimodem
@pytest.mark.parametrize(
    ("offered", "phone", "name"),
    [
        (Offered("in1", "5145550199", "Ann", withheld=True), "[blocked]", "[blocked]"),
        (Offered("in1", ""), "[N/A]", "[N/A]"),
        (Offered("in1", "5145550199"), "514-555-0199", "[N/A]"),
    ],
)
def test_private_and_unavailable(offered: Offered, phone: str, name: str, tmp_path: Path) -> None:
    desk, wire = watched()
    desk.event(offered)
    desk.run(5_000)
    shown = ears.displayed(wire.audio, tmp_path)
    assert (shown["Phone"], shown["Name"]) == (phone, name)


def test_the_pause_is_stretched_where_dtmf_takes_longer() -> None:
    desk, wire = watched(country="UK", caller_id="dtmf-after-ring")
    desk.event(Offered("in1", "12345678901234567890"))
    desk.run(10_000)
    end_ms = wire.sounds()[-1].end_ms
    after = [ring for ring in wire.rings if ring.end_ms < 0 or ring.end_ms > end_ms]
    assert after[0].start_ms - end_ms >= 200
    assert wire.rings[2] is after[0], "two short rings, then data, whatever it takes"


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from([one.name for one in SCHEMES if one is not None]),
    after_ms=st.integers(0, 6_000),
    seed=st.integers(0, 3),
)
def test_lifting_at_any_moment_answers_at_once(name: str, after_ms: int, seed: int) -> None:
    """Given a call that is being announced, when the receiver is lifted, then it is answered."""
    desk, _ = watched(seed, caller_id=name, country="DE")
    desk.event(ANN)
    desk.run(after_ms)
    desk.handset.lift(desk.now_ms)
    desk.run(60)
    assert desk.agent.commands[-1] == Answer("in1")
    state = desk.line.state()
    assert state["ring_vrms"] == 0
    assert state["audio"]
    assert state["line_volts"] > 0, "fed forward again"
    desk.event(LegAnswered("in1"))
    heard = np.frombuffer(desk.heard(6_000), "<i2")
    assert not heard[4_00:].any(), "no data in the ear of who answered"
    assert desk.line.state()["ring_vrms"] == 0
    assert desk.state == ("in_call", "talking")


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from([one.name for one in SCHEMES if one is not None]),
    after_ms=st.integers(0, 6_000),
)
def test_a_caller_who_gives_up_leaves_a_quiet_line(name: str, after_ms: int) -> None:
    desk, wire = watched(caller_id=name)
    desk.event(ANN)
    desk.run(after_ms)
    desk.event(LegEnded("in1", Cause(16)))
    rings = len(wire.rings)
    sounds = len(desk.handset.heard_on_hook)
    desk.run(8_000)
    assert len(wire.rings) == rings
    assert len(desk.handset.heard_on_hook) <= sounds
    state = desk.line.state()
    assert (state["ring_vrms"], state["audio"], state["line_volts"]) == (0, False, 48)
    desk.lift()
    assert desk.state[0] == "dial_tone"


def test_off_and_a_line_that_cannot_ring_at_once() -> None:
    desk, wire = watched(country="UK", caller_id="off")
    desk.event(ANN)
    assert wire.rings
    desk.run(10_000)
    assert wire.audio == b""
    assert wire.reversals == []
    desk, wire = lacking(Capabilities(), country="UK")
    desk.event(ANN)
    assert wire.rings
    desk.run(10_000)
    assert wire.audio == b""
    desk, wire = lacking(Capabilities(transfers_on_hook=True), country="UK")
    desk.event(ANN)
    desk.run(5_000)
    assert wire.sounds(), "without the reversal, but with the rest"
    assert wire.reversals == []
    assert wire.rings


def lacking(can: Capabilities, **line: Any) -> tuple[Desk, Wire]:
    """A desk whose line can do this alone."""
    from firmware.app import Device
    from firmware.config import Config, LineConfig, SipConfig

    desk = Desk()
    desk.line.capabilities = can
    sip = SipConfig("100001", "secret", ("127.0.0.1:5060",))
    config = Config(sip, LineConfig(**line))
    desk.device = Device(config, desk.line, desk.agent, lambda: desk.now_ms, lambda: NOON)
    return desk, Wire(desk)


def _refuses(*_: object) -> None:
    raise LineFault("the card is gone; put it back")


@pytest.mark.parametrize("method", ["on_hook_transfer", "feed", "audio"])
def test_hardware_that_refuses_misses_no_call(method: str) -> None:
    desk, wire = watched(country="UK")
    setattr(desk.line, method, _refuses)
    desk.event(ANN)
    desk.run(4_000)
    assert wire.rings, "it rings, with or without a number"
    desk.event(LegEnded("in1", Cause(16)))
    desk.run(1_000)
    assert not desk.line.state()["audio"]
    assert desk.state == ("on_hook", "idle")


def test_frames_that_never_flow_miss_no_call() -> None:
    desk, wire = watched(country="UK")
    desk.line.read_audio = lambda: None  # type: ignore[method-assign]
    desk.event(ANN)
    desk.run(8_000)
    assert wire.rings


# Message waiting


def lamps(wire: Wire, folder: Path, modem: str = "bell202") -> list[bool]:
    """What the telephone's lamp was told, in order."""
    octets = ears.octets(wire.audio, modem, folder)
    told, at = [], 0
    while (at := octets.find(b"\x82\x03\x0b\x01", at)) >= 0:
        assert sum(octets[at : at + 6]) % 256 == 0
        told.append(octets[at + 4] == 0xFF)
        at += 6
    return told


@ears.needs_minimodem
@pytest.mark.parametrize(("country", "modem"), [("US", "bell202"), ("UK", "v23"), ("DE", "v23")])
def test_the_lamp_follows_the_voice_mail(country: str, modem: str, tmp_path: Path) -> None:
    desk, wire = watched(country=country)
    desk.event(MessagesWaiting(False))
    desk.run(5_000)
    assert lamps(wire, tmp_path, modem) == [False], "told after the start"
    desk.event(MessagesWaiting(False))
    desk.run(5_000)
    desk.event(MessagesWaiting(True, 3))
    desk.run(5_000)
    assert lamps(wire, tmp_path, modem) == [False, True], "and when it changes alone"
    assert wire.rings == []
    assert desk.line.state()["line_volts"] == 48
    assert not desk.line.state()["audio"]


def test_dial_tone_stutters_while_messages_wait() -> None:
    desk, _ = watched()
    desk.event(MessagesWaiting(True))
    desk.run(5_000)
    desk.lift()
    assert desk.line.state()["tone"] == "stutter"
    loud = np.abs(np.frombuffer(desk.heard(1_500), "<i2").reshape(-1, 80)).max(axis=1) > LOUD
    assert int(np.count_nonzero(np.diff(loud.astype(int)))) >= 14
    desk.put_back()
    desk.event(MessagesWaiting(False))
    desk.lift()
    assert desk.line.state()["tone"] == "dial"


@ears.needs_minimodem
def test_a_receiver_that_is_up_hears_nothing_and_the_lamp_follows_later(tmp_path: Path) -> None:
    desk, wire = watched()
    desk.lift()
    desk.event(MessagesWaiting(True))
    desk.run(12_000)
    assert wire.audio == b""
    desk.put_back()
    desk.run(8_000)
    assert lamps(wire, tmp_path) == [True]


@ears.needs_minimodem
@pytest.mark.parametrize("after_ms", [2_050, 2_300])
def test_lifting_cuts_the_lamp_off_and_it_is_told_again(after_ms: int, tmp_path: Path) -> None:
    desk, wire = watched()
    desk.event(MessagesWaiting(True))
    desk.run(after_ms)
    desk.lift()
    assert desk.state[0] == "dial_tone"
    assert desk.line.state()["tone"] == "stutter"
    heard = desk.heard(500)
    assert np.frombuffer(heard, "<i2").any()
    desk.put_back()
    desk.handset.heard_on_hook.clear()
    desk.run(8_000)
    assert lamps(wire, tmp_path) == [True]


@ears.needs_minimodem
def test_a_call_goes_before_the_lamp(tmp_path: Path) -> None:
    desk, wire = watched()
    desk.event(MessagesWaiting(True))
    desk.run(2_200)
    desk.handset.heard_on_hook.clear()
    desk.event(ANN)
    desk.run(5_000)
    assert wire.rings
    assert ears.displayed(wire.audio, tmp_path)["Phone"] == "514-555-0199"
    desk.event(LegEnded("in1", Cause(16)))
    desk.handset.heard_on_hook.clear()
    desk.run(12_000)
    assert lamps(wire, tmp_path) == [True]


def test_schemes_without_a_lamp_stutter_all_the_same() -> None:
    desk, wire = watched(country="BR")
    desk.event(MessagesWaiting(True))
    desk.run(10_000)
    assert wire.audio == b""
    desk.lift()
    assert desk.line.state()["tone"] == "stutter"


def test_a_wrong_scheme_is_named_with_line_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "ata.toml"
    path.write_text(
        '[sip]\nusername = "1"\npassword = "p"\nservers = ["127.0.0.1"]\n'
        '[line]\ncountry = "UK"\ncaller_id = "morse"\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    text = str(caught.value)
    assert f"{path}:7: line.caller_id" in text
    assert "uk-sin227" in text
    path.write_text(path.read_text().replace("morse", "etsi-fsk-rpas"))
    assert load_config(path).line.caller_id == "etsi-fsk-rpas"


def test_the_manual_and_the_example_name_every_scheme() -> None:
    root = Path(__file__).parents[2]
    for path in (root / "README.md", root / "firmware" / "example.toml"):
        text = path.read_text("utf-8")
        assert [name for name in scheme_names() if name not in text] == [], path


def test_the_table_is_whole() -> None:
    states = {state for state, _ in TRANSITIONS}
    assert {state for row in TRANSITIONS.values() for state in row.leads_to} == states
