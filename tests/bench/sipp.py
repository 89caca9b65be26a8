"""SIPp as caller, carrier and registering telephones. Bounded in time, its statistics read back.

SIPp 3.6.1's own `-timeout` leaves calls that hang, so the callers are ended from here; calls that
were not over by then count as failures.
"""

from __future__ import annotations

import contextlib
import csv
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.bench.processes import end, running, wait_bound

PROGRAM = shutil.which("sipp") or ""
SCENARIOS = Path(__file__).parent / "scenarios"
PORT = 5060
_LATE_S = 8.0
"""So long after the last call should be over the caller is given up."""


class Where(NamedTuple):
    """A UDP address."""

    address: str
    port: int = PORT


@dataclass(frozen=True, slots=True)
class Load:
    """What calls, or registrations, came to."""

    calls: int
    """That were to be made."""
    successes: int
    retransmissions: int
    """Messages that caller or carrier sent again."""
    elapsed_s: float
    """From the first call's start to the last one's end."""
    setup_ms: float = 0.0
    """From a call's first INVITE to its 200, on average; 0 of registrations."""

    @property
    def failures(self) -> int:
        """Calls that failed, hung, or were never made because the caller fell behind."""
        return self.calls - self.successes


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a scenario and what it is filled with."""

    scenario: str
    address: str
    injected: Path
    """CSV whose lines the calls take in turn."""
    name: str = "bench"
    password: str = ""
    talk_s: float = 1.2
    """Length of one call, set-up included."""


def write_injected(path: Path, lines: list[str]) -> Path:
    """A file of values for calls, taken in order."""
    path.write_text("\n".join(["SEQUENTIAL", *lines, ""]))
    return path


def command(
    scenario: str, local: Where, *more: str, target: Where | None = None, stats: Path
) -> list[str]:
    """The command line of one SIPp."""
    return [
        PROGRAM,
        *("-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", local.address, "-p", str(local.port)),
        *("-bind_local", "-nostdin", "-buff_size", "1048576"),
        *("-trace_stat", "-fd", "1", "-stf", str(stats)),
        *more,
        f"{target.address}:{target.port}" if target else local.address,
    ]


def start_of(
    caller: Caller, target: Where, rate: int, calls: int, stats: Path, log: Path | None = None
) -> list[str]:
    """The command line of a caller; with `log` it notes each answer and each end there."""
    more = ["-key", "caller", caller.name, "-inf", str(caller.injected)]
    if caller.password:
        more += ["-au", caller.name, "-ap", caller.password]
    if log is not None:
        more += ["-trace_logs", "-log_file", str(log)]
    # Room for as many calls at once as a healthy peer never has: else the rate gives way unseen.
    more += ["-r", str(rate), "-m", str(calls), "-l", str(max(100, 10 * rate))]
    return command(caller.scenario, Where(caller.address), *more, target=target, stats=stats)


def read_stats(path: Path) -> dict[str, int]:
    """Successes, calls and retransmissions as SIPp last counted them; zeros if it never did."""
    rows: list[dict[str, str]] = []
    with contextlib.suppress(OSError), path.open(newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter=";"))
    columns = {
        "successes": "SuccessfulCall(C)",
        "calls": "TotalCallCreated",
        "retransmissions": "Retransmissions(C)",
    }
    return {name: int(rows[-1][column]) if rows else 0 for name, column in columns.items()}


@contextlib.contextmanager
def carrier(folder: Path, where: Where, stats: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A carrier that answers every call."""
    line = command("carrier", where, stats=stats)
    log = folder / "carrier.log"
    with running(line, log, folder) as process:
        wait_bound(process, *where, log)
        yield process


def place(
    folder: Path, caller: Caller, target: Where, carrier_at: Where | None, rate: int, seconds: float
) -> Load:
    """Make calls at `rate` a second for so long; what came of them.

    Args:
        carrier_at: where the carrier answers; None: nobody is called (registrations).
    """
    calls = round(rate * seconds)
    caller_stats, carrier_stats = folder / "caller.csv", folder / "carrier.csv"
    for path in (caller_stats, carrier_stats):
        path.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        far = carrier_at and stack.enter_context(carrier(folder, carrier_at, carrier_stats))
        begun = time.monotonic()
        line = start_of(caller, target, rate, calls, caller_stats)
        near = stack.enter_context(running(line, folder / "caller.log", folder))
        with contextlib.suppress(subprocess.TimeoutExpired):
            near.wait(seconds + caller.talk_s + _LATE_S)
        elapsed_s = time.monotonic() - begun
        if near.poll() is None:
            time.sleep(1.1)  # one more line of statistics
            near.kill()
        if far:
            _finish(far)
    counted = read_stats(caller_stats)
    again = counted["retransmissions"] + read_stats(carrier_stats)["retransmissions"]
    return Load(calls, counted["successes"], again, elapsed_s, _setup_ms(caller_stats))


def _setup_ms(path: Path) -> float:
    """SIPp's response time, hours:minutes:seconds:microseconds."""
    with path.open(newline="") as lines:
        row = list(csv.DictReader(lines, delimiter=";"))[-1]
    text = row.get("ResponseTime1(C)") or "0:0:0:0"
    hours, minutes, seconds, micros = map(int, text.split(":"))
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + micros / 1000


def _finish(process: subprocess.Popen[bytes]) -> None:
    """Let a carrier write its last statistics and go."""
    process.send_signal(signal.SIGUSR1)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1.5)
    end(process, 0.5)
