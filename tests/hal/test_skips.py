"""A contract test that is skipped unforeseen fails: shown by some that are, in another session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = """
import pytest
from tests.hal.rigs import HARDWARE_RIGS, lacks

def test_foreseen() -> None:
    lacks(HARDWARE_RIGS["dahdi"](), "measures_line")

def test_against_the_table() -> None:
    lacks(HARDWARE_RIGS["dahdi"](), "reverses_feed")

def test_for_another_reason() -> None:
    pytest.skip("no such device here")

@pytest.mark.skipif(True, reason="not on this machine")
def test_before_it_began() -> None:
    raise AssertionError
"""


@pytest.mark.parametrize(
    ("test", "outcome"),
    [("foreseen", "skipped"), ("against_the_table", "failed"), ("for_another_reason", "failed"),
     ("before_it_began", "error")],
)  # fmt: skip
def test_only_what_the_table_foresees_is_skipped(tmp_path: Path, test: str, outcome: str) -> None:
    (tmp_path / "test_line_contract.py").write_text(CONTRACT)
    (tmp_path / "conftest.py").write_text((Path(__file__).with_name("conftest.py")).read_text())
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", test],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert f"1 {outcome}" in done.stdout, done.stdout
