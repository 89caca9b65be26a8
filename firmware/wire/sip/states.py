"""States of transactions and the moves between them, as tables."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """States of RFC 3261, 17 and RFC 6026. Strings, since those are hashed without Python code."""

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


_S = State
INVITE_CLIENT: dict[State, frozenset[State]] = {
    _S.CALLING: frozenset((_S.PROCEEDING, _S.COMPLETED, _S.ACCEPTED, _S.TERMINATED)),
    _S.PROCEEDING: frozenset((_S.PROCEEDING, _S.COMPLETED, _S.ACCEPTED, _S.TERMINATED)),
    _S.COMPLETED: frozenset((_S.TERMINATED,)),
    _S.ACCEPTED: frozenset((_S.TERMINATED,)),
    _S.TERMINATED: frozenset(),
}
"""RFC 3261, figure 5, with the Accepted state of RFC 6026, 8.4."""

CLIENT: dict[State, frozenset[State]] = {
    _S.TRYING: frozenset((_S.PROCEEDING, _S.COMPLETED, _S.TERMINATED)),
    _S.PROCEEDING: frozenset((_S.PROCEEDING, _S.COMPLETED, _S.TERMINATED)),
    _S.COMPLETED: frozenset((_S.TERMINATED,)),
    _S.TERMINATED: frozenset(),
}
"""RFC 3261, figure 6."""

INVITE_SERVER: dict[State, frozenset[State]] = {
    _S.PROCEEDING: frozenset((_S.PROCEEDING, _S.COMPLETED, _S.ACCEPTED, _S.TERMINATED)),
    _S.COMPLETED: frozenset((_S.CONFIRMED, _S.TERMINATED)),
    _S.CONFIRMED: frozenset((_S.TERMINATED,)),
    _S.ACCEPTED: frozenset((_S.CONFIRMED, _S.TERMINATED)),
    _S.TERMINATED: frozenset(),
}
"""RFC 3261, figure 7, with RFC 6026, 8.5; Accepted is left for Confirmed when the ACK came."""

SERVER: dict[State, frozenset[State]] = {
    _S.TRYING: frozenset((_S.PROCEEDING, _S.COMPLETED, _S.TERMINATED)),
    _S.PROCEEDING: frozenset((_S.PROCEEDING, _S.COMPLETED, _S.TERMINATED)),
    _S.COMPLETED: frozenset((_S.TERMINATED,)),
    _S.TERMINATED: frozenset(),
}
"""RFC 3261, figure 8."""
