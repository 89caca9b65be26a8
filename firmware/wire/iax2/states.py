"""States of a call, and what a peer may say in each, as tables (RFC 5456, 6.2 and 6.3)."""

from __future__ import annotations

from enum import Enum, auto

from firmware.wire.iax2.kinds import Control, Iax


class State(Enum):
    """Where a call stands. Ours: CALLING and AUTHENTICATING. The peer's: CHALLENGED, OFFERED."""

    CALLING = auto()
    """NEW is out."""
    AUTHENTICATING = auto()
    """AUTHREP is out."""
    CHALLENGED = auto()
    """AUTHREQ is out; nobody has been told of the call."""
    OFFERED = auto()
    """Authenticated, and waits for its user's word."""
    ACCEPTED = auto()
    """ACCEPT is through: audio may flow."""
    UP = auto()
    """Answered."""
    ENDED = auto()


_S = State
_END = frozenset((Iax.HANGUP, Iax.REJECT))
_LINKED = frozenset((Iax.QUELCH, Iax.UNQUELCH, Iax.TXREQ, *_END))
_MOVING = frozenset((Iax.TRANSFER, Iax.TXREADY, Iax.TXREL, Iax.TXREJ, Iax.UNSUPPORT))
EXPECTED: dict[State, frozenset[Iax]] = {
    _S.CALLING: frozenset((Iax.AUTHREQ, Iax.ACCEPT)) | _END,
    _S.AUTHENTICATING: frozenset((Iax.ACCEPT,)) | _END,
    _S.CHALLENGED: frozenset((Iax.AUTHREP,)) | _END,
    _S.OFFERED: _LINKED,
    _S.ACCEPTED: _LINKED | _MOVING,
    _S.UP: _LINKED | _MOVING,
    _S.ENDED: frozenset(),
}
"""What is acted on, beside what is taken in any state: PING, LAGRQ and their answers. The rest is
acknowledged and ignored."""

CONTROLS: dict[State, frozenset[Control]] = {
    _S.CALLING: frozenset(),
    _S.AUTHENTICATING: frozenset(),
    _S.CHALLENGED: frozenset(),
    _S.OFFERED: frozenset(),
    _S.ACCEPTED: frozenset(
        (Control.PROCEEDING, Control.RINGING, Control.PROGRESS, Control.ANSWER, Control.BUSY,
         Control.CONGESTION, Control.HOLD, Control.UNHOLD, Control.FLASH)
    ),
    _S.UP: frozenset((Control.HOLD, Control.UNHOLD, Control.FLASH, Control.BUSY,
                      Control.CONGESTION)),
    _S.ENDED: frozenset(),
}  # fmt: skip
"""Control frames that are told to the user."""

LIVE = frozenset((_S.ACCEPTED, _S.UP))
