"""Rescue is written by the same dialogue as a slot, and touches neither slot nor boot state."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.dialogue import FlashDialogue, RescueDialogue
from boards.loader_run import Progress, Told, Write
from boards.prompt import FlashFailed
from tests.boards.test_dialogue import FLASH, KIB, NEW, loader, play, slot, state_of, used
from tests.boards.uboot import FakeBoard

RESCUE = random.Random(3).randbytes(31 * KIB + 5)
LARGE = random.Random(4).randbytes(FLASH.rescue.octets)
BOOT_PART = (Write(FLASH.boot.offset, b"boot.scr" * 99, blank_alone=True),)


def rescue_on(board: FakeBoard) -> bytes:
    return bytes(board.flash[FLASH.rescue.offset : FLASH.rescue.end])


def test_rescue_alone_leaves_slots_and_state_as_they_are() -> None:
    board = FakeBoard(used())
    before = bytes(board.flash[FLASH.slot_a.offset :]), bytes(board.flash[: FLASH.rescue.offset])
    run = RescueDialogue(FLASH, loader(), RESCUE, 0.0, BOOT_PART)
    events = play(run, board)
    assert run.failure == ""
    assert board.mode == "booted"
    assert rescue_on(board).startswith(RESCUE)
    after = bytes(board.flash[FLASH.slot_a.offset :]), bytes(board.flash[: FLASH.rescue.offset])
    assert after == before, "the boot part, too: the board is not blank"
    progress = [one for one in events if isinstance(one, Progress)]
    assert progress[-1].done == progress[-1].total == len(RESCUE)
    told = [one.text for one in events if isinstance(one, Told)]
    assert told[-1] == "the rescue system is written and proved; the board starts as it did before"


def test_on_a_blank_board_it_brings_the_boot_part_along() -> None:
    board = FakeBoard(bytearray(FLASH.octets))
    play(RescueDialogue(FLASH, loader(), RESCUE, 0.0, BOOT_PART), board)
    assert board.flash[FLASH.boot.offset :].startswith(b"boot.scr" * 99)
    assert rescue_on(board).startswith(RESCUE)
    assert state_of(board.flash) is None, "no slot is said to boot"


def test_both_in_one_run() -> None:
    board = FakeBoard(used())
    run = FlashDialogue(FLASH, loader(), NEW, 2, 0.0, BOOT_PART, None, RESCUE)
    events = play(run, board)
    assert run.failure == ""
    assert rescue_on(board).startswith(RESCUE)
    assert slot(board.flash, "b").startswith(NEW)
    progress = [one for one in events if isinstance(one, Progress)]
    assert progress[-1].done == progress[-1].total == len(RESCUE) + len(NEW)


def test_what_is_there_already_is_not_sent_again() -> None:
    board = FakeBoard(used())
    play(RescueDialogue(FLASH, loader(), RESCUE, 0.0), board)
    board.mode, board.commands = "off", []
    events = play(RescueDialogue(FLASH, loader(), RESCUE, 0.0), board)
    assert [one.sent for one in events if isinstance(one, Progress)][-1] == 0
    assert not any("write" in one for one in board.commands)


def test_a_rescue_system_that_is_too_large() -> None:
    with pytest.raises(FlashFailed, match="its place on this board 32768"):
        RescueDialogue(FLASH, loader(), bytes(FLASH.rescue.octets + 1), 0.0)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 32 * KIB))
def test_power_that_goes_at_any_octet_harms_no_slot_and_the_run_goes_on(budget: int) -> None:
    board = FakeBoard(used())
    board.write_budget = budget
    run = RescueDialogue(FLASH, loader(), LARGE, 0.0)
    play(run, board)
    assert board.flash[FLASH.slot_a.offset :] == used()[FLASH.slot_a.offset :]
    assert state_of(board.flash) == state_of(used())
    later = FakeBoard(board.flash)
    again = RescueDialogue(FLASH, loader(), LARGE, 0.0)
    play(again, later)
    assert again.failure == ""
    assert rescue_on(later) == LARGE
