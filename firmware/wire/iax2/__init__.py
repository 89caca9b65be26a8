"""IAX2."""

from __future__ import annotations

from firmware.wire.iax2.auth import Access, Authority, Credentials, Encryption, Purpose
from firmware.wire.iax2.call import Call
from firmware.wire.iax2.crypto import Crypto
from firmware.wire.iax2.endpoint import Endpoint
from firmware.wire.iax2.events import (
    Accepted,
    Address,
    Answered,
    Busy,
    CallOffered,
    Congestion,
    DigitBegan,
    DigitEnded,
    Ended,
    Event,
    Flash,
    Hold,
    Proceeding,
    Progress,
    Quelched,
    Reachable,
    RegisterAccepted,
    Registering,
    RegisterRefused,
    RegisterReleased,
    Releasing,
    Ringing,
    Text,
    Unhold,
    Unquelched,
    Unreachable,
)
from firmware.wire.iax2.formats import FORMATS, Format, FormatRow
from firmware.wire.iax2.offer import DateTime, NewCall
from firmware.wire.iax2.registration import Registration
from firmware.wire.iax2.settings import Counters, EndpointSettings
from firmware.wire.iax2.states import State
from firmware.wire.iax2.voice import Statistics

__all__ = [
    "FORMATS", "Accepted", "Access", "Address", "Answered", "Authority", "Busy", "Call",
    "CallOffered", "Congestion", "Counters", "Credentials", "Crypto", "DateTime", "DigitBegan",
    "DigitEnded", "Encryption", "Ended", "Endpoint", "EndpointSettings", "Event", "Flash",
    "Format", "FormatRow", "Hold", "NewCall", "Proceeding", "Progress", "Purpose", "Quelched",
    "Reachable", "RegisterAccepted", "RegisterRefused", "RegisterReleased", "Registering",
    "Registration", "Releasing", "Ringing", "State", "Statistics", "Text", "Unhold",
    "Unquelched", "Unreachable",
]  # fmt: skip
