"""Names in SIP URIs that an operator or a customer set up, looked up beside the loop: by the
system's resolver, in threads of its own, remembered for a while and given up after a while."""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Found = Callable[[str | None], None]

TIMEOUT_S = 3.0
KEPT_S = 60.0
"""A name that was found is good for so long."""
KEPT_UNKNOWN_S = 10.0
MOST_PENDING = 64
"""Beyond these a name is as good as unknown: whoever waits has waited long enough."""
MOST_KEPT = 1_000
_THREADS = 4


def look_up(name: str) -> str | None:
    """The first address of a name, IPv4 before IPv6; None: it has none. Blocks."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return None
    found.sort(key=lambda one: one[0] != socket.AF_INET)
    return str(found[0][4][0]) if found else None


class Names:
    """Looks names up for the loop that it is used in.

    Args:
        clock: monotonic seconds.
        resolve: the resolver, which may block.
    """

    def __init__(
        self, clock: Callable[[], float], resolve: Callable[[str], str | None] = look_up
    ) -> None:
        self._clock = clock
        self._resolve = resolve
        self._kept: OrderedDict[str, tuple[float, str | None]] = OrderedDict()
        self._waiting: dict[str, list[Found]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads: ThreadPoolExecutor | None = None

    def find(self, name: str, found: Found) -> None:
        """Call `found` with the address, at once if it is known; with None where there is none."""
        name = name.lower().rstrip(".")
        until, address = self._kept.get(name, (0.0, None))
        if self._clock() < until:
            found(address)
        elif name in self._waiting:
            self._waiting[name].append(found)
        elif len(self._waiting) >= MOST_PENDING:
            found(None)
        else:
            self._waiting[name] = [found]
            task = asyncio.get_running_loop().create_task(self._ask(name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, name: str) -> None:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, "names")
        asked = asyncio.get_running_loop().run_in_executor(self._threads, self._resolve, name)
        try:
            address = await asyncio.wait_for(asked, TIMEOUT_S)
        except TimeoutError:
            address = None
        kept_s = KEPT_S if address is not None else KEPT_UNKNOWN_S
        self._kept[name] = (self._clock() + kept_s, address)
        self._kept.move_to_end(name)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        for found in self._waiting.pop(name):
            found(address)

    def close(self) -> None:
        """Wait for nobody any more."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
