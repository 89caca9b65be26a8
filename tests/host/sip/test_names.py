"""Names are looked up beside the loop, remembered, and given up in time."""

from __future__ import annotations

import asyncio
import threading

import pytest

from host.sip import names
from host.sip.names import Names


def test_an_answer_is_remembered_and_asked_for_once() -> None:
    asked: list[str] = []
    now = [100.0]

    def resolve(name: str) -> str | None:
        asked.append(name)
        return "192.0.2.1" if name == "pbx.example" else None

    async def main() -> list[str | None]:
        known = Names(lambda: now[0], resolve)
        found: list[str | None] = []
        for name in ("pbx.example", "PBX.example.", "nobody.example"):
            known.find(name, found.append)
        while len(found) < 3:
            await asyncio.sleep(0.001)
        known.find("pbx.example", found.append)
        now[0] += names.KEPT_S + 1
        known.find("pbx.example", found.append)
        while len(found) < 5:
            await asyncio.sleep(0.001)
        known.close()
        return found

    found = asyncio.run(main())
    assert sorted(map(str, found)) == ["192.0.2.1"] * 4 + ["None"]
    assert sorted(asked) == ["nobody.example", "pbx.example", "pbx.example"]


def test_a_resolver_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(names, "MOST_PENDING", 2)
    gone = threading.Event()

    def resolve(name: str) -> str | None:
        gone.wait(5)
        return "192.0.2.1"

    async def main() -> tuple[list[str | None], int]:
        known = Names(asyncio.get_running_loop().time, resolve)
        found: list[str | None] = []
        turns = 0
        for n in range(3):  # the third one is one too many
            known.find(f"{n}.example", found.append)
        assert found == [None]
        while len(found) < 3:
            turns += 1
            await asyncio.sleep(0.001)
        gone.set()
        known.close()
        return found, turns

    found, turns = asyncio.run(main())
    assert found == [None] * 3
    assert turns > 5, "the loop went on"


def test_the_systems_resolver_knows_this_machine() -> None:
    assert names.look_up("localhost") in ("127.0.0.1", "::1")
    assert names.look_up("no-such-name.invalid") is None
    assert names.look_up("a" * 300 + ".example") is None
