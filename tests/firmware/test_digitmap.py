"""Digit maps: the notation, its meaning, and a naive matcher that agrees."""

from __future__ import annotations

import contextlib
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.digitmap import DigitMap, DigitMapError
from firmware.line_config import NORTH_AMERICA

CISCO = "(*xx|[3469]11|0|00|[2-9]xxxxxx|1xxx[2-9]xxxxxx|xxxxxxxxxxxx.)"


@pytest.mark.parametrize(
    ("text", "digits", "complete", "final", "number"),
    [
        (CISCO, "*69", True, True, "*69"),
        (CISCO, "411", True, False, "411"),
        (CISCO, "0", True, False, "0"),
        (CISCO, "5551234", True, False, "5551234"),
        (CISCO, "15145550123", True, False, "15145550123"),
        (CISCO, "0114412345678", True, False, "0114412345678"),
        (CISCO, "12", False, False, ""),
        ("(911S0|9xxxxxxxxxx)", "911", True, True, "911"),
        ("<:1>[2-9]xxxxxxxxx", "5145550123", True, True, "15145550123"),
        ("<9,:>1xxx", "91234", True, True, "1234"),
        ("<8:+44>xxx", "8123", True, True, "+44123"),
        ("xxxxT", "1234", True, False, "1234"),
        ("x.T", "1", True, False, "1"),
        ("[^19]x", "25", True, True, "25"),
        ("12?3", "13", True, True, "13"),
        ("12?3", "123", True, True, "123"),
        ("(5xxx|5x.#)", "512#", True, True, "512#"),
        ("a#b", "A#B", True, True, "A#B"),
    ],
)
def test_what_a_map_says(text: str, digits: str, complete: bool, final: bool, number: str) -> None:
    match = DigitMap(text).match(digits)
    assert (match.live, match.complete, match.final, match.number) == (
        True,
        complete,
        final,
        number,
    )


def test_a_bar_goes_before_any_pattern_that_allows() -> None:
    digit_map = DigitMap("(1xxxxxxxxxx|1900xxxxxxx!)")
    assert digit_map.match("19005550123").barred
    assert not digit_map.match("19015550123").barred


def test_the_comma_gives_an_outside_dial_tone_until_the_next_key() -> None:
    digit_map = DigitMap("(9,xxx|8xxx)")
    assert digit_map.match("9").outside_tone
    assert not digit_map.match("91").outside_tone
    assert not digit_map.match("8").outside_tone


@pytest.mark.parametrize(
    ("digits", "number"),
    [
        ("5145550123", "15145550123"),
        ("15145550123", "15145550123"),
        ("911", "911"),
        ("411", "411"),
        ("*67", "*67"),
    ],
)
def test_the_north_american_plan_sends_at_once(digits: str, number: str) -> None:
    match = DigitMap(NORTH_AMERICA).match(digits)
    assert match.final
    assert match.number == number


def test_the_north_american_plan_waits_for_more_of_an_international_number() -> None:
    match = DigitMap(NORTH_AMERICA).match("01144123456789")
    assert (match.complete, match.final, match.number) == (True, False, "01144123456789")
    assert not DigitMap(NORTH_AMERICA).match("1115").live
    assert not DigitMap(NORTH_AMERICA).match("01144123").complete


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "1"), ("(1||2)", "4"), ("(1x|y)", "5"), ("[12", "4"), ("<1:2", "5"), ("[9-1]", "5"),
        ("(T)", "3"), ("<1:y>", "5"),
    ],
)  # fmt: skip
def test_a_wrong_map_says_where(text: str, where: str) -> None:
    with pytest.raises(DigitMapError, match=f"character {where}:"):
        DigitMap(text)


def test_an_endless_number_matches_nothing() -> None:
    assert not DigitMap("x.").match("1" * 65).live


_PLACES = st.sampled_from(["0", "1", "2", "x", "[12]", "[^1]", "0.", "x.", "1.", "2?", "#"])
_PATTERNS = st.lists(_PLACES, min_size=1, max_size=4).map("".join)


def _regex(pattern: str) -> str:
    """The same in Python's notation; a negated class means digits only, `#` is none."""
    plain = pattern.replace("[^1]", "[02-9]")
    repeated = plain.replace("x.", "[0-9]*").replace("0.", "0*").replace("1.", "1*")
    return repeated.replace("x", "[0-9]")


@given(st.lists(_PATTERNS, min_size=1, max_size=3), st.text("012#", max_size=4))
def test_agrees_with_a_naive_matcher(patterns: list[str], digits: str) -> None:
    match = DigitMap("(" + "|".join(patterns) + ")").match(digits)
    compiled = [re.compile(_regex(one)) for one in patterns]
    assert match.complete == any(one.fullmatch(digits) for one in compiled)
    endings = ["".join(one) for n in range(5) for one in itertools.product("012#", repeat=n)]
    reachable = any(one.fullmatch(digits + end) for one in compiled for end in endings)
    assert match.live == reachable
    if match.complete:
        assert match.number == digits
        more = any(one.fullmatch(digits + end) for one in compiled for end in endings if end)
        assert match.final == (not more)


@given(st.text(max_size=30))
def test_no_text_does_worse_than_be_refused(text: str) -> None:
    with contextlib.suppress(DigitMapError):
        DigitMap(text).match("123")
