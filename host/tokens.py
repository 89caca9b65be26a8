"""Random tokens, cheaply."""

from __future__ import annotations

import secrets


class Tokens:
    """Random tokens of 64 bits, drawn from the system's generator many at a time."""

    def __init__(self) -> None:
        self._text = ""
        self._at = 0

    def __call__(self) -> str:
        at = self._at
        if at == len(self._text):
            self._text, at = secrets.token_hex(2048), 0
        self._at = at + 16
        return self._text[at : at + 16]
