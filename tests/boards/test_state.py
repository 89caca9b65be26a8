"""Boot state: U-Boot's own tools read it, and no power cut leaves a board without one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards import environment
from boards.state import (
    MOST,
    TRIES,
    BootState,
    before_writing,
    boot,
    installed,
    marked_good,
    newest,
    next_write,
    to_be_tried,
    with_try_back,
)

NUMBERS = st.integers(0, MOST)
STATES = st.builds(
    BootState, st.integers(0, MOST - 2), st.sampled_from("ab"), NUMBERS, st.integers(0, 3), NUMBERS
)
BLANK = bytes(4096)


def written(blocks: tuple[bytes, bytes], state: BootState) -> tuple[bytes, bytes]:
    index, octets = next_write(*blocks, state)
    return (octets, blocks[1]) if index == 0 else (blocks[0], octets)


def counts(blocks: tuple[bytes, bytes]) -> BootState:
    found = newest(*blocks)
    assert found is not None
    return found[1]


@given(STATES)
def test_a_state_comes_back(state: BootState) -> None:
    block = state.to_bytes()
    assert len(block) == 4096
    assert BootState.from_bytes(block) == state


@given(st.binary(max_size=64))
def test_any_octets_are_a_state_or_none(octets: bytes) -> None:
    assert BootState.from_bytes(octets) is None
    assert BootState.from_bytes(octets + BLANK[len(octets) :]) is None


@given(STATES, st.integers(0, 4095), st.integers(1, 255))
def test_no_octet_of_a_block_changes_unnoticed(state: BootState, at: int, change: int) -> None:
    block = bytearray(state.to_bytes())
    block[at] ^= change
    assert BootState.from_bytes(bytes(block)) is None


@pytest.mark.parametrize(
    "values",
    [
        {"seq": "1", "slot": "c", "tries": "3", "good": "0", "floor": "0"},
        {"seq": "1", "slot": "a", "tries": "3", "good": "4", "floor": "0"},
        {"seq": "-1", "slot": "a", "tries": "3", "good": "0", "floor": "0"},
        {"seq": "100000000", "slot": "a", "tries": "3", "good": "0", "floor": "0"},
        {"seq": "1", "slot": "a", "tries": "", "good": "0", "floor": "0"},
        {"seq": "1", "slot": "a", "tries": "3", "good": "0"},
    ],
)
def test_a_block_that_says_what_cannot_be_does_not_count(values: dict[str, str]) -> None:
    assert BootState.from_bytes(environment.encode(values)) is None


@given(STATES, STATES, st.integers(0, 4096), st.booleans())
def test_a_write_torn_anywhere_leaves_the_old_state_or_the_new(
    old: BootState, new: BootState, cut: int, backwards: bool
) -> None:
    before = written(written((BLANK, BLANK), old), old)
    assert counts(before) == BootState(2, old.slot, old.tries, old.good, old.floor)
    index, octets = next_write(*before, new)
    assert before[index] != octets
    torn = octets[:cut] + before[index][cut:]
    if backwards:
        torn = before[index][:cut] + octets[cut:]
    after = (torn, before[1]) if index == 0 else (before[0], torn)
    wanted = BootState(3, new.slot, new.tries, new.good, new.floor)
    assert counts(after) in (counts(before), wanted)
    if torn == octets:
        assert counts(after) == wanted
    assert counts(written(after, new)).slot == new.slot, "and the next write counts"


@given(STATES, st.lists(st.integers(0, 8), min_size=8, max_size=8, unique=True))
def test_a_write_torn_by_sectors_in_any_order_leaves_the_old_state_or_the_new(
    state: BootState, done: list[int]
) -> None:
    before = written((BLANK, BLANK), installed())
    index, octets = next_write(*before, state)
    torn = bytearray(before[index])
    for sector in done[: done[0]]:
        torn[sector * 512 : sector * 512 + 512] = octets[sector * 512 : sector * 512 + 512]
    after = (bytes(torn), before[1]) if index == 0 else (before[0], bytes(torn))
    assert counts(after).seq in (1, 2)


@given(st.lists(STATES, min_size=1, max_size=8))
def test_the_writer_alternates_and_the_last_write_counts(states: list[BootState]) -> None:
    blocks, indices = (BLANK, BLANK), []
    for number, state in enumerate(states, start=1):
        indices.append(next_write(*blocks, state)[0])
        blocks = written(blocks, state)
        assert counts(blocks).seq == number
        assert counts(blocks).slot == state.slot
    assert indices == [number % 2 for number in range(len(states))]


def test_a_damaged_block_is_the_one_that_is_written() -> None:
    blocks = written(written((BLANK, BLANK), installed()), installed("b"))
    assert counts(blocks).slot == "b"
    damaged = (blocks[0], BLANK)
    assert counts(damaged).slot == "a"
    assert next_write(*damaged, installed())[0] == 1


def test_two_blank_blocks_say_nothing() -> None:
    assert newest(BLANK, b"\xff" * 4096) is None


# --- what boots ---


def test_a_new_slot_that_never_says_that_it_is_good_falls_back_to_the_old_one() -> None:
    old = marked_good(installed("a"), 5, None)
    target, state = boot(to_be_tried(old))
    assert (target, state and state.tries) == ("b", 0)
    assert state is not None
    target, state = boot(state)
    assert target == "a"
    assert state is not None
    assert state.is_good("a")
    assert not state.is_good("b")


def test_two_good_slots_that_both_break_end_in_rescue_and_stay_there() -> None:
    state: BootState | None = marked_good(to_be_tried(marked_good(installed(), 1, None)), 2, 1)
    targets = []
    for _ in range(8):
        assert state is not None
        target, after = boot(state)
        targets.append(target)
        state = after or state
    assert targets == ["b"] * TRIES + ["a"] * TRIES + ["rescue"] * 2


def test_a_slot_that_is_being_written_is_never_fallen_back_to() -> None:
    both = marked_good(to_be_tried(marked_good(installed(), 1, None)), 2, 1)
    writing = before_writing(both)
    assert not writing.is_good(writing.idle)
    assert writing.is_good(writing.slot)
    broken = BootState(9, writing.slot, 0, writing.good, 0)
    assert boot(broken)[0] == "rescue"


def test_a_slot_that_was_written_and_not_booted_yet_is_written_again_not_the_good_one() -> None:
    state = to_be_tried(marked_good(installed("a"), 5, None))
    assert (state.slot, state.spare) == ("b", "b")
    writing = before_writing(state)
    assert boot(writing)[0] == "a", "meanwhile the good one boots"
    assert writing.spare == "b"
    assert to_be_tried(writing) == state


@given(STATES)
def test_the_only_good_slot_is_never_the_one_to_be_written(state: BootState) -> None:
    if state.good in (1, 2):
        assert not state.is_good(state.spare)
        assert before_writing(state).good == state.good
    elif state.good == 3:
        assert state.spare == state.idle, "and of two good ones not the one in use"
    target, _ = boot(before_writing(state))
    assert target != state.spare
    assert boot(to_be_tried(state))[0] == state.spare
    assert before_writing(before_writing(state)) == before_writing(state)


@given(STATES, NUMBERS, st.none() | NUMBERS)
def test_the_floor_never_falls_nor_rises_above_either_slot(
    state: BootState, version: int, other: int | None
) -> None:
    after = marked_good(state, version, other)
    assert after.floor >= state.floor
    if after.floor > state.floor:
        assert other is not None
        assert after.floor == min(version, other)
    assert after.is_good(after.slot)


@given(STATES)
def test_every_boot_ends(state: BootState) -> None:
    state = BootState(state.seq, state.slot, state.tries % 8, state.good, state.floor)
    for _ in range(8 + TRIES + 1):
        target, after = boot(state)
        if after is None:
            assert target == "rescue"
            return
        state = after
    raise AssertionError("it never came to rescue")


# --- a board that nobody has configured ---


def powered_on(state: BootState, times: int, configured: bool) -> list[str]:
    """Where each start leads, if each comes so far as to give its try back."""
    targets: list[str] = []
    for _ in range(times):
        target, after = boot(state)
        targets.append(target)
        state = with_try_back(after, configured) if after is not None else state
    return targets


def test_a_new_board_never_comes_to_rescue_however_often_it_is_switched_on() -> None:
    assert powered_on(installed(), 20, configured=False) == ["a"] * 20


def test_a_version_just_flashed_waits_to_be_provisioned_and_is_on_trial_then() -> None:
    """Given a board whose defaults were restored, with a good slot beside the flashed one."""
    flashed = to_be_tried(marked_good(installed("a"), 5, None))
    assert powered_on(flashed, 20, configured=False) == ["b"] * 20
    waits = boot(flashed)[1]
    assert waits is not None
    provisioned = boot(with_try_back(waits, configured=False))[1]
    assert provisioned == BootState(flashed.seq, "b", 0, 1, 0)
    assert boot(provisioned)[0] == "a", "it has not registered"


def test_an_update_that_finds_no_configuration_falls_back() -> None:
    update = to_be_tried(marked_good(installed("a"), 5, None))
    assert powered_on(update, 3, configured=True) == ["b", "a", "a"]


@given(STATES, st.booleans())
def test_a_try_that_comes_back_changes_nothing_else(state: BootState, configured: bool) -> None:
    after = with_try_back(state, configured)
    assert after == BootState(state.seq, state.slot, after.tries, state.good, state.floor)
    assert after.tries >= state.tries
    assert after.tries in (state.tries, 1, TRIES)
    if state.is_good(state.slot) or not state.is_good(state.idle):
        assert boot(after)[0] == state.slot
    elif configured:
        assert after == state


# --- U-Boot's own tools ---

needs_mkenvimage = pytest.mark.skipif(
    shutil.which("mkenvimage") is None, reason="needs Debian's u-boot-tools"
)
needs_printenv = pytest.mark.skipif(
    shutil.which("fw_printenv") is None, reason="needs Debian's libubootenv-tool"
)


@needs_mkenvimage
@pytest.mark.parametrize("padding", ["0x00", "0xff"])
def test_what_mkenvimage_makes_is_read(tmp_path: Path, padding: str) -> None:
    text, block = tmp_path / "state.txt", tmp_path / "state.bin"
    text.write_text("seq=1f\nslot=b\ntries=2\ngood=1\nfloor=a\n")
    command = ["mkenvimage", "-s", "0x1000", "-p", padding, "-o", str(block), str(text)]
    subprocess.run(command, check=True)
    assert BootState.from_bytes(block.read_bytes()) == BootState(31, "b", 2, 1, 10)
    if padding == "0x00":
        assert block.read_bytes() == BootState(31, "b", 2, 1, 10).to_bytes()


@needs_printenv
def test_fw_printenv_reads_what_is_written(tmp_path: Path) -> None:
    disk, config = tmp_path / "disk.bin", tmp_path / "fw_env.config"
    state = BootState(0xABC, "a", 3, 2, 0x10)
    disk.write_bytes(bytes(0x20000) + state.to_bytes())
    config.write_text(f"{disk} 0x20000 0x1000\n")
    asked = ["fw_printenv", "-c", str(config), "seq", "slot", "tries", "good", "floor"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert sorted(said.stdout.split()) == sorted(
        ["seq=abc", "slot=a", "tries=3", "good=2", "floor=10"]
    )
    disk.write_bytes(bytes(0x20000) + bytes(0x1000))
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert "abc" not in said.stdout
