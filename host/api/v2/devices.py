"""Devices, as they were last seen, and the last tests of their lines."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

from host.api.v2.models import Instant, Page, Told
from host.api.v2.operator import Given
from host.api.v2.pages import AfterName, HowMany, page
from host.api.v2.problems import not_found, responses
from host.devices import registry, reports
from host.numbering.provisioning import ProvisioningError
from host.store.connection import Connection

router = APIRouter(tags=["devices"])

Mac = Annotated[str, Path(pattern=r"^[0-9a-f]{12}$", examples=["02005e100001"])]


class LineTest(Told):
    test: str
    verdict: str = Field(description="pass, fail or not measurable.")
    measures: str
    faults: str = Field(description="Names of the measures beyond the limits.")
    note: str


class LineTests(Told):
    line: str
    at: Instant
    failed: bool
    tests: list[LineTest]


class Device(Told):
    mac: str
    board: str
    account: str = Field(description="User name that it registers as; empty: not known.")
    description: str
    version: int = Field(description="Of the image that it runs; 0: none, or not known.")
    label: str
    slot: str
    wanted_version: int | None = Field(description="Null: it keeps what it runs.")
    configured: bool = Field(description="It has a configuration here.")
    config_taken: bool = Field(description="And uses it.")
    has_secret: bool
    seen_at: Instant | None
    source: str
    problems: list[str]


class DeviceWithLines(Device):
    line_tests: list[LineTests] = Field(
        description="Of each line the last tests, and the last that found a fault."
    )


@router.get("/devices", summary="Devices by MAC address")
def devices(
    services: Given,
    board: Annotated[str | None, Query(max_length=64, description="With it alone.")] = None,
    after: AfterName = "",
    limit: HowMany = 100,
) -> Page[Device]:
    with services.store.reading() as conn:
        found = registry.devices(conn, after)
    rows = [_row(one) for one in found if board in (None, one.board)]
    return page(Device, rows[: limit + 1], limit, lambda row: row["mac"])


@router.get("/devices/{mac}", summary="One device, and how its lines are", responses=responses(404))
def device(services: Given, mac: Mac) -> DeviceWithLines:
    with services.store.reading() as conn:
        row = _row(_known(conn, mac))
        row["line_tests"] = [
            {**one._asdict(), "at": one.utc_ms} for one in reports.line_tests(conn, mac)
        ]
    return DeviceWithLines.model_validate(row)


def _known(conn: Connection, mac: str) -> registry.Device:
    try:
        return registry.device(conn, mac)
    except ProvisioningError as error:
        raise not_found(str(error)) from None


def _row(one: registry.Device) -> dict[str, Any]:
    return {**one._asdict(), "seen_at": one.seen_utc_ms}
