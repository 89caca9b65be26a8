"""What is measured, and how far it is to reach."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is measured."""

    name: str
    unit: str
    title: str
    reach: float | None
    """None: no figure is asked for."""
    of: Literal["value", "ratio"] = "value"
    better: Literal["less", "more"] = "less"


MEASURES = (
    Measure("sip_call_cpu_ms", "ms", "a call with digest, 50/s", 0.3, "ratio"),
    Measure("sip_setup_ms", "ms", "from INVITE to 200, of them 100 the carrier's, 50/s", None),
    Measure("sip_call_noauth_cpu_ms", "ms", "a call known by address, 50/s", None),
    Measure("sip_call_relayed_cpu_ms", "ms", "a call with digest and relay, 50/s", None),
    Measure("sip_call_cpu_ms_loaded", "ms", "a call with digest, 400/s", 1.2),
    Measure("sip_call_rate", "1/s", "highest rate of calls with digest", 600, better="more"),
    Measure("register_cpu_ms", "ms", "a registration with digest, 1,000/s", 0.25),
    Measure("host_rss_mb", "MB", "resident memory after the load of 400/s", 80),
    Measure("host_rss_growth_mb", "MB", "growth from 2,000 to 10,000 calls, 50/s", 2),
    Measure("iax2_leg_cpu_ms", "ms", "a leg-second, IAX2 to IAX2, 50 calls", 1.5),
    Measure("iax2_trunk_leg_cpu_ms", "ms", "a leg-second, trunk to trunk, 50 calls", 0.8),
    Measure("iax2_sip_leg_cpu_ms", "ms", "a leg-second, IAX2 to SIP, 50 calls", 2.0),
    Measure("iax2_setup_cpu_ms", "ms", "a call between two IAX2 legs, 50/s", 2.0),
    Measure(
        "authorize_rate", "1/s", "authorisations, durable, in batches of 64", 0.3, "ratio", "more"
    ),
    Measure("settle_rate", "1/s", "settlements, durable, in batches of 64", 0.3, "ratio", "more"),
    Measure("postgres_authorize_rate", "1/s", "the same in PostgreSQL", 0.3, "ratio", "more"),
    Measure("postgres_settle_rate", "1/s", "the same in PostgreSQL", 0.3, "ratio", "more"),
    Measure("rate_lookup_us", "us", "a number among 1,000,000 prefixes", 3),
    Measure("rate_import_s", "s", "a deck of 1,000,000 lines, two routes", 60),
    Measure("million_rates_rss_mb", "MB", "resident memory with 1,000,000 prefixes", None),
    Measure("device_rss_mb", "MB", "resident memory of a device in a call", 40),
    Measure("device_cpu_pct", "%", "of a core, a device in a call", 7),
    Measure("iax2_device_rss_mb", "MB", "resident memory of an IAX2 device in a call", 26),
    Measure("iax2_device_cpu_pct", "%", "of a core, an IAX2 device in a call", 7),
    Measure("iax2_device_encrypted_rss_mb", "MB", "the same, its call encrypted", 36),
    Measure("dtmf_us_per_frame", "us", "DTMF receiver, a frame of 20 ms", None),
    Measure("line_cpu_pct", "%", "of a core, echo canceller and DTMF receiver of a port", 3),
    Measure("mouth_to_ear_ms", "ms", "handset to handset, jitter buffers of 40 ms", 90),
    Measure("mouth_to_ear_p95_ms", "ms", "the same, 95 of a hundred calls", None),
)
BY_NAME = {measure.name: measure for measure in MEASURES}


@dataclass(frozen=True, slots=True)
class Figure:
    """What came out of one measure: the median of its runs."""

    measure: Measure
    value: float
    peer: str | None = None
    peer_value: float | None = None
    runs: tuple[float, ...] = ()
    """All runs, where there were several."""
    peer_runs: tuple[float, ...] = ()
    yardstick_ms: float | None = None
    """What the yardstick took before and after, on average."""

    @staticmethod
    def of(
        name: str, runs: list[float], peer: str | None = None, peer_runs: list[float] | None = None
    ) -> Figure:
        """Medians of runs."""
        theirs = statistics.median(peer_runs) if peer_runs else None
        return Figure(
            BY_NAME[name],
            statistics.median(runs),
            peer if peer_runs else None,
            theirs,
            tuple(runs),
            tuple(peer_runs or ()),
        )

    @property
    def ratio(self) -> float | None:
        """Ours by the peer's."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def reached(self) -> bool | None:
        """None when there is nothing to reach, or nothing to compare with."""
        got = self.value if self.measure.of == "value" else self.ratio
        if got is None or self.measure.reach is None:
            return None
        return (
            got <= self.measure.reach
            if self.measure.better == "less"
            else (got >= self.measure.reach)
        )

    @property
    def reach(self) -> str:
        """What is to be reached, in words."""
        measure = self.measure
        if measure.reach is None:
            return ""
        sign = "<=" if measure.better == "less" else ">="
        what = (
            f"{measure.reach:g} {measure.unit}"
            if measure.of == "value"
            else (f"{measure.reach:g} of the peer")
        )
        return f"{sign} {what}"

    def as_json(self) -> dict[str, Any]:
        """One object of `--json`."""
        return {
            "name": self.measure.name,
            "value": _rounded(self.value),
            "unit": self.measure.unit,
            "peer": self.peer,
            "peer_value": _rounded(self.peer_value),
            "ratio": _rounded(self.ratio),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
