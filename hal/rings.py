"""Distinctive rings (`rings.toml`): cadences by name, and what calls ask for by Alert-Info."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hal.values import RingCadence

_FILE = Path(__file__).parent / "rings.toml"


@dataclass(frozen=True, slots=True)
class Rings:
    """All distinctive rings, for a line that is usually rung by `usual`."""

    usual: RingCadence
    patterns_ms: dict[str, tuple[int, ...]]
    alerts: dict[str, str]

    def cadence(self, name: str) -> RingCadence:
        """The cadence of a name, with the line's own frequency and voltage; the usual for none."""
        pattern = self.patterns_ms.get(name)
        return replace(self.usual, pattern_ms=pattern) if pattern else self.usual

    def name_of(self, alert: str) -> str:
        """The ring that an alert asks for; empty for the usual one.

        A URN that is more special than one of ours asks for the same (RFC 7462, 6).
        """
        wanted = alert.lower()
        while wanted:
            if wanted in self.alerts:
                return self.alerts[wanted]
            wanted = wanted.rpartition(":")[0] if wanted.startswith("urn:") else ""
        return ""


def load_rings(usual: RingCadence) -> Rings:
    """The rings that there are data for."""
    rows: dict[str, Any] = tomllib.loads(_FILE.read_text("utf-8"))
    patterns = {name: tuple(pattern) for name, pattern in rows["cadences"].items()}
    return Rings(usual, patterns, dict(rows["alerts"]))
