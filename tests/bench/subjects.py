"""What is measured: our host with a prepared store, and Sippy's B2BUA, its peer."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from host.charging import ledger
from host.charging.values import Money, Now
from host.numbering import provisioning
from host.numbering.iax2_access import allow_iax2
from host.numbering.values import Carrier
from host.store.opening import open_writer
from tests.bench.processes import end, running, wait_bound
from tests.bench.sipp import Caller, Where, write_injected
from tests.scenarios.rig import ROOT, Net

REALM = "loopstart"
SECRET = "benchmark"
REGISTERED = 10_000
"""Accounts that register; the host has room for half as many again, and looks each up once."""
NUMBERS = 10_000
"""Numbers that are called, in turn."""
IAX2_CALLER, TRUNK, CALLEE, DID = "iax2", "trunk", "called", "12125550100"
IAX2_PORT = 4569
DEVICE, DEVICE_SECRET = "100001", "secret"
_MANY = 1_000_000
_FUNDS = Money(10**16)
_SIPPY = Path(sys.executable).with_name("b2bua_simple")
_PATH = {"PYTHONPATH": str(ROOT)}


class Bed:
    """Addresses, accounts, numbers and configuration of one run; all of it in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        net = Net()
        self.host = Where(net[2])
        self.sippy = Where(net[3])
        self.carrier = Where(net[20])
        self.tone_carrier = Where(net[21])
        self.iax2_host = (net[2], IAX2_PORT)
        self.iax2_caller, self.iax2_callee = (net[31], IAX2_PORT), (net[32], IAX2_PORT)
        self.iax2_carrier = Where(net[33], IAX2_PORT)
        self.asterisk = (net[4], IAX2_PORT)
        numbers = [f"1514555{number:04}" for number in range(NUMBERS)]
        injected = write_injected(folder / "numbers.csv", numbers)
        users = [
            f"r{number:05};[authentication username=r{number:05} password={SECRET}]"
            for number in range(REGISTERED)
        ]
        # All callers of one program have an address of their own: one of them is known by it.
        self.digest = Caller("call_digest", net[11], injected, "digest", SECRET)
        self.trusted = Caller("call", net[12], injected, "trusted")
        self.of_peer = Caller("call_peer", net[12], injected, "trusted")
        self.relayed = Caller("call_digest", net[13], injected, "relayed", SECRET)
        self.phones = Caller(
            "register", net[14], write_injected(folder / "users.csv", users), talk_s=0.1
        )
        self.database = folder / "host.sqlite"
        self.config = folder / "host.toml"
        self.iax2_config = folder / "iax2.toml"
        self._prepare()

    def _prepare(self) -> None:
        """The store that all runs share, and the configuration: the defaults, but MD5 alone,
        because SIPp 3.6.1 knows no other digest."""
        self.config.write_text(
            f'database = "{self.database}"\n[[listeners]]\n'
            f'address = "{self.host.address}"\nport = {self.host.port}\n'
            'digest_algorithms = ["MD5"]\n'
            f'[media]\naddress = "{self.host.address}"\n'
            "[api]\nenabled = false\n[fees]\nenabled = false\n"
        )
        # A host that does not speak IAX2 is another one.
        self.iax2_config.write_text(
            f'{self.config.read_text()}[[listeners]]\ntransport = "iax2"\n'
            f'address = "{self.iax2_host[0]}"\n[iax2]\nencryption = true\n'
        )
        now = Now(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)
        with self.writing() as conn:
            provisioning.seed(conn)
            conn.execute("BEGIN IMMEDIATE")

            def add(name: str, password: str, media: str = "direct", address: str = "") -> None:
                number = provisioning.add_account(
                    conn,
                    name,
                    realm=REALM,
                    password=password,
                    channels=_MANY,
                    calls_to_one_number=_MANY,
                    media=media,
                    address=address,
                )
                ledger.pay(conn, now, number, _FUNDS, "manual", name)

            add(self.digest.name, SECRET)
            add(self.trusted.name, "", address=self.trusted.address)
            add(self.relayed.name, SECRET, media="relay")
            add(DEVICE, DEVICE_SECRET, media="relay")
            allow_iax2(conn, DEVICE, REALM, DEVICE_SECRET)
            provisioning.set_account(conn, DEVICE, encryption="offer")
            for name in (IAX2_CALLER, TRUNK, CALLEE):
                add(name, SECRET)
                allow_iax2(conn, name, REALM, SECRET)
            provisioning.set_account(conn, TRUNK, trunk=True)
            provisioning.add_did(
                conn, f"+{DID}", plan="per-minute", pop="default", account=CALLEE, channels=_MANY
            )
            for number in range(REGISTERED):
                name = f"r{number:05}"
                provisioning.add_account(conn, name, realm=REALM, password=SECRET)
            provisioning.add_carrier(
                conn, Carrier("bench", *self.carrier, "udp", prefix="", media="direct"), priority=1
            )
            conn.execute("COMMIT")

    def use_carrier(self, where: Where, iax2: bool = False) -> None:
        """Send all further calls there."""
        kind: Literal["iax2", "udp"] = "iax2" if iax2 else "udp"
        carrier = Carrier("bench", *where, kind, media="direct", trunk=iax2)
        with self.writing() as conn:
            provisioning.add_carrier(conn, carrier, priority=1)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The store for changes; each is committed at once."""
        with contextlib.closing(open_writer(self.database)) as conn:
            yield conn

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The store, read only."""
        uri = f"file:{self.database}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5)) as conn:
            yield conn

    @contextlib.contextmanager
    def serve(self, iax2: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        """Our host, started by its own command; the process is the one that carries calls."""
        log = self.folder / "host.log"
        with running(self._command("serve", iax2=iax2), log, self.folder, _PATH) as process:
            wait_bound(process, *self.host, log)
            if iax2:
                wait_bound(process, *self.iax2_host, log)
            yield process
            # Twice: it need not wait for calls that somebody forgot.
            for _ in range(2):
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    time.sleep(0.05)
            end(process, 10)

    @contextlib.contextmanager
    def serve_peer(self) -> Iterator[subprocess.Popen[bytes]]:
        """Sippy's B2BUA, without log and authentication."""
        line = [str(_SIPPY), "-f", "-l", self.sippy.address, "-p", str(self.sippy.port)]
        line += ["-n", f"{self.carrier.address}:{self.carrier.port}"]
        log, environment = self.folder / "sippy.log", {"SIPLOG_BEND": "none"}
        with running(line, log, self.folder, environment) as process:
            wait_bound(process, *self.sippy, log)
            yield process

    def ledger_is_sound(self) -> str:
        """Run `loopstart-host ledger check`; empty if it finds nothing, else what it says."""
        done = subprocess.run(
            self._command("ledger", "check"),
            cwd=self.folder,
            env={**os.environ, **_PATH},
            capture_output=True,
            timeout=120,
            check=False,
        )
        return "" if done.returncode == 0 else (done.stderr or done.stdout).decode().strip()

    def _command(self, *words: str, iax2: bool = False) -> list[str]:
        config = self.iax2_config if iax2 else self.config
        return [sys.executable, "-m", "host.cli.main", "--config", str(config), *words]


def have_peer() -> bool:
    """True when Sippy is installed."""
    return _SIPPY.exists()
