"""The command line of `loopstart-ata`: what is asked for, and how it is answered."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from boards.board import LineHardware
from boards.schema import ConfigError
from firmware.assembly import OneLine, lines_of
from firmware.clock import monotonic_ms
from firmware.config import Config, load_config
from firmware.heartbeat import WHOLE, Heartbeat
from firmware.line_tester import Lifted, as_json, as_table, run_now, status_of
from firmware.log import set_up
from firmware.priority import prefer_sound
from firmware.status import Notices, name_of, run_folder
from firmware.supervisor import Supervisor, end_with_parent
from firmware.ua.base import AgentError
from firmware.update.migration import MigrationError, own_path
from firmware.update.places import Places, ProvisioningConfig
from hal.drivers import open_line
from hal.values import LineFault

EXAMPLES = """examples:
  loopstart-ata --config ata.toml               run the device
  loopstart-ata --config ata.toml --check       say what is wrong with the configuration
  loopstart-ata --config ata.toml --debug       and show what goes over the wire
  loopstart-ata --config ata.toml --line-test   measure the line (GR-909); no device may run on it

Several [[lines]] in the configuration run in a process each; one that ends is started again.
It exits with 1 where the account's protocol cannot start, 2 where the configuration is wrong,
3 where the line's hardware is not there or fails.
SIGTERM and SIGINT end calls, remove this device's own registration, and exit with status 0.
SIGHUP does the same for one line; several lines then start anew, by the configuration as it is.
SIGUSR1 tests the line as soon as the telephone rests; the results are logged.
SIGUSR2 ends the program when nobody calls; several lines each when nobody calls on it.
A line test exits with 0 if it found no fault, 1 if it found one, 2 if it could not be made.
"""

NO_HARDWARE = 3
"""Exit status: whoever starts the program again may wait, for the hardware to be put in."""

Run = Callable[[Config, LineHardware, Notices | None], int]
"""Carries one line until it is told to stop; answers the exit status."""


def parser() -> argparse.ArgumentParser:
    """What `loopstart-ata` understands."""
    made = argparse.ArgumentParser(
        prog="loopstart-ata",
        description="Analog telephone adapter: joins a telephone line to a SIP or IAX2 account.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--config", required=True, metavar="FILE", help="TOML configuration")
    made.add_argument("--check", action="store_true", help="only check the configuration")
    made.add_argument(
        "--debug", action="store_true", help="log everything, and what goes over the wire"
    )
    made.add_argument("--line-test", action="store_true", help="only test the line, and tell")
    made.add_argument("--json", action="store_true", help="results of the line test as JSON")
    made.add_argument("--line", metavar="NAME", help="only this one of several [[lines]]")
    made.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    return made


def main(arguments: list[str] | None, run: Run) -> int:
    """Do what the command line says."""
    options = parser().parse_args(arguments)
    try:
        path = own_path(Path(options.config))
        lines = _lines(path)
    except (ConfigError, MigrationError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.check:
        print(f"{path}: the configuration is good")
        return 0
    if options.line:
        known = [one.name for one in lines]
        lines = tuple(one for one in lines if one.name == options.line)
        if not lines:
            words = f"there is no line `{options.line}`; {path} has {', '.join(known)}"
            print(f"loopstart-ata: {words}", file=sys.stderr)
            return 2
    if options.line_test:
        set_up("debug" if options.debug else "warning")
        return max(line_test(one, options.json) for one in lines)
    level = "debug" if options.debug else lines[0].config.log_level
    if len(lines) > 1:
        set_up(level)
        return _supervise(path, lines, options.debug)
    if options.supervised:
        end_with_parent()
    set_up(level, lines[0].name)
    return _run_one(lines[0], level, run, _notices(path, lines[0], options.supervised))


def _notices(path: Path, line: OneLine, supervised: bool) -> Notices | None:
    """Where to tell how the line is: where the device is provisioned, or the system asks."""
    whole = load_config(path)
    asked = run_folder()
    if whole.provisioning is None and asked is None:
        return None
    given = whole.provisioning or ProvisioningConfig()
    places = Places.of(given, whole.state_dir)
    name = line.name or line.hardware.name
    program = os.getppid() if supervised else os.getpid()

    def balance() -> str:
        from firmware.update.connecting import fetch_balance  # TLS: for those who ask alone

        return fetch_balance(given, places)

    known = balance if whole.provisioning is not None else None
    heartbeat = None
    if asked is not None:
        heartbeat = Heartbeat(asked, name_of(name) if supervised else WHOLE)
    return Notices(places.run, places.tests, name, program, known, heartbeat)


def _lines(path: Path) -> tuple[OneLine, ...]:
    return lines_of(load_config(path), path.parent)


def _run_one(line: OneLine, level: str, run: Run, notices: Notices | None) -> int:
    config = replace(line.config, log_level="debug") if level == "debug" else line.config
    prefer_sound()
    try:
        return run(config, line.hardware, notices)
    except (AgentError, LineFault) as error:
        name = f"{line.name}: " if line.name else ""
        print(f"loopstart-ata: {name}{error}", file=sys.stderr)
        return NO_HARDWARE if isinstance(error, LineFault) else 1


def _supervise(path: Path, lines: Sequence[OneLine], debug: bool) -> int:
    """One process a line."""
    names = [one.name for one in lines]

    def command(name: str) -> list[str]:
        words = ["--config", str(path), "--line", name, "--supervised"]
        return [sys.executable, "-m", "firmware.app", *words, *(["--debug"] if debug else [])]

    def good() -> bool:
        try:
            now = [one.name for one in _lines(path)]
        except ConfigError as error:
            print(f"loopstart-ata: nothing was changed: {error}", file=sys.stderr)
            return False
        if now != names:
            words = "the lines are others now; start the program anew"
            print(f"loopstart-ata: nothing was changed: {words}", file=sys.stderr)
            return False
        return True

    return Supervisor(names, command, good, run=run_folder()).run()


def line_test(one: OneLine, json: bool) -> int:
    """Test one line and print what was found; answers the exit status."""
    name = one.name or one.hardware.name
    try:
        line = open_line(one.hardware, monotonic_ms)
        try:
            results = run_now(line, monotonic_ms, time.sleep)
        finally:
            line.close()
    except (LineFault, Lifted) as error:
        print(f"loopstart-ata: {name}: {error}", file=sys.stderr)
        return 2
    if json:
        print(as_json(name, results))
    else:
        print(as_table(name, results, sys.stdout.isatty()))
    return status_of(results)
