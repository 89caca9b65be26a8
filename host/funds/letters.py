"""From a row of the outbox to a message (RFC 5322). The words are data, one file a language."""

from __future__ import annotations

import functools
import json
import tomllib
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any, NamedTuple

from host.charging.money import format_usd

_MAILS = Path(__file__).parent / "mails"
_MONEY = frozenset(("balance", "threshold", "amount", "fee"))


class Letter(NamedTuple):
    """One waiting message."""

    id: int
    token: str
    kind: str
    facts: str
    """JSON."""
    utc_ms: int
    """When what it tells of happened."""
    tries: int
    account: str
    address: str
    language: str


@functools.cache
def templates(language: str) -> dict[str, dict[str, str]]:
    """Subject and body by kind of mail."""
    return tomllib.loads((_MAILS / f"{language}.toml").read_text("utf-8"))


def compose(letter: Letter, sender: str) -> EmailMessage:
    """Make the message; the same letter makes the same message, its Message-ID too.

    Raises:
        LookupError: no template of this kind, or it names a fact that is not there.
    """
    template = templates(letter.language)[letter.kind]
    facts: dict[str, Any] = json.loads(letter.facts)
    instant = datetime.fromtimestamp(letter.utc_ms / 1000, UTC)
    words = {name: _word(name, value) for name, value in facts.items()}
    words |= {"account": letter.account, "date": instant.strftime("%Y-%m-%d %H:%M")}
    message = EmailMessage()
    message["From"] = sender
    message["To"] = letter.address
    message["Subject"] = template["subject"].format_map(words)
    message["Date"] = format_datetime(instant)
    message["Message-ID"] = f"<{letter.token}@{sender.rpartition('@')[2]}>"
    # RFC 3834, 5: so that no out-of-office answer comes back.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(template["body"].strip().format_map(words) + "\n")
    message["Content-Language"] = letter.language
    return message


def _word(name: str, value: Any) -> str:
    if name in _MONEY and isinstance(value, int):
        # To the cent, downward: who has 4.9999 does not have 5.00.
        return format_usd(value - value % 1_000_000)
    return str(value)
