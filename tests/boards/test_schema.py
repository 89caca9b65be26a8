"""Configuration files: what is right is read, what is wrong is named with line and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.board import known_boards, load_board
from boards.schema import MAX_OCTETS, ConfigError, load, loads, setting


@dataclass(frozen=True, slots=True)
class Part:
    """A table of the schema below."""

    kind: Literal["red", "blue"]
    size: int = setting(3, least=1, most=9)


@dataclass(frozen=True, slots=True)
class Whole:
    """Every kind of field that a schema may have."""

    name: str
    parts: tuple[Part, ...] = ()
    one: Part | None = None
    rate: float = 1.0
    on: bool = False
    words: tuple[str, ...] = ()
    numbers: dict[str, int] | None = None


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(Whole, text, "w.toml")
    return [str(one) for one in caught.value.problems]


def test_a_right_file_is_read() -> None:
    text = """
name = "n"   # a comment
rate = 2
words = [
  "a = 1",
  "b",
]
[one]
kind = "red"
[[parts]]
kind = "blue"
size = 9
[numbers]
a = 1
"""
    whole = loads(Whole, text)
    assert whole == Whole(
        "n", (Part("blue", 9),), Part("red"), 2.0, False, ("a = 1", "b"), {"a": 1}
    )


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        ('nmae = "x"\nname = "n"', 1, "nmae", "did you mean `name`?"),
        ('name = "n"\n\n[[parts]]\nkind = "green"', 4, "parts[0].kind", 'one of "red", "blue"'),
        ('name = "n"\n[[parts]]\nkind = "red"\n[[parts]]\nkind = "red"\nsize = 10', 6,
         "parts[1].size", "from 1 to 9"),
        ("name = 5", 1, "name", 'write "5"'),
        ('name = "n"\non = 1', 2, "on", "not true or false"),
        ('name = "n"\nrate = true', 2, "rate", "not a number"),
        ('name = "n"\nwords = "a"', 2, "words", "square brackets"),
        ('name = "n"\none = 3', 2, "one", "write `[one]`"),
        ('name = "n"\none = { kind = "red",\tsize = 0 }', 2, "one.size", "from 1 to 9"),
        ('name = "n"\nwords = [\n  "name = 1",\n  "x"\n]\nextra = 1', 6, "extra", "remove it"),
        ('name = "n"\n[one]\nsize = 2', 2, "one", "`kind` is missing"),
        ('name = "n', 1, "syntax", ""),
        ("name = \"n\"\nname = 'm'", 2, "syntax", "overwrite"),
    ],
)  # fmt: skip
def test_a_wrong_file_names_line_key_and_remedy(text: str, line: int, key: str, words: str) -> None:
    found = problems(text)
    assert any(one.startswith(f"w.toml:{line}: {key}: ") and words in one for one in found), found


def test_all_problems_are_told_at_once() -> None:
    assert len(problems("name = 1\nrate = 'x'\nfoo = 2")) == 3


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(Whole, tmp_path / "none.toml")
    large = tmp_path / "large.toml"
    large.write_text("#" * (MAX_OCTETS + 1))
    with pytest.raises(ConfigError, match="longer than"):
        load(Whole, large)


@given(st.text(max_size=60))
def test_no_text_does_worse_than_be_refused(text: str) -> None:
    try:
        loads(Whole, text)
    except ConfigError as error:
        lines = max(1, len(text.splitlines()) + 1)
        for problem in error.problems:
            assert problem.remedy
            assert 1 <= problem.line <= lines


def test_every_board_that_comes_with_the_program_is_good() -> None:
    assert "sim" in known_boards()
    for name in known_boards():
        assert load_board(name).lines


def test_boards_by_path_and_unknown_ones(tmp_path: Path) -> None:
    board = tmp_path / "mine.toml"
    board.write_text('name = "mine"\n[[lines]]\ndriver = "sim"\ncontrol = "/run/h.sock"\n')
    assert load_board("mine.toml", tmp_path).lines[0].control == "/run/h.sock"
    with pytest.raises(ConfigError, match="no board `smi`"):
        load_board("smi")
    board.write_text('name = "mine"\nlines = []\n')
    with pytest.raises(ConfigError, match=r"mine\.toml:2: lines: the board has no line"):
        load_board("mine.toml", tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        ('driver = "dahdy"', 3, "lines[0].driver", '"dahdi"'),
        ('driver = "dahdi"\n[lines.dahdi]\nchannel = 0', 5, "lines[0].dahdi.channel", "1 to 1023"),
        ('driver = "dahdi"\n[lines.dahdi]\nchanel = 1', 5, "lines[0].dahdi.chanel", "`channel`"),
        ('driver = "sim"\n[lines.dahdi]\nchannel = 1', 4, "lines[0].dahdi", 'driver = "dahdi"'),
        ('driver = "gpio"\n[lines.gpio]\nhook_line = 6', 4, "lines[0].gpio.ring_mode_line", "own"),
        ('driver = "si3210"\n[lines.si3210]\nloop_current_ma = 50', 5,
         "lines[0].si3210.loop_current_ma", "20 to 41"),
        ('driver = "tapi"', 2, "lines[0].tapi", "add `[lines.tapi]`"),
        ('driver = "tapi"\n[lines.tapi]\nchannel = 1', 4, "lines[0].tapi.calls", "drv_tapi_io.h"),
        ('driver = "dahdi"\ncontrol = "/run/h"', 4, "lines[0].control", "remove it"),
    ],
)  # fmt: skip
def test_settings_of_drivers_are_checked_by_key(
    tmp_path: Path, text: str, line: int, key: str, words: str
) -> None:
    board = tmp_path / "mine.toml"
    board.write_text(f'name = "mine"\n[[lines]]\n{text}\n')
    with pytest.raises(ConfigError) as caught:
        load_board("mine.toml", tmp_path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (line, key)
    assert words in str(problem)


def test_boards_that_nobody_has_tried_say_so() -> None:
    assert [name for name in known_boards() if load_board(name).verified] == ["sim"]
