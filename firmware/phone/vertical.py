"""What service codes do (vertical services), by the names of `codes.toml`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from firmware.line_values import Dialled, Event, FeatureDialled, Stimulus
from firmware.phone.pairs import Blind
from firmware.phone.redial import Begin, Cancel
from firmware.phone.values import Call, Note, PhoneEvent, Speak

if TYPE_CHECKING:
    from firmware.phone.machine import PhoneMachine

_INDEX_DIGITS = 2


def feature(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    """A service code was dialled."""
    assert isinstance(event, FeatureDialled), "the table says so"
    phone.say(Note("service code", "", event.feature))
    if phone.pending:  # two codes that both want the next number
        return refuse(phone)
    if event.feature in WITH_NUMBER:
        return _ask(phone, event.feature)
    return FEATURES[event.feature](phone, event.argument, now_ms)


def take_number(phone: PhoneMachine, event: Dialled, now_ms: float) -> Call:
    """The number that a service code has asked for."""
    name, phone.pending = phone.pending, ""
    if event.emergency:  # neither forwarded to, nor transferred to: called
        return phone.call(event.number, True, now_ms)
    return WITH_NUMBER[name](phone, event.number, now_ms)


def confirm(phone: PhoneMachine) -> Call:
    """Confirmation tone, after which another number may be dialled."""
    phone.say(Stimulus(Event.DIAL, tone="confirm"))
    return Call.SEIZED


def refuse(phone: PhoneMachine) -> Call:
    """What was dialled cannot be done."""
    phone.forget_call()
    phone.say(Stimulus(Event.END, tone="reorder"))
    return Call.SEIZED


def _ask(phone: PhoneMachine, name: str) -> Call:
    if name == "blind_transfer" and not (phone.held and phone.may_pair):
        return refuse(phone)
    phone.pending = name
    return _more(phone)


def _more(phone: PhoneMachine) -> Call:
    """Recall dial tone: a number follows."""
    phone.say(Stimulus(Event.DIAL, tone="recall"))
    return Call.SEIZED


def _withhold(phone: PhoneMachine, _: str, now_ms: float) -> Call:
    phone.withheld = True
    return _more(phone)


def _show(phone: PhoneMachine, _: str, now_ms: float) -> Call:
    phone.withheld = False
    return _more(phone)


def _waiting_off(phone: PhoneMachine, _: str, now_ms: float) -> Call:
    phone.no_waiting = True
    return _more(phone)


def _call_return(phone: PhoneMachine, _: str, now_ms: float) -> Call:
    number = phone.features.last_caller
    if not number:
        return refuse(phone)
    if phone.plan is not None:
        number = phone.plan.number_of(number)
    return phone.call(number, False, now_ms)


def _speed_dial(phone: PhoneMachine, index: str, now_ms: float) -> Call:
    number = phone.features.speed_dial(index)
    return phone.call(number, False, now_ms) if number else refuse(phone)


def _ask_speed_dial(phone: PhoneMachine, _: str, now_ms: float) -> Call:
    phone.say(Stimulus(Event.DIAL, tone="recall", speed_dial=True))
    return Call.SEIZED


def _set_speed_dial(phone: PhoneMachine, argument: str, now_ms: float) -> Call:
    index, number = argument[:_INDEX_DIGITS], argument[_INDEX_DIGITS:]
    features = phone.features.with_speed_dial(index, number)
    phone.remember(speed_dials=dict(features.speed_dials))
    return confirm(phone)


def _redial(phone: PhoneMachine, _: str, now_ms: float) -> Call:
    number = phone.features.last_dialled
    if not number:
        return refuse(phone)
    phone.repeat(Begin(number), now_ms)
    return confirm(phone)


def _redial_off(phone: PhoneMachine, _: str, now_ms: float) -> Call:
    phone.repeat(Cancel(), now_ms)
    return confirm(phone)


def _menu(phone: PhoneMachine, _: str, now_ms: float) -> Call:
    phone.say(Speak("all"))
    return Call.MENU


def _blind_transfer(phone: PhoneMachine, number: str, now_ms: float) -> Call:
    if not (phone.held and phone.may_pair):  # he has hung up meanwhile
        return refuse(phone)
    held, phone.held = phone.held, ""
    phone.pair(held, "", Blind(), number, now_ms)
    return confirm(phone)


def _sets(**changes: object) -> Callable[[PhoneMachine, str, float], Call]:
    """A code that sets something of the owner's."""

    def change(phone: PhoneMachine, _: str, now_ms: float) -> Call:
        phone.remember(**changes)
        return confirm(phone)

    return change


def _sets_number(name: str) -> Callable[[PhoneMachine, str, float], Call]:
    """A code that keeps the number dialled after it."""

    def change(phone: PhoneMachine, number: str, now_ms: float) -> Call:
        phone.remember(**{name: number})
        return confirm(phone)

    return change


FEATURES: dict[str, Callable[[PhoneMachine, str, float], Call]] = {
    "caller_id_withheld": _withhold,
    "caller_id_sent": _show,
    "call_waiting_off": _waiting_off,
    "call_return": _call_return,
    "forward_all_off": _sets(forward_all=""),
    "forward_busy_off": _sets(forward_busy=""),
    "forward_no_answer_off": _sets(forward_no_answer=""),
    "do_not_disturb_on": _sets(do_not_disturb=True),
    "do_not_disturb_off": _sets(do_not_disturb=False),
    "anonymous_rejection_on": _sets(anonymous_rejection=True),
    "anonymous_rejection_off": _sets(anonymous_rejection=False),
    "speed_dial": _speed_dial,
    "speed_dial_set": _ask_speed_dial,
    "set_speed_dial": _set_speed_dial,
    "redial_busy": _redial,
    "redial_busy_off": _redial_off,
    "menu": _menu,
}
WITH_NUMBER: dict[str, Callable[[PhoneMachine, str, float], Call]] = {
    "forward_all_on": _sets_number("forward_all"),
    "forward_busy_on": _sets_number("forward_busy"),
    "forward_no_answer_on": _sets_number("forward_no_answer"),
    "blind_transfer": _blind_transfer,
}
"""Codes after which a number is dialled."""
