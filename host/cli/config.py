"""The configuration file: TOML to `host.settings.Settings`, checked, with remedies in errors."""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import json
import os
import re
import tomllib
import typing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from host.charging.values import Rule
from host.funds.alerts import is_address
from host.settings import Settings
from host.store.opening import is_postgres

Path_ = tuple[str | int, ...]

# Least and most that a number may be; what is not named here may be anything above 0.
_RANGES: dict[tuple[str, str], tuple[int, int]] = {
    ("listeners", "port"): (1, 65_535),
    ("media", "min_port"): (1_024, 65_534),
    ("media", "max_port"): (1_025, 65_535),
    ("media", "bridge_min_port"): (1_024, 65_535),
    ("media", "bridge_max_port"): (1_024, 65_535),
    ("media", "silence_s"): (0, 86_400),
    ("iax2", "min_refresh_s"): (10, 86_400),
    ("iax2", "max_refresh_s"): (10, 65_535),
    ("iax2", "max_calls"): (1, 16_000),
    ("iax2", "max_calls_per_address"): (1, 16_000),
    ("iax2", "trunk_ms"): (10, 100),
    ("iax2", "batch_ms"): (0, 20),
    ("charging", "quota_s"): (2, 86_400),
    ("charging", "renew_before_s"): (1, 3_600),
    ("charging", "commit_window_ms"): (0, 20),
    ("charging", "heartbeat_ms"): (100, 60_000),
    ("mail", "port"): (1, 65_535),
    ("api", "port"): (1, 65_535),
    ("payments", "webhook_port"): (1, 65_535),
    ("provisioning", "port"): (1, 65_535),
    ("provisioning", "interval_s"): (60, 604_800),
    ("fees", "grace_days"): (0, 365),
    ("fees", "suspended_days"): (0, 365),
    ("fees", "poll_s"): (1, 86_400),
    ("mail", "timeout_s"): (1, 120),
    ("mail", "poll_s"): (1, 3_600),
    ("sip", "batch_ms"): (0, 200),
    ("sip", "session_expires_s"): (0, 86_400),
    ("sip", "min_se_s"): (90, 86_400),
    ("sip", "shutdown_grace_s"): (0, 86_400),
}
_MOST = 10_000_000
IAX2_PORT = 4_569
"""RFC 5456, 10."""


class ConfigError(Exception):
    """The configuration cannot be used; the text names file, line and remedy."""


def default_database() -> Path:
    """Where the store is when no file says otherwise (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return base / "loopstart" / "host.sqlite"


def load(path: Path | None) -> Settings:
    """Read settings from a TOML file, or take the defaults when there is none.

    Raises:
        ConfigError: the file is not there, is no TOML, or says what cannot be.
    """
    if path is None:
        return _with_places(replace(Settings(), database=str(default_database())))
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: name a file that can be read") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: it is not UTF-8 text: save it as UTF-8") from error
    return parse(text, path)


def parse(text: str, path: Path) -> Settings:
    """Make settings of a file's text; relative paths in it are relative to the file.

    Raises:
        ConfigError: as `load`.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        raise ConfigError(
            f"{path}:{found[1] if found else text.count(chr(10)) + 1}: it is no TOML: {error}; "
            'write text in quotes, as in  realm = "example.net"'
        ) from error

    def fail(where: Path_, message: str) -> typing.NoReturn:
        name = ".".join(str(part + 1) if isinstance(part, int) else part for part in where)
        raise ConfigError(f"{path}:{line_of(text, where)}: {name}: {message}")

    unknown = _unknown(Settings, raw, ())
    if unknown:
        where, known = unknown
        near = difflib.get_close_matches(str(where[-1]), known, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        fail(where, f"no such setting; {remedy}")
    for listener in raw.get("listeners", ()):
        if isinstance(listener, dict) and listener.get("transport") == "iax2":
            listener.setdefault("port", IAX2_PORT)
    try:
        # By way of JSON, whose arrays pydantic takes for tuples even when it is strict.
        settings = TypeAdapter(Settings).validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        fail(first["loc"], f"{first['msg']}, but it says {first['input']!r}")
    fault = _fault(settings, raw)
    if fault:
        fail(*fault)
    base = path.absolute().parent
    database = settings.database or str(default_database())
    if not is_postgres(database):
        database = str(base / database)
    listeners = tuple(
        replace(
            listener,
            certificate=str(base / listener.certificate) if listener.certificate else "",
            key=str(base / listener.key) if listener.key else "",
        )
        for listener in settings.listeners
    )
    for index, listener in enumerate(listeners):
        for name in ("certificate", "key"):
            file = getattr(listener, name)
            if listener.transport == "tls" and not os.access(file, os.R_OK):
                fail(("listeners", index, name), f"{file} cannot be read: name a PEM file")
    control = str(base / settings.control) if settings.control else ""
    given = settings.provisioning
    provisioning = replace(
        given,
        certificate=str(base / given.certificate) if given.certificate else "",
        key=str(base / given.key) if given.key else "",
        firmware_dir=str(base / given.firmware_dir) if given.firmware_dir else "",
    )
    for name in ("certificate", "key"):
        file = getattr(provisioning, name)
        if file and not os.access(file, os.R_OK):
            fail(("provisioning", name), f"{file} cannot be read: name a PEM file")
    settings = replace(
        settings,
        database=database,
        listeners=listeners,
        control=control,
        provisioning=provisioning,
    )
    return _with_places(settings)


def _with_places(settings: Settings) -> Settings:
    """Where things stand of which the file says nothing."""
    settings = _with_control(settings)
    if settings.provisioning.firmware_dir:
        return settings
    url = is_postgres(settings.database)
    beside = default_database() if url else Path(settings.database)
    provisioning = replace(settings.provisioning, firmware_dir=str(beside.with_name("firmware")))
    return replace(settings, provisioning=provisioning)


def _with_control(settings: Settings) -> Settings:
    """The control socket stands beside the database, if nothing else is said; one a host. A
    database that is no file lends its place to the default one."""
    if settings.control:
        return settings
    name = re.sub(r"[^A-Za-z0-9._-]", "_", settings.host_id)
    url = is_postgres(settings.database)
    beside = default_database() if url else Path(settings.database)
    return replace(settings, control=str(beside.with_name(f"{name}.control")))


def line_of(text: str, where: Path_) -> int:
    """The line of a setting in a TOML file, or of the last table on the way to it; from 1."""
    keys = [part for part in where if isinstance(part, str)]
    index = next((part for part in where if isinstance(part, int)), None)
    table: list[str] = []
    seen: dict[str, int] = {}
    best, depth = 1, 0
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line)
        if header:
            table = [part.strip().strip("\"'") for part in header[2].split(".")]
            if header[1] == "[[":
                seen[header[2]] = seen.get(header[2], -1) + 1
            here = table
        else:
            key = re.match(r"\s*([A-Za-z0-9_\-.\"']+)\s*=", line)
            if not key:
                continue
            here = table + [part.strip("\"'") for part in key[1].split(".")]
        wrong_item = index is not None and table and seen.get(".".join(table), index) != index
        if not wrong_item and keys[: len(here)] == here and len(here) > depth:
            best, depth = number, len(here)
    return best


def _unknown(kind: Any, raw: Any, where: Path_) -> tuple[Path_, list[str]] | None:
    """The first key that `kind` does not know, and the keys that it does."""
    if typing.get_origin(kind) is tuple and isinstance(raw, list):
        for index, item in enumerate(raw):
            found = _unknown(typing.get_args(kind)[0], item, (*where, index))
            if found:
                return found
    if not dataclasses.is_dataclass(kind) or not isinstance(raw, dict):
        return None
    hints = typing.get_type_hints(kind)
    for key, value in raw.items():
        if key not in hints:
            return (*where, key), list(hints)
        found = _unknown(hints[key], value, (*where, key))
        if found:
            return found
    return None


def _fault(settings: Settings, raw: dict[str, Any]) -> tuple[Path_, str] | None:
    """The first thing that is of the right type and yet cannot be: where, and what to do."""
    for section, value in raw.items():
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            where: Path_ = (section, index) if isinstance(value, list) else (section,)
            for key, number in item.items() if isinstance(item, dict) else ():
                if isinstance(number, int) and not isinstance(number, bool):
                    least, most = _RANGES.get((section, key), (1, _MOST))
                    if not least <= number <= most:
                        return (*where, key), f"it is {number}, but goes from {least} to {most}"
    for index, listener in enumerate(settings.listeners):
        try:
            ipaddress.ip_address(listener.address)
        except ValueError:
            return ("listeners", index, "address"), "write an IP address, as in 192.0.2.1"
        if listener.transport == "tls" and not (listener.certificate and listener.key):
            return ("listeners", index, "transport"), "TLS needs certificate and key, PEM files"
    try:
        ipaddress.ip_address(settings.media.address)
    except ValueError:
        return ("media", "address"), "write an IP address, as in 192.0.2.1"
    places = [
        (one.address, one.port, one.transport in ("tcp", "tls")) for one in settings.listeners
    ]
    for index, place in enumerate(places):
        if place in places[:index]:
            return ("listeners", index, "port"), "another listener has this address and port"
    if not places:
        return ("listeners",), "a host without a listener hears nobody: name one or leave it out"
    if settings.media.min_port >= settings.media.max_port:
        return ("media", "min_port"), "it has to be below max_port"
    media = settings.media
    if media.bridge_min_port > media.bridge_max_port:
        return ("media", "bridge_min_port"), "it has to be at most bridge_max_port"
    iax2 = any(one.transport == "iax2" for one in settings.listeners)
    if iax2 and media.bridge_min_port <= media.max_port and media.min_port <= media.bridge_max_port:
        return (
            "media",
            "bridge_min_port",
        ), "the bridge's ports may not be among those of the relay"
    if settings.iax2.min_refresh_s > settings.iax2.max_refresh_s:
        return ("iax2", "min_refresh_s"), "it has to be at most max_refresh_s"
    if settings.iax2.encryption and find_spec("cryptography") is None:
        return ("iax2", "encryption"), "it needs a package: pip install cryptography"
    if settings.charging.renew_before_s >= settings.charging.quota_s:
        return ("charging", "renew_before_s"), "it has to be below quota_s"
    if settings.sip.min_expires_s > settings.sip.max_expires_s:
        return ("sip", "min_expires_s"), "it has to be at most max_expires_s"
    if settings.mail.host and not is_address(settings.mail.sender):
        return ("mail", "sender"), "mail needs a sender, as in billing@example.net"
    for name in ("success_url", "cancel_url"):
        if not getattr(settings.payments, name).startswith(("https://", "http://")):
            return ("payments", name), "write a URL, as in https://example.net/paid"
    for section, name, address in (
        ("payments", "webhook_address", settings.payments.webhook_address),
        ("api", "address", settings.api.address),
        *(("api", "proxies", proxy) for proxy in settings.api.proxies),
        ("provisioning", "address", settings.provisioning.address or "127.0.0.1"),
    ):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return (section, name), "write an IP address, as in 127.0.0.1"
    given = settings.provisioning
    if bool(given.certificate) is not bool(given.key):
        return ("provisioning", "certificate"), "TLS needs certificate and key, PEM files"
    if given.address and not given.certificate and not given.plain_http:
        return (
            "provisioning",
            "address",
        ), "TLS needs certificate and key; or, knowing the risk, write plain_http = true"
    if given.public_key and not re.fullmatch(r"[0-9a-fA-F]{64}", given.public_key):
        return ("provisioning", "public_key"), "write the 64 hexadecimal digits of a public key"
    if not settings.host_id:
        return ("host_id",), "name this host: its open calls are found by it"
    for name in settings.sip.digest_algorithms:
        if name not in ("SHA-256", "MD5"):
            return ("sip", "digest_algorithms"), f"{name!r} is unknown: use SHA-256, MD5 or both"
    if not settings.sip.digest_algorithms:
        return ("sip", "digest_algorithms"), "name SHA-256, MD5 or both"
    rules = [rule.value for rule in Rule]
    for name in settings.rules_off:
        if name not in rules and name not in Rule.__members__:
            return ("rules_off",), f"{name!r} is no rule; the rules are {', '.join(rules)}"
    return None
