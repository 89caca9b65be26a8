"""Transfers of a call (RFC 5456, 6.4 and 6.5): TRANSFER to a number, TXREQ between two calls.

Of path optimisation (6.5) only what two calls with one peer need is here: whoever is in both asks
to leave, the peer connects their far ends itself, and TXCNT and TXACC, by which strangers find each
other, are not needed.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from firmware.wire.iax2 import settings as limits
from firmware.wire.iax2.causes import NORMAL_CLEARING
from firmware.wire.iax2.elements import Ie, Value
from firmware.wire.iax2.kinds import Iax
from firmware.wire.iax2.states import LIVE, State
from firmware.wire.iax2.voice import VoiceExchange

if TYPE_CHECKING:
    from firmware.wire.iax2.call import Call


class Transfers(VoiceExchange):
    """The part of a call that leaves it; `firmware.wire.iax2.call.Call` has the rest."""

    state: State

    if TYPE_CHECKING:

        def _end(self, now: float, cause: int, text: str, by_peer: bool) -> None: ...

    def _init_transfers(self) -> None:
        self.moving = False
        """The peer was asked for a transfer, and has not refused."""
        self.transfer_id = 0
        self.release_at = inf
        """When it is hung up though TXREL has not come."""

    @property
    def transfers(self) -> bool:
        """Whether the peer may ask for them."""
        return self.endpoint.settings.transfers and self.credit is None

    @property
    def released_by_peer(self) -> bool:
        """Whether TXREL is waited for."""
        return self.release_at < inf

    def transfer_to(self, now: float, number: str) -> None:
        """Ask the peer to have its far end talk to a number (TRANSFER, 6.4). It hangs up when that
        is done, or `TransferRefused` comes."""
        if self.state in LIVE:
            self.moving = True
            self.send_iax(now, Iax.TRANSFER, [(Ie.CALLED_NUMBER, number)])
            self.endpoint.arm(self)

    def join_to(self, now: float, other: Call, transfer_id: int) -> None:
        """Ask the peer to connect its far end to that of another call (TXREQ, 6.5); the same is
        to be asked of the other call. `TransferReady` or `TransferRefused` comes."""
        if self.state not in LIVE:
            return
        self.moving = True
        pairs: list[tuple[int, Value]] = [
            (Ie.APPARENT_ADDR, other.address),
            (Ie.CALLNO, other.peer_number),
            (Ie.TRANSFERID, transfer_id),
        ]
        self.transfer_id = transfer_id
        self.send_iax(now, Iax.TXREQ, pairs)
        self.endpoint.arm(self)

    def refuse_transfer(self, now: float, transfer_id: int | None = None) -> None:
        """What the peer asked for is not done, or came to nothing (TXREJ)."""
        if self.state not in LIVE and self.state is not State.OFFERED:
            return
        pairs: list[tuple[int, Value]] = []
        if transfer_id is not None:
            pairs.append((Ie.TRANSFERID, transfer_id))
        self.send_iax(now, Iax.TXREJ, pairs)
        self.endpoint.arm(self)

    def transfer_ready(self, now: float, transfer_id: int) -> None:
        """The far ends are connected (TXREADY): the peer leaves the call, or is hung up."""
        if self.state in LIVE:
            self.release_at = now + limits.RELEASE_S
            self.send_iax(now, Iax.TXREADY, [(Ie.TRANSFERID, transfer_id)])
            self.sending = False
            self.voice_sink = None
            self.endpoint.arm(self)

    def release(self, now: float) -> None:
        """Leave a call whose far end was connected to somebody else (TXREL)."""
        if self.state in LIVE:
            self.send_iax(now, Iax.TXREL, [(Ie.TRANSFERID, self.transfer_id)])
            self._end(now, NORMAL_CLEARING, "transferred", by_peer=False)
