"""Which kernel modules an initramfs needs, and in which order they are loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from boards.image.lock import ImageBuildError


def listing(modules: Iterable[Path], names: Iterable[str]) -> str:
    """What the initramfs loads, a line each: the file, and the parameters that `names` gives."""
    given = {_plain(word): rest for word, _, rest in (name.partition(" ") for name in names)}
    lines = (f"{one.name} {given.get(_plain(one.stem), '')}".rstrip() for one in modules)
    return "".join(f"{line}\n" for line in lines)


def in_order(tree: Path, names: Iterable[str]) -> list[Path]:
    """Files of the modules and of those that they depend on, each behind its own.

    Args:
        tree: unpacked kernel package.
        names: with `_` or `-`, and parameters behind a space; what is compiled into the kernel has
            no file and is left out.
    Raises:
        ImageBuildError: the kernel has no such module.
    """
    files = {_plain(path.name.partition(".")[0]): path for path in tree.rglob("*.ko")}
    built_in = {
        _plain(Path(line).name.partition(".")[0])
        for listed in tree.rglob("modules.builtin")
        for line in listed.read_text().split()
    }
    found: list[Path] = []

    def add(name: str) -> None:
        path = files.get(_plain(name))
        if path is None:
            if _plain(name) in built_in:
                return
            raise ImageBuildError(f"the kernel has no module {name}: take it out of [kernel]")
        if path in found:
            return
        for needed in _needs(path):
            add(needed)
        found.append(path)

    for name in names:
        add(name.partition(" ")[0])
    return found


def _needs(path: Path) -> list[str]:
    """What the module's own description names behind `depends=`."""
    said = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
    return [name for name in said[1].decode().split(",") if name] if said else []


def _plain(name: str) -> str:
    return name.replace("-", "_")
