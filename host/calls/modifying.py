"""Changes of a session that stands: one side's offer goes to the other, and its answer back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from host.calls.call import Call, Leg, State
from host.calls.commands import (
    Command,
    ModifiedLeg,
    ModifyLeg,
    RejectModifyLeg,
    Relay,
    RelayStep,
    SendInfo,
)
from host.calls.joint import Joint, Transfer


class Modifying:
    """The part of call control that carries re-INVITE, UPDATE and INFO through; `CallControl` has
    the rest."""

    commands: list[Command]

    if TYPE_CHECKING:

        def _through_relay(
            self, session: Call | Joint, step: RelayStep, from_caller: bool, sdp: bytes, now: float
        ) -> None: ...
        def _transfer_free(self, call: Call, now: float) -> None: ...
        def _join_modified(self, transfer: Transfer, leg: Leg, sdp: bytes, now: float) -> None: ...
        def _join_refused(self, transfer: Transfer, leg: Leg, status: int, now: float) -> None: ...

    def modify_offered(self, leg: Leg, sdp: bytes, update: bool, now: float) -> None:
        """A peer offers a changed session by re-INVITE or UPDATE (RFC 3261, 14; RFC 3311)."""
        call = leg.call
        other = call.other(leg)
        # Who has left for the sake of a transfer, or is nobody yet, can't be asked: later he can.
        if call.state is not State.TALKING or other is None or other.agent is None:
            self.commands.append(
                RejectModifyLeg(leg, 491 if call.state is not State.ENDED else 481)
            )
            return
        session = call.session
        if session.modifying is not None:
            self.commands.append(RejectModifyLeg(leg, 491))
            return
        session.modifying = leg
        if session.media == "direct":
            self.commands.append(ModifyLeg(other, sdp, update))
        else:
            step = RelayStep("reoffer", leg, update)
            self.commands.append(Relay(session, step, session.leads(leg), sdp))

    def modified(self, leg: Leg, sdp: bytes, now: float) -> None:
        """The other side accepted the change with this answer."""
        call = leg.call
        if call.transfer is not None and call.transfer.busy:
            self._join_modified(call.transfer, leg, sdp, now)
            return
        session = call.session
        if session.modifying is None or session.modifying is leg:
            return
        self._through_relay(session, RelayStep("reanswer", leg), session.leads(leg), sdp, now)

    def modify_failed(self, leg: Leg, status: int, now: float) -> None:
        call = leg.call
        if call.transfer is not None and call.transfer.busy:
            self._join_refused(call.transfer, leg, status, now)
            return
        modifying = call.session.modifying
        if modifying is not None and modifying is not leg:
            self._modify_done(call, None, status, now)

    def address_changed(self, leg: Leg, sdp: bytes, now: float) -> None:
        """A peer answered our repeated offer (offerless re-INVITE) otherwise than before: the
        other side is offered the change; while another one is under way, only the relay learns."""
        call = leg.call
        if call.state is not State.TALKING:
            return
        session = call.session
        if session.modifying is None:
            self.modify_offered(leg, sdp, False, now)
        elif session.media == "relay":
            self.commands.append(Relay(session, RelayStep("update", leg), session.leads(leg), sdp))

    def info(self, leg: Leg, content_type: str, body: bytes) -> None:
        other = leg.call.other(leg)
        if other is not None and leg.call.state is State.TALKING:
            self.commands.append(SendInfo(other, content_type, body))

    def _modify_done(self, call: Call, sdp: bytes | None, status: int, now: float) -> None:
        session = call.session
        leg, session.modifying = session.modifying, None
        if leg is None or call.state is State.ENDED:
            return
        self.commands.append(
            ModifiedLeg(leg, sdp) if sdp is not None else RejectModifyLeg(leg, status)
        )
        self._transfer_free(leg.call, now)
