"""`python3 tasks.py diagnose`: one file of a board's logs and versions, without secrets.

The board is restarted twice. Exit status: 0 all is there; 1 the board did not answer; 2 the command
is wrong; 3 the board cannot be asked, or the file not be written; 4 the port cannot be used.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from boards.diagnose import DiagnoseDialogue, bundle
from boards.flash.images import Refused
from boards.flash.report import Report, clock, report_for
from boards.flash.session import carry_through, guarded, target_of


def main(words: list[str]) -> int:
    """Gather; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python3 tasks.py diagnose",
        description="Gathers a board's logs and versions, without secrets; restarts it.",
    )
    parser.add_argument("--board", required=True, help="its name, or the path of its file")
    parser.add_argument("--port", required=True, help="/dev/ttyUSB0, or socket://host:port")
    parser.add_argument("--output", type=Path, help="a new file; default: diagnose-BOARD.txt")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(words)
    report = report_for(given.json)
    return guarded(report, lambda: _diagnose(given, report))


def _diagnose(given: argparse.Namespace, report: Report) -> int:
    target = target_of(given.board)
    shell = target.board.boot.shell if target.board.boot else ""
    run = DiagnoseDialogue(target.flash, target.loader, shell, clock())
    path: Path = given.output or Path(f"diagnose-{target.board.name}.txt")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Refused(
            f"{path} cannot be made ({error.strerror}): give another as --output"
        ) from None
    try:
        words = f"the bundle becomes {path}"
        return carry_through(target, given.port, run, report, words, watched=False)
    finally:
        with open(descriptor, "w") as out:
            out.write(bundle(run.sections))
        if not run.sections:
            path.unlink()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
