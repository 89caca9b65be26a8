"""Parts of lists: so many rows, and where the next part begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Query
from pydantic import BaseModel

from host.api.v2.models import Id, Limit, Page
from host.store.connection import Connection

M = TypeVar("M", bound=BaseModel)
Row = dict[str, Any]

HowMany = Annotated[Limit, Query(description="At most so many.")]
AfterId = Annotated[Id, Query(description="`next` of the part before.")]
AfterName = Annotated[str, Query(description="`next` of the part before.", max_length=128)]


def rows_of(conn: Connection, query: str, values: Any = ()) -> list[Row]:
    """Rows by column name; `..._utc_ms` becomes `..._at`."""
    cursor = conn.execute(query, values)
    names = [str(column[0]).replace("utc_ms", "at") for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def page(
    model: type[M],
    rows: list[Row],
    limit: int,
    mark: Callable[[Row], object] = lambda row: row["id"],
) -> Page[M]:
    """Make a part of rows, of which one more than `limit` was asked for, so that it shows whether
    there are more."""
    items = [model.model_validate(row) for row in rows[:limit]]
    return Page[M](items=items, next=str(mark(rows[limit - 1])) if len(rows) > limit else None)
