"""What the commands that speak to a boot loader have in common: board, port, run, exit status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from boards.board import Board, load_board
from boards.flash.images import Refused
from boards.flash.port import Port, PortError
from boards.flash.report import Report, clock
from boards.flash.run import Helper, Watch, flash, watch
from boards.flash.tftp_server import ServerError
from boards.flash.watch import BootWatch
from boards.hardware import Console, Flash, Loader
from boards.loader_run import LoaderRun
from boards.prompt import FlashFailed
from boards.schema import ConfigError

REGISTERED, FAILED, WRONG, REFUSED, NO_PORT, UNREGISTERED = 0, 1, 2, 3, 4, 5
INTERRUPTED = 130


class WrongArguments(Exception):
    """The command line says what cannot be."""


@dataclass(frozen=True, slots=True)
class Target:
    """A board that can be flashed."""

    board: Board
    flash: Flash
    loader: Loader
    console: Console


def target_of(name: str) -> Target:
    """The board called so, or the one in the file of that path.

    Raises:
        ConfigError: there is none.
        Refused: it is not one that is flashed.
    """
    board = load_board(name, Path.cwd())
    if board.flash is None or board.loader is None or board.console is None:
        raise Refused(
            f"the board {board.name} is not one that is flashed: its file has no [flash], [loader] "
            "and [console] (boards/README.md says what they hold)"
        )
    return Target(board, board.flash, board.loader, board.console)


def guarded(report: Report, work: Callable[[], int]) -> int:
    """Do the work; whatever can go wrong becomes its last words and an exit status."""
    try:
        return work()
    except (ConfigError, WrongArguments) as error:
        report.result(str(error))
        return WRONG
    except ServerError as error:
        report.result(str(error))
        return FAILED
    except (Refused, FlashFailed) as error:
        report.result(str(error))
        return REFUSED
    except PortError as error:
        report.result(str(error))
        return NO_PORT
    except KeyboardInterrupt:
        report.result("broken off; the same command goes on where it has stopped")
        return INTERRUPTED


@contextmanager
def carried(
    target: Target,
    port_name: str,
    run: LoaderRun,
    report: Report,
    first_words: str,
    helper: Helper | None = None,
) -> Iterator[Callable[[Watch], None]]:
    """The port, open, and the run at its end; gives what follows the board that it has started.

    Raises:
        PortError: the port cannot be used, or goes away.
    """
    port = Port(port_name, target.console.baud)
    try:
        report.told(first_words)
        heard = flash(port, run, helper or Helper(), report, clock)
        yield lambda boot: watch(port, boot, heard, report, clock)
    finally:
        port.close()


def carry_through(
    target: Target,
    port_name: str,
    run: LoaderRun,
    report: Report,
    first_words: str,
    helper: Helper | None = None,
    watched: bool = True,
) -> int:
    """Open the port, bring the run to its end, and see the device register; the exit status.

    Raises:
        PortError: the port cannot be used, or goes away.
    """
    with carried(target, port_name, run, report, first_words, helper) as follow:
        if run.failure or not watched:
            report.result(run.failure)
            return FAILED if run.failure else REGISTERED
        boot = BootWatch(tuple(line.name for line in target.board.lines), clock())
        follow(boot)
        report.result(boot.failure, server=boot.server)
        return UNREGISTERED if boot.failure else REGISTERED
