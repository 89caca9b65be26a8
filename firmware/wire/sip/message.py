"""SIP messages: their values (`model`), and reading them from octets (`parser`)."""

from __future__ import annotations

from firmware.wire.sip.headers import Headers
from firmware.wire.sip.model import Message, Request, Response, error_response, response_to
from firmware.wire.sip.parser import DEFAULT, KeepAlive, Limits, StreamParser, parse

__all__ = [
    "DEFAULT",
    "Headers",
    "KeepAlive",
    "Limits",
    "Message",
    "Request",
    "Response",
    "StreamParser",
    "error_response",
    "parse",
    "response_to",
]
