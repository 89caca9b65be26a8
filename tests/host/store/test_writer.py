"""The group commit writer: order, durability, failures, and quiet."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.store.opening import open_reader, open_writer
from host.store.sqlite import StoreError
from host.store.writer import Delivery, GroupCommitWriter


class Bench:
    """A writer on a small table, and what it delivered."""

    def __init__(self, path: Path, window_ms: int = 20) -> None:
        self.path = path
        self.batches: list[Delivery] = []
        self.results: list[object] = []
        self.arrived = threading.Condition()
        self.writer = GroupCommitWriter(path, window_ms, self.deliver)
        self.writer.call(lambda conn: conn.execute("CREATE TABLE t (x INTEGER UNIQUE)"))

    def deliver(self, delivery: Delivery) -> None:
        with self.arrived:
            self.batches.append(delivery)
            for done, result in delivery:
                done(result)
            self.arrived.notify_all()

    def insert(self, x: int) -> None:
        def operation(conn: sqlite3.Connection) -> int:
            conn.execute("INSERT INTO t VALUES (?)", (x,))
            return x

        self.writer.submit(operation, self.results.append)

    def wait(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.results) >= count, timeout=10)

    def rows(self) -> list[int]:
        conn = open_reader(self.path)
        try:
            return [x for (x,) in conn.execute("SELECT x FROM t ORDER BY x")]
        finally:
            conn.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "host.sqlite")
    yield bench
    bench.writer.close()


def test_operations_of_one_window_share_a_commit_in_order(bench: Bench) -> None:
    before = bench.writer.stats.commits
    for x in range(50):
        bench.insert(x)
    bench.wait(50)
    assert bench.results == list(range(50))
    assert bench.writer.stats.commits - before <= 2
    assert len(bench.batches) <= 2
    assert bench.rows() == list(range(50))


def test_one_failure_undoes_itself_alone(bench: Bench) -> None:
    def half(conn: sqlite3.Connection) -> None:
        conn.execute("INSERT INTO t VALUES (100)")
        conn.execute("INSERT INTO t VALUES (1)")

    bench.insert(1)
    bench.writer.submit(half, bench.results.append)
    bench.insert(2)
    bench.wait(3)
    assert isinstance(bench.results[1], sqlite3.IntegrityError)
    assert (bench.results[0], bench.results[2]) == (1, 2)
    assert bench.rows() == [1, 2]
    assert bench.writer.stats.failed_operations == 1


@pytest.mark.sqlite_only(reason="waits for a lock by SQLite's own words")
def test_a_commit_that_fails_fails_all_and_leaves_nothing(bench: Bench) -> None:
    bench.writer.call(lambda conn: conn.execute("PRAGMA busy_timeout = 30"))
    blocker = open_writer(bench.path)
    blocker.execute("BEGIN IMMEDIATE")
    bench.insert(1)
    bench.insert(2)
    bench.wait(2)
    assert [type(result) for result in bench.results] == [StoreError, StoreError]
    blocker.execute("ROLLBACK")
    blocker.close()
    bench.insert(3)
    bench.wait(3)
    assert bench.rows() == [3]
    assert bench.writer.stats.failed_commits == 1


@pytest.mark.sqlite_only(reason="a disk of so many pages")
def test_a_full_disk_fails_the_batch_and_the_next_one_works(bench: Bench) -> None:
    def fill(conn: sqlite3.Connection) -> None:
        (pages,) = conn.execute("PRAGMA page_count").fetchone()
        conn.execute(f"PRAGMA max_page_count = {pages}")
        conn.execute("CREATE TABLE big (x)")
        conn.execute("INSERT INTO big VALUES (zeroblob(1000000))")

    bench.insert(1)
    bench.writer.submit(fill, bench.results.append)
    bench.insert(2)
    bench.wait(3)
    failed = [isinstance(result, Exception) for result in bench.results]
    assert failed[1]
    # Either the one operation or the whole batch: what was not acknowledged is not there.
    kept = [x for x, bad in ((1, failed[0]), (2, failed[2])) if not bad]
    assert bench.rows() == kept
    bench.writer.call(lambda conn: conn.execute("PRAGMA max_page_count = 1000000"))
    bench.insert(7)
    bench.wait(4)
    assert 7 in bench.rows()


def test_a_deferred_constraint_that_fails_at_commit_fails_the_batch(bench: Bench) -> None:
    bench.writer.call(
        lambda conn: conn.execute(
            "CREATE TABLE child (x INTEGER REFERENCES t (x) DEFERRABLE INITIALLY DEFERRED)"
        )
    )
    bench.insert(1)
    bench.writer.submit(
        lambda conn: conn.execute("INSERT INTO child VALUES (99)") and None, bench.results.append
    )
    bench.wait(2)
    assert all(isinstance(result, StoreError) for result in bench.results)
    assert bench.rows() == []


def test_nothing_waits_longer_than_the_window_and_a_commit(bench: Bench) -> None:
    for x in range(30):
        bench.insert(x)
        time.sleep(0.004)
    bench.wait(30)
    stats = bench.writer.stats
    print("wait ms p50", stats.wait_ms_p50, "p99", stats.wait_ms_p99, "max", stats.wait_ms_max)
    assert stats.wait_ms_p50 <= 40
    assert stats.wait_ms_p50 <= stats.wait_ms_p99 <= stats.wait_ms_max
    assert stats.commits < 20


def test_an_idle_writer_uses_no_processor_time(bench: Bench) -> None:
    bench.insert(1)
    bench.wait(1)
    time.sleep(0.1)
    clock = time.pthread_getcpuclockid(bench.writer._thread.ident or 0)
    before = time.clock_gettime(clock)
    time.sleep(0.3)
    assert time.clock_gettime(clock) - before < 0.001


def test_close_commits_what_is_queued_and_later_operations_are_told(bench: Bench) -> None:
    for x in range(5):
        bench.insert(x)
    bench.writer.close()
    bench.writer.close()
    assert bench.results == list(range(5))
    bench.insert(9)
    assert isinstance(bench.results[-1], StoreError)
    with pytest.raises(StoreError, match="closed"):
        bench.writer.call(lambda conn: None)
    assert bench.rows() == list(range(5))


def test_a_delivery_that_fails_ends_nothing(tmp_path: Path) -> None:
    def deliver(delivery: Delivery) -> None:
        raise RuntimeError("the loop is closed")

    writer = GroupCommitWriter(tmp_path / "host.sqlite", 0, deliver)
    writer.submit(lambda conn: None, lambda result: None)
    assert writer.call(lambda conn: 7) == 7
    writer.close()
    assert writer.stats.undelivered == 1


def test_call_raises_what_the_operation_raised(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError):
        bench.writer.call(lambda conn: 1 // 0)


def test_many_threads_may_submit(bench: Bench) -> None:
    threads = [
        threading.Thread(target=lambda start=start: [bench.insert(start + x) for x in range(200)])
        for start in range(0, 1_600, 200)
    ]
    for thread in threads:
        thread.start()
    bench.wait(1_600)
    for thread in threads:
        thread.join()
    assert bench.rows() == list(range(1_600))


@pytest.mark.sqlite_only(reason="files that are none")
def test_opening_is_for_stores_only(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read"):
        open_reader(tmp_path / "none.sqlite")
    (tmp_path / "text").write_text("no database, but long enough to be looked at " * 100)
    with pytest.raises(StoreError, match="not a database"):
        open_writer(tmp_path / "text")
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(StoreError, match="something else"):
        open_writer(tmp_path / "other.sqlite")
    newer = open_writer(tmp_path / "newer.sqlite")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreError, match="newer"):
        open_writer(tmp_path / "newer.sqlite")
    with pytest.raises(StoreError, match="schema 99"):
        open_reader(tmp_path / "newer.sqlite")


@pytest.mark.sqlite_only(reason="how a file is written")
def test_money_is_synced_and_readers_cannot_write(tmp_path: Path) -> None:
    conn = open_writer(tmp_path / "deep" / "host.sqlite")
    assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert conn.execute("PRAGMA synchronous").fetchone() == (2,)
    assert conn.execute("PRAGMA foreign_keys").fetchone() == (1,)
    reader = open_reader(tmp_path / "deep" / "host.sqlite")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM config")


def test_a_failure_among_many_leaves_the_others_done_once(bench: Bench) -> None:
    """Run in one batch: the failure makes all of them run again, and count once."""

    def count(conn: sqlite3.Connection) -> None:
        conn.execute("UPDATE t SET x = x + 1")

    bench.insert(0)
    bench.wait(1)
    for _ in range(10):
        bench.writer.submit(count, bench.results.append)
    bench.writer.submit(lambda conn: 1 // 0, bench.results.append)
    for _ in range(10):
        bench.writer.submit(count, bench.results.append)
    bench.wait(22)
    assert bench.rows() == [20]
    assert [isinstance(result, Exception) for result in bench.results].count(True) == 1


def test_paced_it_commits_at_the_end_of_each_batch_and_rests_in_between(bench: Bench) -> None:
    bench.writer.pace(True)
    time.sleep(0.1)  # the window that was open closes
    commits = bench.writer.stats.commits
    for x in range(5):
        bench.insert(x)
    time.sleep(0.1)
    assert bench.results == [], "the batch is not over"
    begun = time.monotonic()
    bench.writer.pace(True)
    bench.wait(5)
    assert time.monotonic() - begun < 5
    assert bench.writer.stats.commits == commits + 1
    assert bench.rows() == [0, 1, 2, 3, 4]


def test_no_longer_paced_nothing_is_left_waiting(bench: Bench) -> None:
    bench.writer.pace(True)
    bench.insert(1)
    bench.writer.pace(False)
    bench.wait(1)
    bench.insert(2)
    bench.wait(2)
    assert bench.rows() == [1, 2]


def test_paced_whoever_waits_for_his_operation_gets_it(bench: Bench) -> None:
    bench.writer.pace(True)
    bench.insert(1)
    assert bench.writer.call(lambda conn: conn.execute("SELECT count(*) FROM t").fetchone()) == (1,)


def test_paced_what_is_queued_is_committed_by_closing(bench: Bench) -> None:
    bench.writer.pace(True)
    bench.insert(1)
    bench.writer.close()
    assert bench.rows() == [1]
