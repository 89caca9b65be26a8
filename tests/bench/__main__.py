"""`python -m tests.bench`: what a call, a registration and a device cost, beside a peer.

Exit status: 0 measured and the books agree, 1 CDRs or ledger are wrong or a load failed, 2 wrong
usage or a program is missing. A figure that misses what it is to reach is no failure here.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from hal.drivers.sim_client import HandsetError
from tests.bench import report, sipp
from tests.bench.figures import BY_NAME, MEASURES, Figure
from tests.bench.measures import QUICK, Bench, Plan
from tests.bench.processes import machine_busy_s
from tests.bench.subjects import Bed, have_peer
from tests.bench.yardstick import yardstick_ms
from tests.scenarios.rig import ROOT

_BUSY_CORES = 0.1
"""So much work of others is worth a word."""

Group = tuple[tuple[str, ...], Callable[[set[str]], Iterator[Figure]], float]


def groups(bench: Bench, plan: Plan) -> list[Group]:
    """Names, how they are measured together, and about how many seconds it takes."""
    turns, run_s = plan.rounds, plan.call_s + 3
    return [
        (
            (
                "sip_setup_ms",
                "sip_call_cpu_ms",
                "sip_call_noauth_cpu_ms",
                "sip_call_relayed_cpu_ms",
            ),
            bench.calls,
            4 * (turns * run_s + 5),
        ),
        (("sip_call_cpu_ms_loaded", "host_rss_mb"), bench.loaded, turns * (plan.loaded_s + 3)),
        (("sip_call_rate",), bench.rate, 2 * min(len(plan.rates), 9) * (plan.step_s + 4)),
        (("register_cpu_ms",), bench.register, (turns + 1) * (plan.register_s + 2)),
        (("host_rss_growth_mb",), bench.growth, plan.growth_calls[1] / plan.growth_rate + 6),
        (
            ("iax2_leg_cpu_ms", "iax2_trunk_leg_cpu_ms", "iax2_sip_leg_cpu_ms"),
            bench.iax2_legs,
            3 * turns * (plan.talk_s + 7),
        ),
        (("iax2_setup_cpu_ms",), bench.iax2_setup, turns * (plan.call_s + 3) + 4),
        (
            ("rate_lookup_us", "rate_import_s", "million_rates_rss_mb"),
            bench.rates,
            41 + 2 * turns,
        ),
        (("authorize_rate", "settle_rate"), bench.store, 5 * turns),
        (
            ("postgres_authorize_rate", "postgres_settle_rate"),
            bench.store_postgres,
            turns * plan.store_calls / 300 + 5,
        ),
        (("device_rss_mb", "device_cpu_pct"), bench.device, plan.device_s + 7),
        (
            ("iax2_device_rss_mb", "iax2_device_cpu_pct", "iax2_device_encrypted_rss_mb"),
            bench.iax2_device,
            1.5 * plan.device_s + 15,
        ),
        (("dtmf_us_per_frame", "line_cpu_pct"), bench.port, 0.3 * turns * plan.port_s),
        (("mouth_to_ear_ms", "mouth_to_ear_p95_ms"), bench.mouth_to_ear, 5 * plan.voice_calls + 6),
    ]


def run(options: argparse.Namespace, err: Console) -> int:
    """Measure, print, and say whether the books agree; the exit status."""
    wanted = set(options.only or BY_NAME)
    plan = QUICK if options.quick else Plan()
    figures: list[Figure] = []
    failed = False
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    # On the disk that the repository is on: durable is worth nothing on a file system in memory.
    scratch = ROOT / ".loopstart"
    scratch.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=scratch) as folder,
        Progress(
            *columns,
            TimeRemainingColumn(),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        ) as bar,
    ):
        task = bar.add_task("preparing the store")
        pending = [0.0]

        def step(what: str, seconds: float) -> None:
            bar.update(task, description=what, advance=pending[0])
            pending[0] = seconds

        bench = Bench(Bed(Path(folder)), plan, step)
        chosen = [group for group in groups(bench, plan) if wanted & set(group[0])]
        bar.update(task, total=sum(group[2] for group in chosen) + plan.kill_s + 8)
        begun, busy, own = _clock(), machine_busy_s(), _own_s()
        for _, measure, _ in chosen:
            first, before_ms = len(figures), yardstick_ms()
            try:
                for figure in measure(wanted):
                    if figure.measure.name in wanted:
                        figures.append(figure)
                        if options.json:
                            print(json.dumps(figure.as_json()), flush=True)
            except (RuntimeError, HandsetError) as error:
                # The others can be measured all the same.
                failed = True
                err.print(f"bench: {error}", markup=False)
            pace_ms = (before_ms + yardstick_ms()) / 2
            figures[first:] = [replace(one, yardstick_ms=pace_ms) for one in figures[first:]]
        told = bench.kill()
        others = (machine_busy_s() - busy - (_own_s() - own)) / (_clock() - begun)
    verdict = bench.books.verdict()
    if not options.json:
        Console().print(report.table(figures))
    if others > _BUSY_CORES:
        err.print(f"bench: others used {others:.2f} of a core meanwhile: the figures are too high")
    if options.results:
        text = report.markdown(figures, [verdict, told], bench.limits, others, options.quick)
        options.results.write_text(text, "utf-8")
    out = sys.stderr if options.json else sys.stdout
    limits = [f"bench: {limit}" for limit in bench.limits]
    print(*limits, f"bench: {told}", verdict, sep="\n", file=out, flush=True)
    return 1 if failed or bench.books.faults else 0


def _clock() -> float:
    return os.times().elapsed


def _own_s() -> float:
    """Processor time of this process and of all that it started and that has ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main() -> int:
    """Read the command line and run."""
    # Then every process that was started is ended, and the store removed.
    signal.signal(signal.SIGTERM, _leave)
    parser = argparse.ArgumentParser(
        prog="tasks.py bench", description=(__doc__ or "").splitlines()[0].split(": ")[1]
    )
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument(
        "--quick", action="store_true", help="a slice of each, to see that it works"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        choices=sorted(BY_NAME),
        help="some of " + ", ".join(measure.name for measure in MEASURES),
    )
    parser.add_argument("--results", type=Path, metavar="FILE", help="write it all as Markdown")
    options = parser.parse_args()
    err = Console(stderr=True)
    if not sipp.PROGRAM:
        err.print("bench: SIPp is not installed: run `sudo apt-get install sip-tester`")
        return 2
    if not have_peer():
        err.print("bench: Sippy is not installed, nothing is compared: run `pip install sippy`")
    try:
        return run(options, err)
    except RuntimeError as error:
        err.print(f"bench: {error}", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130


def _leave(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
