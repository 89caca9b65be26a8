"""Asterisk under the same loads of IAX2, where it is installed: `python3 tasks.py asterisk`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from tests.bench.subjects import IAX2_CALLER, SECRET, TRUNK, Bed
from tests.interop.asterisk import Asterisk, Peer

NAME = "Asterisk"
_PLAN = """
[bench]
exten => _X.,1,Dial(IAX2/called/${EXTEN})
"""


@contextlib.contextmanager
def serve(bed: Bed, trunk: bool) -> Iterator[Asterisk]:
    """Asterisk between the caller and who is called: it asks for call token and MD5, charges
    nothing, stores nothing, and says nothing. Media stays on it."""
    user = TRUNK if trunk else IAX2_CALLER
    callee = bed.iax2_carrier.address if trunk else bed.iax2_callee[0]
    common = (f"trunk={'yes' if trunk else 'no'}", "transfer=no", "requirecalltoken=yes")
    peers = (
        Peer(user, ("type=user", f"secret={SECRET}", "auth=md5", "context=bench", *common)),
        Peer("called", ("type=peer", f"host={callee}", "port=4569", *common)),
    )
    asterisk = Asterisk(
        bed.folder,
        bed.asterisk[0],
        peers,
        ("jitterbuffer=no", "maxcallnumbers=10000"),
        plan=_PLAN,
        quiet=True,
    )
    try:
        asterisk.wait_ready()
        time.sleep(0.5)
        yield asterisk
    finally:
        asterisk.stop()
