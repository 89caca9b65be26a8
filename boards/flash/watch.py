"""Watches a board's console after it was flashed, until its device has registered, or why not.

Without I/O. What is looked for is the device program's own log (`firmware/log.py`: one line a
record, `event=registered server=...`), which the system in the image also sends to its console, and
the words that boot loader and kernel have for what stops them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

REGISTER_S = 180.0
"""From the boot to the registration; it waits for a network, an address and the time of day."""
REFUSED_S = 40.0
"""A device that was refused tries again; what it then says counts."""
_MOST_LINE = 4_000
_SCRIPT = "Loopstart: "
_PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(slots=True)
class BootWatch:
    """One boot. Octets of the console and `now` (seconds, monotonic) in; sentences out."""

    lines: tuple[str, ...]
    """Names of the board's lines; each of several has to register."""
    started: float
    over: bool = False
    failure: str = ""
    """Why it has not registered, and what to do; empty where it has."""
    server: str = ""
    """Where it has registered."""
    _deadline: float = 0.0
    _told: list[str] = field(default_factory=list)
    _rest: str = ""
    _registered: set[str] = field(default_factory=set)
    _refused: str = ""
    _heard: bool = False
    _kernels: int = 0

    def __post_init__(self) -> None:
        self._deadline = self.started + REGISTER_S

    @property
    def deadline(self) -> float:
        """When `receive` is due at the latest, with nothing if nothing has come."""
        return self._deadline

    def receive(self, octets: bytes, now: float) -> list[str]:
        """Take what the console says; gives sentences for whoever watches."""
        self._heard = self._heard or bool(octets)
        *lines, rest = (self._rest + octets.decode("utf-8", "replace")).split("\n")
        self._rest = rest[-_MOST_LINE:]
        for line in lines:
            if not self.over:
                self._line(_ANSI.sub("", line).strip("\r "), now)
        if not self.over and now >= self._deadline:
            self._end(self._refused or self._why_late())
        told, self._told = self._told, []
        return told

    def _line(self, line: str, now: float) -> None:
        if line.startswith(_SCRIPT):
            self._script(line[len(_SCRIPT) :])
        elif "Starting kernel" in line:
            self._kernels += 1
            again = "" if self._kernels == 1 else f" (boot {self._kernels})"
            self._told.append(f"the kernel starts{again}")
        elif "Kernel panic" in line:
            self._told.append(f"the system has stopped: {line[line.index('Kernel panic') :]}")
            self._refused = (
                "its kernel stops instead of starting the device: the board takes its other slot "
                "after some tries, or rescue; flash another version"
            )
        elif "event=" in line:
            values = {name: _unquoted(value) for name, value in _PAIR.findall(line)}
            self._record(values, now)

    def _script(self, said: str) -> None:
        """What the boot script (`boards/boot.script`) and the system's first process say."""
        if said.startswith(("starting rescue", "nothing here starts")):
            self._end(
                "the board starts neither slot, and waits to be flashed anew: "
                + (self._refused or "run the same command again")
            )
        elif said.endswith("is damaged"):
            self._refused = f"slot {said.split()[0]} is damaged, though it was written and proved"
            self._told.append(self._refused)
        elif said.startswith("not provisioned"):
            self._end(
                "the board runs, and has no configuration yet: give it one by `python3 tasks.py "
                "provision`"
            )
        elif said.startswith("starting "):
            self._told.append(said.replace("starting ", "starting slot ", 1))
        elif said.startswith(("version ", "the program has ended", "the configuration ")):
            self._told.append(said)

    def _record(self, values: dict[str, str], now: float) -> None:
        """A line of the device's log."""
        event, server = values.get("event"), values.get("server", "")
        port = values.get("port", "")
        at = f"{port} " if port else ""
        if event == "registered":
            self._told.append(f"{at}has registered with {server}".strip())
            self._registered.add(port)
            self.server = server
            wanted = set(self.lines) if len(self.lines) > 1 else {port}
            if wanted <= self._registered:
                self._end("")
        elif event == "not registered":
            self._registered.discard(port)
            said = " ".join(one for one in (values.get("status"), values.get("text")) if one)
            self._refused = (
                f"{at}is not registered with {server}: {said or 'no answer'}. {_remedy(values)}"
            )
            self._told.append(self._refused)
            self._deadline = min(self._deadline, now + REFUSED_S)

    def _why_late(self) -> str:
        seconds = f"{REGISTER_S:.0f} seconds"
        if not self._heard:
            return (
                f"the board has said nothing for {seconds} after it was started: see that it is "
                "switched on and the cable in"
            )
        if not self._kernels:
            return (
                f"the boot loader has started no kernel within {seconds}: `python3 tasks.py "
                "console` shows what it says; flash the board again"
            )
        return (
            f"the system runs, but its device has not registered within {seconds}: does the board "
            "have a network, and was it given its account (`python3 tasks.py provision`)?"
        )

    def _end(self, failure: str) -> None:
        self.over, self.failure = True, failure


def _remedy(values: dict[str, str]) -> str:
    if values.get("status") in ("401", "403", "404", "407"):
        return "Give it the right account: `python3 tasks.py provision`"
    return "See that the board has a network and that the server runs"


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"':
        return value
    return re.sub(r"\\(.)", r"\1", value[1:-1])
