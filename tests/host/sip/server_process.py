"""A real host process on loopback addresses of its own, for tests that need sockets."""

from __future__ import annotations

import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from host.charging import ledger
from host.charging.values import USD, Money, Now
from host.numbering import provisioning
from host.numbering.values import Carrier
from host.store.opening import open_writer
from tests.stores import settings_at

ADDRESS = "127.0.1.1"
REALM = "loopstart"


def free_port(kind: int = socket.SOCK_DGRAM, address: str = ADDRESS) -> int:
    """A port that was free a moment ago; random, so that test runs beside each other differ."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000) & ~1
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                sock.bind((address, port))
                return port
            except OSError:
                continue


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for the host's address, made by openssl."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=loopstart test", "-keyout", str(key),
         "-out", str(cert), "-addext", f"subjectAltName=IP:{ADDRESS}"],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return cert, key


class HostProcess:
    """`loopstart-host serve` with one listener a transport."""

    def __init__(
        self,
        folder: Path,
        *transports: str,
        settings: str = "",
        sip: str = "",
        listener: str = "",
    ) -> None:
        self.folder = folder
        self.database = folder / "host.sqlite"
        self.config = folder / "host.toml"
        self.ports: dict[str, int] = {}
        media = random.SystemRandom().randrange(33_000, 60_000, 2)
        lines = [
            f'{settings_at(self.database)}', 'log_level = "info"', settings,
            "[api]", "enabled = false", "[fees]", "enabled = false",
            "[sip]", f'realm = "{REALM}"', "shutdown_grace_s = 1", sip,
            "[media]", f'address = "{ADDRESS}"', f"min_port = {media}",
            f"max_port = {media + 400}", "silence_s = 0",
            f"bridge_min_port = {media + 402}", f"bridge_max_port = {media + 600}",
        ]  # fmt: skip
        for transport in transports:
            datagrams = transport in ("udp", "iax2")
            kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
            port = self.ports[transport] = free_port(kind)
            lines += [
                "[[listeners]]", 'pop = "default"', f'address = "{ADDRESS}"', f"port = {port}",
                f'transport = "{transport}"', listener,
            ]  # fmt: skip
            if transport == "tls":
                cert, key = certificate(folder)
                self.certificate = cert
                lines += [f'certificate = "{cert}"', f'key = "{key}"']
        self.config.write_text("\n".join(lines) + "\n")
        self.conn: Any = open_writer(self.database)
        self._pay = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path = folder / "host.log"

    @property
    def port(self) -> int:
        return self.ports["udp"]

    # --- what an operator does ---

    def setup(self) -> None:
        """POP and rates, as a first start makes them."""
        provisioning.seed(self.conn)

    def account(self, name: str, usd: int = 10, **columns: Any) -> int:
        password = columns.pop("password", "secret")
        row = provisioning.add_account(self.conn, name, realm=REALM, password=password, **columns)
        self._pay += 1
        now = Now(time.time_ns() // 1_000_000, 0)
        ledger.pay(self.conn, now, row, Money(usd * USD), "test", f"p{self._pay}")
        return row

    def carrier(self, name: str, address: str, port: int, **columns: Any) -> None:
        provisioning.add_carrier(
            self.conn, Carrier(name, address, port, "udp", **columns), source_port=0
        )

    def did(self, number: str, account: str) -> None:
        provisioning.add_did(self.conn, number, plan="per-minute", pop="default", account=account)

    def cdrs(self) -> list[dict[str, Any]]:
        cursor = self.conn.execute("SELECT * FROM cdr ORDER BY id, leg")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def wait_cdrs(self, count: int, seconds: float = 5) -> list[dict[str, Any]]:
        until = time.monotonic() + seconds
        while len(found := self.cdrs()) < count and time.monotonic() < until:
            time.sleep(0.05)
        return found

    # --- life ---

    def start(self) -> None:
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "host.cli.main", "--config", str(self.config), "serve"],
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        until = time.monotonic() + 40
        while self.log.count('"listening"') < len(self.ports):
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, "the host did not start: " + self.log
            time.sleep(0.05)

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    @property
    def rss_kb(self) -> int:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(x for x in status.splitlines() if x.startswith("VmRSS"))
        return int(line.split()[1])

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> int:
        """Stop it as a service manager does; answers its exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(12)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        return int(self.process.returncode)

    def close(self) -> None:
        self.stop()
        self.conn.close()

    def clean_log(self) -> None:
        """No exception that nobody took."""
        log = self.log
        assert "Traceback" not in log, log[-4000:]
        assert "exception" not in log.lower(), log[-4000:]

    def connect(self, transport: str) -> socket.socket:
        """A connection to the host over TCP or TLS."""
        sock = socket.create_connection((ADDRESS, self.ports[transport]), 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if transport == "tls":
            context = ssl.create_default_context(cafile=str(self.certificate))
            sock = context.wrap_socket(sock, server_hostname=ADDRESS)
        sock.settimeout(5)
        return sock
