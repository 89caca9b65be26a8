"""How long call control waits for what.

| name | value | unit | from |
|---|---|---|---|
| ring_s | 180 | s | RFC 3261, 16.6: Timer C is more than three minutes |
| carrier_timeout_s | 6 | s | a carrier without a provisional answer is passed over |
| max_call_s | 14400 | s | no call is longer |
| SETTLE_RETRY_S | 1 | s | a store that is away is asked again, ever more slowly |
| RENEW_RETRY_S | 1 | s | so is one that gave no quota, while the last one lasts |
"""

from __future__ import annotations

from dataclasses import dataclass

SETTLE_RETRY_S = 1.0
RENEW_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class CallTimers:
    ring_s: float = 180.0
    carrier_timeout_s: float = 6.0
    max_call_s: float = 14_400.0
