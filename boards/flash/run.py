"""Carries a flashing between its core and a port, then watches the board until it registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from boards.flash.port import Port
from boards.flash.report import Report
from boards.loader_run import LoaderRun, Told

_MOST_WAIT_S = 1.0
"""A key that interrupts is noticed within this."""


class Helper:
    """What also has to be looked after while a port is: a server of files. This one is none."""

    def descriptors(self) -> list[int]:
        """What to wait for."""
        return []

    def serve(self, now: float) -> None:
        """Something has come, or time has gone by."""

    def deadline(self) -> float | None:
        """When `serve` is due if nothing comes."""
        return None

    def close(self) -> None:
        """Nothing more is wanted of it."""


class Watch(Protocol):
    """Follows what a board says after it was started."""

    over: bool

    @property
    def deadline(self) -> float:
        """When `receive` is due at the latest, with nothing if nothing has come."""

    def receive(self, octets: bytes, now: float) -> list[str]:
        """Take what the console says; gives sentences for whoever watches."""


def flash(
    port: Port, run: LoaderRun, helper: Helper, report: Report, clock: Callable[[], float]
) -> bytes:
    """Bring the dialogue to its end; `run.failure` says how it was.

    Returns:
        What the board has said that the dialogue had no use for.
    Raises:
        PortError: the port has gone.
    """
    port.write(run.tick(clock()))
    while not run.over:
        deadline = helper.deadline()
        until = run.deadline if deadline is None else min(run.deadline, deadline)
        port.wait(min(_MOST_WAIT_S, until - clock()), helper.descriptors())
        helper.serve(clock())
        out = run.receive(port.read(), clock())
        if out:
            port.write(out)
        for event in run.take_events():
            if isinstance(event, Told):
                report.told(event.text)
            else:
                report.progress(event, clock())
    return run.unheard


def watch(
    port: Port, boot: Watch, heard: bytes, report: Report, clock: Callable[[], float]
) -> None:
    """Follow the console until what is watched for has come, or will not; `boot` says which.

    Raises:
        PortError: the port has gone.
    """
    while True:
        for text in boot.receive(heard, clock()):
            report.told(text)
        if boot.over:
            return
        port.wait(min(_MOST_WAIT_S, boot.deadline - clock()))
        heard = port.read()
