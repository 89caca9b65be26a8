"""Message waiting, as a NOTIFY says it (RFC 3842). No I/O."""

from __future__ import annotations

import re

from firmware.ua.base import MessagesWaiting
from firmware.wire.sip.errors import SipPeerError
from firmware.wire.sip.parser import parse

_STATUS = re.compile(r"^Messages-Waiting[ \t]*:[ \t]*(yes|no)[ \t]*\r?$", re.I | re.M)
_VOICE = re.compile(r"^Voice-Message[ \t]*:[ \t]*(\d{1,6})[ \t]*/", re.I | re.M)
_LONGEST = 65_536


def summary_of(notify: str) -> MessagesWaiting | None:
    """What a NOTIFY of the event `message-summary` says; None if it says nothing.

    Voice mail alone counts (RFC 3842, 3.5): where its line is missing, what the first line says of
    all messages holds.
    """
    try:
        body = parse(notify[:_LONGEST].encode("utf-8", "replace")).body.decode("utf-8", "replace")
    except SipPeerError:
        return None
    status = _STATUS.search(body)
    if status is None:
        return None
    voice = _VOICE.search(body)
    new = int(voice[1]) if voice else 0
    return MessagesWaiting(status[1].lower() == "yes", new)
