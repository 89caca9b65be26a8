"""Schemes of caller ID by country (`schemes.toml`), and the audio that each sends."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from hal.caller_id.message import Caller, Format, Message, call_message, waiting_message
from hal.dsp import data
from hal.dsp.data import Modem

_FILE = Path(__file__).parent / "schemes.toml"
OFF = "off"
"""In the place of a scheme's name: no caller ID at all."""
_SEIZURE_BITS = 300
_MARK_BITS = 180
_TALKING_MARK_BITS = 80
"""During a call: no channel seizure, 80 mark bits (GR-30, 2.5; EN 300 659-2)."""
_ALERT_DBM0 = -15.0
"""Level of each frequency of CAS (GR-30, 2.5); DT-AS is heard from -40 to -10 dBV."""
_MOST_NAME = {"bell202": 15, "v23": 50}


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a country's telephones are told who calls. Times in milliseconds."""

    name: str
    description: str
    countries: tuple[str, ...]
    signal: str
    """`bell202`, `v23` or `dtmf`."""
    message: tuple[str, ...]
    """FSK: the format. DTMF: with a number, withheld, unknown."""
    level_dbm0: float
    """Of FSK."""
    mark_bits: int
    after_ring: bool
    reversal: bool
    pulse_ms: int
    wait_ms: int
    tone_ms: int
    tone_pause_ms: int
    rest_ms: int
    waiting_ms: int
    """Length of CAS; 0: no caller ID on call waiting."""
    lamp: str
    """Format of VMWI, or `none`."""

    def call_clip(self, caller: Caller, local: datetime | None) -> bytes:
        """Alerting tone and data of a call, as one clip; empty if this scheme has nothing to say.

        Raises:
            LineFault: libspandsp is not installed.
        """
        if self.signal == "dtmf":
            digits = self._digits(caller)
            return self._alert() + data.dtmf(digits) if digits else b""
        return self._alert() + self._fsk(self._call(caller, local), talking=False)

    def lamp_clip(self, waiting: bool) -> bytes:
        """Alerting tone and VMWI as one clip; empty if this scheme has none.

        Raises:
            LineFault: libspandsp is not installed.
        """
        if self.lamp == "none":
            return b""
        return self._alert() + self._fsk(
            waiting_message(waiting, cast(Format, self.lamp)), talking=False
        )

    def cas_clip(self) -> bytes:
        """CAS, for a telephone that talks (type II); empty if this scheme has none."""
        return data.alert_tone(self.waiting_ms, _ALERT_DBM0) if self.waiting_ms else b""

    def talking_clip(self, caller: Caller, local: datetime | None) -> bytes:
        """Data of a second call for a telephone that has acknowledged CAS.

        Raises:
            LineFault: libspandsp is not installed.
        """
        assert self.waiting_ms, "this scheme has a type II"
        return self._fsk(self._call(caller, local), talking=True)

    def _alert(self) -> bytes:
        if not self.tone_ms:
            return b""
        return data.alert_tone(self.tone_ms, _ALERT_DBM0) + data.pause(self.tone_pause_ms)

    def _call(self, caller: Caller, local: datetime | None) -> Message:
        european = self.signal == "v23"
        return call_message(
            caller,
            local,
            cast(Format, self.message[0]),
            most_name=_MOST_NAME[self.signal],
            keep_plus=european,
            call_type=european,
        )

    def _fsk(self, message: Message, talking: bool) -> bytes:
        return data.fsk(
            message.to_bytes(),
            cast(Modem, self.signal),
            self.level_dbm0,
            0 if talking else _SEIZURE_BITS,
            _TALKING_MARK_BITS if talking else self.mark_bits,
        )

    def _digits(self, caller: Caller) -> str:
        number = caller.digits()
        if number:
            return self.message[0].format(number=number)
        return self.message[1 if caller.withheld else 2]


def load_scheme(name: str) -> Scheme | None:
    """The scheme of a name of `scheme_names()`; None for `off`.

    Raises:
        KeyError: there is no such scheme.
    """
    return None if name == OFF else _scheme(name, _rows()[name])


def scheme_names() -> tuple[str, ...]:
    """All schemes, and `off`."""
    return (*_rows(), OFF)


@lru_cache(maxsize=1)
def _rows() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text("utf-8"))


def _scheme(name: str, row: dict[str, Any]) -> Scheme:
    message = row["message"]
    tone_ms, tone_pause_ms = row.get("tone", (0, 0))
    return Scheme(
        name=name,
        description=row["description"],
        countries=tuple(row["countries"].split()),
        signal=row["signal"],
        message=(message,) if isinstance(message, str) else tuple(message),
        level_dbm0=row.get("level_dbm0", 0.0),
        mark_bits=row.get("mark_bits", _MARK_BITS),
        after_ring=row["when"] == "after_ring",
        reversal=row.get("reversal", False),
        pulse_ms=row.get("pulse", 0),
        wait_ms=row["wait"],
        tone_ms=tone_ms,
        tone_pause_ms=tone_pause_ms,
        rest_ms=row["rest"],
        waiting_ms=row.get("waiting", 0),
        lamp=row.get("lamp", "none"),
    )
