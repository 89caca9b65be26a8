"""Decks that take force in a running host, which is not started again and keeps serving calls."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.host.sip.phone import Phone
from tests.host.sip.server_process import HostProcess


class Town:
    """A host, alice, and a carrier at which everybody is busy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = HostProcess(folder, "udp")
        self.host.setup()
        self.host.account("alice", route="value")
        self.host.start()
        self.alice = Phone.udp("127.0.1.9", ("127.0.1.1", self.host.port), "alice")
        self.gateway = Phone.udp("127.0.1.5", ("127.0.1.1", self.host.port))
        self.host.carrier("north", "127.0.1.5", self.gateway.own[1])
        self.calls = 0
        self.closing = False
        self._busy = threading.Thread(target=self._refuse_all, daemon=True)
        self._busy.start()

    def _refuse_all(self) -> None:
        while not self.closing:
            try:
                invite = self.gateway.request(0.2)
            except (OSError, AssertionError):
                continue
            if invite.method == "INVITE":
                self.gateway.respond(invite, 486)

    def importing(self, *lines: str, **options: str) -> subprocess.Popen[str]:
        """`loopstart-host rates import` beside the host."""
        deck = self.folder / "deck.csv"
        deck.write_text("\n".join(lines) + "\n")
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "host.cli.main", "--config", str(self.host.config)),
                *("rates", "import", str(deck), *words),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )

    def call(self) -> tuple[int, float]:
        """The deck by which a call is rated, and the seconds that its refusal took."""
        self.calls += 1
        began = time.monotonic()
        assert self.alice.call("15145550100").status == 486
        took_s = time.monotonic() - began
        cdrs = self.host.wait_cdrs(self.calls)
        assert len(cdrs) == self.calls
        return cdrs[-1]["deck"], took_s

    def close(self) -> None:
        self.closing = True
        self._busy.join(5)
        self.alice.close()
        self.gateway.close()
        self.host.close()
        self.host.clean_log()


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    yield made
    made.close()


def test_an_announced_deck_takes_force_in_a_running_host(town: Town) -> None:
    assert town.call()[0] == 1
    when = datetime.now(UTC) + timedelta(seconds=2.5)
    importer = town.importing("prefix,value", "1514,0.5", **{"from": when.isoformat()})
    told, wrong = importer.communicate(timeout=20)
    assert importer.returncode == 0, wrong
    assert "as deck 2" in told
    assert "\x1b" not in told + wrong
    if datetime.now(UTC) < when - timedelta(seconds=0.3):
        assert town.call()[0] == 1
    time.sleep(max(0.0, (when - datetime.now(UTC)).total_seconds()) + 0.01)
    assert town.call()[0] == 2


def test_calls_go_on_while_a_large_deck_is_imported(town: Town) -> None:
    lines = (f"{prefix},0.01,0.02" for prefix in range(200_000, 260_000))
    importer = town.importing("prefix,value,premium", "1514,0.5,0.5", *lines)
    decks, waits = [], []
    while importer.poll() is None:
        deck, took_s = town.call()
        decks.append(deck)
        waits.append(took_s)
    told, wrong = importer.communicate()
    assert importer.returncode == 0, wrong
    decks.append(town.call()[0])
    print(f"{len(waits)} calls beside the import, the longest {max(waits):.3f} s: {told.strip()}")
    assert decks == sorted(decks)
    assert (decks[0], decks[-1]) == (1, 2)
    assert len(waits) >= 5
    assert max(waits) < 2
