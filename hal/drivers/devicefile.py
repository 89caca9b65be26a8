"""Device files: the few calls of the kernel that drivers of ports make, and nothing more.

A driver is given an object of `DeviceFiles`: the kernel's, or a fake with a card behind it.
"""

from __future__ import annotations

import fcntl
import os
import select
from contextlib import suppress
from typing import Protocol


class DeviceFiles(Protocol):
    """What a driver may ask the kernel for. Every call raises OSError as the kernel does."""

    def open(self, path: str) -> int:
        """Open for reading and writing, never waiting; the descriptor."""

    def ioctl(self, fd: int, number: int, argument: bytearray | int = 0) -> int:
        """Call; octets of `argument` are what it points to, and are changed in place."""

    def read(self, fd: int, octets: int) -> bytes:
        """At most so many octets; BlockingIOError when there are none."""

    def write(self, fd: int, data: bytes) -> int:
        """How many octets were taken; BlockingIOError when there is no room."""

    def watch(self, fd: int, readable: bool) -> int:
        """A descriptor that is readable when `fd` has an event, or with `readable` data, too.

        The same one each time, until `fd` is closed.
        """

    def close(self, fd: int) -> None:
        """Give it back."""


class KernelFiles:
    """`DeviceFiles` of the machine itself.

    Drivers of telephone ports announce events as exceptional conditions (POLLPRI), which
    `select` for reading does not see. An epoll instance around the file turns either into one
    descriptor that is readable.
    """

    def __init__(self) -> None:
        self._polls: dict[int, select.epoll] = {}

    def open(self, path: str) -> int:
        """See `DeviceFiles`."""
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def ioctl(self, fd: int, number: int, argument: bytearray | int = 0) -> int:
        """See `DeviceFiles`."""
        return fcntl.ioctl(fd, number, argument)

    def read(self, fd: int, octets: int) -> bytes:
        """See `DeviceFiles`."""
        return os.read(fd, octets)

    def write(self, fd: int, data: bytes) -> int:
        """See `DeviceFiles`."""
        return os.write(fd, data)

    def watch(self, fd: int, readable: bool) -> int:
        """See `DeviceFiles`."""
        wanted = select.EPOLLPRI | (select.EPOLLIN if readable else 0)
        poll = self._polls.get(fd)
        if poll is None:
            poll = self._polls[fd] = select.epoll()
            poll.register(fd, wanted)
        else:
            poll.modify(fd, wanted)
        return poll.fileno()

    def close(self, fd: int) -> None:
        """See `DeviceFiles`."""
        poll = self._polls.pop(fd, None)
        if poll is not None:
            poll.close()
        with suppress(OSError):  # a card that was pulled out; the descriptor is free either way
            os.close(fd)
