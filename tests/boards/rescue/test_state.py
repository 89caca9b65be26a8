"""What rescue makes of the boot state is what the rest of the house makes of it."""

from __future__ import annotations

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from boards import state as house
from boards.rescue import state as rescue

SLOTS: list[Literal["a", "b"]] = ["a", "b"]
states = st.builds(
    house.BootState,
    seq=st.integers(1, 0xFFFF_FF00),
    slot=st.sampled_from(SLOTS),
    tries=st.integers(0, 5),
    good=st.integers(0, 3),
    floor=st.integers(0, 0xFFFF_FFFF),
)


def same(ours: rescue.State | None, theirs: house.BootState | None) -> bool:
    return (ours and ours.to_bytes()) == (theirs and theirs.to_bytes())


@given(states)
def test_a_block_is_read_and_written_alike(state: house.BootState) -> None:
    ours = rescue.read(state.to_bytes())
    assert same(ours, state)
    assert ours is not None
    assert ours.spare == state.spare


@given(st.binary(max_size=64) | states.map(house.BootState.to_bytes), states, st.integers(0, 4095))
def test_what_counts_is_the_same(first: bytes, second: house.BootState, damaged: int) -> None:
    block = bytearray(second.to_bytes())
    for blocks in ([first, bytes(block)], [bytes(block), first]):
        index, ours = rescue.newest(blocks)
        theirs = house.newest(*blocks)
        assert (index, same(ours, theirs[1])) == (theirs[0], True) if theirs else index == -1
    block[damaged] ^= 0x10
    assert rescue.read(bytes(block)) is None


@given(states)
def test_where_it_goes_is_the_same(state: house.BootState) -> None:
    ours = rescue.read(state.to_bytes())
    assert ours is not None
    target, counted = rescue.boot(ours)
    expected, written = house.boot(state)
    assert target == expected
    octets = house.next_write(state.to_bytes(), b"", written)[1] if written else None
    assert (counted and counted.to_bytes()) == octets


@given(states)
def test_a_slot_is_given_up_and_taken_by_the_same_steps(state: house.BootState) -> None:
    ours = rescue.read(state.to_bytes())
    assert ours is not None
    _, octets = house.next_write(state.to_bytes(), b"", house.before_writing(state))
    assert rescue.before_writing(ours).to_bytes() == octets
    emptied = house.BootState.from_bytes(octets)
    assert emptied is not None
    _, octets = house.next_write(octets, b"", house.to_be_tried(emptied))
    assert rescue.to_be_tried(rescue.before_writing(ours), ours.spare).to_bytes() == octets


def test_a_blank_board_boots_what_was_written() -> None:
    assert same(rescue.to_be_tried(None, "a"), house.installed("a"))
