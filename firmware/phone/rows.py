"""One row of a telephone's tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware.phone.values import Call, PhoneEvent

if TYPE_CHECKING:
    from firmware.phone.machine import PhoneMachine

Action = Callable[["PhoneMachine", PhoneEvent, float], Call]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: what is done, and where that may lead."""

    action: Action
    leads_to: frozenset[Call]


def row(action: Action, *leads_to: Call) -> Row:
    """A row of a table."""
    return Row(action, frozenset(leads_to))
