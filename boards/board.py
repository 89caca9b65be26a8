"""A board file: which lines a board has and how they are reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boards.hardware import (
    Architecture,
    Boot,
    Button,
    Console,
    Disk,
    Flash,
    Kernel,
    Led,
    Loader,
    Root,
)
from boards.lines import LineHardware
from boards.schema import ConfigError, Problem, load

__all__ = ["Board", "LineHardware", "known_boards", "load_board"]
HERE = Path(__file__).parent
_NEEDED = {
    "flash": ("console", "architecture", "kernel", "root"),
    "loader": ("console", "flash"),
    "boot": ("loader", "flash", "kernel"),
    "disk": ("flash",),
    "kernel": ("architecture",),
    "root": ("architecture", "kernel"),
}


@dataclass(frozen=True, slots=True)
class Board:
    """What differs from one board to the next, as far as the program on it must know."""

    name: str
    lines: tuple[LineHardware, ...]
    description: str = ""
    no_image: str = ""
    """Why no image is built of it, and what to do instead."""
    verified: bool = True
    """False: nobody has tried this file on the hardware that it describes."""
    architecture: Architecture | None = None
    """Of the image; a board that the program is installed on by hand needs none."""
    console: Console | None = None
    loader: Loader | None = None
    flash: Flash | None = None
    boot: Boot | None = None
    kernel: Kernel | None = None
    disk: Disk | None = None
    root: Root | None = None
    leds: tuple[Led, ...] = ()
    button: Button | None = None

    @staticmethod
    def problem(value: Board) -> tuple[str, str, str] | None:
        """What no annotation can say: key, what is wrong, remedy."""
        if not value.lines:
            return "lines", "the board has no line", 'add `[[lines]]` with `driver = "sim"`'
        names = [line.name for line in value.lines]
        if len(set(names)) < len(names):
            return "lines", "two lines have one name", "give each line its own `name`"
        for key, needed in _NEEDED.items():
            for other in needed:
                if getattr(value, key) is not None and getattr(value, other) is None:
                    table = other if other == "architecture" else f"[{other}]"
                    return key, f"is of no use without `{table}`", f"add `{table}`"
        return None


def known_boards() -> list[str]:
    """Names of the boards that come with the program."""
    return sorted(path.stem for path in HERE.glob("*.toml"))


def load_board(name_or_path: str, beside: Path | None = None) -> Board:
    """The board called so, or the one in the file of that path.

    Args:
        name_or_path: `sim`, or a path ending in `.toml`; a relative path starts at `beside`.
        beside: folder of the file that names the board.
    Raises:
        ConfigError: there is no such board, or its file is wrong.
    """
    if name_or_path.endswith(".toml"):
        return load(Board, (beside or Path()) / name_or_path)
    if name_or_path not in known_boards():
        remedy = f"use one of {', '.join(known_boards())}, or the path of a .toml file"
        problem = Problem("board", 1, "board", f"there is no board `{name_or_path}`", remedy)
        raise ConfigError((problem,))
    return load(Board, HERE / f"{name_or_path}.toml")
