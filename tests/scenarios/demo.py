"""The demo: a paid call from a handset, and every rule that stands around it.

    python -m tests.scenarios.demo [--only N...] [--keep] [--json] [--rules-off RULE...]

Starts a host on an empty store, a carrier, devices with simulated handsets over SIP and IAX2, a
scripted SIP caller and an IAX2 PBX, plays twelve steps and checks what came of them: tones in audio
from the wire and from the handset's ear, statuses as they came, CDRs and ledger as the host's own
commands show them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

from host.charging.values import Rule
from tests.scenarios import steps_calls, steps_iax2, steps_lines
from tests.scenarios.report import Report
from tests.scenarios.stage import CARRIER_HZ, FIRST_POP, MONTREAL, Stage

Step = Callable[[Stage], Awaitable[None]]

STEPS: dict[int, tuple[str, Step, tuple[Rule, ...]]] = {
    1: ("an outgoing call, value route", steps_lines.value_call, (Rule.CHARGE_OUT,)),
    2: ("an outgoing call, premium route", steps_lines.premium_call, (Rule.ROUTE_CHOICE,)),
    3: ("an incoming call on a New York DID", steps_lines.did_call, (Rule.CHARGE_DID,)),
    4: ("the POP of the DID moves", steps_lines.pop_match, (Rule.POP_MATCH,)),
    5: (
        "sixth channel, third call to one number",
        steps_calls.channels,
        (Rule.ACCOUNT_CHANNELS, Rule.ONE_NUMBER),
    ),
    6: ("an empty balance", steps_lines.no_money, (Rule.BALANCE,)),
    7: ("thirty calls, money for three", steps_calls.holds, (Rule.HOLDS,)),
    8: ("cut off when the money ends", steps_calls.cut_off, (Rule.CUT_OFF,)),
    9: ("kill -9 in mid-call, restart", steps_calls.recovery, (Rule.RECOVERY,)),
    10: ("from IAX2 to SIP", steps_iax2.iax2_to_sip, (Rule.BRIDGE,)),
    11: ("a PBX trunk, ten calls in meta frames", steps_iax2.trunk, (Rule.TRUNK,)),
    12: ("keys across IAX2 to SIP", steps_iax2.digits, (Rule.DIGITS,)),
}
"""Title, what plays it, and the rules without which it must fail."""

LANES = ((6, 1, 2), (3, 4), (5, 7, 8), (10, 12), (11,))
"""Played side by side, each in this order: alice's balance is empty until step 6 is over. Step 9
comes last and alone, for it kills the host."""
LONGEST_STEP_S = 45.0


async def play_lane(stage: Stage, lane: tuple[int, ...]) -> None:
    """Play the wanted steps of a lane, one after the other."""
    for step in lane:
        if step == 1 or (step == 2 and 1 not in stage.steps):
            await stage.host.run("pay", "alice", "15")
        if step in stage.steps:
            await stage.report.play(step, STEPS[step][1](stage), LONGEST_STEP_S)


async def perform(options: argparse.Namespace) -> int:
    """Set up, play, tell, clear away; the exit status."""
    steps = sorted(set(options.only or STEPS))
    report = Report({step: STEPS[step][0] for step in steps}, options.json)
    stage = Stage(report, steps, tuple(options.rules_off), options.keep)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(
            number, lambda: ended.set() if report.checks_over else task.cancel()
        )
    try:
        with report:
            if not await set_up(stage):
                return 1
            lanes = [lane for lane in LANES if stage.steps & set(lane)]
            await asyncio.gather(*(play_lane(stage, lane) for lane in lanes))
            if 9 in stage.steps:
                await play_lane(stage, (9,))
        report.checks_over = True
        if options.keep:
            print(softphone(stage), file=sys.stderr if options.json else sys.stdout, flush=True)
        report.finish()
        if options.keep:
            await ended.wait()
    finally:
        keep_logs = not report.ok and bool(report.checks) and not options.rules_off
        await stage.stop(keep_logs)
        if keep_logs:
            print(f"logs, recordings and the store are in {stage.folder}", file=sys.stderr)
    return 0 if report.ok else 1


async def set_up(stage: Stage) -> bool:
    """Make the stage ready; what goes wrong is told as a check that failed."""
    try:
        await stage.start()
    except (TimeoutError, RuntimeError, OSError) as error:
        stage.report.titles = {0: "set-up", **stage.report.titles}
        stage.report.check(0, "host, carrier and devices start", False, str(error))
        stage.report.finish()
        return False
    return True


def softphone(stage: Stage) -> str:
    """What to put into a softphone on this machine."""
    return f"""
The host stays up. On this machine, put into a softphone:
  server    {stage.montreal}   (UDP; POP {FIRST_POP})
  user      guest
  password  {stage.passwords["guest"]}
  dial      {MONTREAL}   (answers with a tone of {CARRIER_HZ} Hz; $15 are paid in)
See calls:  loopstart-host --config {stage.host.config} cdr list --account guest
To stop:    Ctrl-C here, or  kill {os.getpid()}
"""


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(
        prog="demo",
        description="Plays the twelve steps of a paid call and checks them.",
        epilog="Steps: " + "; ".join(f"{step} {row[0]}" for step, row in STEPS.items()),
    )
    parser.add_argument(
        "--only", nargs="+", type=int, choices=sorted(STEPS), metavar="N", help="these steps"
    )
    parser.add_argument("--keep", action="store_true", help="leave the host up for a softphone")
    parser.add_argument("--json", action="store_true", help="one JSON object a check")
    parser.add_argument(
        "--rules-off",
        nargs="+",
        default=[],
        choices=[rule.value for rule in Rule],
        metavar="RULE",
        help="do not enforce these rules, to see their steps fail: "
        + ", ".join(rule.value for rule in Rule),
    )
    return parser.parse_args(words)


def main() -> int:
    """Run the demo."""
    try:
        return asyncio.run(perform(arguments()))
    except asyncio.CancelledError:
        return 130


if __name__ == "__main__":
    sys.exit(main())
