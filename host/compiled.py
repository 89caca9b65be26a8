"""The SIP core as machine code, where `loopstart-host compile` has made it of these very sources.

It costs a fifth less of the processor for a call under load. The folder that it is in bears the
digest of the sources: after an update, or an edit, they run as Python again until somebody compiles
them anew, so that what is read is always what runs.
"""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from pathlib import Path

PACKAGE = "firmware.wire.sip"
LEFT_OUT = frozenset(("__init__", "events"))
"""Not compiled. Of `events`, tuples whose types lead back to those who make them, mypyc 2.4 makes
a module that cannot be loaded; there is nothing in it that takes time."""

_RECIPE = "1"
"""Another one where the same sources are to become something else."""


def sources() -> list[Path]:
    """The Python files of the package, sorted."""
    root = Path(__file__).resolve().parents[1]
    return sorted(root.joinpath(*PACKAGE.split(".")).glob("*.py"))


def place() -> Path:
    """Where machine code for this interpreter and these sources is, once it has been made."""
    digest = hashlib.sha256(f"{_RECIPE} {sysconfig.get_config_var('SOABI')}".encode())
    for path in sources():
        text = path.read_bytes()
        digest.update(f"\n{path.name} {len(text)}\n".encode() + text)
    return Path(sys.prefix) / "lib" / "loopstart" / digest.hexdigest()[:32]


def prefer(at: Path | None = None) -> bool:
    """Let the package be imported from there from now on; False where it is not there.

    To be called before anything of the package is imported.
    """
    at = at or place()
    if not at.is_dir():
        return False
    import firmware.wire.sip as package

    package.__path__.insert(0, str(at.joinpath(*PACKAGE.split("."))))
    sys.path.append(str(at))
    return True


def in_use() -> bool:
    """Is the core in this process machine code?"""
    parser = sys.modules.get(f"{PACKAGE}.parser")
    return parser is not None and not str(parser.__file__).endswith(".py")
