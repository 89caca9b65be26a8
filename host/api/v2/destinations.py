"""Forwards, SIP URIs and ring groups: what a DID's calls may go to besides accounts."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from host.api.v2.models import Asked, Number, Text, Told, Whole
from host.api.v2.operator import Given
from host.api.v2.owned import Customer, IdPath, Owned, main_of
from host.api.v2.problems import responses
from host.numbering import destinations
from host.numbering.destinations import LONGEST_DELAY_S, MOST_MEMBERS

router = APIRouter(tags=["destinations"])

_ANY = r"[!#-;=?A-~]"
Uri = Annotated[
    str,
    Field(
        pattern=rf"^sips?:({_ANY}+@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{{1,5}})?$",
        max_length=255,
        examples=["sip:alice@203.0.113.5:5060"],
    ),
]
GroupName = Annotated[str, Field(min_length=1, max_length=100, examples=["desk"])]


class Forward(Told):
    id: int = Field(description="Route a DID to `fwd:ID`.")
    account: str
    number: str
    caller_id: str = Field(description="Shown in place of the caller's; empty: the caller's.")
    description: str


class NewForward(Asked):
    number: Number
    caller_id: Literal[""] | Number = ""
    description: Text = ""


class ForwardChange(Asked):
    number: Number | None = None
    caller_id: Literal[""] | Number | None = None
    description: Text | None = None


class SipUri(Told):
    id: int = Field(description="Route a DID to `sip:ID`.")
    account: str
    uri: str
    description: str


class NewSipUri(Asked):
    uri: Uri
    description: Text = ""


class SipUriChange(Asked):
    uri: Uri | None = None
    description: Text | None = None


class ToldMember(Told):
    target: str
    delay_s: int = Field(description="It begins to ring so long after the first.")


class Member(Asked):
    target: Annotated[
        str,
        Field(
            pattern=r"^(account:[A-Za-z0-9_.-]{1,64}|(fwd|sip):[0-9]{1,18})$",
            description="`account:NAME`, `fwd:ID` or `sip:ID`",
            examples=["account:alice"],
        ),
    ]
    delay_s: Annotated[int, Field(ge=0, le=LONGEST_DELAY_S), Whole] = 0

    def value(self) -> destinations.Member:
        return destinations.Member(self.target, self.delay_s)


Members = Annotated[list[Member], Field(min_length=1, max_length=MOST_MEMBERS)]


class RingGroup(Told):
    id: int = Field(description="Route a DID to `grp:ID`.")
    account: str
    name: str
    members: list[ToldMember]


class NewRingGroup(Asked):
    name: GroupName
    members: Members


class RingGroupChange(Asked):
    name: GroupName | None = None
    members: Members | None = Field(default=None, description="In place of those before.")


_UNUSED = " that nothing goes to"
FORWARDS = Owned(
    "forward",
    "forwards",
    Forward,
    destinations.forwardings,
    destinations.remove_forwarding,
    _UNUSED,
    facts="forwarding",
)
SIP_URIS = Owned(
    "SIP URI",
    "sip-uris",
    SipUri,
    destinations.sip_uris,
    destinations.remove_sip_uri,
    _UNUSED,
)
RING_GROUPS = Owned(
    "ring group",
    "ring-groups",
    RingGroup,
    destinations.ring_groups,
    destinations.remove_ring_group,
    _UNUSED,
    facts="ring group",
)
for kind in (FORWARDS, SIP_URIS, RING_GROUPS):
    kind.add_to(router)


@router.post(
    "/accounts/{username}/forwards",
    status_code=HTTPStatus.CREATED,
    summary="Forward to a number: calls are charged as the customer's own to it",
    responses=responses(404, 409),
)
def add_forward(services: Given, username: Customer, asked: NewForward) -> Forward:
    with services.store.writing() as conn:
        main_of(conn, username)
        made = destinations.set_forwarding(conn, username, **asked.model_dump())
        return FORWARDS.one(conn, username, made)


@router.patch(
    "/accounts/{username}/forwards/{id}",
    summary="Change a forward",
    responses=responses(404, 409),
)
def change_forward(
    services: Given, username: Customer, number: IdPath, asked: ForwardChange
) -> Forward:
    with services.store.writing() as conn:
        values = FORWARDS.changed(conn, username, number, asked)
        destinations.set_forwarding(conn, username, id=number, **values)
        return FORWARDS.one(conn, username, number)


@router.post(
    "/accounts/{username}/sip-uris",
    status_code=HTTPStatus.CREATED,
    summary="Send calls to a SIP URI",
    responses=responses(404, 409),
)
def add_sip_uri(services: Given, username: Customer, asked: NewSipUri) -> SipUri:
    with services.store.writing() as conn:
        main_of(conn, username)
        made = destinations.set_sip_uri(conn, username, **asked.model_dump())
        return SIP_URIS.one(conn, username, made)


@router.patch(
    "/accounts/{username}/sip-uris/{id}",
    summary="Change a SIP URI",
    responses=responses(404, 409),
)
def change_sip_uri(
    services: Given, username: Customer, number: IdPath, asked: SipUriChange
) -> SipUri:
    with services.store.writing() as conn:
        values = SIP_URIS.changed(conn, username, number, asked)
        destinations.set_sip_uri(conn, username, id=number, **values)
        return SIP_URIS.one(conn, username, number)


@router.post(
    "/accounts/{username}/ring-groups",
    status_code=HTTPStatus.CREATED,
    summary="Let several ring for one call; the first to answer has it",
    responses=responses(404, 409),
)
def add_ring_group(services: Given, username: Customer, asked: NewRingGroup) -> RingGroup:
    members = [one.value() for one in asked.members]
    with services.store.writing() as conn:
        main_of(conn, username)
        made = destinations.set_ring_group(conn, username, asked.name, members)
        return RING_GROUPS.one(conn, username, made)


@router.patch(
    "/accounts/{username}/ring-groups/{id}",
    summary="Name a ring group anew, or let others ring",
    responses=responses(404, 409),
)
def change_ring_group(
    services: Given, username: Customer, number: IdPath, asked: RingGroupChange
) -> RingGroup:
    with services.store.writing() as conn:
        before = RING_GROUPS.one(conn, username, number)
        members = destinations.members_of(conn, number)
        if asked.members is not None:
            members = tuple(one.value() for one in asked.members)
        destinations.set_ring_group(conn, username, asked.name or before.name, members, id=number)
        return RING_GROUPS.one(conn, username, number)
