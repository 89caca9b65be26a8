"""`python3 tasks.py provision`: gives a flashed board its configuration, over its console.

The file is that of `loopstart-ata --config`: address, accounts, `[provisioning]` with the device's
secret. Exit status as that of `flash`; 3: the configuration is refused.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from boards.flash.images import Refused
from boards.flash.report import Report, clock, report_for
from boards.flash.session import carry_through, guarded, target_of
from boards.provision import ProvisionDialogue

_CHECK_S = 60


def arguments_of(words: list[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        prog="python3 tasks.py provision",
        description="Gives a flashed board its configuration, over its console.",
    )
    parser.add_argument("--board", required=True, help="its name, or the path of its file")
    parser.add_argument("--port", required=True, help="/dev/ttyUSB0, or socket://host:port")
    parser.add_argument("--config", required=True, type=Path, help="as loopstart-ata takes it")
    parser.add_argument("--no-watch", action="store_true", help="do not wait for its registration")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Provision; the exit status."""
    given = arguments_of(words)
    report = report_for(given.json)
    return guarded(report, lambda: _provision(given, report))


def _provision(given: argparse.Namespace, report: Report) -> int:
    target = target_of(given.board)
    octets = checked(given.config)
    run = ProvisionDialogue(target.flash, target.loader, octets, clock())
    words = f"{given.config.name}: the configuration is good"
    return carry_through(target, given.port, run, report, words, watched=not given.no_watch)


def checked(path: Path) -> bytes:
    """The configuration, as the device's own program finds it good.

    Raises:
        Refused: it cannot be read, or is wrong.
    """
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise Refused(f"{path} cannot be read ({error.strerror})") from None
    # By the program itself, in a process of its own: boards know nothing of its configuration.
    command = [sys.executable, "-m", "firmware.app", "--config", str(path), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_CHECK_S, check=False)
    if done.returncode:
        raise Refused(f"the configuration is not sent: {done.stderr.strip()}")
    return octets


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
