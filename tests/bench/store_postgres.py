"""The same in PostgreSQL, durable: a cluster of its own with its defaults, beside bare psycopg."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg

from host.store.opening import open_writer
from tests.bench.figures import Figure
from tests.bench.store import Rows, Statements, charge, commit, rows_of, writes
from tests.host.store.clusters import Cluster, available

PEER = "bare psycopg"


def measure(rounds: int, calls: int, step: Callable[[str, float], None]) -> Iterator[Figure]:
    """Both figures, ours and the peer's turn by turn, each on a database of its own; nothing where
    there is no PostgreSQL.

    Raises:
        RuntimeError: not all calls were charged, or the peer wrote other rows.
    """
    if not available:
        return
    ours: tuple[list[float], list[float]] = ([], [])
    theirs: tuple[list[float], list[float]] = ([], [])
    cluster = Cluster(durable=True)
    try:
        for turn in range(rounds):
            step(f"the store in PostgreSQL, round {turn + 1}", calls / 500)
            begun, ended = charge(cluster.database(), calls, ours)
            step(f"bare PostgreSQL, round {turn + 1}", calls / 1_000)
            _write_bare(cluster.database(), begun, ended, theirs)
    finally:
        cluster.remove()
    yield Figure.of("postgres_authorize_rate", ours[0], PEER, theirs[0])
    yield Figure.of("postgres_settle_rate", ours[1], PEER, theirs[1])


def _write_bare(url: str, begun: Rows, ended: Rows, rates: tuple[list[float], list[float]]) -> None:
    open_writer(url).close()
    with psycopg.connect(url, autocommit=True) as conn:
        # Neither triggers nor foreign keys, for this connection.
        conn.execute("SET session_replication_role = replica")
        conn.execute("DELETE FROM ledger_account")
        before, authorized, answered, settled = map(_marked, writes(begun, ended))
        commit(conn, before, "BEGIN")
        rates[0].append(commit(conn, authorized, "BEGIN"))
        commit(conn, answered, "BEGIN")
        rates[1].append(commit(conn, settled, "BEGIN"))
    stored = open_writer(url)
    same = rows_of(stored) == ended
    stored.close()
    if not same:
        raise RuntimeError("bare PostgreSQL holds other rows than the store: compared is nothing")


def _marked(calls: list[Statements]) -> list[Statements]:
    """Statements with psycopg's marks."""
    return [[(text.replace("?", "%s"), values) for text, values in one] for one in calls]
