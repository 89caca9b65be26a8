"""Writes an initramfs: a cpio archive of the kind that Linux unpacks (newc), always the same.

Written here because it has device files, which `cpio` takes from the file system alone, where only
root makes them (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_HEAD = "070701" + "{:08X}" * 13


def archive(tree: Path, time: int, devices: dict[str, tuple[int, int]]) -> bytes:
    """All files under `tree`, sorted, owned by root.

    Args:
        time: of all files, seconds since 1970.
        devices: character devices by path, with their major and minor number.
    """
    octets, number = bytearray(), 0
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    for name in names:
        path = tree / name
        if path.is_symlink():
            mode, body = stat.S_IFLNK | 0o777, os.readlink(path).encode()
        elif path.is_dir():
            mode, body = stat.S_IFDIR | 0o755, b""
        else:
            executable = path.stat().st_mode & 0o100
            mode, body = stat.S_IFREG | (0o755 if executable else 0o644), path.read_bytes()
        number += 1
        octets += _entry(name, number, mode, time, body)
    for name, device in sorted(devices.items()):
        number += 1
        octets += _entry(name, number, stat.S_IFCHR | 0o600, time, b"", device)
    return bytes(octets + _entry("TRAILER!!!", 0, 0, 0, b""))


def _entry(
    name: str, number: int, mode: int, time: int, body: bytes, device: tuple[int, int] = (0, 0)
) -> bytes:
    named = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, time, len(body), 0, 0, *device, len(named), 0)
    head = _HEAD.format(*fields).encode() + named
    return head + bytes(-len(head) % 4) + body + bytes(-len(body) % 4)
