"""What is done with those who open an exchange: tokens, challenges, limits; all before trust."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from firmware.wire.iax2 import auth
from firmware.wire.iax2.auth import Access, Purpose
from firmware.wire.iax2.call import Call
from firmware.wire.iax2.causes import (
    BEARER_NOT_AUTHORIZED,
    BEARER_NOT_AVAILABLE,
    CALL_REJECTED,
    FACILITY_REJECTED,
    INTERWORKING,
    SWITCH_CONGESTION,
    cause_elements,
)
from firmware.wire.iax2.elements import Elements, Ie, Value, encode
from firmware.wire.iax2.frames import FULL, FULL_BIT, FULL_OCTETS
from firmware.wire.iax2.kinds import FrameType, Iax
from firmware.wire.iax2.offer import VERSION, NewCall
from firmware.wire.iax2.registration import IncomingRegistration
from firmware.wire.iax2.reliable import Exchange
from firmware.wire.iax2.token import TokenFactory

if TYPE_CHECKING:
    from firmware.wire.iax2.endpoint import Endpoint

STATELESS_NUMBER = 1
"""Our call number in answers that nothing is kept of, as chan_iax2 does; never allotted."""
_MAX_TOKEN_USERS = 10_000
_MAX_USERNAME = 128
KNOWN_AT_ONCE = 256
"""Exchanges that may wait for the answer to a challenge where this user has answered one from this
very address: a PBX begins as many calls as it wants while the first challenge is under way."""
_MAX_KNOWN = 2_000
_MISSING = object()
_REFUSAL = {Iax.NEW: Iax.REJECT, Iax.REGREQ: Iax.REGREJ, Iax.REGREL: Iax.REGREJ}


class Strangers:
    """The door of an endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._tokens = TokenFactory(endpoint.random(32), endpoint.settings.token_life_s)
        self._token_users: OrderedDict[tuple[str, int], None] = OrderedDict()
        """Addresses that have shown a token: those of policy "auto" need one from then on."""
        self._outstanding: dict[str, list[Exchange]] = {}
        """By user name, who was challenged and has not answered."""
        self._known: OrderedDict[tuple[str, tuple[str, int]], None] = OrderedDict()
        """Users and the addresses that they have answered a challenge from, the latest last."""

    def receive(
        self, subclass: Iax, data: bytes, source: int, address: tuple[str, int], now: float
    ) -> None:
        """A frame that opens an exchange, from who has none.

        Raises:
            PeerError: its elements are cut short.
        """
        if subclass is Iax.POKE:
            # RFC 5456, 6.7.1; nothing is kept of it, and the answer is as long as the question.
            self._answer(subclass, data, source, address, Iax.PONG, ())
            return
        endpoint = self._endpoint
        elements = Elements.from_bytes(data[FULL_OCTETS:])
        username = elements.text(Ie.USERNAME)[:_MAX_USERNAME]
        trusted = endpoint.authority is None and address in endpoint.trusted_peers
        if endpoint.authority is None and not (trusted and subclass is Iax.NEW):
            endpoint.counters.refused += 1
            return
        token = elements.values.get(Ie.CALLTOKEN, _MISSING)
        proved = False
        if token == b"":
            endpoint.counters.token_asked += 1
            made = self._tokens.make(address, now)
            self._answer(subclass, data, source, address, Iax.CALLTOKEN, ((Ie.CALLTOKEN, made),))
            return
        if isinstance(token, bytes):
            if not self._tokens.check(token, address, now):
                endpoint.counters.token_bad += 1
                self._refuse(subclass, data, source, address, CALL_REJECTED, "bad call token")
                return
            proved = True
            self.remember(address)
        if subclass is Iax.NEW and elements.number(Ie.VERSION) not in (VERSION, None):
            self._refuse(subclass, data, source, address, INTERWORKING, "unknown protocol version")
            return
        if endpoint.authority is None:
            access = Access("address", token="auto")
        else:
            purpose: Purpose = "call" if subclass is Iax.NEW else "register"
            access = endpoint.authority.access(username, address, purpose)
        if not proved and (
            access.token == "yes" or (access.token == "auto" and address in self._token_users)
        ):
            endpoint.counters.token_missing += 1
            self._refuse(subclass, data, source, address, CALL_REJECTED, "call token required")
            return
        if access.method == "refuse":
            endpoint.counters.refused += 1
            self._refuse(subclass, data, source, address, CALL_REJECTED, "No authority found")
            return
        if endpoint.full(address[0]):
            endpoint.counters.limit += 1
            self._refuse(subclass, data, source, address, SWITCH_CONGESTION, "too many calls")
            return
        credit = None if proved else len(data)
        if subclass is Iax.NEW:
            self._call(elements, username, access, credit, data, source, address, now)
        else:
            self._registration(
                subclass, elements, username, access, credit, data, source, address, now
            )

    def remember(self, address: tuple[str, int]) -> None:
        """This address uses call tokens: nobody passes for it without one any more."""
        self._token_users[address] = None
        self._token_users.move_to_end(address)
        if len(self._token_users) > _MAX_TOKEN_USERS:
            self._token_users.popitem(last=False)

    def _call(
        self,
        elements: Elements,
        username: str,
        access: Access,
        credit: int | None,
        data: bytes,
        source: int,
        address: tuple[str, int],
        now: float,
    ) -> None:
        endpoint = self._endpoint
        new = NewCall.of(elements)
        encrypt = access.encryption != "no" and new.encryption and endpoint.crypto is not None
        encrypt = encrypt and access.method == "md5"
        if access.encryption == "require" and not encrypt:
            self._refuse(
                Iax.NEW, data, source, address, BEARER_NOT_AUTHORIZED, "encryption required"
            )
            return
        if access.method == "md5" and not self._admit(username, address, access, credit):
            return
        call = Call(endpoint, address, now, new, outgoing=False, credit=credit)
        call.username = username if access.method == "md5" else ""
        call.access = access
        call.trunk = access.trunk
        self._open(call, data, source)
        if access.method == "address":
            endpoint.authenticated(call, now)
            if credit is not None and not call.ended:
                # Its PONG shows that the caller hears us, however long the user thinks.
                call.send_iax(now, Iax.PING)
        else:
            extra: list[tuple[int, Value]] = (
                [(Ie.ENCRYPTION, auth.ENCRYPT_AES128)] if encrypt else []
            )
            self._challenge(call, username, Iax.AUTHREQ, extra, now)
            if encrypt:
                call.expect_cipher()
        self._acknowledge(call, now)

    def _registration(
        self,
        subclass: Iax,
        elements: Elements,
        username: str,
        access: Access,
        credit: int | None,
        data: bytes,
        source: int,
        address: tuple[str, int],
        now: float,
    ) -> None:
        if access.method == "md5" and not self._admit(username, address, access, credit):
            return
        asked_s = elements.number(Ie.REFRESH) or 0
        exchange = IncomingRegistration(
            self._endpoint, address, username, access, subclass, asked_s, now, credit
        )
        self._open(exchange, data, source)
        if access.method == "address":
            exchange.acknowledge(now)
        else:
            self._challenge(exchange, username, Iax.REGAUTH, [], now)
        self._acknowledge(exchange, now)

    def _open(self, exchange: Exchange, data: bytes, source: int) -> None:
        exchange.opened_ms = int.from_bytes(data[4:8], "big")
        exchange.iseqno = data[8] + 1 & 0xFF
        self._endpoint.add_incoming(exchange, source)

    def _acknowledge(self, exchange: Exchange, now: float) -> None:
        exchange.acknowledge_if_silent(now)
        self._endpoint.arm(exchange)

    def _challenge(
        self,
        exchange: Call | IncomingRegistration,
        username: str,
        subclass: Iax,
        extra: list[tuple[int, Value]],
        now: float,
    ) -> None:
        """AUTHREQ or REGAUTH.

        Where the credit is too short for it (a REGREQ may have 21 octets), the least that a client
        needs waits, unacknowledged, until the peer's own repetitions have brought enough.
        """
        characters = auth.CHALLENGE_CHARACTERS
        pairs: list[tuple[int, Value]] = [(Ie.AUTHMETHODS, auth.AUTH_MD5), *extra]
        name: list[tuple[int, Value]] = [(Ie.USERNAME, username)]
        if exchange.credit is not None:
            room = exchange.credit - FULL_OCTETS - 2 - len(encode([*pairs, *name]))
            characters = max(min(characters, room), auth.MIN_CHALLENGE_CHARACTERS)
        exchange.challenge = auth.make_challenge(self._endpoint.random, characters)
        self._outstanding.setdefault(username, []).append(exchange)
        pairs.append((Ie.CHALLENGE, exchange.challenge))
        exchange.send_iax(now, subclass, [*pairs, *name])

    def _admit(
        self, username: str, address: tuple[str, int], access: Access, credit: int | None
    ) -> bool:
        """Room for one more that is to authenticate as this user (ASA-2007-013 and after).

        Who has shown a token goes before who has not, so that forged addresses lock nobody out,
        and who has answered from there before goes before those who only use its name. Who finds
        no room gets no answer: its next repetition may find some.
        """
        limit = access.max_unauthenticated
        if limit is None:
            limit = self._endpoint.settings.max_unauthenticated_per_user
        if credit is None and (username, address) in self._known:
            limit = max(limit, KNOWN_AT_ONCE)
        waiting = self._outstanding.get(username, [])
        if len(waiting) < limit:
            return True
        unproved = next((one for one in waiting if one.credit is not None), None)
        if credit is None and unproved is not None:
            self._endpoint.forget(unproved)
            return True
        self._endpoint.counters.unauthenticated_limit += 1
        return False

    def settle(self, exchange: Exchange) -> None:
        """It authenticated, or is gone."""
        username = getattr(exchange, "username", "")
        waiting = self._outstanding.get(username)
        if waiting is not None and exchange in waiting:
            waiting.remove(exchange)
            if not waiting:
                del self._outstanding[username]

    def succeeded(self, exchange: Call | IncomingRegistration) -> None:
        """It is who it says, and may come with more at once next time."""
        if exchange.challenge:
            key = (exchange.username, exchange.address)
            self._known[key] = None
            self._known.move_to_end(key)
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        self.settle(exchange)

    def failed(self, exchange: Call | IncomingRegistration, now: float) -> None:
        """Wrong credentials."""
        authority = self._endpoint.authority
        assert authority is not None
        authority.failed(exchange.username, exchange.address, now)
        if isinstance(exchange, Call):
            exchange.refuse(now, CALL_REJECTED, "No authority found")
        else:
            exchange.refuse(now, FACILITY_REJECTED, "Registration Refused")

    def no_format(self, call: Call, now: float) -> None:
        """Nothing in common."""
        call.refuse(now, BEARER_NOT_AVAILABLE, "Unable to negotiate codec")

    def _refuse(
        self,
        subclass: Iax,
        data: bytes,
        source: int,
        address: tuple[str, int],
        cause: int,
        text: str,
    ) -> None:
        pairs = tuple(cause_elements(cause, text))
        refusal = _REFUSAL[subclass]
        for some in (pairs, pairs[1:], ()):
            if FULL_OCTETS + len(encode(some)) <= len(data):
                self._answer(subclass, data, source, address, refusal, some)
                return

    def _answer(
        self,
        subclass: Iax,
        data: bytes,
        source: int,
        address: tuple[str, int],
        answer: Iax,
        pairs: tuple[tuple[int, Value], ...],
    ) -> None:
        """An answer that nothing is kept of, never longer than the question."""
        head = FULL.pack(
            STATELESS_NUMBER | FULL_BIT,
            source,
            int.from_bytes(data[4:8], "big"),
            0,
            data[8] + 1 & 0xFF,
            FrameType.IAX,
            answer,
        )
        frame = head + encode(pairs)
        if len(frame) > len(data):
            self._endpoint.counters.too_short_to_answer += 1
            return
        self._endpoint.outgoing.append((frame, address))
