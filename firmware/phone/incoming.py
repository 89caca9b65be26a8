"""What becomes of a call that comes in: it rings, waits, is forwarded, or hears busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware.causes import (
    ANONYMITY_REJECTED,
    DESTINATION_OUT_OF_ORDER,
    NO_ANSWER,
    NORMAL_CLEARING,
    USER_BUSY,
)
from firmware.legs import Alert, HangUp, Hold, Offered, Redirect
from firmware.line_values import Event, Stimulus
from firmware.phone.pairs import Forward, Returned
from firmware.phone.redial import Free
from firmware.phone.values import Call, Note, WaitingCaller

if TYPE_CHECKING:
    from firmware.phone.machine import PhoneMachine

FREE_RING = "recall"
"""Distinctive ring for a busy number that is free now, and for a transfer that failed."""


def screen(phone: PhoneMachine, event: Offered, now_ms: float) -> None:
    """Decide on an offered call by what the owner has set, and by what goes on."""
    features, leg = phone.features, event.leg
    number = phone.caller(leg).digits(keep_plus=True)
    if number:  # a name cannot be called back by a telephone
        phone.remember(last_caller=number)
    called_back = now_ms < phone.callback_until_ms
    if not called_back:
        if features.anonymous_rejection and event.withheld:
            phone.say(HangUp(leg, ANONYMITY_REJECTED), Note("anonymous caller refused", leg))
            return
        if features.forward_all:
            forward(phone, leg, features.forward_all, now_ms)
            return
        if features.do_not_disturb:
            phone.say(HangUp(leg, USER_BUSY), Note("do not disturb", leg, event.caller))
            return
    if phone.state is Call.IDLE and phone.out_of_order:
        refuse_out_of_order(phone, leg, now_ms)
    elif phone.state is Call.IDLE:
        phone.state = ring(phone, leg, now_ms, phone.ring_of(event.alert))
    elif _may_wait(phone):
        _wait(phone, leg, now_ms)
    elif features.forward_busy and not called_back:
        forward(phone, leg, features.forward_busy, now_ms)
    else:
        phone.say(HangUp(leg, USER_BUSY), Note("refused busy", leg))


def _may_wait(phone: PhoneMachine) -> bool:
    options = phone.options
    wanted = options.call_waiting and options.flash == "local" and not phone.no_waiting
    alone = not (phone.held or phone.waiting or phone.joined or phone.emergency)
    return phone.state is Call.TALKING and wanted and alone


def _wait(phone: PhoneMachine, leg: str, now_ms: float) -> None:
    phone.waiting = leg
    phone.waiting_due_ms = now_ms + _patience_ms(phone)
    caller = phone.caller(leg)
    phone.say(Alert(leg), Stimulus(Event.SOUND, tone="waiting"), WaitingCaller(caller))
    phone.say(Note("call waiting", leg, caller.number))


def ring(phone: PhoneMachine, leg: str, now_ms: float, cadence: str = "") -> Call:
    """Ring for an offered leg."""
    phone.leg = leg
    phone.due_ms = now_ms + _patience_ms(phone)
    caller = phone.caller(leg)
    phone.say(Alert(leg), Stimulus(Event.RING, caller=caller, cadence=cadence))
    phone.say(Note("ringing", leg, caller.number))
    return Call.RINGING


def _patience_ms(phone: PhoneMachine) -> int:
    times = phone.times
    return times.no_answer_ms if phone.features.forward_no_answer else times.ring_ms


def deliver_no_answer(phone: PhoneMachine, leg: str, now_ms: float) -> None:
    """Nobody has answered an offered leg in time."""
    number = phone.features.forward_no_answer
    if number and now_ms >= phone.callback_until_ms:
        forward(phone, leg, number, now_ms)
    else:
        phone.say(HangUp(leg, NO_ANSWER))


def refuse_out_of_order(phone: PhoneMachine, leg: str, now_ms: float) -> None:
    """The line of an offered leg cannot ring: nobody will answer there."""
    number = phone.features.forward_no_answer
    if number and now_ms >= phone.callback_until_ms:
        forward(phone, leg, number, now_ms)
    else:
        phone.say(HangUp(leg, DESTINATION_OUT_OF_ORDER), Note("refused: line out of order", leg))


def forward(phone: PhoneMachine, leg: str, number: str, now_ms: float) -> None:
    """Send an offered leg to another number: away, or joined here to a call of our own."""
    phone.say(Note("forwarded", leg, number))
    if phone.options.redirect:
        phone.say(Redirect(leg, number))
    elif phone.may_pair:
        phone.pair(leg, "", Forward(), number, now_ms)
    else:
        phone.say(HangUp(leg, USER_BUSY))


def take_back(phone: PhoneMachine, back: Returned, now_ms: float) -> Call:
    """A transfer has failed: its leg is the owner's again, by whatever way he can have it."""
    if phone.state is Call.IDLE:
        phone.leg, phone.recalls = back.leg, Call.TALKING
        phone.due_ms = now_ms + phone.times.recall_ms
        phone.say(Stimulus(Event.RING, caller=phone.caller(back.leg), cadence=FREE_RING))
        return Call.RECALLING
    if phone.state is Call.SEIZED and not phone.held and not phone.waiting:
        phone.leg = back.leg
        phone.forget_call()
        if back.on_hold:
            phone.say(Hold(back.leg, False))
        phone.connect(back.leg)
        phone.say(Stimulus(Event.SOUND, tone=""))
        return Call.TALKING
    if phone.state is Call.TALKING and not (phone.held or phone.waiting or phone.emergency):
        if not back.on_hold:
            phone.say(Hold(back.leg, True))
        phone.held, phone.consulting = back.leg, False
        return phone.state
    phone.say(HangUp(back.leg, NORMAL_CLEARING))
    return phone.state


def take_free(phone: PhoneMachine, free: Free, now_ms: float) -> Call:
    """A busy number is free: ring for the leg that has reached it."""
    phone.leg = free.leg
    phone.recalls = Call.TALKING if free.answered else Call.ALERTING
    if free.media:
        phone.recalls = Call.EARLY_MEDIA
    phone.due_ms = now_ms + phone.times.redial_ring_ms
    phone.say(
        Stimulus(Event.RING, cadence=FREE_RING), Note("number is free", free.leg, free.number)
    )
    return Call.RECALLING
