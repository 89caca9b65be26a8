"""What an endpoint is set to, and why it dropped what it dropped."""

from __future__ import annotations

from dataclasses import dataclass, fields

from firmware.wire.iax2.formats import Format

MAX_UNACKED = 127
"""Full frames under way: half of the sequence numbers. A peer that is further behind is gone."""
LINGER_S = 10.0
"""An ended call goes on to acknowledge the peer's retransmissions for so long."""
UNAUTHENTICATED_S = 10.0
"""A stranger has so long to authenticate; then it is forgotten."""
REGISTER_S = 32.0
"""A registration that has no answer after so long, whatever was acknowledged, has none."""
VNAK_S = 0.25
"""No VNAK sooner after another one."""
REPEAT_S = 0.1
"""Nor is one that soon after another answered, so that none makes much of little."""
RELEASE_S = 10.0
"""Who asked for a transfer has so long to leave (TXREL) once it is ready; then it is hung up."""
EARLY_FRAMES = 32
"""Full frames kept that came before one that is missing."""


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Limits and times of an endpoint."""

    formats: tuple[Format, ...] = (Format.ULAW, Format.ALAW)
    """Ours, the preferred one first."""
    max_calls: int = 8192
    """Of all calls, registrations and pokes."""
    max_calls_per_address: int = 2048
    """That one IP address opened."""
    max_unauthenticated_per_user: int = 3
    token_life_s: float = 10.0
    min_refresh_s: int = 60
    max_refresh_s: int = 3600
    ping_s: float = 20.0
    lag_s: float = 10.0
    """Between two LAGRQ."""
    tries: int = 4
    """Retransmissions of a full frame before the call is given up."""
    first_retry_s: float = 1.0
    """While no round trip has been measured; then twice the round trip."""
    min_retry_s: float = 0.5
    max_retry_s: float = 10.0
    transfers: bool = False
    """TRANSFER and TXREQ are told to the user; else they are refused."""
    trunk_ms: int = 20
    trunk_timestamps: bool = True
    trunk_octets: int = 1240
    """Largest trunk frame; more goes into another one."""


@dataclass(slots=True)
class Counters:
    """What was dropped or refused, and why."""

    malformed: int = 0
    unknown_call: int = 0
    undecipherable: int = 0
    meta_video: int = 0
    no_format: int = 0
    """Audio in a format that was not agreed on, or that nobody has announced."""
    token_asked: int = 0
    token_bad: int = 0
    token_missing: int = 0
    limit: int = 0
    """Refused by the limits of calls."""
    unauthenticated_limit: int = 0
    refused: int = 0
    """Turned away by the authority, or not among the trusted peers."""
    too_short_to_answer: int = 0
    """Not answered, since the answer would have been longer."""
    expired: int = 0
    """Strangers who did not authenticate in time."""
    unsupported: int = 0

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}
