"""Server transactions (RFC 3261, 17.2; RFC 6026, 8.5 to 8.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware.wire.sip.events import AckTimedOut, Event, Flow
from firmware.wire.sip.model import Request, Response, response_to
from firmware.wire.sip.states import INVITE_SERVER, SERVER, State
from firmware.wire.sip.timers import TRYING_S

if TYPE_CHECKING:
    from firmware.wire.sip.transaction import TransactionLayer


class ServerTransaction:
    """A request that came in and the answers to it.

    Once the final answer needs nothing but repeating, the layer keeps its octets alone; this
    object then lives as long as its user holds it.
    """

    __slots__ = (
        "_ack_key",
        "_answer",
        "_key",
        "_layer",
        "_request",
        "accepted",
        "flow",
        "interval_s",
        "invite",
        "state",
        "user",
    )

    def __init__(self, layer: TransactionLayer, key: str, request: Request, flow: Flow) -> None:
        self._layer = layer
        self._key = key
        self._request: Request | None = request
        self._answer = b""
        self._ack_key = ""
        self.flow = flow
        self.user: object = None
        """Whatever the transaction user wants to find again."""
        self.interval_s = 0.0
        self.invite = request.method == "INVITE"
        self.accepted = False
        """Whether the final answer is a 2xx."""
        self.state = State.PROCEEDING if self.invite else State.TRYING

    @property
    def request(self) -> Request:
        """The request. An INVITE's is dropped when a final answer other than 2xx is sent."""
        assert self._request is not None, "the request was dropped with its final answer"
        return self._request

    @property
    def open(self) -> bool:
        """Whether a final answer is still to be given."""
        return self.state is State.PROCEEDING or self.state is State.TRYING

    def trying(self, now: float) -> None:
        """Send 100 to an INVITE unless another answer is given within 200 ms, or it comes again
        before (17.2.1): an answer that comes so soon says what a 100 would."""
        assert self.invite
        assert not self._answer, "an answer was given already"
        self._layer.clock.retry(self, TRYING_S, now)

    def respond(self, response: Response, now: float) -> None:
        """Send a provisional answer or the final one.

        Repeated requests get the last answer again. A 2xx to an INVITE is repeated until its
        ACK comes (13.3.1.4), other final answers over unreliable flows (17.2.1). To answer
        after the final answer is a mistake of ours; see `open`.
        """
        assert self.open, f"answered in state {self.state}"
        layer = self._layer
        if self.interval_s:
            layer.clock.stop_retry(self)  # no 100 is needed any more
        answer = response.to_bytes()
        layer.out.append((answer, self.flow))
        status = response.status
        if status < 200:
            self._move(State.PROCEEDING)
            self._answer = answer
        elif not self.invite:
            self._move(State.COMPLETED)
            if self.flow.reliable:
                layer.drop_server(self._key)
            else:
                layer.linger_server(self._key, answer, now)
        elif status < 300:
            self._move(State.ACCEPTED)
            self.accepted = True
            self._answer = answer
            tag = response.to.tag
            assert tag, "a 2xx to INVITE without To tag"
            self._ack_key = layer.await_ack(self, response.call_id, tag, response.cseq[0])
            layer.clock.retry(self, layer.timers.t1_s, now)
            layer.clock.limit(self, now)
        else:
            self._move(State.COMPLETED)
            self._answer = answer
            self._request = None
            if not self.flow.reliable:
                layer.clock.retry(self, layer.timers.t1_s, now)
            layer.clock.limit(self, now)

    def respond_statelessly(self, response: Response) -> None:
        """Send the final answer and forget the transaction at once (RFC 3261, 8.2.7).

        For challenges and refusals to strangers: nothing lasting is allocated for them. A
        repeated request is a new one then, and the ACK matches nothing.
        """
        assert self.open, f"answered in state {self.state}"
        layer = self._layer
        layer.clock.stop_retry(self)
        layer.out.append((response.to_bytes(), self.flow))
        self._move(State.COMPLETED)
        layer.drop_server(self._key)

    def _move(self, state: State) -> None:
        assert state in (INVITE_SERVER if self.invite else SERVER)[self.state]
        self.state = state

    # What follows is for the layer.

    def repeat(self, flow: Flow) -> None:
        """The request came again."""
        if self.interval_s and self.state is State.PROCEEDING:
            self._layer.clock.stop_retry(self)
            self._answer = self._trying()
        if self._answer and self.state is not State.ACCEPTED:
            self._layer.out.append((self._answer, flow))

    def _trying(self) -> bytes:
        return response_to(self.request, 100).to_bytes()

    @property
    def answer(self) -> bytes:
        """Octets of the last answer, empty if there is none to repeat."""
        return self._answer

    def acknowledged(self, now: float) -> bool:
        """An ACK came; True if it is the first one of a 2xx."""
        if self.state is not State.COMPLETED and self.state is not State.ACCEPTED:
            return False
        self._move(State.CONFIRMED)
        layer = self._layer
        layer.clock.stop(self)
        self._answer = b""
        if self.accepted:
            layer.forget_ack(self._ack_key)
            layer.linger_server(self._key, b"", now)
        elif self.flow.reliable:
            layer.drop_server(self._key)
        else:
            layer.linger_server(self._key, b"", now, layer.timers.t4_s)
        return self.accepted

    def on_retry(self, interval_s: float, now: float) -> None:
        """Timer G, the repetition of a 2xx, or the 100 that nothing else came before."""
        layer = self._layer
        if self.state is State.PROCEEDING:
            self._answer = self._trying()
        else:
            layer.clock.retry(self, min(interval_s * 2, layer.timers.t2_s), now)
        layer.out.append((self._answer, self.flow))

    def on_limit(self, now: float) -> Event | None:
        """Timer H, or 64*T1 after a 2xx."""
        self._move(State.TERMINATED)
        self._answer = b""
        if self.accepted:
            self._layer.forget_ack(self._ack_key)
        self._layer.drop_server(self._key)
        return AckTimedOut(self)
