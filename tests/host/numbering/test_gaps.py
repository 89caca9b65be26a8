"""Numbers that are no DID, learned a stretch at a time, beside a look at each DID."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from host.numbering import provisioning
from host.numbering.directory import Directory
from host.numbering.gaps import Gaps, read_gap
from host.store.connection import Connection
from host.store.opening import open_reader, open_writer

START = "+1212555"
DIGITS = "279"
"""Few different ones, so that DIDs, ranges and calls meet."""
lines = st.text(DIGITS, min_size=4, max_size=4)
houses = st.dictionaries(
    st.text(DIGITS, min_size=1, max_size=3) | lines, st.booleans(), max_size=8
).map(
    # What is shorter than a whole number is the beginning of a range.
    lambda found: {START + end: is_range or len(end) < 4 for end, is_range in found.items()}
)
calls = st.lists(lines.map(lambda end: START + end), min_size=1, max_size=20)


def _add(conn: Connection, dids: dict[str, bool]) -> None:
    for number, is_range in dids.items():
        provisioning.add_did(conn, number, plan="flat", pop="default", is_range=is_range)


def _is_ours(number: str, dids: dict[str, bool]) -> bool:
    return any(
        number.startswith(did) if is_range else number == did for did, is_range in dids.items()
    )


def test_what_is_learned_of_stretches_is_what_a_look_at_each_did_finds(tmp_path: Path) -> None:
    conn = open_writer(tmp_path / "host.sqlite")
    provisioning.seed(conn)
    directory = Directory(open_reader(tmp_path / "host.sqlite"), "example.net")

    @settings(max_examples=100, deadline=None)
    @given(houses, houses, calls)
    def asked_in_any_order(first: dict[str, bool], more: dict[str, bool], asked: list[str]) -> None:
        conn.execute("DELETE FROM did")
        _add(conn, first)
        for number in asked:
            found = directory.route_incoming(number, "north") is not None
            assert found == _is_ours(number, first)
        more = {number: is_range for number, is_range in more.items() if number not in first}
        _add(conn, more)
        for number in asked:
            found = directory.route_incoming(number, "north") is not None
            assert found == _is_ours(number, first | more)

    asked_in_any_order()
    conn.close()


def test_one_look_answers_for_all_numbers_between_two_dids(tmp_path: Path) -> None:
    conn = open_writer(tmp_path / "host.sqlite")
    provisioning.seed(conn)
    _add(conn, {"+12125550100": False, "+12125550900": False, "+1212555099": True})
    assert read_gap(conn, "+12125550500") == ("+12125550100", "+12125550900")
    assert read_gap(conn, "+12125550950") == ("+12125550900", "+1212555099")
    assert read_gap(conn, "+15145550100") is None, "the DID before is a range"
    first, last = read_gap(conn, "+12125550000") or ("", "")
    assert first < "+10000000000"
    assert last == "+12125550100"
    conn.close()


def test_no_more_than_so_many_are_kept() -> None:
    gaps = Gaps(2)
    for start in "135":
        gaps.add(start, str(int(start) + 2))
    assert "5" not in gaps, "a DID is in no gap"
    assert "55" in gaps
    assert "15" not in gaps, "forgotten for the third"
