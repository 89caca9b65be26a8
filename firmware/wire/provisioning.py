"""What a device and its host tell each other over HTTPS: the provisioning document, and reports.

All of it is JSON with the number of its schema. A program reads what it knows and passes over
other keys, so that either side may be the newer one; a schema that is not known is refused whole.
What is wrong is told key by key. A device proves who it is by a secret, sent as a bearer token
(RFC 6750): the secret is random and long, so that the host need keep no more than its hash, where
digest authentication (RFC 7616) would have it keep what is as good as the secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from firmware.wire.errors import PeerError

SCHEMA = 1
CONFIG_SCHEMA = 1
"""Of the configuration within; grows when a key changes its meaning or its name."""
MOST_OCTETS = 262_144
"""Of a document or a report; no more of one is read."""
MOST_CONFIG_OCTETS = 65_536
MOST_LINE_TESTS = 32
MOST_TESTS = 16
MOST_PROBLEMS = 20
LEAST_INTERVAL_S = 60
MOST_INTERVAL_S = 7 * 86_400
SECRET, ONCE = "lsdv_", "lsot_"
"""What secrets begin with: a device's own, and one that an operator has issued for one use."""
_SECRET = re.compile(r"ls(?:dv|ot)_[A-Za-z0-9_-]{43}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AMOUNT = re.compile(r"-?\d{1,10}(?:\.\d{1,4})?", re.ASCII)
_NAME = re.compile(r"[!-~]{1,64}")
_MAC = re.compile(r"[0-9a-f]{12}")
_MOST_NUMBER = 0xFFFFFFFF
Verdict = Literal["pass", "fail", "not measurable"]
_VERDICTS = ("pass", "fail", "not measurable")


class DocumentError(PeerError):
    """A document or report that is not taken; `problems` has a line for each wrong key."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def normal_mac(text: str) -> str:
    """A MAC address (EUI-48) as twelve lower-case digits, however it is written.

    Raises:
        ValueError: it is none, or a group's.
    """
    plain = re.sub(r"[:.\-]", "", text.strip()).lower()
    if not _MAC.fullmatch(plain):
        raise ValueError(f"{text[:40]!r} is no MAC address: write it as 02:00:5e:10:00:01")
    if int(plain[:2], 16) & 1:
        raise ValueError(f"{text[:40]!r} is the address of a group: take the device's own")
    return plain


def make_secret(random_octets: Callable[[int], bytes], kind: str = SECRET) -> str:
    """A secret of 256 random bits: `kind` (SECRET or ONCE) and 43 letters.

    Args:
        random_octets: gives so many octets that nobody can guess.
    """
    import base64

    return kind + base64.urlsafe_b64encode(random_octets(32)).decode().rstrip("=")


def is_secret(text: str, kind: str = "") -> bool:
    """Whether this is made like a secret, of one kind or of any."""
    return bool(_SECRET.fullmatch(text)) and text.startswith(kind)


def digest_of(secret: str) -> str:
    """What a host keeps of a secret: enough to know it again, not to say it."""
    return _sha256(secret)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A device's configuration file."""

    schema: int
    toml: str

    @property
    def sha256(self) -> str:
        """Tells one configuration from another, hexadecimal."""
        return _sha256(self.toml)


@dataclass(frozen=True, slots=True)
class Firmware:
    """The version that a device is to run."""

    board: str
    version: int
    """As in the image's header; what a floor is compared with."""
    label: str
    octets: int
    """Length of the whole image."""
    sha256: str
    """Of the whole image, hexadecimal; it is fetched from `firmware/<sha256>`."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a device is told when it asks."""

    interval_s: int
    """It asks again after so long, and a random part of it more."""
    configuration: Configuration | None = None
    """None: it keeps its own."""
    firmware: Firmware | None = None
    """None: it keeps its own."""

    def to_bytes(self) -> bytes:
        """The JSON, the same for the same document."""
        told: dict[str, Any] = {"schema": SCHEMA, "interval_s": self.interval_s}
        if self.configuration is not None:
            told["configuration"] = asdict(self.configuration)
        if self.firmware is not None:
            told["firmware"] = asdict(self.firmware)
        return _json(told)

    @staticmethod
    def from_bytes(octets: bytes) -> Document:
        """Read and check one.

        Raises:
            DocumentError: with every problem found.
        """
        keys = _Keys.of(octets)
        interval_s = keys.number("interval_s", LEAST_INTERVAL_S, MOST_INTERVAL_S)
        configuration = keys.table("configuration", _configuration)
        firmware = keys.table("firmware", _firmware)
        keys.judge()
        return Document(interval_s, configuration, firmware)


def _configuration(keys: _Keys) -> Configuration:
    schema = keys.number("schema", 1, _MOST_NUMBER)
    return Configuration(schema, keys.text("toml", MOST_CONFIG_OCTETS))


def _firmware(keys: _Keys) -> Firmware:
    return Firmware(
        keys.matching("board", _NAME, "a name"),
        keys.number("version", 1, _MOST_NUMBER),
        keys.matching("label", _NAME, "a name"),
        keys.number("octets", 1, _MOST_NUMBER),
        keys.matching("sha256", _SHA256, "a SHA-256 in lower-case hexadecimal"),
    )


@dataclass(frozen=True, slots=True)
class LineTest:
    """One of a line's tests (GR-909), as a device sends it."""

    test: str
    verdict: Verdict
    measures: str
    """For people: `ring_ground 1.2 Mohm, tip_ring 0.9 Mohm`."""
    faults: str = ""
    """Names of the measures beyond the limits, a space between."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class LineTests:
    """All tests of one line, made at one time."""

    line: str
    id: str
    """Another one for each run; what comes twice is kept once."""
    age_s: int
    """So long ago when it was sent: devices have no clock that a host need believe."""
    tests: tuple[LineTest, ...]

    @property
    def failed(self) -> bool:
        """Has one of the tests found a fault?"""
        return any(one.verdict == "fail" for one in self.tests)

    @staticmethod
    def from_table(table: dict[str, Any]) -> LineTests:
        """Check a table as it stands in a report.

        Raises:
            DocumentError: with every problem found.
        """
        keys = _Keys(table, "", [])
        tests = _line_tests(keys)
        keys.judge()
        return tests


@dataclass(frozen=True, slots=True)
class Report:
    """What a device tells of itself."""

    board: str
    version: int
    """Of the image that runs; 0: it was installed by hand."""
    label: str = ""
    slot: str = ""
    """`a` or `b`; empty where a board has none."""
    config_sha256: str = ""
    """Of the provisioned configuration that it uses; empty: it has none."""
    problems: tuple[str, ...] = ()
    """Why it has not done what it was told."""
    line_tests: tuple[LineTests, ...] = ()

    def to_bytes(self) -> bytes:
        """The JSON."""
        return _json({"schema": SCHEMA, **asdict(self)})

    @staticmethod
    def from_bytes(octets: bytes) -> Report:
        """Read and check one.

        Raises:
            DocumentError: with every problem found.
        """
        keys = _Keys.of(octets)
        report = Report(
            keys.matching("board", _NAME, "a name"),
            keys.number("version", 0, _MOST_NUMBER),
            keys.text("label", 64, needed=False),
            keys.text("slot", 8, needed=False),
            keys.text("config_sha256", 64, needed=False),
            tuple(keys.texts("problems", MOST_PROBLEMS)),
            tuple(keys.tables("line_tests", MOST_LINE_TESTS, _line_tests)),
        )
        keys.judge()
        return report


def _line_tests(keys: _Keys) -> LineTests:
    return LineTests(
        keys.matching("line", _NAME, "a name"),
        keys.matching("id", _NAME, "a name"),
        keys.number("age_s", 0, _MOST_NUMBER),
        tuple(keys.tables("tests", MOST_TESTS, _line_test)),
    )


def _line_test(keys: _Keys) -> LineTest:
    return LineTest(
        keys.matching("test", _NAME, "a name"),
        cast(Verdict, keys.choice("verdict", _VERDICTS)),
        keys.text("measures", 1_000),
        keys.text("faults", 500, needed=False),
        keys.text("note", 500, needed=False),
    )


def balance_bytes(balance: str, currency: str) -> bytes:
    """What a device's account may still spend, units of money as `12.50`."""
    return _json({"schema": SCHEMA, "balance": balance, "currency": currency})


def balance_of(octets: bytes) -> str:
    """The amount in `balance_bytes`.

    Raises:
        DocumentError: there is none.
    """
    keys = _Keys.of(octets)
    balance = keys.matching("balance", _AMOUNT, "an amount as 12.50")
    keys.judge()
    return balance


def new_secret_bytes(secret: str) -> bytes:
    """How a device that came with a secret for one use tells its own from now on."""
    return _json({"schema": SCHEMA, "secret": secret})


def new_secret_of(octets: bytes) -> str:
    """The secret in `new_secret_bytes`.

    Raises:
        DocumentError: there is none.
    """
    keys = _Keys.of(octets)
    secret = keys.text("secret", 64)
    if not is_secret(secret, SECRET):
        keys.wrong("secret", f"is not {SECRET} and 43 letters; make it of 32 random octets")
    keys.judge()
    return secret


def _sha256(text: str) -> str:
    import hashlib  # megabytes of OpenSSL, which a device in a call does without

    return hashlib.sha256(text.encode()).hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class _Keys:
    """A table of JSON that is read key by key; gathers what is wrong with it."""

    def __init__(self, table: dict[str, Any], path: str, problems: list[str]) -> None:
        self._table = table
        self._path = path
        self._problems = problems

    @classmethod
    def of(cls, octets: bytes) -> _Keys:
        """A whole document, whose schema is known here."""
        if len(octets) > MOST_OCTETS:
            raise DocumentError((f"document: is longer than {MOST_OCTETS} octets",))
        try:
            document = json.loads(octets)
        except (ValueError, RecursionError):
            raise DocumentError(("document: is no JSON in UTF-8",)) from None
        if not isinstance(document, dict):
            raise DocumentError(("document: is no table of JSON",))
        keys = cls(document, "", [])
        schema = keys.number("schema", 1, _MOST_NUMBER)
        keys.judge()
        if schema > SCHEMA:
            words = f"schema: {schema} is not known here, {SCHEMA} is; update what reads it"
            raise DocumentError((words,))
        return keys

    def wrong(self, key: str, what: str) -> None:
        self._problems.append(f"{self._path}{key}: {what}")

    def judge(self) -> None:
        """Raise what was found wrong."""
        if self._problems:
            raise DocumentError(tuple(self._problems))

    def number(self, key: str, least: int, most: int) -> int:
        value = self._table.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.wrong(key, f"is no whole number from {least} to {most}" + self._missing(key))
        return least

    def text(self, key: str, most: int, needed: bool = True) -> str:
        value = self._table.get(key, None if needed else "")
        if isinstance(value, str) and len(value) <= most and _is_text(value):
            return value
        self.wrong(key, f"is no text of at most {most} letters" + self._missing(key))
        return ""

    def matching(self, key: str, pattern: re.Pattern[str], what: str) -> str:
        value = self._table.get(key)
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        self.wrong(key, f"is not {what}" + self._missing(key))
        return ""

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        value = self._table.get(key)
        if isinstance(value, str) and value in choices:
            return value
        self.wrong(key, f"is none of {', '.join(choices)}" + self._missing(key))
        return choices[0]

    def texts(self, key: str, most: int) -> list[str]:
        found = self._list(key, most)
        if all(isinstance(one, str) and len(one) <= 500 and _is_text(one) for one in found):
            return cast(list[str], found)
        self.wrong(key, "is no list of texts of at most 500 letters")
        return []

    def table(self, key: str, read: Callable[[_Keys], Any]) -> Any:
        """What `read` makes of a table; None where there is none."""
        value = self._table.get(key)
        if value is None:
            return None
        if isinstance(value, dict):
            return read(_Keys(value, f"{self._path}{key}.", self._problems))
        self.wrong(key, "is no table")
        return None

    def tables(self, key: str, most: int, read: Callable[[_Keys], Any]) -> list[Any]:
        made = []
        for index, one in enumerate(self._list(key, most)):
            where = f"{key}[{index}]"
            if isinstance(one, dict):
                made.append(read(_Keys(one, f"{self._path}{where}.", self._problems)))
            else:
                self.wrong(where, "is no table")
        return made

    def _list(self, key: str, most: int) -> list[Any]:
        value = self._table.get(key, [])
        if isinstance(value, list) and len(value) <= most:
            return value
        self.wrong(key, f"is no list of at most {most}")
        return []

    def _missing(self, key: str) -> str:
        return "" if key in self._table else ": it is missing"


def _is_text(text: str) -> bool:
    """Whether it can be kept and sent again: no NUL, no half of a pair of surrogates."""
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)
