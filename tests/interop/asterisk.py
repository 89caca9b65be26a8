"""A current Asterisk, in a root of its own: Debian 12 has none, so it comes from Debian's sid.

`python3 tasks.py asterisk` makes that root (debootstrap, as root) and runs its tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scenarios.rig import ROOT

PLACE = ROOT / ".loopstart" / "asterisk"
_MODULES = "/usr/lib/x86_64-linux-gnu/asterisk/modules"
_WANTED = """res_timing_timerfd res_crypto res_clioriginate codec_ulaw codec_alaw codec_gsm
    codec_g722 pbx_config func_callerid app_echo app_milliwatt app_dial app_senddtmf app_verbose
    bridge_simple chan_iax2"""
_QUIET, _LOUD = "warning,error", "notice,warning,error,verbose,dtmf"
PLAN = """
[host]
exten => _X.,1,Ringing()
 same => n,Wait(0.3)
 same => n,Answer()
 same => n,Echo()
exten => _+X.,1,Goto(${EXTEN:1},1)

[carrier]
exten => _X.,1,Ringing()
 same => n,Wait(0.3)
 same => n,Answer()
 same => n,Milliwatt()
exten => _+X.,1,Goto(${EXTEN:1},1)
"""
"""What becomes of calls: from the host and from devices an echo, as a carrier 1004 Hz."""


def have_asterisk() -> bool:
    """Whether there is one, and we may start it."""
    return (PLACE / "usr/sbin/asterisk").exists() and os.geteuid() == 0


needs_asterisk = pytest.mark.skipif(
    not have_asterisk(),
    reason="no Asterisk in its own root: python3 tasks.py asterisk (as root)",
)


@dataclass(frozen=True)
class Peer:
    """A section of iax.conf."""

    name: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"[{self.name}]", *self.lines, ""])


class Asterisk:
    """One Asterisk at an address of loopback, port 4569; ended by its own process id.

    Args:
        address: where it listens.
        general: more lines of [general], such as `register => ...`.
        peers: who may call and be called.
        codec: as Asterisk calls it.
        plan: extensions.conf.
        quiet: log warnings and errors alone.
    """

    def __init__(
        self,
        folder: Path,
        address: str,
        peers: tuple[Peer, ...],
        general: tuple[str, ...] = (),
        codec: str = "ulaw",
        plan: str = PLAN,
        quiet: bool = False,
    ) -> None:
        self.address = address
        self._inside = f"/run/loopstart-{os.getpid()}-{time.monotonic_ns()}"
        self._outside = PLACE / self._inside.removeprefix("/")
        for name in ("var", "etc"):
            (self._outside / name).mkdir(parents=True)
        self._write(general, peers, codec, plan, quiet)
        self._log_path = folder / "asterisk.log"
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                self._command("-f", *([] if quiet else ["-vvv"])),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    @property
    def pid(self) -> int:
        """Of its process; chroot has become it."""
        return self._process.pid

    def _write(
        self,
        general: tuple[str, ...],
        peers: tuple[Peer, ...],
        codec: str,
        plan: str,
        quiet: bool,
    ) -> None:
        places = {"astetcdir": "etc", "astmoddir": ""}
        others = ["astdbdir", "astkeydir", "astagidir", "astspooldir", "astrundir", "astlogdir"]
        places |= dict.fromkeys(others, "var")
        lines = [f"{key} => {self._inside}/{name}" for key, name in places.items() if name]
        lines += [f"astmoddir => {_MODULES}", "astvarlibdir => /var/lib/asterisk"]
        lines.append("astdatadir => /usr/share/asterisk")
        sections = [
            "[general]",
            f"bindaddr={self.address}:4569",
            "requirecalltoken=yes",
            "trunktimestamps=yes",
            "autokill=yes",
            "disallow=all",
            f"allow={codec}",
            *general,
            *map(str, peers),
        ]
        files = {
            "asterisk.conf": ["[directories]", *lines],
            "modules.conf": ["[modules]", "autoload=no"]
            + [f"load={name}.so" for name in _WANTED.split()],
            "logger.conf": ["[logfiles]", f"console => {_QUIET if quiet else _LOUD}"],
            "extensions.conf": [plan],
            "iax.conf": sections,
        }
        for name, content in files.items():
            (self._outside / "etc" / name).write_text("\n".join(content) + "\n")

    def _command(self, *words: str) -> list[str]:
        config = f"{self._inside}/etc/asterisk.conf"
        return ["chroot", str(PLACE), "/usr/sbin/asterisk", "-C", config, *words]

    @property
    def log(self) -> str:
        """What it said."""
        return self._log_path.read_text("utf-8", "replace")

    def do(self, command: str) -> str:
        """A command of its command line; what it printed."""
        done = subprocess.run(
            self._command("-rx", command), capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout

    def wait_ready(self, seconds: float = 30.0) -> None:
        """It has started.

        Raises:
            RuntimeError: it has not.
        """
        until = time.monotonic() + seconds
        while "running" not in self.do("core show uptime") and "Ready" not in self.log:
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"Asterisk did not start:\n{self.log[-2_000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(8)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        shutil.rmtree(self._outside, ignore_errors=True)


def install() -> None:
    """Make the root with Asterisk in it; at once when it is there already.

    Raises:
        SystemExit: it can't be done here; says why.
    """
    if (PLACE / "usr/sbin/asterisk").exists():
        return
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise SystemExit(
            "asterisk: needs root and debootstrap: run `sudo apt-get install debootstrap`, "
            "then `sudo python3 tasks.py asterisk`"
        )
    PLACE.mkdir(parents=True, exist_ok=True)
    print("a root with Debian's sid and its Asterisk (some minutes, once) ...", file=sys.stderr)
    made = ["debootstrap", "--variant=minbase", "sid", str(PLACE), "http://deb.debian.org/debian"]
    quiet = {"stdout": subprocess.DEVNULL, "check": True}
    subprocess.run(made, **quiet)  # type: ignore[call-overload]
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", PLACE / "etc" / name)
    nothing_starts = PLACE / "usr/sbin/policy-rc.d"
    nothing_starts.write_text("#!/bin/sh\nexit 101\n")
    nothing_starts.chmod(0o755)
    words = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq"]
    words += ["--no-install-recommends", "asterisk"]
    subprocess.run(["chroot", str(PLACE), *words], **quiet)  # type: ignore[call-overload]


if __name__ == "__main__":
    install()
