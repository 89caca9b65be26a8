"""A station and the network around it without audio: legs do what they are told, time jumps."""

from __future__ import annotations

from dataclasses import dataclass

from firmware import caller_id
from firmware.assembly import make_station
from firmware.causes import NORMAL_CLEARING, Cause
from firmware.config import Config, SipConfig
from firmware.legs import (
    Answer,
    Connect,
    HangUp,
    Hold,
    Join,
    LegAnswered,
    LegCommand,
    LegEnded,
    LegEvent,
    Offered,
    Part,
    PlaceCall,
    Redirect,
    Refer,
    TransferNews,
)
from firmware.line_config import LineConfig
from firmware.line_values import Audio
from firmware.phone import Features, Remember
from firmware.station import Command
from hal.caller_id.schemes import load_scheme
from hal.countries import load_country
from hal.values import Capabilities, FlashSeen, HookChanged, PulseDigit


@dataclass
class Leg:
    """One leg, as the network sees it."""

    name: str
    answered: bool = False
    held: bool = False
    referred: bool = False


class Exchange:
    """One telephone whose every leg behaves; what it was told is kept in `told`."""

    def __init__(
        self, codes: dict[str, str] | None = None, features: Features | None = None, **line: object
    ) -> None:
        sip = SipConfig("100001", "secret", ("127.0.0.1:5060",))
        config = Config(sip, LineConfig(**line), codes=codes or {})  # type: ignore[arg-type]
        country = load_country(config.line.country)
        can = Capabilities(reverses_feed=True, opens_loop=True, transfers_on_hook=True)
        scheme = load_scheme(config.line.caller_id or country.caller_id)
        self.station = make_station(config, country, scheme, can, features)
        self.now_ms = 1_000.0
        self.legs: dict[str, Leg] = {}
        self.told: list[Command] = []
        self.off_hook = False
        self.audio = False
        self.ringing = False
        self.connected: tuple[str, ...] = ()
        self.joined: set[tuple[str, str]] = set()
        self.features = features or Features()
        self.refers = True
        """Whether far ends take a REFER at all."""
        self._offered = 0
        self._do(self.station.registered(True, self.now_ms))

    # What a test does

    def lift(self) -> None:
        self._hook(True)

    def put_back(self) -> None:
        self._hook(False)

    def _hook(self, off_hook: bool) -> None:
        if off_hook != self.off_hook:
            self.off_hook = off_hook
            self._do(self.station.line_event(HookChanged(self.now_ms, off_hook)))

    def flash(self) -> None:
        if self.off_hook:
            self._do(self.station.line_event(FlashSeen(self.now_ms)))

    def press(self, keys: str) -> None:
        for key in keys:
            if self.off_hook:
                self._do(self.station.dtmf_digit(key, self.now_ms))

    def dial_pulses(self, digit: str) -> None:
        if self.off_hook:
            self._do(self.station.line_event(PulseDigit(self.now_ms, digit)))

    def offer(self, caller: str = "5145550199", **said: object) -> str:
        self._offered += 1
        name = f"in{self._offered}"
        self.legs[name] = Leg(name)
        self.event(Offered(name, caller, **said))  # type: ignore[arg-type]
        return name

    def answer(self, leg: str) -> None:
        """The far end of a leg that was called answers."""
        found = self.legs.get(leg)
        if found is not None and not found.answered and leg.startswith("out"):
            found.answered = True
            self.event(LegAnswered(leg))

    def end(self, leg: str, q850: int = NORMAL_CLEARING) -> None:
        """The far end of a leg hangs up, or refuses."""
        if self.legs.pop(leg, None) is not None:
            self.event(LegEnded(leg, Cause(q850)))

    def event(self, event: LegEvent) -> None:
        self._do(self.station.leg_event(event, self.now_ms))

    def wait(self, ms: float) -> None:
        """Let time pass, from deadline to deadline."""
        end_ms = self.now_ms + ms
        while True:
            due_ms = self.station.deadline_ms
            if due_ms is None or due_ms > end_ms:
                break
            self.now_ms = max(self.now_ms, due_ms)
            self._do(self.station.handle_timer(self.now_ms))
        self.now_ms = end_ms

    @property
    def state(self) -> tuple[str, str, str]:
        """Of the line, of the telephone, and the tone that is heard."""
        station = self.station
        return station.line.state.value, station.phone.state.value, station.tone

    def of(self, kind: type) -> list[Command]:
        """All that it was told of one kind."""
        return [one for one in self.told if isinstance(one, kind)]

    # What the network does

    def _do(self, commands: list[Command]) -> None:
        answers: list[LegEvent] = []
        for command in commands:
            self.told.append(command)
            if isinstance(command, Audio):
                self.audio = command.on
            elif isinstance(command, caller_id.StartRing | caller_id.RingPulse):
                self.ringing = True
            elif isinstance(command, caller_id.EndRing):
                self.ringing = False
            elif isinstance(command, Connect):
                self.connected = command.legs
            elif isinstance(command, Join):
                self.joined.add((command.first, command.second))
            elif isinstance(command, Part):
                self.joined.discard((command.first, command.second))
            elif isinstance(command, Remember):
                self.features = command.features
            elif isinstance(command, LegCommand):
                answers += self._leg_command(command)
        for answer in answers:
            self.event(answer)

    def _leg_command(self, command: LegCommand) -> list[LegEvent]:
        if isinstance(command, PlaceCall):
            assert command.leg not in self.legs, "a name is used once"
            self.legs[command.leg] = Leg(command.leg)
            return []
        leg = self.legs.get(command.leg)
        if leg is None:
            return []
        if isinstance(command, HangUp | Redirect):
            del self.legs[command.leg]
            q850 = command.q850 if isinstance(command, HangUp) else NORMAL_CLEARING
            return [LegEnded(command.leg, Cause(q850))]
        if isinstance(command, Answer):
            leg.answered = True
            return [LegAnswered(command.leg)]
        if isinstance(command, Hold):
            leg.held = command.on
        elif isinstance(command, Refer):
            if not self.refers:
                return [TransferNews(command.leg, 501, refused=True)]
            leg.referred = True
        return []
