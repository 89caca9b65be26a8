"""The one writer: many small operations, one durable commit for each short window of time.

A commit costs a sync of the disk, an operation next to nothing, so operations of `window_ms`
share one. While operations keep coming the thread wakes up once a window by itself; only a
writer that went idle has to be woken by `submit`. Nothing is polled while idle.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from host.store.connection import Connection
from host.store.opening import open_writer
from host.store.sqlite import StoreError

T = TypeVar("T")
Operation = Callable[[Connection], Any]
Done = Callable[[Any], None]
Delivery = list[tuple[Callable[[object], None], object]]

MAX_WINDOW_MS = 20
MAX_BATCH = 1_000
"""No transaction is longer: a flood must not make one commit wait for all of it."""
_BUCKET_MS = 0.1
_BUCKETS = 2_000

OTHER, AUTHORIZE, SETTLE = range(3)
"""Kinds of operation, whose waits are counted apart."""


@dataclass(slots=True)
class WriterStats:
    """What the writer did, and the latency it added: from `submit` to durable, milliseconds."""

    commits: int = 0
    failed_commits: int = 0
    operations: int = 0
    failed_operations: int = 0
    undelivered: int = 0
    """Batches whose delivery raised (a loop that was closed already)."""
    cpu_s: float = 0.0
    """Processor time of the writer's thread, seconds."""
    wait_ms_max: float = 0.0
    wait_ms_sums: list[float] = field(default_factory=lambda: [0.0] * 3)
    """By kind of operation."""
    _waits: list[list[int]] = field(
        default_factory=lambda: [[0] * (_BUCKETS + 1) for _ in range(3)]
    )

    def add_waits(self, batch: Iterable[Entry], durable: float) -> None:
        """Count operations that are durable since then, monotonic seconds."""
        waits, sums = self._waits, self.wait_ms_sums
        for entry in batch:
            wait_ms = (durable - entry.at) * 1000
            sums[entry.kind] += wait_ms
            if wait_ms > self.wait_ms_max:
                self.wait_ms_max = wait_ms
            waits[entry.kind][min(int(wait_ms / _BUCKET_MS), _BUCKETS)] += 1

    def waits_within(self, kind: int, bounds_ms: Sequence[float]) -> list[int]:
        """How many operations of a kind waited no longer than each of these bounds (multiples of
        0.1 ms, rising), and at the end how many there were."""
        waits = self._waits[kind]
        return [sum(waits[: round(bound / _BUCKET_MS)]) for bound in bounds_ms] + [sum(waits)]

    def wait_ms(self, quantile: float) -> float:
        """The wait that `quantile` (0 to 1) of the operations stayed under, to 0.1 ms."""
        waits = [sum(counts) for counts in zip(*self._waits, strict=True)]
        total = sum(waits)
        seen = 0
        for index, count in enumerate(waits):
            seen += count
            if total and seen >= quantile * total:
                return min((index + 1) * _BUCKET_MS, self.wait_ms_max)
        return 0.0

    @property
    def wait_ms_p50(self) -> float:
        """Median wait, milliseconds."""
        return self.wait_ms(0.5)

    @property
    def wait_ms_p99(self) -> float:
        """Wait that one operation in a hundred exceeds, milliseconds."""
        return self.wait_ms(0.99)


@dataclass(slots=True)
class Entry:
    """An operation that waits for its batch."""

    operation: Operation
    done: Done
    direct: bool
    """Answer from the writer's own thread, not by `deliver`."""
    at: float
    kind: int = OTHER


class _OperationFailed(Exception):
    """One of a batch raised; the batch is run again, each operation apart."""


class Committer:
    """One write connection, and what is durable through it: whole batches, or nothing of them."""

    def __init__(self, path: str | Path) -> None:
        """Open the store.

        Raises:
            StoreError: the store cannot be opened.
        """
        self.stats = WriterStats()
        self._path = path
        self._conn = self._open()

    def _open(self) -> Connection:
        return open_writer(self._path)

    def transact(self, batch: Sequence[Entry]) -> list[Any]:
        """Run a batch in one durable transaction; an operation that fails undoes itself alone.

        Returns:
            For each operation its result, or what it raised, or StoreError for all of them
            when nothing was committed.
        """
        try:
            try:
                results = self._run_bare(batch)
            except _OperationFailed:
                results = self._run_apart(batch)
            self._conn.execute("COMMIT")
        except Exception as error:
            self.stats.failed_commits += 1
            self._restore()
            failure = StoreError(f"the store did not commit: {error}")
            failure.__cause__ = error
            return [failure] * len(batch)
        self.stats.commits += 1
        return results

    def _begin(self) -> Connection:
        """Begin a transaction; where the database had gone away, on a new connection.

        Nothing of the batch was begun on the old one, so that it is not done twice.
        """
        try:
            self._conn.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            # A file of SQLite goes nowhere; a server may, and come back.
            if getattr(self._conn, "alive", True):
                raise
            self._conn.close()
            self._conn = self._open()
            self._conn.execute("BEGIN IMMEDIATE")
        return self._conn

    def _run_bare(self, batch: Sequence[Entry]) -> list[Any]:
        """Run operations without savepoints, a fifth of a call's cost."""
        conn = self._begin()
        try:
            return [entry.operation(conn) for entry in batch]
        except Exception as error:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            raise _OperationFailed from error

    def _run_apart(self, batch: Sequence[Entry]) -> list[Any]:
        """Run operations each in a savepoint, so that one that fails undoes itself alone."""
        conn = self._begin()
        results: list[Any] = []
        failed = 0
        for entry in batch:
            conn.execute("SAVEPOINT operation")
            try:
                results.append(entry.operation(conn))
            except Exception as error:
                if not conn.in_transaction:
                    # Some errors (a full disk, for one) undo the whole transaction.
                    raise
                conn.execute("ROLLBACK TO operation")
                failed += 1
                results.append(error)
            conn.execute("RELEASE operation")
        self.stats.failed_operations += failed
        return results

    def _restore(self) -> None:
        """Leave no transaction open; a connection that is beyond use is replaced."""
        try:
            if self._conn.in_transaction:
                self._conn.execute("ROLLBACK")
        except sqlite3.Error:
            try:
                self._conn.close()
                self._conn = self._open()
            except (sqlite3.Error, StoreError):
                # The next batch fails in its turn and tries again.
                return


class GroupCommitWriter(Committer):
    """Owns the write connection and the only thread that uses it."""

    def __init__(
        self, path: str | Path, window_ms: int, deliver: Callable[[Delivery], None]
    ) -> None:
        """Open the store and start the thread.

        Args:
            window_ms: 0 to 20; how long the first operation of a batch may wait for others.
            deliver: called by the writer's thread, once a batch, after its commit, with every
                `done` and its result; it has to be quick (one `call_soon_threadsafe`).

        Raises:
            StoreError: the store cannot be opened.
        """
        assert 0 <= window_ms <= MAX_WINDOW_MS
        super().__init__(path)
        self._window_s = window_ms / 1000
        self._deliver = deliver
        self._lock = threading.Lock()
        self._wake = threading.Lock()
        """Used as a binary semaphore: held, except to wake the idle thread."""
        self._wake.acquire()
        self._queue: list[Entry] = []
        self._idle = False
        self._closed = False
        self._paced = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(
        self,
        operation: Callable[[Connection], T],
        done: Callable[[T | BaseException], None],
        kind: int = OTHER,
    ) -> None:
        """Queue an operation from any thread; never blocks.

        The operation works on the store alone: when another of its batch fails, all of them
        are undone and run once more. `done` gets the operation's result once it is durable, or
        the exception: the operation's own, or StoreError when the batch was not committed.
        `kind` is what its wait is counted as.
        """
        self._put(Entry(operation, done, False, time.monotonic(), kind))

    def call(self, operation: Callable[[Connection], T]) -> T:
        """Run one operation and wait until it is durable. For start-up, tools and tests.

        Raises:
            StoreError: it could not be committed.
        """
        assert threading.current_thread() is not self._thread
        finished = threading.Event()
        box: list[Any] = []

        def done(result: object) -> None:
            box.append(result)
            finished.set()

        self._put(Entry(operation, done, True, time.monotonic()))
        finished.wait()
        if isinstance(box[0], BaseException):
            raise box[0]
        result: T = box[0]
        return result

    def pace(self, paced: bool) -> None:
        """Who submits works in batches, and calls this at the end of each: what is queued is
        committed now, and between batches the thread sleeps.

        So the thread works while the submitter rests. Side by side they would hand the
        interpreter's lock to each other at every statement, a switch of threads each time.
        With False operations are gathered for a window again, as at the beginning.
        """
        if paced or self._paced:
            with self._lock:
                self._paced = paced
                if self._queue:
                    self._rouse()

    def close(self) -> None:
        """Commit what is queued, stop the thread, close the store. Harmless when repeated."""
        with self._lock:
            self._closed = True
            self._rouse()
        self._thread.join()
        self._conn.close()

    def _put(self, entry: Entry) -> None:
        with self._lock:
            if not self._closed:
                self._queue.append(entry)
                if not self._paced or entry.direct:
                    self._rouse()
                return
        self._answer([entry], [StoreError("the store is closed")])

    def _rouse(self) -> None:
        if self._idle:
            self._idle = False
            self._wake.release()

    def _run(self) -> None:
        busy = False
        while True:
            with self._lock:
                batch = self._queue[:MAX_BATCH]
                del self._queue[:MAX_BATCH]
                if not batch:
                    if self._closed:
                        return
                    # After a batch the next window is slept through on trust; only an empty
                    # one lets the thread go idle, to be woken by the next operation.
                    self._idle = self._paced or not busy or not self._window_s
                idle = self._idle
                window_s = 0.0 if self._paced else self._window_s
            if batch:
                self._commit(batch)
                busy = True
            elif idle:
                self._wake.acquire()
                busy = True
            else:
                busy = False
            if busy and window_s and not self._closed and len(self._queue) < MAX_BATCH:
                time.sleep(window_s)

    def _commit(self, batch: list[Entry]) -> None:
        results = self.transact(batch)
        durable = time.monotonic()
        self.stats.operations += len(batch)
        self.stats.add_waits(batch, durable)
        self._answer(batch, results)
        self.stats.cpu_s = time.thread_time()

    def _answer(self, batch: list[Entry], results: list[Any]) -> None:
        delivery: Delivery = []
        for entry, result in zip(batch, results, strict=True):
            if entry.direct:
                entry.done(result)
            else:
                delivery.append((entry.done, result))
        if not delivery:
            return
        try:
            self._deliver(delivery)
        except Exception:
            self.stats.undelivered += 1
