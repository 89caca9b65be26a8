"""The options that set an account's columns, said once for `account add` and `account set`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from host.charging.money import parse_usd
from host.cli.output import fail
from host.numbering.provisioning import NO_LIMIT


def _option(help_text: str) -> Any:
    return typer.Option(help=help_text)


CHOICES = {
    "route": ("value", "premium"),
    "media": ("relay", "direct"),
    "call_token": ("yes", "no", "auto"),
    "encryption": ("no", "offer", "require"),
    "protocol": ("any", "sip", "iax2"),
    "route_us": ("value", "premium", ""),
    "route_canada": ("value", "premium", ""),
    "route_international": ("value", "premium", ""),
}
"""Columns of an account, and of a carrier, that take one of a few words."""

_MONEY = ("max_per_minute", "daily_spend")
_COUNTS = ("own_channels", "max_call_s", "daily_to_one_number")
"""Limits that an account may have or not: an amount, a number, or `none`."""


def one_of(what: str, value: str | None, known: tuple[str, ...]) -> None:
    """End with a clear word unless a value is one of those known, or not given."""
    if value is not None and value not in known:
        words = " or ".join(word or repr(word) for word in known)
        fail(f"{what.replace('_', ' ')} {value!r} is unknown: use {words}", 2)


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
    "description": Annotated[str | None, _option("Whatever tells it from others.")],
    "protocol": Annotated[str | None, _option("any, sip or iax2")],
    "codecs": Annotated[
        str | None, _option("Kept for its device: 'PCMU G722'; calls do not go by it yet.")
    ],
    "route_us": Annotated[str | None, _option("Route to the United States; '': as --route.")],
    "route_canada": Annotated[str | None, _option("Route to Canada.")],
    "route_international": Annotated[str | None, _option("Route to elsewhere.")],
    "own_channels": Annotated[
        str | None, _option("A sub-account's own, besides the main account's; or none.")
    ],
    "networks": Annotated[
        str | None, _option("Believed from these alone: '203.0.113.0/24'; '' is everywhere.")
    ],
    "pops": Annotated[str | None, _option("May use these POPs alone; '' is all.")],
    "countries": Annotated[str | None, _option("May call these alone: 'CA FR'; '' is all.")],
    "max_per_minute": Annotated[str | None, _option("Dearest rate that it pays, USD; or none.")],
    "max_call_s": Annotated[str | None, _option("Longest call, seconds; or none.")],
    "daily_spend": Annotated[str | None, _option("USD a day (UTC) for its calls; or none.")],
    "daily_to_one_number": Annotated[str | None, _option("Calls a day to one number; or none.")],
}
"""Column of an account to its option; one that is not given stays as it is."""


def _limit(name: str, text: str) -> int:
    if text == "none":
        return NO_LIMIT
    try:
        return parse_usd(text) if name in _MONEY else int(text)
    except ValueError:
        what = "an amount in USD" if name in _MONEY else "a number"
        fail(f"{name.replace('_', ' ')} {text!r} is unknown: write {what}, or none", 2)


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
        for name in (*_MONEY, *_COUNTS):
            if columns[name] is not None:
                columns[name] = _limit(name, columns[name])
        function(**given, columns={k: v for k, v in columns.items() if v is not None})

    parameters = [*rest, *added]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    del command.__wrapped__
    return command
