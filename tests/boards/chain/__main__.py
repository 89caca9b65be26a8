"""From an all-zero disk over two versions and four broken ones to version 2, under power cuts.

`python3 -m tests.boards.chain IMAGE --key KEY` goes on in a network namespace of its own (as root),
where a host listens and QEMU's board finds it; it prints a line for each step, and at the end each
check.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.boards.chain.stage import Stage
from tests.boards.chain.steps import STEPS
from tests.boards.network import SERVER
from tests.scenarios.report import Report

_INSIDE = "LOOPSTART_CHAIN_INSIDE"


def main() -> int:
    """Play; exit status 1 if a check fails."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.boards.chain", description=__doc__)
    parser.add_argument("image", type=Path, help="version 1, as `tasks.py image` builds it")
    parser.add_argument("--key", type=Path, required=True, help="it is signed with this one")
    parser.add_argument("--rescue", type=Path, help="a rescue system that knows the key")
    known = "; ".join(f"{step} {row[0]}" for step, row in STEPS.items())
    parser.add_argument(
        "--only", nargs="+", type=int, choices=sorted(STEPS), metavar="N", help=known
    )
    parser.add_argument("--keep", action="store_true", help="leave disk and logs where they are")
    given = parser.parse_args()
    if _INSIDE not in os.environ:
        enter_namespace(sys.argv[1:])
    folder = Path(tempfile.mkdtemp(prefix="loopstart-chain-"))
    ok = asyncio.run(perform(given, folder))
    if ok and not given.keep:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()
    else:
        print(f"disk and logs are in {folder}", file=sys.stderr)
    return 0 if ok else 1


def enter_namespace(words: list[str]) -> None:
    """Go on in a network namespace of our own, with a tap that QEMU plugs a board into."""
    again = shlex.join([sys.executable, "-m", "tests.boards.chain", *words])
    script = (
        "ip link set lo up && ip tuntap add tap0 mode tap && "
        f"ip address add {SERVER}/24 dev tap0 && ip link set tap0 up && exec {again}"
    )
    os.environ[_INSIDE] = "yes"
    os.execvp("unshare", ["unshare", "--net", "--", "sh", "-c", script])


async def perform(given: argparse.Namespace, folder: Path) -> bool:
    """Set up, play in order until something fails, tell, clear away."""
    steps = {step: row for step, row in STEPS.items() if step in (given.only or STEPS)}
    report = Report({step: row[0] for step, row in steps.items()}, name="the chain")
    stage = Stage(folder, given.image, given.key, report, given.rescue)
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    began = time.monotonic()
    try:
        report.setting_up("a host, a device's account, a caller")
        await stage.start()
        with report:
            for step, (_, deed, longest_s) in steps.items():
                if not await report.play(step, deed(stage, step), longest_s) or not report.ok:
                    break
        report.finish()
        print(f"{time.monotonic() - began:.0f} s in all")
    finally:
        await stage.stop()
    return report.ok


if __name__ == "__main__":
    raise SystemExit(main())
