"""Accounts, DIDs, carriers and the plans that a call follows: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Literal, NamedTuple

from host.charging.values import BilledLeg, CarrierCost, DayLimit, Money
from host.numbering.routings import Routing

Route = Literal["value", "premium"]
Plan = Literal["per-minute", "flat", "international", "toll-free"]
CallToken = Literal["yes", "no", "auto"]
Encryption = Literal["no", "offer", "require"]


class Bounds(NamedTuple):
    """What an account may do, beyond what every account has. Those of a main account that are
    about money and time hold for its sub-accounts, too."""

    protocol: Literal["any", "sip", "iax2"] = "any"
    codecs: tuple[str, ...] = ()
    """Empty: all."""
    routes: tuple[Route | Literal[""], ...] = ("", "", "")
    """For the United States, Canada, elsewhere; empty: as the account's own."""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """It is believed from these alone; empty: from everywhere."""
    pops: tuple[str, ...] = ()
    """It may use these alone; empty: all."""
    countries: frozenset[str] = frozenset()
    """ISO 3166-1 of those that it may call; empty: all."""
    max_per_minute: Money | None = None
    max_call_ms: int = 0
    """0: as long as any call."""
    blocked: tuple[str, ...] = ()
    """How numbers begin (E.164) that it may not call."""
    day_spend: tuple[DayLimit, ...] = ()
    day_calls: tuple[DayLimit, ...] = ()
    own_channels: int | None = None
    """Of a sub-account, besides the main account's."""

    def believes(self, address: str, pop: str, protocol: Literal["sip", "iax2"]) -> str:
        """Why the account may not come from there; empty: it may."""
        if self.protocol not in ("any", protocol):
            return f"it uses {self.protocol}, not {protocol}"
        if self.pops and pop not in self.pops:
            return f"not at POP {pop}"
        if self.networks:
            source = ip_address(address)
            if not any(source in network for network in self.networks):
                return f"not from {address}"
        return ""


FREELY = Bounds()
"""Of accounts that have none: one for all of them."""


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
    iax2: bool = False
    """May use IAX2."""
    iax2_secret: str = ""
    """Its password, which IAX2's MD5 needs (RFC 5456, 8.6.15); empty: known by address alone."""
    call_token: CallToken = "yes"
    """Whether a call token is asked for (AST-2009-006); auto: once it has shown that it can."""
    encryption: Encryption = "no"
    """Of its calls over IAX2."""
    trunk: bool = False
    """Voice to it goes in meta frames, many calls in one datagram (RFC 5456, 8.1.3)."""
    below_cost: bool = False
    """Its calls go out even where a carrier charges more than they bring."""
    bounds: Bounds = FREELY


@dataclass(frozen=True, slots=True)
class Carrier:
    """Where calls go out, and whose incoming calls are believed."""

    name: str
    address: str
    port: int
    transport: Literal["udp", "tcp", "tls", "iax2"]
    prefix: str = ""
    """Put before the number (digits without `+`) in the Request-URI."""
    media: Literal["relay", "direct"] = "relay"
    codecs: tuple[str, ...] = ("PCMU", "PCMA", "G722")
    username: str = ""
    """What we log in with, if the carrier asks: by digest over SIP, by MD5 over IAX2."""
    secret: str = ""
    call_token: CallToken = "yes"
    encryption: Encryption = "no"
    trunk: bool = False
    """As of an account; over IAX2 alone."""
    cost: CarrierCost | None = None
    """What it charges us for the number of a plan; None: not known."""

    @property
    def bridged(self) -> bool:
        """True when its leg ends media on this host by itself, without the relay."""
        return self.transport == "iax2"


@dataclass(frozen=True, slots=True)
class OutgoingPlan:
    """A call to the outside world."""

    number: str
    """E.164 with `+`."""
    legs: tuple[BilledLeg, ...]
    carriers: tuple[Carrier, ...]
    """Cheapest first; the next one is tried on 5xx, 408 and time-out."""
    max_talk_ms: int = 0
    """The account's own bound on one call; 0: none."""
    send: str = ""
    """What the carrier is sent, if not the number: of emergency numbers."""


Failovers = tuple[Routing | None, Routing | None, Routing | None]
"""Where a call goes when its first way is busy, cannot be reached, does not answer."""


@dataclass(frozen=True, slots=True)
class IncomingPlan:
    """A call to a DID."""

    number: str
    account: Account
    """Whose DID it is, and whose contacts ring unless `routing` says otherwise."""
    pop: str
    """Only contacts that registered at this POP ring."""
    legs: tuple[BilledLeg, ...]
    routing: Routing | None = None
    failovers: Failovers = (None, None, None)
    ring_s: int = 0
    """So long it rings; 0: as long as any call."""


class Forward(NamedTuple):
    """A number that calls are forwarded to."""

    number: str
    """E.164."""
    caller_id: str
    """Shown in place of the caller's; empty: the caller's."""


class GroupMember(NamedTuple):
    """One that a ring group rings."""

    routing: Routing
    delay_s: int
