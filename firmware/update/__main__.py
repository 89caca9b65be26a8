"""The command `loopstart-update`: asks the host for configuration and firmware, by and by."""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import NoReturn

from boards.board import Board as BoardFile
from boards.board import load_board
from boards.schema import ConfigError
from boards.slot import Placing
from boards.state import BootState, Slot
from firmware.clock import monotonic_ms
from firmware.config import Config, load_config
from firmware.log import set_up
from firmware.network import has_way_out
from firmware.update.agent import Agent, Hands, end_when_idle
from firmware.update.connecting import connect
from firmware.update.files import ConfigFiles, load_kept
from firmware.update.machine import Update
from firmware.update.medium import Medium
from firmware.update.migration import MigrationError, own_path
from firmware.update.places import Places, ProvisioningConfig
from firmware.update.progress import ProgressFile
from firmware.update.slots import SlotWriter
from firmware.update.values import Board, CheckSync, Event, Fetch, Times
from firmware.update.worker import Worker
from firmware.wire.ed25519 import KEY_OCTETS, verify
from firmware.wire.image_check import ImageCheck

_log = logging.getLogger("loopstart")
EXAMPLES = """examples:
  loopstart-update --config ata.toml
      configuration alone, on a machine that the program was installed on by hand
  loopstart-update --config ata.toml --flash /dev/vda --slot a --key image-key.pub
      firmware, too; `loopstart.slot=a` on the kernel's command line says the slot as well

It runs beside `loopstart-ata`, with the same configuration, of which it needs [provisioning].
Without that, and with --flash, it asks nobody: it sees whether a slot that is on trial works, says
so to the boot loader, and ends.
SIGHUP lets it ask the host at once. SIGTERM and SIGINT end it; a download that is under way goes on
next time where it was.
"""


def parser() -> argparse.ArgumentParser:
    """What `loopstart-update` understands."""
    made = argparse.ArgumentParser(
        prog="loopstart-update",
        description="Gets a device's configuration and firmware from its host.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--config", required=True, metavar="FILE", help="TOML configuration")
    made.add_argument("--flash", metavar="DEVICE", help="block device with the slots")
    made.add_argument("--slot", choices=("a", "b"), help="the slot that this system runs from")
    made.add_argument("--key", metavar="FILE", help="public key of images, 64 hexadecimal digits")
    made.add_argument("--label", default="", help="name of the version that runs")
    made.add_argument("--restart", default="reboot", help="command that restarts the board")
    return made


def _fail(text: str) -> NoReturn:
    print(f"loopstart-update: {text}", file=sys.stderr)
    raise SystemExit(2)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says."""
    options = parser().parse_args(arguments)
    try:
        path = own_path(Path(options.config))
        config = load_config(path)
        if config.provisioning is None and not options.flash:
            _fail(f"{path} has no [provisioning]: add it, or do not start this program")
        board = load_board(config.board, path.parent)
    except (ConfigError, MigrationError) as error:
        print(error, file=sys.stderr)
        return 2
    set_up(config.log_level)
    events: SimpleQueue[Event] = SimpleQueue()
    agent, worker = _made(options, path, config, board, events)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        agent.stopping = True

    def ask(_signal: int, _frame: FrameType | None) -> None:
        events.put(CheckSync())

    signal.signal(signal.SIGHUP, ask)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    worker.start()
    _log.info("updates are looked after", extra={"board": board.name, "label": options.label})
    return agent.run()


def _made(
    options: argparse.Namespace,
    path: Path,
    config: Config,
    board: BoardFile,
    events: SimpleQueue[Event],
) -> tuple[Agent, Worker]:
    given = config.provisioning or ProvisioningConfig()
    places = Places.of(given, config.state_dir)
    files = ConfigFiles(path)
    slots = _Slots(options, board, ProgressFile(places.received))
    kept = files.settle(load_kept(places.kept))
    update = Update(
        slots.board(),
        kept,
        lambda configuration: files.problem(configuration, given),
        random.SystemRandom().random,
        monotonic_ms(),
        Times(refused_ms=given.register_within_s * 1000),
        asks=config.provisioning is not None,
    )
    worker = Worker(lambda: connect(given, places), slots.writer, events.put)
    hands = Hands(
        slots.write_state,
        end_when_idle,
        lambda: _restart(options.restart),
        has_way_out,
    )
    return Agent(update, places, files, worker, hands, events, options.label), worker


class _Slots:
    """The board's slots, if it has any that this program was told of."""

    def __init__(
        self, options: argparse.Namespace, board: BoardFile, progress: ProgressFile
    ) -> None:
        self._name = board.name
        self._progress = progress
        self._medium: Medium | None = None
        self._running: Slot | None = options.slot or _slot_of(Path("/proc/cmdline"))
        if not options.flash:
            return
        if board.flash is None:
            _fail(f"the board {board.name} has no [flash] in its file; leave --flash away")
        if self._running is None:
            _fail("which slot runs is not known; give --slot a or --slot b")
        if not options.key:
            _fail("images are not taken from anybody; give --key FILE")
        self._key = _key(Path(options.key))
        try:
            self._medium = Medium(Path(options.flash), board.flash)
        except OSError as error:
            _fail(f"{options.flash}: {error.strerror}; name the block device with the slots")

    def board(self) -> Board:
        """As it is now."""
        if self._medium is None:
            return Board(self._name, None, None)
        boot = self._medium.boot
        state = boot.read()
        if state is None:
            _log.error("the boot state is damaged; firmware is not updated")
            return Board(self._name, None, None)
        return Board(self._name, self._running, state, (boot.version("a"), boot.version("b")))

    def write_state(self, state: BootState) -> object:
        """See `StateDevice.write`."""
        assert self._medium is not None, "without slots there is no state"
        return self._medium.boot.write(state)

    def writer(self, order: Fetch) -> SlotWriter:
        """What writes this image."""
        assert self._medium is not None
        key = self._key
        check = ImageCheck(self._name, order.floor, lambda *signed: verify(key, *signed))
        return SlotWriter(self._medium, order.slot, order.firmware, check, Placing, self._progress)


def _slot_of(command_line: Path) -> Slot | None:
    """`loopstart.slot=` of the kernel's command line."""
    try:
        words = command_line.read_text().split()
    except OSError:
        return None
    if "loopstart.slot=a" in words:
        return "a"
    return "b" if "loopstart.slot=b" in words else None


def _key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except OSError as error:
        _fail(f"{path}: {error.strerror}; name the file of the public key")
    except ValueError:
        key = b""
    if len(key) != KEY_OCTETS:
        _fail(f"{path} is no public key of {2 * KEY_OCTETS} hexadecimal digits")
    return key


def _restart(command: str) -> None:
    os.sync()
    subprocess.run(command.split(), check=False, timeout=60)


if __name__ == "__main__":
    sys.exit(main())
