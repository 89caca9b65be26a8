"""Live calls, and the records of those that are over."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query

from host.api.totals import first_call
from host.api.v2.models import Cdr, LiveCall, Moment, Page, utc_ms
from host.api.v2.operator import Given
from host.api.v2.pages import AfterId, HowMany, page, rows_of
from host.api.v2.problems import Refusal, not_found, responses

router = APIRouter(tags=["calls"])

_LIVE = """
SELECT id, call_id, account, direction, caller, callee, carrier, started_utc_ms, answered_utc_ms,
    granted_ms, (SELECT coalesce(sum(amount), 0) FROM hold WHERE hold.call = call.id
        AND hold.state = 'pending') AS held, host_id
FROM call WHERE state = 'open' AND id > ? ORDER BY id LIMIT ?"""
_CDRS = """
SELECT * FROM cdr WHERE id < ? AND id >= ? AND started_utc_ms >= ? AND started_utc_ms < ?
    AND (? = '' OR account = ?) ORDER BY id DESC, leg LIMIT ?"""
_NEWEST = 9_223_372_036_854_775_807


@router.get("/calls", summary="Live calls of all hosts")
def calls(services: Given, after: AfterId = 0, limit: HowMany = 100) -> Page[LiveCall]:
    with services.store.reading() as conn:
        return page(LiveCall, rows_of(conn, _LIVE, (after, limit + 1)), limit)


@router.delete(
    "/calls/{call_id}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="End a live call; it is charged for its talk",
    responses=responses(404, 409),
)
def end_call(services: Given, call_id: Annotated[str, Path(max_length=128)]) -> None:
    with services.store.reading() as conn:
        row = conn.execute(
            "SELECT host_id FROM call WHERE call_id = ? AND state = 'open'", (call_id,)
        ).fetchone()
    if row is None:
        raise not_found(f"no live call {call_id!r}: GET /api/v2/calls lists them")
    if row[0] != services.settings.host_id:
        raise Refusal(HTTPStatus.CONFLICT, f"call {call_id} is on {row[0]}: ask the API there")
    services.live("end", call_id=call_id)


@router.get("/cdrs", summary="Records of calls, newest first")
def cdrs(
    services: Given,
    account: Annotated[str, Query(max_length=64)] = "",
    since: Annotated[Moment | None, Query(description="Began then or later.")] = None,
    until: Annotated[Moment | None, Query(description="Began before.")] = None,
    after: AfterId = _NEWEST,
    limit: HowMany = 100,
) -> Page[Cdr]:
    """One a billed leg. The records of one call stay together, so a part may be a little longer
    than `limit`."""
    first_ms, last_ms = utc_ms(since) or 0, utc_ms(until)
    last_ms = 1 << 62 if last_ms is None else last_ms
    with services.store.reading() as conn:
        oldest = first_call(conn, first_ms) if since else 0
        values = (after, oldest, first_ms, last_ms, account, account, limit + 10)
        rows = rows_of(conn, _CDRS, values)
    if len(rows) <= limit:
        return page(Cdr, rows, limit)
    cut = limit
    while cut < len(rows) and rows[cut]["id"] == rows[cut - 1]["id"]:
        cut += 1
    items = [Cdr.model_validate(row) for row in rows[:cut]]
    return Page[Cdr](items=items, next=str(items[-1].id) if cut < len(rows) else None)
