"""Being registered over IAX2: at one server of several, refreshed, and the way to us kept open.

`registration` decides where and when; here its orders become REGREQ, REGREL and POKE.
"""

from __future__ import annotations

from collections.abc import Callable

from firmware.config import Iax2Config, parse_iax2_server
from firmware.ua.base import MessagesWaiting, RegistrationChanged
from firmware.ua.iax2_socket import Address, Found, look_up
from firmware.ua.registration import Attempt, Leave, Order, Registration, RetryTimes
from firmware.wire import iax2

_REFRESH_SHARE = 0.75
"""Of the granted time; the rest is for retransmissions."""
_REFRESH_LEAST_S = 1.0
_ACCOUNT_CAUSES = frozenset({21, 29, 57})
"""A registrar's answers that mean the account: rejected, facility rejected, not authorized."""
_REFUSED, _FAILED = 403, 503
"""What these, and all others, are to `registration`, which thinks in SIP."""


class Registrant:
    """One account at its servers.

    Args:
        config: the account.
        endpoint: what sends and receives.
        random: numbers from 0 to 1, for the jitter of retries.
        emit: takes the changes.
    """

    def __init__(
        self,
        config: Iax2Config,
        endpoint: iax2.Endpoint,
        random: Callable[[], float],
        emit: Callable[[RegistrationChanged | MessagesWaiting], None],
    ) -> None:
        self._config = config
        self._endpoint = endpoint
        self._emit = emit
        self._servers = tuple(parse_iax2_server(text) for text in config.servers)
        times = RetryTimes(
            config.retry_least_s * 1000,
            config.retry_most_s * 1000,
            config.register_timeout_s * 1000,
            config.fallback_s * 1000,
        )
        self._plan = Registration(len(self._servers), times, random)
        self._lookups: dict[int, Found] = {}
        self._attempts: dict[int, iax2.Registration] = {}
        self._active: dict[int, iax2.Registration] = {}
        self._addresses: dict[int, Address] = {}
        self._refresh_at: float | None = None
        self._poke_at: float | None = None
        self._answer_by: float | None = None
        """The server that we are registered at has been asked, and is gone if it says nothing."""
        self._leaving = 0

    @property
    def address(self) -> Address | None:
        """The server that we are registered at."""
        current = self._plan.current
        return None if current is None else self._addresses[current]

    @property
    def servers(self) -> list[int]:
        """All of them, in the order in which an emergency call is tried at them."""
        every = range(len(self._servers))
        current = self._plan.current
        first = min(self._addresses, default=0) if current is None else current
        return [first, *(one for one in every if one != first)]

    def reach(self, server: int) -> Address | str | None:
        """Address of a server, whether we have asked it yet or not; why there is none; None: its
        name is being looked up."""
        return self._addresses.get(server) or look_up(self._servers[server])()

    @property
    def deadline(self) -> float | None:
        """When to call `run`, monotonic seconds; names that are looked up want it sooner."""
        plan_ms = self._plan.deadline_ms
        instants = [self._refresh_at, self._poke_at, self._answer_by]
        if plan_ms is not None:
            instants.append(plan_ms / 1000)
        return min((one for one in instants if one is not None), default=None)

    @property
    def leaving(self) -> bool:
        """True until every server that we leave has said yes."""
        return self._leaving > 0

    def start(self, now: float) -> None:
        """Register for the first time."""
        self._obey(self._plan.start(now * 1000), now)

    def leave(self, now: float) -> None:
        """Release what is registered; nothing is tried any more."""
        self._lookups.clear()
        self._attempts.clear()
        self._leaving = len(self._active)
        while self._active:
            self._endpoint.release(self._active.popitem()[1], now)

    def run(self, now: float) -> None:
        """Do what is due."""
        self._look(now)
        self._obey(self._plan.handle_timer(now * 1000), now)
        current = self._plan.current
        if current is None:
            return
        if self._answer_by is not None and now >= self._answer_by:
            self._lost(current, 0, "does not answer", now)
            return
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None  # set again by the answer
            self._register(current, now)
            self._expect(now)
        if self._poke_at is not None and now >= self._poke_at:
            self._poke_at = now + self._config.keep_alive_s
            self._endpoint.poke(self._addresses[current], now)
            self._expect(now)

    def _expect(self, now: float) -> None:
        if self._answer_by is None:
            self._answer_by = now + self._config.register_timeout_s

    def handle(self, event: iax2.Event, now: float) -> bool:
        """Take an event of the wire; False if it is somebody else's."""
        if isinstance(event, iax2.RegisterAccepted):
            self._accepted(event, now)
        elif isinstance(event, iax2.RegisterRefused):
            self._refused(event, now)
        elif isinstance(event, iax2.RegisterReleased):
            self._leaving -= 1
        elif isinstance(event, iax2.Unreachable | iax2.Reachable):
            current = self._plan.current
            if current is not None and self._addresses[current] == event.address:
                if isinstance(event, iax2.Reachable):
                    self._answer_by = None
                else:
                    self._lost(current, 0, "does not answer", now)
        else:
            return False
        return True

    def _accepted(self, event: iax2.RegisterAccepted, now: float) -> None:
        registration = event.registration
        server = _server_of(registration)
        if self._attempts.get(server) is registration:
            del self._attempts[server]
        self._active[server] = registration
        self._trust()
        self._settle(server, True, 0, "", now)
        if self._plan.current != server:
            return
        self._answer_by = None
        if event.messages is not None:
            self._emit(MessagesWaiting(event.messages[0] > 0, event.messages[0]))
        self._refresh_at = now + max(_REFRESH_LEAST_S, _REFRESH_SHARE * event.refresh_s)
        if self._config.keep_alive_s and self._poke_at is None:
            self._poke_at = now + self._config.keep_alive_s

    def _refused(self, event: iax2.RegisterRefused, now: float) -> None:
        server = _server_of(event.registration)
        if self._attempts.get(server) is not event.registration:
            self._leaving -= 1  # given up meanwhile, or a farewell that was not answered
            return
        self._lost(server, event.cause, event.text, now)

    def _lost(self, server: int, cause: int, text: str, now: float) -> None:
        """A server refuses us or does not answer: there is nothing to be released there."""
        self._attempts.pop(server, None)
        self._active.pop(server, None)
        self._trust()
        self._settle(server, False, cause, text, now)

    def _settle(self, server: int, registered: bool, cause: int, text: str, now: float) -> None:
        before = self._plan.current
        if registered:
            orders = self._plan.registered(server, now * 1000)
        else:
            status = _REFUSED if cause in _ACCOUNT_CAUSES else _FAILED
            orders = self._plan.failed(server, status if cause else 0, now * 1000)
        after = self._plan.current
        if after != before:
            self._refresh_at = self._poke_at = self._answer_by = None
        if after != before or (not registered and after is None):
            at = server if after is None else after
            self._emit(RegistrationChanged(after is not None, str(self._servers[at]), cause, text))
        self._obey(orders, now)

    def _obey(self, orders: list[Order], now: float) -> None:
        for order in orders:
            if isinstance(order, Leave):
                self._lookups.pop(order.server, None)
                self._attempts.pop(order.server, None)
                registration = self._active.pop(order.server, None)
                if registration is not None:
                    self._endpoint.release(registration, now)
                    self._trust()
            elif isinstance(order, Attempt):
                self._lookups[order.server] = look_up(self._servers[order.server])
        self._look(now)

    def _look(self, now: float) -> None:
        """Register where a name has been looked up."""
        for server, found in list(self._lookups.items()):
            answer = found()
            if answer is None:
                continue
            del self._lookups[server]
            if isinstance(answer, str):
                self._settle(server, False, 0, answer, now)
            else:
                self._addresses[server] = answer
                self._register(server, now)

    def _register(self, server: int, now: float) -> None:
        self._attempts[server] = self._endpoint.register(
            self._addresses[server],
            self._config.username,
            self._config.password,
            self._config.expires_s,
            now,
            tag=server,
        )

    def _trust(self) -> None:
        """Calls come from where we are registered, and from nowhere else."""
        peers = self._endpoint.trusted_peers
        peers.clear()
        peers.update(one.address for one in self._active.values())


def _server_of(registration: iax2.Registration) -> int:
    assert isinstance(registration.tag, int), "we gave it"
    return registration.tag
