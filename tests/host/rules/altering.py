"""Alters one rule or price of the service's page in a copy of the project, and plays its test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
_TABLE = Path(__file__).parent / "rules.toml"
_PARTS = ("boards", "firmware", "hal", "host", "tests")
_FAILED = 1
"""pytest's exit status when tests failed; others say that they could not even be begun."""


class Rule(NamedTuple):
    """What the page says, and what is altered."""

    page: str
    file: str
    was: str
    """Stands once in the file."""
    now: str
    test: str
    """That has to fail: path and name, as pytest takes them."""


class Caught(NamedTuple):
    """Whether the test noticed."""

    failed: bool
    told: str
    """The last line that pytest printed."""


def read_rules() -> list[Rule]:
    """All of the table."""
    rows = tomllib.loads(_TABLE.read_text("utf-8"))["rule"]
    return [Rule(row["page"], row["file"], row["was"], row["is"], row["test"]) for row in rows]


def copy_project(folder: Path) -> Path:
    """A copy that may be altered: the packages and what pytest is told."""
    unwanted = shutil.ignore_patterns("__pycache__", ".*")
    for part in _PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def play(rule: Rule, copy: Path) -> Caught:
    """Alter the rule in the copy, run its test there, and put the rule back.

    Raises:
        ValueError: what is to be altered does not stand in the file, or more than once.
    """
    path = copy / rule.file
    before = path.read_text("utf-8")
    if before.count(rule.was) != 1:
        raise ValueError(f"{rule.file} has {rule.was!r} {before.count(rule.was)} times, not once")
    path.write_text(before.replace(rule.was, rule.now), "utf-8")
    try:
        done = subprocess.run(
            [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", rule.test],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        path.write_text(before, "utf-8")
    lines = (done.stdout + done.stderr).strip().splitlines()
    return Caught(done.returncode == _FAILED, lines[-1] if lines else "")
