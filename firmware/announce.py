"""Carries out on a line what `firmware.caller_id` wants: ring, reverse, send."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from firmware import caller_id
from firmware.audio import AudioPath
from firmware.call_waiting_id import Command as WaitingCommand
from firmware.call_waiting_id import Mute, SendAlert, SendData, StopSending
from firmware.caller_id import (
    EndRing,
    EndSend,
    Reverse,
    RingPulse,
    SendCaller,
    SendWaiting,
    StartRing,
)
from hal.caller_id.schemes import Scheme
from hal.line import Line
from hal.values import RATE_HZ, Feed, LineFault, RingCadence

_log = logging.getLogger("loopstart")
_OCTETS_A_MS = RATE_HZ // 1000 * 2
_TRANSFER_MARGIN_MS = 1_000
_PULSE_PAUSE_MS = 60_000
"""The ringing pulse comes once: it is stopped long before it would come again."""
_FIRST_YEAR = 2025
"""A clock that shows less was never set."""


def local_time() -> datetime | None:
    """Time at the telephone, or None while the board does not know it."""
    now = datetime.now().astimezone()
    return now if now.year >= _FIRST_YEAR else None


class Announcer:
    """One line's bell and data.

    Args:
        audio: what the line is fed with while it sends.
        ring: the country's cadence.
        scheme: of caller ID; None: nothing is ever sent.
        local: time at the telephone, for its display.
    """

    def __init__(
        self,
        line: Line,
        audio: AudioPath,
        ring: RingCadence,
        scheme: Scheme | None,
        local: Callable[[], datetime | None],
    ) -> None:
        self._line = line
        self._audio = audio
        self._ring = ring
        self._scheme = scheme
        self._local = local

    def carry_out(self, command: caller_id.Command | WaitingCommand) -> bool:
        """Do it. False if a clip should be sent and is not: there is nothing to wait for.

        A line that refuses is no reason to miss a call: it is logged, and ringing goes on.
        """
        try:
            if isinstance(command, WaitingCommand):
                return self._tell_waiting(command)
            return self._do(command)
        except LineFault as error:
            what = type(command).__name__
            _log.warning("line refused", extra={"what": what, "detail": str(error)})
            return False

    def _tell_waiting(self, command: WaitingCommand) -> bool:
        """During a call: audio runs already, and the receiver is off."""
        if isinstance(command, Mute):
            self._audio.muted = command.on
        elif isinstance(command, StopSending):
            self._audio.send(b"")
        else:
            assert self._scheme is not None, "the machine has none either"
            if isinstance(command, SendAlert):
                self._audio.send(self._scheme.cas_clip())
            elif isinstance(command, SendData):
                self._audio.send(self._scheme.talking_clip(command.caller, self._local()))
        return True

    def _do(self, command: caller_id.Command) -> bool:
        if isinstance(command, StartRing):
            self._line.ring(command.cadence)
        elif isinstance(command, RingPulse):
            self._line.ring(replace(self._ring, pattern_ms=(command.ms, _PULSE_PAUSE_MS)))
        elif isinstance(command, EndRing):
            self._line.ring(None)
        elif isinstance(command, Reverse):
            self._line.feed(Feed.REVERSED if command.on else Feed.FORWARD)
        elif isinstance(command, SendCaller):
            assert self._scheme is not None, "the machine has none either"
            return self._send(self._scheme.call_clip(command.caller, self._local()))
        elif isinstance(command, SendWaiting):
            assert self._scheme is not None, "the machine has none either"
            return self._send(self._scheme.lamp_clip(command.waiting))
        elif isinstance(command, EndSend):
            self._audio.send(b"")
            self._line.audio(False)
            self._line.on_hook_transfer(0)
        return True

    def _send(self, clip: bytes) -> bool:
        if not clip:
            return False
        self._line.on_hook_transfer(len(clip) // _OCTETS_A_MS + _TRANSFER_MARGIN_MS)
        self._line.audio(True)
        self._audio.send(clip)
        self._line.write_audio(self._audio.to_ear(None))
        return True
