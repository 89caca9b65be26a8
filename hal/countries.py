"""Country data: tones, cadences, flash window, ringing, caller ID (`countries.toml`)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boards.lines import Impedance
from hal.dsp.tones import Tone
from hal.values import RingCadence

_FILE = Path(__file__).parent / "countries.toml"
TONES = ("dial", "busy", "reorder", "ringback", "waiting", "howler")
"""Tones that every country has; the others are made from them."""
_STUTTER_BURSTS = 10
_RECALL_BURSTS = 3
_STUTTER_MS = 100
_OUTSIDE_BY_DB = 3.0


@dataclass(frozen=True, slots=True)
class Country:
    """How telephones of one country are rung, and what their users expect to hear."""

    code: str
    name: str
    ring: RingCadence
    flash_ms: tuple[int, int]
    """Shortest and longest break that is a flash."""
    tones: dict[str, Tone]
    emergency: tuple[str, ...]
    """Numbers that reach the emergency services; nothing may bar them."""
    cpc_ms: int
    """How long the loop opens when the far end has hung up (open switching interval)."""
    cpc_delay_ms: int
    gain_db: tuple[float, float]
    """Of what a telephone says, and of what it hears: a two-wire port loses some of it (Q.552)."""
    impedance: Impedance
    """Of the port towards a telephone: one of `boards.lines.Impedance`."""
    language: str
    """Of its people, as far as the voice menu speaks it."""
    answer_reversal: bool
    """The feed is reversed while a called party has answered."""
    caller_id: str
    """Name of the usual scheme (`hal.caller_id.schemes`)."""


def load_country(code: str) -> Country:
    """The country of a code of `country_codes()`.

    Raises:
        KeyError: there are no data for it.
    """
    rows: dict[str, Any] = tomllib.loads(_FILE.read_text("utf-8"))
    row = rows[code]
    data = rows[row["like"]] if "like" in row else row
    tones = {name: _tone(data[name]) for name in TONES}
    dial = tones["dial"]
    tones["stutter"] = Tone(
        dial.hz, dial.dbm0, (), intro_ms=(_STUTTER_MS, _STUTTER_MS) * _STUTTER_BURSTS
    )
    # After a flash or a service code (GR-506: recall dial tone, confirmation tone).
    for name in ("recall", "confirm"):
        bursts = (_STUTTER_MS, _STUTTER_MS) * _RECALL_BURSTS
        tones[name] = Tone(dial.hz, dial.dbm0, (), intro_ms=bursts)
    # The second dial tone, after a prefix for an outside line, is told apart by its pitch.
    tones["outside"] = Tone(tuple(hz * 6 // 5 for hz in dial.hz), dial.dbm0 - _OUTSIDE_BY_DB, ())
    tones["silence"] = Tone((), -90.0, ())
    low, high = data["flash_ms"]
    ring = RingCadence(tuple(data["ring"]["pattern_ms"]), data["ring"]["hz"])
    return Country(
        code=code,
        name=row["name"],
        ring=ring,
        flash_ms=(low, high),
        tones=tones,
        emergency=tuple(data["emergency"]),
        cpc_ms=data["cpc_ms"],
        cpc_delay_ms=data["cpc_delay_ms"],
        gain_db=(data["gain_db"][0], data["gain_db"][1]),
        impedance=data["impedance"],
        language=data["language"],
        answer_reversal=data["answer_reversal"],
        caller_id=data["caller_id"],
    )


def country_codes() -> tuple[str, ...]:
    """Codes of all countries that there are data for."""
    return tuple(tomllib.loads(_FILE.read_text("utf-8")))


def _tone(row: dict[str, Any]) -> Tone:
    return Tone(
        tuple(row["hz"]),
        float(row["dbm0"]),
        tuple(row.get("cadence_ms", ())),
        weaker_db=tuple(row.get("weaker", ())),
    )
