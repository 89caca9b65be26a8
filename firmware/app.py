"""The program on the board: one event loop that carries out commands and keeps the deadlines."""

from __future__ import annotations

import logging
import select
import signal
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from types import FrameType

from boards.board import LineHardware
from firmware import call_waiting_id, caller_id
from firmware.announce import Announcer, local_time
from firmware.assembly import (
    echo_canceller,
    gain_db,
    hook_timing,
    make_agent,
    make_station,
)
from firmware.audio import AudioPath
from firmware.balance import Balance
from firmware.clock import monotonic_ms
from firmware.command import main as command_line
from firmware.config import Config
from firmware.data_call import Became, DataCallWatch
from firmware.legs import (
    AudioCommand,
    CarryData,
    FarDigit,
    LegEnded,
    LegEvent,
    PlaceCall,
)
from firmware.line_tester import LineTestConfig, LineTester
from firmware.line_values import Audio, OpenLoop, Sound
from firmware.memory import Memory, state_folder
from firmware.mixer import Mixer
from firmware.phone import Call, Features, Note, Remember, Speak
from firmware.speaker import Speaker
from firmware.station import Command
from firmware.status import Notices
from firmware.tolerant import TolerantLine
from firmware.ua.base import MessagesWaiting, RegistrationChanged, SyncWanted, UserAgent
from hal.caller_id.schemes import load_scheme
from hal.countries import load_country
from hal.drivers import open_line
from hal.dsp.connect_tones import ConnectToneDetector
from hal.dsp.echo import EchoCanceller
from hal.line import Line
from hal.values import Feed, LineEvent, LineStatus, UnknownEvent

_log = logging.getLogger("loopstart")
_IDLE_TURN_MS = 40.0
"""The protocol is looked after so often while nothing happens on the line."""
_BUSY_TURN_MS = 20.0
_STOP_S = 3.0
_MOST_FRAMES_A_TURN = 5
_MOST_UNKNOWN = 100


class Device:
    """One line, one user agent, and the loop between them.

    Args:
        clock: monotonic milliseconds.
        local: time at the telephone, for its display.
        memory: keeps what the owner sets; None: nothing outlives the device.
        echo: where echo is cancelled that the driver leaves; None: nowhere.
        tester: tests the line while nobody calls; None: nobody does.
        balance: asks for what the voice menu says of it; None: it is not known.
    """

    def __init__(
        self,
        config: Config,
        line: Line,
        agent: UserAgent,
        clock: Callable[[], float] = monotonic_ms,
        local: Callable[[], datetime | None] = local_time,
        memory: Memory | None = None,
        echo: EchoCanceller | None = None,
        tester: LineTester | None = None,
        notices: Notices | None = None,
        balance: Balance | None = None,
    ) -> None:
        country = load_country(config.line.country)
        self._line = line
        self._agent = agent
        self._clock = clock
        scheme = load_scheme(config.line.caller_id or country.caller_id)
        self._memory = memory
        self._tester = tester
        self._notices = notices
        features = memory.load() if memory is not None else Features()
        self._station = make_station(config, country, scheme, line.capabilities, features)
        gain = gain_db(config.line, country)
        self._mixer = Mixer(agent, country.tones["ringback"], gain)
        self._audio = AudioPath(country, not line.capabilities.detects_dtmf, echo)
        self._watch = DataCallWatch(config.line.fax, lambda: ConnectToneDetector().hear)
        self._fax_jitter_ms = config.line.fax_jitter_ms
        self._announcer = Announcer(line, self._audio, country.ring, scheme, local)
        self._at_start = True
        self._line_fault = ""
        self._unknown: set[int] = set()
        account = config.sip or config.iax2
        bound = account.address if account is not None else ""
        language = config.line.language or country.language
        self._speaker = Speaker(self._audio, language, bound, balance)
        self._audio_on = False
        self._close_loop_ms: float | None = None
        self._registered = False
        self._server = ""
        self._shown = LineStatus()
        self.stopping = False
        self.stops_when_idle = False
        """It ends as soon as nobody calls, and does not wait for a receiver that was forgotten."""

    @property
    def announces(self) -> bool:
        """True while audio may reach a telephone whose receiver is down."""
        return self._station.announcer.sends

    def run(self) -> None:
        """Work until `stopping` is set; then end calls and leave the server.

        Raises:
            AgentError: the user agent cannot start.
            LineFault: the hardware has failed.
        """
        self._agent.start(self._clock())
        try:
            while not self.stopping:
                self.turn()
        finally:
            _log.info("stopping")
            self._line.ring(None)
            self._agent.stop(_STOP_S)
            self._line.close()

    def turn(self) -> None:
        """Wait for what comes next, and do it."""
        waiting = (*self._line.descriptors(), *self._agent.descriptors())
        select.select(waiting, (), (), self._pause_s())
        self.step()

    def step(self) -> None:
        """Do all that is due now."""
        events, found = self._line_events()
        for event in events:
            if isinstance(event, UnknownEvent):
                self._note_unknown(event.code)
                continue
            self._keep_line("the hook moved")
            self._carry_out(self._station.line_event(event, found))
        self._run_audio()
        now_ms = self._clock()
        self._carry_out(self._station.out_of_order(self._fault, now_ms))
        self._mixer.run(now_ms)
        self._carry_out(self._station.handle_timer(now_ms))
        if self._close_loop_ms is not None and now_ms >= self._close_loop_ms:
            self._close_loop_ms = None
            self._line.feed(Feed.FORWARD)
        for happened in self._agent.take_events(now_ms, 0):
            if isinstance(happened, RegistrationChanged):
                self._note_registration(happened)
            elif isinstance(happened, MessagesWaiting):
                _log.info("messages", extra={"waiting": happened.waiting, "new": happened.new})
                self._station.messages_wait(happened.waiting, now_ms)
                self._line.light_lamp(happened.waiting)
            elif isinstance(happened, SyncWanted):
                if self._notices is not None:
                    self._notices.check_sync(now_ms)
            else:
                self._leg_event(happened, now_ms)
        self._speaker.step(self._registered)
        if self._tester is not None:
            self._tester.step(self._clock(), self._station.idle)
        self._show()
        if self._notices is not None:
            self._tell(self._notices)
        if self.stops_when_idle and not self._station.busy:
            self.stopping = True

    def _line_events(self) -> tuple[list[LineEvent], str]:
        """What the line tells; and the tone for a receiver that is found off, if it tells that."""
        events = self._line.take_events()
        was, self._line_fault = self._line_fault, self._line.fault
        found = "howler" if self._at_start else "reorder" if was else ""
        self._at_start = self._at_start and bool(self._line_fault)
        return events, found

    def _note_unknown(self, code: int) -> None:
        """The hardware says what its driver has no name for: logged once a code."""
        if code not in self._unknown and len(self._unknown) < _MOST_UNKNOWN:
            self._unknown.add(code)
            _log.warning("unknown event of the line", extra={"code": f"{code:#x}"})

    def _tell(self, notices: Notices) -> None:
        """How the line is, for updates and lamps; and that the loop goes round."""
        station = self._station
        notices.tell(
            self._registered,
            station.busy,
            station.phone.state in (Call.RINGING, Call.RECALLING),
            station.line.messages_wait,
            self._fault,
        )
        notices.beat(self._clock())

    @property
    def _fault(self) -> bool:
        """The telephone cannot be rung, or must not."""
        return bool(self._line.fault) or (self._tester is not None and self._tester.alarm)

    def _keep_line(self, why: str) -> None:
        """What happens at the line goes before a test of it."""
        if self._tester is not None and self._tester.running:
            self._tester.abort(self._clock(), why)

    def _pause_s(self) -> float:
        now_ms = self._clock()
        busy = self._audio_on or self._audio.sending
        turn_ms = _BUSY_TURN_MS if busy else _IDLE_TURN_MS
        instants = [
            now_ms + turn_ms,
            self._station.deadline_ms,
            self._line.wake_at_ms(),
            self._agent.deadline_ms,
            self._mixer.deadline_ms,
            self._close_loop_ms,
            self._tester.deadline_ms if self._tester is not None else None,
        ]
        first = min(instant for instant in instants if instant is not None)
        return max(0.0, (first - now_ms) / 1000)

    def _leg_event(self, event: LegEvent, now_ms: float) -> None:
        _log.info("leg", extra={"what": type(event).__name__, "leg": event.leg, "detail": event})
        if isinstance(event, FarDigit):
            if self._mixer.far_digit(event.leg, event.digit):
                self._audio.far_digit(event.digit)
            return
        if isinstance(event, LegEnded):
            self._watch.ended(event.leg)
        self._carry_out(self._station.leg_event(event, now_ms))

    def _carry_data(self, became: Became) -> None:
        """A fax machine or modem is on a leg."""
        self._agent.carry_out(CarryData(became.leg, self._fax_jitter_ms, became.ours))
        self._carry_out(self._station.carry_data(became.leg, became.why, self._clock()))

    def _pass_untouched(self, on: bool) -> None:
        """No canceller, neither ours nor the line's; no digits."""
        changed = on is not self._audio.data
        self._audio.carry_data(on)
        if changed and self._audio_on:
            self._line.cancel_echo(not on)

    def _note_registration(self, event: RegistrationChanged) -> None:
        self._registered, self._server = event.registered, event.server
        if self._notices is not None and event.answered:
            self._notices.answered(self._clock())
        say = _log.info if event.registered else _log.warning
        say(
            "registered" if event.registered else "not registered",
            extra={"server": event.server, "status": event.status, "text": event.text},
        )
        self._carry_out(self._station.registered(event.registered, self._clock()))

    def _run_audio(self) -> None:
        for _ in range(_MOST_FRAMES_A_TURN):
            frame = self._line.read_audio()
            if frame is None:
                return
            digits, frame = self._audio.from_mouth(frame, self._mixer.keeps_digits_out())
            for digit in digits:
                self._carry_out(self._station.dtmf_digit(digit, self._clock()))
            far = self._mixer.exchange(frame)
            became = self._watch.hear(frame, far)
            if became is not None:
                self._pass_untouched(True)
                self._carry_data(became)
            sending = self._audio.sending
            self._line.write_audio(self._audio.to_ear(far))
            if sending and not self._audio.sending:
                self._carry_out(self._station.sent(self._clock()))

    def _carry_out(self, commands: Iterable[Command]) -> None:
        for command in commands:
            if not isinstance(command, Note | Remember):
                self._keep_line("the telephone is needed")
            if isinstance(command, Note):
                detail = {"leg": command.leg, "detail": command.detail}
                _log.info(command.text, extra={key: one for key, one in detail.items() if one})
            elif isinstance(command, Sound):
                _log.debug("sound", extra={"tone": command.tone or "none"})
                self._speaker.silence()
                self._audio.play(command.tone)
            elif isinstance(command, Audio):
                _log.info("off-hook" if command.on else "on-hook")
                self._audio_on = command.on
                self._speaker.forget()
                self._audio.reset()
                self._line.audio(command.on)
                if command.on:
                    self._line.write_audio(self._audio.to_ear(None))
            elif isinstance(command, caller_id.Command | call_waiting_id.Command):
                _log.debug("announce", extra={"what": type(command).__name__})
                if not self._announcer.carry_out(command):
                    self._carry_out(self._station.sent(self._clock()))
            elif isinstance(command, OpenLoop):
                self._line.feed(Feed.OPEN)
                self._close_loop_ms = self._clock() + command.ms
            elif isinstance(command, AudioCommand):
                self._mixer.carry_out(command, self._clock())
                became = self._watch.connect(self._mixer.connected)
                self._pass_untouched(self._watch.active)
                if became is not None:
                    self._carry_data(became)
            elif isinstance(command, Remember):
                if self._memory is not None:
                    self._memory.save(command.features)
            elif isinstance(command, Speak):
                self._speaker.speak(command.what, self._server, self._registered)
            else:
                if isinstance(command, PlaceCall):
                    _log.info("calling", extra={"leg": command.leg, "number": command.number})
                self._agent.carry_out(command)

    def _show(self) -> None:
        status = self._station.status(self._registered, self._server)
        if status == self._shown:
            return
        _log.info("state", extra={"line": status.state, "call": status.call, "tone": status.tone})
        self._shown = status
        self._line.show(status)


def main(arguments: list[str] | None = None) -> int:
    """The command `loopstart-ata`."""
    return command_line(arguments, _run)


def _run(config: Config, hardware: LineHardware, notices: Notices | None) -> int:
    country = load_country(config.line.country)
    timing = hook_timing(config.line, country)
    driver = open_line(hardware, monotonic_ms, timing, config.line.impedance or country.impedance)
    line = TolerantLine(driver, monotonic_ms)
    if config.line.impedance and not line.capabilities.sets_impedance:
        _log.warning("this port has the impedance of its circuit; [line] impedance does nothing")
    try:
        tester = None
        if line.capabilities.measures_line:
            keep = notices.tests.keep if notices is not None else None
            tester = LineTester(driver, config.line_test, monotonic_ms(), keep)
        elif config.line_test != LineTestConfig():
            _log.warning("this port does not measure its line; [line_test] does nothing")

        memory = Memory(state_folder(config.state_dir), config.username)
        echo = echo_canceller(hardware, line.capabilities)
        fetch = notices.balance if notices is not None else None
        device = Device(
            config,
            line,
            make_agent(config, provisioned=notices is not None),
            memory=memory,
            echo=echo,
            tester=tester,
            balance=Balance(fetch) if fetch is not None else None,
            notices=notices,
        )

        def stop(_signal: int, _frame: FrameType | None) -> None:
            device.stopping = True

        def stop_when_idle(_signal: int, _frame: FrameType | None) -> None:
            device.stops_when_idle = True

        def test(_signal: int, _frame: FrameType | None) -> None:
            if tester is None:
                _log.warning("this port does not measure its line")
            else:
                tester.ask(monotonic_ms())

        signal.signal(signal.SIGUSR1, test)
        signal.signal(signal.SIGUSR2, stop_when_idle)
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, stop)
        device.run()
    finally:
        line.close()
        if notices is not None:
            notices.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
