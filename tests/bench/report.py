"""Figures for people: a table on the terminal, and RESULTS.md."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sqlite3
import subprocess
from pathlib import Path

from rich.table import Table

from host import compiled
from tests.bench import sipp
from tests.bench.figures import MEASURES, Figure

_HEAD = """# What a call costs

Made by `python3 tasks.py bench --results tests/bench/RESULTS.md`, in one go on one machine; do not
edit it by hand. Without `--results` the same command prints the figures as a table, with `--json`
as one object a line. `--only NAME ...` measures some of them, `--quick` takes a slice of each, for
a look at whether everything works. It takes a quarter of an hour and wants a machine that has
nothing else to do: a call's cost is comparable within one run only.

"""

_METHOD = """
## How it is measured

- Caller, carrier and telephones are SIPp, by the scenarios beside this file. A call rings for
  0.1 s, lasts 1 s and is hung up by the caller. Everything goes over loopback, each program with
  an address of its own; 10,000 numbers are called in turn.
- Our host runs as `loopstart-host serve` starts it after `loopstart-host compile` (where that could
  not be done it says so above), with its defaults: a line of log a call, CDRs
  and money durable (SQLite in WAL mode, synchronous FULL, on the file system named above). The API,
  a process of its own that the peer has none to compare with, is switched off (`[api] enabled =
  false`), and so is the job that takes monthly fees. The listener offers MD5 alone, because SIPp
  3.6.1 knows no other digest. Media goes direct, but for `sip_call_relayed_cpu_ms`, where a relay
  is set up and taken down without packets in it.
- The peer is Sippy's `b2bua_simple` with its log off. It authenticates nobody, charges nothing,
  stores nothing and relays nothing; the same carrier and numbers, and the same rate.
- `yardstick` is what a fixed piece of Python took just before and after (`yardstick.py`): where it
  stands higher, the machine was slower for everybody, the peer too.
- CPU is user and system time of the whole process tree from /proc before and after a load,
  divided by its calls, idling in between counted. Ours and the peer's runs take turns; each figure
  is the median of its runs, which stand in the table.
- `sip_setup_ms` is SIPp's mean from a call's first INVITE to its 200, in the runs of
  `sip_call_cpu_ms`: with the challenge, which the peer does not send, and with the commits of the
  hold and of the answer.
- `sip_call_rate` is the highest rate, in steps of 100 and then one of half of it, at which at most
  0.1 % of the calls fail, caller and carrier together send at most 2 messages again for a hundred
  calls, and SIPp keeps to the rate. Each step has a fresh program, takes 8 s and may be tried
  twice. SIPp runs on the same cores.
- `register_cpu_ms`: 10,000 accounts in turn, each of which the host has looked up before (it has
  room for 16,384, half a kilobyte each); each sends REGISTER, is challenged and refreshes its
  binding.
- `host_rss_mb` is read after the load of 400 calls a second; `host_rss_growth_mb` is of a host just
  started that carries 50 calls a second, between its 2,000th and 10,000th call. Over UDP the
  transactions of a call linger for 32 s (RFC 3261, 17): at this rate as many linger at its 2,000th
  call as at any later one, and after the load of 400 a second eight times as many.
- The device is `loopstart-ata` with a simulated handset that sends a tone, in a call through the
  host and its relay to a carrier that sends another; over IAX2 the host's bridge takes the relay's
  place, and the encrypted call is measured in a device of its own.
- Rates: a deck of 1,000,000 prefixes of three to eight digits, many within others, with some
  48,000 different prices on two routes, is imported by `loopstart-host rates import` into a store
  of its own (2,000,000 rates, which stand in order by prefix). `rate_lookup_us` is of 100,000
  random numbers on either route in a process like the one with calls, no number twice;
  `million_rates_rss_mb` is of a host just started on that store, without a call.
- `authorize_rate` and `settle_rate` are of the charging of calls itself, without a network: one
  writer commits 64 operations a transaction, of 100 accounts in turn, each call with two limits, a
  hold and a posting. The peer is `sqlite3` with the same tables, batches and durability; it knows
  every row beforehand, asks for none, and has neither triggers nor foreign keys. At the end both
  hold the same rows, or nothing is compared.
- `postgres_authorize_rate` and `postgres_settle_rate` are the same calls in a cluster of PostgreSQL
  of its own, with its default settings (fsync on) and a Unix socket; it runs on the same cores. The
  peer is psycopg with the same tables, rows, batches and durability, a statement at a time, without
  triggers and foreign keys.
- IAX2: a program of our own is caller and called party; 50 calls of u-law, a frame of 20 ms each
  way, mini frames or a trunk's meta frames; at the other end of `iax2_sip_leg_cpu_ms` is RTP. Two
  legs a call, CPU while all of them talk; a run in which more than 1 % of the frames is lost does
  not count. `iax2_setup_cpu_ms` is of calls with call token and MD5 to a registered telephone that
  talk for a second without sound.
- The peer over IAX2 is Asterisk from Debian's sid, where `python3 tasks.py asterisk` has put it:
  the same callers and called parties, call token and MD5, no log, media kept on it. It charges
  nothing and stores nothing.
- `dtmf_us_per_frame` and `line_cpu_pct` are of a port's audio alone, in the benchmark's own
  process: frames of noise with a digit every two seconds, both ends loud and half of the far one
  coming back as echo; the second is the difference of a port with canceller and receiver and one
  without.
- `mouth_to_ear_ms`: one simulated handset calls the other in real time, each on a device of its own
  over IAX2 with a jitter buffer of at least 40 ms, through the host. Half a second of noise is said
  into one and recorded from the other's ear, and found there by cross-correlation. A simulated line
  carries at one instant the 20 ms that were said and those that were heard before it; by these
  instants the two are compared, so that what a frame waits for until it is whole, and what it waits
  for in the line until it is heard, are counted. The median of 20 calls, and what
  95 of a hundred stay within.
- After every load the CDRs are held against what SIPp saw. At the end the host is killed by -9 in
  the middle of 200 calls a second and started again: each call that SIPp saw answered has to have
  exactly one CDR, whatever CDR SIPp saw no answer of must be of a call in flight at the kill, no
  call may be left open, and `loopstart-host ledger check` must find nothing. Otherwise the exit
  status is 1.
"""


def table(figures: list[Figure]) -> Table:
    """Figures as a table for the terminal."""
    made = Table(title="What a call costs")
    for column, justify in (
        ("", "left"),
        ("measured", "right"),
        ("peer", "right"),
        ("ratio", "right"),
        ("reach", "right"),
        ("", "left"),
    ):
        made.add_column(column, justify=justify)  # type: ignore[arg-type]
    for figure in figures:
        reached = figure.reached
        mark = "" if reached is None else "[green]yes[/]" if reached else "[red]no[/]"
        made.add_row(
            f"{figure.measure.name}\n[dim]{figure.measure.title}[/]",
            _amount(figure.value, figure.measure.unit),
            _amount(figure.peer_value, figure.measure.unit),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.reach,
            mark,
        )
    return made


def markdown(
    figures: list[Figure], verdict: list[str], limits: list[str], others: float, quick: bool
) -> str:
    """The whole of RESULTS.md.

    Args:
        verdict: what was found about the CDRs, a sentence a line.
        limits: what ended the search for the highest rates, a sentence a try.
        others: cores that were busy with something else, on average.
    """
    lines = ["## The machine", ""]
    lines += [f"- {fact}" for fact in machine()]
    busy = max(0.0, others)
    lines.append(f"- busy with other things while this ran: {busy:.2f} of a core on average")
    lines += ["", "## The figures", ""]
    if quick:
        lines += ["Of a `--quick` run: they show that it works, and are worth little.", ""]
    lines += [
        "| name | what | measured | runs | peer | peer's runs | ratio | reach | reached "
        "| yardstick |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for figure in figures:
        measure = figure.measure
        reached = {None: "", True: "yes", False: "no"}[figure.reached]
        cells = (
            f"`{measure.name}`",
            measure.title,
            _amount(figure.value, measure.unit),
            _runs(figure.runs),
            _amount(figure.peer_value, measure.unit),
            _runs(figure.peer_runs),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.reach,
            reached,
            _amount(figure.yardstick_ms, "ms"),
        )
        lines.append("| " + " | ".join(cells) + " |")
    missing = [one.name for one in MEASURES if all(f.measure is not one for f in figures)]
    if missing:
        lines += ["", f"Not measured in this run: {', '.join(missing)}."]
    lines += ["", "The peer is Sippy's `b2bua_simple`, over IAX2 a current Asterisk."]
    if limits:
        lines += ["", "## What ended the search for the highest rate", ""]
        lines += [f"- {sentence}" for sentence in limits]
    lines += ["", "## The books", ""]
    lines += ["- " + sentence.removeprefix("bench: ") for sentence in verdict]
    return _HEAD + "\n".join(lines) + "\n" + _METHOD


def machine() -> list[str]:
    """What the figures depend on, without dates."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.+)", info)
    flags = re.search(r"^flags\s*:.*\bhypervisor\b", info, re.MULTILINE)
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    assert memory is not None
    return [
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores"
        + (", a virtual machine" if flags else ""),
        f"{int(memory[1]) / 2**20:.0f} GB of memory, the store on {_file_system()}",
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        + ", ".join(f"{name} {_version(name)}" for name in ("uvloop", "rtp.io", "sippy")),
        f"the host's SIP core: {'compiled' if compiled.place().is_dir() else 'Python'}",
        f"SIPp {_sipp_version()}",
    ]


def _file_system() -> str:
    here = str(Path(__file__).resolve())
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    fitting = [m for m in mounts if here.startswith(m[0].rstrip("/") + "/")]
    return max(fitting, key=lambda mount: len(mount[0]), default=["", "an unknown file system"])[1]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(absent)"


def _sipp_version() -> str:
    told = subprocess.run([sipp.PROGRAM, "-v"], capture_output=True, text=True, check=False)
    found = re.search(r"SIPp v([0-9.]+\d)", told.stdout + told.stderr)
    return found[1] if found else "of an unknown version"


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.0f} {unit}" if value >= 100 or unit == "1/s" else f"{value:.3g} {unit}"


def _runs(runs: tuple[float, ...]) -> str:
    return ", ".join(f"{run:.3g}" for run in runs) if len(runs) > 1 else ""
