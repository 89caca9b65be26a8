"""What is remembered of those who ask: failures and the pace of requests, in fixed space."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

MAX_REMEMBERED = 10_000


class Lockout:
    """Counts failures by key: a source address, or a name.

    Args:
        failures: so many within `lockout_s` lock the key out.
        lockout_s: for so long, from the failure that caused it.
    """

    def __init__(self, failures: int, lockout_s: float, most: int = MAX_REMEMBERED) -> None:
        self._failures = failures
        self._lockout_s = lockout_s
        self._most = most
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = Lock()

    def locked(self, key: str, now: float) -> bool:
        with self._lock:
            count, since = self._seen.get(key, (0, now))
            return count >= self._failures and now - since < self._lockout_s

    def failed(self, key: str, now: float) -> bool:
        """Note a failure; True when it is the one that locks the key out."""
        with self._lock:
            count, since = self._seen.pop(key, (0, now))
            if now - since >= self._lockout_s:
                count, since = 0, now
            count += 1
            self._seen[key] = (count, now if count == self._failures else since)
            if len(self._seen) > self._most:
                self._seen.popitem(last=False)
            return count == self._failures

    def succeeded(self, key: str) -> None:
        """A good one clears the count."""
        with self._lock:
            self._seen.pop(key, None)

    def __len__(self) -> int:
        return len(self._seen)


class Pace:
    """Lets each key do so much a minute, all of it at once if it likes (a token bucket)."""

    def __init__(self, per_minute: int, most: int = MAX_REMEMBERED) -> None:
        self._per_minute = per_minute
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def allows(self, key: str, now: float) -> bool:
        """Take one; False: there is none left."""
        with self._lock:
            left, since = self._buckets.pop(key, (float(self._per_minute), now))
            left = min(self._per_minute, left + (now - since) * self._per_minute / 60)
            allowed = left >= 1
            self._buckets[key] = (left - 1 if allowed else left, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
            return allowed


class Remembered:
    """The last digests that were found right, so that their proof is not worked out anew."""

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self._digests: OrderedDict[bytes, None] = OrderedDict()
        self._lock = Lock()

    def __contains__(self, digest: bytes) -> bool:
        with self._lock:
            return digest in self._digests

    def add(self, digest: bytes) -> None:
        with self._lock:
            self._digests[digest] = None
            self._digests.move_to_end(digest)
            if len(self._digests) > self._most:
                self._digests.popitem(last=False)
