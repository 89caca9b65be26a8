"""The words of the peers: addresses, messages that were seen, logins; and how tests wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from firmware.wire.sip.message import Request, Response, parse


@dataclass(frozen=True, slots=True)
class Where:
    """A peer's address; UDP only."""

    host: str
    port: int
    reliable: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Seen:
    """One message on the wire."""

    utc_s: float
    """When the kernel got it, or when we handed it over; seconds since 1970."""
    outgoing: bool
    data: bytes
    peer: Where

    @cached_property
    def message(self) -> Request | Response:
        """The message; what could not be parsed is not kept."""
        return parse(self.data)


@dataclass(frozen=True, slots=True)
class Login:
    """What a user agent knows itself by."""

    username: str
    password: str


async def until(
    condition: Callable[[], object], timeout_s: float = 10.0, what: str = "the condition"
) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it was not so in time; the text says what.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not condition():
        if loop.time() >= end:
            raise TimeoutError(f"waited {timeout_s:g} s in vain for {what}")
        await asyncio.sleep(0.01)
