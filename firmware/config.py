"""The device's configuration file (TOML). `example.toml` shows and explains every setting."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Literal

from boards.schema import ConfigError, load, setting
from boards.tomllines import Path
from firmware.codes import codes_of
from firmware.line_config import LineConfig
from firmware.line_tester import LineTestConfig
from firmware.update.places import ProvisioningConfig
from firmware.wire.provisioning import CONFIG_SCHEMA

Transport = Literal["udp", "tcp", "tls"]
Codec = Literal["PCMU", "PCMA", "G722"]
Iax2Codec = Literal["PCMU", "PCMA", "G722", "GSM"]

_SERVER = re.compile(
    r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?"
    r"(?:;transport=(?P<transport>udp|tcp|tls))?"
)
_DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
_IAX2_SERVER = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?")
_IAX2_PORT = 4569
_RTP_PORTS = 16
"""A line takes so many from its `rtp_port` on: two a leg, and some that were not free."""
_LONGEST_ELEMENT = 128
"""Of a name in IAX2: an information element has 255 octets, and a letter may take two."""


@dataclass(frozen=True, slots=True)
class Server:
    """One point of presence."""

    host: str
    port: int
    transport: Transport

    def __str__(self) -> str:
        suffix = "" if self.transport == "udp" else f";transport={self.transport}"
        return f"{self.host}:{self.port}{suffix}"


def parse_server(text: str) -> Server:
    """`host`, `host:port` or `host:port;transport=tls` as a server.

    Raises:
        ValueError: it is none.
    """
    found = _SERVER.fullmatch(text)
    if found is None:
        raise ValueError(f"`{text}` is no server; write host:port;transport=udp (or tcp, tls)")
    transport = found["transport"] or "udp"
    port = int(found["port"] or _DEFAULT_PORTS[transport])
    if not 1 <= port <= 65_535:
        raise ValueError(f"port {port} of `{text}` is out of range; give 1 to 65535")
    assert transport in ("udp", "tcp", "tls"), "the pattern allows no other"
    return Server(found["host"], port, transport)  # type: ignore[arg-type]


def _check_server(text: str) -> str:
    try:
        parse_server(text)
    except ValueError as error:
        return str(error).partition(";")[0]
    return ""


def _check_user(text: str) -> str:
    if not text or not re.fullmatch(r"[A-Za-z0-9_.!~*'()&=+$,;?/%-]{1,128}", text):
        return "is no user name that a SIP address can hold"
    return ""


@dataclass(frozen=True, slots=True)
class Iax2Server:
    """One point of presence that speaks IAX2."""

    host: str
    """Name or literal address, without brackets."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_iax2_server(text: str) -> Iax2Server:
    """`host` or `host:port` as a server.

    Raises:
        ValueError: it is none.
    """
    found = _IAX2_SERVER.fullmatch(text)
    if found is None:
        raise ValueError(f"`{text}` is no server; write host or host:port")
    port = int(found["port"] or _IAX2_PORT)
    if not 1 <= port <= 65_535:
        raise ValueError(f"port {port} of `{text}` is out of range; give 1 to 65535")
    return Iax2Server(found["host"].strip("[]"), port)


def _check_iax2_server(text: str) -> str:
    try:
        parse_iax2_server(text)
    except ValueError as error:
        return str(error).partition(";")[0]
    return ""


def _check_iax2_name(text: str) -> str:
    if not text or len(text) > _LONGEST_ELEMENT or not text.isprintable():
        return f"is no name of 1 to {_LONGEST_ELEMENT} printable characters"
    return ""


@dataclass(frozen=True, slots=True)
class SipConfig:
    """The account, and how to reach its servers."""

    username: str = setting(check=_check_user, remedy='add `username = "..."` to [sip]')
    password: str = setting(remedy='add `password = "..."` to [sip]')
    servers: tuple[str, ...] = setting(
        check=_check_server, remedy='write `servers = ["host:port;transport=udp"]`'
    )
    display_name: str = ""
    address: str = ""
    """Local address for signalling and audio; empty: all."""
    port: int = setting(0, least=0, most=65_535)
    """Local port; 0 takes a free one, which scanners do not find at 5060."""
    rtp_port: int = setting(0, least=0, most=65_000)
    """First local port for audio; 0: any free ones."""
    codecs: tuple[Codec, ...] = ("PCMU", "PCMA", "G722")
    """In order of preference; no other is offered."""
    dtmf: Literal["rfc4733", "inband"] = "rfc4733"
    message_waiting: Literal["notify", "subscribe", "off"] = "notify"
    """What the server says of voice mail: taken unasked, asked for (RFC 3842), or not believed."""
    expires_s: int = setting(300, least=10, most=86_400)
    keep_alive_s: int = setting(15, least=0, most=600)
    register_timeout_s: float = setting(10.0, least=0.5, most=60)
    """A server that has not answered for so long is given up for the next one."""
    retry_least_s: float = setting(30.0, least=0.1, most=3_600)
    retry_most_s: float = setting(1_800.0, least=1, most=86_400)
    fallback_s: float = setting(3_600.0, least=1, most=86_400)
    """So often a device at a backup server tries the first one."""
    tls_ca_file: str = ""
    tls_verify: bool = True
    """False lets anybody pose as the server."""

    @staticmethod
    def problem(value: SipConfig) -> tuple[str, str, str] | None:
        """What no annotation can say: key, what is wrong, remedy."""
        if not value.servers:
            return "servers", "no server is named", 'write `servers = ["host:port"]`'
        if not value.codecs:
            return "codecs", "no codec is named", 'write `codecs = ["PCMU"]`'
        if value.retry_most_s < value.retry_least_s:
            return "retry_most_s", "is less than retry_least_s", "raise it"
        tls = any(parse_server(text).transport == "tls" for text in value.servers)
        if tls and value.tls_verify and not value.tls_ca_file:
            return (
                "tls_ca_file",
                "a TLS server cannot be verified without certificates",
                'write `tls_ca_file = "/etc/ssl/certs/ca-certificates.crt"` '
                "or, knowing the risk, `tls_verify = false`",
            )
        return None


@dataclass(frozen=True, slots=True)
class Iax2Config:
    """The account, and how to reach its servers over IAX2 (RFC 5456)."""

    username: str = setting(check=_check_iax2_name, remedy='add `username = "..."` to [iax2]')
    password: str = setting(remedy='add `password = "..."` to [iax2]')
    servers: tuple[str, ...] = setting(
        check=_check_iax2_server, remedy='write `servers = ["host:port"]`'
    )
    display_name: str = ""
    address: str = ""
    """Local address; empty: all."""
    port: int = setting(0, least=0, most=65_535)
    """Local port for everything, audio too; 0 takes a free one."""
    codecs: tuple[Iax2Codec, ...] = ("PCMU", "PCMA", "G722", "GSM")
    """In order of preference; no other is offered."""
    dtmf: Literal["events", "inband"] = "events"
    encryption: Literal["no", "offer", "require"] = "no"
    """AES-128 of calls; `require` makes none without."""
    expires_s: int = setting(300, least=10, most=3_600)
    keep_alive_s: int = setting(20, least=0, most=600)
    register_timeout_s: float = setting(10.0, least=0.5, most=60)
    """A server that has not answered for so long is given up for the next one."""
    retry_least_s: float = setting(30.0, least=0.1, most=3_600)
    retry_most_s: float = setting(1_800.0, least=1, most=86_400)
    fallback_s: float = setting(3_600.0, least=1, most=86_400)
    """So often a device at a backup server tries the first one."""
    jitter_least_ms: int = setting(20, least=20, most=1_000)
    jitter_most_ms: int = setting(400, least=20, most=2_000)
    jitter_loss_pct: float = setting(1.0, least=0.1, most=20)
    """Share of frames that may come too late: less means more delay."""

    @staticmethod
    def problem(value: Iax2Config) -> tuple[str, str, str] | None:
        """What no annotation can say: key, what is wrong, remedy."""
        if not value.servers:
            return "servers", "no server is named", 'write `servers = ["host:port"]`'
        if not value.codecs:
            return "codecs", "no codec is named", 'write `codecs = ["PCMU"]`'
        if value.retry_most_s < value.retry_least_s:
            return "retry_most_s", "is less than retry_least_s", "raise it"
        if value.jitter_most_ms < value.jitter_least_ms:
            return "jitter_most_ms", "is less than jitter_least_ms", "raise it"
        return None


def _check_line_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", text):
        return "is no name of 1 to 32 letters, digits, `-` and `_`"
    return ""


@dataclass(frozen=True, slots=True)
class LineEntry:
    """`[[lines]]`: one line of several, each with an account, and a process, of its own."""

    name: str = setting(check=_check_line_name, remedy='write `name = "kitchen"`')
    port: str = ""
    """Name of the line in the board file; empty: the first entry has the first line, and so on."""
    sip: SipConfig | None = None
    iax2: Iax2Config | None = None
    line: LineConfig = field(default_factory=LineConfig)
    codes: dict[str, str] = field(default_factory=dict)
    line_test: LineTestConfig = field(default_factory=LineTestConfig)

    @staticmethod
    def problem(value: LineEntry) -> tuple[str, str, str] | None:
        """What no annotation can say: key, what is wrong, remedy."""
        return _problem(value)


@dataclass(frozen=True, slots=True)
class Config:
    """All of one device."""

    sip: SipConfig | None = None
    line: LineConfig = field(default_factory=LineConfig)
    board: str = "sim"
    """Name of a board, or path of a board file."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    iax2: Iax2Config | None = None
    codes: dict[str, str] = field(default_factory=dict)
    """Service codes that differ from `codes.toml`; an empty one removes its service."""
    state_dir: str = ""
    """Folder of what outlives a restart; empty: the user's own for that."""
    line_test: LineTestConfig = field(default_factory=LineTestConfig)

    lines: tuple[LineEntry, ...] = ()
    """Several lines, in place of [sip], [iax2] and [line]."""
    provisioning: ProvisioningConfig | None = None
    """None: this file and this program are all that there is."""
    schema: int = setting(CONFIG_SCHEMA, least=1)
    """Of this file; a program of a newer one migrates a copy (`firmware.update.migration`)."""

    @staticmethod
    def problem(value: Config) -> tuple[str | Path, str, str] | None:
        """What no annotation can say: key (or path of it), what is wrong, remedy."""
        if value.schema != CONFIG_SCHEMA:
            remedy = f"write `schema = {CONFIG_SCHEMA}`, or take a program that knows the other"
            return "schema", f"is not {CONFIG_SCHEMA}, which this program knows", remedy
        if not value.lines:
            return _problem(value)
        for section in ("sip", "iax2", "line", "codes", "line_test"):
            if getattr(value, section) not in (None, {}, LineConfig(), LineTestConfig()):
                what = "stands beside [[lines]], which have their own"
                return section, what, f"make it [lines.{section}] under each [[lines]]"
        return collision(value.lines)

    def of(self, name: str) -> Config:
        """One of several lines as if it were alone.

        Raises:
            KeyError: there is none of that name.
        """
        entry = {one.name: one for one in self.lines}[name]
        return replace(
            self, sip=entry.sip, iax2=entry.iax2, line=entry.line, codes=entry.codes,
            line_test=entry.line_test, lines=(),
        )  # fmt: skip

    @property
    def username(self) -> str:
        """Of the account."""
        account = self.sip or self.iax2
        assert account is not None, "the configuration was checked"
        return account.username


def _problem(value: Config | LineEntry) -> tuple[str, str, str] | None:
    if value.sip is not None and value.iax2 is not None:
        return "iax2", "a device speaks SIP or IAX2, not both", "remove [sip] or [iax2]"
    if value.sip is None and value.iax2 is None:
        return "sip", "no account is named", "add a section [sip] or [iax2]"
    try:
        codes_of(value.codes)
    except ValueError as error:
        return "codes", str(error), "see `codes.toml` for the names and the usual codes"
    return None


def collision(lines: Sequence[LineEntry]) -> tuple[Path, str, str] | None:
    """What two lines of one device cannot both have: path of the later one, what, remedy."""
    taken: dict[tuple[str, object], str] = {}
    for index, entry in enumerate(lines):
        for path, thing in _things(entry):
            if thing in taken:
                what = f"is that of the line `{taken[thing]}`, too"
                return ("lines", index, *path), what, "give each line its own"
            taken[thing] = entry.name
    return None


def _things(entry: LineEntry) -> list[tuple[Path, tuple[str, object]]]:
    """What one line has for itself: where it stands, and what it is."""
    found: list[tuple[Path, tuple[str, object]]] = [(("name",), ("name", entry.name))]
    if entry.port:
        found.append((("port",), ("port", entry.port)))
    if entry.line.control:
        found.append((("line", "control"), ("socket", entry.line.control)))
    if entry.sip is not None:
        if entry.sip.port:
            found.append((("sip", "port"), ("UDP", entry.sip.port)))
        first = entry.sip.rtp_port
        spans = range(first, first + _RTP_PORTS) if first else ()
        found += [(("sip", "rtp_port"), ("UDP", port)) for port in spans]
    if entry.iax2 is not None and entry.iax2.port:
        found.append((("iax2", "port"), ("UDP", entry.iax2.port)))
    return found


def load_config(path: FilePath | str) -> Config:
    """Read and check a configuration.

    Raises:
        ConfigError: with every problem found.
    """
    return load(Config, path)


__all__ = [
    "Config", "ConfigError", "Iax2Config", "Iax2Server", "LineConfig", "LineEntry", "Server",
    "SipConfig", "load_config", "parse_iax2_server", "parse_server",
]  # fmt: skip
