"""Gathers a board's logs and versions over its console, without secrets; no I/O.

A login on the console would be open to anybody with a cable, so there is none: the boot loader
starts the system with a shell for this once (`[boot] shell`), and the board is restarted at the end
without it. Secrets are taken out on the board already, and once more here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from boards.hardware import Flash, Loader
from boards.loader_run import LoaderRun
from boards.prompt import FlashFailed, Silent, Steps

SECTIONS = {
    "version": "cat /etc/board; cat /proc/cmdline; uname -a; uptime",
    "boot-state": "loopstart-state show",
    "memory": "head -5 /proc/meminfo; df",
    "network": "ip address; ip route; cat /etc/resolv.conf",
    "processes": "ps",
    "configuration": "sed -E 's/(password|secret)[^=]*=.*/\\1 = (hidden)/' /etc/loopstart/ata.toml",
    "log": "logread",
    "kernel": "dmesg",
}
"""What is asked, by name."""
BOOT_S = 150.0
SETTLE_S = 45.0
"""For the device to register, or to log why it cannot."""
SECTION_S = 60.0
_RUNS, _REGISTERED = b"runs from slot", b"event=registered"
_SECRET = re.compile(r"(?i)\b((?:password|secret|token|authorization)\w*)(\s*[=:]\s*)(.*)")


@dataclass(frozen=True, slots=True)
class Section:
    """What a board answered."""

    name: str
    text: str


class DiagnoseDialogue(LoaderRun):
    """One bundle. `sections` has what came; where a command has not answered, its text says so."""

    def __init__(self, flash: Flash, loader: Loader, shell: str, now: float) -> None:
        """
        Args:
            flash, loader: of the board's file.
            shell: what the boot loader is told to start the system with a shell.
            now: seconds of a monotonic clock.
        Raises:
            FlashFailed: the board's file has no such command.
        """
        if not shell:
            raise FlashFailed(
                "the board's file has no `shell` in [boot]: nothing can be asked over its console"
            )
        self.sections: list[Section] = []
        self._shell = shell
        super().__init__(flash, loader, 0, now)

    def _all(self) -> Steps:
        yield from self._prompt.catch()
        self._tell("at the prompt of the boot loader")
        yield from self._run()

    def _run(self) -> Steps:
        wire = self._wire
        wire.out += self._shell.encode() + b"\r"
        self._tell("the system is started with a shell on its console")
        try:
            yield from wire.until(_RUNS, BOOT_S)
        except Silent:
            raise FlashFailed(
                "the system does not come up: `python3 tasks.py console` shows what it says"
            ) from None
        self._tell(f"its device gets {SETTLE_S:.0f} seconds to register")
        try:
            yield from wire.until(_REGISTERED, SETTLE_S)
        except Silent:
            self._tell("its device has not registered; the log may say why")
        for name, command in SECTIONS.items():
            yield from self._section(name, command)
        wire.out += b"\nsync; reboot -f\n"
        self._tell("the board restarts, without the shell")

    def _section(self, name: str, command: str) -> Steps:
        wire = self._wire
        wire.came.clear()
        # The quotes keep the marks out of what the console echoes.
        wire.out += f'\necho "@@""{name}"; {command} 2>&1; echo "@@""end"\n'.encode()
        try:
            yield from wire.until(f"@@{name}\r\n".encode(), SECTION_S)
            said = yield from wire.until(b"@@end\r\n", SECTION_S)
        except Silent:
            self.sections.append(Section(name, "(the board has not answered)"))
            wire.out += b"\x03"
            return
        text = said.decode("utf-8", "replace").replace("\r", "")
        self.sections.append(Section(name, without_secrets(text)))
        self._tell(f"{name}: {len(text.splitlines())} lines")


def without_secrets(text: str) -> str:
    """The text, with whatever stands behind the name of a secret taken out."""
    return _SECRET.sub(r"\1\2(hidden)", text)


def bundle(sections: list[Section]) -> str:
    """One text of all sections."""
    return "".join(f"=== {one.name} ===\n{one.text.rstrip()}\n\n" for one in sections)
