"""A device in a call: handset, host with relay, and a carrier that sends a tone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from tests.bench.processes import resident_mb
from tests.bench.sipp import Where
from tests.bench.subjects import Bed
from tests.firmware.device_process import DeviceProcess
from tests.firmware.measure_device import share
from tests.peers.carrier import Carrier, Plan

_TONE_MS = 60_000


def in_a_call(
    bed: Bed, seconds: float, protocol: Literal["sip", "iax2"] = "sip", encryption: str = ""
) -> tuple[float, float]:
    """Resident MB, and percent of a core over so long, of a device that talks and listens.

    Args:
        encryption: of a call over IAX2: "require", or empty for none.

    Raises:
        HandsetError: the call did not come about.
    """
    with _carrier(bed.tone_carrier):
        if protocol == "iax2":
            address, port = bed.iax2_host
            account = f'servers = ["{address}:{port}"]\nencryption = "{encryption or "no"}"'
        else:
            account = f'servers = ["{bed.host.address}:{bed.host.port}"]'
        device = DeviceProcess(bed.folder, account, "", protocol)
        try:
            handset = device.handset
            handset.wait("registered")
            handset.off_hook()
            handset.wait("tone", "dial")
            handset.dtmf("15145550100", 60, 60)
            handset.wait("call", "talking")
            handset.tone([1_004], _TONE_MS)
            busy = share(device.process.pid, seconds)
            handset.wait("call", "talking", 1)  # it still is: the figure is of a call
            return resident_mb(device.process.pid), busy
        finally:
            device.stop()


@contextmanager
def _carrier(where: Where) -> Iterator[None]:
    """A carrier with media, on a loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        carrier = Carrier(where.address, where.port)
        carrier.default = Plan(hz=1_500)
        async with carrier:
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    if not ready.wait(5):
        raise RuntimeError(f"no carrier at {where}")
    try:
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(5)
