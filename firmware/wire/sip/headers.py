"""Header fields of a SIP message: an ordered multi-map (RFC 3261, 7.3 and 20).

Names are compared without case, and compact forms are the same as long ones. Fields are kept
under their long names in order of first appearance; the order of several fields of one name is
kept, which is all that RFC 3261, 7.3.1 lets mean anything. Values are neither split nor parsed
until somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from firmware.wire.sip.params import split_quoted

COMPACT = {
    "a": "Accept-Contact",  # RFC 3841
    "b": "Referred-By",  # RFC 3892
    "c": "Content-Type",
    "d": "Request-Disposition",  # RFC 3841
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",  # RFC 3841
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "o": "Event",  # RFC 6665
    "r": "Refer-To",  # RFC 3515
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",  # RFC 6665
    "v": "Via",
    "x": "Session-Expires",  # RFC 4028
    "y": "Identity",  # RFC 8224
}
"""Compact forms of the IANA registry of SIP header fields."""

_LISTS = """Accept Accept-Contact Accept-Encoding Accept-Language Alert-Info Allow Allow-Events
    Call-Info Contact Content-Encoding Content-Language Diversion Error-Info History-Info
    In-Reply-To P-Asserted-Identity P-Preferred-Identity Path Privacy Proxy-Require Reason
    Record-Route Reject-Contact Request-Disposition Require Route Security-Client
    Security-Server Security-Verify Service-Route Supported Unsupported Via Warning"""
LISTS = frozenset(_LISTS.split())
"""Fields whose value is a comma-separated list (RFC 3261, 7.3.1 and 25.1)."""

_SINGLE = """Call-ID Content-Disposition Content-Length Content-Type CSeq Date Event Expires From
    Max-Forwards MIME-Version Min-Expires Min-SE Organization Priority Referred-By Refer-To
    Replaces Retry-After Server Session-Expires Subject Subscription-State Timestamp To
    User-Agent"""
SINGLE = frozenset(_SINGLE.split())
"""Fields that may stand once only."""

_OTHERS = """Authentication-Info Authorization Call-Info P-Early-Media Proxy-Authenticate
    Proxy-Authorization RAck RSeq Remote-Party-ID WWW-Authenticate"""
KNOWN_NAMES: dict[str, str] = {}
for _name in [*LISTS, *SINGLE, *_OTHERS.split(), *COMPACT.values()]:
    KNOWN_NAMES[_name] = KNOWN_NAMES[_name.lower()] = KNOWN_NAMES[_name.upper()] = _name
for _short, _name in COMPACT.items():
    KNOWN_NAMES[_short] = KNOWN_NAMES[_short.upper()] = _name
"""The usual spellings, so that most names need neither folding nor a cache."""


@lru_cache(maxsize=1024)
def _canonical(name: str) -> str:
    known = KNOWN_NAMES.get(name.lower())
    return known or "-".join([part.capitalize() for part in name.split("-")])


def canonical(name: str) -> str:
    """The long form and usual spelling of a field name."""
    return KNOWN_NAMES.get(name) or _canonical(name)


def split_list(value: str) -> list[str]:
    """The elements of a comma-separated list, without blanks at their ends."""
    if "," not in value:
        return [value]
    return [part.strip() for part in split_quoted(value, ",")]


class Headers:
    """Header fields in order. Equal when names, values and order are."""

    __slots__ = ("fields", "parsed")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.fields: dict[str, list[str]] = {}
        """Values by canonical name. Read freely; change only through the methods."""
        self.parsed: dict[str, Any] = {}
        """What a message has parsed out of its fields; a change of a field drops its entry."""
        for name, value in pairs:
            self.add(name, value)

    @staticmethod
    def adopt(fields: dict[str, list[str]]) -> Headers:
        """Headers over a mapping that is ready: canonical names, non-empty lists, given away."""
        headers = Headers.__new__(Headers)
        headers.fields = fields
        headers.parsed = {}
        return headers

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value, unsplit, or `default`."""
        values = self.fields.get(KNOWN_NAMES.get(name) or _canonical(name))
        return values[0] if values is not None else default

    def get_all(self, name: str) -> list[str]:
        """All values; lists are split where the grammar has a comma-separated list.

        Raises:
            SipPeerError: a quoted string or an angle bracket in a list is left open (400).
        """
        key = canonical(name)
        values = self.fields.get(key)
        if values is None:
            return []
        if key not in LISTS:
            return values.copy()
        return [part for value in values for part in split_list(value)]

    def raw_all(self, name: str) -> list[str]:
        """All values as the fields stand, one a field."""
        return self.fields.get(canonical(name), []).copy()

    def add(self, name: str, value: str) -> None:
        """Add a field behind those of its name."""
        assert "\n" not in value, f"line break in {name}"
        assert "\r" not in value, f"line break in {name}"
        key = KNOWN_NAMES.get(name) or _canonical(name)
        values = self.fields.get(key)
        if values is None:
            self.fields[key] = [value]
        else:
            values.append(value)
        self.parsed.pop(key, None)

    def prepend(self, name: str, value: str) -> None:
        """Add a field before those of its name, as Via and Route want it."""
        assert "\n" not in value, f"line break in {name}"
        assert "\r" not in value, f"line break in {name}"
        key = canonical(name)
        values = self.fields.get(key)
        if values is None:
            self.fields[key] = [value]
        else:
            values.insert(0, value)
        self.parsed.pop(key, None)

    def set(self, name: str, value: str) -> None:
        """Put one field in place of all of its name."""
        assert "\n" not in value, f"line break in {name}"
        assert "\r" not in value, f"line break in {name}"
        key = KNOWN_NAMES.get(name) or _canonical(name)
        self.fields[key] = [value]
        self.parsed.pop(key, None)

    def set_all(self, name: str, values: Iterable[str]) -> None:
        """Put these fields, one a value, in place of all of the name; none removes it."""
        self.remove(name)
        for value in values:
            self.add(name, value)

    def remove(self, name: str) -> None:
        """Remove all fields of a name; none is no error."""
        key = canonical(name)
        self.fields.pop(key, None)
        self.parsed.pop(key, None)

    def items(self) -> Iterator[tuple[str, str]]:
        """Pairs of long name and value, one a field."""
        for name, values in self.fields.items():
            for value in values:
                yield name, value

    def copy(self) -> Headers:
        """Headers that change independently."""
        return Headers.adopt({name: values.copy() for name, values in self.fields.items()})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and canonical(name) in self.fields

    def __len__(self) -> int:
        return sum(map(len, self.fields.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and list(self.items()) == list(other.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({list(self.items())!r})"
