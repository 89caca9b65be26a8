"""Client transactions (RFC 3261, 17.1 and 9.1; RFC 6026, 8.4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from firmware.wire.sip.events import Event, Flow, ResponseReceived, TimedOut
from firmware.wire.sip.headers import Headers, split_list
from firmware.wire.sip.model import Request, Response
from firmware.wire.sip.states import CLIENT, INVITE_CLIENT, State

if TYPE_CHECKING:
    from firmware.wire.sip.transaction import TransactionLayer

_MAX_FORKS = 16
"""2xx of so many forks are told; more are not believed."""


def follow_up(request: Request, method: str, to: str) -> Request:
    """The CANCEL or ACK of an INVITE, hop by hop (RFC 3261, 9.1 and 17.1.1.3)."""
    source = request.headers.fields
    fields = {
        "Via": [split_list(source["Via"][0])[0]],
        "From": source["From"][:1],
        "To": [to],
        "Call-ID": source["Call-ID"][:1],
        "CSeq": [f"{request.cseq[0]} {method}"],
        "Max-Forwards": ["70"],
    }
    if "Route" in source:
        fields["Route"] = source["Route"].copy()
    return Request(method, request.uri, Headers.adopt(fields))


class ClientTransaction:
    """A request that we sent and what comes back.

    The layer lets go of this object as soon as only repetitions are to be expected, but for an
    INVITE that was accepted: it stays for 64*T1, so that forks are told apart. Put `user` to
    None if that would keep a call in memory for too long.
    """

    __slots__ = (
        "_ack",
        "_cancel",
        "_data",
        "_forks",
        "_internal",
        "_key",
        "_layer",
        "_request",
        "_tag",
        "flow",
        "interval_s",
        "invite",
        "state",
        "user",
    )

    def __init__(
        self,
        layer: TransactionLayer,
        key: str,
        request: Request,
        flow: Flow,
        user: object,
        internal: bool = False,
    ) -> None:
        self._layer = layer
        self._key = key
        self._request: Request | None = request
        self._data = b""
        self._ack = b""
        self._tag: str | None = None
        self._forks: dict[str, bytes] | None = None
        self._cancel: list[tuple[str, str]] | None = None
        self._internal = internal
        self.flow = flow
        self.user = user
        self.interval_s = 0.0
        self.invite = request.method == "INVITE"
        self.state = State.CALLING if self.invite else State.TRYING

    @property
    def request(self) -> Request:
        """The request as sent. An INVITE's is dropped by `acknowledge`."""
        assert self._request is not None, "the request was dropped when it was acknowledged"
        return self._request

    def cancel(self, now: float, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Cancel an INVITE (9.1): at once, or as soon as a provisional answer has come.

        After the final answer, or a second time, it does nothing. A 2xx may still come, and is
        to be acknowledged and ended by BYE. `headers` are added to the CANCEL, such as Reason.
        """
        assert self.invite, "only an INVITE is cancelled"
        if self._cancel is not None:
            return
        if self.state is State.CALLING:
            self._cancel = list(headers)
        elif self.state is State.PROCEEDING:
            self._cancel = list(headers)
            self._send_cancel(now)

    def acknowledge(self, ack: Request, flow: Flow | None = None) -> None:
        """Keep the ACK of a 2xx for repetitions of that 2xx (13.2.2.4). It is not sent by this.

        The first copy is sent by `TransactionLayer.send`. Repetitions are answered on `flow`,
        or the flow of the INVITE.
        """
        assert self.state is State.ACCEPTED or self.state is State.TERMINATED
        data = ack.to_bytes()
        tag = ack.to.tag
        if flow is not None:
            self.flow = flow
        if tag == self._tag:
            self._ack = data
        elif tag is not None and self._forks is not None and tag in self._forks:
            self._forks[tag] = data
        self._request = None

    def _move(self, state: State) -> None:
        assert state in (INVITE_CLIENT if self.invite else CLIENT)[self.state]
        self.state = state

    def _send_cancel(self, now: float) -> None:
        request = self.request
        cancel = follow_up(request, "CANCEL", request.headers.fields["To"][0])
        for name, value in self._cancel or ():
            cancel.headers.add(name, value)
        self._layer.start(cancel, self.flow, now, None, True)
        self._layer.clock.limit(self, now)

    # What follows is for the layer.

    def start(self, now: float) -> None:
        """Send the request and start timers A and B, or E and F."""
        layer = self._layer
        data = self.request.to_bytes()
        layer.out.append((data, self.flow))
        if not self.flow.reliable:
            self._data = data
            layer.clock.retry(self, layer.timers.t1_s, now)
        layer.clock.limit(self, now)

    def received(self, response: Response, flow: Flow, now: float) -> Event | None:
        """A response that matches."""
        status = response.status
        layer = self._layer
        state = self.state
        if state is State.ACCEPTED:
            return self._accepted_again(response, flow) if 200 <= status < 300 else None
        if status < 200:
            self._move(State.PROCEEDING)
            if self.invite:
                if state is State.CALLING:
                    layer.clock.stop(self)
                    self._data = b""
                    if self._cancel is not None:
                        self._send_cancel(now)
            elif state is State.TRYING and self.interval_s:
                layer.clock.stop_retry(self)
                layer.clock.retry(self, layer.timers.t2_s, now)
            return None if self._internal else ResponseReceived(self, response, flow)
        layer.clock.stop(self)
        self._data = b""
        if not self.invite:
            self._move(State.COMPLETED)
            if self.flow.reliable:
                layer.drop_client(self._key)
            else:
                layer.linger_client(self._key, None, now, layer.timers.t4_s)
            return None if self._internal else ResponseReceived(self, response, flow)
        if status < 300:
            self._move(State.ACCEPTED)
            self._tag = response.to.tag
            layer.linger_client(self._key, self, now, layer.timers.timeout_s)
            return ResponseReceived(self, response, flow)
        self._move(State.COMPLETED)
        ack = follow_up(self.request, "ACK", response.headers.fields["To"][0]).to_bytes()
        layer.out.append((ack, self.flow))
        if self.flow.reliable:
            layer.drop_client(self._key)
        else:
            layer.linger_client(self._key, (ack, self.flow), now, layer.timers.timeout_s)
        return ResponseReceived(self, response, flow)

    def _accepted_again(self, response: Response, flow: Flow) -> Event | None:
        """A 2xx came again, or another fork's."""
        tag = response.to.tag
        if tag == self._tag:
            if self._ack:
                self._layer.out.append((self._ack, self.flow))
            return None
        forks = self._forks
        if forks is None:
            forks = self._forks = {}
        if tag is None or (len(forks) >= _MAX_FORKS and tag not in forks):
            return None
        if tag in forks:
            if forks[tag]:
                self._layer.out.append((forks[tag], self.flow))
            return None
        forks[tag] = b""
        return ResponseReceived(self, response, flow)

    def on_retry(self, interval_s: float, now: float) -> None:
        """Timer A doubles without bound, timer E up to T2."""
        layer = self._layer
        layer.out.append((self._data, self.flow))
        if self.invite:
            interval_s *= 2
        elif self.state is State.PROCEEDING:
            interval_s = layer.timers.t2_s
        else:
            interval_s = min(interval_s * 2, layer.timers.t2_s)
        layer.clock.retry(self, interval_s, now)

    def on_limit(self, now: float) -> Event | None:
        """Timer B or F, or 64*T1 after a CANCEL."""
        self._layer.clock.stop(self)
        self._move(State.TERMINATED)
        self._data = b""
        self._layer.drop_client(self._key)
        return None if self._internal else TimedOut(self)

    @property
    def waiting(self) -> bool:
        """Whether no final answer has come yet."""
        state = self.state
        return state is State.CALLING or state is State.PROCEEDING or state is State.TRYING
