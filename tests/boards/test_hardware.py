"""Tables for images and flashing: what does not add up is named by key, with the remedy."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.board import Board, known_boards, load_board
from boards.hardware import Flash, Region, regions
from boards.schema import ConfigError, loads

ROOT = Path(__file__).parents[2]
QEMU = (ROOT / "boards/qemu-arm64.toml").read_text()
MIB = 1024 * 1024


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(Board, text, "b.toml")
    (found,) = caught.value.problems
    return str(found)


def test_the_flash_of_qemu_arm64_adds_up() -> None:
    flash = load_board("qemu-arm64").flash
    assert flash is not None
    assert flash.state_blocks == (0x100 * 512, 0x108 * 512)
    in_order = sorted((region for _, region in regions(flash)), key=lambda one: one.offset)
    assert flash.mailbox is not None
    assert in_order[:3] == [flash.state, flash.mailbox, flash.boot]
    assert flash.boot.offset == MIB, "the first megabyte is for MBR, state and mailbox"
    assert flash.unused == MIB - flash.state.octets - flash.mailbox.octets
    for before, behind in pairwise(in_order[2:]):
        assert before.end == behind.offset
    assert in_order[-1].end == flash.octets
    assert min(flash.slot_a.octets, flash.slot_b.octets) >= 40 * MIB, "an image fits"
    assert flash.rescue.octets >= 16 * MIB, "and so does rescue"


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ("offset = 0x06000000", "offset = 0x05fffe00", "flash.slot_b.offset", "within slot_a"),
        ("offset = 0x06000000", "offset = 0x06000001", "flash.slot_b.offset", "no multiple"),
        ("octets = 0x02000000", "octets = 0x02000200", "flash.persistent.octets", "smaller"),
        ("octets = 0x00002000", "octets = 0x00001000", "flash.state.octets", "give it 0x2000"),
        ("octets = 0x04000000  ", "octets = 0x03000000  ", "flash.slot_b.octets", "equal"),
        ("erase_octets = 512", "erase_octets = 700", "flash.erase_octets", "block_octets"),
        ("erase_octets = 512", "erase_octets = 131072", "flash.state.octets", "no multiple"),
        ("offset = 0x0a000000\n", "", "flash.persistent", "`offset` is missing"),
        ('prompt = "=> "', 'prompt = ""', "loader.prompt", "must not be empty"),
        ("check_address = 0x430", "check_address = 0x420", "loader.check_address", "overlap"),
        ('"loady {address:x}"', '"loady {addres:x}"', "loader.load", "may name address"),
        ('"loady {address:x}"', '"loady {address"', "loader.load", "may name address"),
        ('"loady {address:x}"', '"loady"', "loader.load", "does not name address"),
        ("write {address:x} {block:x} {blocks:x}", "write", "loader.write", "does not name"),
        ('write = "virtio', '# write = "virtio', "loader", "`write` is missing"),
        ('architecture = "arm64"', 'architecture = "arm65"', "architecture", '"arm64"'),
        ('architecture = "arm64"', "", "flash", "add `architecture`"),
        ('kind = "console"\nkey = "r"', 'kind = "gpio"', "button.line", "gpioinfo"),
        ('key = "r"', "", "button.key", "one key"),
        ("baud = 115200", "baud = 1", "console.baud", "1200 to 4000000"),
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_named(old: str, new: str, key: str, words: str) -> None:
    assert old in QEMU
    said = problem(QEMU.replace(old, new, 1))
    assert re.match(rf"b\.toml:\d+: {re.escape(key)}: ", said), said
    assert words in said


def test_a_board_may_be_lines_alone() -> None:
    board = loads(Board, 'name = "b"\n[[lines]]\ndriver = "sim"\n')
    assert (board.flash, board.console, board.leds) == (None, None, ())


def test_leds_have_meanings() -> None:
    text = 'name = "b"\n[[lines]]\ndriver = "sim"\n[[leds]]\npath = "green:voice"\nmeaning = "{}"\n'
    assert loads(Board, text.format("registered")).leds[0].meaning == "registered"
    assert '"network"' in problem(text.format("online"))


def laid_out(octets: int, laid: dict[str, Region]) -> Flash:
    boot, state, rescue = laid["boot"], laid["state"], laid["rescue"]
    return Flash(boot, state, rescue, laid["slot_a"], laid["slot_b"], laid["persistent"], octets)


SIZES = st.integers(1, 40).map(lambda count: count * 512)


@given(
    st.lists(SIZES, min_size=6, max_size=6),
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
    st.permutations(["boot", "state", "rescue", "slot_a", "slot_b", "persistent"]),
    st.integers(0, 5),
)
def test_regions_that_follow_one_another_are_good_and_moved_ones_are_not(
    sizes: list[int], gaps: list[int], order: list[str], moved: int
) -> None:
    laid: dict[str, Region] = {}
    at = 0
    for name, octets, gap in zip(order, sizes, gaps, strict=True):
        length = 8192 if name == "state" else sizes[0] if name.startswith("slot") else octets
        laid[name] = Region(at + gap * 512, length)
        at = laid[name].end
    assert Flash.problem(laid_out(at, laid)) is None
    assert Flash.problem(laid_out(at - 512, laid)) is not None
    name = order[moved]
    behind = laid[name].end
    worse = {**laid, name: Region(laid[name].offset, behind - laid[name].offset + 4 * 512 + 512)}
    assert Flash.problem(laid_out(at, worse)) is not None


def test_every_board_stands_in_the_manual_and_its_file_has_its_name() -> None:
    manual = (ROOT / "boards/README.md").read_text()
    for name in known_boards():
        assert load_board(name).name == name
        assert f"| `{name}` |" in manual
