"""`python3 tasks.py factory-reset`: has a board restore its defaults, over its console.

Configuration, secrets and what the owner has set are cleared; both versions and the choice between
them stay. Exit status: 0 the defaults are restored; 1 they could not be; 2 the command is wrong; 3
the board cannot be asked; 4 the port cannot be used, or went away.
"""

from __future__ import annotations

import argparse
import sys

from boards.factory_reset import FactoryResetDialogue, ResetWatch
from boards.flash.report import Report, clock, report_for
from boards.flash.session import FAILED, carried, guarded, target_of


def main(words: list[str]) -> int:
    """Restore the defaults; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python3 tasks.py factory-reset",
        description="Clears a board's configuration, secrets and settings, over its console.",
    )
    parser.add_argument("--board", required=True, help="its name, or the path of its file")
    parser.add_argument("--port", required=True, help="/dev/ttyUSB0, or socket://host:port")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(words)
    report = report_for(given.json)
    return guarded(report, lambda: _reset(given, report))


def _reset(given: argparse.Namespace, report: Report) -> int:
    target = target_of(given.board)
    run = FactoryResetDialogue(target.flash, target.loader, clock())
    words = f"{target.board.name}: its configuration, secrets and settings are cleared"
    with carried(target, given.port, run, report, words) as follow:
        if run.failure:
            report.result(run.failure)
            return FAILED
        boot = ResetWatch(clock())
        follow(boot)
        report.result(boot.failure)
        return FAILED if boot.failure else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
