"""All calls and registrations of one UDP socket, without the socket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from math import inf

from firmware.wire.errors import PeerError
from firmware.wire.iax2.auth import Authority, Credentials
from firmware.wire.iax2.call import Call
from firmware.wire.iax2.causes import NORMAL_CLEARING
from firmware.wire.iax2.crypto import Crypto
from firmware.wire.iax2.events import Address, CallOffered, Event
from firmware.wire.iax2.formats import choose, mask
from firmware.wire.iax2.frames import (
    FULL,
    FULL_BIT,
    FULL_OCTETS,
    MAX_CALL_NUMBER,
    META,
    META_TRUNK,
    TRUNK_ENTRY,
    TRUNK_MINI,
)
from firmware.wire.iax2.kinds import NO_INVAL, OPENING, FrameType, Iax
from firmware.wire.iax2.offer import NewCall
from firmware.wire.iax2.registration import IncomingRegistration, Poke, Registration
from firmware.wire.iax2.reliable import Exchange
from firmware.wire.iax2.settings import Counters, EndpointSettings
from firmware.wire.iax2.strangers import STATELESS_NUMBER, Strangers
from firmware.wire.iax2.trunk import Trunks

_REUSE_S = 2.0
"""The same opening frame so long after the last frame of an ended call is another call."""
_FIRST_NUMBER = STATELESS_NUMBER + 1
_NO_INVAL = frozenset(map(int, NO_INVAL))
_OPENING = frozenset(map(int, OPENING))


class Endpoint:
    """One end of IAX2, client and server, over one socket.

    After each call of a method the shell sends what is in `outgoing`, hands on what is in
    `events`, clears both, and arms its timer for `next_deadline`. `random` gives so many random
    octets. Without an `authority` nobody may register, and calls are taken from `trusted_peers`
    alone, by their address.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        random: Callable[[int], bytes],
        authority: Authority | None = None,
        crypto: Crypto | None = None,
    ) -> None:
        self.settings = settings
        self.random = random
        self.authority = authority
        self.crypto = crypto
        self.trusted_peers: set[Address] = set()
        self.outgoing: list[tuple[bytes, Address]] = []
        self.events: list[Event] = []
        self.counters = Counters()
        self.trunks = Trunks(settings.trunk_ms, settings.trunk_timestamps, settings.trunk_octets)
        self._calls: dict[int, Call] = {}
        self._exchanges: dict[int, Exchange] = {}
        self._by_peer: dict[tuple[Address, int], Exchange] = {}
        self._voice: dict[tuple[Address, int], Call] = {}
        self._timers: list[tuple[float, int, Exchange]] = []
        self._timer_count = 0
        self._per_host: Counter[str] = Counter()
        self._strangers = Strangers(self)

    @property
    def calls(self) -> Mapping[int, Call]:
        """Calls that have not ended, by our own number; strangers that do not yet count, too."""
        return self._calls

    def __len__(self) -> int:
        """Everything that takes memory: calls, registrations, pokes, and what still lingers."""
        return len(self._exchanges)

    # What the user may do

    def place(
        self,
        address: Address,
        new: NewCall,
        now: float,
        credentials: Credentials | None = None,
        tag: object = None,
        trunk: bool = False,
    ) -> Call:
        """Call a peer. `Accepted`, `Ended` and the rest tell what becomes of it."""
        settings = self.settings
        formats = new.formats_preferred or settings.formats
        encryption = credentials is not None and credentials.encryption != "no"
        assert not encryption or self.crypto is not None, "encryption without a Crypto"
        new = NewCall(
            new.called,
            new.calling,
            new.name,
            new.presentation,
            new.type_of_number,
            new.transit_network,
            new.language,
            new.username or (credentials.username if credentials else ""),
            formats,
            new.capability or mask(formats),
            new.format or formats[0],
            new.date_time,
            new.ani,
            new.dnid,
            new.redirecting,
            new.context,
            encryption,
            new.auto_answer,
        )
        call = Call(self, address, now, new, outgoing=True)
        call.credentials = credentials
        call.username = new.username
        call.tag = tag
        call.trunk = trunk
        self._add(call)
        self._calls[call.number] = call
        call.open(Iax.NEW, new.elements(), now)
        self.arm(call)
        return call

    def register(
        self,
        address: Address,
        username: str,
        password: str,
        refresh_s: int,
        now: float,
        tag: object = None,
    ) -> Registration:
        """Try once to register: `RegisterAccepted` or `RegisterRefused` follows."""
        registration = Registration(self, address, username, password, refresh_s, now, tag)
        self._add(registration)
        self.arm(registration)
        return registration

    def release(self, registration: Registration, now: float) -> Registration:
        """Release what was registered: `RegisterReleased` or `RegisterRefused` follows."""
        release = Registration(
            self,
            registration.address,
            registration.username,
            registration.password,
            None,
            now,
            registration.tag,
        )
        self._add(release)
        self.arm(release)
        return release

    def poke(self, address: Address, now: float) -> None:
        """Ask whether there is anybody: `Reachable` or `Unreachable` follows."""
        poke = Poke(self, address, now)
        self._add(poke)
        self.arm(poke)

    def close(self, now: float, cause: int = NORMAL_CLEARING) -> None:
        """Hang up all calls."""
        for call in list(self._calls.values()):
            call.hang_up(now, cause)

    # What the network does

    def receive_datagram(self, data: bytes | memoryview, address: Address, now: float) -> None:
        """One datagram. What is wrong with it is counted, and never raises."""
        if type(data) is not bytes:
            data = bytes(data)
        if len(data) < 4:
            self.counters.malformed += 1
            return
        first = data[0]
        number = first << 8 | data[1]
        if first & 0x80:
            self._receive_full(data, number & MAX_CALL_NUMBER, address, now)
            return
        if not number:
            self._receive_meta(data, address, now)
            return
        call = self._voice.get((address, number))
        if call is None:
            self.counters.unknown_call += 1
        elif call.cipher is not None:
            try:
                data = call.cipher.open(data, 2)
            except PeerError:
                self.counters.undecipherable += 1
                return
            call.on_mini(data[2] << 8 | data[3], data[4:], now)
        else:
            call.on_mini(data[2] << 8 | data[3], data[4:], now)

    def _receive_full(self, data: bytes, source: int, address: Address, now: float) -> None:
        if len(data) < FULL_OCTETS or not source:
            self.counters.malformed += 1
            return
        destination = (data[2] << 8 | data[3]) & MAX_CALL_NUMBER
        exchange: Exchange | None
        if destination:
            exchange = self._exchanges.get(destination)
            if exchange is not None and (
                exchange.address != address or exchange.peer_number not in (0, source)
            ):
                exchange = None
        else:
            exchange = self._by_peer.get((address, source))
        kind, octet = data[10], data[11]
        opening = not destination and kind == FrameType.IAX and octet in _OPENING
        if exchange is not None and opening and self._begins_anew(exchange, data, now):
            self.forget(exchange)
            exchange = None
        try:
            if exchange is not None:
                exchange.receive(data, now)
                self.arm(exchange)
            elif opening:
                self._strangers.receive(Iax(octet), data, source, address, now)
            else:
                self.counters.unknown_call += 1
                if kind != FrameType.IAX or octet not in _NO_INVAL:
                    self._send_inval(source, destination, address)
        except PeerError:
            self.counters.malformed += 1
            if exchange is not None:
                self.arm(exchange)

    @staticmethod
    def _begins_anew(exchange: Exchange, data: bytes, now: float) -> bool:
        """Whether an opening frame is another one than that which opened this exchange."""
        if not exchange.ended and exchange.credit is None:
            return False
        if int.from_bytes(data[4:8], "big") != exchange.opened_ms:
            return True
        # A peer that was started again counts its calls, and its time, from the beginning.
        return exchange.ended and not data[2] & 0x80 and now - exchange.heard_at > _REUSE_S

    def _send_inval(self, source: int, destination: int, address: Address) -> None:
        frame = FULL.pack(destination | FULL_BIT, source, 0, 0, 0, FrameType.IAX, Iax.INVAL)
        self.outgoing.append((frame, address))

    def _receive_meta(self, data: bytes, address: Address, now: float) -> None:
        end = len(data)
        if data[2] & 0x80:
            self.counters.meta_video += 1
            return
        if end < META.size or data[2] != META_TRUNK or data[3] > 1:
            self.counters.malformed += 1
            return
        stamped = data[3]
        meta_ms = int.from_bytes(data[4:8], "big")
        voice = self._voice
        at = META.size
        while at < end:
            low = 0
            if at + (6 if stamped else 4) > end:
                self.counters.malformed += 1
                return
            if stamped:
                length, source, low = TRUNK_MINI.unpack_from(data, at)
                at += 6
            else:
                source, length = TRUNK_ENTRY.unpack_from(data, at)
                at += 4
            if at + length > end:
                self.counters.malformed += 1
                return
            payload = data[at : at + length]
            at += length
            call = voice.get((address, source & MAX_CALL_NUMBER))
            if call is None:
                self.counters.unknown_call += 1
            elif call.cipher is not None and not call.takes_clear_trunk:
                self.counters.undecipherable += 1
            elif stamped:
                call.on_mini(low, payload, now)
            else:
                call.on_trunk_entry(meta_ms, payload, now)

    # Time

    @property
    def next_deadline(self) -> float | None:
        """When `handle_timers` is wanted next, None while nothing is."""
        timers = self._timers
        while timers and timers[0][2].scheduled != timers[0][0]:
            heappop(timers)
        due = self.trunks.due
        if timers and timers[0][0] < due:
            due = timers[0][0]
        return None if due == inf else due

    def handle_timers(self, now: float) -> None:
        """Do what is due."""
        if self.trunks.due <= now:
            self.trunks.flush(now, self.outgoing)
        timers = self._timers
        while timers and timers[0][0] <= now:
            at, _, exchange = heappop(timers)
            if exchange.scheduled == at:
                exchange.scheduled = inf
                exchange.on_timer(now)
                self.arm(exchange)

    def arm(self, exchange: Exchange) -> None:
        """An exchange may want its timer at another time."""
        due = exchange.deadline()
        if due != exchange.scheduled and self._exchanges.get(exchange.number) is exchange:
            exchange.scheduled = due
            if due != inf:
                self._timer_count += 1
                heappush(self._timers, (due, self._timer_count, exchange))
                if len(self._timers) > 64 + 4 * len(self._exchanges):
                    self._tidy()

    def _tidy(self) -> None:
        """Leave out the timers that were set again since."""
        kept = {entry[2].number: entry for entry in self._timers if entry[2].scheduled == entry[0]}
        self._timers = sorted(kept.values(), key=lambda entry: entry[:2])

    # What exchanges do to their endpoint

    def allot_number(self) -> int:
        """A call number of ours that nobody can guess and nobody has."""
        exchanges = self._exchanges
        assert len(exchanges) < MAX_CALL_NUMBER // 2, "out of call numbers"
        while True:
            number = int.from_bytes(self.random(2), "big") & MAX_CALL_NUMBER
            if number >= _FIRST_NUMBER and number not in exchanges:
                return number

    def _add(self, exchange: Exchange) -> None:
        self._exchanges[exchange.number] = exchange

    def add_incoming(self, exchange: Exchange, source: int) -> None:
        """A stranger is let in so far that something is kept of it."""
        self._add(exchange)
        self._per_host[exchange.address[0]] += 1
        if isinstance(exchange, Call):
            self._calls[exchange.number] = exchange
        self.bind(exchange, source)

    def bind(self, exchange: Exchange, source: int) -> None:
        """The peer's number for this exchange is known."""
        exchange.peer_number = source
        if source and self._exchanges.get(exchange.number) is exchange:
            key = (exchange.address, source)
            self._by_peer[key] = exchange
            if isinstance(exchange, Call) and not exchange.ended:
                self._voice[key] = exchange

    def full(self, host: str) -> bool:
        """Whether the limits allow no more from this address."""
        return (
            len(self._exchanges) >= self.settings.max_calls
            or self._per_host[host] >= self.settings.max_calls_per_address
        )

    def ended(self, exchange: Exchange) -> None:
        """An exchange is over but for the last acknowledgements."""
        self._calls.pop(exchange.number, None)
        self._voice.pop((exchange.address, exchange.peer_number), None)
        self._strangers.settle(exchange)

    def forget(self, exchange: Exchange) -> None:
        """Nothing is left of an exchange."""
        if self._exchanges.pop(exchange.number, None) is None:
            return
        self._calls.pop(exchange.number, None)
        key = (exchange.address, exchange.peer_number)
        if self._by_peer.get(key) is exchange:
            del self._by_peer[key]
            self._voice.pop(key, None)
        exchange.scheduled = inf
        self._strangers.settle(exchange)
        if not exchange.outgoing:
            host = exchange.address[0]
            self._per_host[host] -= 1
            if self._per_host[host] <= 0:
                del self._per_host[host]

    def uses_tokens(self, address: Address) -> None:
        """This address has shown that it knows call tokens."""
        self._strangers.remember(address)

    def authentication_failed(self, exchange: Call | IncomingRegistration, now: float) -> None:
        """Wrong credentials."""
        self._strangers.failed(exchange, now)

    def registrant_known(self, registration: IncomingRegistration) -> None:
        """A registrant has shown who it is."""
        self._strangers.succeeded(registration)

    def authenticated(self, call: Call, now: float) -> None:
        """A caller has shown who it is: its call is offered if there is a format in common."""
        self._strangers.succeeded(call)
        new = call.new
        found = choose(self.settings.formats, new.format, new.formats_preferred, new.capability)
        if found is None:
            self._strangers.no_format(call, now)
            return
        call.format = found
        call.offered()
        self.events.append(CallOffered(call))
