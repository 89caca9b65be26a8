"""What /api/v2 takes and tells. Amounts are text in USD, instants UTC in ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from host.charging.money import format_usd, parse_usd
from host.numbering.provisioning import NO_LIMIT

T = TypeVar("T")
_STORED = 9_223_372_036_854_775_807
"""The largest number that a store keeps."""

Usd = Annotated[
    str,
    BeforeValidator(lambda units: format_usd(units) if isinstance(units, int) else units),
    Field(description="USD, exact to 8 decimals", examples=["0.0052"]),
]
Instant = Annotated[
    datetime,
    BeforeValidator(
        lambda ms: datetime.fromtimestamp(ms / 1000, UTC) if isinstance(ms, int) else ms
    ),
]


def _iso(value: object) -> object:
    """Not seconds since 1970, which a date and time may be to pydantic, too."""
    if isinstance(value, str) and not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", value):
        raise ValueError("write it as 2027-01-31T00:00:00Z")
    return value


Moment = Annotated[datetime, BeforeValidator(_iso)]
"""What is asked for."""
Id = Annotated[int, Field(ge=0, le=_STORED)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", examples=["alice"])]
Whole = BeforeValidator(lambda n: int(n) if isinstance(n, float) and n.is_integer() else n)
"""In JSON 7.0 is a whole number, too; text and booleans are none. It stands behind the bounds."""
Count = Annotated[int, Field(ge=0, le=1_000_000), Whole]
Limit = Annotated[int, Field(ge=1, le=1_000)]
Route = Literal["value", "premium"]
Media = Literal["relay", "direct"]
Routing = Annotated[
    str,
    Field(
        pattern=r"^$|^(account|fwd|sip|grp|sys|none):[A-Za-z0-9_.-]{0,64}$",
        description="`account:NAME`, `fwd:ID`, `sip:ID`, `grp:ID`, `sys:busy`, `none:`, or empty",
    ),
]
Target = Annotated[
    str,
    Field(
        pattern=r"^(account|fwd|sip|grp|sys|none):[A-Za-z0-9_.-]{0,64}$",
        description="As of a DID's routing, but not empty.",
        examples=["sys:busy"],
    ),
]
Text = Annotated[str, Field(max_length=200)]
Number = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$", examples=["+12125550100"])]


def utc_ms(instant: datetime | None) -> int | None:
    """Milliseconds since 1970; what names no zone is UTC."""
    if instant is None:
        return None
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return round((aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


class Told(BaseModel):
    """What is told; made of rows by column name."""

    model_config = ConfigDict(extra="ignore")


class Asked(BaseModel):
    """What is taken: nothing that is not described."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Page(BaseModel, Generic[T]):
    """A part of a list."""

    items: list[T]
    next: str | None = Field(
        default=None, description="Give it as `after` for the next part; null: this is the last."
    )


class Account(Told):
    id: int
    username: str
    parent: str | None
    status: Literal["active", "blocked", "locked"]
    route: Route
    premium_fallback: bool
    international: bool
    channels: int
    calls_to_one_number: int
    caller_id: str
    area_code: str
    address: str
    port: int
    contact: str
    number_range: str
    media: Media
    iax2: bool
    description: str
    protocol: Literal["any", "sip", "iax2"]
    codecs: str
    route_us: Literal["", "value", "premium"]
    route_canada: Literal["", "value", "premium"]
    route_international: Literal["", "value", "premium"]
    own_channels: int | None
    networks: str
    pops: str
    countries: str
    max_per_minute: Usd | None
    max_call_s: int | None
    daily_spend: Usd | None
    daily_to_one_number: int | None
    funds: Usd
    held: Usd
    debt: Usd


def units_of(name: str, value: Any) -> Any:
    """What is asked for, as it is stored."""
    if name in ("max_per_minute", "daily_spend"):
        return NO_LIMIT if value == "-1" else parse_usd(value)
    return int(value) if isinstance(value, bool) else value


Bound = Annotated[int, Field(ge=-1, le=1_000_000, description="-1: none"), Whole]
UsdBound = Annotated[
    str,
    Field(pattern=r"^(-1|[0-9]{1,7}(\.[0-9]{1,8})?)$", description="USD; -1: none", examples=["5"]),
]


class _AccountColumns(Asked):
    route: Route | None = None
    premium_fallback: bool | None = None
    international: bool | None = None
    channels: Count | None = None
    calls_to_one_number: Count | None = None
    caller_id: Literal[""] | Number | None = None
    description: Text | None = None
    protocol: Literal["any", "sip", "iax2"] | None = None
    codecs: Annotated[str, Field(max_length=100)] | None = None
    route_us: Literal["", "value", "premium"] | None = None
    route_canada: Literal["", "value", "premium"] | None = None
    route_international: Literal["", "value", "premium"] | None = None
    own_channels: Bound | None = None
    networks: Annotated[str, Field(max_length=1_000)] | None = None
    pops: Annotated[str, Field(max_length=1_000)] | None = None
    countries: Annotated[str, Field(max_length=1_000)] | None = None
    max_per_minute: UsdBound | None = None
    max_call_s: Bound | None = None
    daily_spend: UsdBound | None = None
    daily_to_one_number: Bound | None = None

    def columns(self) -> dict[str, Any]:
        """Those that were given."""
        return {
            name: units_of(name, value)
            for name, value in self.model_dump(exclude={"username", "password", "parent"}).items()
            if value is not None
        }


class NewAccount(_AccountColumns):
    username: Name
    password: Annotated[str, Field(min_length=8, max_length=128)] | None = Field(
        default=None, description="Made and told this once when not given."
    )
    parent: Name | None = Field(default=None, description="Main account that pays for this one.")


class MadeAccount(Told):
    id: int
    username: str
    password: str | None = Field(description="Null when it was given; it is kept nowhere.")


class AccountChange(_AccountColumns):
    status: Literal["active", "blocked"] | None = None


class Funds(Told):
    account: str
    funds: Usd
    held: Usd
    available: Usd
    debt: Usd


class Transaction(Told):
    id: int
    at: Instant
    kind: Literal["payment", "fee", "call", "refund", "chargeback", "debt"]
    amount: Usd
    note: str


class Deck(Told):
    id: int
    carrier: str = Field(description="Whose charges these are; empty: what customers pay.")
    name: str
    state: Literal["loading", "ready"]
    effective_at: Instant
    rates: int
    in_force: bool
    below_cost: bool


class ImportedDeck(Told):
    deck: int
    imported: int
    total: int
    effective_at: Instant
    followed_by: list[int]


class LiveCall(Told):
    call_id: str
    account: str
    direction: Literal["out", "in"]
    caller: str
    callee: str
    carrier: str
    started_at: Instant
    answered_at: Instant | None
    granted_ms: int
    held: Usd
    host_id: str


class Registration(Told):
    account_id: int
    account: str
    contact: str
    pop: str
    protocol: Literal["SIP", "IAX2"]
    transport: Literal["udp", "tcp", "tls"]
    address: str
    port: int
    expires_s: int
    user_agent: str


class Cdr(Told):
    id: int
    call_id: str
    leg: int | None
    account: str
    direction: Literal["out", "in"]
    caller: str
    callee: str
    started_at: Instant
    answered_at: Instant | None
    ended_at: Instant | None
    talk_ms: int
    billed_ms: int
    cost: Usd
    per_minute: Usd
    route: str
    tariff_ref: str
    carrier: str
    carrier_cost: Usd | None
    margin: Usd | None
    disposition: str
    cause: int | None
    ended_by: str
    reason: str
    detail: str
    host_id: str
