"""The demo passes, and each of its steps can fail: with its rule off, it does.

Run two at a time unless pytest itself runs tests side by side. Every run has a host, a store and
addresses of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.peers.carrier import parse_where
from tests.peers.endpoint import Endpoint, Login
from tests.peers.tones import Spectrum, loudest
from tests.scenarios.demo import STEPS
from tests.scenarios.rig import ROOT, Net
from tests.scenarios.stage import CARRIER_HZ

RUN_S = 100
EVERYTHING = "everything"
CONTROLS = [(step, rule.value) for step, (_, _, rules) in STEPS.items() for rule in rules]
FAILS = {
    "charge-out": "CDR: value 1514",
    "route-choice": "CDR: premium 1514",
    "charge-did": "CDR: did per-minute",
    "pop-match": "the caller gets 480",
    "account-channels": "the sixth gets 403",
    "one-number": "the third call to that number gets 403",
    "balance": "the telephone plays reorder",
    "holds": "27 get 402",
    "cut-off": "BYE at the carrier within 50 ms",
    "recovery": "no channel is left taken",
    "iax2-bridge": "tone in frank's ear",
    "iax2-trunk": "the host sends the ten voices in meta frames",
    "iax2-digits": "the carrier gets the keys",
}
"""The check that a rule is about, which must be among those that fail without it."""


@dataclass(frozen=True)
class Run:
    """What one run of the demo said."""

    status: int
    checks: list[dict[str, Any]]
    last_line: str
    errors: str

    @property
    def failed(self) -> list[str]:
        return [check["what"] for check in self.checks if not check["ok"]]


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "tests.scenarios.demo", *words]


def _run(*words: str) -> Run:
    done = subprocess.run(
        _command("--json", *words),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    checks = [json.loads(line) for line in done.stdout.splitlines()]
    last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""
    return Run(done.returncode, checks, last, done.stderr)


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Run]]]:
    """Runs by rule, begun before their tests ask for them."""
    wanted = {EVERYTHING: (), **{rule: _off(step, rule) for step, rule in CONTROLS}}
    workers = 1 if os.environ.get("PYTEST_XDIST_WORKER") else 2
    ids = [item.name for item in request.session.items]
    with ThreadPoolExecutor(workers) as pool:
        begun: dict[str, Future[Run]] = {}
        if workers > 1:
            for name, words in wanted.items():
                if any(name in one for one in ids):
                    begun[name] = pool.submit(_run, *words)

        class Lazy(dict[str, Future[Run]]):
            def __missing__(self, name: str) -> Future[Run]:
                self[name] = pool.submit(_run, *wanted[name])
                return self[name]

        yield Lazy(begun)
        for future in begun.values():
            future.cancel()


def _off(step: int, rule: str) -> tuple[str, ...]:
    return ("--only", str(step), "--rules-off", rule)


@pytest.mark.slow
@pytest.mark.parametrize("name", [EVERYTHING])
def test_all_steps_pass_with_all_rules_on(runs: dict[str, Future[Run]], name: str) -> None:
    run = runs[name].result(RUN_S)
    assert not run.failed, run.errors
    assert run.status == 0
    assert {check["step"] for check in run.checks} == set(STEPS)
    count = len(run.checks)
    assert count >= 62
    assert run.last_line == f"demo: {count} of {count} checks passed"


@pytest.mark.slow
@pytest.mark.parametrize(("step", "rule"), CONTROLS, ids=[rule for _, rule in CONTROLS])
def test_without_its_rule_a_step_fails(runs: dict[str, Future[Run]], step: int, rule: str) -> None:
    run = runs[rule].result(RUN_S)
    assert run.status == 1, run.errors
    assert {check["step"] for check in run.checks} == {step}
    assert any(FAILS[rule] in what for what in run.failed), run.failed
    count, passed = len(run.checks), len(run.checks) - len(run.failed)
    assert run.last_line == f"demo: {passed} of {count} checks passed"
    # The stage itself stood: the run failed by its rule, not by something else.
    assert passed >= 1, run.errors


def test_every_step_has_a_control() -> None:
    assert set(STEPS) == set(range(1, 13)) == {step for step, _ in CONTROLS}
    assert set(FAILS) == {rule for _, rule in CONTROLS}


def test_on_a_terminal_it_draws_and_its_last_line_is_the_count() -> None:
    status, text = _on_a_terminal("--only", "5")
    assert status == 0, text
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "\x1b[" in text, "it draws"
    assert "sixth channel, third call to one number" in plain
    assert plain.strip().splitlines()[-1] == "demo: 5 of 5 checks passed"


def _on_a_terminal(*words: str) -> tuple[int, str]:
    main, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen(
        _command(*words), cwd=ROOT, stdout=terminal, stderr=terminal, env=environment
    )
    os.close(terminal)
    octets = b""
    with suppress(OSError):  # the terminal is gone when its last writer is
        while part := os.read(main, 65_536):
            octets += part
    os.close(main)
    return process.wait(30), octets.decode("utf-8", "replace")


def test_kept_up_it_tells_a_softphone_all_that_it_needs() -> None:
    """Given what --keep prints, when a softphone is set up so, then its call is answered."""
    with subprocess.Popen(
        _command("--only", "5", "--keep"), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as demo:
        try:
            said: dict[str, str] = {}
            assert demo.stdout is not None
            for line in demo.stdout:
                found = re.match(r"  (server|user|password|dial) +(\S+)", line)
                if found:
                    said[found[1]] = found[2]
                if line.startswith("demo: "):
                    break
            strongest = asyncio.run(_softphone(said))
            assert strongest == pytest.approx([CARRIER_HZ], abs=4)
        finally:
            demo.send_signal(signal.SIGTERM)
            status = demo.wait(30)
        assert status == 0


async def _softphone(said: dict[str, str]) -> list[float]:
    host = parse_where(said["server"])
    async with Endpoint(Net()[5], 0, Login(said["user"], said["password"])) as phone:
        assert (await phone.register(host)).status == 200
        call = await phone.call(said["dial"], host)
        await call.wait("answered")
        await call.wait_heard(0.6)
        return Spectrum(loudest(call.media.samples(), 0.3)).strongest()
