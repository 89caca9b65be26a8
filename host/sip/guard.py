"""What is remembered of strangers, in fixed space: failed authentications and used nonces."""

from __future__ import annotations

from array import array
from collections import OrderedDict

MAX_SOURCES = 10_000


class Guard:
    """Counts failed authentications by source address.

    Args:
        failures: so many within `lockout_s` lock the source out.
        lockout_s: for so long, seconds.
    """

    def __init__(self, failures: int, lockout_s: float, max_sources: int = MAX_SOURCES) -> None:
        self._failures = failures
        self._lockout_s = lockout_s
        self._max = max_sources
        self._sources: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def locked(self, source: str, now: float) -> bool:
        """True while the source is locked out."""
        known = self._sources.get(source)
        if known is None:
            return False
        count, since = known
        if now - since >= self._lockout_s:
            del self._sources[source]
            return False
        return count >= self._failures

    def failed(self, source: str, now: float) -> bool:
        """Note a failure; True when it is the one that locks the source out."""
        count, since = self._sources.get(source, (0, now))
        if now - since >= self._lockout_s:
            count, since = 0, now
        count += 1
        # The lock-out runs from the failure that caused it.
        self._sources[source] = (count, now if count == self._failures else since)
        self._sources.move_to_end(source)
        while len(self._sources) > self._max:
            self._sources.popitem(last=False)
        return count == self._failures

    def succeeded(self, source: str) -> None:
        """A good authentication clears the count."""
        if self._sources:
            self._sources.pop(source, None)


class UsedNonces:
    """Lets each nonce and nonce count pass once (RFC 7616, 5.5), in fixed memory.

    The very request that used it first may come again, if it names itself (`bearer`).

    A table of hashes: a use is forgotten when another one falls on its slot. With the default
    size that takes a hundred thousand authentications on average, and nonces die of age first.
    """

    def __init__(self, slots: int = 1 << 17) -> None:
        self._slots = array("q", bytes(8 * slots))
        self._bearers = array("q", bytes(8 * slots))

    def accept(self, nonce: str, count: int | None, bearer: int = 0) -> bool:
        """True for the first use; call it only for a response that has been verified.

        Args:
            bearer: hash of what makes a request the same when it is repeated; 0: no repetition
                passes.
        """
        mark = hash((nonce, count)) or 1
        slot = mark % len(self._slots)
        if self._slots[slot] == mark:
            return bearer != 0 and self._bearers[slot] == bearer
        self._slots[slot] = mark
        self._bearers[slot] = bearer
        return True
