"""Configuration of an older schema: a newer program works on a copy of its own.

A file's schema stands in its name, `ata.toml` being the first and `ata.2.toml` the next. A program
takes the file of its own schema; where there is none it makes one of the newest that is older. What
the older one holds is not touched, so that a board that falls back finds it as it left it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from firmware.status import write_whole
from firmware.wire.provisioning import CONFIG_SCHEMA

Step = Callable[[dict[str, Any]], dict[str, Any]]
STEPS: dict[int, Step] = {}
"""Schema to what makes a document of the next one of it; a step for each but the last."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class MigrationError(Exception):
    """A configuration that this program cannot make its own; says why."""


def path_of(base: Path, schema: int) -> Path:
    """The file of one schema, `base` being that of the first."""
    return base if schema == 1 else base.with_name(f"{base.stem}.{schema}{base.suffix}")


def own_path(base: Path, schema: int = CONFIG_SCHEMA, steps: Mapping[int, Step] = STEPS) -> Path:
    """The file that a program of `schema` reads; made of an older one if there is none.

    Raises:
        MigrationError: the older one is no TOML, or the copy cannot be written.
    """
    own = path_of(base, schema)
    if own.exists():
        return own
    for older in range(schema - 1, 0, -1):
        before = path_of(base, older)
        try:
            text = before.read_text("utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise MigrationError(f"{before}: {error}") from None
        try:
            write_whole(own, migrated(text, older, schema, steps))
        except OSError as error:
            raise MigrationError(f"{own} cannot be written ({error.strerror})") from None
        return own
    return own


def migrated(
    text: str, schema: int, wanted: int = CONFIG_SCHEMA, steps: Mapping[int, Step] = STEPS
) -> str:
    """A configuration of an older schema as one of the wanted one.

    Raises:
        MigrationError: it is no TOML, or newer than what is wanted.
    """
    if schema == wanted:
        return text
    if schema > wanted:
        raise MigrationError(
            f"the configuration has schema {schema}, {wanted} is known here; update the firmware"
        )
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MigrationError(f"the configuration is no TOML: {error}") from None
    for step in range(schema, wanted):
        document = steps[step](document)
    document["schema"] = wanted
    return to_toml(document)


def to_toml(document: Mapping[str, Any]) -> str:
    """TOML of a document as `tomllib` reads it; comments are gone.

    Args:
        document: tables, lists, text, numbers and truth; no dates, which no configuration has.
    """
    return "".join(f"{line}\n" for line in _table(document, ()))


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    inner = {key: one for key, one in table.items() if _is_table(one) or _is_tables(one)}
    lines = [f"{_key(key)} = {_value(one)}" for key, one in table.items() if key not in inner]
    for key, one in inner.items():
        name = ".".join(_key(part) for part in (*path, key))
        for entry in [one] if isinstance(one, Mapping) else one:
            lines += ["", f"[{name}]" if isinstance(one, Mapping) else f"[[{name}]]"]
            lines += _table(entry, (*path, key))
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_table, value))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    # JSON's text is TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(one) for one in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)} = {_value(one)}' for key, one in value.items())}}}"
    assert isinstance(value, int | float), f"a configuration has no {type(value)}"
    return str(value) if isinstance(value, int) else repr(value)
