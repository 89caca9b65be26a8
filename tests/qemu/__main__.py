"""DAHDI proved over its own kernel driver, in a guest.

    python -m tests.qemu [--only N...] [--json]

Boots Debian's kernel in QEMU with DAHDI's modules, puts the device on one end of a pair of
software spans and a telephone on the other, and plays calls between it and a host and a carrier
outside. Nothing of the machine is changed: the guest sees its root read-only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.qemu import steps
from tests.qemu.build import BuildError, build, missing, sound_library
from tests.qemu.machine import GuestError
from tests.qemu.stage import NETWORK, Stage
from tests.scenarios.report import Report

Step = Callable[[Stage], Awaitable[None]]

STEPS: dict[int, tuple[str, Step]] = {
    1: ("driver, spans and device", steps.driver),
    2: ("a call dialled by keys", steps.keys),
    3: ("a call dialled by pulses, flashes", steps.pulses),
    4: ("an incoming call", steps.incoming),
    5: ("a call over a bad network", steps.bad_network),
    6: ("an alarm, and its end", steps.alarm),
    7: ("the span goes in a call, and comes back", steps.away_and_back),
    8: ("the device over SIP", steps.over_sip),
    9: ("the GPIO driver's audio over snd-aloop", steps.soundcard),
}
SOUND_STEP = 9
LONGEST_STEP_S = 180.0
_INSIDE = "LOOPSTART_QEMU_INSIDE"


def prepare(options: argparse.Namespace) -> None:
    """Fetch and build while there is a network: the namespace has none.

    Raises:
        BuildError: something cannot be had; says what to do.
    """
    said = sys.stderr if options.json else sys.stdout
    print("set-up: kernel and DAHDI's modules, fetched and built once", file=said, flush=True)
    built = build()
    if SOUND_STEP in (options.only or STEPS):
        sound_library(built, Path(sys.executable))


def enter_namespace(words: list[str]) -> None:
    """Go on in a network namespace of our own, where host and carrier have their addresses.

    Raises:
        OSError: this machine does not let us.
    """
    ours = ["--net"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--net"]
    again = shlex.join([sys.executable, "-m", "tests.qemu", *words])
    script = f"ip link set lo up && ip address add {NETWORK}.1/24 dev lo && exec {again}"
    os.environ[_INSIDE] = "yes"
    os.execvp("unshare", ["unshare", *ours, "--", "sh", "-c", script])


async def perform(options: argparse.Namespace) -> int:
    """Set up, play, tell, clear away; the exit status."""
    wanted = sorted({1, *(options.only or STEPS)})
    report = Report({step: STEPS[step][0] for step in wanted}, options.json, "test-dahdi")
    stage = Stage(report)
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    began = time.monotonic()
    try:
        with report:
            if await set_up(stage):
                await play_all(stage, wanted)
        report.finish()
        said = sys.stderr if options.json else sys.stdout
        seconds = time.monotonic() - began
        accelerator = stage.machine.accelerator if stage.machine is not None else "nothing"
        print(
            f"{seconds:.0f} s under {accelerator}; {stage.lost} of {stage.heard} steps of 10 ms "
            "were missing in the tones",
            file=said,
        )
    finally:
        keep = not report.ok
        await stage.stop(keep)
        if keep:
            print(f"logs and recordings are in {stage.folder}", file=sys.stderr)
    return 0 if report.ok else 1


async def play_all(stage: Stage, wanted: list[int]) -> None:
    """Play the steps; without the first there is nothing to play the others on."""
    for step in wanted:
        played = await stage.report.play(step, STEPS[step][1](stage), LONGEST_STEP_S)
        if not played and step == 1:
            return


async def set_up(stage: Stage) -> bool:
    """Make the stage ready; what goes wrong is told as a check that failed."""
    try:
        await stage.start()
    except (TimeoutError, BuildError, GuestError, RuntimeError, OSError) as error:
        stage.report.titles = {0: "set-up", **stage.report.titles}
        stage.report.check(0, "guest, host and carrier start", False, str(error))
        return False
    return True


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(
        prog="test-dahdi",
        description="Plays calls over DAHDI's own kernel driver, in QEMU, and checks them.",
        epilog="Steps: " + "; ".join(f"{step} {row[0]}" for step, row in STEPS.items()),
    )
    parser.add_argument(
        "--only", nargs="+", type=int, choices=sorted(STEPS), metavar="N",
        help="these steps, and the first",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object a check")
    parser.add_argument(
        "--missing", action="store_true", help="only name Debian's packages that are not there"
    )
    return parser.parse_args(words)


def main() -> int:
    """Run it."""
    options = arguments()
    absent = missing()
    if options.missing:
        print("\n".join(absent))
        return 0
    if absent:
        say = f"sudo apt-get install --no-install-recommends {' '.join(absent)}"
        print(f"test-dahdi needs programs that are not there: run `{say}`", file=sys.stderr)
        return 1
    try:
        if not os.environ.get(_INSIDE):
            prepare(options)
            enter_namespace(sys.argv[1:])
    except (BuildError, OSError) as error:
        print(f"test-dahdi: {error}", file=sys.stderr)
        return 1
    try:
        return asyncio.run(perform(options))
    except asyncio.CancelledError:
        return 130


if __name__ == "__main__":
    sys.exit(main())
