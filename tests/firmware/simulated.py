"""A device with its simulated handset under a simulated clock, and a user agent of paper."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

from firmware.app import Device
from firmware.balance import Balance
from firmware.config import Config, LineConfig, SipConfig
from firmware.legs import LegCommand
from firmware.line_tester import LineTestConfig, LineTester
from firmware.memory import Memory
from firmware.ua.base import AgentEvent, RegistrationChanged
from hal.drivers.sim import SimLine
from hal.values import Feed

NOON = datetime.fromisoformat("2026-03-27T12:00")
"""Time at the telephone."""


class PaperAgent:
    """Notes what it is told, and says what the test wants."""

    def __init__(self) -> None:
        self.commands: list[LegCommand] = []
        self.coming: deque[AgentEvent] = deque()
        self.spoken: list[bytes] = []
        self.spoken_to: dict[str, list[bytes]] = {}
        self.far: deque[bytes] = deque()
        self.far_of: dict[str, Callable[[], bytes]] = {}
        """What one leg's far end says; the others have `far`."""
        self.out_of_band = True
        self.deadline_ms: float | None = None

    def start(self, now_ms: float) -> None:
        """Nothing to start."""

    def stop(self, timeout_s: float) -> None:
        """Nothing to stop."""

    def carry_out(self, command: LegCommand) -> None:
        self.commands.append(command)

    def take_events(self, now_ms: float, wait_ms: int) -> list[AgentEvent]:
        events = list(self.coming)
        self.coming.clear()
        return events

    def descriptors(self) -> tuple[int, ...]:
        return ()

    def hear(self, leg: str) -> bytes | None:
        if leg in self.far_of:
            return self.far_of[leg]()
        return self.far.popleft() if self.far else None

    def speak(self, leg: str, frame: bytes) -> None:
        self.spoken.append(frame)
        self.spoken_to.setdefault(leg, []).append(frame)

    def digits_out_of_band(self, leg: str) -> bool:
        return self.out_of_band


class Desk:
    """Device, line, handset and clock."""

    def __init__(
        self,
        seed: int = 1,
        codes: dict[str, str] | None = None,
        memory: Memory | None = None,
        registered: bool = True,
        at_start: str = "on",
        line_test: LineTestConfig | None = None,
        balance: Balance | None = None,
        **line: Any,
    ) -> None:
        self.now_ms = 1_000.0
        self.line = SimLine(lambda: self.now_ms, seed=seed)
        self.agent = PaperAgent()
        sip = SipConfig("100001", "secret", ("127.0.0.1:5060",))
        config = Config(sip, LineConfig(**line), codes=codes or {})
        tester = LineTester(self.line, line_test or LineTestConfig(), self.now_ms)
        self.device = Device(
            config,
            self.line,
            self.agent,
            lambda: self.now_ms,
            lambda: NOON,
            memory,
            tester=tester,
            balance=balance,
        )
        self.ear: list[bytes] = []
        self._hear = self.line.handset.hear
        self.line.handset.hear = self._listen  # type: ignore[method-assign]
        if at_start == "off":
            self.line.handset.lift(self.now_ms - 500)
        if registered:
            self.agent.coming.append(RegistrationChanged(True, "127.0.0.1:5060"))
        self.device.step()

    def serve(self) -> None:
        """The device registers."""
        self.event(RegistrationChanged(True, "127.0.0.1:5060"))

    def watch_feed(self) -> list[str]:
        """How the line is fed from now on, change by change."""
        fed: list[str] = []
        feed = self.line.feed

        def note(how: Feed) -> None:
            fed.append(how.value)
            feed(how)

        self.line.feed = note  # type: ignore[assignment,method-assign]
        return fed

    @property
    def handset(self):  # type: ignore[no-untyped-def]
        return self.line.handset

    def _listen(self, frame: bytes) -> None:
        if self.handset.closed:
            self.ear.append(frame)
        self._hear(frame)

    def run(self, ms: float, step_ms: float = 5.0) -> None:
        """Let time pass."""
        end_ms = self.now_ms + ms
        while self.now_ms < end_ms:
            self.now_ms = min(end_ms, self.now_ms + step_ms)
            self.device.step()

    def lift(self) -> None:
        self.handset.lift(self.now_ms)
        self.run(100)

    def put_back(self) -> None:
        self.handset.hang_up(self.now_ms)
        self.run(1_500)

    def press(self, digits: str) -> None:
        ms = self.handset.press(digits)
        self.run(ms + 100)

    def event(self, event: AgentEvent) -> None:
        self.agent.coming.append(event)
        self.run(20)

    def heard(self, ms: float) -> bytes:
        """Let time pass; what the ear heard meanwhile."""
        start = len(self.ear)
        self.run(ms)
        return b"".join(self.ear[start:])

    @property
    def state(self) -> tuple[str, str]:
        state = self.line.state()
        return state["line"], state["call"]
