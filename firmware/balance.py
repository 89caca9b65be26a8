"""Asks the host for the account's balance, beside the loop that must not wait."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

_log = logging.getLogger("loopstart")


class Balance:
    """One question at a time.

    Args:
        fetch: asks and waits for the answer, a few seconds at most: units of money as `12.50`.
            Raises OSError or ValueError where there is none.
    """

    def __init__(self, fetch: Callable[[], str]) -> None:
        self._fetch = fetch
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._asking = False

    def ask(self) -> None:
        """Begin to ask; nothing if it is being asked already."""
        if not self._asking:
            self._asking = True
            threading.Thread(target=self._run, name="balance", daemon=True).start()

    def take(self) -> str | None:
        """The answer, once: empty where the host gives none; None: not yet."""
        try:
            answer = self._answers.get_nowait()
        except queue.Empty:
            return None
        self._asking = False
        return answer

    def _run(self) -> None:
        try:
            answer = self._fetch()
        except (OSError, ValueError) as error:
            _log.warning("the balance is not known", extra={"detail": str(error)})
            answer = ""
        self._answers.put(answer)
