"""Hook, line and telephone joined: one handset's whole logic, still without I/O.

Line events, detected digits and leg events go in; commands for the hardware and for user agents
come out.
"""

from __future__ import annotations

from collections import deque

from firmware import caller_id
from firmware.caller_id import CallerIdMachine
from firmware.hook import Digit, Flash, HookDetector, HookSignal, OffHook, OnHook, PulseStart
from firmware.lamp import Lamp
from firmware.legs import (
    Alert,
    Answer,
    Connect,
    FarDigit,
    HangUp,
    LegCommand,
    LegEvent,
    PlaceCall,
    SendDigit,
)
from firmware.line import (
    Audio,
    Event,
    LineMachine,
    LineOutput,
    OpenLoop,
    Ring,
    Sound,
    State,
    Stimulus,
    StopRing,
)
from firmware.phone import Note, PhoneMachine, PhoneOutput
from hal.values import (
    DtmfDigit,
    FlashSeen,
    HookChanged,
    LineEvent,
    LineStatus,
    LoopCurrent,
    PulseDigit,
)

Command = Sound | Audio | OpenLoop | caller_id.Command | LegCommand | Note

_LINE_COMMANDS = (Sound, Audio, OpenLoop)
_LEG_COMMANDS = (PlaceCall, Alert, Answer, HangUp, SendDigit, Connect)
_CPC_SETTLE_MS = 50
"""After the loop was opened and closed again the telephone needs a moment to draw current."""


class Station:
    """One handset: hook, line and telephone, and what is said to it while it is on the hook."""

    def __init__(
        self,
        hook: HookDetector,
        line: LineMachine,
        phone: PhoneMachine,
        announcer: CallerIdMachine,
    ) -> None:
        self.hook = hook
        self.line = line
        self.phone = phone
        self.announcer = announcer
        self.lamp = Lamp()
        self.tone = ""
        """What the ear is played now; empty: the leg, or silence."""
        self.unknown_events = 0

    @property
    def deadline_ms(self) -> float | None:
        """When to call `handle_timer` if nothing happens before."""
        parts = (self.hook, self.line, self.phone, self.announcer, self.lamp)
        instants = [part.deadline_ms for part in parts]
        return min((instant for instant in instants if instant is not None), default=None)

    def status(self, registered: bool, server: str) -> LineStatus:
        """For the lamp."""
        return LineStatus(
            registered, server, self.line.state.value, self.phone.state.value, self.tone
        )

    def line_event(self, event: LineEvent) -> list[Command]:
        """Something happened on the line."""
        if isinstance(event, LoopCurrent):
            return self._signals(self.hook.edge(event.at_ms, event.flowing))
        if isinstance(event, HookChanged):
            signal = OffHook(event.at_ms) if event.off_hook else OnHook(event.at_ms)
            return self._signals([signal])
        if isinstance(event, FlashSeen):
            return self._signals([Flash(event.at_ms)])
        if isinstance(event, PulseDigit):
            return self._signals([Digit(event.at_ms, event.digit)])
        if isinstance(event, DtmfDigit):
            return self.dtmf_digit(event.digit, event.at_ms)
        self.unknown_events += 1
        return []

    def dtmf_digit(self, digit: str, now_ms: float) -> list[Command]:
        """A digit was heard from the mouthpiece."""
        return self._line(Stimulus(Event.DIGIT, digit=digit, audible=True), now_ms)

    def leg_event(self, event: LegEvent, now_ms: float) -> list[Command]:
        """Something happened to a leg. `FarDigit` is the audio path's business, not ours."""
        if isinstance(event, FarDigit):
            return []
        return self._run(deque(self.phone.handle(event, now_ms)), now_ms)

    def messages_wait(self, waiting: bool, now_ms: float) -> None:
        """Messages wait for the owner, or none any more: stutter dial tone, and the lamp."""
        self.line.messages_wait = waiting
        if self.announcer.lights_lamp:
            self.lamp.want(waiting, now_ms)

    def sent(self, now_ms: float) -> list[Command]:
        """The last frame of `SendCaller` or `SendWaiting` has been handed to the line."""
        return list(self.announcer.sent(now_ms))

    def handle_timer(self, now_ms: float) -> list[Command]:
        """Call when `deadline_ms` has come; earlier does no harm."""
        commands = self._signals(self.hook.handle_timer(now_ms))
        commands += self._run(deque(self.line.handle_timer(now_ms)), now_ms)
        commands += self._run(deque(self.phone.handle_timer(now_ms)), now_ms)
        commands += self.announcer.handle_timer(now_ms)
        lit = self.lamp.handle_timer(self._idle, now_ms)
        if lit is not None:
            commands += self.announcer.waiting(lit, now_ms)
        return commands

    @property
    def _idle(self) -> bool:
        """Nothing goes on, and nothing begins: not even a receiver that is just being lifted."""
        return (
            self.line.state is State.ON_HOOK
            and self.announcer.state is caller_id.State.IDLE
            and self.hook.deadline_ms is None
        )

    def _silence(self, now_ms: float) -> list[Command]:
        """End what is said to a receiver that is down."""
        if self.announcer.announces_waiting:
            self.lamp.cut_off(now_ms)
        return list(self.announcer.stop(now_ms))

    def _signals(self, signals: list[HookSignal]) -> list[Command]:
        commands: list[Command] = []
        for signal in signals:
            commands += self._line(_STIMULI[type(signal)](signal), signal.at_ms)
        return commands

    def _line(self, stimulus: Stimulus, now_ms: float) -> list[Command]:
        return self._run(deque(self.line.handle(stimulus, now_ms)), now_ms)

    def _run(self, queue: deque[LineOutput | PhoneOutput], now_ms: float) -> list[Command]:
        """Carry news between line and telephone until only commands are left."""
        commands: list[Command] = []
        while queue:
            output = queue.popleft()
            if isinstance(output, Stimulus):
                queue.extendleft(reversed(self.line.handle(output, now_ms)))
            elif isinstance(output, Ring):
                commands += self._silence(now_ms)
                commands += self.announcer.call(output.caller, now_ms)
            elif isinstance(output, StopRing):
                commands += self._silence(now_ms)
            elif isinstance(output, (*_LINE_COMMANDS, *_LEG_COMMANDS, Note)):
                if isinstance(output, Audio) and output.on:
                    commands += self._silence(now_ms)
                if isinstance(output, Sound):
                    self.tone = output.tone
                if isinstance(output, OpenLoop):
                    self.hook.look_away(now_ms + output.ms + _CPC_SETTLE_MS)
                commands.append(output)
            else:
                queue.extendleft(reversed(self.phone.handle(output, now_ms)))
        return commands


def _digit(signal: HookSignal) -> Stimulus:
    assert isinstance(signal, Digit), "the table says so"
    return Stimulus(Event.DIGIT, digit=signal.digit, audible=False)


_STIMULI = {
    OffHook: lambda _: Stimulus(Event.OFF_HOOK),
    OnHook: lambda _: Stimulus(Event.ON_HOOK),
    Flash: lambda _: Stimulus(Event.FLASH),
    PulseStart: lambda _: Stimulus(Event.PULSE),
    Digit: _digit,
}
