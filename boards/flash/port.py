"""The serial port that a board hangs on: a device, a pty, or `socket://host:port` (pyserial).

Whatever goes wrong with it becomes a sentence that says what to do.
"""

from __future__ import annotations

import errno
import grp
import os
import select
import termios
from collections.abc import Sequence
from pathlib import Path

import serial

WRITE_S = 10.0
"""A port that takes nothing for so long is held up by a hardware handshake, or gone."""
_MOST = 65_536
_LOCKS = (Path("/var/lock"), Path("/run/lock"))


class PortError(Exception):
    """The port cannot be used, or not any more: what happened, and what to do next."""


class Port:
    """An open port, ours alone."""

    def __init__(self, name: str, baud: int) -> None:
        """
        Args:
            name: a device's path, or an address of pyserial's, as `socket://127.0.0.1:4000`.
            baud: bits a second; an address takes no notice of it.
        Raises:
            PortError: it is not there, another program has it, or we may not open it.
        """
        self.name = name
        _see_lock_file(name)
        try:
            self._serial = serial.serial_for_url(name, do_not_open=True)
            self._serial.baudrate = baud
            self._serial.timeout = 0
            self._serial.write_timeout = WRITE_S
            if "://" not in name:
                self._serial.exclusive = True
            self._serial.open()
        except (OSError, ValueError, termios.error) as error:
            raise PortError(_why_not_open(name, baud, error)) from None

    def fileno(self) -> int:
        """For `select`."""
        return int(self._serial.fileno())

    def read(self) -> bytes:
        """What has come; empty where nothing has.

        Raises:
            PortError: the port has gone.
        """
        try:
            return bytes(self._serial.read(_MOST))
        except (OSError, TypeError) as error:
            raise PortError(self._gone(error)) from None

    def write(self, octets: bytes) -> None:
        """Send.

        Raises:
            PortError: the port has gone, or takes nothing.
        """
        try:
            self._serial.write(octets)
        except serial.SerialTimeoutException:
            raise PortError(
                f"{self.name} takes nothing any more: is a hardware handshake on, or does another "
                "program use it? Run the same command again; it goes on where it has stopped"
            ) from None
        except OSError as error:
            raise PortError(self._gone(error)) from None

    def wait(self, seconds: float, others: Sequence[int] = ()) -> None:
        """Wait until something has come here or at one of `others` (descriptors), or so long."""
        try:
            select.select([self.fileno(), *others], [], [], max(0.0, seconds))
        except (OSError, ValueError) as error:
            raise PortError(self._gone(error)) from None

    def close(self) -> None:
        """Give it back."""
        self._serial.close()

    def _gone(self, error: Exception) -> str:
        return (
            f"{self.name} has gone away ({_plain(error)}): see that the cable is in at both ends, "
            "then run the same command again; it goes on where it has stopped"
        )


def _why_not_open(name: str, baud: int, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if isinstance(error, termios.error):
        number = error.args[0]
    if "://" in name:
        return (
            f"{name} cannot be reached ({_plain(error)}): does what serves it run, and is the "
            "address right?"
        )
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return (
            f"there is no port {name}: plug the cable in; `python3 tasks.py ports` lists the ports "
            "of this computer"
        )
    if number in (errno.EACCES, errno.EPERM):
        return f"you may not use {name}: {_how_to_be_let(name)}"
    if number in (errno.EBUSY, errno.EAGAIN) or "lock" in str(error):
        return f"another program has {name} open{_holder(name)}: end it, then try again"
    if number in (errno.ENOTTY, errno.EINVAL, errno.EIO) or "configure port" in str(error):
        return (
            f"{name} is no serial port: `python3 tasks.py ports` lists the ports of this computer"
        )
    if isinstance(error, ValueError):
        return f"{name} cannot be set to {baud} baud: correct [console] of the board's file"
    return f"{name} cannot be opened ({_plain(error)})"


def _how_to_be_let(name: str) -> str:
    try:
        group = grp.getgrgid(os.stat(name).st_gid).gr_name
    except (OSError, KeyError):
        group = "dialout"
    if group == "root":
        return "root alone may; run the command with sudo"
    return f"run `sudo usermod -aG {group} $USER`, then log in again"


def _holder(name: str) -> str:
    """Which program has the port, as far as we may see it."""
    device = os.path.realpath(name)
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        try:
            links = [os.readlink(one) for one in (folder / "fd").iterdir()]
            command = (folder / "comm").read_text().strip()
        except OSError:
            continue
        if device in links:
            return f" ({command}, process {folder.name})"
    return ""


def _see_lock_file(name: str) -> None:
    """Programs such as minicom say in a file that they have a port, and hold no lock on it."""
    if "://" in name:
        return
    for folder in _LOCKS:
        path = folder / f"LCK..{Path(name).name}"
        try:
            process = int(path.read_text().split()[0])
            os.kill(process, 0)
        except PermissionError:
            pass
        except (OSError, ValueError, IndexError):
            continue
        raise PortError(f"another program has {name} open ({path} says so): end it, then try again")


def _plain(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) else str(error)
