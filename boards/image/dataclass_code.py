"""The code that `dataclasses` would have compiled at each start of a board's programs, beforehand.

`python3 -m boards.image.dataclass_code DATACLASSES FILE` writes what `firmware.start` reads: by the
texts that the module `dataclasses` of the board's own Python makes. It is a process of its own, so
that the same modules give the same octets.
"""

from __future__ import annotations

import marshal
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

MODULES = (
    *("boards.state_device", "firmware.panel.__main__", "firmware.app", "firmware.ua.iax2"),
    *("hal.drivers.sim", "firmware.update.__main__"),
)
"""What starts on a board, and what it imports by and by."""


def texts(dataclasses: Path, modules: tuple[str, ...] = MODULES) -> list[str]:
    """What this `dataclasses.py` has compiled when they are imported, for the first time."""
    found: set[str] = set()

    def execute(
        text: str, names: dict[str, object], local: dict[str, object] | None = None
    ) -> None:
        found.add(text)
        exec(text, names, local)

    spec = spec_from_file_location("dataclasses", dataclasses)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["dataclasses"] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module)["exec"] = execute
    for name in modules:
        import_module(name)
    return sorted(found)


def compiled(sources: list[str]) -> bytes:
    """As `firmware.start.load` reads it."""
    return marshal.dumps({one: marshal.dumps(compile(one, "<string>", "exec")) for one in sources})


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(compiled(texts(Path(sys.argv[1]))))
