"""What belongs to one customer and is named by a number: told of, listed and removed in one way.

Every path but the list of all begins with an account. What is another customer's is not found
there, whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Path
from pydantic import BaseModel

from host.api.facts import drop_facts
from host.api.v2.models import Id, Name, Page
from host.api.v2.operator import Given
from host.api.v2.pages import AfterId, HowMany
from host.api.v2.problems import not_found, responses
from host.numbering.checks import ProvisioningError, main_row
from host.store.connection import Connection

M = TypeVar("M", bound=BaseModel)

Customer = Annotated[Name, Path(description="Of a main account or of one of its sub-accounts.")]
IdPath = Annotated[Id, Path(alias="id", examples=[1])]


def main_of(conn: Connection, username: str) -> int:
    """The number of the main account of this one.

    Raises:
        Refusal: 404, there is none.
    """
    try:
        return main_row(conn, username)
    except ProvisioningError:
        raise not_found(f"no account {username!r}: GET /api/v2/accounts lists them") from None


@dataclass(frozen=True, slots=True)
class Owned(Generic[M]):
    """One kind of such things."""

    what: str
    path: str
    model: type[M]
    find: Callable[..., Sequence[Any]]
    """(conn, account, after, limit): of one customer, or of all, by rising id."""
    remove: Callable[[Connection, str, int], None]
    unless: str = ""
    """What the description says of it besides."""
    facts: str = ""
    """Under which name v1 keeps what its clients set beside; empty: nothing."""

    def one(self, conn: Connection, username: str, id: int) -> M:
        """The customer's own of this id.

        Raises:
            Refusal: 404, there is none, or it is another customer's.
        """
        main_of(conn, username)
        found = self.find(conn, username, after=id - 1, limit=1)
        if not found or found[0].id != id:
            raise not_found(
                f"{username} has no {self.what} {id}: GET /api/v2/accounts/{username}/{self.path} "
                "lists them"
            )
        return self._told(found[0])

    def changed(self, conn: Connection, username: str, id: int, asked: BaseModel) -> dict[str, Any]:
        """Its values with those in place that are asked for, as its `set_...` takes them.

        Raises:
            Refusal: as `one`.
        """
        before = self.one(conn, username, id).model_dump(exclude={"id", "account"})
        return {**before, **asked.model_dump(exclude_none=True)}

    def add_to(self, router: APIRouter) -> None:
        """Make the routes that are the same for every kind."""
        several, of_one = self.what + "s", f"/accounts/{{username}}/{self.path}"
        path = f"{of_one}/{{id}}"

        def of_all(services: Given, after: AfterId = 0, limit: HowMany = 100) -> Page[M]:
            with services.store.reading() as conn:
                return self._page(self.find(conn, "", after=after, limit=limit + 1), limit)

        def listed(
            services: Given, username: Customer, after: AfterId = 0, limit: HowMany = 100
        ) -> Page[M]:
            with services.store.reading() as conn:
                main_of(conn, username)
                found = self.find(conn, username, after=after, limit=limit + 1)
                return self._page(found, limit)

        def shown(services: Given, username: Customer, number: IdPath) -> M:
            with services.store.reading() as conn:
                return self.one(conn, username, number)

        def removed(services: Given, username: Customer, number: IdPath) -> None:
            with services.store.writing() as conn:
                self.one(conn, username, number)
                self.remove(conn, username, number)
                if self.facts:
                    drop_facts(conn, self.facts, number)

        a_page: Any = Page[self.model]  # type: ignore[name-defined]  # a model made here
        lists = (
            (f"/{self.path}", of_all, f"The {several} of all customers"),
            (of_one, listed, f"The {several} of a customer"),
        )
        for where, function, summary in lists:
            missing = responses() if function is of_all else responses(404)
            router.get(where, response_model=a_page, summary=summary, responses=missing)(function)
        router.get(
            path, response_model=self.model, summary=f"One {self.what}", responses=responses(404)
        )(shown)
        router.delete(
            path,
            status_code=HTTPStatus.NO_CONTENT,
            response_model=None,
            summary=f"Remove a {self.what}{self.unless}",
            responses=responses(404, 409),
        )(removed)

    def _told(self, one: Any) -> M:
        return self.model.model_validate(one, from_attributes=True)

    def _page(self, found: Sequence[Any], limit: int) -> Page[M]:
        items = [self._told(one) for one in found[:limit]]
        more = str(found[limit - 1].id) if len(found) > limit else None
        return Page[M](items=items, next=more)
