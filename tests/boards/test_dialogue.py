"""Flashing over a serial console, against a simulated U-Boot: nothing breaks the slot in use."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.board import load_board
from boards.dialogue import FlashDialogue, RescueDialogue
from boards.hardware import Flash, Loader, Region
from boards.loader_run import Progress, Told, Write
from boards.prompt import FlashFailed
from boards.state import BootState, boot, installed, marked_good, newest, next_write
from tests.boards.uboot import FakeBoard

KIB = 1024
FLASH = Flash(
    boot=Region(16 * KIB, 16 * KIB),
    state=Region(0, 8 * KIB),
    rescue=Region(32 * KIB, 32 * KIB),
    slot_a=Region(64 * KIB, 192 * KIB),
    slot_b=Region(256 * KIB, 192 * KIB),
    persistent=Region(448 * KIB, 64 * KIB),
    octets=512 * KIB,
)
OLD = random.Random(1).randbytes(150 * KIB + 77)
NEW = random.Random(2).randbytes(150 * KIB + 99)


def loader() -> Loader:
    found = load_board("qemu-arm64").loader
    assert found is not None
    return found


def dialogue(image: bytes = NEW, version: int = 2, writes: tuple[Write, ...] = ()) -> FlashDialogue:
    return FlashDialogue(FLASH, loader(), image, version, 0.0, writes)


Fault = Callable[[bytes], bytes]


def play(
    run: RescueDialogue,
    board: FakeBoard,
    on: bool = True,
    to_board: Fault = bytes,
    to_us: Fault = bytes,
) -> list[Told | Progress]:
    """Run both until the dialogue is over, in simulated time; gives its events."""
    now, said = 0.0, board.power_on(0.0) if on else b""
    events: list[Told | Progress] = []
    for _ in range(100_000):
        out = run.receive(to_us(said), now) if said else run.tick(now)
        events += run.take_events()
        if run.over:
            board.feed(out, now)
            return events
        said = board.feed(to_board(out), now) if out else board.tick(now)
        if not out and not said:
            now = max(now, min(run.deadline, now + 1.0))
    raise AssertionError("it does not come to an end")


def state_of(flash: bytearray) -> BootState | None:
    first, second = (bytes(flash[at : at + 4096]) for at in FLASH.state_blocks)
    found = newest(first, second)
    return found[1] if found else None


def slot(flash: bytearray, name: str) -> bytes:
    region = FLASH.slot_a if name == "a" else FLASH.slot_b
    return bytes(flash[region.offset : region.end])


def used(floor: int = 0) -> bytearray:
    """The flash of a board that runs OLD in slot a."""
    flash = bytearray(FLASH.octets)
    flash[FLASH.slot_a.offset : FLASH.slot_a.offset + len(OLD)] = OLD
    good = marked_good(installed(), 1, None)
    state = BootState(good.seq, good.slot, good.tries, good.good, floor)
    blocks = bytes(4096), bytes(4096)
    index, octets = next_write(*blocks, state)
    at = FLASH.state_blocks[index]
    flash[at : at + 4096] = octets
    return flash


# --- what a technician sees ---


def test_a_blank_board_is_flashed_and_boots() -> None:
    board = FakeBoard(bytearray(FLASH.octets))
    run = dialogue(writes=(Write(FLASH.boot.offset, b"boot.scr" * 99),))
    events = play(run, board)
    assert run.failure == ""
    assert board.mode == "booted"
    assert slot(board.flash, "a").startswith(NEW)
    assert board.flash[FLASH.boot.offset :].startswith(b"boot.scr" * 99)
    state = state_of(board.flash)
    assert state is not None
    assert boot(state)[0] == "a"
    progress = [one for one in events if isinstance(one, Progress)]
    assert progress[-1].done == progress[-1].total == len(NEW) + 8 * 99
    assert [one.sent for one in progress] == sorted(one.sent for one in progress)
    told = [one.text for one in events if isinstance(one, Told)]
    assert told[-1] == "everything is written and proved; the board boots slot a"


def test_the_slot_in_use_is_left_alone_and_the_other_one_tried_once() -> None:
    board = FakeBoard(used())
    before = slot(board.flash, "a")
    run = dialogue()
    play(run, board)
    assert (run.failure, run.slot) == ("", "b")
    assert slot(board.flash, "a") == before
    assert slot(board.flash, "b").startswith(NEW)
    state = state_of(board.flash)
    assert state is not None
    target, after = boot(state)
    assert target == "b"
    assert after is not None
    assert boot(after)[0] == "a", "if it does not prove good"


def test_the_state_is_written_last() -> None:
    board = FakeBoard(used())
    play(dialogue(), board)
    writes = [one.split() for one in board.commands if one.startswith("virtio write")]
    assert [int(one[3], 16) < 16 for one in writes] == [False] * (len(writes) - 1) + [True]


def test_what_is_there_already_is_not_sent_again() -> None:
    board = FakeBoard(used())
    play(dialogue(), board)
    again = dialogue()
    board.mode, board.commands = "off", []
    events = play(again, board)
    assert again.failure == ""
    assert again.slot == "b", "not the good one, while the new one is not proved"
    assert [one.sent for one in events if isinstance(one, Progress)][-1] == 0
    assert len([one for one in board.commands if one.startswith("loady")]) == 2, "states alone"


def test_a_board_that_waits_at_its_prompt_need_not_be_switched_off() -> None:
    board = FakeBoard(used())
    board.at_prompt()
    run = dialogue()
    events = play(run, board, on=False)
    assert run.failure == ""
    assert not any("switch the board" in one.text for one in events if isinstance(one, Told))


def test_a_key_that_stops_the_countdown_before_it_was_heard_of() -> None:
    board, run = FakeBoard(used()), dialogue()
    key = run.tick(0.0)
    said = board.power_on(0.0) + board.feed(key, 0.0)
    assert b"autoboot" in said
    assert b"=> " in said
    out = run.receive(said, 0.1)
    assert run.take_events() == [Told("at the prompt of the boot loader")]
    assert out.endswith(b"virtio scan")


def test_a_board_that_is_off_is_asked_for() -> None:
    board, run, now = FakeBoard(used()), dialogue(), 0.0
    run.tick(now)
    run.tick(5.0)
    (told,) = run.take_events()
    assert isinstance(told, Told)
    assert "switch the board off and on" in told.text
    run.receive(board.power_on(6.0), 6.0)
    assert not run.over


# --- what goes wrong ---


def failure(run: FlashDialogue, board: FakeBoard, **how: object) -> str:
    play(run, board, **how)  # type: ignore[arg-type]
    assert run.failure
    return run.failure


def test_a_silent_board() -> None:
    said = failure(dialogue(), FakeBoard(used()), on=False)
    assert "nothing for two minutes: is it switched on" in said


def test_a_board_that_talks_of_something_else() -> None:
    run = dialogue()
    for second in range(0, 130, 5):
        run.receive(b"\r\nold-router login: ", float(second))
    assert 'never said "Hit any key' in run.failure


def test_a_boot_loader_that_lacks_a_command() -> None:
    board = FakeBoard(used())
    board.unknown = {"loady"}
    assert "not know `loady`" in failure(dialogue(), board) or board.mode == "prompt"


def test_a_flash_that_does_not_keep_what_is_written() -> None:
    board = FakeBoard(used())
    board.keeps = lambda block: block != FLASH.slot_b.offset // 512 + 5
    before = slot(board.flash, "a"), state_of(board.flash)
    said = failure(dialogue(), board)
    assert f"at {FLASH.slot_b.offset:#x}" in said
    assert (slot(board.flash, "a"), state_of(board.flash)) == before


def test_a_disk_that_is_smaller_than_its_file_says() -> None:
    board = FakeBoard(used()[: FLASH.slot_b.offset])
    assert "has failed on the board" in failure(dialogue(), board)


def test_an_image_that_is_too_large() -> None:
    with pytest.raises(FlashFailed, match="a slot of this board 196608"):
        dialogue(bytes(FLASH.slot_a.octets + 1))


def test_an_image_below_the_floor() -> None:
    board = FakeBoard(used(floor=3))
    assert "version 2; the oldest that this board takes is 3" in failure(dialogue(), board)
    assert not any("write" in one for one in board.commands)


def test_a_cable_that_is_pulled() -> None:
    board, left = FakeBoard(used()), [40_000]

    def wire(octets: bytes) -> bytes:
        left[0] -= len(octets)
        return octets if left[0] > 0 else b""

    said = failure(dialogue(), board, to_board=wire)
    assert "run the same command again" in said
    run = dialogue()
    board.mode = "off"
    play(run, board)
    assert run.failure == ""


# --- what must hold whatever happens ---


@pytest.mark.parametrize("seed", range(12))
def test_over_a_bad_wire_it_arrives_as_it_is_or_it_is_said(seed: int) -> None:
    chance = random.Random(seed)

    def noise(octets: bytes) -> bytes:
        if octets and chance.random() < 0.01:
            at = chance.randrange(len(octets))
            return octets[:at] + bytes([chance.randrange(256)]) + octets[at + 1 :]
        return octets

    board = FakeBoard(used())
    before = slot(board.flash, "a")
    run = dialogue()
    play(run, board, to_board=noise, to_us=noise)
    assert slot(board.flash, "a") == before
    state = state_of(board.flash)
    assert state is not None
    if boot(state)[0] == "b":
        assert slot(board.flash, "b").startswith(NEW)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 170 * KIB), st.booleans())
def test_power_that_goes_at_any_octet_leaves_a_board_that_boots_and_a_run_that_goes_on(
    budget: int, twice: bool
) -> None:
    board = FakeBoard(used())
    if twice:
        play(dialogue(), board)
        state = state_of(board.flash)
        assert state is not None
        board.mode = "off"
    board.write_budget = budget
    image = NEW[::-1] if twice else NEW
    run = dialogue(image)
    play(run, board)
    state = state_of(board.flash)
    assert state is not None
    target = boot(state)[0]
    assert target != "rescue"
    assert slot(board.flash, target).startswith((OLD, NEW, image) if target == "b" else OLD)
    assert slot(board.flash, "a").startswith(OLD)
    again = dialogue(image)
    later = FakeBoard(board.flash)
    events = play(again, later)
    assert again.failure == ""
    assert slot(later.flash, "b").startswith(image)
    sent = [one.sent for one in events if isinstance(one, Progress)][-1]
    if run.failure and budget > 4 * 4096 + 2 * 64 * KIB:
        assert sent <= len(image) - 64 * KIB + 512, "what had arrived is not sent again"


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_whatever_the_board_says_nothing_breaks(said: list[bytes]) -> None:
    run, now = dialogue(), 0.0
    for octets in said:
        run.receive(octets, now)
        now += 7
        run.tick(now)
    assert run.deadline >= 0


def test_a_command_is_carried_out_only_as_it_was_echoed() -> None:
    board = FakeBoard(used())

    def twisted(octets: bytes) -> bytes:
        """One digit of the first writing command changes on the way."""
        if b"virtio write" in octets and not any("write" in one for one in board.commands):
            twisted_once.append(octets)
            if len(twisted_once) == 1:
                return octets.replace(b" 42000000 ", b" 42800000 ")
        return octets

    twisted_once: list[bytes] = []
    run = dialogue()
    play(run, board, to_board=twisted)
    assert len(twisted_once) == 2, "it was given again"
    assert run.failure == ""
    assert not any("42800000" in one for one in board.commands)
