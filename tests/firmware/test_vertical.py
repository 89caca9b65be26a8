"""Service codes, one by one, and what comes of them: forwards, speed dials, call return, redial."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.codes import codes_of, usual_codes
from firmware.dialplan import DialPlan
from firmware.digitmap import DigitMap
from firmware.legs import Alert, Answer, HangUp, Join, PlaceCall, Progress
from firmware.line_config import NORTH_AMERICA
from firmware.memory import Memory
from firmware.phone import Features, Remember
from firmware.phone.vertical import FEATURES, WITH_NUMBER
from hal.countries import country_codes, load_country
from hal.rings import load_rings
from tests.firmware.exchange import Exchange

NUMBER, SENT = "5145550100", "15145550100"


def dialled(*numbers: str, **setup: object) -> Exchange:
    """A telephone at which these were dialled, each from on-hook, and that is on-hook again."""
    desk = Exchange(**setup)  # type: ignore[arg-type]
    for number in numbers:
        desk.lift()
        for part in number.split():
            desk.press(part)
        desk.put_back()
    return desk


def placed(desk: Exchange) -> list[str]:
    return [one.number for one in desk.of(PlaceCall) if isinstance(one, PlaceCall)]


def test_every_code_has_a_deed_and_every_deed_a_code() -> None:
    named = set(usual_codes())
    assert named == (set(FEATURES) | set(WITH_NUMBER)) - {"speed_dial", "set_speed_dial"}
    assert len(set(usual_codes().values())) == len(named)


# Forwards


def test_all_calls_are_forwarded_by_a_call_of_our_own() -> None:
    desk = dialled(f"*72 {NUMBER}")
    assert desk.features.forward_all == SENT
    caller = desk.offer()
    assert not desk.ringing
    assert Alert(caller) in desk.told, "the caller hears ringing"
    (number,) = placed(desk)
    assert number == SENT
    desk.answer("out1")
    assert Answer(caller) in desk.told
    assert Join(caller, "out1") in desk.told
    desk.end("out1")
    assert desk.legs == {}


def test_a_forward_that_fails_tells_the_caller_why() -> None:
    desk = dialled(f"*72 {NUMBER}")
    caller = desk.offer()
    desk.end("out1", 17)
    assert HangUp(caller, 17) in desk.told


def test_a_caller_who_gives_up_ends_the_forwarded_call() -> None:
    desk = dialled(f"*72 {NUMBER}")
    desk.end(desk.offer())
    assert desk.legs == {}


def test_forwards_end_and_dial_tone_reminds_of_them() -> None:
    desk = dialled(f"*72 {NUMBER}")
    desk.lift()
    assert desk.state[2] == "stutter"
    desk.press("*73")
    assert desk.state[2] == "confirm"
    desk.put_back()
    desk.lift()
    assert desk.state[2] == "dial"
    desk.put_back()
    desk.offer()
    assert desk.ringing


def test_calls_while_the_line_is_busy_are_forwarded() -> None:
    desk = dialled(f"*90 {NUMBER}")
    desk.lift()
    desk.offer()
    assert placed(desk) == [SENT]
    desk.put_back()
    desk.offer()
    assert desk.ringing, "an idle line rings"
    free = dialled(f"*90 {NUMBER}", "*91")
    free.lift()
    assert HangUp(free.offer(), 17) in free.told


def test_calls_that_nobody_answers_are_forwarded() -> None:
    desk = dialled(f"*92 {NUMBER}", no_answer_s=12.0)
    caller = desk.offer()
    desk.wait(11_900)
    assert (desk.ringing, placed(desk)) == (True, [])
    desk.wait(200)
    assert (desk.ringing, placed(desk)) == (False, [SENT])
    desk.answer("out1")
    assert Join(caller, "out1") in desk.told
    off = dialled(f"*92 {NUMBER}", "*93")
    off.offer()
    off.wait(60_000)
    assert off.ringing


def test_a_waiting_caller_is_forwarded_too() -> None:
    desk = dialled(f"*92 {NUMBER}")
    desk.lift()
    desk.press("411")
    desk.answer("out1")
    desk.offer()
    desk.wait(20_100)
    assert placed(desk)[-1] == SENT
    assert desk.state == ("in_call", "talking", "")


def test_nothing_is_forwarded_to_an_emergency_number() -> None:
    desk = Exchange()
    desk.lift()
    desk.press("*72")
    desk.press("911")
    assert placed(desk) == ["911"], "who dials it means it"
    assert desk.features.forward_all == ""


# Who may ring


def test_do_not_disturb() -> None:
    desk = dialled("*78")
    assert HangUp(desk.offer(), 17) in desk.told
    desk.lift()
    assert desk.state[2] == "stutter"
    desk.press("*79")
    desk.put_back()
    desk.offer()
    assert desk.ringing


def test_anonymous_callers_are_refused() -> None:
    desk = dialled("*77")
    assert HangUp(desk.offer("", withheld=True), 24) in desk.told
    desk.end(desk.offer(""))
    assert desk.of(Alert), "one whose number is not known is not anonymous"
    off = dialled("*77", "*87")
    off.offer("", withheld=True)
    assert off.ringing


def test_after_an_emergency_call_the_service_can_call_back() -> None:
    desk = dialled("*78", f"*72 {NUMBER}", "*77", "911")
    desk.end(desk.offer("", withheld=True))
    assert desk.of(Alert)
    desk.wait(3_700_000)
    assert len(placed(desk)) == 1
    desk.offer()
    assert placed(desk)[-1] == SENT, "an hour later all is as it was"


# Calls that codes make


def test_the_last_caller_is_called_back() -> None:
    desk = Exchange()
    desk.lift()
    desk.press("*69")
    assert desk.state == ("ended", "seized", "reorder"), "nobody has called"
    desk.put_back()
    desk.end(desk.offer(NUMBER))
    desk.end(desk.offer("", withheld=True))
    desk.lift()
    desk.press("*69")
    assert placed(desk) == [SENT], "by the digit map, and not the one who hid"


def test_speed_dials() -> None:
    desk = dialled(f"*74 20{NUMBER}")
    assert desk.features.speed_dial("20") == SENT
    desk.lift()
    desk.press("20#")
    assert placed(desk) == [SENT]
    desk.put_back()
    desk.lift()
    desk.press("21#")
    assert desk.state == ("ended", "seized", "reorder")


def test_caller_id_for_one_call() -> None:
    desk = dialled(f"*67 {NUMBER}", NUMBER)
    assert [one.withheld for one in desk.of(PlaceCall)] == [True, False]  # type: ignore[union-attr]
    never = dialled(NUMBER, f"*82 {NUMBER}", withhold_caller_id=True)
    assert [one.withheld for one in never.of(PlaceCall)] == [True, False]  # type: ignore[union-attr]
    known = dialled("911", withhold_caller_id=True)
    assert known.of(PlaceCall) == [PlaceCall("out1", "911", emergency=True)]


def test_a_busy_number_is_tried_until_it_is_free() -> None:
    desk = Exchange()
    desk.lift()
    desk.press(NUMBER)
    desk.end("out1", 17)
    desk.put_back()
    desk.lift()
    desk.press("*66")
    assert desk.state[2] == "confirm"
    desk.wait(8_000)
    assert placed(desk) == [SENT], "not while the receiver is off"
    desk.put_back()
    for count in range(2, 5):
        desk.wait(35_000)
        assert placed(desk) == [SENT] * count
        desk.end(f"out{count}", 17)
        assert not desk.ringing
    desk.wait(35_000)
    desk.event(Progress("out5", False))
    assert desk.ringing
    cadences = [getattr(one, "cadence", None) for one in desk.told]
    assert load_rings(load_country("US").ring).cadence("recall") in cadences
    desk.lift()
    assert desk.state == ("in_call", "alerting", "ringback")
    desk.answer("out5")
    assert desk.connected == ("out5",)


@pytest.mark.parametrize("end", ["half an hour", "code", "another cause", "nobody lifts"])
def test_trying_ends(end: str) -> None:
    desk = Exchange()
    desk.lift()
    desk.press(NUMBER)
    desk.end("out1", 17)
    desk.put_back()
    desk.lift()
    desk.press("*66")
    if end == "code":
        desk.press("*86")
    desk.put_back()
    for _ in range(80):
        desk.wait(30_000)
        leg = desk.station.phone.redial.leg
        if end == "another cause":
            desk.end(leg, 1)
        elif end == "nobody lifts":
            desk.answer(leg)
        else:
            desk.end(leg, 17)
    tries = {
        "half an hour": (20, 62),
        "code": (0, 0),
        "another cause": (1, 1),
        "nobody lifts": (1, 1),
    }
    least, most = tries[end]
    assert least <= len(placed(desk)) - 1 <= most
    assert desk.legs == {}
    assert desk.state[:2] == ("on_hook", "idle")


# The plan


def test_codes_are_changed_and_removed_by_configuration() -> None:
    desk = dialled("*#21", codes={"do_not_disturb_on": "*#21", "forward_all_on": ""})
    assert desk.features.do_not_disturb
    assert placed(dialled("*72", codes={"forward_all_on": ""})) == ["*72"], "it is the server's"
    for wrong in ({"redial": "*66"}, {"menu": "*6"}, {"menu": "12345678901"}, {"menu": "x"}):
        with pytest.raises(ValueError):
            codes_of(wrong)


def test_an_unfinished_code_is_forgotten_on_hook() -> None:
    desk = dialled("*72", NUMBER)
    assert desk.features.forward_all == ""
    assert placed(desk) == [SENT]


@pytest.mark.parametrize("code", country_codes())
def test_emergency_numbers_of_every_country_pass_any_map(code: str) -> None:
    for number in load_country(code).emergency:
        desk = Exchange(country=code, digit_map=f"({number}!|0)")
        desk.lift()
        desk.press(number)
        desk.wait(4_000)
        assert desk.of(PlaceCall) == [PlaceCall("out1", number, emergency=True)]


def test_own_emergency_numbers() -> None:
    desk = dialled("555", emergency=("555",))
    assert desk.of(PlaceCall) == [PlaceCall("out1", "555", emergency=True)]


@given(st.text("0123456789*#", max_size=14))
def test_a_plan_without_codes_is_its_digit_map(digits: str) -> None:
    digit_map = DigitMap(NORTH_AMERICA)
    plan, plain = DialPlan(digit_map).match(digits), digit_map.match(digits)
    assert (plan.live, plan.complete, plan.number) == (
        plain.live or not digits, plain.complete, plain.number,
    )  # fmt: skip
    assert plan.final == plain.final


@given(st.text("0123456789*#", max_size=14))
def test_a_reading_that_is_complete_is_live(digits: str) -> None:
    codes = codes_of({})
    plan = DialPlan(DigitMap(NORTH_AMERICA), codes, ("911", "9"))
    plan.speed_dials = frozenset({"20"})
    for speed_dial in (False, True):
        reading = plan.match(digits, speed_dial)
        assert reading.live or not (reading.complete or reading.final)
    assert plan.match("9").final is False, "911 goes on"


# Hotline, no service


def test_a_hotline_calls_at_once_and_a_warmline_later() -> None:
    hot = Exchange(hotline="15145550100")
    hot.lift()
    assert placed(hot) == [SENT]
    warm = Exchange(hotline=SENT, hotline_s=5.0)
    warm.lift()
    assert warm.state[2] == "dial"
    warm.wait(4_900)
    assert placed(warm) == []
    warm.wait(200)
    assert placed(warm) == [SENT]
    warm.put_back()
    warm.lift()
    warm.press("411")
    warm.wait(20_000)
    assert placed(warm) == [SENT, "411"]
    help_line = Exchange(hotline="911")
    help_line.lift()
    assert help_line.of(PlaceCall) == [PlaceCall("out1", "911", emergency=True)]


def test_a_flash_in_a_hotline_call_does_not_dial_it_again() -> None:
    desk = Exchange(hotline=SENT)
    desk.lift()
    desk.answer("out1")
    desk.flash()
    assert desk.state == ("dial_tone", "seized", "recall")
    desk.wait(16_000)
    assert placed(desk) == [SENT]


# What is kept


def test_settings_outlive_a_restart(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "state", "100001")
    assert memory.load() == Features()
    desk = dialled(f"*72 {NUMBER}", f"*74 20{NUMBER}", "*77")
    for kept in desk.of(Remember):
        assert isinstance(kept, Remember)
        memory.save(kept.features)
    again = Memory(tmp_path / "state", "100001").load()
    assert again == desk.features
    later = Exchange(features=again)
    later.lift()
    assert later.state[2] == "stutter"
    later.press("20#")
    assert placed(later) == [SENT]
    assert (tmp_path / "state" / "100001.json").stat().st_mode & 0o077 == 0
    assert sorted(one.name for one in (tmp_path / "state").iterdir()) == ["100001.json"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"forward_all": 5}', '{"speed_dials": {"x": "1"}}', "\x00\xff", "[" * 9_000,
     '{"do_not_disturb": "yes"}', '{"speed_dials": []}'],
)  # fmt: skip
def test_a_damaged_file_costs_a_line_in_the_log(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "100001.json").write_text(text, "latin-1")
    assert Memory(tmp_path, "100001").load() == Features()
    assert "settings of the handset are lost" in caplog.text


def test_a_folder_that_cannot_be_written_costs_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    memory = Memory(tmp_path / "file" / "state", "../evil")
    memory.save(Features(forward_all=SENT))
    assert "settings of the handset are not kept" in caplog.text


@given(
    st.builds(
        Features,
        forward_all=st.text("0123456789*#", max_size=20),
        do_not_disturb=st.booleans(),
        speed_dials=st.dictionaries(
            st.integers(0, 99).map("{:02}".format), st.text("0123456789", max_size=20), max_size=9
        ).map(lambda one: tuple(sorted(one.items()))),
    )
)
def test_what_is_kept_comes_back(features: Features) -> None:
    assert Features.from_row(json.loads(json.dumps(features.to_row()))) == features


def test_rings_by_alert_info() -> None:
    rings = load_rings(load_country("UK").ring)
    assert rings.name_of("Bellcore-dr3") == "bellcore-dr3"
    assert rings.name_of("urn:alert:source:internal") == "bellcore-dr2"
    assert rings.name_of("urn:alert:priority:high:very") == "bellcore-dr3"
    assert rings.name_of("urn:alert:locale:x") == rings.name_of("") == rings.name_of("tada") == ""
    assert rings.cadence("bellcore-dr5").pattern_ms == (500, 4_500)
    assert rings.cadence("bellcore-dr5").hz == 25
    assert rings.cadence("nothing") == load_country("UK").ring
    for name in rings.alerts.values():
        assert name in rings.patterns_ms
