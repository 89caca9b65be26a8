"""Transfers: somebody who is in two calls leaves them, and their far ends talk to each other.

Whoever asked stays in his calls until the two are joined, so that a transfer that comes to nothing
takes nothing from him; if he has hung up meanwhile, his call ends with it. Both calls go on being
charged as before, each to whom it was charged, until one of the two ends hangs up.

Joining is third party call control (RFC 3725): the second end is offered what the first one said
of its media, the first one what the second answers. A blind transfer's call was made with the
first end's description, so that only the answer is left to be told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from host.calls.call import Call, Leg, Offered, State
from host.calls.commands import (
    Authorize,
    CloseRelay,
    Command,
    DescribeLeg,
    EndLeg,
    Failure,
    MediaMode,
    ModifyLeg,
    Relay,
    RelayStep,
    TellTransfer,
)
from host.calls.joint import Joint, Stage, Transfer, session_of
from host.charging.values import Reason
from host.deadlines import Deadlines

TRY_AGAIN_S = 1.0
"""An end that was busy with a change of its session is asked again (RFC 3261, 14.1)."""
MOST_TRIES = 5
RINGING, OK = 180, 200
GONE, TERMINATED, NOT_ACCEPTABLE, REQUEST_PENDING, UNAVAILABLE = 481, 487, 488, 491, 503
NORMAL_CLEARING = 16


class Transferring:
    """The part of call control that joins calls; `CallControl` has the rest."""

    commands: list[Command]
    calls: dict[str, Call]
    waiting: int
    _retries: Deadlines

    if TYPE_CHECKING:

        def _through_relay(
            self, session: Call | Joint, step: RelayStep, from_caller: bool, sdp: bytes, now: float
        ) -> None: ...
        def modify_offered(self, leg: Leg, sdp: bytes, update: bool, now: float) -> None: ...
        def _finish(
            self, call: Call, now: float, cause: int, ended_by: str, detail: str
        ) -> None: ...
        def ended(self, leg: Leg, cause: int, now: float, detail: str = "") -> None: ...

    # --- what shells ask for ---

    def may_transfer(self, leg: Leg) -> int:
        """0 where a transfer can be asked for on this leg, or the SIP status of why not."""
        call = leg.call
        if call.state is not State.TALKING or call.other(leg) is None:
            return GONE if call.state is State.ENDED else REQUEST_PENDING
        return REQUEST_PENDING if call.transfer is not None else 0

    def may_be_second(self, first: Leg, second: Leg) -> int:
        """0 where the far end of `second` can be joined to that of `first`, or the SIP status of
        why not. It may still ring, where it is whoever asks that calls (RFC 3891, 3)."""
        call = second.call
        alike = call is first.call or (call.joint is not None and call.joint is first.call.joint)
        if call.state is State.ENDED or alike:
            return GONE
        if call.state is not State.TALKING and not second.is_caller:
            return GONE
        return REQUEST_PENDING if call.transfer is not None else 0

    def transfer_to(self, leg: Leg, offered: Offered, now: float) -> None:
        """Blind: call whom `offered` says, and join whoever answers to the far end of `leg`.

        Args:
            leg: of whoever asks; `may_transfer` has said 0 of it.
            offered: a call of his account, with his far end's description in it.
        """
        end = leg.call.other(leg)
        bridged = (end is not None and end.bridged) or all(
            target.bridged for target in offered.every_target
        )
        media = _media(bridged, (leg.call.session.media, offered.media), (leg,))
        call = Call(offered._replace(media=media), None)
        assert call.id not in self.calls, "a call id is unique for ever"
        self.calls[call.id] = call
        self.waiting += 1
        Transfer((leg, call.caller), blind=True)
        self.commands.append(Authorize(call, offered.facts, offered.legs))

    def transfer_by(self, leg: Leg, second: Leg, now: float) -> None:
        """Attended: join the far ends of two legs, at once or when the second call is answered.

        Args:
            leg: of whoever asks; `may_transfer` has said 0 of it.
            second: his leg in another call, which has no transfer on its way.
        """
        self._join_if_free(Transfer((leg, second), blind=False), now)

    def described(self, leg: Leg, sdp: bytes, now: float) -> None:
        """What the end of a call says of its media; empty: nothing that can be passed on."""
        transfer = leg.call.transfer
        joint = transfer.joint if transfer is not None else None
        if transfer is None or joint is None or transfer.stage is not Stage.DESCRIBING:
            if sdp:  # a transfer came to nothing: what he who stays said before holds again
                self.modify_offered(leg, sdp, False, now)
            return
        self._through_relay(joint, RelayStep("join-offer", leg), True, sdp, now)

    # --- what call control reports ---

    def _hung_up(self, leg: Leg) -> bool:
        """Whoever asked for a transfer has hung up: True where his call goes on for its sake."""
        call = leg.call
        transfer = call.transfer
        if transfer is None or leg not in transfer.leaving or call.state is not State.TALKING:
            return False
        transfer.gone.add(leg)
        return True

    def _transfer_rings(self, call: Call) -> None:
        """The second call of a transfer rings."""
        transfer = call.transfer
        if transfer is not None and transfer.blind and call is transfer.calls[1]:
            self.commands.append(TellTransfer(transfer.leaving[0], RINGING))

    def _transfer_free(self, call: Call, now: float) -> None:
        """A call of a transfer was answered, or has done with a change of its session."""
        transfer = call.transfer
        if transfer is not None and transfer.stage is Stage.WAITING:
            self._join_if_free(transfer, now)

    def _transfer_lost(
        self, call: Call, now: float, failure: Failure | None = None, reason: Reason | None = None
    ) -> None:
        """A call of a transfer is over: it was refused, it failed, or somebody hung up."""
        if call.transfer is not None:
            self._transfer_failed(call.transfer, TERMINATED, now, failure, reason)

    def _try_again(self, now: float) -> None:
        for name in self._retries.due(now):
            call = self.calls.get(name)
            if call is not None:
                self._transfer_free(call, now)

    # --- joining ---

    def _join_if_free(self, transfer: Transfer, now: float) -> None:
        """Begin to join the ends, unless a call has not been answered, or a change is under way:
        then when that is over."""
        first, second = transfer.calls
        if second.state is not State.TALKING:
            return
        if first.session.modifying is not None or second.session.modifying is not None:
            return
        one, other = first.other(transfer.leaving[0]), second.other(transfer.leaving[1])
        assert one is not None, "the first call talks"
        assert other is not None, "the second call talks"
        if transfer.blind:
            # What the second call has in the relay is between the two ends already.
            joint = Joint(second.id, transfer.all_calls, (one, other), second.media)
            joint.relayed = second.relayed
        else:
            modes = (first.session.media, second.session.media)
            media = _media(one.bridged or other.bridged, modes, transfer.leaving)
            joint = Joint(session_of(second), transfer.all_calls, (one, other), media)
        transfer.joint = joint
        # Whoever wants to change a session meanwhile is told to ask later (491).
        first.session.modifying = transfer.leaving[0]
        second.session.modifying = transfer.leaving[1]
        if transfer.blind:
            transfer.stage = Stage.ANSWERED
            transfer.moved = True
            self.commands.append(ModifyLeg(one, second.answer_sdp, False))
        else:
            transfer.stage = Stage.DESCRIBING
            self.commands.append(DescribeLeg(one, other.bridged))

    def _join_relayed(self, leg: Leg, kind: str, sdp: bytes | None, now: float) -> None:
        """An end's description is ready for the other one, or cannot be had: no port (None), or
        nothing in it that is of use."""
        transfer = leg.call.transfer
        if transfer is None or not transfer.busy:
            return
        if not sdp:
            failed = UNAVAILABLE if sdp is None else NOT_ACCEPTABLE
            self._transfer_failed(transfer, failed, now)
            return
        first, second = _joint_of(transfer).ends
        offers = kind == "join-offer"
        transfer.stage = Stage.OFFERED if offers else Stage.ANSWERED
        self.commands.append(ModifyLeg(second if offers else first, sdp, False))

    def _join_modified(self, transfer: Transfer, leg: Leg, sdp: bytes, now: float) -> None:
        """An end took the other one's description, and this is its own."""
        joint = _joint_of(transfer)
        if leg not in joint.ends:
            return
        if transfer.stage is Stage.OFFERED and leg is joint.ends[1]:
            transfer.moved = True
            self._through_relay(joint, RelayStep("join-answer", leg), False, sdp, now)
        elif transfer.stage is Stage.ANSWERED and leg is joint.ends[0]:
            if joint.relayed and sdp:
                self.commands.append(Relay(joint, RelayStep("update", leg), True, sdp))
            self._joined(transfer)

    def _join_refused(self, transfer: Transfer, leg: Leg, status: int, now: float) -> None:
        """An end did not take it; what crossed a change of its own is asked again."""
        joint = _joint_of(transfer)
        if leg not in joint.ends:
            return
        if status not in (REQUEST_PENDING, 500) or transfer.tries >= MOST_TRIES:
            self._transfer_failed(transfer, status, now)
            return
        transfer.tries += 1
        first, second = transfer.calls
        first.session.modifying = second.session.modifying = None
        transfer.stage = Stage.WAITING
        if not transfer.blind:
            self._close(joint)
        self._retries.arm(first.id, now + TRY_AGAIN_S)

    def _joined(self, transfer: Transfer) -> None:
        """The ends talk to each other: whoever asked is let go."""
        joint = _joint_of(transfer)
        for call in transfer.calls:
            session = call.session
            session.modifying = None
            if session.id != joint.id:
                self._close(session)
            else:
                session.relayed = False  # the joint's from now on
        for call in joint.calls:
            call.transfer = None
            call.joint = joint
        self.commands.append(TellTransfer(transfer.leaving[0], OK))
        for leg in transfer.leaving:
            self.commands.append(EndLeg(leg, NORMAL_CLEARING))

    def _transfer_failed(
        self,
        transfer: Transfer,
        status: int,
        now: float,
        failure: Failure | None = None,
        reason: Reason | None = None,
    ) -> None:
        """All is as before; what he who asked has left meanwhile is over."""
        joint, busy = transfer.joint, transfer.busy
        for call in transfer.all_calls:
            call.transfer = None
            if busy:
                call.session.modifying = None
        if joint is not None and not transfer.blind:
            self._close(joint)
        first, second = transfer.leaving
        self.commands.append(TellTransfer(first, status, failure, reason))
        if transfer.blind:
            transfer.gone.add(second)
        elif transfer.moved and second not in transfer.gone:
            self.commands.append(DescribeLeg(second))  # its far end is told of him again
        for leg in (first, second):
            call = leg.call
            if leg not in transfer.gone or call.state is State.ENDED:
                continue
            self.ended(leg, NORMAL_CLEARING, now, "transfer failed")

    def _close(self, session: Call | Joint) -> None:
        if session.relayed:
            session.relayed = False
            self.commands.append(CloseRelay(session.id))

    def _finish_joined(self, call: Call, now: float, cause: int) -> None:
        """One of several calls that are joined is over: so are the others."""
        joint = call.joint
        if joint is None:
            return
        for other in joint.calls:
            if other.state is State.TALKING:
                self._finish(other, now, cause, joint.left_by(other), "transferred")


def _joint_of(transfer: Transfer) -> Joint:
    assert transfer.joint is not None, "joining has begun"
    return transfer.joint


def _media(bridged: bool, modes: tuple[MediaMode, MediaMode], leaving: Iterable[Leg]) -> MediaMode:
    """Direct where an end's media is on this host anyhow, or where it was direct in both calls
    from peer to peer.

    Args:
        bridged: an end's media ends on this host by itself.
        modes: of the two calls.
        leaving: legs of whoever leaves them.
    """
    from_peer_to_peer = modes == ("direct", "direct") and not any(leg.bridged for leg in leaving)
    return "direct" if bridged or from_peer_to_peer else "relay"
