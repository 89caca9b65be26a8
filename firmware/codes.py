"""Service codes: the usual ones (`codes.toml`), and what a configuration makes of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from firmware.digitmap import KEYS

_FILE = Path(__file__).parent / "codes.toml"
_LONGEST = 8


def usual_codes() -> dict[str, str]:
    """Name of feature to code."""
    return tomllib.loads(_FILE.read_text("utf-8"))


def codes_of(changes: Mapping[str, str]) -> dict[str, str]:
    """Code to name of feature, with a configuration's changes; an empty code removes its feature.

    Raises:
        ValueError: there is no such feature, or a code is none, or hides another.
    """
    codes = usual_codes()
    for name, code in changes.items():
        if name not in codes:
            raise ValueError(f"`{name}` is no service; there are {', '.join(codes)}")
        codes[name] = code
    set_codes = {name: code for name, code in codes.items() if code}
    for name, code in set_codes.items():
        if len(code) > _LONGEST or not set(code) <= set(KEYS):
            raise ValueError(f"`{name}`: `{code}` is no code of at most {_LONGEST} keys")
        for other, longer in set_codes.items():
            if other != name and longer.startswith(code):
                raise ValueError(f"`{other}`: `{longer}` begins with `{code}`, that of `{name}`")
    return {code: name for name, code in set_codes.items()}
