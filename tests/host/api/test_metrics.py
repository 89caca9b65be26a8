"""Figures for Prometheus, read by its own parser."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from host.api import access
from host.charging.values import Now
from host.figures import LAG_BOUNDS_S, WAIT_BOUNDS_MS, Histogram
from tests.host.api.world import NOON, ApiWorld


def figures(**more: Any) -> dict[str, Any]:
    lag = Histogram(LAG_BOUNDS_S)
    for value in (0.0005, 0.001, 0.02, 9.0):
        lag.add(value)
    waits = {
        "bounds": [bound / 1000 for bound in WAIT_BOUNDS_MS],
        "within": [0, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3],
        "sum": 0.5,
    }
    return {
        "host_id": "host1", "started_utc_ms": NOON, "live_calls": 1, "waiting": 2,
        "outcomes": {"answered": 5, "no answer": 1, "refused no money": 2}, "registrations": 3,
        "lag": lag.plain(), "commits": 10, "failed_commits": 1, "operations": 100,
        "failed_writes": {"heartbeat": 4},
        "waits": {"authorize": waits, "settle": waits}, **more,
    }  # fmt: skip


def scrape(api: ApiWorld) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    token = access.add_token(api.conn, Now(NOON, 0), f"t{api.conn.total_changes}", False)
    with api.client() as client:
        answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_every_figure_is_there(api: ApiWorld) -> None:
    api.live_answers["figures"] = figures()
    api.call(NOON, 60_000)
    told = scrape(api)

    def value(name: str, **labels: str) -> float:
        return told[f"loopstart_{name}", tuple(sorted(labels.items()))]

    assert value("up") == 1
    assert value("calls_total", outcome="answered", reason="") == 5
    assert value("calls_total", outcome="no answer", reason="") == 1
    assert value("calls_total", outcome="refused", reason="no money") == 2
    assert value("registrations") == 3
    assert value("holds_usd") == 0
    assert value("posted_usd") == pytest.approx(0.0052)
    assert value("funds_usd") == pytest.approx(9.9948)
    assert value("authorize_seconds_bucket", le="0.001") == 1
    assert value("authorize_seconds_bucket", le="+Inf") == 3
    assert value("settle_seconds_count") == 3
    assert value("settle_seconds_sum") == 0.5
    assert value("event_loop_lag_seconds_bucket", le="0.001") == 2
    assert value("event_loop_lag_seconds_bucket", le="0.025") == 3
    assert value("event_loop_lag_seconds_count") == 4
    assert value("store_commits_total") == 10
    assert value("store_failed_writes_total", operation="heartbeat") == 4


def test_while_the_host_is_away_its_figures_are_missing_and_the_stores_are_there(
    api: ApiWorld,
) -> None:
    told = scrape(api)
    assert told["loopstart_up", ()] == 0
    assert told["loopstart_funds_usd", ()] == 10
    assert not any(name.startswith("loopstart_calls") for name, _ in told)
