"""Which Python `.venv` is made with."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

import tasks


def an_interpreter(folder: Path, status: int) -> Path:
    """Answers any question by its exit status."""
    path = folder / "python3"
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)
    return path


def built(monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    monkeypatch.delenv("LOOPSTART_PYTHON", raising=False)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: options)


def test_an_optimised_python_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    built(monkeypatch, "'--enable-optimizations' '--with-lto'")
    assert tasks.best_python(an_interpreter(tmp_path, 0)) == sys.executable


def test_a_slow_python_gives_way_to_the_system_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built(monkeypatch, "'--enable-shared'")
    system = an_interpreter(tmp_path, 0)
    assert tasks.best_python(system) == str(system)


def test_a_system_s_python_that_lacks_something_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built(monkeypatch, "'--enable-shared'")
    assert tasks.best_python(an_interpreter(tmp_path, 1)) == sys.executable
    assert tasks.best_python(tmp_path / "none") == sys.executable


def test_the_user_s_choice_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    built(monkeypatch, "'--enable-shared'")
    monkeypatch.setenv("LOOPSTART_PYTHON", "/opt/python/bin/python3")
    assert tasks.best_python(an_interpreter(tmp_path, 0)) == "/opt/python/bin/python3"
