"""The store of a seed: real SQLite files, and all that a disk or a power failure does to them.

The files live in memory where the system has a place for that: what counts is what they hold at
each instant, and syncing costs nothing there. After a crash everybody goes on from a copy of the
database and its WAL as they stood at that instant.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from host.store.connection import Connection, Cursor
from host.store.opening import open_writer
from host.store.writer import Committer

_PAGE = 4096


class Crashed(BaseException):
    """The process ends here and now; nothing of ours may catch it on the way."""


class Disk:
    """Where the store's files are. `path` changes with each crash."""

    def __init__(self, folder: Path, database: bytes) -> None:
        """Start from the octets of a prepared database."""
        self._folder = folder
        self._life = 0
        self.full = False
        self._go_to(folder / "store0.sqlite")
        self.path.write_bytes(database)

    @property
    def wal_size(self) -> int:
        """Octets of the WAL."""
        try:
            return os.stat(self._wal_name).st_size
        except FileNotFoundError:
            return 0

    def _go_to(self, path: Path) -> None:
        self.path = path
        self._wal_name = str(_wal(path))

    def snapshot(self) -> tuple[bytes, bytes]:
        """Database and WAL as they stand."""
        wal = _wal(self.path)
        return self.path.read_bytes(), wal.read_bytes() if wal.exists() else b""

    def go_on_from(self, database: bytes, wal: bytes) -> None:
        """The files after a crash. Connections to the files before are of no use any more."""
        for path in (self.path, _wal(self.path), self.path.with_name(self.path.name + "-shm")):
            path.unlink(missing_ok=True)
        self._life += 1
        self._go_to(self._folder / f"store{self._life}.sqlite")
        self.path.write_bytes(database)
        if wal:
            _wal(self.path).write_bytes(wal)

    def set_full(self, conn: Connection) -> None:
        """Give a connection the limit of the disk as it is now."""
        most = 1_073_741_823
        if self.full:
            (most,) = conn.execute("PRAGMA page_count").fetchone()
        conn.execute(f"PRAGMA max_page_count = {most}")


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def torn(wal: bytes, begin: int, dice: random.Random) -> bytes:
    """A WAL whose part from `begin` on was being written when the power failed: some octets of it
    are there, the last ones perhaps as rubbish."""
    keep = dice.randrange(begin, max(begin + 1, len(wal)))
    rest = wal[begin:keep]
    if rest and dice.random() < 0.5:
        rest = rest[: -min(len(rest), 64)] + dice.randbytes(min(len(rest), 64))
    return wal[:begin] + rest


def half_copied(before: bytes, after: bytes, dice: random.Random) -> bytes:
    """A database in the midst of a checkpoint: of its pages some are new, some are not."""
    pages = []
    for at in range(0, len(after), _PAGE):
        old, new = before[at : at + _PAGE], after[at : at + _PAGE]
        pages.append(new if dice.random() < 0.5 else old or bytes(len(new)))
    return b"".join(pages)


class Wire:
    """A connection that can end the process at any statement. Has what operations use."""

    def __init__(self, conn: Connection, at_commit: Callable[[], None]) -> None:
        self.conn = conn
        self.countdown = -1
        """Statements inside a transaction until the process ends; below 0: it does not."""
        self._at_commit = at_commit

    def execute(self, sql: str, parameters: Any = ()) -> Cursor:
        """Run a statement."""
        if self.countdown >= 0 and self.conn.in_transaction and sql != "COMMIT":
            if self.countdown == 0:
                raise Crashed
            self.countdown -= 1
        if sql == "COMMIT":
            self._at_commit()
        return self.conn.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> Any:
        """Run a statement for each row."""
        return self.conn.executemany(sql, parameters)

    @property
    def in_transaction(self) -> bool:
        """As of the connection."""
        return self.conn.in_transaction

    def close(self) -> None:
        """As of the connection."""
        self.conn.close()


class SimCommitter(Committer):
    """What makes batches durable in a host, on a connection that can be cut off."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.wal_before = 0
        """Octets of the WAL when the last commit began."""
        super().__init__(disk.path)

    def _open(self) -> Connection:
        conn = open_writer(self._path)
        # Checkpoints come when the simulator says so, and not within a commit.
        conn.execute("PRAGMA wal_autocheckpoint = 0")
        self.disk.set_full(conn)
        self.wire = Wire(conn, self._at_commit)
        return self.wire  # type: ignore[return-value]

    def _at_commit(self) -> None:
        self.wal_before = self.disk.wal_size

    def reopen(self) -> None:
        """Go on with the files that a crash of somebody else left."""
        self.wire.close()
        self._path = self.disk.path
        countdown = self.wire.countdown
        self._conn = self._open()
        self.wire.countdown = countdown

    def close(self) -> None:
        """Let go of the files; what was not committed is gone."""
        self.wire.close()
