"""A board, a host and a telephone under a simulated clock, for one device's updates."""

from __future__ import annotations

import random
from dataclasses import replace

from boards.state import BootState, Slot, boot
from firmware.update.machine import Update
from firmware.update.values import (
    Ask,
    Board,
    Fetch,
    Fetched,
    GiveBackConfig,
    Keep,
    Kept,
    Lines,
    Network,
    NotFetched,
    NotTold,
    Order,
    Pause,
    RegistrarAnswered,
    Restart,
    TakeConfig,
    Times,
    Told,
    WriteState,
)
from firmware.wire.provisioning import Configuration, Document, Firmware

INDEX: dict[Slot, int] = {"a": 0, "b": 1}
BOARD = "qemu-arm64"


def firmware(version: int) -> Firmware:
    return Firmware(BOARD, version, f"1.{version}", 1_000, f"{version:064x}")


class World:
    """One device. What happens is told by a test; what must never be is asserted here.

    Args:
        broken: versions that never register.
    """

    def __init__(
        self, seed: int = 1, broken: frozenset[int] = frozenset(), times: Times | None = None
    ) -> None:
        self.times = times
        self.dice = random.Random(seed)
        self.broken = broken
        self.now_ms = 0.0
        self.state = BootState(5, "a", 3, 1, 0)
        self.versions: list[int | None] = [1, None]
        self.running: Slot = "a"
        self.kept = Kept()
        self.host = self.network = True
        self.calls = False
        self.document = Document(3_600)
        self.config = self.config_before = "own"
        self.bad_configs: set[str] = set()
        self.fetching: Fetch | None = None
        self.boots: list[int] = []
        """Versions that ran, in order."""
        self.orders: list[Order] = []
        self.answered_in_trial = False
        self.rescue = False
        self.power_on()

    @property
    def version(self) -> int:
        found = self.versions[INDEX[self.running]]
        assert found is not None
        return found

    def power_on(self) -> None:
        """What the boot script does, and the program's start."""
        target, written = boot(self.state)
        if target == "rescue":
            self.rescue = True
            return
        if written is not None:
            self.state = replace(written, seq=self.state.seq + 1)
        self.running = target
        assert self.versions[INDEX[target]] is not None, "a slot that holds nothing was booted"
        self.boots.append(self.version)
        self.fetching = None
        self.calls = False
        self.answered_in_trial = False
        board = Board(BOARD, self.running, self.state, (self.versions[0], self.versions[1]))
        self.update = Update(
            board, self.kept, self._check, self.dice.random, self.now_ms, self.times
        )
        self._obey(self.update.start())
        self.tell()

    @staticmethod
    def _check(configuration: Configuration) -> str:
        return "sip: no account is named" if "wrong" in configuration.toml else ""

    def fetches(self) -> bool:
        """An image is on its way."""
        return self.fetching is not None

    @property
    def registered(self) -> bool:
        good = self.version not in self.broken and self.config not in self.bad_configs
        return self.host and self.network and good

    def tell(self) -> None:
        """The lines and the network, as they are."""
        self._obey(self.update.handle(Network(self.network), self.now_ms))
        self._obey(self.update.handle(Lines(self.registered, self.calls), self.now_ms))

    def set(self, **values: bool) -> None:
        """Host, network or calls are otherwise from now on, and the device is told."""
        for name, value in values.items():
            setattr(self, name, value)
        self.tell()

    def run(self, s: float, step_s: float = 5.0) -> None:
        """Let time pass."""
        end_ms = self.now_ms + s * 1000
        while self.now_ms < end_ms and not self.rescue:
            self.now_ms = min(end_ms, self.now_ms + step_s * 1000)
            deadline_ms = self.update.deadline_ms
            if deadline_ms is not None and deadline_ms <= self.now_ms:
                self._obey(self.update.handle_timer(self.now_ms))
            self.tell()

    def fetched(self, whole: bool = True, final: bool = False) -> None:
        """The image has come, or has broken off."""
        fetch = self.fetching
        if fetch is None:
            return
        sha256 = fetch.firmware.sha256
        if whole:
            self.versions[INDEX[fetch.slot]] = fetch.firmware.version
            self.fetching = None
            self._obey(self.update.handle(Fetched(sha256), self.now_ms))
        else:
            self.fetching = None
            self._obey(self.update.handle(NotFetched(sha256, "no way", final), self.now_ms))

    def _obey(self, orders: list[Order]) -> None:
        for order in orders:
            self.orders.append(order)
            if isinstance(order, Ask):
                self._ask()
            elif isinstance(order, Fetch):
                self._begin(order)
            elif isinstance(order, Pause):
                self.fetching = None
            elif isinstance(order, WriteState):
                self.state = replace(order.state, seq=self.state.seq + 1)
            elif isinstance(order, Keep):
                self.kept = order.kept
            elif isinstance(order, TakeConfig):
                assert not self.calls, "a configuration was taken while somebody called"
                self.config_before, self.config = self.config, order.toml
            elif isinstance(order, GiveBackConfig):
                assert not self.calls
                self.config = self.config_before
            elif isinstance(order, Restart):
                self._restart()
                return

    def _restart(self) -> None:
        assert not self.calls, "the board was restarted while somebody called"
        if not self.state.is_good(self.running):
            assert self.answered_in_trial, "a host that was away has cost a version"
        self.power_on()

    def _begin(self, order: Fetch) -> None:
        assert order.slot != self.running, "the slot in use is written"
        assert self.state.is_good(self.running), "nothing else has shown that it works"
        assert not (self.state.slot == order.slot and self.state.tries), "it could boot half-way"
        assert not self.state.is_good(order.slot)
        self.versions[INDEX[order.slot]] = None
        self.fetching = order

    def _ask(self) -> None:
        if self.host and self.network:
            self.answered_in_trial = True
            self._obey(self.update.handle(RegistrarAnswered(), self.now_ms))
            self._obey(self.update.handle(Told(self.document), self.now_ms))
        else:
            self._obey(self.update.handle(NotTold("no answer"), self.now_ms))
