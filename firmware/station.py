"""Hook, line and telephone joined: one handset's whole logic, still without I/O.

Line events, detected digits and leg events go in; commands for the hardware and for user agents
come out.
"""

from __future__ import annotations

from collections import deque

from firmware import call_waiting_id, caller_id
from firmware.call_waiting_id import CallWaitingIdMachine
from firmware.caller_id import CallerIdMachine
from firmware.hook import Digit, Flash, HookDetector, HookSignal, OffHook, OnHook, PulseStart
from firmware.lamp import Lamp
from firmware.legs import AudioCommand, FarDigit, LegCommand, LegEvent
from firmware.line import LineMachine
from firmware.line_values import (
    Audio,
    Event,
    LineOutput,
    OpenLoop,
    Ring,
    Sound,
    State,
    Stimulus,
    StopRing,
)
from firmware.phone import (
    Features,
    Note,
    PhoneMachine,
    PhoneOutput,
    Remember,
    Speak,
    Supervise,
    WaitingCaller,
    WaitingOver,
)
from hal.caller_id.message import NOBODY
from hal.rings import Rings
from hal.values import (
    DtmfDigit,
    FlashSeen,
    HookChanged,
    LineEvent,
    LineStatus,
    LoopCurrent,
    PulseDigit,
    ShortBreak,
)

Command = (
    Sound | Audio | OpenLoop | caller_id.Command | call_waiting_id.Command | LegCommand
    | AudioCommand | Note | Remember | Speak
)  # fmt: skip

_PASSED_ON = Sound | Audio | OpenLoop | LegCommand | AudioCommand | Note | Remember | Speak
_CPC_SETTLE_MS = 50
"""After the loop was opened and closed again the telephone needs a moment to draw current."""


class Station:
    """One handset: hook, line and telephone, and what is said to it beside speech.

    Args:
        rings: cadences of distinctive rings.
        waiting_id: caller ID on call waiting; None where the telephones know none.
        beep_ms: length of the first beep of call waiting, after which it begins.
        reverses: the line is reversed while a call is answered that was made here.
    """

    def __init__(
        self,
        hook: HookDetector,
        line: LineMachine,
        phone: PhoneMachine,
        announcer: CallerIdMachine,
        rings: Rings,
        waiting_id: CallWaitingIdMachine | None = None,
        beep_ms: int = 0,
        reverses: bool = False,
    ) -> None:
        self.hook = hook
        self.line = line
        self.phone = phone
        self.announcer = announcer
        self.rings = rings
        self.waiting_id = waiting_id
        self.lamp = Lamp()
        self._beep_ms = beep_ms
        self._beep_over_ms: float | None = None
        self._waiting_caller = NOBODY
        self._reverses = reverses
        self._reversed = False
        self._found = ""
        """Tone for a receiver that is off though nobody has lifted it."""
        self._follow(phone.features)
        self.tone = ""
        """What the ear is played now; empty: the leg, or silence."""
        self.unknown_events = 0

    @property
    def deadline_ms(self) -> float | None:
        """When to call `handle_timer` if nothing happens before."""
        parts = (self.hook, self.line, self.phone, self.announcer, self.lamp)
        instants = [part.deadline_ms for part in parts]
        instants.append(self._beep_over_ms)
        if self.waiting_id is not None:
            instants.append(self.waiting_id.deadline_ms)
        return min((instant for instant in instants if instant is not None), default=None)

    def status(self, registered: bool, server: str) -> LineStatus:
        """For the lamp."""
        return LineStatus(
            registered, server, self.line.state.value, self.phone.state.value, self.tone
        )

    def line_event(self, event: LineEvent, found: str = "") -> list[Command]:
        """Something happened on the line.

        Args:
            found: it is how the device found the line, so nobody has done it: the tone for a
                receiver that is off; empty: somebody has.
        """
        if found and isinstance(event, LoopCurrent | HookChanged):
            self._found = found if _is_off(event) else ""
        if isinstance(event, LoopCurrent):
            return self._signals(self.hook.edge(event.at_ms, event.flowing))
        if isinstance(event, HookChanged):
            signal = OffHook(event.at_ms) if event.off_hook else OnHook(event.at_ms)
            return self._signals([signal])
        if isinstance(event, FlashSeen):
            return self._signals([Flash(event.at_ms)])
        if isinstance(event, ShortBreak):
            if self._dials:
                return self._signals([Digit(event.at_ms, "1")])
            return self._signals([Flash(event.at_ms)])
        if isinstance(event, PulseDigit):
            return self._signals([Digit(event.at_ms, event.digit)])
        if isinstance(event, DtmfDigit):
            return self.dtmf_digit(event.digit, event.at_ms)
        self.unknown_events += 1
        return []

    @property
    def _dials(self) -> bool:
        """A digit is more likely than a flash, which at dial tone takes a call back from hold."""
        fresh = self.line.state is State.DIAL_TONE and not self.phone.held
        return fresh or self.line.state is State.COLLECTING

    def dtmf_digit(self, digit: str, now_ms: float) -> list[Command]:
        """A digit was heard from the mouthpiece: a key, or a telephone that acknowledges CAS."""
        if self.waiting_id is not None and self.waiting_id.takes(digit):
            return list(self.waiting_id.acknowledge(now_ms))
        return self._line(Stimulus(Event.DIGIT, digit=digit, audible=True), now_ms)

    def leg_event(self, event: LegEvent, now_ms: float) -> list[Command]:
        """Something happened to a leg. `FarDigit` is the audio path's business, not ours."""
        if isinstance(event, FarDigit):
            return []
        return self._run(deque(self.phone.handle(event, now_ms)), now_ms)

    def carry_data(self, leg: str, why: str, now_ms: float) -> list[Command]:
        """A leg has turned out to be a fax machine's or a modem's."""
        return self._run(deque(self.phone.carry_data(leg, why)), now_ms)

    def registered(self, registered: bool, now_ms: float) -> list[Command]:
        """The device can be called, or no longer."""
        return self._run(deque(self.line.registered(registered)), now_ms)

    def out_of_order(self, out: bool, now_ms: float) -> list[Command]:
        """No telephone can, or may, be rung here; or again it can."""
        return self._run(deque(self.phone.set_out_of_order(out, now_ms)), now_ms)

    def messages_wait(self, waiting: bool, now_ms: float) -> None:
        """Messages wait for the owner, or none any more: stutter dial tone, and the lamp."""
        self.line.messages_wait = waiting
        if self.announcer.lights_lamp:
            self.lamp.want(waiting, now_ms)

    def sent(self, now_ms: float) -> list[Command]:
        """The last frame of something that was sent has been handed to the line."""
        waiting_id = self.waiting_id
        if waiting_id is not None and waiting_id.state is not call_waiting_id.State.IDLE:
            return list(waiting_id.sent(now_ms))
        return list(self.announcer.sent(now_ms))

    def handle_timer(self, now_ms: float) -> list[Command]:
        """Call when `deadline_ms` has come; earlier does no harm."""
        commands = self._signals(self.hook.handle_timer(now_ms))
        commands += self._run(deque(self.line.handle_timer(now_ms)), now_ms)
        commands += self._run(deque(self.phone.handle_timer(now_ms)), now_ms)
        commands += self.announcer.handle_timer(now_ms)
        commands += self._show_waiting(now_ms)
        lit = self.lamp.handle_timer(self.idle, now_ms)
        if lit is not None:
            commands += self.announcer.waiting(lit, now_ms)
        return commands

    def _show_waiting(self, now_ms: float) -> list[Command]:
        """Show who waits, once the beep is over."""
        if self.waiting_id is None:
            return []
        if self._beep_over_ms is not None and now_ms >= self._beep_over_ms:
            self._beep_over_ms = None
            return list(self.waiting_id.start(self._waiting_caller, now_ms))
        return list(self.waiting_id.handle_timer(now_ms))

    def _follow(self, features: Features) -> None:
        """What the owner has set shows in the dial tone, and in what can be dialled."""
        self.line.reminds = features.reminds
        self.line.plan.speed_dials = frozenset(index for index, _ in features.speed_dials)

    @property
    def idle(self) -> bool:
        """Nothing goes on, and nothing begins: not even a receiver that is just being lifted."""
        return (
            self.line.state is State.ON_HOOK
            and self.announcer.state is caller_id.State.IDLE
            and self.hook.deadline_ms is None
        )

    @property
    def busy(self) -> bool:
        """Somebody calls, or is about to. A receiver that nobody minds is no call."""
        quiet = self.line.state in (State.ON_HOOK, State.HOWLER, State.PARKED)
        phone = self.phone
        legs = phone.leg or phone.held or phone.waiting or phone.joined or phone.pairs
        return not quiet or bool(legs) or self.hook.deadline_ms is not None

    def _silence(self, now_ms: float) -> list[Command]:
        """End what is said to a receiver that is down."""
        if self.announcer.announces_waiting:
            self.lamp.cut_off(now_ms)
        return list(self.announcer.stop(now_ms))

    def _signals(self, signals: list[HookSignal]) -> list[Command]:
        commands: list[Command] = []
        for signal in signals:
            stimulus = _STIMULI[type(signal)](signal)
            if isinstance(signal, OffHook) and self._found:
                stimulus = Stimulus(Event.FOUND_OFF, tone=self._found)
            self._found = ""
            commands += self._line(stimulus, signal.at_ms)
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
                cadence = self.rings.cadence(output.cadence)
                commands += self.announcer.call(output.caller, now_ms, cadence)
            elif isinstance(output, StopRing):
                commands += self._silence(now_ms)
            elif isinstance(output, WaitingCaller | WaitingOver | Supervise):
                commands += self._beside_speech(output, now_ms)
            elif isinstance(output, _PASSED_ON):
                if isinstance(output, Audio) and output.on:
                    commands += self._silence(now_ms)
                if isinstance(output, Sound):
                    self.tone = output.tone
                if isinstance(output, OpenLoop):
                    self.hook.look_away(now_ms + output.ms + _CPC_SETTLE_MS)
                if isinstance(output, Remember):
                    self._follow(output.features)
                commands.append(output)
            else:
                queue.extendleft(reversed(self.phone.handle(output, now_ms)))
        return commands

    def _beside_speech(
        self, output: WaitingCaller | WaitingOver | Supervise, now_ms: float
    ) -> list[Command]:
        if isinstance(output, Supervise):
            if not self._reverses or output.answered is self._reversed:
                return []
            self._reversed = output.answered
            return [caller_id.Reverse(output.answered)]
        if self.waiting_id is None:
            return []
        if isinstance(output, WaitingOver):
            self._beep_over_ms = None
            return list(self.waiting_id.stop(now_ms))
        self._waiting_caller = output.caller
        self._beep_over_ms = now_ms + self._beep_ms
        return []


def _is_off(event: LoopCurrent | HookChanged) -> bool:
    return event.flowing if isinstance(event, LoopCurrent) else event.off_hook


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
