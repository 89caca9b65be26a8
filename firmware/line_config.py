"""The telephone line's part of the configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from boards.lines import Impedance
from boards.schema import setting
from firmware.digitmap import KEYS, MOST_DIGITS, DigitMap, DigitMapError
from hal.caller_id.schemes import scheme_names

NORTH_AMERICA = (
    "(*xx|[2-9]11|0|00|<:1>[2-9][02-9]x[2-9]xxxxxx|<:1>[2-9]1[02-9][2-9]xxxxxx"
    "|1[2-9]xx[2-9]xxxxxx|011xxxxxxx.)"
)
"""Service codes, N11 at once, ten and eleven digits (sent with the 1), 011 international."""


def _check_map(text: str) -> str:
    try:
        DigitMap(text)
    except DigitMapError as error:
        return str(error)
    return ""


def _check_scheme(text: str) -> str:
    if text and text not in scheme_names():
        return f"there is no scheme {text!r}"
    return ""


def _check_number(text: str) -> str:
    if len(text) > MOST_DIGITS or not set(text) <= set(KEYS):
        return f"`{text}` cannot be dialled"
    return ""


@dataclass(frozen=True, slots=True)
class LineConfig:
    """The telephone line."""

    country: Literal["US", "CA", "UK", "DE", "FR", "AU", "BR"] = "US"
    digit_map: str = setting(NORTH_AMERICA, check=_check_map)
    terminator: Literal["#", "*", ""] = "#"
    control: str = ""
    """Overrides the board file's `control` of a simulated handset."""
    pulse: bool = True
    flash: bool = True
    flash_as: Literal["local", "event", "info"] = "local"
    """What a flash in a call is: hold and three-way here, or RFC 4733 event 16, or INFO."""
    flash_least_ms: int = setting(0, least=0, most=2_000)
    """0: as usual in the country."""
    flash_most_ms: int = setting(0, least=0, most=2_000)
    caller_id: str = setting(
        "",
        check=_check_scheme,
        remedy=f'choose one of {", ".join(scheme_names())}, or "" for the country\'s',
    )
    """Scheme of caller ID; empty: as usual in the country."""
    hang_up_ms: int = setting(400, least=100, most=5_000)
    dial_tone_s: float = setting(15.0, least=1, most=600)
    interdigit_long_s: float = setting(10.0, least=0.5, most=60)
    interdigit_short_s: float = setting(3.0, least=0.5, most=60)
    ring_s: float = setting(180.0, least=5, most=600)
    warning_s: float = setting(60.0, least=1, most=600)
    howler_s: float = setting(50.0, least=0, most=600)
    after_hang_up: Literal["reorder", "dial", "silence"] = "reorder"
    cpc_ms: int = setting(0, least=-1, most=2_000)
    """So long the loop opens when the far end has hung up; -1: as usual in the country."""
    cpc_delay_ms: int = setting(-1, least=-1, most=10_000)
    answer_reversal: Literal["country", "on", "off"] = "country"
    """Reverse the feed while a called party has answered."""
    call_waiting: bool = True
    transfer_on_hang_up: bool = True
    """Who hangs up on two calls of his own joins them."""
    withhold_caller_id: bool = False
    forward_by: Literal["device", "redirect"] = "device"
    """Forwarded calls are joined to a call of the device's own, or sent away (SIP 302)."""
    no_answer_s: float = setting(20.0, least=5, most=180)
    hotline: str = setting("", check=_check_number, remedy="write digits, * and #")
    """Number that is dialled for whoever lifts the receiver."""
    hotline_s: float = setting(0.0, least=0, most=60)
    """Only if he has pressed no key for so long; 0: at once."""
    emergency: tuple[str, ...] = setting((), check=_check_number, remedy="write digits")
    """Numbers that nothing bars; none: as usual in the country."""
    transmit_db: float | None = setting(None, least=-12, most=12)
    """Gain of what the telephone says; unless set, as usual in the country."""
    receive_db: float | None = setting(None, least=-12, most=12)
    impedance: Impedance = ""
    """Towards the telephone, where the port can; empty: as usual in the country."""
    fax: Literal["auto", "on", "off"] = "auto"
    """Calls become data calls by the tones of fax machines and modems, from their beginning, or
    never."""
    fax_jitter_ms: int = setting(200, least=40, most=500)
    """So long every frame of a data call waits for late ones."""
    language: Literal["", "en", "fr", "es"] = ""
    """Of the voice menu; empty: as usual in the country, where it speaks that."""

    @staticmethod
    def problem(value: LineConfig) -> tuple[str, str, str] | None:
        """What no annotation can say: key, what is wrong, remedy."""
        if value.flash_most_ms and value.flash_most_ms <= value.flash_least_ms:
            return "flash_most_ms", "is not more than flash_least_ms", "raise it"
        return None
