"""Dialled digits to E.164 (ITU-T E.164; North American Numbering Plan)."""

from __future__ import annotations

import re
from functools import lru_cache

MAX_DIGITS = 15
"""E.164, 6.1."""

_NANP = re.compile(r"1[2-9][0-9]{2}[2-9][0-9]{6}")
_SEVEN = re.compile(r"[2-9][0-9]{6}")
_SEPARATORS = str.maketrans("", "", " -.()")


@lru_cache(maxsize=4096)
def normalise(dialled: str, area_code: str = "", rules: str = "") -> str | None:
    """The number in E.164 with `+`, or None if it is none.

    Understood are 10 digits, 1 and 10 digits, 011 and an international number, `+` and an
    international number, and 7 digits when there is an `area_code`. `rules` (see
    `parse_rules`) are applied first, the longest that fits, once.
    """
    number = ruled(plain(dialled), rules)
    if number.startswith("+"):
        digits = number[1:]
    elif number.startswith("011"):
        digits = number[3:]
    elif len(number) == 10:
        digits = "1" + number
    elif len(number) == 11 and number[0] == "1":
        digits = number
    elif area_code and _SEVEN.fullmatch(number):
        digits = "1" + area_code + number
    else:
        return None
    if not (digits.isascii() and digits.isdigit()) or digits[0] == "0":
        return None
    if digits[0] == "1":
        return f"+{digits}" if _NANP.fullmatch(digits) else None
    return f"+{digits}" if 7 <= len(digits) <= MAX_DIGITS else None


def plain(dialled: str) -> str:
    """What was dialled without what people put between digits."""
    return dialled.translate(_SEPARATORS)


def ruled(number: str, rules: str) -> str:
    """What dial rules make of plain digits: the longest that fits, once."""
    fitting = [rule for rule in parse_rules(rules) if number.startswith(rule[0])]
    if not fitting:
        return number
    begin, instead = max(fitting, key=lambda rule: len(rule[0]))
    return instead + number[len(begin) :]


@lru_cache(maxsize=1024)
def parse_rules(rules: str) -> tuple[tuple[str, str], ...]:
    """Read dial rules: `begin=instead`, semicolons between.

    Raises:
        ValueError: a rule is not of that form.
    """
    parsed = []
    for rule in filter(None, (part.strip() for part in rules.split(";"))):
        if not re.fullmatch(r"[0-9*#+]+=[0-9+]*", rule):
            raise ValueError(f"dial rule {rule!r} is not of the form BEGIN=INSTEAD, as in 00=+")
        begin, instead = rule.split("=")
        parsed.append((begin, instead))
    return tuple(parsed)


def is_international(number: str) -> bool:
    """True for an E.164 number outside the North American Numbering Plan."""
    return not number.startswith("+1")


def prefixes(digits: str) -> tuple[str, ...]:
    """All that `digits` begin with, longest first."""
    return tuple(digits[:length] for length in range(len(digits), 0, -1))
