"""mu-law to A-law and back without a detour over linear audio: one table look-up an octet."""

from __future__ import annotations

from firmware.wire import rtp

_EVERY = bytes(range(256))

ULAW_TO_ALAW = rtp.encode_alaw(rtp.decode_ulaw(_EVERY))
"""For `bytes.translate`: the A-law octet whose sample is nearest to that of each mu-law octet."""
ALAW_TO_ULAW = rtp.encode_ulaw(rtp.decode_alaw(_EVERY))

TABLES: dict[tuple[int, int], bytes] = {
    (rtp.PCMU, rtp.PCMA): ULAW_TO_ALAW,
    (rtp.PCMA, rtp.PCMU): ALAW_TO_ULAW,
}
"""By payload type of what comes in and of what goes out; no table where both are the same."""
