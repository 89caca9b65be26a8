"""Values of the contract: parameters by a described table a method, answers in strings alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from host.charging.values import USD
from host.numbering.e164 import normalise

UNSET = "-1"
UNSET_DATE = "0000-00-00"
_TRUE = frozenset(("1", "true", "yes", "on"))
_FALSE = frozenset(("0", "false", "no", "off"))
_LONGEST = 1_000


class Status(Exception):
    """A request that is answered by its status alone; the text is the contract's word for it."""


class Parameter(NamedTuple):
    """One parameter of a method."""

    name: str
    read: Callable[[str], Any]
    """Makes a value of the text.

    Raises:
        ValueError: it cannot be one; the answer is then `invalid_` and `word`.
    """
    required: bool = False
    word: str = ""
    """What the contract calls it in `missing_...` and `invalid_...`; empty: its name."""


def read_all(table: tuple[Parameter, ...], given: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of one request. What is not given is not there; what is given empty is the
    empty string, which clears; others of a client that the method does not know are passed over.

    Raises:
        Status: one is missing, or is none of its kind.
    """
    found: dict[str, Any] = {}
    for name, read, required, word in table:
        text = given.get(name)
        if text is None or (required and not text.strip()):
            if required:
                raise Status(f"missing_{word or name}")
            continue
        text = text.strip()
        try:
            found[name] = read(text) if text else ""
        except ValueError:
            raise Status(f"invalid_{word or name}") from None
    return found


# --- kinds of parameters -----------------------------------------------------------------------


def text(value: str) -> str:
    """Text of one line."""
    if len(value) > _LONGEST or not value.isprintable():
        raise ValueError("too long, or no text")
    return value


def number(value: str) -> int:
    """A whole number; -1 is unset."""
    if not re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII):
        raise ValueError("no number")
    return int(value)


def between(least: int, most: int) -> Callable[[str], int]:
    """A whole number within bounds."""

    def read(value: str) -> int:
        found = number(value)
        if not least <= found <= most:
            raise ValueError("out of bounds")
        return found

    return read


def one_of(*words: str) -> Callable[[str], str]:
    """One of a few words or codes."""

    def read(value: str) -> str:
        if value not in words:
            raise ValueError("unknown")
        return value

    return read


def flag(value: str) -> bool:
    """A boolean, as clients write it: 1/0, true/false, yes/no."""
    lower = value.lower()
    if lower not in _TRUE | _FALSE:
        raise ValueError("no boolean")
    return lower in _TRUE


class Day(NamedTuple):
    """A date, or an instant of one."""

    at: datetime
    whole: bool
    """No time of the day was given."""


def date(value: str) -> Day:
    """`YYYY-MM-DD`, with or without `HH:MM:SS`."""
    for form in ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S"):
        try:
            return Day(datetime.strptime(value, form).replace(tzinfo=UTC), "H" not in form)
        except ValueError:
            continue
    raise ValueError("no date")


def timezone(value: str) -> timedelta:
    """Hours from UTC, -12 to 14; halves too."""
    if not re.fullmatch(r"[+-]?[0-9]{1,2}(\.[0-9]{1,2})?", value, re.ASCII):
        raise ValueError("no timezone")
    hours = float(value)
    if not -12 <= hours <= 14:
        raise ValueError("no timezone")
    return timedelta(minutes=round(hours * 60))


def did(value: str) -> str:
    """A telephone number, to E.164."""
    found = normalise(value if value.startswith("+") else re.sub(r"[^0-9]", "", value))
    found = found or normalise("+" + value.removeprefix("+"))
    if found is None:
        raise ValueError("no number")
    return found


# --- answers -----------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """An answer as the contract has it: every scalar a string, nothing null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return str(value)


def usd(amount: int, places: int = 8) -> str:
    """An amount of 10^-8 USD with so many decimals; none are lost at 8."""
    sign = "-" if amount < 0 else ""
    whole, units = divmod(abs(amount), USD)
    return f"{sign}{whole}.{units:08d}"[: len(sign) + len(str(whole)) + 1 + places]


def instant(utc_ms: int | None, offset: timedelta = timedelta()) -> str:
    """`YYYY-MM-DD HH:MM:SS`."""
    if not utc_ms:
        return UNSET_DATE
    moment = datetime.fromtimestamp(utc_ms / 1000, UTC) + offset
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: int) -> str:
    """`H:MM:SS`, hours as many as there are."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def shown_number(e164: str) -> str:
    """A number as the contract writes it: ten digits in North America, else all without `+`."""
    digits = e164.removeprefix("+")
    return digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
