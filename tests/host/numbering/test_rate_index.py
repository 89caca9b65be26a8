"""The packed deck finds what a search of every prefix would find."""

from __future__ import annotations

import time
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.charging.values import Money, Tariff
from host.numbering import rate_index
from host.numbering.directory import Directory
from host.numbering.rate_index import PART_OCTETS, Builder, Found, RateIndex, TooShort
from host.store.opening import open_reader, open_writer

Price = tuple[int | None, int, int, int, str]

# Few digits, so that prefixes nest, touch and reach the number's very end.
prefixes = st.text("0189", min_size=1, max_size=6) | st.text("09", min_size=13, max_size=15)
prices = st.tuples(
    st.none() | st.integers(0, 3) | st.just(2**62),
    st.sampled_from([1, 6, 3_600]),
    st.sampled_from([1, 6, 3_600]),
    st.sampled_from([0, 10**8]),
    st.sampled_from(["", "north", "north,south"]),
)
decks = st.dictionaries(prefixes, prices, max_size=40)
numbers = st.text("0189", min_size=1, max_size=15)


def packed(deck: dict[str, Price]) -> RateIndex:
    builder = Builder()
    for prefix, price in sorted(deck.items()):
        builder.add(prefix, *price)
    return builder.finish()


def by_search(deck: dict[str, Price], number: str) -> Found | None:
    """The obvious way."""
    for length in range(len(number), 0, -1):
        if number[:length] in deck:
            per_minute, first_s, step_s, fee, carriers = deck[number[:length]]
            if per_minute is None:
                return None
            tariff = Tariff(Money(per_minute), first_s, step_s, Money(fee))
            return length, tariff, tuple(filter(None, carriers.split(",")))
    return None


# Beginnings noted of few and of many pieces, prices remembered or more of them than that.
@given(
    decks,
    st.lists(numbers, min_size=1, max_size=20),
    st.sampled_from([50, 46, 40, 37, 33]),
    st.sampled_from([0, 2, 65_536]),
)
@settings(max_examples=400, deadline=None)
def test_the_longest_prefix_is_found_however_they_nest(
    deck: dict[str, Price], dialled: list[str], bits: int, remembered: int
) -> None:
    with (
        patch.object(rate_index, "_BEGINS", ((0, bits),)),
        patch.object(rate_index, "_REMEMBERED", remembered),
    ):
        index = packed(deck)
        check_every_number(index, deck, dialled)


def check_every_number(index: RateIndex, deck: dict[str, Price], dialled: list[str]) -> None:
    # Each prefix itself, too, and the numbers beside it.
    for number in [*dialled, *(one[:15] for prefix in deck for one in (prefix, prefix + "9"))]:
        try:
            found = index.find(number)
            assert found == index.find(number) == by_search(deck, number)
        except TooShort:
            assert any(prefix.startswith(number) and prefix != number for prefix in deck)


@given(decks, st.lists(numbers, min_size=1, max_size=10))
def test_what_was_packed_is_the_same_after_the_store(
    deck: dict[str, Price], dialled: list[str]
) -> None:
    index = packed(deck)
    again = RateIndex.from_parts(list(index.parts()))
    assert again is not None
    assert len(again) == len(index)
    for number in dialled:
        try:
            expected = index.find(number)
        except TooShort:
            continue
        assert again.find(number) == expected


def test_many_parts_make_one_index_and_another_version_none() -> None:
    builder = Builder()
    for number in range(200_000, 300_000):
        builder.add(str(number), number % 7, 6, 6, 0, "")
    index = builder.finish()
    parts = list(index.parts())
    assert len(parts) > 3
    assert max(map(len, parts)) <= PART_OCTETS
    again = RateIndex.from_parts(parts)
    assert again is not None
    assert again.find("2345679999") == (6, Tariff(Money(234_567 % 7)), ())
    assert RateIndex.from_parts([]) is None
    assert RateIndex.from_parts([b"LSRI\x63" + parts[0][5:], *parts[1:]]) is None


def test_neighbours_of_one_price_are_one_piece() -> None:
    same, other = Builder(), Builder()
    for number in range(1_000, 2_000):
        same.add(str(number), 5, 6, 6, 0, "")
        other.add(str(number), number, 6, 6, 0, "")
    assert (len(same.finish()), len(other.finish())) == (2, 1_001)


@pytest.mark.parametrize(
    ("number", "per_minute"),
    [("+49301230", 1), ("+493012300", 2), ("+493012399", 1), ("+4930123", 1), ("+49301231", None)],
)
def test_a_number_that_ends_within_a_prefix(
    tmp_path: Path, number: str, per_minute: int | None
) -> None:
    conn = open_writer(tmp_path / "host.sqlite")
    conn.execute(
        "INSERT INTO deck (id, state, effective_utc_ms, touched_utc_ms) VALUES (1, 'ready', 0, 0)"
    )
    conn.executemany(
        "INSERT INTO rate (deck, route, prefix, per_minute) VALUES (1, 'value', ?, ?)",
        [("4930", 1), ("493012300", 2), ("49301230000", 3), ("49301231", None)],
    )
    found = Directory(open_reader(tmp_path / "host.sqlite"), "r").rate("value", number)
    assert (found and found.tariff.per_minute) == per_minute


def test_a_look_up_among_many_takes_microseconds() -> None:
    builder = Builder()
    for number in range(200_000, 300_000):
        builder.add(str(number), number % 1_000, 6, 6, 0, "")
    index = builder.finish()
    dialled = [str(20_000_000_000 + 4_999_999 * n) for n in range(2_000)]
    best = min(_timed(index, dialled) for _ in range(5))
    print(f"{best:.2f} us a look-up among 100,000 prefixes")
    assert best < 20


def _timed(index: RateIndex, dialled: list[str]) -> float:
    began = time.perf_counter()
    for number in dialled:
        index.find(number)
    return (time.perf_counter() - began) / len(dialled) * 1e6
