"""Accounts, DIDs, carriers and the plans that a call follows: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from host.charging.values import BilledLeg

Route = Literal["value", "premium"]
Plan = Literal["per-minute", "flat", "international"]


@dataclass(frozen=True, slots=True)
class Account:
    """An account, sub-account or PBX trunk as call control sees it."""

    id: int
    billing_id: int
    """The main account that pays and whose channels count."""
    username: str
    status: Literal["active", "blocked", "locked"]
    ha1_md5: str
    """MD5(username:realm:password), hex (RFC 7616, 3.4.2)."""
    ha1_sha256: str
    route: Route
    premium_fallback: bool
    channels: int
    calls_to_one_number: int
    caller_id: str
    """Number that is shown for its outgoing calls; empty: what the device sends, if allowed."""
    address: str = ""
    """A PBX that is known by its address (no digest): IP address; empty otherwise."""
    port: int = 0
    """Port of that PBX; 0: any."""
    contact: str = ""
    """SIP URI that a PBX trunk's incoming calls are sent to; empty: its registrations."""
    number_range: str = ""
    """A trunk's own numbers: a prefix in E.164 whose callers it may show and that it receives."""
    media: Literal["relay", "direct"] = "relay"
    international: bool = False
    """May call outside the North American Numbering Plan."""
    area_code: str = ""
    """Put before seven dialled digits; empty: seven digits are no number."""
    dial_rules: str = ""
    """`9=;00=+` : what a dialled number begins with, and what stands there instead."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """Where calls go out, and whose incoming calls are believed."""

    name: str
    address: str
    port: int
    transport: Literal["udp", "tcp", "tls"]
    prefix: str = ""
    """Put before the number (digits without `+`) in the Request-URI."""
    media: Literal["relay", "direct"] = "relay"
    codecs: tuple[str, ...] = ("PCMU", "PCMA", "G722")


@dataclass(frozen=True, slots=True)
class OutgoingPlan:
    """A call to the outside world."""

    number: str
    """E.164 with `+`."""
    legs: tuple[BilledLeg, ...]
    carriers: tuple[Carrier, ...]
    """In order; the next one is tried on 5xx, 408 and time-out."""


@dataclass(frozen=True, slots=True)
class IncomingPlan:
    """A call to a DID."""

    number: str
    account: Account
    """Whose contacts ring."""
    pop: str
    """Only contacts that registered at this POP ring."""
    legs: tuple[BilledLeg, ...]
