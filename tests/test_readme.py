"""The table of features in the README is true: each of its rows names a test that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEADING = "### Beside other adapters\n"


def rows() -> list[list[str]]:
    """Cells of the table, without its heading: feature, ours, HT802, ATA 191."""
    section = (ROOT / "README.md").read_text("utf-8").split(HEADING)[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_row_names_a_test_that_is_there_or_says_no(row: list[str]) -> None:
    assert len(row) == 4, "no cell is missing"
    if row[1] == "no":
        return
    for name in row[1].split(", "):
        named = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", name)
        assert named, name
        text = (ROOT / named[1]).read_text("utf-8")
        assert re.search(rf"^(async )?def {named[2]}\(", text, re.MULTILINE), name


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_page_is_one_of_those_that_were_read(row: list[str]) -> None:
    """Of the HT802's manual three pages could be read; of the ATA 191's guide the chapters below
    the table, whose sections are named."""
    ht802, ata191 = row[2:]
    pages = [int(number) for number in re.findall(r"\b(\d\d)\b(?!\))", ht802)]
    assert all(34 <= page <= 36 for page in pages), ht802
    assert pages or "?" in ht802, "a cell gives a page, or says that none was found"
    section = re.fullmatch(r"(?:no, |not in )?[VAI] [A-Z(].{3,}", ata191)
    assert section or ata191 == "-" or "?" in ata191, ata191


def test_what_is_lacking_stands_in_the_table() -> None:
    assert [row for row in rows() if row[1] == "no"]
    assert len({row[0] for row in rows()}) == len(rows()) > 40
