"""Registration (RFC 5456, 6.1) at both ends, and POKE (6.7.1)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from firmware.wire.iax2 import auth, events
from firmware.wire.iax2 import settings as limits
from firmware.wire.iax2.auth import Access
from firmware.wire.iax2.causes import FACILITY_REJECTED, NORMAL_CLEARING, cause_elements
from firmware.wire.iax2.elements import Elements, Ie, Value
from firmware.wire.iax2.kinds import FrameType, Iax
from firmware.wire.iax2.reliable import Exchange

if TYPE_CHECKING:
    from firmware.wire.iax2.endpoint import Endpoint

DEFAULT_REFRESH_S = 60
"""Where REGACK does not tell (8.6.19)."""
MAX_MESSAGES = 255


class Registration(Exchange):
    """One attempt of ours to register, or to release."""

    def __init__(
        self,
        endpoint: Endpoint,
        address: tuple[str, int],
        username: str,
        password: str,
        refresh_s: int | None,
        now: float,
        tag: object = None,
    ) -> None:
        super().__init__(endpoint, address, now)
        self.username = username
        self.tag = tag
        self._password = password
        self._releasing = refresh_s is None
        self._forget_at = inf
        self._give_up_at = now + limits.REGISTER_S
        self._challenged = False
        self._pairs: list[tuple[int, Value]] = [(Ie.USERNAME, username)]
        if refresh_s is not None:
            self._pairs.append((Ie.REFRESH, min(refresh_s, 0xFFFF)))
        else:
            # Beside what RFC 5456, 6.1.6, has them for, they make the frame long enough that a
            # server may answer with a call token, which must not be longer.
            self._pairs += cause_elements(NORMAL_CLEARING, "Released")
        self.open(self._subclass, self._pairs, now)

    @property
    def password(self) -> str:
        """What it authenticates with."""
        return self._password

    @property
    def _subclass(self) -> Iax:
        return Iax.REGREL if self._releasing else Iax.REGREQ

    def handle(self, kind: int, octet: int, timestamp_ms: int, payload: bytes, now: float) -> None:
        if kind != FrameType.IAX or self.ended:
            return
        elements = Elements.from_bytes(payload)
        if octet == Iax.REGAUTH and not self._challenged:
            self._challenged = True
            methods = elements.number(Ie.AUTHMETHODS) or 0
            challenge = elements.text(Ie.CHALLENGE)
            if not methods & auth.AUTH_MD5 or not challenge:
                self._end(now, auth_refused(self))
                return
            result = auth.response(challenge, self._password)
            self.send_iax(now, self._subclass, [*self._pairs, (Ie.MD5_RESULT, result)])
        elif octet == Iax.REGAUTH:
            self._end(now, events.RegisterRefused(self, FACILITY_REJECTED, "challenged again"))
        elif octet == Iax.REGACK:
            self._end(now, self._accepted(elements))
        elif octet in (Iax.REGREJ, Iax.REJECT):
            cause = elements.number(Ie.CAUSECODE) or FACILITY_REJECTED
            self._end(now, events.RegisterRefused(self, cause, elements.text(Ie.CAUSE)))
        elif octet == Iax.PING:
            self.send_iax(now, Iax.PONG, (), timestamp_ms)
        elif octet == Iax.LAGRQ:
            self.send_iax(now, Iax.LAGRP, (), timestamp_ms)

    def _accepted(self, elements: Elements) -> events.Event:
        if self._releasing:
            return events.RegisterReleased(self)
        count = elements.number(Ie.MSGCOUNT)
        return events.RegisterAccepted(
            self,
            elements.number(Ie.REFRESH) or DEFAULT_REFRESH_S,
            elements.address(Ie.APPARENT_ADDR),
            None if count is None else (count & 0xFF, count >> 8),
        )

    def on_inval(self, now: float) -> None:
        self._end(now, events.RegisterRefused(self, 0, "the peer does not know the registration"))

    def give_up(self, now: float) -> None:
        self._end(now, events.RegisterRefused(self, 0, "no answer from the peer"))

    def _end(self, now: float, event: events.Event) -> None:
        if not self.ended:
            self.ended = True
            self.endpoint.events.append(event)
        self.drop_unacked()
        self._forget_at = now + limits.LINGER_S

    def deadline(self) -> float:
        return min(super().deadline(), self._forget_at if self.ended else self._give_up_at)

    def on_timer(self, now: float) -> None:
        super().on_timer(now)
        if now >= self._forget_at:
            self.endpoint.forget(self)
        elif now >= self._give_up_at and not self.ended:
            self.give_up(now)


def auth_refused(registration: Registration) -> events.RegisterRefused:
    """The peer wants what we do not give."""
    return events.RegisterRefused(
        registration, FACILITY_REJECTED, "no way to authenticate to the peer"
    )


class IncomingRegistration(Exchange):
    """A REGREQ or REGREL of a peer, until its REGACK or REGREJ is acknowledged."""

    def __init__(
        self,
        endpoint: Endpoint,
        address: tuple[str, int],
        username: str,
        access: Access,
        subclass: Iax,
        asked_s: int,
        now: float,
        credit: int | None,
    ) -> None:
        super().__init__(endpoint, address, now, credit)
        self.outgoing = False
        self.username = username
        self.access = access
        self.challenge = ""
        self._subclass = subclass
        self._asked_s = asked_s
        self._expires_at = now + limits.UNAUTHENTICATED_S

    def handle(self, kind: int, octet: int, timestamp_ms: int, payload: bytes, now: float) -> None:
        if kind != FrameType.IAX or self.ended:
            return
        if octet not in (Iax.REGREQ, Iax.REGREL):
            if octet == Iax.PING:
                self.send_iax(now, Iax.PONG, (), timestamp_ms)
            return
        elements = Elements.from_bytes(payload)
        result = elements.text(Ie.MD5_RESULT)
        if not self.challenge or not result:
            return
        if auth.verify(self.challenge, self.access.secret, result):
            self.prove(now)
            self._subclass = Iax(octet)
            self._asked_s = elements.number(Ie.REFRESH) or self._asked_s
            self.acknowledge(now)
        else:
            self.endpoint.authentication_failed(self, now)

    def acknowledge(self, now: float) -> None:
        """The user is who it says."""
        endpoint = self.endpoint
        authority = endpoint.authority
        assert authority is not None
        endpoint.registrant_known(self)
        pairs: list[tuple[int, Value]] = [(Ie.USERNAME, self.username)]
        event: events.Event
        if self._subclass is Iax.REGREL:
            event = events.Releasing(self.username, self.address)
        else:
            refresh_s = self._refresh_s()
            pairs += [(Ie.REFRESH, refresh_s), (Ie.APPARENT_ADDR, self.address)]
            counts = authority.messages(self.username)
            if counts is not None:
                new, old = (min(count, MAX_MESSAGES) for count in counts)
                pairs.append((Ie.MSGCOUNT, old << 8 | new))
            event = events.Registering(self.username, self.address, refresh_s)
        self.send_iax(now, Iax.REGACK, pairs)
        self._settle(now)
        endpoint.events.append(event)

    def _refresh_s(self) -> int:
        settings = self.endpoint.settings
        authority = self.endpoint.authority
        assert authority is not None
        wanted = getattr(authority, "refresh", None)
        if wanted is not None:
            return min(max(int(wanted(self.username, self._asked_s)), 1), 0xFFFF)
        asked = self._asked_s or settings.min_refresh_s
        return min(max(asked, settings.min_refresh_s), settings.max_refresh_s)

    def refuse(self, now: float, cause: int, text: str) -> None:
        """REGREJ."""
        self.send_iax(now, Iax.REGREJ, cause_elements(cause, text))
        self._settle(now)

    def _settle(self, now: float) -> None:
        self.ended = True
        self._expires_at = inf if self.credit is None else now + limits.UNAUTHENTICATED_S
        self.endpoint.ended(self)
        self.finish()

    def on_finished(self, now: float) -> None:
        self._expires_at = now + limits.LINGER_S

    def on_inval(self, now: float) -> None:
        self.endpoint.forget(self)

    def give_up(self, now: float) -> None:
        self.endpoint.forget(self)

    def deadline(self) -> float:
        return min(super().deadline(), self._expires_at)

    def on_timer(self, now: float) -> None:
        super().on_timer(now)
        if now >= self._expires_at:
            if not self.ended:
                self.endpoint.counters.expired += 1
            self.endpoint.forget(self)


class Poke(Exchange):
    """Is there anybody?"""

    def __init__(self, endpoint: Endpoint, address: tuple[str, int], now: float) -> None:
        super().__init__(endpoint, address, now)
        self._sent_at = now
        self.send_iax(now, Iax.POKE)

    def handle(self, kind: int, octet: int, timestamp_ms: int, payload: bytes, now: float) -> None:
        if kind == FrameType.IAX and octet == Iax.PONG and not self.ended:
            self._end(now, events.Reachable(self.address, int((now - self._sent_at) * 1000)))

    def on_inval(self, now: float) -> None:
        self._end(now, events.Reachable(self.address, int((now - self._sent_at) * 1000)))

    def give_up(self, now: float) -> None:
        self._end(now, events.Unreachable(self.address))

    def _end(self, now: float, event: events.Event) -> None:
        if not self.ended:
            self.ended = True
            self.endpoint.events.append(event)
            self.endpoint.forget(self)
