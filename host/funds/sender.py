"""The process that sends mail: takes what waits in the outbox and hands it to an SMTP server.

At least once: a message is marked as sent after the server took it, so a crash in between sends
it again, under the same Message-ID, by which readers drop the second. Runs beside the process
that carries calls, which knows nothing of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import aiosmtplib
import structlog

from host.funds.letters import Letter, compose
from host.settings import MailSettings
from host.store.connection import Connection

RETRY_S = (60, 300, 900, 3_600)
"""Waits after the first tries; the last one stands for all later ones."""
GIVE_UP_S = 5 * 86_400
"""RFC 5321, 4.5.4.1: four to five days."""
LEASE_S = 300
"""A sender that took a message and died leaves it to others after so long; longer than any try."""
_BATCH = 50

_TAKE = """
UPDATE outbox SET due_utc_ms = ?, tries = tries + 1 WHERE id = ? AND state = 'waiting'
AND due_utc_ms = ?"""
_DUE = """
SELECT outbox.id, token, kind, facts, utc_ms, tries, coalesce(username, ''),
    coalesce(mail_address.address, ''), coalesce(language, 'en'), due_utc_ms
FROM outbox LEFT JOIN account ON account.id = outbox.account_id
    LEFT JOIN mail_address ON mail_address.account_id = outbox.account_id
WHERE state = 'waiting' AND due_utc_ms <= ? ORDER BY due_utc_ms, outbox.id LIMIT ?"""


@dataclass(slots=True)
class Tally:
    """What came of one look into the outbox."""

    sent: int = 0
    failed: int = 0
    """For good."""
    put_off: int = 0


class Fate(NamedTuple):
    """What becomes of a message after a try."""

    state: str
    error: str = ""


class MailSender:
    """Sends what is due."""

    def __init__(
        self,
        conn: Connection,
        settings: MailSettings,
        password: str = "",
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Send through `conn`, a connection of its own for writing."""
        self._conn = conn
        self._settings = settings
        self._password = password
        self._clock_ms = clock_ms
        self._log = structlog.get_logger("mail")

    async def run(self, stop: asyncio.Event) -> None:
        """Send until told to stop."""
        while not stop.is_set():
            try:
                await self.send_due()
            except sqlite3.OperationalError as error:
                # Busy, or the disk is full: what waits goes on waiting.
                self._log.error("store", error=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._settings.poll_s)

    async def send_due(self) -> Tally:
        """Try each message that is due once."""
        tally = Tally()
        rows = self._conn.execute(_DUE, (self._clock_ms(), _BATCH)).fetchall()
        letters = []
        for *fields, due in rows:
            lease = (self._clock_ms() + LEASE_S * 1000, fields[0], due)
            # Of two senders one gets it.
            if self._conn.execute(_TAKE, lease).rowcount:
                letters.append(Letter(*fields))
        if not letters:
            return tally
        async with contextlib.AsyncExitStack() as stack:
            server: aiosmtplib.SMTP | None = None
            trouble = ""
            for letter in letters:
                if server is None and not trouble:
                    try:
                        server = await stack.enter_async_context(self._server())
                    except (aiosmtplib.SMTPException, OSError) as error:
                        trouble = _text(error)
                if not letter.address:
                    fate = Fate("failed", "the customer has no address")
                elif server is None:
                    fate = Fate("waiting", trouble)
                else:
                    fate = await self._try(server, letter)
                    if not server.is_connected:
                        # The rest waits: trying each against a dead server would take too long.
                        server, trouble = None, fate.error or "the server closed"
                self._note(letter, fate, tally)
        return tally

    def _server(self) -> contextlib.AbstractAsyncContextManager[aiosmtplib.SMTP]:
        mail = self._settings
        return aiosmtplib.SMTP(
            hostname=mail.host,
            port=mail.port,
            use_tls=mail.security == "tls",
            start_tls=mail.security == "starttls",
            username=mail.username or None,
            password=self._password if mail.username else None,
            timeout=mail.timeout_s,
        )

    async def _try(self, server: aiosmtplib.SMTP, letter: Letter) -> Fate:
        try:
            message = compose(letter, self._settings.sender)
        except (LookupError, ValueError) as error:
            return Fate("failed", f"it cannot be written: {_text(error)}")
        try:
            await server.send_message(message)
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPResponseException) as error:
            refusals: list[aiosmtplib.SMTPResponseException]
            if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
                refusals = list(error.recipients)
            else:
                refusals = [error]
            # A server that refuses us, not this mailbox or message, is the operator's to mend.
            kinds = (aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError)
            final = all(isinstance(one, kinds) and 500 <= one.code < 600 for one in refusals)
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await server.rset()
            return Fate("failed" if final else "waiting", _text(refusals[0]))
        except (aiosmtplib.SMTPException, OSError) as error:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                server.close()
            return Fate("waiting", _text(error))
        return Fate("sent")

    def _note(self, letter: Letter, fate: Fate, tally: Tally) -> None:
        now_ms = self._clock_ms()
        state, error = fate
        wait_s = RETRY_S[min(letter.tries, len(RETRY_S) - 1)]
        if state == "waiting" and now_ms - letter.utc_ms > GIVE_UP_S * 1000:
            state = "failed"
        self._conn.execute(
            "UPDATE outbox SET state = ?, error = ?, due_utc_ms = ? WHERE id = ?",
            (state, error[:200], now_ms + wait_s * 1000, letter.id),
        )
        if state == "sent":
            tally.sent += 1
            self._log.info("sent", kind=letter.kind, account=letter.account)
        elif state == "failed":
            tally.failed += 1
            self._log.error("not sent", kind=letter.kind, account=letter.account, error=error)
        else:
            tally.put_off += 1
            self._log.warning(
                "put off", kind=letter.kind, account=letter.account, error=error, wait_s=wait_s
            )


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
