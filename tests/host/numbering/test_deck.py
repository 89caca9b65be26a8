"""Decks: all or nothing, errors by line, calls not held up."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from host.numbering.deck import DeckError, import_deck, read_deck
from host.numbering.directory import Directory
from host.numbering.e164 import normalise
from host.numbering.passwords import generate
from host.numbering.provisioning import seed
from host.store.sqlite import open_reader, open_writer


def test_every_fault_is_named_with_its_line() -> None:
    deck = "prefix,value,first_s\n1514,0.01,6\n1x,1,6\n1514,1,6\n1613,-1,6\n1416,1,0\n1417,1\n"
    with pytest.raises(DeckError) as error:
        read_deck(deck.splitlines(keepends=True))
    assert [line.split(":")[0] for line in error.value.lines] == [
        f"line {number}" for number in (3, 4, 5, 6, 7)
    ]


@pytest.mark.parametrize("deck", ["", "prefix\n1", "value\n1", "prefix,value,colour\n1,1,red"])
def test_a_header_has_to_be_right(deck: str) -> None:
    with pytest.raises(DeckError, match="line"):
        read_deck(deck.splitlines(keepends=True))


def test_an_import_merges_or_replaces(tmp_path: Path) -> None:
    conn = open_writer(tmp_path / "host.sqlite")
    seed(conn)
    (before,) = conn.execute("SELECT count(*) FROM rate").fetchone()
    rows = read_deck(["prefix,value,premium,connect_fee,carriers\n", "1514,0.1,,0.02,a | b\n"])
    assert import_deck(conn, rows) == before
    found = conn.execute(
        "SELECT route, per_minute, connect_fee, carriers FROM rate WHERE prefix = '1514'"
    ).fetchall()
    assert found == [("premium", None, 2_000_000, "a,b"), ("value", 10_000_000, 2_000_000, "a,b")]
    assert import_deck(conn, rows, replace=True) == 2
    assert conn.execute("SELECT count(*) FROM rate").fetchone() == (2,)


def test_a_large_import_lets_calls_write_and_read_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "host.sqlite"
    conn = open_writer(path)
    seed(conn)
    lines = ["prefix,value,premium\n"]
    lines += [f"{prefix},0.02,0.03\n" for prefix in range(200_000, 220_000)]
    rows = read_deck(lines)
    over = threading.Event()
    waits: list[float] = []

    def calls() -> None:
        other = open_writer(path)
        directory = Directory(open_reader(path), "r")
        while not over.is_set():
            began = time.monotonic()
            other.execute("BEGIN IMMEDIATE")
            other.execute("INSERT OR REPLACE INTO host VALUES ('h', 'b', 1, 1)")
            other.execute("COMMIT")
            waits.append(time.monotonic() - began)
            # Either the old deck or the whole new one.
            assert directory.rate("value", "+15145550100") is not None
            time.sleep(0.002)
        assert directory.rate("premium", "+2199990000") is not None

    thread = threading.Thread(target=calls)
    thread.start()
    began = time.monotonic()
    total = import_deck(conn, rows, give_way=lambda: time.sleep(0.02))
    took = time.monotonic() - began
    over.set()
    thread.join()
    print(f"{total} rates in {took:.2f} s, {len(waits)} writes beside, worst {max(waits):.3f} s")
    assert total > 40_000
    assert max(waits) < 0.5
    assert len(waits) >= 5


def test_a_broken_import_changes_nothing_and_is_cleaned_up(tmp_path: Path) -> None:
    conn = open_writer(tmp_path / "host.sqlite")
    seed(conn)
    in_force = "SELECT count(*) FROM rate WHERE deck = (SELECT deck FROM config)"
    (before,) = conn.execute(in_force).fetchone()
    rows = read_deck(["prefix,value\n", *(f"{prefix},1\n" for prefix in range(20_000, 26_000))])

    def killed(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_deck(conn, rows, progress=killed)
    assert conn.execute(in_force).fetchone() == (before,)
    total = import_deck(conn, rows)
    assert conn.execute("SELECT count(*) FROM rate").fetchone() == (total,)


@pytest.mark.parametrize(
    ("dialled", "number"),
    [
        ("5145550100", "+15145550100"),
        ("1 (514) 555-0100", "+15145550100"),
        ("+15145550100", "+15145550100"),
        ("011442079460000", "+442079460000"),
        ("01115145550100", "+15145550100"),
        ("+44", None),
        ("0112", None),
        ("+05145550100", None),
        ("555*0100123", None),
    ],
)
def test_dialled_digits(dialled: str, number: str | None) -> None:
    assert normalise(dialled) == number


def test_passwords_use_the_random_octets_evenly() -> None:
    octets = bytes(range(256))
    made = generate(lambda count: octets[:count] * 1, 64)
    assert len(made) == 64
    counts = {letter: generate(lambda count: octets, 220).count(letter) for letter in set(made)}
    assert max(counts.values()) - min(counts.values()) == 0
