"""NOTIFY of the event `check-sync`: the registrar wants the device to ask for its configuration.

pjsua2 hands over a NOTIFY of `message-summary` alone; one of another event it refuses by itself,
and only its log has seen it. So the log is listened to. The sender takes any answer for a sign that
the device is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pjsua2 as pj

from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.message import Request
from firmware.wire.sip.parser import parse

_MESSAGES = 4
"""The level at which pjsip's log has whole messages."""
_LONGEST = 65_536
_RECEIVED = re.compile(
    r"RX \d+ bytes Request msg NOTIFY/cseq=\d+ \(\w+\) from \w+ (\S+):\r?\n(.*)\r?\n--end msg--",
    re.S,
)


def asks_for_sync(notify: str) -> bool:
    """Whether a message is a NOTIFY of `check-sync`, whatever its parameters are."""
    try:
        message = parse(notify[:_LONGEST].encode("utf-8", "replace"))
    except SipPeerError:
        return False
    if not isinstance(message, Request) or message.method != "NOTIFY":
        return False
    event = message.headers.get("Event") or message.headers.get("o") or ""
    return event.partition(";")[0].strip().lower() == "check-sync"


class _Log(pj.LogWriter):  # type: ignore[misc]
    def __init__(self, take: Callable[[str], None], prints: bool) -> None:
        super().__init__()
        self._take, self._prints = take, prints

    def write(self, entry: Any) -> None:
        """A line of pjsip's log, or a message with its lines."""
        text = entry.msg
        if self._prints:
            print(text, end="", flush=True)
        if "msg NOTIFY/" not in text:
            return
        found = _RECEIVED.search(text)
        if found is not None and asks_for_sync(found[2]):
            self._take(found[1])


def overhear(config: Any, take: Callable[[str], None], prints: bool) -> None:
    """Let `take` have the source, as `192.0.2.1:5060`, of each NOTIFY of `check-sync`.

    Args:
        config: of the endpoint, before it is given to pjsua2.
        prints: the log goes to standard output besides.
    """
    writer = _Log(take, prints)
    config.logConfig.level = config.logConfig.consoleLevel = _MESSAGES
    config.logConfig.msgLogging = 1
    config.logConfig.writer = writer.__disown__()  # the library deletes it at its end
