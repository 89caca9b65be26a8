"""How a board's programs begin: `run("firmware.app")` in place of `-m firmware.app`.

Most of a start is spent on what `dataclasses` does for each class of the program: it writes the
text of its methods and has it compiled. The image has that code compiled already, by the text; what
is not there, and any other version of Python, is compiled as ever.
"""

from __future__ import annotations

import dataclasses
import gc
import marshal
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import CodeType

CODE = Path(__file__).with_name(f"dataclasses.{sys.implementation.cache_tag}.code")
"""A dictionary, as `marshal` writes it: from the text to its code, which is marshalled for itself,
so that nobody reads the code of what he does not import."""


def load(path: Path = CODE) -> dict[str, bytes]:
    """What was compiled beforehand; empty where there is none."""
    try:
        found = marshal.loads(path.read_bytes())
    except (OSError, EOFError, ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def prepare(ready: Mapping[str, bytes]) -> None:
    """Have `dataclasses` take these codes; it executes texts by this name alone."""

    def execute(
        text: str, names: dict[str, object], local: dict[str, object] | None = None
    ) -> None:
        code = ready.get(text)
        exec(text if code is None else _code(code), names, local)

    vars(dataclasses)["exec"] = execute


def _code(octets: bytes) -> CodeType:
    code = marshal.loads(octets)
    assert isinstance(code, CodeType)
    return code


def run(module: str, imports_more: bool = False) -> None:
    """Import it, and have its `main` do what the command line says.

    Args:
        imports_more: it imports what its configuration asks for, which needs the code, too.
    """
    ready = load()
    if ready:
        prepare(ready)
    gc.disable()  # nothing of what a start makes is garbage
    program = import_module(module)
    gc.enable()
    gc.freeze()
    if not imports_more:
        ready.clear()
    sys.exit(program.main())
