"""The command line of `loopstart-ata`: what is asked for, and how it is answered."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from boards.board import LineHardware
from boards.schema import ConfigError
from firmware.assembly import hardware_of
from firmware.config import Config, load_config
from firmware.line_tester import Lifted, as_json, as_table, run_now, status_of
from firmware.log import set_up
from firmware.ua.base import AgentError
from hal.drivers import open_line
from hal.values import LineFault

EXAMPLES = """examples:
  loopstart-ata --config ata.toml               run the device
  loopstart-ata --config ata.toml --check       say what is wrong with the configuration
  loopstart-ata --config ata.toml --debug       and show what goes over the wire
  loopstart-ata --config ata.toml --line-test   measure the line (GR-909); no device may run on it

SIGTERM and SIGINT end calls, remove this device's own registration, and exit with status 0.
SIGUSR1 tests the line as soon as the telephone rests; the results are logged.
A line test exits with 0 if it found no fault, 1 if it found one, 2 if it could not be made.
"""

Run = Callable[[Config, LineHardware], int]
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
    return made


def main(arguments: list[str] | None, run: Run) -> int:
    """Do what the command line says."""
    options = parser().parse_args(arguments)
    path = Path(options.config)
    try:
        config = load_config(path)
        hardware = hardware_of(config, path.parent)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if options.check:
        print(f"{path}: the configuration is good")
        return 0
    if options.debug:
        config = replace(config, log_level="debug")
    if options.line_test:
        set_up("debug" if options.debug else "warning")
        return line_test(hardware, options.json)
    set_up(config.log_level)
    try:
        return run(config, hardware)
    except (AgentError, LineFault) as error:
        print(f"loopstart-ata: {error}", file=sys.stderr)
        return 1


def line_test(hardware: LineHardware, json: bool) -> int:
    """Test one line and print what was found; answers the exit status."""
    try:
        line = open_line(hardware, _monotonic_ms)
        try:
            results = run_now(line, _monotonic_ms, time.sleep)
        finally:
            line.close()
    except (LineFault, Lifted) as error:
        print(f"loopstart-ata: {error}", file=sys.stderr)
        return 2
    if json:
        print(as_json(hardware.name, results))
    else:
        print(as_table(hardware.name, results, sys.stdout.isatty()))
    return status_of(results)


def _monotonic_ms() -> float:
    return time.monotonic_ns() / 1e6
