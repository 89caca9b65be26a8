"""A cluster of PostgreSQL of one's own: in a folder of its own, on a socket in it, ended after."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from host.store.postgres import PostgresConnection

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
available = bool(_PROGRAMS) and os.geteuid() == 0
needs_postgres = pytest.mark.skipif(
    not available, reason="needs Debian's postgresql, and root to run it as its own user"
)


class Cluster:
    """A server that can be stopped and started again."""

    def __init__(self, *, durable: bool = False) -> None:
        """Make it and start it; durable: fsync as by default."""
        self.folder = Path(tempfile.mkdtemp(prefix="loopstart-pg-"))
        shutil.chown(self.folder, "postgres")
        self._data = self.folder / "data"
        self._options = f"-c listen_addresses='' -k {self.folder}"
        if not durable:
            self._options += " -c fsync=off"
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-E", "UTF8")
        self._names = 0
        self.start()

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self._ctl("-o", self._options, "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        """As if the machine had lost its power."""
        self._ctl("-m", "immediate", "stop")

    def remove(self) -> None:
        """Stop it and leave nothing."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder)

    def database(self) -> str:
        """The URL of a new database with nothing in it."""
        self._names += 1
        name = f"test{self._names}"
        administrator = PostgresConnection(self.url("postgres"))
        administrator.execute(f"CREATE DATABASE {name}")
        administrator.close()
        return self.url(name)

    def url(self, name: str) -> str:
        """How a database of it is named."""
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def _ctl(self, *words: str) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-w", *words)

    def _run(self, program: str, *words: str) -> None:
        subprocess.run(
            ["runuser", "-u", "postgres", "--", str(_PROGRAMS[0] / program), *words],
            cwd=self.folder,
            check=True,
            timeout=60,
            stdout=subprocess.DEVNULL,
        )
