"""Caller ID and message waiting as audio, heard by decoders that we did not write."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal.caller_id.message import (
    NAME,
    NO_NAME,
    NO_NUMBER,
    NUMBER,
    TIME,
    Caller,
    Message,
    call_message,
    waiting_message,
)
from hal.caller_id.schemes import Scheme, load_scheme, scheme_names
from hal.countries import country_codes, load_country
from hal.dsp import data
from hal.dsp.levels import level_dbm0
from tests.firmware.peer import Spectrum
from tests.hal import ears

NOW = datetime.fromisoformat("2026-03-27T15:30")
ANN = Caller("5145550199", "Ann Lee")
WITHHELD = Caller("5145550199", "Ann Lee", withheld=True)
NOBODY = Caller()


def scheme(name: str) -> Scheme:
    found = load_scheme(name)
    assert found is not None
    return found


SCHEMES = [scheme(name) for name in scheme_names() if name != "off"]
FSK = [one for one in SCHEMES if one.signal != "dtmf"]
by_name = pytest.mark.parametrize("one", SCHEMES, ids=lambda one: one.name)


def samples(audio: bytes) -> np.ndarray:
    return np.frombuffer(audio, "<i2").astype(float)


@ears.needs_minimodem
@pytest.mark.parametrize(
    ("caller", "phone", "name"),
    [
        (ANN, "514-555-0199", "Ann Lee"),
        (Caller("+1 (514) 555-0199", "Ann Lee"), "1 514-555-0199", "Ann Lee"),
        (Caller("5145550199", "Zoë Ångström, Montréal"), "514-555-0199", "Zoe Angstrom, M"),
        (Caller("5145550199"), "514-555-0199", "[N/A]"),
        (Caller("ann.lee"), "[N/A]", "ann.lee"),
        (WITHHELD, "[blocked]", "[blocked]"),
        (NOBODY, "[N/A]", "[N/A]"),
    ],
)
def test_a_bell_202_display_shows_number_name_and_time(
    caller: Caller, phone: str, name: str, tmp_path: Path
) -> None:
    shown = ears.displayed(scheme("bellcore").call_clip(caller, NOW), tmp_path)
    assert shown["Time"] == "03/27 15:30"
    assert shown["Name"] == name
    assert shown["Phone"].replace(" ", "").replace("-", "") == phone.replace(" ", "").replace(
        "-", ""
    )


@ears.needs_minimodem
def test_a_display_of_the_first_years_shows_number_and_time(tmp_path: Path) -> None:
    old = scheme("bellcore-sdmf")
    shown = ears.displayed(old.call_clip(ANN, NOW), tmp_path)
    assert shown == {"Time": "03/27 15:30", "Phone": "514-555-0199"}
    assert ears.displayed(old.call_clip(WITHHELD, NOW), tmp_path)["Phone"] == "P"
    assert ears.displayed(old.call_clip(NOBODY, NOW), tmp_path)["Phone"] == "O"


@ears.needs_multimon
def test_a_second_decoder_agrees(tmp_path: Path) -> None:
    text = ears.clip_fsk(scheme("bellcore").call_clip(ANN, NOW), tmp_path)
    assert "DATE=03271530" in text
    assert "CID=5145550199" in text
    assert "CNT=Ann Lee" in text


@ears.needs_minimodem
@pytest.mark.parametrize("one", FSK, ids=lambda one: one.name)
@pytest.mark.parametrize("caller", [ANN, WITHHELD, NOBODY])
def test_every_fsk_scheme_is_read_octet_by_octet(
    one: Scheme, caller: Caller, tmp_path: Path
) -> None:
    read = Message.from_bytes(ears.octets(one.call_clip(caller, NOW), one.signal, tmp_path))
    if one.message == ("sdmf",):
        wanted = {"P": caller.withheld, "O": caller == NOBODY}
        reason = next((key for key, value in wanted.items() if value), "5145550199")
        assert (read.kind, read.contents) == (0x04, b"03271530" + reason.encode())
        return
    fields = read.parameters()
    assert read.kind == 0x80
    assert fields[TIME] == b"03271530"
    if caller == ANN:
        assert (fields[NUMBER], fields[NAME]) == (b"5145550199", b"Ann Lee")
    else:
        reason_octet = b"P" if caller.withheld else b"O"
        assert (fields[NO_NUMBER], fields[NO_NAME]) == (reason_octet, reason_octet)
        assert NUMBER not in fields
        assert NAME not in fields
    assert (next(iter(fields)) == 0x11) is (one.signal == "v23"), (
        "ETSI's begins with the type of call"
    )


@ears.needs_minimodem
@pytest.mark.parametrize("one", FSK, ids=lambda one: one.name)
def test_message_waiting_goes_on_and_off(one: Scheme, tmp_path: Path) -> None:
    for on in (True, False):
        clip = one.lamp_clip(on)
        if one.lamp == "none":
            assert clip == b""
            continue
        read = ears.octets(clip, one.signal, tmp_path)
        assert sum(read[: read[1] + 3]) % 256 == 0
        if one.lamp == "sdmf":
            assert read[:5] == b"\x06\x03" + (b"BBB" if on else b"ooo")
        else:
            assert read[:5] == b"\x82\x03\x0b\x01" + (b"\xff" if on else b"\x00")


@ears.needs_multimon
@pytest.mark.parametrize(
    ("name", "number", "withheld", "unknown"),
    [
        ("dtmf", "A5145550199C", "B10C", "B00C"), ("dtmf-lr", "A5145550199C", "B10C", "B00C"),
        ("dtmf-after-ring", "A5145550199C", "B10C", "B00C"),
        ("dtmf-dtas", "A5145550199C", "B10C", "B00C"),
        ("dtmf-hash", "A5145550199#", "D1#", "D3#"), ("dtmf-d", "D5145550199C", "", ""),
        ("dtmf-plain", "5145550199#", "", ""),
    ],
)  # fmt: skip
def test_dtmf_schemes(name: str, number: str, withheld: str, unknown: str, tmp_path: Path) -> None:
    one = scheme(name)
    for caller, digits in ((ANN, number), (WITHHELD, withheld), (NOBODY, unknown)):
        clip = one.call_clip(caller, NOW)
        assert (ears.dtmf(clip, tmp_path) if clip else "") == digits


def test_dtmf_lasts_as_long_as_the_standard_wants() -> None:
    loud = np.abs(samples(data.dtmf("A12C"))[: 490 * 8].reshape(-1, 8)).max(axis=1) > 100
    edges = [0, *(np.flatnonzero(np.diff(loud.astype(int))) + 1), len(loud)]
    assert np.diff(edges).min() >= 65


@pytest.mark.parametrize("one", FSK, ids=lambda one: one.name)
def test_levels_and_lengths_of_fsk(one: Scheme) -> None:
    """Channel seizure 250 ms, mark, data of 10 bits an octet: at 1200 bit/s, at the level asked."""
    clip = one.call_clip(ANN, NOW)
    fsk = samples(clip)[(one.tone_ms + one.tone_pause_ms) * 8 :]
    assert level_dbm0(fsk.astype("<i2").tobytes()) == pytest.approx(one.level_dbm0, abs=0.2)
    mark_hz = ears.MODEMS[one.signal][0]
    mark_ms = one.mark_bits / 1.2
    marks = Spectrum(fsk[250 * 8 + 40 : int((250 + mark_ms) * 8) - 40])
    assert marks.strongest() == pytest.approx([mark_hz], abs=12)
    seizure = Spectrum(fsk[: 250 * 8])
    assert seizure.dbm0(sum(ears.MODEMS[one.signal]) / 2) > -25, "half of the time either way"
    octets = len(call_message_of(one).to_bytes())
    bits = 300 + one.mark_bits + 10 * octets
    assert bits / 1.2 <= len(fsk) / 8 <= (bits + 12) / 1.2


def call_message_of(one: Scheme) -> Message:
    shape = "sdmf" if one.message == ("sdmf",) else "mdmf"
    return call_message(ANN, NOW, shape, call_type=one.signal == "v23")  # type: ignore[arg-type]


@pytest.mark.parametrize("one", [one for one in FSK if one.waiting_ms], ids=lambda one: one.name)
def test_during_a_call_there_is_cas_then_80_marks_and_no_seizure(one: Scheme) -> None:
    cas = samples(one.cas_clip())
    assert 80 <= len(cas) / 8 <= 85
    assert np.abs(cas[-40:]).max() > 1_000, "it sounds to its end"
    tones = Spectrum(cas)
    assert tones.strongest(2) == pytest.approx([2_130, 2_750], abs=8)
    assert tones.dbm0(2_130) == pytest.approx(tones.dbm0(2_750), abs=1)
    assert level_dbm0(one.cas_clip()) == pytest.approx(-12, abs=0.2), "-15 dBm each"
    talking = samples(one.talking_clip(ANN, NOW))
    mark_hz = ears.MODEMS[one.signal][0]
    marks = Spectrum(talking[8 : int(80 / 1.2 * 8) - 8])
    assert marks.strongest() == pytest.approx([mark_hz], abs=15)
    assert len(samples(one.call_clip(ANN, NOW))) - len(talking) > 250 * 8


@by_name
def test_alerting_tone_and_its_pause_are_exact(one: Scheme) -> None:
    """DT-AS 100 +-10 ms, FSK 45 to 500 ms after it; line reversal to data at most 700 ms."""
    if not one.tone_ms:
        assert not one.tone_pause_ms
        return
    clip = samples(one.call_clip(ANN, NOW))
    tone = clip[: one.tone_ms * 8]
    silence = clip[one.tone_ms * 8 : (one.tone_ms + one.tone_pause_ms) * 8]
    assert 90 <= one.tone_ms <= 110
    assert 45 <= one.tone_pause_ms <= 500
    assert Spectrum(tone).strongest(2) == pytest.approx([2_130, 2_750], abs=8)
    assert not silence.any()
    if one.reversal:
        assert one.wait_ms >= 100
        assert one.wait_ms + one.tone_ms + one.tone_pause_ms <= 700


@by_name
def test_the_table_keeps_the_times_of_the_standards(one: Scheme) -> None:
    if one.after_ring:
        assert 500 <= one.wait_ms <= 2_000
    if one.pulse_ms:
        assert 200 <= one.pulse_ms <= 300
        assert 500 <= one.wait_ms <= 800
    assert 200 <= one.rest_ms <= 500
    assert one.description


def first_pause_ms(code: str) -> int:
    return max(load_country(code).ring.pattern_ms[1::2])


def test_countries_and_schemes_name_each_other() -> None:
    named = {code: one.name for one in SCHEMES for code in one.countries}
    assert len(named) == sum(len(one.countries) for one in SCHEMES), "one scheme a country"
    for code in country_codes():
        assert named[code] == load_country(code).caller_id
    for code in ("BE", "DK", "FI", "IN", "KW", "NL", "SE", "TW"):
        assert code in named
    assert load_scheme("off") is None
    with pytest.raises(KeyError):
        load_scheme("morse")


LONG = Caller("9" * 15, "n" * 30)
LONGEST = Caller("9" * 40, "n" * 90)


@by_name
def test_a_long_name_is_over_before_the_next_ring(one: Scheme) -> None:
    """FSK fits into the shortest pause of any country, two seconds, with the times kept."""
    assert len(one.call_clip(LONGEST, NOW)) / 16 < 5_000, "whatever the network says has an end"
    if one.after_ring and one.signal != "dtmf":
        clip_ms = len(one.call_clip(LONG, NOW)) / 16
        pauses = [first_pause_ms(code) for code in country_codes()]
        assert one.wait_ms + clip_ms + 200 <= min(pauses)


def test_a_device_without_the_time_leaves_it_out() -> None:
    assert TIME not in call_message(ANN, None, "mdmf").parameters()
    assert call_message(ANN, None, "sdmf").contents == b"010100005145550199"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.text(max_size=120), st.booleans(), st.booleans(), st.booleans())
def test_whatever_the_network_says_becomes_a_message(
    number: str, name: str, withheld: bool, plus: bool, kind: bool
) -> None:
    caller = Caller(number, name, withheld)
    for shape in ("sdmf", "mdmf"):
        message = call_message(caller, NOW, shape, 50, plus, kind)
        octets = message.to_bytes()
        assert sum(octets) % 256 == 0
        assert Message.from_bytes(octets + b"\xff\xff") == message
        if withheld:
            assert b"Ann" not in octets
    fields = call_message(caller, NOW, "mdmf", 50, plus, kind).parameters()
    assert (NUMBER in fields) != (NO_NUMBER in fields)
    assert (NAME in fields) != (NO_NAME in fields)
    assert len(fields.get(NAME, b"")) <= 50
    if withheld:
        assert (fields[NO_NUMBER], fields[NO_NAME]) == (b"P", b"P")


@given(st.binary(max_size=300))
def test_octets_are_a_message_or_an_error(octets: bytes) -> None:
    try:
        message = Message.from_bytes(octets)
        message.parameters()
    except ValueError:
        return
    assert octets.startswith(message.to_bytes())


def test_golden_octets() -> None:
    assert call_message(ANN, NOW, "sdmf").to_bytes() == bytes.fromhex(
        "0412 3033323731353330 35313435353530313939 49"
    )
    assert waiting_message(True, "sdmf").to_bytes() == bytes.fromhex("0603 424242 31")
    assert waiting_message(False, "mdmf").to_bytes() == bytes.fromhex("8203 0b0100 6f")
