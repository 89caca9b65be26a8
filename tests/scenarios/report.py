"""What a demo says: a live view on a terminal, lines in a pipe, JSON when asked."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    step: int
    what: str
    measured: str
    ok: bool


class Report:
    """Collects checks and shows them as they come.

    Args:
        titles: of the steps that are played, by number.
        as_json: one object a check on standard output, and nothing else there.
        name: what the last line begins with.
    """

    def __init__(self, titles: dict[int, str], as_json: bool = False, name: str = "demo") -> None:
        self.titles = titles
        self.name = name
        self.as_json = as_json
        self.checks: list[Check] = []
        self.checks_over = False
        """No more checks will come."""
        self.console = Console(highlight=False)
        self._live: Live | None = None
        self._doing: dict[int, str] = {}
        self._done: set[int] = set()
        self._setting_up = ""
        self._started = time.monotonic()

    async def play(self, step: int, deed: Awaitable[None], longest_s: float) -> bool:
        """Wait for a step; whatever goes wrong is a check that failed. False: it broke off."""
        self.doing(step, "begins")
        try:
            await asyncio.wait_for(deed, longest_s)
        except (TimeoutError, RuntimeError, LookupError, OSError) as error:
            said = str(error) or f"it took more than {longest_s:.0f} s"
            self.check(step, "the step comes to its end", False, f"{type(error).__name__}: {said}")
            return False
        finally:
            self.done(step)
        return True

    def __enter__(self) -> Report:
        if self.console.is_terminal and not self.as_json:
            self._live = Live(
                console=self.console,
                refresh_per_second=8,
                get_renderable=self._view,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    # --- while it runs ---

    def setting_up(self, what: str) -> None:
        """Say what is being made ready; empty: the steps begin."""
        self._setting_up = what
        if what and self._live is None and not self.as_json:
            print(f"set-up: {what}", flush=True)

    def doing(self, step: int, what: str) -> None:
        """Say what a step is about."""
        self._doing[step] = what

    def done(self, step: int) -> None:
        """A step is over."""
        self._done.add(step)
        self._doing.pop(step, None)
        if self._live is None and not self.as_json:
            mine = [check for check in self.checks if check.step == step]
            passed = sum(check.ok for check in mine)
            seconds = time.monotonic() - self._started
            said = f"{passed} of {len(mine)} checks passed"
            print(f"{seconds:3.0f} s  step {step}, {self.titles[step]}: {said}", flush=True)

    def check(self, step: int, what: str, ok: bool, measured: str = "") -> bool:
        """Note one check; answers whether it passed."""
        check = Check(step, what, measured, bool(ok))
        self.checks.append(check)
        if self.as_json:
            print(json.dumps(asdict(check)), flush=True)
        elif self._live is None and not check.ok:
            print(f"       step {step} FAIL {what}: {measured}", flush=True)
        return check.ok

    def _view(self) -> Table:
        passed = sum(check.ok for check in self.checks)
        table = Table(box=None, show_header=False, padding=(0, 1))
        seconds = time.monotonic() - self._started
        head = self._setting_up or f"{passed} of {len(self.checks)} checks passed so far"
        table.add_row(Spinner("dots"), Text(f"{seconds:4.0f} s", style="dim"), Text(head))
        for step, title in self.titles.items():
            mine = [check for check in self.checks if check.step == step]
            bad = sum(not check.ok for check in mine)
            if step in self._done:
                state = Text(f"{bad} failed", "bold red") if bad else Text("passed", "green")
            elif step in self._doing:
                state = Text("playing", "yellow")
            else:
                state = Text("waits", "dim")
            said = self._doing.get(step, "")
            if not said and mine:
                said = mine[-1].measured if step in self._done else ""
            table.add_row(str(step), state, Text.assemble(title, ("  " + said, "dim")))
        return table

    # --- at the end ---

    @property
    def passed(self) -> int:
        """Checks that passed."""
        return sum(check.ok for check in self.checks)

    @property
    def ok(self) -> bool:
        """True when there were checks, and all of them passed."""
        return bool(self.checks) and self.passed == len(self.checks)

    @property
    def last_line(self) -> str:
        """The last line of all."""
        return f"{self.name}: {self.passed} of {len(self.checks)} checks passed"

    def finish(self) -> None:
        """The table, and the last line."""
        self.__exit__()
        if self.as_json:
            print(self.last_line, file=sys.stderr)
            return
        ordered = sorted(self.checks, key=lambda check: check.step)
        if self.console.is_terminal:
            table = Table(header_style="bold", box=None, padding=(0, 2, 0, 0))
            for head in ("step and check", "measured", ""):
                table.add_column(head, overflow="fold")
            before = 0
            for check in ordered:
                if check.step != before:
                    before = check.step
                    table.add_row(Text(f"{before} {self.titles[before]}", "bold cyan"))
                style = "green" if check.ok else "bold red"
                table.add_row("  " + check.what, check.measured, Text(_word(check), style))
            self.console.print(table)
        else:
            rows = [(str(c.step), c.what, c.measured, _word(c)) for c in ordered]
            rows.insert(0, ("step", "checked", "measured", ""))
            widths = [max(len(row[i]) for row in rows) for i in range(4)]
            print()
            for row in rows:
                cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                print("  ".join(cells).rstrip())
        print(self.last_line, flush=True)


def _word(check: Check) -> str:
    return "pass" if check.ok else "FAIL"
