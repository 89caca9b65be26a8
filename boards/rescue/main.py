"""Rescue's shell: a prompt on the serial console, and what it is told there.

Started by the kernel as the first process (`first`), or by hand for a try:
`micropython -m boards.rescue.main --layout rescue.json`.
"""

import argparse
import logging
import select
import socket
import sys
import termios
import time

from boards.rescue import layout as layouts
from boards.rescue import starter, system
from boards.rescue.filler import SlotFiller
from boards.rescue.tftp import PORT
from boards.rescue.transfer import NetworkTransfer, SerialTransfer
from firmware.wire import ed25519

_log = logging.getLogger()  # in the older of micropython-lib, others say nothing
HELP = (
    "y                               receive an image here, by YMODEM",
    "t ADDRESS/BITS SERVER[:PORT] FILE   fetch it by TFTP; ADDRESS is this board's",
    "r                               start the board anew",
)
LAYOUT = "/etc/rescue.json"
_RETURN, _ERASE = (13, 10), (8, 127)
_MOST_LINE = 300
_MOST_OCTETS = 1_100
"""Taken from the console at once: a block of YMODEM and its frame."""
_DATAGRAM = 2_000
_AGAIN_S = 60
"""A system that cannot be there starts the board anew after so long."""
_SAID_EVERY = 1 << 20
"""Octets between two words on how far it is; by YMODEM the console has no place for them."""


def _now() -> float:
    return time.ticks_ms() / 1000  # type: ignore[attr-defined,no-any-return]


class Console:
    """The serial port."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "r+b")  # noqa: SIM115 - it lives as long as the system
        descriptor = self._file.fileno()
        try:
            termios.setraw(descriptor)  # type: ignore[attr-defined]
        except OSError:
            _log.warning("%s is no terminal", path)
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)
        self._typed = b""
        """What came behind the end of a line."""

    def say(self, text: str) -> None:
        """A line."""
        self.send((text + "\r\n").encode())

    def send(self, octets: bytes) -> None:
        """Octets as they are."""
        rest = octets
        while rest:
            count = self._file.write(rest)
            rest = rest[count or 0 :]

    def receive(self, wait_s: float) -> bytes:
        """What comes within a time, as much as there is; empty where nothing does."""
        octets, self._typed = self._typed, b""
        if octets or not self._poll.poll(max(0, int(wait_s * 1000))):
            return octets
        octets = system.read(self._file.fileno(), _MOST_OCTETS)
        if not octets:
            time.sleep(0.1)  # the cable's other end has hung up
        return octets

    def line(self) -> str:
        """What somebody types, with his corrections, until Return."""
        self.send(b"rescue> ")
        typed = bytearray()
        while True:
            octets = self.receive(3_600.0)
            for at, octet in enumerate(octets):
                if octet in _RETURN:
                    self._typed = octets[at + 1 :]
                    self.send(b"\r\n")
                    return typed.decode()
                typed = self._key(typed, octet)

    def _key(self, typed: bytearray, octet: int) -> bytearray:
        if octet in _ERASE:
            if typed:
                self.send(b"\b \b")
            return typed[:-1]
        if 32 <= octet < 127 and len(typed) < _MOST_LINE:
            typed.append(octet)
            self.send(bytes((octet,)))
        return typed


class Rescue:
    """The board's last resort."""

    def __init__(self, layout, console: Console) -> None:  # type: ignore[no-untyped-def]
        self._layout = layout
        self._console = console
        self._key = bytes.fromhex(layout["key"])
        self._disk: system.Disk | None = None

    def run(self) -> None:
        """Ask and do, until a slot is written."""
        say = self._console.say
        say(f"rescue: this is {self._layout['board']}; {self._standing()}")
        for line in HELP:
            say("rescue: " + line)
        while True:
            try:
                if self._obey(self._console.line().split()):
                    return
            except OSError as error:
                say(f"rescue: {self._layout['disk']}: {error}; is it the board's flash?")
            except (ValueError, system.SystemError_) as error:
                say(f"rescue: {error}")

    def _standing(self) -> str:
        """What the boot state says, for whoever has not pressed the button himself."""
        try:
            filler = self._prepared()
        except OSError as error:
            return f"its flash {self._layout['disk']} cannot be read: {error}"
        if not filler.known:
            return "nothing is installed on it"
        good = filler.good
        return f"slot {' and '.join(good)} has proved good" if good else "no slot has proved good"

    def _obey(self, words: "list[str]") -> bool:
        if words == ["y"]:
            return self._by_ymodem()
        if len(words) == 4 and words[0] == "t":
            return self._by_tftp(words[1], words[2], words[3])
        if words == ["r"]:
            return True
        if words:
            for line in HELP:
                self._console.say("rescue: " + line)
        return False

    def _prepared(self) -> SlotFiller:
        if self._disk is None:
            self._disk = system.Disk(self._layout["disk"])
        return SlotFiller(self._disk, self._layout, self._layout["board"], self._verify)

    def _filler(self) -> SlotFiller:
        filler = self._prepared()
        taken = f"images from version {filler.floor} on are taken"
        self._console.say(f"rescue: slot {filler.slot} is written; {taken}")
        return filler

    def _verify(self, message: bytes, signature: bytes) -> bool:
        return ed25519.verify(self._key, message, signature)

    def _by_ymodem(self) -> bool:
        filler = self._filler()
        self._console.say("rescue: start the transfer now")
        transfer = SerialTransfer(filler, _now())
        while not transfer.over:
            octets = self._console.receive(max(0.0, transfer.deadline - _now()))
            now = _now()
            answer = transfer.receive(octets, now) if octets else transfer.tick(now)
            if answer:
                self._console.send(answer)
        return self._told(transfer)

    def _by_tftp(self, own: str, server: str, name: str) -> bool:
        address, _, bits = own.partition("/")
        host, _, port = server.partition(":")
        numbers = address.split(".") + host.split(".") + [bits or "24", port or str(PORT)]
        if len(numbers) != 10 or any(not _is_number(one) for one in numbers):
            raise ValueError("write addresses as in t 192.0.2.10/24 192.0.2.1 qemu-arm64.img")
        if address != "127.0.0.1":
            found = system.interfaces()
            if not found:
                raise ValueError("this board has no network interface")
            system.set_address(found[0], address, int(bits or 24))
        transfer = NetworkTransfer(self._filler(), host, name, _now(), int(port or PORT))
        self._fetch(transfer)
        return self._told(transfer)

    def _fetch(self, transfer: NetworkTransfer) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            said = 0
            while not transfer.over:
                for datagram, where in transfer.tick(_now()):
                    sock.sendto(datagram, socket.getaddrinfo(where[0], where[1])[0][-1])
                if not poll.poll(max(1, int((transfer.deadline - _now()) * 1000))):
                    continue
                datagram, source = sock.recvfrom(_DATAGRAM)
                for answer, _ in transfer.receive(datagram, _where(source), _now()):
                    sock.sendto(answer, source)
                if transfer.taken - said >= _SAID_EVERY:
                    said = transfer.taken
                    self._console.say(f"rescue: {said >> 20} of {(transfer.length or 0) >> 20} MiB")
        finally:
            sock.close()

    def _told(self, transfer) -> bool:  # type: ignore[no-untyped-def]
        if transfer.failure:
            self._console.say("rescue: refused: " + transfer.failure)
            return False
        self._console.say(f"rescue: version {transfer.version} is written and proved; restarting")
        return True


def _is_number(text: str) -> bool:
    return bool(text) and all("0" <= one <= "9" for one in text) and int(text) < 65_536


def _where(source) -> "tuple[str, int]":  # type: ignore[no-untyped-def]
    """MicroPython's addresses are octets."""
    _, octets, port = socket.sockaddr(source)[:3]  # type: ignore[attr-defined]
    return ".".join(str(one) for one in octets), port


def main(words: "list[str] | None" = None) -> int:
    """Be there until a slot is filled; 2 where that cannot be."""
    parser = argparse.ArgumentParser(prog="rescue", description="Fills a slot when none boots.")
    parser.add_argument("--layout", default=LAYOUT, help="the board's layout")
    options = parser.parse_args(sys.argv[1:] if words is None else words)
    logging.basicConfig(level=logging.INFO)
    try:
        with open(options.layout) as file:
            layout = layouts.loads(file.read())
    except (OSError, layouts.LayoutError) as error:
        _log.error("%s: %s", options.layout, error)
        return 2
    Rescue(layout, Console(layout["console"])).run()
    return 0


def first() -> None:
    """What the first process does: set the system up, be there, start the board anew."""
    logging.basicConfig(level=logging.INFO)
    system.mount_all()
    for name in system.load_modules("/etc/modules", "/lib/modules"):
        _log.warning("the module %s does not load", name)
    system.hush()
    while True:
        try:
            starter.start_slot(LAYOUT)
            if main([]):
                time.sleep(_AGAIN_S)
            system.restart()
        except Exception as error:  # the kernel stops when its first process ends
            sys.print_exception(error)  # type: ignore[attr-defined]
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
