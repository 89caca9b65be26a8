"""No rule or price of the page can be altered without its test failing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.host.rules.altering import ROOT, Rule, copy_project, play, read_rules

RULES = read_rules()
TABLE = re.compile(r"`(tests/[\w/]+\.py::test_\w+)`")


@pytest.mark.parametrize("rule", RULES, ids=[rule.page[:40] for rule in RULES])
def test_what_is_altered_stands_once_in_its_file(rule: Rule) -> None:
    assert (ROOT / rule.file).read_text("utf-8").count(rule.was) == 1
    assert rule.was != rule.now


def test_every_row_of_the_table_has_a_rule_that_is_altered() -> None:
    rows = (ROOT / "host/README.md").read_text("utf-8").splitlines()
    named = [TABLE.findall(row) for row in rows if row.startswith("|") and TABLE.search(row)]
    altered = {rule.test for rule in RULES}
    assert len(named) >= 30
    assert [tests for tests in named if not altered & set(tests)] == []


# The others are `tasks.py rules`: each is a run of pytest of its own.
@pytest.mark.parametrize(
    "page", ["Australia: $0.0123 per minute", "Flat Rate Plan: 2 simultaneous calls"]
)
def test_an_altered_rule_is_noticed(page: str, tmp_path: Path) -> None:
    rule = next(one for one in RULES if one.page == page)
    copy = copy_project(tmp_path)
    failed, told = play(rule, copy)
    assert failed, told
    unaltered, told = play(rule._replace(now=rule.was + " "), copy)
    assert not unaltered, "it fails whatever is altered"
    assert "passed" in told
