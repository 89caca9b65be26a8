"""`python3 tasks.py flash`: puts an image onto a board by its console, and sees it register.

Exit status: 0 the device has registered; 1 the board could not be flashed; 2 the command is wrong;
3 the image is refused; 4 the port cannot be used, or went away; 5 flashed, but not registered.
"""

from __future__ import annotations

import argparse
import ipaddress
import sys
from pathlib import Path

from boards.dialogue import FlashDialogue, RescueDialogue
from boards.flash.images import Verify, boot_writes, in_slot, public_key, read_image, verifier
from boards.flash.report import Report, clock, report_for
from boards.flash.session import Target, WrongArguments, carry_through, guarded, target_of
from boards.flash.tftp_server import TftpServer, own_address
from boards.prompt import Network


def arguments_of(words: list[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        prog="python3 tasks.py flash",
        description="Puts an image onto a board over its serial console, and sees it register. A "
        "run that was broken off goes on where it has stopped; the slot in use is never written.",
    )
    parser.add_argument("image", type=Path, nargs="?", metavar="IMAGE")
    parser.add_argument(
        "--rescue", type=Path, metavar="IMAGE", help="a rescue system, alone or beside an image"
    )
    parser.add_argument("--board", required=True, help="its name, or the path of its file")
    parser.add_argument("--port", required=True, help="/dev/ttyUSB0, or socket://host:port")
    parser.add_argument("--key", default="", help="the public key: digits, or a file")
    parser.add_argument(
        "--via", choices=("serial", "tftp"), default="serial", help="how the octets get there"
    )
    parser.add_argument(
        "--address", default="", help="of the board, with tftp: 192.0.2.2/24; else by DHCP"
    )
    parser.add_argument(
        "--server", default="", help="of this computer, with tftp, as the board sees it"
    )
    parser.add_argument("--no-watch", action="store_true", help="do not wait for its registration")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Flash; the exit status."""
    given = arguments_of(words)
    report = report_for(given.json)
    return guarded(report, lambda: _flash(given, report))


def _flash(given: argparse.Namespace, report: Report) -> int:
    # Whatever can be refused is, before the port is opened: opening it may reset a board.
    if given.image is None and given.rescue is None:
        raise WrongArguments("give an IMAGE, or a rescue system as --rescue IMAGE, or both")
    target = target_of(given.board)
    verify = verifier(public_key(given.key))
    network = _network(given)
    run, words = _run(given, target, verify, network)
    watched = given.image is not None and not given.no_watch
    helper = TftpServer(network.server, lambda name: run.offered.get(name)) if network else None
    try:
        return carry_through(target, given.port, run, report, words, helper, watched)
    finally:
        if helper is not None:
            helper.close()


def _run(
    given: argparse.Namespace, target: Target, verify: Verify, network: Network | None
) -> tuple[RescueDialogue, str]:
    """What is to be done at the boot loader, and what it is in words.

    Raises:
        Refused: what is to be sent is not to be.
    """
    board, writes = target.board, boot_writes(target.board)
    named, rescue = [], b""
    if given.rescue is not None:
        system = read_image(given.rescue, board.name, verify, rescue=True)
        rescue = in_slot(system, board)
        named.append(f"{given.rescue.name}: rescue system {system.label}")
    if given.image is None:
        run = RescueDialogue(target.flash, target.loader, rescue, clock(), writes, network)
    else:
        image = read_image(given.image, board.name, verify)
        named.append(f"{given.image.name}: version {image.label}")
        run = FlashDialogue(
            *(target.flash, target.loader, in_slot(image, board), image.version, clock()),
            *(writes, network, rescue),
        )
    return run, f"{'; '.join(named)}, for {board.name}, signed"


def _network(given: argparse.Namespace) -> Network | None:
    if given.via != "tftp":
        return None
    if not given.address:
        return Network(given.server or own_address(""))
    try:
        board = ipaddress.IPv4Interface(given.address)
    except ValueError as error:
        raise WrongArguments(f"--address: {error}; write it as 192.0.2.2/24") from None
    own = given.server or own_address(str(board.ip))
    return Network(own, str(board.ip), str(board.netmask))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
