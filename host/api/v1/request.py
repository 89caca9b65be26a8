"""One request of a customer to the methods of the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from host.api.services import Services
from host.api.v1.door import Caller
from host.api.v1.values import Parameter
from host.store.connection import Connection


class Request(NamedTuple):
    """What a method is given."""

    conn: Connection
    caller: Caller
    given: dict[str, Any]
    """Its parameters, read by its table."""
    services: Services
    source: str
    """The client's address."""


class Method(NamedTuple):
    """One method of the contract."""

    parameters: tuple[Parameter, ...]
    answer: Callable[[Request], dict[str, Any]]
    """What stands beside `status`.

    Raises:
        Status: the answer is this status alone, and nothing was written.
    """
    writes: bool = False
