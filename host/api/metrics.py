"""Figures for Prometheus: counters of the process that carries calls, and money from the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from host.api.services import Services
from host.charging.values import USD
from host.control_client import Refused, Unreachable
from host.store.connection import Connection

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MONEY = """
SELECT (SELECT coalesce(sum(held), 0) FROM ledger_account WHERE kind = 'funds'),
    (SELECT coalesce(sum(balance), 0) FROM ledger_account WHERE kind = 'funds'),
    (SELECT balance FROM ledger_account WHERE kind = 'revenue'),
    (SELECT count(*) FROM call WHERE state = 'open'),
    (SELECT count(*) FROM outbox WHERE state = 'waiting')"""


class _Figures(Collector):
    """Made anew for each scrape."""

    def __init__(self, services: Services, conn: Connection) -> None:
        self._services = services
        self._conn = conn

    def collect(self) -> Iterable[Metric]:
        held, funds, posted, live, mail = self._conn.execute(_MONEY).fetchone()
        for name, text, value in (
            ("holds_usd", "Reserved by live calls.", held / USD),
            ("funds_usd", "Paid in and not yet spent, of all customers.", funds / USD),
            ("posted_usd", "Charged to customers so far, less what was given back.", posted / USD),
            ("live_calls", "Calls that the store has open, of all hosts.", live),
            ("mail_waiting", "Mail that is not sent yet.", mail),
        ):
            yield GaugeMetricFamily(f"loopstart_{name}", text, value)
        try:
            told = self._services.live("figures")
        except (Unreachable, Refused):
            told = None
        up = "Whether the process that carries calls answers."
        yield GaugeMetricFamily("loopstart_up", up, 1 if told else 0)
        if told:
            yield from _of_host(told)


def _of_host(told: dict[str, Any]) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "loopstart_calls",
        "Calls that are over, by what became of them.",
        labels=("outcome", "reason"),
    )
    for outcome, count in sorted(told["outcomes"].items()):
        what, _, reason = (
            outcome.partition(" ") if outcome.startswith("refused ") else (outcome, "", "")
        )
        calls.add_metric((what, reason), count)
    yield calls
    for name, text in (
        ("registrations", "Contacts that are registered, over any transport."),
        ("waiting", "Calls that wait for their first quota."),
    ):
        yield GaugeMetricFamily(f"loopstart_{name}", text, told[name])
    for name, text in (
        ("commits", "Durable commits of the store."),
        ("failed_commits", "Commits that failed."),
        ("operations", "Operations on the store."),
    ):
        yield CounterMetricFamily(f"loopstart_store_{name}", text, told[name])
    lost = CounterMetricFamily(
        "loopstart_store_failed_writes",
        "Failed writes that no call waited for.",
        labels=("operation",),
    )
    for operation, count in sorted(told["failed_writes"].items()):
        lost.add_metric((operation,), count)
    yield lost
    for name, text in (
        ("authorize", "From the request for a quota to its durable answer."),
        ("settle", "From the end of a call to its durable settlement."),
    ):
        yield _histogram(f"loopstart_{name}_seconds", text, told["waits"][name])
    yield _histogram(
        "loopstart_event_loop_lag_seconds", "How late the heartbeat of the loop was.", told["lag"]
    )
    yield GaugeMetricFamily(
        "loopstart_started_seconds", "Since 1970.", told["started_utc_ms"] / 1000
    )


def _histogram(name: str, text: str, told: dict[str, Any]) -> Metric:
    bounds = [*map(str, told["bounds"]), "+Inf"]
    buckets = list(zip(bounds, told["within"], strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=told["sum"])


def exposition(services: Services) -> bytes:
    """All figures in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    with services.store.reading() as conn:
        registry.register(_Figures(services, conn))
        return generate_latest(registry)
