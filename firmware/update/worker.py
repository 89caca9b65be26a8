"""What takes time: questions to the host, and images from it. One thread, one thing at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

from firmware.update.client import HostClient, HostError, Stopped
from firmware.update.credentials import Credentials
from firmware.update.slots import SlotWriter
from firmware.update.values import Event, Fetch, Fetched, NotFetched, NotTold, Told
from firmware.wire.image_check import ImageError
from firmware.wire.provisioning import Report

_log = logging.getLogger("loopstart")

Connect = Callable[[], tuple[HostClient, Credentials]]
"""Finds the host and the secret for it.

Raises:
    HostError: nobody says where it is, or the secret is not for it.
    OSError: the authorities' file cannot be read.
"""


class Worker:
    """Carries out what waits for the network or the medium, and answers by events.

    Args:
        connect: see `Connect`; asked once, and again after it has failed.
        writer: makes what writes an image into a slot.
        done: is given each event, from the worker's thread.
    """

    def __init__(
        self,
        connect: Connect,
        writer: Callable[[Fetch], SlotWriter],
        done: Callable[[Event], None],
    ) -> None:
        self._connect = connect
        self._make_writer = writer
        self._done = done
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._host: tuple[HostClient, Credentials] | None = None
        self._writer: SlotWriter | None = None
        """Of the image that has come in part."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="update")

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """End, when what is under way has ended."""
        self.pause()
        self._jobs.put(None)

    def ask(self) -> None:
        """Answered by Told or NotTold."""
        self._jobs.put(self._ask)

    def fetch(self, order: Fetch) -> None:
        """Answered by Fetched or NotFetched, but for one that was paused."""
        self._stop = stop = threading.Event()
        self._jobs.put(lambda: self._fetch(order, stop))

    def pause(self) -> None:
        """Fetch no more; what came stays."""
        self._stop.set()

    def report(self, report: Report, taken: Callable[[bool], None]) -> None:
        """Tell the host; `taken` is told, from the worker's thread, whether it has it."""
        self._jobs.put(lambda: self._report(report, taken))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:
                _log.exception("update failed")

    def _found(self) -> tuple[HostClient, Credentials]:
        if self._host is None:
            self._host = self._connect()
        return self._host

    def _ask(self) -> None:
        try:
            client, credentials = self._found()
            document = client.ask(credentials.secret(client))
        except HostError as error:
            self._done(NotTold(str(error), error.reached))
        except OSError as error:
            self._done(NotTold(str(error)))
        except BaseException:
            self._done(NotTold("the program failed"))
            raise
        else:
            self._done(Told(document))

    def _report(self, report: Report, taken: Callable[[bool], None]) -> None:
        try:
            client, credentials = self._found()
            client.report(credentials.secret(client), report)
        except (HostError, OSError) as error:
            _log.info("the host has no report", extra={"detail": str(error)})
            taken(False)
        except BaseException:
            taken(False)
            raise
        else:
            taken(True)

    def _fetch(self, order: Fetch, stop: threading.Event) -> None:
        sha256 = order.firmware.sha256
        try:
            writer = self._writer_of(order)
            if not writer.done:
                client, credentials = self._found()
                secret = credentials.secret(client)
                if writer.taken < order.firmware.octets:
                    client.fetch(secret, sha256, writer.taken, writer.feed, stop.is_set)
                writer.finish()
        except Stopped:
            return
        except ImageError as error:
            self._writer = None
            self._done(NotFetched(sha256, str(error), True))
        except (HostError, OSError, ValueError) as error:
            if not isinstance(error, HostError):
                self._writer = None  # what the medium holds is not known
            self._done(NotFetched(sha256, str(error), isinstance(error, ValueError)))
        except BaseException:
            self._writer = None
            self._done(NotFetched(sha256, "the program failed", False))
            raise
        else:
            self._done(Fetched(sha256))

    def _writer_of(self, order: Fetch) -> SlotWriter:
        """Go on with the image that has come in part, if it is this one."""
        writer = self._writer
        if writer is None or writer.firmware != order.firmware or writer.slot != order.slot:
            writer = self._writer = self._make_writer(order)
        return writer
