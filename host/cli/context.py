"""What every command shares: settings, the store, and one way to fail."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from host.charging.ledger import UnknownAccount
from host.charging.values import Now
from host.cli.output import Row, fail
from host.numbering.deck_csv import DeckError
from host.numbering.provisioning import ProvisioningError, seed
from host.settings import Settings
from host.store.connection import Connection
from host.store.opening import is_postgres, open_reader, open_writer
from host.store.sqlite import StoreError

T = TypeVar("T")


@dataclass(slots=True)
class Context:
    """One run of the command."""

    settings: Settings
    json: bool
    config: Path | None = None
    """The file that the settings came from."""

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """The store in one transaction: all that the command does, or nothing."""
        with self.store() as conn:
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
    def store(self) -> Iterator[Connection]:
        """The store for writing, made ready at its first use; no transaction is open."""
        with sentences(), contextlib.closing(open_writer(self.settings.database)) as conn:
            seed(conn)
            yield conn

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """The store for reading."""
        database = self.settings.database
        if not is_postgres(database) and not Path(database).exists():
            with self.store():
                pass
        with sentences(), contextlib.closing(open_reader(database)) as conn:
            yield conn


def now() -> Now:
    """This instant."""
    return Now(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)


def rows_of(conn: Connection, query: str, values: Any = ()) -> list[Row]:
    """Rows by column name."""
    cursor = conn.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """What fails within ends the command with a sentence, not a traceback."""
    try:
        yield
    except DeckError as error:
        more = error.count - len(error.lines)
        rest = [f"and {more} more faults"] if more else []
        fail("\n       ".join(["nothing was changed:", *error.lines, *rest]))
    except UnknownAccount as error:
        fail(f"{error.args[0]}: `account list` shows the accounts")
    except (ProvisioningError, StoreError, ValueError) as error:
        fail(str(error))
    except sqlite3.OperationalError as error:
        fail(f"the store is busy or cannot be written ({error}): try again")
