"""Do the CDRs say what SIPp saw? After every load, and after `kill -9` in the middle of one.

Calls of the kill are told apart by the number called, which is another one for each.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.bench import sipp
from tests.bench.processes import end, running
from tests.bench.sipp import Load
from tests.bench.subjects import DEVICE, NUMBERS, Bed

_READ_S = 1.5
"""After the kill SIPp reads what the host sent before it."""
_FLIGHT_MS = 500
"""So long an answer can take from durable to the caller, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Row:
    """Of a call in the store."""

    number: str
    state: str
    disposition: str
    ended_by: str
    answered_ms: int
    """UTC; 0: never."""


def faults_of_kill(rows: list[Row], saw: dict[str, set[str]], killed_ms: int) -> list[str]:
    """What is wrong with the calls of a load in the middle of which the host was killed.

    Args:
        rows: after the restart; the number called is another one for each call.
        saw: numbers whose call the caller saw `answered` and `ended`.
        killed_ms: when, UTC.
    """
    cdrs = Counter(row.number for row in rows if row.disposition == "answered")
    # The answer was durable and the 200 had not left yet: that can be in flight at a kill.
    in_flight = {
        row.number
        for row in rows
        if row.ended_by == "crash" and row.answered_ms >= killed_ms - _FLIGHT_MS
    }
    wrong = {
        "answered calls without a CDR": saw["answered"] - cdrs.keys(),
        "calls with two CDRs": {number for number, count in cdrs.items() if count > 1},
        "CDRs of calls that nobody saw answered, nor were in flight": (
            cdrs.keys() - saw["answered"] - in_flight
        ),
        "calls left open by the recovery": {row.number for row in rows if row.state == "open"},
        "calls that SIPp saw end but not answer": saw["ended"] - saw["answered"],
    }
    faults = [
        f"{len(numbers)} {what}: {sorted(numbers)[:3]}"
        for what, numbers in wrong.items()
        if numbers
    ]
    if not saw["ended"] or not saw["answered"] - saw["ended"]:
        faults.append("it came when no call was up, or none was over: nothing was shown")
    return faults


@dataclass
class Books:
    """What SIPp saw, held against the store."""

    bed: Bed
    successes: int = 0
    """Calls that SIPp saw through to the end, of all loads and the kill."""
    cdrs: int = 0
    """CDRs of answered calls."""
    faults: list[str] = field(default_factory=list)
    """Sentences; empty: the books agree."""
    _loads: list[Load] = field(default_factory=list)
    _last: int = 0
    """The last row that was compared."""

    def note(self, load: Load) -> None:
        """Remember a load of calls; `compare` comes when its host has ended."""
        self._loads.append(load)

    def compare(self, what: str) -> None:
        """Hold the loads since the last time against the CDRs since then.

        A call that SIPp gave up may have been answered all the same; all others match one to one.
        """
        rows = self._rows()
        calls = sum(load.calls for load in self._loads)
        seen = sum(load.successes for load in self._loads)
        answered = sum(1 for row in rows if row.state == "ended" and row.disposition == "answered")
        still_open = sum(1 for row in rows if row.state == "open")
        if not seen <= answered <= calls:
            self.faults.append(f"{what}: {answered} CDRs of answered calls, SIPp completed {seen}")
        if still_open:
            self.faults.append(f"{what}: {still_open} calls left open by a host that has ended")
        self._add(seen, answered)

    def kill(self, rate: int, seconds: float) -> str:
        """Kill the host in the middle of a load, start it again, and account for every call.

        Returns what was found, for people.
        """
        saw, killed_ms = self._kill_in_mid_load(rate, seconds)
        rows, answered, ended = self._rows(), saw["answered"], saw["ended"]
        self.faults += [f"kill -9: {fault}" for fault in faults_of_kill(rows, saw, killed_ms)]
        cdrs = {row.number for row in rows if row.disposition == "answered"}
        recovered = sum(1 for row in rows if row.ended_by == "crash" and row.number in cdrs)
        self._add(len(ended), len(cdrs & ended))
        return (
            f"kill -9 with {len(answered - ended)} calls up: {len(ended)} completed before, "
            f"{recovered} settled by the recovery, {len(cdrs - answered)} of them answered "
            "in the last instant and not heard of by the caller"
        )

    def audit(self) -> None:
        """Run the host's own audit of ledger, holds, channels and CDRs."""
        told = self.bed.ledger_is_sound()
        if told:
            self.faults.append(f"ledger check: {told}")

    def verdict(self) -> str:
        """One line."""
        if self.faults:
            return "bench: CDRs do not agree: " + "; ".join(self.faults)
        given_up = self.cdrs - self.successes
        more = f" ({given_up} more answered, of calls that SIPp gave up)" if given_up else ""
        return (
            f"bench: CDRs equal SIPp's successes: {self.successes} calls{more}, ledger in balance"
        )

    def _kill_in_mid_load(self, rate: int, seconds: float) -> tuple[dict[str, set[str]], int]:
        """Numbers whose call SIPp saw `answered` and `ended`; when the host was killed, UTC."""
        bed, folder = self.bed, self.bed.folder
        log = folder / "saw.log"
        log.unlink(missing_ok=True)
        assert rate * seconds < NUMBERS, "each call has a number of its own"
        with ExitStack() as stack:
            host = stack.enter_context(bed.serve())
            stack.enter_context(sipp.carrier(folder, bed.carrier, folder / "carrier.csv"))
            line = sipp.start_of(
                bed.digest, bed.host, rate, NUMBERS - 1, folder / "caller.csv", log
            )
            caller = stack.enter_context(running(line, folder / "caller.log", folder))
            time.sleep(seconds)
            host.kill()
            killed_ms = time.time_ns() // 1_000_000
            host.wait()
            time.sleep(_READ_S)
            caller.kill()
            end(caller)
        with bed.serve():
            pass
        saw: dict[str, set[str]] = {"answered": set(), "ended": set()}
        for text in log.read_text().splitlines() if log.exists() else ():
            event, _, number = text.partition(" ")
            if event in saw:
                saw[event].add(number)
        return saw, killed_ms

    def _rows(self) -> list[Row]:
        """Calls of SIPp since the last comparison."""
        with self.bed.reading() as conn:
            found = conn.execute(
                "SELECT id, callee, state, disposition, ended_by, coalesce(answered_utc_ms, 0) "
                "FROM call "
                "WHERE id > ? AND account <> ? ORDER BY id",
                (self._last, DEVICE),
            ).fetchall()
        self._last = found[-1][0] if found else self._last
        return [Row(row[1].lstrip("+"), *row[2:]) for row in found]

    def _add(self, successes: int, cdrs: int) -> None:
        self.successes += successes
        self.cdrs += cdrs
        self._loads.clear()
