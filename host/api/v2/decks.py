"""Decks of rates: those that are or will be in force, imported and withdrawn."""

from __future__ import annotations

import csv
import io
import tempfile
import time
from http import HTTPStatus
from typing import IO, Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool

from host.api.services import Services
from host.api.v2.models import Deck, Id, ImportedDeck, Moment, Name, utc_ms
from host.api.v2.operator import Given
from host.api.v2.pages import rows_of
from host.api.v2.problems import Refusal, not_found, responses
from host.numbering import deck as importing
from host.numbering.rates import in_force, ready_decks

router = APIRouter(tags=["decks"])

MAX_DECK = 64 * 1024 * 1024
"""Octets of one deck; a million lines have some 40 MB."""
_GIVE_WAY_S = 0.01
_DECKS = """
SELECT id, carrier, name, state, effective_utc_ms, rates, below_cost FROM deck
WHERE state IN ('loading', 'ready') ORDER BY id"""


@router.get("/decks", summary="Decks that are, or will be, in force")
def decks(services: Given) -> list[Deck]:
    with services.store.reading() as conn:
        now = {one.id for one in in_force(ready_decks(conn), services.now().utc_ms)}
        rows = rows_of(conn, _DECKS)
    rows = [{**row, "name": row["name"], "in_force": row["id"] in now} for row in rows]
    return [Deck.model_validate(row) for row in rows]


@router.post(
    "/decks",
    status_code=HTTPStatus.CREATED,
    summary="Import a deck, all of it or nothing",
    responses=responses(404, 409, 413),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "CSV, as `loopstart-host rates import` takes it.",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        }
    },
)
async def import_deck(
    services: Given,
    request: Request,
    name: Annotated[str, Query(max_length=200)] = "",
    carrier: Annotated[Name | None, Query(description="Whose charges; none: prices.")] = None,
    effective_at: Annotated[Moment | None, Query(description="Now if not given.")] = None,
    replace: Annotated[bool, Query(description="What is not in it goes.")] = False,
) -> ImportedDeck:
    """Calls go on meanwhile. A million lines take half a minute."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/csv":
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "send the deck as text/csv")
    with tempfile.TemporaryFile() as file:
        async for part in request.stream():
            file.write(part)
            if file.tell() > MAX_DECK:
                raise Refusal(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a deck has at most {MAX_DECK} octets"
                )
        file.seek(0)
        effective_ms = utc_ms(effective_at)
        return await run_in_threadpool(
            _import, services, file, name, carrier or "", effective_ms, replace
        )


def _import(
    services: Services,
    file: IO[bytes],
    name: str,
    carrier: str,
    effective_utc_ms: int | None,
    replace: bool,
) -> ImportedDeck:
    lines = io.TextIOWrapper(file, "utf-8-sig", newline="")
    with services.store.importing() as conn:
        known = conn.execute("SELECT 1 FROM carrier WHERE name = ?", (carrier,)).fetchone()
        if carrier and known is None:
            raise not_found(f"no carrier {carrier!r}: GET /api/v2/carriers lists them")
        try:
            made = importing.import_deck(
                conn,
                lines,
                utc_ms=lambda: services.now().utc_ms,
                name=name,
                carrier=carrier,
                effective_utc_ms=effective_utc_ms,
                replace=replace,
                give_way=lambda: time.sleep(_GIVE_WAY_S),
            )
        except (UnicodeDecodeError, csv.Error) as error:
            raise Refusal(HTTPStatus.CONFLICT, f"the deck is no CSV in UTF-8: {error}") from None
        finally:
            lines.detach()
    return ImportedDeck.model_validate({**made._asdict(), "effective_at": made.effective_utc_ms})


@router.delete(
    "/decks/{deck}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Take a deck back; the one before it takes its place",
    responses=responses(404, 409),
)
def withdraw(services: Given, deck: Annotated[Id, Path()]) -> None:
    with services.store.writing() as conn:
        if deck not in (one.id for one in ready_decks(conn)):
            raise not_found(f"no deck {deck} is, or will be, in force: GET /api/v2/decks")
        importing.withdraw(conn, deck, services.now().utc_ms)
