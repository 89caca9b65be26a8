"""SIPp as customer with authentication, and as carrier.

SIPp 3.6 knows MD5 alone and takes the first challenge, so its listener offers nothing else.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host.sip.server_process import HostProcess, free_port
from tests.interop.programs import needs, sipp

pytestmark = [pytest.mark.interop, needs("sipp", "sip-tester")]

CALLS = 5


def test_sipp_calls_sipp_through_the_host(tmp_path: Path) -> None:
    host = HostProcess(tmp_path, "udp", listener='digest_algorithms = ["MD5"]')
    host.setup()
    account = host.account("alice", route="value", channels=CALLS, calls_to_one_number=CALLS)
    port = free_port(address="127.0.1.21")
    host.carrier("north", "127.0.1.21", port)
    host.start()
    carrier = sipp(tmp_path, "carrier", "127.0.1.21", port, CALLS)
    own = free_port(address="127.0.1.20")
    caller = sipp(
        tmp_path, "caller", "127.0.1.20", own, CALLS,
        f"127.0.1.1:{host.port}", "-s", "15145550100", "-r", "10",
    )  # fmt: skip
    try:
        assert caller.wait(30) == 0, caller.log[-2000:]
        assert carrier.wait(10) == 0, carrier.log[-2000:]
        cdrs = host.wait_cdrs(CALLS)
        assert len(cdrs) == CALLS
        for cdr in cdrs:
            assert (cdr["disposition"], cdr["ended_by"]) == ("answered", "caller")
            assert cdr["carrier"] == "north"
            assert 900 < cdr["billed_ms"] < 2_000
            assert cdr["account_id"] == account
        assert host.stop() == 0
        host.clean_log()
    finally:
        for program in (caller, carrier):
            program.stop()
        host.close()
