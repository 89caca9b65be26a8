"""The API's own process: where it listens, whom it believes, and how it fails."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.host.api.test_running import free_port
from tests.host.api.world import PASSWORD, PATH, ApiWorld
from tests.stores import settings_at

ROOT = Path(__file__).parents[3]
ASKED = {"api_username": "alice", "api_password": PASSWORD, "method": "getIP"}


@contextmanager
def process(folder: Path, port: int, more: str = "") -> Iterator[subprocess.Popen[str]]:
    config = folder / "host.toml"
    database = folder / "host.sqlite"
    config.write_text(f"{settings_at(database)}\n[api]\nport = {port}\n{more}")
    running = subprocess.Popen(
        [sys.executable, "-m", "host.api", "--config", str(config)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        running.terminate()
        running.wait(10)


def asks(port: int, headers: dict[str, str]) -> Any:
    until = time.monotonic() + 15
    while True:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}{PATH}", params=ASKED, headers=headers)
            return answer.json()
        except httpx.TransportError:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_only_a_proxy_that_is_named_says_where_a_client_is(tmp_path: Path) -> None:
    ApiWorld(tmp_path).close()
    forwarded = {"X-Forwarded-For": "203.0.113.5"}
    port = free_port("127.0.0.1")
    with process(tmp_path, port):
        assert asks(port, forwarded) == {"status": "ip_not_enabled"}
    with process(tmp_path, port, 'proxies = ["127.0.0.1"]\n') as running:
        assert asks(port, forwarded) == {"status": "success", "ip": "203.0.113.5"}
        assert asks(port, {}) == {"status": "ip_not_enabled"}
        running.terminate()
        assert running.wait(10) == 0


def test_a_port_that_is_taken_is_said_with_a_remedy(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        process(tmp_path, other.getsockname()[1]) as running,
    ):
        _, said = running.communicate(timeout=20)
    assert running.returncode == 1
    line = json.loads(said.splitlines()[-1])
    assert line["event"] == "api cannot listen"
    assert "enabled = false" in line["remedy"]


def test_it_loads_nothing_of_telephony(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "import sys, host.api.__main__; print(*sorted(sys.modules))"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    loaded = set(ran.stdout.split())
    assert "host.api.app" in loaded
    heavy = {"host.main", "host.sip", "host.iax2", "host.media", "typer"}
    assert not loaded & heavy
    # Of what travels to devices: their documents and images, no calls.
    wire = {name for name in loaded if name.startswith("firmware.wire.")}
    assert {name.split(".")[2] for name in wire} <= {
        "ed25519", "errors", "image", "image_check", "provisioning", "sha512",
    }  # fmt: skip
    assert {name for name in loaded if name.startswith("firmware")} - wire <= {
        "firmware", "firmware.wire",
    }  # fmt: skip
