"""Where a key stands in a TOML document.

`tomllib` forgets line numbers, and a person who mistyped a key wants one. This is not a second
TOML parser: it is only asked about documents that `tomllib` has accepted.
"""

from __future__ import annotations

import re

Path = tuple[str | int, ...]
"""A key's path: names, and indices within arrays of tables. `("lines", 0, "driver")`."""

_HEADER = re.compile(r"^\s*\[(\[)?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*[\w"'-]+)*)\s*=(.*)$""")
_INLINE_KEY = re.compile(r"""[{,]\s*([A-Za-z0-9_-]+|"[^"]*")\s*=""")


def locate(text: str) -> dict[Path, int]:
    """Line number, from 1, of each table header and key of a valid TOML document."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    closing = ""
    depth = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if closing:
            if closing in line:
                closing = ""
            continue
        if depth > 0:
            depth += _depth(line)
            continue
        header = _HEADER.match(line)
        if header:
            name: Path = _resolve(_names(header.group(2)), counts)
            if header.group(1):
                counts[name] = counts.get(name, -1) + 1
                name = (*name, counts[name])
            table = name
            found.setdefault(table, number)
            continue
        key = _KEY.match(line)
        if not key:
            continue
        path = (*table, *_names(key.group(1)))
        found.setdefault(path, number)
        value = key.group(2)
        for inner in _INLINE_KEY.finditer(_without_strings(value)):
            found.setdefault((*path, inner.group(1).strip('"')), number)
        for quote in ('"""', "'''"):
            if value.count(quote) == 1:
                closing = quote
        if not closing:
            depth = _depth(value)
    return found


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of `path`, or of the nearest table around it; 1 when nothing is known."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


def _names(dotted: str) -> Path:
    parts = re.findall(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""", dotted)
    return tuple(part.strip("\"'") for part in parts)


def _resolve(names: Path, counts: dict[Path, int]) -> Path:
    """Put the current index after each name that is an array of tables, but the last."""
    path: Path = ()
    for position, name in enumerate(names):
        path = (*path, name)
        if position < len(names) - 1 and path in counts:
            path = (*path, counts[path])
    return path


def _without_strings(value: str) -> str:
    return re.sub(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'', '""', value)


def _depth(line: str) -> int:
    """How many brackets a line leaves open; strings and comments do not count."""
    bare = _without_strings(line).split("#", 1)[0]
    return sum(bare.count(c) for c in "[{") - sum(bare.count(c) for c in "]}")
