"""How long call control waits for what.

| name | value | unit | from |
|---|---|---|---|
| ring_s | 180 | s | RFC 3261, 16.6: Timer C is more than three minutes |
| carrier_timeout_s | 6 | s | a carrier without a provisional answer is passed over |
| SETTLE_RETRY_S | 1 | s | a store that is away is asked again, ever more slowly |
"""

from __future__ import annotations

from dataclasses import dataclass

SETTLE_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class CallTimers:
    ring_s: float = 180.0
    carrier_timeout_s: float = 6.0
