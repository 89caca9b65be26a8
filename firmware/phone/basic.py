"""What a telephone does with one leg: call, be called, talk, hang up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware.causes import NO_ANSWER, NORMAL_CLEARING, Cause, tone_of
from firmware.legs import Answer, HangUp, Hold, LegEnded, Progress, SendDigit
from firmware.line_values import DialFailed, Dialled, Event, KeyPressed, Stimulus
from firmware.phone.incoming import deliver_no_answer, refuse_out_of_order, ring
from firmware.phone.pairs import Attended
from firmware.phone.values import Call, Note, PhoneEvent, Speak, Supervise
from firmware.phone.vertical import take_number

if TYPE_CHECKING:
    from firmware.phone.machine import PhoneMachine


def seize(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    return Call.SEIZED


def failed(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    assert isinstance(event, DialFailed), "the table says so"
    phone.forget_call()
    phone.say(Note("dial failed", "", f"{event.reason}: {event.digits}"))
    return Call.SEIZED


def place(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    assert isinstance(event, Dialled), "the table says so"
    if phone.pending:
        return take_number(phone, event, now_ms)
    return phone.call(event.number, event.emergency, now_ms)


def progress(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    assert isinstance(event, Progress), "the table says so"
    if event.media:
        phone.connect(phone.leg)
        phone.say(Stimulus(Event.SOUND, tone=""))
        return Call.EARLY_MEDIA
    if phone.state is Call.CALLING:
        phone.say(Stimulus(Event.SOUND, tone="ringback"))
        return Call.ALERTING
    return phone.state


def answered(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    """The far end of a call that was made here has answered."""
    phone.say(Supervise(True))
    return talk(phone)


def confirmed(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    """Our answer has arrived."""
    return talk(phone)


def talk(phone: PhoneMachine) -> Call:
    """Join ear and mouth to the leg at hand."""
    phone.due_ms = None
    phone.connect(phone.leg)
    phone.say(Stimulus(Event.SOUND, tone=""), Note("talking", phone.leg))
    return Call.TALKING


def answer(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    phone.due_ms = None
    phone.say(Answer(phone.leg))
    return Call.ANSWERING


def recalled(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    """The receiver is lifted while it rings for a leg of its own."""
    if phone.recalls is Call.TALKING:
        phone.say(Hold(phone.leg, False))
        return talk(phone)
    phone.due_ms = now_ms + phone.times.setup_ms
    if phone.recalls is Call.EARLY_MEDIA:
        phone.connect(phone.leg)
    else:
        phone.say(Stimulus(Event.SOUND, tone="ringback"))
    return phone.recalls


def recalled_progress(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    assert isinstance(event, Progress), "the table says so"
    if event.media and phone.recalls is Call.ALERTING:
        phone.recalls = Call.EARLY_MEDIA
    return Call.RECALLING


def recalled_answered(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    """The leg that it rings for is answered meanwhile."""
    phone.recalls = Call.TALKING
    return Call.RECALLING


def recall_over(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    phone.say(HangUp(phone.drop(), NO_ANSWER), Stimulus(Event.STOP_RING))
    return Call.IDLE


def rest(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    """The receiver is put back: every leg ends, rings, or goes to another."""
    phone.connect()
    phone.say(Supervise(False))
    transfers = _transfers(phone)
    answered, emergency = phone.state is Call.TALKING, phone.emergency
    leg, held, joined = phone.drop(), phone.held, phone.joined
    phone.held = phone.joined = ""
    phone.forget_call()
    if joined:
        _part_three(phone, leg, joined, now_ms)
        return Call.IDLE
    if held and transfers and not emergency:
        number = phone.caller(leg).number
        phone.pair(held, leg, Attended(answered), number, now_ms)
        return Call.IDLE
    if leg:
        phone.say(HangUp(leg, NORMAL_CLEARING))
    if held:
        return ring_back(phone, held, Call.TALKING, "", now_ms)
    if phone.waiting:
        return ring(phone, phone.drop_waiting(), now_ms)
    return Call.IDLE


def _transfers(phone: PhoneMachine) -> bool:
    """True if whoever hangs up now wants his two legs joined."""
    reached = phone.state in (Call.ALERTING, Call.EARLY_MEDIA, Call.TALKING)
    wanted = phone.options.transfer_on_hang_up and phone.may_pair
    return reached and wanted and phone.consulting


def _part_three(phone: PhoneMachine, leg: str, joined: str, now_ms: float) -> None:
    if phone.options.transfer_on_hang_up and phone.may_pair:
        number = phone.caller(joined).number
        phone.pair(leg, joined, Attended(True, first_held=False), number, now_ms)
    else:
        phone.say(HangUp(leg, NORMAL_CLEARING), HangUp(joined, NORMAL_CLEARING))


def ring_back(phone: PhoneMachine, leg: str, recalls: Call, cadence: str, now_ms: float) -> Call:
    """Ring for a leg of the telephone's own."""
    phone.leg, phone.recalls = leg, recalls
    phone.due_ms = now_ms + phone.times.recall_ms
    phone.say(Stimulus(Event.RING, caller=phone.caller(leg), cadence=cadence))
    phone.say(Note("ringing back", leg))
    return Call.RECALLING


def caller_gone(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    phone.drop()
    phone.say(Stimulus(Event.STOP_RING))
    return Call.IDLE


def nobody_home(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    phone.say(Stimulus(Event.STOP_RING))
    deliver_no_answer(phone, phone.drop(), now_ms)
    return Call.IDLE


def line_gone(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    """The line fails while it rings."""
    phone.say(Stimulus(Event.STOP_RING))
    refuse_out_of_order(phone, phone.drop(), now_ms)
    return Call.IDLE


def give_up(phone: PhoneMachine, _: PhoneEvent, now_ms: float) -> Call:
    phone.connect()
    phone.say(HangUp(phone.drop(), NORMAL_CLEARING), Stimulus(Event.END, tone="reorder"))
    phone.forget_call()
    return Call.SEIZED


def call_failed(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    assert isinstance(event, LegEnded), "the table says so"
    phone.connect()
    phone.say(Stimulus(Event.END, tone=tone_of(event.cause)))
    phone.say(Note("call failed", phone.drop(), _say(event.cause)))
    phone.forget_call()
    return Call.SEIZED


def far_end_gone(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    """The far end hung up. Who waits is heard still; who is held can be taken back."""
    assert isinstance(event, LegEnded), "the table says so"
    phone.connect()
    phone.say(Supervise(False))
    phone.say(Note("far end hung up", phone.drop(), _say(event.cause)))
    phone.forget_call()
    if phone.waiting:
        return Call.SEIZED
    if phone.held:
        phone.say(Stimulus(Event.DIAL, tone="recall"))
        return Call.SEIZED
    normal = event.cause.q850 == NORMAL_CLEARING
    tone = "" if normal else tone_of(event.cause)
    phone.say(Stimulus(Event.END, tone=tone, by_far_end=normal))
    return Call.SEIZED


def key(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    assert isinstance(event, KeyPressed), "the table says so"
    for leg in (phone.leg, phone.joined):
        if leg:
            phone.say(SendDigit(leg, event.digit, event.audible))
    return phone.state


def menu_key(phone: PhoneMachine, event: PhoneEvent, now_ms: float) -> Call:
    """1 says the address, 2 the registration, 3 the balance, any other key all of it."""
    assert isinstance(event, KeyPressed), "the table says so"
    said = {"1": "address", "2": "registration", "3": "balance"}
    phone.say(Speak(said.get(event.digit, "all")))
    return Call.MENU


def _say(cause: Cause) -> str:
    status = f" SIP {cause.status}" if cause.status else ""
    return f"Q.850 {cause.q850}{status} {cause.text}".rstrip()
