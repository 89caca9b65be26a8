"""Configuration files as frozen dataclasses, checked by their annotations.

A schema is a frozen dataclass. A field's annotation says what may stand there: `str`, `int`,
`float`, `bool`, `Literal`, `tuple[X, ...]`, `X | None`, `dict[str, X]`, or another such dataclass
(a table). What an annotation cannot say stands in the field's metadata, made by `setting`.
A wrong file is answered with every problem at once, each with file, line, key and remedy.
"""

from __future__ import annotations

import sys
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path as FilePath
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

from boards.tomllines import Path, line_of, locate

T = TypeVar("T")
Check = Callable[[Any], str]
"""Says what is wrong with a value and what to do, or the empty string."""

_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
MAX_OCTETS = 1_000_000
"""A configuration file larger than this is not read."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file."""

    file: str
    line: int
    key: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key}: {self.what}; {self.remedy}"


class ConfigError(Exception):
    """A configuration that cannot be used; `problems` holds at least one."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def setting(
    default: Any = MISSING,
    *,
    least: float | None = None,
    most: float | None = None,
    check: Check | None = None,
    remedy: str = "",
) -> Any:
    """A dataclass field with bounds (inclusive), a check and a remedy of its own."""
    metadata = {"least": least, "most": most, "check": check, "remedy": remedy}
    if default is MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


def load(schema: type[T], path: FilePath | str) -> T:
    """Read a TOML file.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or does not fit the schema.
    """
    name = str(path)
    try:
        with open(path, "rb") as stream:
            octets = stream.read(MAX_OCTETS + 1)
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        problem = Problem(name, 1, "file", what, "give the path of a readable TOML file")
        raise ConfigError((problem,)) from None
    if len(octets) > MAX_OCTETS:
        what = f"is longer than {MAX_OCTETS} octets"
        raise ConfigError((Problem(name, 1, "file", what, "give a configuration file"),))
    return loads(schema, octets.decode("utf-8", "replace"), name)


def loads(schema: type[T], text: str, file: str = "configuration") -> T:
    """Check a TOML document against `schema` and make its value.

    Raises:
        ConfigError: with every problem found.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((_syntax(text, file, str(error)),)) from None
    return load_table(schema, document, file, locate(text))


def load_table(
    schema: type[T],
    document: Mapping[str, Any],
    file: str = "configuration",
    lines: dict[Path, int] | None = None,
) -> T:
    """Check a table that has been read already, from TOML or JSON.

    Args:
        lines: where its parts stand in `file`.
    Raises:
        ConfigError: with every problem found.
    """
    reader = _Reader(file, lines or {})
    value = reader.table(schema, document, ())
    if reader.problems:
        raise ConfigError(tuple(sorted(reader.problems, key=lambda problem: problem.line)))
    return cast(T, value)


def _syntax(text: str, file: str, error: str) -> Problem:
    """tomllib says `... (at line 3, column 7)`, or that it met the end of the document."""
    words = error.partition("(at line ")
    digits = words[2].partition(",")[0]
    number = int(digits) if digits.isdigit() else max(1, len(text.splitlines()))
    what = words[0].strip().rstrip(":").lower() or "is not TOML"
    return Problem(file, number, "syntax", what, "write `key = value`, strings in double quotes")


class _Reader:
    """One pass over one document; gathers problems."""

    def __init__(self, file: str, lines: dict[Path, int]) -> None:
        self.file = file
        self.lines = lines
        self.problems: list[Problem] = []

    def wrong(self, path: Path, what: str, remedy: str) -> None:
        key = ".".join(f"[{part}]" if isinstance(part, int) else part for part in path)
        key = key.replace(".[", "[") or "file"
        line = line_of(self.lines, path)
        self.problems.append(Problem(self.file, line, key, what, remedy))

    def table(self, schema: type[Any], raw: Mapping[str, Any], path: Path) -> Any:
        hints = typing.get_type_hints(schema, vars(sys.modules[schema.__module__]))
        known = {one.name: one for one in fields(schema)}
        for key in raw:
            if key not in known:
                self.wrong((*path, key), "no such setting", _suggest(key, list(known)))
        before = len(self.problems)
        values: dict[str, Any] = {}
        for name, one in known.items():
            here = (*path, name)
            if name in raw:
                values[name] = self.value(hints[name], raw[name], here, one)
            elif is_dataclass(hints[name]) and not _has_default(one):
                values[name] = self.table(hints[name], {}, here)
            elif not _has_default(one):
                remedy = one.metadata.get("remedy") or f"add `{name} = ...`"
                self.wrong(path or (name,), f"`{name}` is missing", remedy)
        if len(self.problems) > before:
            return None
        value = schema(**values)
        check = getattr(schema, "problem", None)
        if check is not None:
            complaint = check(value)
            if complaint is not None:
                where = complaint[0] if isinstance(complaint[0], tuple) else complaint[:1]
                self.wrong((*path, *where), complaint[1], complaint[2])
        return value

    def value(self, kind: Any, raw: Any, path: Path, one: Field[Any]) -> Any:
        origin = get_origin(kind)
        if origin in (Union, types.UnionType):
            inner = [arg for arg in get_args(kind) if arg is not type(None)]
            assert len(inner) == 1, "a schema's unions are `X | None`"
            return self.value(inner[0], raw, path, one)
        if origin is tuple:
            if not isinstance(raw, list):
                self.wrong(path, f"is {_say(raw)}, not a list", "put it in square brackets")
                return ()
            item = get_args(kind)[0]
            return tuple(
                self.value(item, entry, (*path, index), one) for index, entry in enumerate(raw)
            )
        if origin is dict:
            if not isinstance(raw, dict):
                self.wrong(path, f"is {_say(raw)}, not a table", f"write `[{path[-1]}]`")
                return {}
            item = get_args(kind)[1]
            return {key: self.value(item, raw[key], (*path, key), one) for key in raw}
        if is_dataclass(kind):
            if not isinstance(raw, dict):
                self.wrong(path, f"is {_say(raw)}, not a table", f"write `[{path[-1]}]`")
                return None
            return self.table(cast(type[Any], kind), raw, path)
        if origin is Literal:
            return self.choice(get_args(kind), raw, path)
        return self.plain(kind, raw, path, one)

    def choice(self, choices: tuple[Any, ...], raw: Any, path: Path) -> Any:
        if raw not in choices:
            listed = ", ".join(f'"{one}"' if isinstance(one, str) else str(one) for one in choices)
            self.wrong(path, f"{_say(raw)} is not one of the choices", f"choose one of {listed}")
        return raw

    def plain(self, kind: type, raw: Any, path: Path, one: Field[Any]) -> Any:
        assert kind in _NAMES, f"no rule for {kind} in a schema"
        fits = isinstance(raw, kind) and not (kind is int and isinstance(raw, bool))
        if kind is float and isinstance(raw, int) and not isinstance(raw, bool):
            raw, fits = float(raw), True
        remedy = one.metadata.get("remedy", "")
        if not fits:
            hint = remedy or (
                f'write "{raw}"' if kind is str and not isinstance(raw, list) else "change it"
            )
            self.wrong(path, f"is {_say(raw)}, not {_NAMES[kind]}", hint)
            return raw
        least, most = one.metadata.get("least"), one.metadata.get("most")
        if (least is not None and raw < least) or (most is not None and raw > most):
            span = f"{least} or more" if most is None else f"a value from {least} to {most}"
            self.wrong(path, f"{raw} is out of range", remedy or f"give {span}")
        check = one.metadata.get("check")
        complaint = check(raw) if check is not None else ""
        if complaint:
            self.wrong(path, complaint, remedy or "correct it")
        return raw


def _has_default(one: Field[Any]) -> bool:
    return one.default is not MISSING or one.default_factory is not MISSING


def _suggest(key: str, known: list[str]) -> str:
    import difflib  # only a wrong file needs it, and the device counts its memory

    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"remove it, or use one of {', '.join(known)}"


def _say(raw: Any) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, str):
        return f'the string "{raw[:40]}"'
    if isinstance(raw, dict):
        return "a table"
    return "a list" if isinstance(raw, list) else str(raw)
