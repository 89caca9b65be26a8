"""All that can happen to a telephone. Each row is an edge of the diagram in the documentation."""

from __future__ import annotations

from firmware.legs import LegAnswered, LegEnded, Progress
from firmware.line_values import (
    DialFailed,
    Dialled,
    FeatureDialled,
    Flashed,
    HungUp,
    KeyPressed,
    Lifted,
    Seized,
)
from firmware.phone import basic, multiparty, vertical
from firmware.phone.rows import Row, row
from firmware.phone.values import Call, OutOfOrder, Role, Timeout

_C = Call
_DOWN = (_C.IDLE, _C.RINGING, _C.RECALLING)
"""Where putting the receiver back may lead: a leg that is held or waits makes it ring."""
_PROGRESS = (_C.ALERTING, _C.EARLY_MEDIA)
_SETTING_UP = (_C.CALLING, *_PROGRESS)

TRANSITIONS: dict[tuple[Call, type], Row] = {
    (_C.IDLE, Seized): row(basic.seize, _C.SEIZED),
    (_C.SEIZED, Seized): row(basic.seize, _C.SEIZED),
    (_C.SEIZED, DialFailed): row(basic.failed, _C.SEIZED),
    (_C.SEIZED, Dialled): row(basic.place, _C.CALLING, _C.SEIZED),
    (_C.SEIZED, FeatureDialled): row(vertical.feature, _C.SEIZED, _C.CALLING, _C.MENU),
    (_C.SEIZED, Flashed): row(multiparty.flash_seized, _C.SEIZED, _C.ANSWERING, _C.TALKING),
    (_C.RINGING, Lifted): row(basic.answer, _C.ANSWERING),
    (_C.RINGING, LegEnded): row(basic.caller_gone, _C.IDLE),
    (_C.RINGING, Timeout): row(basic.nobody_home, _C.IDLE),
    (_C.RINGING, OutOfOrder): row(basic.line_gone, _C.IDLE),
    (_C.RECALLING, Lifted): row(basic.recalled, _C.TALKING, *_PROGRESS),
    (_C.RECALLING, Progress): row(basic.recalled_progress, _C.RECALLING),
    (_C.RECALLING, LegAnswered): row(basic.recalled_answered, _C.RECALLING),
    (_C.RECALLING, LegEnded): row(basic.caller_gone, _C.IDLE),
    (_C.RECALLING, OutOfOrder): row(basic.recall_over, _C.IDLE),
    (_C.RECALLING, Timeout): row(basic.recall_over, _C.IDLE),
    (_C.ANSWERING, LegAnswered): row(basic.confirmed, _C.TALKING),
    (_C.ANSWERING, LegEnded): row(basic.far_end_gone, _C.SEIZED),
    (_C.EARLY_MEDIA, KeyPressed): row(basic.key, _C.EARLY_MEDIA),
    (_C.TALKING, KeyPressed): row(basic.key, _C.TALKING),
    (_C.TALKING, Flashed): row(
        multiparty.flash_talking, _C.TALKING, _C.SEIZED, _C.ANSWERING, _C.THREE_WAY
    ),
    (_C.TALKING, LegEnded): row(basic.far_end_gone, _C.SEIZED),
    (_C.THREE_WAY, KeyPressed): row(basic.key, _C.THREE_WAY),
    (_C.THREE_WAY, Flashed): row(multiparty.flash_three_way, _C.TALKING, _C.THREE_WAY),
    (_C.THREE_WAY, LegEnded): row(multiparty.first_of_three_gone, _C.TALKING),
    (_C.MENU, KeyPressed): row(basic.menu_key, _C.MENU),
    (_C.MENU, Flashed): row(multiparty.flash_seized, _C.SEIZED, _C.TALKING),
    **{
        (state, event): one
        for state in _SETTING_UP
        for event, one in {
            Progress: row(basic.progress, *_PROGRESS),
            LegAnswered: row(basic.answered, _C.TALKING),
            LegEnded: row(basic.call_failed, _C.SEIZED),
            Flashed: row(multiparty.flash_setting_up, *_SETTING_UP, _C.TALKING),
            Timeout: row(basic.give_up, _C.SEIZED),
        }.items()
    },
    **{
        (state, HungUp): row(basic.rest, *_DOWN)
        for state in (_C.SEIZED, *_SETTING_UP, _C.ANSWERING, _C.TALKING, _C.THREE_WAY, _C.MENU)
    },
}
"""By the leg at hand."""

_ANY = tuple(Call)

BACKGROUND: dict[tuple[Role, type], Row] = {
    (Role.HELD, LegEnded): row(multiparty.held_gone, *_ANY),
    (Role.WAITING, LegEnded): row(multiparty.waiting_gone, *_ANY),
    (Role.WAITING, Timeout): row(multiparty.waiting_too_long, *_ANY),
    (Role.JOINED, LegEnded): row(multiparty.second_of_three_gone, _C.TALKING),
}
"""By the role of another leg: none of these rows is about the leg at hand."""
