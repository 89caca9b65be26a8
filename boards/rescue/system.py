"""What rescue asks Linux for, through MicroPython's `ffi`: there is no other program on the board.

The numbers are those of the kernel's own headers (asm/unistd.h, linux/sockios.h, linux/if.h).
"""

import os
import socket
import struct
import sys

import ffi  # type: ignore[import-not-found]

_LIBC = ffi.open("libc.so.6")
_errno = _LIBC.func("p", "__errno_location", "")
_mount = _LIBC.func("i", "mount", "sssLp")
_open = _LIBC.func("i", "open", "si")
_close = _LIBC.func("i", "close", "i")
_ioctl = _LIBC.func("i", "ioctl", "iLp")
_read = _LIBC.func("l", "read", "ipL")
_fsync = _LIBC.func("i", "fsync", "i")
_sync = _LIBC.func("v", "sync", "")
_reboot = _LIBC.func("i", "reboot", "i")
_syscall = _LIBC.func("l", "syscall", "llsl")

_syscall6 = _LIBC.func("l", "syscall", "lllLsL")

_KEXEC_FILE_LOAD = {"aarch64": 294, "x86_64": 320}
_RB_KEXEC = 0x45584543
_FINIT_MODULE = {"aarch64": 273, "x86_64": 313}
_RB_AUTOBOOT = 0x01234567
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C
_IFF_UP = 1
_BLKFLSBUF = 0x1261
_MOUNTS = (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"))


class SystemError_(Exception):
    """Linux has refused."""


def mount_all() -> None:
    """/proc, /sys and /dev; one that is there already stays."""
    for kind, folder in _MOUNTS:
        _mount(kind, folder, kind, 0, None)


def load_modules(listing: str, folder: str) -> list[str]:
    """Load the modules that a file lists, in its order; answers those that would not load."""
    number = _FINIT_MODULE.get(_machine())
    refused = []
    with open(listing) as file:
        names = [line.strip() for line in file if line.strip()]
    for line in names:
        name, _, parameters = line.partition(" ")
        descriptor = _open(folder + "/" + name, 0)
        if number is None or descriptor < 0 or _syscall(number, descriptor, parameters, 0) < 0:
            refused.append(name)
        if descriptor >= 0:
            _close(descriptor)
    return refused


def _machine() -> str:
    """As `uname -m` says it."""
    with open("/proc/sys/kernel/arch") as file:
        return file.read().strip()


def hush() -> None:
    """Have the kernel say nothing on the console but its last words: transfers go there."""
    with open("/proc/sys/kernel/printk", "w") as file:
        file.write("1")


def read(descriptor: int, most: int) -> bytes:
    """What is there to be read, without waiting for more as MicroPython's files do."""
    taken = bytearray(most)
    count = _read(descriptor, taken, most)
    return bytes(taken[: max(0, count)])


def restart() -> None:
    """Write everything out and start the board anew; returns where that is not allowed."""
    _sync()
    _reboot(_RB_AUTOBOOT)


def start_kernel(kernel: str, initramfs: str, words: str) -> None:
    """Start another kernel in place of this one (kexec); returns where that is not allowed.

    Args:
        kernel, initramfs: their files.
        words: its command line.
    """
    number = _KEXEC_FILE_LOAD.get(_machine())
    files = [_open(kernel, 0), _open(initramfs, 0)]
    octets = len(words.encode()) + 1
    if number is not None and _syscall6(number, files[0], files[1], octets, words, 0) >= 0:
        _sync()
        _reboot(_RB_KEXEC)


def start_watchdog() -> bool:
    """Have the watchdog run, so that a kernel which hangs is reset; False where there is none.

    It is not stopped when this system goes: its module is told so (`stop_on_reboot`).
    """
    descriptor: int = _open("/dev/watchdog", 1)
    return descriptor >= 0


def make_folder(path: str) -> None:
    """Make a folder; one that is there stays."""
    try:  # noqa: SIM105 - MicroPython has no contextlib
        os.mkdir(path.rstrip("/"))
    except OSError:
        pass


def command_line() -> list[str]:
    """What this kernel was started with."""
    with open("/proc/cmdline") as file:
        return file.read().split()


def set_address(interface: str, address: str, bits: int) -> None:
    """Give an interface an IPv4 address, and switch it on.

    Raises:
        SystemError_: there is no such interface, or it is not ours to change.
    """
    mask = struct.pack(">I", 0xFFFFFFFF << (32 - bits) & 0xFFFFFFFF)
    octets = bytes(int(one) for one in address.split("."))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        descriptor = sock.fileno()
        for request, value in ((_SIOCSIFADDR, octets), (_SIOCSIFNETMASK, mask)):
            _ask(descriptor, request, interface, struct.pack("<HH", 2, 0) + value)
        flags = _ask(descriptor, _SIOCGIFFLAGS, interface, b"")
        up = struct.pack("<H", struct.unpack("<H", flags[16:18])[0] | _IFF_UP)
        _ask(descriptor, _SIOCSIFFLAGS, interface, up)
    finally:
        sock.close()


def _ask(descriptor: int, request: int, interface: str, value: bytes) -> bytes:
    """An ioctl on `struct ifreq`: the name in 16 octets, then the value."""
    name = interface.encode()
    asked = bytearray(name + bytes(16 - len(name)) + value + bytes(24 - len(value)))
    if _ioctl(descriptor, request, asked) < 0:
        raise SystemError_(f"the interface {interface} cannot be set up")
    return bytes(asked)


def interfaces() -> list[str]:
    """Network interfaces but the loop, in their order."""
    return sorted(name for name in os.listdir("/sys/class/net") if name != "lo")


class Disk:
    """The flash as a block device, or a file in its place."""

    def __init__(self, path: str) -> None:
        """
        Raises:
            OSError: it cannot be opened.
        """
        self._file = open(path, "r+b")  # noqa: SIM115 - it lives as long as the system

    def read(self, offset: int, octets: int) -> bytes:
        """That part of it.

        Raises:
            OSError: it refuses, or ends before.
        """
        self._file.seek(offset)
        found = self._file.read(octets)
        if len(found) != octets:
            raise OSError(f"the flash ends at {offset + len(found)}")
        return found

    def write(self, offset: int, octets: bytes) -> None:
        """Overwrite a part.

        Raises:
            OSError: it refuses.
        """
        self._file.seek(offset)
        rest = memoryview(octets)
        while rest:
            count = self._file.write(rest)
            if not count:
                raise OSError("the flash takes no more")
            rest = rest[count:]

    def flush(self) -> None:
        """What was written is on the medium when this returns, and is read from there afterwards.

        Raises:
            OSError: it refuses.
        """
        self._file.flush()
        if _fsync(self._file.fileno()) < 0:
            raise OSError("the flash does not keep what is written")
        # Else Linux would answer from memory. A file in place of the flash does not know it.
        _ioctl(self._file.fileno(), _BLKFLSBUF, None)


def under_micropython() -> bool:
    """Tests ask."""
    return sys.implementation.name == "micropython"
