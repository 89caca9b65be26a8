"""/api/v2 is what its description says: schemathesis asks all that is allowed there, and more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from host.api import access
from host.charging import ledger
from host.charging.values import USD, Money, Now
from host.devices import registry
from host.funds import deposits
from host.numbering import destinations, filters
from host.numbering.destinations import Member
from tests.host.api.test_metrics import figures
from tests.host.api.test_v1_methods import binding
from tests.host.api.world import NOON, ApiWorld

EXAMPLES = int(os.environ.get("LOOPSTART_API_EXAMPLES", "8"))
"""Random ones of each operation, beside those of its bounds; more by hand."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[ApiWorld, str]]:
    """The application behind a real socket, and its address."""
    api = ApiWorld(tmp_path, requests_per_minute=10_000_000, lockout_failures=10_000_000)
    api.live_answers |= {
        "figures": figures(),
        "registrations": lambda account_id=0, after=0: [
            binding(number) for number in (account_id or after + 1,) if number < 5
        ],
        "end": {},
    }
    api.call(NOON, 6_000)
    # What the examples of the description name.
    destinations.set_forwarding(api.conn, "alice", "+15145550111")
    destinations.set_sip_uri(api.conn, "alice", "sip:alice@203.0.113.5")
    destinations.set_ring_group(api.conn, "alice", "desk", [Member("account:alice")])
    filters.set_caller_filter(api.conn, "alice", "+1976*", "sys:busy")
    deposits.open_deposit(api.conn, api.now(), "wire-1a2b3c4d", "wire", api.alice, Money(150 * USD))
    registry.add(api.conn, api.now(), "02005e100001", account="alice")
    with api.serving() as address:
        yield api, address
    api.close()


PARTS = (
    ("accounts", "calls", "decks", "figures", "devices"),
    ("numbers", "POP mismatches", "caller filters"),
    ("destinations",),
    ("deposits",),
)
"""Tags of the description; each operation has one."""


@pytest.mark.parametrize("tags", PARTS, ids=lambda tags: tags[0])
def test_the_api_is_as_it_describes_itself(
    server: tuple[ApiWorld, str], tmp_path: Path, tags: tuple[str, ...]
) -> None:
    api, address = server
    token = access.add_token(api.conn, Now(NOON, 0), "fuzzer", True)
    ran = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"{address}/api/v2/openapi.json",
            "--header", f"Authorization: Bearer {token}", "--phases", "examples,coverage,fuzzing",
            "--max-examples", str(EXAMPLES), "--generation-deterministic", "--workers", "1",
            "--no-color", *(word for tag in tags for word in ("--include-tag", tag)),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-6_000:] + ran.stderr[-2_000:]
    assert ledger.check(api.conn) == []


def test_the_description_has_every_operation_and_our_errors(server: tuple[ApiWorld, str]) -> None:
    told: dict[str, Any] = httpx.get(f"{server[1]}/api/v2/openapi.json").json()
    operations = {(verb, path) for path, item in told["paths"].items() for verb in item}
    assert {("delete", "/api/v2/calls/{call_id}"), ("post", "/api/v2/decks")} <= operations
    assert len(operations) == 68
    assert "HTTPValidationError" not in str(told)
    for item in told["paths"].values():
        for operation in item.values():
            assert [tag for part in PARTS for tag in part if tag in operation["tags"]]
            assert operation["summary"]
            assert "application/problem+json" in operation["responses"]["401"]["content"]
