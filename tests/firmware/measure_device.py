"""Measures the device from /proc: resident memory and processor, idle and in a call.

Run `python -m tests.firmware.measure_device`. Prints one JSON object a line.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

from tests.firmware.device_process import DeviceProcess
from tests.firmware.peer import Peer

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def share(pid: int, seconds: float) -> float:
    """Percent of one core over so long."""
    before, start = processor_s(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (processor_s(pid) - before) / (time.monotonic() - start)


def main(seconds: float = 20.0) -> None:
    """Print `device_idle_cpu_pct`, `device_cpu_pct` and `device_rss_mb`."""
    peer = Peer()
    peer.tone_hz = 1_500
    with tempfile.TemporaryDirectory() as folder:
        device = DeviceProcess(Path(folder), f'servers = ["127.0.0.1:{peer.port}"]')
        pid = device.process.pid
        try:
            device.handset.wait("registered")
            time.sleep(2)
            _print("device_idle_cpu_pct", share(pid, seconds / 2), "%")
            _print("device_idle_rss_mb", resident_mb(pid), "MB")
            device.handset.off_hook()
            device.handset.wait("tone", "dial")
            device.handset.dtmf("911", 50, 50)
            device.handset.wait("call", "talking")
            device.handset.tone([1_004], 60_000)
            _print("device_cpu_pct", share(pid, seconds), "%")
            _print("device_rss_mb", resident_mb(pid), "MB")
        finally:
            device.stop()
            peer.close()


def _print(name: str, value: float, unit: str) -> None:
    print(json.dumps({"name": name, "value": round(value, 2), "unit": unit}), flush=True)


if __name__ == "__main__":
    main()
