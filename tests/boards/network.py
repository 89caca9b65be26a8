"""A network of its own for one test: a namespace with a tap that QEMU plugs a board into."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator

import pytest

SERVER = "192.0.2.1"
BOARD = "192.0.2.2/24"


def allowed() -> bool:
    """May we make one?"""
    if os.geteuid() != 0 or shutil.which("ip") is None or not os.path.exists("/dev/net/tun"):
        return False
    name = f"loop-{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        return False
    subprocess.run(["ip", "netns", "del", name], check=False)
    return True


needs_netns = pytest.mark.skipif(
    not allowed(), reason="needs root, iproute2 and leave to make a network namespace with a tap"
)


@contextlib.contextmanager
def namespace() -> Iterator[str]:
    """Its name; 192.0.2.1 is at `tap0` in it."""
    name = f"loop-{secrets.token_hex(3)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for words in (
            ("tuntap", "add", "tap0", "mode", "tap"),
            ("address", "add", f"{SERVER}/24", "dev", "tap0"),
            ("link", "set", "lo", "up"),
            ("link", "set", "tap0", "up"),
        ):
            subprocess.run(["ip", "-n", name, *words], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
