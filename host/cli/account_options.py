"""The options that set an account's columns, said once for `account add` and `account set`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from host.cli.output import fail


def _option(help_text: str) -> Any:
    return typer.Option(help=help_text)


CHOICES = {
    "route": ("value", "premium"),
    "media": ("relay", "direct"),
    "call_token": ("yes", "no", "auto"),
    "encryption": ("no", "offer", "require"),
}
"""Columns of an account, and of a carrier, that take one of a few words."""


def one_of(what: str, value: str | None, known: tuple[str, ...]) -> None:
    """End with a clear word unless a value is one of those known, or not given."""
    if value is not None and value not in known:
        fail(f"{what.replace('_', ' ')} {value!r} is unknown: use {' or '.join(known)}", 2)


COLUMNS: dict[str, Any] = {
    "route": Annotated[str | None, _option("value or premium")],
    "channels": Annotated[int | None, _option("Outgoing calls at once.")],
    "calls_to_one_number": Annotated[int | None, _option("Of them to one number.")],
    "international": Annotated[bool | None, _option("May call abroad.")],
    "premium_fallback": Annotated[
        bool | None, _option("Premium where the value route has no rate.")
    ],
    "caller_id": Annotated[str | None, _option("Number that its calls show.")],
    "area_code": Annotated[str | None, _option("Put before seven dialled digits.")],
    "dial_rules": Annotated[str | None, _option("As in '9=;00=+'.")],
    "address": Annotated[str | None, _option("PBX known by its address.")],
    "port": Annotated[int | None, _option("Of that PBX; 0: any.")],
    "contact": Annotated[str | None, _option("URI that a PBX's incoming calls go to.")],
    "number_range": Annotated[str | None, _option("A PBX's own numbers: how they begin.")],
    "media": Annotated[str | None, _option("relay or direct")],
    "call_token": Annotated[str | None, _option("IAX2: yes, no or auto")],
    "encryption": Annotated[str | None, _option("IAX2: no, offer or require")],
    "trunk": Annotated[bool | None, _option("IAX2: voice to it in meta frames.")],
}
"""Column of an account to its option; one that is not given stays as it is."""


def takes_columns(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options of `COLUMNS`; those that were named come as its `columns`."""
    own = inspect.signature(function, eval_str=True).parameters.values()
    rest = [p for p in own if p.name != "columns"]
    added = [
        inspect.Parameter(
            name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation
        )
        for name, annotation in COLUMNS.items()
    ]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        columns = {name: given.pop(name) for name in COLUMNS}
        for name, words in CHOICES.items():
            one_of(name, columns[name], words)
        function(**given, columns={k: v for k, v in columns.items() if v is not None})

    parameters = [*rest, *added]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    del command.__wrapped__
    return command
