"""The voice menu's voice: what it is asked for, said to the ear of one telephone."""

from __future__ import annotations

import logging

from firmware.audio import AudioPath
from firmware.balance import Balance
from firmware.menu import own_address, sentences
from firmware.prompts import clip
from hal.values import LineFault

_log = logging.getLogger("loopstart")


class Speaker:
    """Says one thing at a time; a balance follows once the host has told it.

    Args:
        audio: where it is heard.
        bound: local address of the account; empty: any.
        balance: asks for it; None: it is not known.
    """

    def __init__(
        self, audio: AudioPath, language: str, bound: str, balance: Balance | None
    ) -> None:
        self._audio = audio
        self._language = language
        self._bound = bound
        self._balance = balance
        self._speaks = False
        self._owes_balance = False

    def speak(self, what: str, server: str, registered: bool) -> None:
        """Say something of the device, in place of what is said already.

        Args:
            what: as `firmware.menu.sentences` has it.
            server: where it is registered.
        """
        if self._balance is not None and what in ("all", "balance"):
            self._balance.ask()
            self._speaks = self._owes_balance = True
            if what == "balance":
                self._audio.send(b"")
                return
        self._say(sentences(what, own_address(server, self._bound), registered))

    def step(self, registered: bool) -> None:
        """Say the balance once it is known, behind what is said already."""
        if not self._owes_balance or self._audio.sending:
            return
        assert self._balance is not None, "who owes it has asked"
        balance = self._balance.take()
        if balance is not None:
            self._owes_balance = False
            self._say(sentences("balance", "", registered, balance))

    def silence(self) -> None:
        """Something else is to be heard."""
        if self._speaks:
            self._speaks = self._owes_balance = False
            self._audio.send(b"")

    def forget(self) -> None:
        """The receiver has moved: nobody waits for the balance any more."""
        self._owes_balance = False

    def _say(self, words: list[str]) -> None:
        try:
            self._audio.send(clip(self._language, words))
            self._speaks = True
        except (LineFault, OSError) as error:
            _log.warning("the menu cannot speak", extra={"detail": str(error)})
