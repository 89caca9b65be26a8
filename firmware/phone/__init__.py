"""A telephone: joins its line to legs, three of them at most. Tables without I/O.

`PhoneMachine` takes news of the line (`firmware.line`) and events of legs (`firmware.legs`), and
answers commands for both. What a row does stands in `basic`, `multiparty` and `vertical`; pairs of
legs that have left the telephone are `pairs`' own machines, and so is repeat dialling (`redial`).
"""

from firmware.phone.features import Features
from firmware.phone.machine import PhoneMachine
from firmware.phone.table import BACKGROUND, TRANSITIONS
from firmware.phone.values import (
    Call,
    Note,
    PhoneInput,
    PhoneOptions,
    PhoneOutput,
    PhoneTimes,
    Remember,
    Role,
    Speak,
    Supervise,
    WaitingCaller,
    WaitingOver,
)

__all__ = [
    "BACKGROUND", "Call", "Features", "Note", "PhoneInput", "PhoneMachine", "PhoneOptions",
    "PhoneOutput", "PhoneTimes", "Remember", "Role", "Speak", "Supervise", "TRANSITIONS",
    "WaitingCaller", "WaitingOver",
]  # fmt: skip
