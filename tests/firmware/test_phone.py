"""A telephone with two legs and three: call waiting, hold, three-way, transfer, by table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.legs import (
    Alert,
    FarDigit,
    HangUp,
    Hold,
    Join,
    PlaceCall,
    Progress,
    Refer,
    SendDigit,
    SendFlash,
    TransferNews,
)
from firmware.phone import BACKGROUND, TRANSITIONS, Call, Features, Role
from firmware.phone.vertical import FEATURES, WITH_NUMBER
from tests.firmware.exchange import Exchange


def talking(number: str = "5145550123", **line: Any) -> Exchange:
    """A telephone whose call `out1` is answered."""
    desk = Exchange(**line)
    desk.lift()
    desk.press(number)
    desk.answer("out1")
    assert desk.state == ("in_call", "talking", "")
    return desk


def consulting(answered: bool = True, **line: Any) -> Exchange:
    """`out1` is on hold, and `out2` rings or talks."""
    desk = talking(**line)
    desk.flash()
    assert desk.legs["out1"].held
    assert desk.state == ("dial_tone", "seized", "recall")
    desk.press("5145550188")
    desk.event(Progress("out2", False))
    if answered:
        desk.answer("out2")
        assert desk.connected == ("out2",)
    return desk


# Call waiting


def test_a_second_caller_waits_and_a_flash_answers_and_swaps() -> None:
    desk = talking()
    desk.offer("2125550100")
    assert desk.state == ("in_call", "talking", "waiting")
    assert Alert("in1") in desk.told
    assert desk.connected == ("out1",), "the talk goes on"
    desk.flash()
    assert (desk.connected, desk.legs["out1"].held) == (("in1",), True)
    desk.flash()
    assert (desk.connected, desk.legs["out1"].held, desk.legs["in1"].held) == (
        ("out1",), False, True,
    )  # fmt: skip
    desk.flash()
    assert desk.connected == ("in1",)


def test_a_third_caller_hears_busy() -> None:
    desk = talking()
    desk.offer()
    third = desk.offer()
    assert third not in desk.legs
    desk.flash()
    fourth = desk.offer()
    assert HangUp(fourth, 17) in desk.told


def test_on_hook_with_a_caller_on_hold_rings_back() -> None:
    desk = talking()
    desk.offer("2125550100")
    desk.flash()
    desk.put_back()
    assert "in1" not in desk.legs
    assert desk.state[:2] == ("ringing", "recalling")
    assert desk.ringing
    desk.lift()
    assert desk.state == ("in_call", "talking", "")
    assert desk.connected == ("out1",)
    assert not desk.legs["out1"].held


def test_on_hook_while_a_caller_waits_rings_for_him() -> None:
    desk = talking()
    desk.offer()
    desk.put_back()
    assert desk.state[:2] == ("ringing", "ringing")
    desk.lift()
    assert desk.connected == ("in1",)
    assert list(desk.legs) == ["in1"]


def test_a_waiting_caller_who_gives_up_is_heard_no_more() -> None:
    desk = talking()
    leg = desk.offer()
    desk.end(leg)
    assert desk.state == ("in_call", "talking", "")
    desk.flash()
    assert desk.state[2] == "recall", "there is nobody to be answered"


def test_the_first_hangs_up_and_the_waiting_one_is_still_there() -> None:
    desk = talking()
    desk.offer()
    desk.end("out1")
    assert desk.state == ("in_call", "seized", "waiting")
    desk.flash()
    assert desk.connected == ("in1",)


def test_a_waiting_caller_is_not_answered_for_ever() -> None:
    desk = talking(ring_s=30.0)
    leg = desk.offer()
    desk.wait(31_000)
    assert HangUp(leg, 19) in desk.told
    assert desk.state == ("in_call", "talking", "")


def test_no_call_waits_where_it_is_off_for_the_call_or_for_good() -> None:
    desk = Exchange()
    desk.lift()
    desk.press("*70")
    assert desk.state == ("dial_tone", "seized", "recall")
    desk.press("5145550123")
    desk.answer("out1")
    assert HangUp(desk.offer(), 17) in desk.told
    desk.put_back()
    desk.lift()
    desk.press("5145550123")
    desk.answer("out2")
    assert Alert(desk.offer()) in desk.told, "it was off for one call"
    assert HangUp(talking(call_waiting=False).offer(), 17).q850 == 17
    off = talking(call_waiting=False)
    assert HangUp(off.offer(), 17) in off.told


def test_call_waiting_goes_off_in_the_midst_of_a_call() -> None:
    desk = talking()
    desk.flash()
    desk.press("*70")
    desk.flash()
    assert desk.connected == ("out1",)
    assert HangUp(desk.offer(), 17) in desk.told


# Hold, second call, three-way


def test_a_flash_holds_and_another_brings_the_call_back() -> None:
    desk = talking()
    desk.flash()
    assert (desk.connected, desk.legs["out1"].held) == ((), True)
    desk.flash()
    assert (desk.connected, desk.legs["out1"].held) == (("out1",), False)
    assert desk.state == ("in_call", "talking", "")


@pytest.mark.parametrize("pause_ms", [16_000, 100_000])
def test_a_held_call_can_be_had_back_from_reorder_and_howler(pause_ms: int) -> None:
    desk = talking()
    desk.flash()
    desk.wait(pause_ms)
    assert desk.state[0] in ("ended", "howler")
    desk.flash()
    assert desk.connected == ("out1",)


def test_three_way_and_the_last_added_is_dropped() -> None:
    desk = consulting()
    desk.flash()
    assert desk.state[1] == "three_way"
    assert set(desk.connected) == {"out1", "out2"}
    assert not desk.legs["out1"].held
    desk.press("5")
    assert {SendDigit("out1", "5", True), SendDigit("out2", "5", True)} <= set(desk.told)
    desk.flash()
    assert desk.connected == ("out1",)
    assert list(desk.legs) == ["out1"]
    desk.flash()
    assert desk.state[2] == "recall", "and another can be called"


@pytest.mark.parametrize(("gone", "left"), [("out1", "out2"), ("out2", "out1")])
def test_one_of_three_hangs_up(gone: str, left: str) -> None:
    desk = consulting()
    desk.flash()
    desk.end(gone)
    assert desk.state == ("in_call", "talking", "")
    assert desk.connected == (left,)


def test_a_second_call_that_is_busy_leaves_the_first_to_be_had_back() -> None:
    desk = consulting(answered=False)
    desk.end("out2", 17)
    assert desk.state == ("ended", "seized", "busy")
    desk.flash()
    assert desk.connected == ("out1",)


def test_a_flash_while_the_second_is_called_gives_that_one_up() -> None:
    desk = consulting(answered=False)
    desk.flash()
    assert list(desk.legs) == ["out1"]
    assert desk.connected == ("out1",)


def test_the_second_hangs_up_and_the_first_is_had_back() -> None:
    desk = consulting()
    desk.end("out2")
    assert desk.state == ("dial_tone", "seized", "recall")
    desk.flash()
    assert desk.connected == ("out1",)


def test_the_one_on_hold_hangs_up() -> None:
    desk = consulting()
    desk.end("out1")
    assert desk.connected == ("out2",)
    desk.put_back()
    assert desk.legs == {}
    assert desk.state[:2] == ("on_hook", "idle")


# Transfer


@pytest.mark.parametrize("three", [False, True])
def test_on_hook_joins_the_other_two_and_the_far_end_takes_them_over(three: bool) -> None:
    desk = consulting()
    if three:
        desk.flash()
    desk.put_back()
    assert desk.state == ("on_hook", "idle", "")
    assert desk.joined == {("out1", "out2")}, "they hear each other whatever comes of it"
    assert not desk.legs["out1"].held
    assert Refer("out1", replaces="out2") in desk.told
    desk.event(TransferNews("out1", 100))
    assert len(desk.legs) == 2
    desk.event(TransferNews("out1", 200))
    assert (desk.legs, desk.joined) == ({}, set())


def test_who_does_no_transfers_has_it_made_in_the_device() -> None:
    desk = consulting()
    desk.refers = False
    desk.put_back()
    assert desk.joined == {("out1", "out2")}
    desk.offer()
    assert desk.state[1] == "ringing", "the telephone is free again"
    desk.end("out2")
    assert "out1" not in desk.legs, "one ends with the other"


def test_a_transfer_to_one_who_still_rings() -> None:
    desk = consulting(answered=False)
    desk.put_back()
    assert Join("out1", "out2", ringback=True) in desk.told
    assert not desk.of(Refer)
    desk.answer("out2")
    assert Refer("out1", replaces="out2") in desk.told
    assert desk.joined == {("out1", "out2")}


def test_a_transfer_to_one_who_refuses_comes_back() -> None:
    desk = consulting(answered=False)
    desk.put_back()
    desk.end("out2", 17)
    assert desk.state[:2] == ("ringing", "recalling")
    desk.lift()
    assert desk.connected == ("out1",)


def test_no_transfer_where_it_is_not_wanted() -> None:
    desk = consulting(transfer_on_hang_up=False)
    desk.put_back()
    assert "out2" not in desk.legs
    assert desk.state[1] == "recalling", "the held one is not forgotten"
    three = consulting(transfer_on_hang_up=False)
    three.flash()
    three.put_back()
    assert three.legs == {}


def blind(refers: bool = True) -> Exchange:
    desk = talking()
    desk.refers = refers
    desk.flash()
    desk.press("*98")
    desk.press("5145550177")
    return desk


def test_a_blind_transfer_that_succeeds() -> None:
    desk = blind()
    asked = desk.told.index(Refer("out1", "15145550177"))
    (ringback,) = [one for one in desk.told[:asked] if isinstance(one, Join)]
    assert ringback.first == "out1"
    assert ringback.ringback, "he hears that somebody is called for him"
    assert not desk.legs["out1"].held
    assert desk.state[2] == "confirm"
    desk.put_back()
    desk.event(TransferNews("out1", 180))
    assert "out1" in desk.legs
    desk.event(TransferNews("out1", 200))
    assert desk.legs == {}
    assert desk.joined == set()


def test_a_blind_transfer_that_fails_comes_back_to_the_ear() -> None:
    desk = blind()
    desk.event(TransferNews("out1", 486))
    assert desk.state == ("in_call", "talking", "")
    assert desk.connected == ("out1",)
    assert not desk.legs["out1"].held


@pytest.mark.parametrize("lost", [False, True])
def test_a_blind_transfer_that_fails_rings_back(lost: bool) -> None:
    desk = blind()
    desk.put_back()
    if lost:
        desk.wait(250_000)
    else:
        desk.event(TransferNews("out1", 404))
    assert desk.state[1] == "recalling"
    desk.lift()
    assert desk.connected == ("out1",)


def test_a_blind_transfer_where_the_far_end_does_none() -> None:
    desk = blind(refers=False)
    desk.put_back()
    called = next(one for one in desk.of(PlaceCall)[::-1] if isinstance(one, PlaceCall))
    assert called.number == "15145550177"
    assert Join("out1", called.leg, ringback=True) in desk.told
    assert not desk.legs["out1"].held
    desk.answer(called.leg)
    assert desk.joined == {("out1", called.leg)}
    desk.end("out1")
    assert desk.legs == {}


def test_a_blind_transfer_of_nobody() -> None:
    desk = Exchange()
    desk.lift()
    desk.press("*98")
    assert desk.state == ("ended", "seized", "reorder")


# Flash elsewhere, emergency


@pytest.mark.parametrize(("way", "by_info"), [("event", False), ("info", True)])
def test_a_flash_that_is_told_to_the_far_end(way: str, by_info: bool) -> None:
    desk = talking(flash_as=way)
    desk.flash()
    assert SendFlash("out1", by_info) in desk.told
    assert desk.connected == ("out1",)


def test_an_emergency_call_is_not_held_does_not_wait_and_is_not_transferred() -> None:
    desk = talking("911", digit_map="(911!|xxxxxxx)")
    assert desk.of(PlaceCall) == [PlaceCall("out1", "911", emergency=True)]
    desk.flash()
    assert desk.connected == ("out1",)
    assert not desk.of(Hold)
    assert HangUp(desk.offer(), 17) in desk.told
    desk.put_back()
    assert desk.legs == {}
    held = talking()
    held.flash()
    held.press("911")
    held.answer("out2")
    held.flash()
    assert held.connected == ("out2",)
    held.put_back()
    assert "out2" not in held.legs
    assert not held.of(Join)
    assert held.state[1] == "recalling"


def test_an_emergency_call_finds_a_leg_when_all_are_given_away() -> None:
    """Given two forwarded calls, which take all four legs, when 911 is dialled, then the later one
    ends for it, and not before."""
    desk = Exchange(features=Features.from_row({"forward_all": "5145550100"}))
    for leg, caller in (("out1", "2125550101"), ("out2", "2125550102")):
        desk.offer(caller)
        desk.answer(leg)
    assert set(desk.legs) == {"in1", "out1", "in2", "out2"}
    desk.lift()
    desk.told.clear()
    desk.press("911")
    assert desk.of(PlaceCall) == [PlaceCall("out3", "911", emergency=True)]
    assert {one.leg for one in desk.of(HangUp)} == {"in2", "out2"}  # type: ignore[attr-defined]
    last = [one for one in desk.told if isinstance(one, HangUp | PlaceCall)][-1]
    assert isinstance(last, PlaceCall), "room is made first"
    desk.answer("out3")
    assert desk.connected == ("out3",)
    assert set(desk.legs) == {"in1", "out1", "out3"}
    assert desk.joined == {("in1", "out1")}


# What must always hold

_CODES = ["*67", "*69", "*70", "*98", "*66", "*86", "*78", "*79", "*77", "***", "*74"]
_DEEDS = st.one_of(
    st.sampled_from(["lift", "lift", "hang_up", "flash", "flash", "flash", "offer", "offer"]),
    st.sampled_from(["answer", "answer", "progress", "media", "end", "busy", "digit"]),
    st.sampled_from(["number", "number", "speed", "911", "no_refer", "done", "undone"]),
    st.sampled_from(["key", *_CODES, "*725145550100", "*92", "*90"]),
)


def play(desk: Exchange, deed: str, which: int) -> None:
    """One deed of the owner or of the network."""
    legs = list(desk.legs)
    leg = legs[which % len(legs)] if legs else "nobody"
    simple = {"lift": desk.lift, "hang_up": desk.put_back, "flash": desk.flash}
    if deed in simple:
        simple[deed]()
    elif deed == "offer":
        if len(desk.legs) < 4:
            desk.offer("5145550199", withheld=which % 3 == 0)
    elif deed == "answer":
        desk.answer(leg)
    elif deed in ("progress", "media"):
        desk.event(Progress(leg, deed == "media"))
    elif deed in ("end", "busy"):
        desk.end(leg, 16 if deed == "end" else 17)
    elif deed == "digit":
        desk.event(FarDigit(leg, "5"))
    elif deed == "no_refer":
        desk.refers = False
    elif deed in ("done", "undone"):
        if leg in desk.legs and desk.legs[leg].referred:
            desk.event(TransferNews(leg, 200 if deed == "done" else 486))
    else:
        desk.press({"number": "5145550123", "speed": "20#", "key": "5"}.get(deed, deed))


def check(desk: Exchange) -> None:
    """What is true between any two events."""
    phone = desk.station.phone
    if desk.off_hook:
        assert not desk.ringing, "ringing into a lifted receiver"
    else:
        assert desk.connected == (), "an open mouthpiece on the hook"
        assert phone.state in (Call.IDLE, Call.RINGING, Call.RECALLING)
    for leg in desk.connected:
        assert leg in desk.legs, "joined to a leg that is over"
        assert not desk.legs[leg].held, "joined to a leg on hold"
    paired = {leg for pair in phone.pairs for leg in (pair.first, pair.second)}
    for leg in desk.legs:
        known = phone.role(leg) is not None or leg in paired or leg == phone.redial.leg
        assert known, f"{leg} is nobody's"
    for leg in (phone.leg, phone.held, phone.waiting, phone.joined):
        assert not leg or leg in desk.legs, "a leg that is over has no role"
        assert not (leg and leg in paired), "a leg is here or there"


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(_DEEDS, st.integers(0, 5), st.sampled_from([0, 50, 900, 6_000])), max_size=40
    ),
    st.booleans(),
)
def test_no_order_of_events_breaks_a_telephone(
    deeds: list[tuple[str, int, int]], transfers: bool
) -> None:
    desk = Exchange(transfer_on_hang_up=transfers)
    for deed, which, ms in deeds:
        play(desk, deed, which)
        check(desk)
        desk.wait(ms)
        check(desk)
    desk.put_back()
    for _ in range(6):
        desk.wait(300_000)
        check(desk)
    for pair in list(desk.station.phone.pairs):
        desk.end(pair.first)
    desk.wait(2_000_000)
    check(desk)
    assert desk.legs == {}, "each leg that was begun has ended"
    assert desk.state[:2] == ("on_hook", "idle")


def test_the_tables_are_whole() -> None:
    assert {state for state, _ in TRANSITIONS} | {Call.IDLE} == set(Call)
    reached = {state for row in TRANSITIONS.values() for state in row.leads_to}
    assert reached | {Call.RINGING, Call.RECALLING} >= set(Call)
    assert {role for role, _ in BACKGROUND} == set(Role) - {Role.FOREGROUND}
    assert not set(FEATURES) & set(WITH_NUMBER)
