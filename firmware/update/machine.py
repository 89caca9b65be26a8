"""Decides what a device runs: asks, fetches, tries, keeps or goes back. No I/O; time comes in.

A new version is fetched into the spare slot, verified there, and booted once:

    idle --wanted--> fetching --whole--> staged --nobody calls--> (restart) --> on trial
    on trial --registered for a minute, or ten minutes with a network and no host--> good
    on trial --the host answers, and it is not registered--> (restart) --> the version before

What was held to be good while the host was away is left as well, if it does not register once the
host is there again.

Nothing is fetched or taken while something is on trial, and nothing restarts while somebody calls.
The slot that runs is never written, nor is the only one that has shown that it works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from boards.state import (
    TRIES,
    BootState,
    before_writing,
    marked_good,
    to_be_tried,
    with_try_back,
)
from firmware.update.values import (
    Ask,
    Board,
    CheckSync,
    Event,
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

_MOST_ATTEMPTS = 2


class Stage(Enum):
    """Of the firmware."""

    IDLE = "idle"
    FETCHING = "fetching"
    STAGED = "staged"
    """Written and verified; it is booted when nobody calls."""
    TRIAL = "on trial"
    LEAVING = "leaving"
    """A restart was asked for: nothing more is begun."""


class Update:
    """One device's.

    Args:
        board: as it is when the program starts.
        kept: what was kept last.
        check: what is wrong with a configuration of this schema; empty: it can be used.
        random: numbers from 0 to 1, for delays.
        now_ms: monotonic milliseconds.
        asks: there is a host to ask.
    """

    def __init__(
        self,
        board: Board,
        kept: Kept,
        check: Callable[[Configuration], str],
        random: Callable[[], float],
        now_ms: float,
        times: Times | None = None,
        asks: bool = True,
    ) -> None:
        self.board = board
        self.kept = kept
        self.problems: dict[str, str] = {}
        """`firmware` and `configuration`: why it has not done what it was told."""
        self._check = check
        self._random = random
        self._times = times or Times()
        self._interval_ms = 3_600_000.0
        self._retry_ms = float(self._times.retry_ms)
        self.asks = asks
        self._ask_ms: float | None = now_ms + random() * self._times.first_ms if asks else None
        self._asking = False
        self._asked_ms = now_ms - self._times.hurry_ms
        self._document: Document | None = None
        self._fetching: Firmware | None = None
        self._fetch_ms: float | None = None
        """When a fetch that broke off goes on."""
        self._fetch_failures = 0
        self._calls = True
        """Until the lines have said otherwise."""
        self._registered_ms: float | None = None
        self._network_ms: float | None = None
        self._reached_ms: float | None = None
        """Since when each question was answered."""
        self._answered_ms: float | None = None
        """When the host answered last."""
        self._config_ms = now_ms
        """Since when the configuration on trial has been in use, or was last registered with."""
        self._out: list[Order] = []
        state, running = board.state, board.running
        trial = state is not None and running is not None and not state.is_good(running)
        self.stage = Stage.TRIAL if trial else Stage.IDLE
        if state is not None and running is not None and state.slot != running:
            # It was staged, and this program started anew; or the board has fallen back since.
            self.stage = Stage.STAGED if kept.trying else Stage.IDLE
        self._note_failed_trial()

    def _note_failed_trial(self) -> None:
        """The board may have fallen back to the version before, by itself or by our restart."""
        kept, board = self.kept, self.board
        if self.stage is Stage.IDLE and kept.trying and board.running is not None:
            if board.version == kept.trying_version and kept.unproved:
                return
            if board.version == kept.trying_version:
                self._keep(trying="", trying_version=0, attempts=0)
            elif kept.attempts >= _MOST_ATTEMPTS:
                words = f"version {kept.trying_version} did not work; {board.version} runs again"
                self._keep(
                    trying="", trying_version=0, attempts=0, failed=kept.trying, failed_why=words
                )
        if self.kept.failed:
            self.problems["firmware"] = self.kept.failed_why
        if self.kept.config_failed:
            self.problems["configuration"] = self.kept.config_failed_why

    @property
    def on_trial(self) -> bool:
        """Something has yet to show that the device works with it."""
        return self.stage is Stage.TRIAL or self.kept.unproved or self.kept.config_trial

    @property
    def deadline_ms(self) -> float | None:
        """When to call `handle_timer` if nothing happens before."""
        times = self._times
        instants = [self._ask_ms, self._fetch_ms]
        if self.stage is Stage.TRIAL:
            if self._registered_ms is not None:
                instants.append(self._registered_ms + times.registered_ms)
            instants.append(self._outage_ms())
        if self.kept.unproved and self._registered_ms is not None:
            instants.append(self._registered_ms + times.registered_ms)
        if self.kept.config_trial:
            instants.append(self._config_ms + times.config_ms)
            if self._registered_ms is not None:
                instants.append(self._registered_ms + times.registered_ms)
        if self.stage is Stage.LEAVING:
            return None
        return min((one for one in instants if one is not None), default=None)

    def start(self) -> list[Order]:
        """What is to be done at once.

        A slot that is good gets its tries again as soon as its system is up: whoever pulls the
        plug three times in a minute does not lose it.
        """
        state, running = self.board.state, self.board.running
        proved = state is not None and running is not None and state.is_good(running)
        if state is not None and proved and state.slot == running:
            self._write_if_other(with_try_back(state))
        return self._taken()

    def handle(self, event: Event, now_ms: float) -> list[Order]:
        """Something has happened."""
        if self.stage is Stage.LEAVING:
            return []
        if isinstance(event, Told):
            self._told(event.document, now_ms)
        elif isinstance(event, NotTold):
            self._not_told(event, now_ms)
        elif isinstance(event, Fetched):
            self._fetched(event)
        elif isinstance(event, NotFetched):
            self._not_fetched(event, now_ms)
        elif isinstance(event, Lines):
            self._lines(event, now_ms)
        elif isinstance(event, RegistrarAnswered):
            self._answered(now_ms)
        elif isinstance(event, Network):
            self._network_ms = (self._network_ms or now_ms) if event.up else None
            if not event.up:
                self._reached_ms = None
        elif isinstance(event, CheckSync) and self.asks:
            self._ask_ms = max(now_ms, self._asked_ms + self._times.hurry_ms)
        self._go_on(now_ms)
        return self._taken()

    def handle_timer(self, now_ms: float) -> list[Order]:
        """Call when `deadline_ms` has come; earlier does no harm."""
        if self.stage is Stage.LEAVING:
            return []
        self._go_on(now_ms)
        return self._taken()

    # --- the host ---

    def _told(self, document: Document, now_ms: float) -> None:
        self._answered(now_ms)
        self._asking = False
        self._document = document
        self._interval_ms = document.interval_s * 1000.0
        self._retry_ms = float(self._times.retry_ms)
        wait_ms = self._interval_ms * (1 + self._random() * self._times.spread)
        self._ask_ms = now_ms + (self._times.trial_ms if self.on_trial else wait_ms)
        wanted = document.firmware
        if self.kept.failed and (wanted is None or wanted.sha256 != self.kept.failed):
            self._keep(failed="", failed_why="")
            self.problems.pop("firmware", None)
        given = document.configuration
        if self.kept.config_failed and (given is None or given.sha256 != self.kept.config_failed):
            self._keep(config_failed="", config_failed_why="")
            self.problems.pop("configuration", None)

    def _not_told(self, event: NotTold, now_ms: float) -> None:
        self._asking = False
        if event.reached:
            self._answered(now_ms)
        else:
            self._reached_ms = None
        wait_ms = self._times.trial_ms if self.on_trial else self._retry_ms
        self._ask_ms = now_ms + wait_ms * (1 + self._random() * self._times.spread)
        self._retry_ms = min(2 * self._retry_ms, self._interval_ms)

    def _answered(self, now_ms: float) -> None:
        self._answered_ms = now_ms
        if self._reached_ms is None:
            self._reached_ms = now_ms

    def _lines(self, lines: Lines, now_ms: float) -> None:
        self._calls = lines.calls
        if not lines.registered:
            if self._registered_ms is not None:
                self._registered_ms = None
                self._reached_ms = None  # the time to come back begins anew
                self._config_ms = now_ms
        elif self._registered_ms is None:
            self._registered_ms = now_ms

    # --- what follows ---

    def _go_on(self, now_ms: float) -> None:
        self._judge(now_ms)
        if self.stage is Stage.STAGED and not self._calls:
            self.stage = Stage.LEAVING
            self._out.append(Restart())
        if self.stage is Stage.LEAVING:
            return
        self._go_on_fetching(now_ms)
        self._begin(now_ms)
        if self._ask_ms is not None and now_ms >= self._ask_ms and not self._asking:
            self._ask_ms, self._asking, self._asked_ms = None, True, now_ms
            self._out.append(Ask())

    def _judge(self, now_ms: float) -> None:
        times, since = self._times, self._registered_ms
        registered = since is not None and now_ms - since >= times.registered_ms
        if self.stage is Stage.TRIAL:
            outage_ms = self._outage_ms()
            if registered or (outage_ms is not None and now_ms >= outage_ms):
                self._works(registered)
            elif self._is_refused(now_ms) and not self._calls:
                self._does_not_work()
        elif self.kept.unproved:
            if registered:
                self._keep(trying="", trying_version=0, attempts=0, unproved=False)
            elif self._is_refused(now_ms) and not self._calls:
                self._leave_unproved()
        if self.kept.config_trial and self.stage is not Stage.LEAVING:
            if registered:
                self._keep(config_trial=False)
            elif since is None and now_ms - self._config_ms >= times.config_ms and not self._calls:
                self._give_back(now_ms)

    def _outage_ms(self) -> float | None:
        """From when on the host is held to be away, if it goes on like this."""
        if self._network_ms is None or self._registered_ms is not None:
            return None
        return max(self._network_ms, self._answered_ms or self._network_ms) + self._times.outage_ms

    def _is_refused(self, now_ms: float) -> bool:
        """The host has answered all the time, and yet the device is not registered."""
        reached, answered = self._reached_ms, self._answered_ms
        if self._registered_ms is not None or reached is None or answered is None:
            return False
        fresh = now_ms - answered < 2 * self._times.trial_ms
        return fresh and answered - reached >= self._times.refused_ms

    def _works(self, registered: bool) -> None:
        board = self.board
        assert board.state is not None
        assert board.running is not None
        state = replace(board.state, slot=board.running)
        other = board.version_in(state.idle)
        state = marked_good(state, board.version, other)
        self._write(state)
        if registered or not self.kept.trying:
            self._keep(trying="", trying_version=0, attempts=0, unproved=False)
        else:
            self._keep(unproved=True)
        self.problems.pop("firmware", None)
        self.stage = Stage.IDLE

    def _does_not_work(self) -> None:
        state, running = self.board.state, self.board.running
        assert state is not None
        assert running is not None
        if state.slot == running and state.is_good(state.idle):
            self.stage = Stage.LEAVING
            self._out.append(Restart())
        else:
            self._write_if_other(with_try_back(state))

    def _leave_unproved(self) -> None:
        """The host is there again, and the version that was held to be good does not register."""
        state, running = self.board.state, self.board.running
        other_is_good = state is not None and running == state.slot and state.is_good(state.idle)
        if state is None or not other_is_good:
            self._keep(trying="", trying_version=0, attempts=0, unproved=False)
            return
        good = 1 if state.idle == "a" else 2
        self._keep(attempts=_MOST_ATTEMPTS, unproved=False)
        self._write(replace(state, slot=state.idle, tries=TRIES, good=good))
        self.stage = Stage.LEAVING
        self._out.append(Restart())

    def _give_back(self, now_ms: float) -> None:
        kept, why = self.kept, "the device did not register with it"
        reached = self._answered_ms is not None and self._answered_ms > self._config_ms
        if reached:
            self.problems["configuration"] = why
        self._keep(
            config=kept.config_before,
            config_trial=False,
            config_failed=kept.config if reached else "",
            config_failed_why=why if reached else "",
        )
        self._out.append(GiveBackConfig())
        self._calls = True
        # A host that was away is no fault of the configuration: it is tried again, but not now.
        self._document = None

    def _begin(self, now_ms: float) -> None:
        """Take or fetch what the host wants."""
        document = self._document
        if document is None or self.on_trial or self.stage is not Stage.IDLE:
            return
        given = document.configuration
        if given is not None and given.sha256 not in (self.kept.config, self.kept.config_failed):
            problem = self._check(given)
            if problem:
                self.problems["configuration"] = problem
            elif not self._calls:
                self.problems.pop("configuration", None)
                before = self.kept.config
                self._keep(config=given.sha256, config_before=before, config_trial=True)
                self._config_ms = now_ms
                self._registered_ms = None
                self._calls = True
                self._ask_ms = now_ms + self._times.trial_ms
                self._out.append(TakeConfig(given.toml, given.schema))
                return
        if document.firmware is not None:
            self._want(document.firmware)

    def _want(self, wanted: Firmware) -> None:
        board, kept = self.board, self.kept
        state, running = board.state, board.running
        if wanted.version == board.version or wanted.sha256 == kept.failed or self._calls:
            return
        if state is None or running is None:
            self.problems["firmware"] = "this device has no slots; install it by hand"
        elif wanted.board != board.name:
            self.problems["firmware"] = f"it is for the board {wanted.board}, this is {board.name}"
        elif wanted.version < state.floor:
            self.problems["firmware"] = f"version {wanted.version} is below {state.floor}"
        elif state.slot == running and state.spare != running:
            self.problems.pop("firmware", None)
            self.stage, self._fetching = Stage.FETCHING, wanted
            self._fetch_failures = 0
            self._write(before_writing(state))
            self._out.append(Fetch(wanted, state.spare, state.floor))

    def _go_on_fetching(self, now_ms: float) -> None:
        if self.stage is not Stage.FETCHING:
            return
        assert self._fetching is not None
        assert self.board.state is not None
        document = self._document
        if document is not None and document.firmware != self._fetching:
            self._out.append(Pause())
            self.stage, self._fetching, self._fetch_ms = Stage.IDLE, None, None
        elif self._calls:
            if self._fetch_ms is None:
                self._out.append(Pause())
            self._fetch_ms = now_ms + self._times.retry_ms
        elif self._fetch_ms is not None and now_ms >= self._fetch_ms:
            self._fetch_ms = None
            state = self.board.state
            self._out.append(Fetch(self._fetching, state.spare, state.floor))

    def _is_fetched(self, sha256: str) -> bool:
        """Whether it is about the image that is being fetched, and not of a time before."""
        wanted = self._fetching
        return wanted is not None and wanted.sha256 == sha256 and self._fetch_ms is None

    def _fetched(self, event: Fetched) -> None:
        wanted, state = self._fetching, self.board.state
        if not self._is_fetched(event.sha256) or wanted is None or state is None:
            return
        self._fetching = None
        self.stage = Stage.STAGED
        attempts = self.kept.attempts if self.kept.trying == wanted.sha256 else 0
        self._keep(trying=wanted.sha256, trying_version=wanted.version, attempts=attempts + 1)
        self._write(to_be_tried(state))

    def _not_fetched(self, event: NotFetched, now_ms: float) -> None:
        if not self._is_fetched(event.sha256) or self._fetching is None:
            return
        self.problems["firmware"] = event.why
        if event.final:
            self._keep(failed=self._fetching.sha256, failed_why=event.why)
            self.stage, self._fetching = Stage.IDLE, None
            return
        self._fetch_failures += 1
        wait_ms = self._times.retry_ms * 2 ** min(self._fetch_failures - 1, 6)
        self._fetch_ms = now_ms + wait_ms * (1 + self._random() * self._times.spread)

    # --- orders ---

    def _write(self, state: BootState) -> None:
        self.board = replace(self.board, state=state)
        self._out.append(WriteState(state))

    def _write_if_other(self, state: BootState) -> None:
        if state != self.board.state:
            self._write(state)

    def _keep(self, **values: object) -> None:
        self.kept = replace(self.kept, **values)  # type: ignore[arg-type]
        self._out.append(Keep(self.kept))

    def _taken(self) -> list[Order]:
        out, self._out = self._out, []
        return out
