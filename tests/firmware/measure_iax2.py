"""Measures a device with IAX2 alone from /proc: resident memory and processor, in a call.

Run `python -m tests.firmware.measure_iax2 [SECONDS]`. Prints one JSON object a line.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

from tests.firmware.device_process import DeviceProcess
from tests.firmware.iax2_peer import Peer
from tests.firmware.measure_device import _print, resident_mb, share


def in_a_call(
    seconds: float, encryption: Literal["no", "require"] = "no", codec: str = "PCMU"
) -> tuple[float, float, float]:
    """Percent of a core idle and in a call over so long, and resident MB in the call."""
    peer = Peer(encryption=encryption)
    peer.tone_hz = 1_500
    account = f'servers = ["{peer.server}"]\nencryption = "{encryption}"\ncodecs = ["{codec}"]'
    with tempfile.TemporaryDirectory() as folder:
        device = DeviceProcess(Path(folder), account, "", "iax2")
        pid = device.process.pid
        try:
            device.handset.wait("registered")
            time.sleep(1)
            idle = share(pid, seconds / 2)
            device.handset.off_hook()
            device.handset.wait("tone", "dial")
            device.handset.dtmf("911", 50, 50)
            device.handset.wait("call", "talking")
            device.handset.tone([1_004], 60_000)
            busy = share(pid, seconds)
            device.handset.wait("call", "talking", 1)
            return idle, busy, resident_mb(pid)
        finally:
            device.stop()
            peer.close()


def main(seconds: float = 10.0) -> None:
    """Print the figures, without and with encryption."""
    idle, busy, memory = in_a_call(seconds)
    _print("iax2_device_idle_cpu_pct", idle, "%")
    _print("iax2_device_cpu_pct", busy, "%")
    _print("iax2_device_rss_mb", memory, "MB")
    _, busy, memory = in_a_call(seconds, "require")
    _print("iax2_device_encrypted_cpu_pct", busy, "%")
    _print("iax2_device_encrypted_rss_mb", memory, "MB")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
