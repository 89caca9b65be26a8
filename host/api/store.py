"""The store as the API's process has it: a connection for each request."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from host.store.connection import Connection
from host.store.opening import open_reader, open_writer

T = TypeVar("T")


class Store:
    """Opens the store; the API's threads each have a connection of their own meanwhile."""

    def __init__(self, database: str) -> None:
        self._database = database

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """For reading, at one instant: what other processes write meanwhile is not seen."""
        with contextlib.closing(open_reader(self._database)) as conn:
            conn.execute("BEGIN")
            yield conn

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """For writing, in one transaction: all of it, or nothing."""
        with contextlib.closing(open_writer(self._database)) as conn:
            conn.execute("BEGIN IMMEDIATE")
            try:
                yield conn
            except BaseException:
                if conn.in_transaction:
                    conn.execute("ROLLBACK")
                raise
            conn.execute("COMMIT")

    def transact(self, operation: Callable[[Connection], T]) -> T:
        """Run an operation in one transaction; it is durable then."""
        with self.writing() as conn:
            return operation(conn)

    @contextlib.contextmanager
    def importing(self) -> Iterator[Connection]:
        """For an import, which has transactions of its own."""
        with contextlib.closing(open_writer(self._database)) as conn:
            yield conn
