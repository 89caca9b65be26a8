"""What /api/v2 takes and tells of carriers, POPs and DIDs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from host.api.v2.models import Asked, Instant, Media, Name, Number, Routing, Text, Told, Usd, Whole

CallToken = Literal["yes", "no", "auto"]
Encryption = Literal["no", "offer", "require"]
Plan = Literal["per-minute", "flat", "international", "toll-free"]


class Carrier(Told):
    name: str
    priority: int
    address: str
    port: int
    transport: Literal["udp", "tcp", "tls", "iax2"]
    source_port: int
    prefix: str
    media: Media
    codecs: list[str]
    enabled: bool
    username: str
    call_token: CallToken
    encryption: Encryption
    trunk: bool


class CarrierChange(Asked):
    address: Annotated[str, Field(json_schema_extra={"format": "ipv4"}, max_length=64)]
    port: Annotated[int, Field(ge=1, le=65_535), Whole] = 5060
    transport: Literal["udp", "tcp", "tls", "iax2"] = "udp"
    priority: Annotated[int, Field(ge=0, le=1_000_000), Whole] = 10
    source_port: Annotated[int, Field(ge=0, le=65_535), Whole] | None = None
    prefix: Annotated[str, Field(pattern=r"^[0-9*#+]{0,16}$")] = ""
    media: Media = "relay"
    codecs: Annotated[list[Literal["PCMU", "PCMA", "G722", "GSM"]], Field(min_length=1)] = Field(
        default=["PCMU", "PCMA", "G722"]
    )
    username: Annotated[str, Field(pattern=r"^[\x21-\x7e]{0,64}$")] = ""
    secret: Annotated[str, Field(pattern=r"^[\x21-\x7e]{0,128}$")] = ""
    enabled: bool = True


class Pop(Told):
    name: str
    description: str
    number: int
    country: str


class PopChange(Asked):
    description: Text = ""
    country: Annotated[str, Field(max_length=100)] = ""
    number: Annotated[int, Field(ge=1, le=1_000_000), Whole] | None = None


class Did(Told):
    number: str
    is_range: bool
    plan: Plan
    monthly: Usd
    per_minute: Usd
    channels: int
    pop: str
    account: str | None
    description: str
    state: Literal["active", "grace", "suspended"]
    routing: str = Field(description="Empty: the account's own devices.")
    failover_busy: str
    failover_unreachable: str
    failover_noanswer: str
    ring_s: int
    carrier_country: str
    ordered_at: Instant | None
    paid_until: Instant | None


class NewDid(Asked):
    number: Number
    plan: Plan = "per-minute"
    pop: Name = "default"
    account: Name | None = Field(
        default=None, description="Its own at once, without monthly fee; none: may be ordered."
    )
    carrier_country: Literal["United States", "Canada"] | None = Field(
        default=None, description="Of a toll-free number's carrier, which sets its price."
    )


class _Routings(Asked):
    description: Text | None = None
    routing: Routing | None = None
    failover_busy: Routing | None = None
    failover_unreachable: Routing | None = None
    failover_noanswer: Routing | None = None
    ring_s: Annotated[int, Field(ge=0, le=180), Whole] | None = None

    def routings(self) -> dict[str, Any]:
        """Those that were given."""
        names = {"routing", "failover_busy", "failover_unreachable", "failover_noanswer", "ring_s"}
        return self.model_dump(include=names, exclude_none=True)


class DidChange(_Routings):
    plan: Plan | None = None
    pop: Name | None = None
    account: Name | None = None


class DidOrder(_Routings):
    account: Name
    plan: Plan | None = None
    pop: Name | None = None
    test: bool = Field(default=False, description="All is checked, nothing done.")
