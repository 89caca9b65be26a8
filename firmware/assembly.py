"""Puts a device together as it is configured."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from boards.board import Board, LineHardware, load_board
from boards.schema import ConfigError, Problem
from firmware.call_waiting_id import CallWaitingIdMachine
from firmware.caller_id import CallerIdMachine, first_ring_ms
from firmware.codes import codes_of
from firmware.config import Config, LineConfig, LineEntry
from firmware.dialplan import DialPlan
from firmware.digitmap import DigitMap
from firmware.hook import HookDetector, HookTimes
from firmware.line import LineMachine
from firmware.line_values import LineTimes
from firmware.memory import state_folder
from firmware.phone import Features, PhoneMachine, PhoneOptions, PhoneTimes
from firmware.station import Station
from firmware.ua.base import UserAgent
from hal.caller_id.schemes import Scheme
from hal.countries import Country
from hal.drivers.settings import HookTiming
from hal.dsp.echo import EchoCanceller
from hal.rings import load_rings
from hal.values import Capabilities, RingCadence


def make_station(
    config: Config,
    country: Country,
    scheme: Scheme | None,
    can: Capabilities,
    features: Features | None = None,
) -> Station:
    """The logic of a line as it is configured, with what its owner has set."""
    line = config.line
    hook = HookDetector(
        HookTimes(
            flash_least_ms=line.flash_least_ms or country.flash_ms[0],
            flash_most_ms=line.flash_most_ms or country.flash_ms[1],
            flash=line.flash,
            pulse=line.pulse,
            hang_up_ms=line.hang_up_ms,
        )
    )
    plan = DialPlan(
        DigitMap(line.digit_map), codes_of(config.codes), line.emergency or country.emergency
    )
    machine = LineMachine(
        plan, _line_times(line, country, can), line.after_hang_up, line.terminator, line.hotline
    )
    rings = load_rings(country.ring)
    reverses = line.answer_reversal == "on" or (
        line.answer_reversal == "country" and country.answer_reversal
    )
    shows_waiting = scheme is not None and scheme.waiting_ms > 0
    return Station(
        hook,
        machine,
        PhoneMachine(_phone_times(line), phone_options(config), features, plan, rings.name_of),
        CallerIdMachine(scheme, country.ring, can.transfers_on_hook, can.reverses_feed),
        rings,
        CallWaitingIdMachine() if shows_waiting else None,
        _first_beep_ms(country),
        reverses and can.reverses_feed,
    )


def _line_times(config: LineConfig, country: Country, can: Capabilities) -> LineTimes:
    cpc_ms = country.cpc_ms if config.cpc_ms < 0 else config.cpc_ms
    delay_ms = country.cpc_delay_ms if config.cpc_delay_ms < 0 else config.cpc_delay_ms
    return LineTimes(
        dial_tone_ms=ms_of(config.dial_tone_s),
        interdigit_long_ms=ms_of(config.interdigit_long_s),
        interdigit_short_ms=ms_of(config.interdigit_short_s),
        warning_ms=ms_of(config.warning_s),
        howler_ms=ms_of(config.howler_s),
        cpc_delay_ms=delay_ms,
        cpc_ms=cpc_ms if can.opens_loop else 0,
        hotline_ms=ms_of(config.hotline_s),
    )


def _phone_times(config: LineConfig) -> PhoneTimes:
    return PhoneTimes(ring_ms=ms_of(config.ring_s), no_answer_ms=ms_of(config.no_answer_s))


def phone_options(config: Config) -> PhoneOptions:
    """What the owner of a telephone has chosen."""
    line = config.line
    return PhoneOptions(
        call_waiting=line.call_waiting,
        transfer_on_hang_up=line.transfer_on_hang_up,
        flash=line.flash_as,
        withheld=line.withhold_caller_id,
        redirect=line.forward_by == "redirect" and config.sip is not None,
    )


def _first_beep_ms(country: Country) -> int:
    """Length of the beep of call waiting, up to its longest pause."""
    return first_ring_ms(RingCadence(country.tones["waiting"].cadence_ms))[0]


def gain_db(config: LineConfig, country: Country) -> tuple[float, float]:
    """Gain of transmit and receive, made in the audio, beside what a board file gives a card."""
    usual = country.gain_db
    return (
        usual[0] if config.transmit_db is None else config.transmit_db,
        usual[1] if config.receive_db is None else config.receive_db,
    )


def hook_timing(config: LineConfig, country: Country) -> HookTiming:
    """How a driver that times breaks of the loop by itself is to tell them apart."""
    return HookTiming(
        flash_least_ms=config.flash_least_ms or country.flash_ms[0],
        flash_most_ms=config.flash_most_ms or country.flash_ms[1],
        flash=config.flash,
        pulse=config.pulse,
        hang_up_ms=config.hang_up_ms,
    )


def echo_canceller(hardware: LineHardware, can: Capabilities) -> EchoCanceller | None:
    """What cancels echo on a line whose driver leaves it, unless the board file says no.

    Raises:
        LineFault: libspeexdsp is not installed.
    """
    if can.cancels_echo or not hardware.echo_canceller:
        return None
    return EchoCanceller(hardware.echo_delay_ms)


@dataclass(frozen=True, slots=True)
class OneLine:
    """A line of the device, as a process carries it."""

    name: str
    """Empty: the device has but one."""
    config: Config
    hardware: LineHardware


def lines_of(config: Config, beside: Path) -> tuple[OneLine, ...]:
    """Every line that is configured, with its port of the board.

    A configuration's own handset socket goes before the board file's.

    Raises:
        ConfigError: there is no such board or port, or the board's file is wrong.
    """
    board = load_board(config.board, beside)
    if not config.lines:
        return (OneLine("", config, _own_socket(config, board.lines[0])),)
    found: list[OneLine] = []
    for index, entry in enumerate(config.lines):
        own = config.of(entry.name)
        state = str(state_folder(config.state_dir) / entry.name)
        hardware = _port(board, config, index)
        if any(hardware.name == one.hardware.name for one in found):
            raise _wrong(index, entry, f"the line `{entry.name}` has a port that another has")
        found.append(OneLine(entry.name, replace(own, state_dir=state), _own_socket(own, hardware)))
    return tuple(found)


def _port(board: Board, config: Config, index: int) -> LineHardware:
    entry = config.lines[index]
    names = [hardware.name for hardware in board.lines]
    if entry.port:
        if entry.port not in names:
            what = f"the board `{board.name}` has no port `{entry.port}` for `{entry.name}`"
            raise _wrong(index, entry, what, names)
        return board.lines[names.index(entry.port)]
    if index >= len(names):
        what = f"the board `{board.name}` has {len(names)} port, none for `{entry.name}`"
        raise _wrong(index, entry, what, names)
    return board.lines[index]


def _wrong(index: int, entry: LineEntry, what: str, names: Sequence[str] = ()) -> ConfigError:
    remedy = f"give it one of {', '.join(names)}" if names else "give each line its own `port`"
    return ConfigError((Problem("configuration", 1, f"lines[{index}].port", what, remedy),))


def _own_socket(config: Config, hardware: LineHardware) -> LineHardware:
    if config.line.control:
        return replace(hardware, control=config.line.control)
    return hardware


def make_agent(config: Config, provisioned: bool = False) -> UserAgent:
    """The user agent of the protocol that is configured; nothing of the other is imported.

    Args:
        provisioned: something asks for the device's configuration, and may be told to by SIP.
    Raises:
        AgentError: something that the configuration needs is not installed.
    """
    draw = random.SystemRandom().random
    debug = config.log_level == "debug"
    if config.iax2 is not None:
        from firmware.ua.iax2 import Iax2Agent

        if not debug:
            return Iax2Agent(config.iax2, draw)
        from firmware.ua.iax2_trace import Trace

        return Iax2Agent(config.iax2, draw, trace=Trace())
    from firmware.ua.sip import SipAgent

    assert config.sip is not None, "the configuration was checked"
    return SipAgent(config.sip, draw, debug, provisioned)


def ms_of(seconds: float) -> int:
    """Whole milliseconds."""
    return round(seconds * 1000)
