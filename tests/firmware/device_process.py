"""The real command `loopstart-ata` in a process of its own, for tests."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from hal.drivers.sim_client import HandsetClient


class DeviceProcess:
    """Started at once; `handset` moves its telephone."""

    def __init__(
        self,
        folder: Path,
        account: str,
        line: str = "",
        protocol: str = "sip",
        *words: str,
        username: str = "100001",
        password: str = "secret",
    ) -> None:
        self.socket = folder / "handset.sock"
        self.log = folder / "device.log"
        config = folder / "ata.toml"
        config.write_text(
            f'state_dir = "{folder}/state"\n'
            f'[{protocol}]\nusername = "{username}"\npassword = "{password}"\n'
            f'address = "127.0.0.1"\n{account}\n'
            f'[line]\ncontrol = "{self.socket}"\n{line}\n'
        )
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "firmware.app", "--config", str(config), *words],
                stdout=log,
                stderr=log,
            )
        self.handset = HandsetClient(str(self.socket))

    def stop(self) -> int:
        self.handset.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()

    def text(self) -> str:
        return self.log.read_text("utf-8", "replace")
