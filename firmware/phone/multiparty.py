"""What a telephone does with a second leg and a third: call waiting, hold, swap, three-way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware.causes import NORMAL_CLEARING
from firmware.legs import Answer, HangUp, Hold, LegEnded, SendFlash
from firmware.line_values import Event, Stimulus
from firmware.phone.basic import talk
from firmware.phone.incoming import deliver_no_answer
from firmware.phone.values import Call, Note, PhoneEvent

if TYPE_CHECKING:
    from firmware.phone.machine import PhoneMachine


def flash_talking(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    """During a call: answer who waits, swap, make it a three-way call, or hold and dial."""
    leg = phone.leg
    phone.say(Note("flash", leg))
    if phone.emergency:
        return Call.TALKING
    if phone.options.flash != "local":
        phone.say(SendFlash(leg, phone.options.flash == "info"))
        return Call.TALKING
    if phone.waiting:
        return answer_waiting(phone)
    if not phone.held:
        return _hold_and_dial(phone)
    return _three_way(phone) if phone.consulting else _swap(phone)


def answer_waiting(phone: PhoneMachine) -> Call:
    """Put the leg at hand on hold, if there is one, and answer the one that waits."""
    phone.connect()
    if phone.leg:
        phone.say(Hold(phone.leg, True))
        phone.held = phone.drop()
    phone.leg = phone.drop_waiting()
    phone.consulting = False
    phone.say(Stimulus(Event.SOUND, tone=""), Answer(phone.leg))
    return Call.ANSWERING


def _hold_and_dial(phone: PhoneMachine) -> Call:
    phone.connect()
    phone.say(Hold(phone.leg, True), Stimulus(Event.DIAL, tone="recall"))
    phone.held = phone.drop()
    phone.forget_call()
    return Call.SEIZED


def _swap(phone: PhoneMachine) -> Call:
    phone.connect()
    phone.say(Hold(phone.leg, True), Hold(phone.held, False))
    phone.leg, phone.held = phone.held, phone.leg
    phone.connect(phone.leg)
    return Call.TALKING


def _three_way(phone: PhoneMachine) -> Call:
    phone.say(Hold(phone.held, False))
    phone.leg, phone.joined, phone.held = phone.held, phone.leg, ""
    phone.connect(phone.leg, phone.joined)
    phone.say(Note("three-way", phone.leg, phone.joined))
    return Call.THREE_WAY


def flash_three_way(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    """The one that was added last is dropped."""
    if phone.options.flash != "local":
        return Call.THREE_WAY
    dropped, phone.joined = phone.joined, ""
    phone.connect(phone.leg)
    phone.say(HangUp(dropped, NORMAL_CLEARING))
    phone.consulting = False
    return Call.TALKING


def first_of_three_gone(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    assert isinstance(event, LegEnded), "the table says so"
    phone.say(Note("far end hung up", phone.leg))
    phone.leg, phone.joined = phone.joined, ""
    phone.connect(phone.leg)
    phone.consulting = False
    return Call.TALKING


def second_of_three_gone(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    phone.say(Note("far end hung up", phone.joined))
    phone.joined = ""
    phone.connect(phone.leg)
    phone.consulting = False
    return Call.TALKING


def flash_seized(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    """No leg is heard: the waiting one is answered, the held one taken back, or dialling begins."""
    phone.forget_call()
    if phone.waiting:
        return answer_waiting(phone)
    if phone.held:
        return _take_back(phone)
    phone.say(Stimulus(Event.DIAL))
    return Call.SEIZED


def flash_setting_up(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    """A call is being made: who is on hold is taken back, and it is given up."""
    phone.say(Note("flash", phone.leg))
    if not phone.held or phone.emergency:
        return phone.state
    phone.say(HangUp(phone.drop(), NORMAL_CLEARING))
    phone.forget_call()
    return _take_back(phone)


def _take_back(phone: PhoneMachine) -> Call:
    phone.leg, phone.held = phone.held, ""
    phone.consulting = False
    phone.say(Hold(phone.leg, False))
    return talk(phone)


def held_gone(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    phone.say(Note("held call is over", phone.held))
    phone.held = ""
    phone.consulting = False
    return phone.state


def waiting_gone(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    phone.say(Note("waiting caller gave up", phone.drop_waiting()))
    return _beep_over(phone)


def waiting_too_long(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    deliver_no_answer(phone, phone.drop_waiting(), now_ms)
    return _beep_over(phone)


def _beep_over(phone: PhoneMachine) -> Call:
    if phone.state is Call.SEIZED:
        phone.say(Stimulus(Event.END, tone="reorder"))
    else:
        phone.say(Stimulus(Event.SOUND, tone=""))
    return phone.state
