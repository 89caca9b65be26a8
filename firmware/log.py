"""Log lines that people and programs can read: `time level event key=value ...` on stderr."""

from __future__ import annotations

import logging
import sys
import time

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class KeyValueFormatter(logging.Formatter):
    """One line a record; what is passed as `extra` becomes `key=value`.

    Args:
        port: name of the line, for each record of a device that has several.
    """

    def __init__(self, port: str = "") -> None:
        super().__init__()
        self._port = port

    def format(self, record: logging.LogRecord) -> str:
        """Make the line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        words = [f"{stamp}.{int(record.msecs):03d}Z", record.levelname.lower()]
        words.append(f"event={_quote(record.getMessage())}")
        if self._port:
            words.append(f"port={_quote(self._port)}")
        words += [f"{key}={_quote(str(value))}" for key, value in fields.items()]
        if record.exc_info:
            words.append(f"error={_quote(self.formatException(record.exc_info))}")
        return " ".join(words)


def set_up(level: str, port: str = "") -> None:
    """Send all logs to stderr; `port` names the line in each record."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KeyValueFormatter(port))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _quote(value: str) -> str:
    """Quoted if it holds a space, a quote or a control character: peers choose some of it."""
    plain = value.isascii() and value.isprintable() and not set(value) & set(' "=\\')
    if plain and value:
        return value
    escaped = value.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{escaped}"'
