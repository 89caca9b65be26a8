"""An image on its way into a slot: whatever is cut off where, no slot boots that is not whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.slot import TABLE_OCTETS, Placing, decode_table, slot_octets
from boards.state import Slot
from firmware.update.progress import ProgressFile, Received
from firmware.update.slots import SlotFull, SlotWriter
from firmware.wire.image import assemble
from firmware.wire.image_check import BadHash, ImageCheck, ImageError, Truncated, WrongBoard
from firmware.wire.provisioning import Firmware

PARTS = {"kernel": b"kernel" * 900, "initramfs": b"i" * 4_096, "root": b"hsqs" * 1_001}
IMAGE = assemble("qemu-arm64", 7, "1.7", PARTS, None)
OLD = slot_octets(assemble("qemu-arm64", 6, "1.6", PARTS, None), "qemu-arm64")
ROOM = 65_536


class PaperFlash:
    """Two slots in memory. What was not flushed may be lost, each write by itself."""

    def __init__(self) -> None:
        self.slots: dict[Slot, bytearray] = {"a": bytearray(ROOM), "b": bytearray(ROOM)}
        self.slots["b"][: len(OLD)] = OLD
        self.durable = bytes(self.slots["b"])
        self.pending: list[tuple[int, bytes]] = []
        self.left: int | None = None
        """Writes until the power goes; None: it stays."""
        self.worn: int | None = None
        """An octet that the medium does not keep."""

    def room(self, slot: Slot) -> int:
        return ROOM

    def write(self, slot: Slot, offset: int, octets: bytes) -> None:
        assert slot == "b", "the slot in use is written"
        self._spend()
        self.slots[slot][offset : offset + len(octets)] = octets
        self.pending.append((offset, octets))

    def read(self, slot: Slot, offset: int, octets: int) -> bytes:
        found = bytearray(self.slots[slot][offset : offset + octets])
        if self.worn is not None and offset <= self.worn < offset + octets:
            found[self.worn - offset] ^= 1
        return bytes(found)

    def flush(self) -> None:
        self._spend()
        self.durable, self.pending = bytes(self.slots["b"]), []

    def _spend(self) -> None:
        if self.left is not None:
            if not self.left:
                raise OSError(5, "the power is gone")
            self.left -= 1


def wanted(image: bytes = IMAGE, version: int = 7) -> Firmware:
    return Firmware("qemu-arm64", version, "1.7", len(image), "ab" * 32)


def write(flash: PaperFlash, image: bytes, step: int, board: str = "qemu-arm64") -> SlotWriter:
    check = ImageCheck(board, 0, None)
    writer = SlotWriter(flash, "b", wanted(), check, Placing)
    for at in range(0, len(image), step):
        writer.feed(image[at : at + step])
    writer.finish()
    return writer


@given(st.integers(1, 9_000))
def test_the_slot_is_as_the_flasher_makes_it(step: int) -> None:
    flash = PaperFlash()
    write(flash, IMAGE, step)
    assert flash.durable[: TABLE_OCTETS + len(IMAGE)] == slot_octets(IMAGE, "qemu-arm64")


@settings(max_examples=200)
@given(st.integers(0, 30), st.integers(300, 3_000), st.lists(st.booleans(), max_size=30))
def test_a_cut_at_any_write_leaves_a_whole_slot_or_none(
    writes: int, step: int, kept: list[bool]
) -> None:
    flash = PaperFlash()
    flash.left = writes
    try:
        write(flash, IMAGE, step)
    except OSError:
        slot = bytearray(flash.durable)
        for (offset, octets), keeps in zip(flash.pending, kept, strict=False):
            if keeps:
                slot[offset : offset + len(octets)] = octets
        flash.durable = bytes(slot)
    found = decode_table(flash.durable[:TABLE_OCTETS])
    if found is None:
        return
    version, _ = found
    image = IMAGE if version == 7 else OLD[TABLE_OCTETS:]
    assert flash.durable[TABLE_OCTETS : TABLE_OCTETS + len(image)] == image


@pytest.mark.parametrize(
    "worn", [TABLE_OCTETS, TABLE_OCTETS + 6_000, TABLE_OCTETS + len(IMAGE) - 1]
)
def test_a_medium_that_has_not_kept_it_is_found_out(worn: int) -> None:
    flash = PaperFlash()
    flash.worn = worn
    with pytest.raises(ImageError):
        write(flash, IMAGE, 4_096)
    assert decode_table(flash.durable[:TABLE_OCTETS]) is None


@pytest.mark.parametrize(
    ("image", "board", "error"),
    [
        (IMAGE[:-1], "qemu-arm64", Truncated),
        (IMAGE[:-1] + b"x", "qemu-arm64", BadHash),
        (IMAGE, "pc-dahdi", WrongBoard),
        (IMAGE + b"x", "qemu-arm64", ImageError),
        (assemble("qemu-arm64", 8, "1.8", PARTS, None), "qemu-arm64", ImageError),
    ],
)
def test_what_is_refused_does_not_boot(image: bytes, board: str, error: type[Exception]) -> None:
    flash = PaperFlash()
    with pytest.raises(error):
        write(flash, image, 4_096, board)
    assert decode_table(flash.durable[:TABLE_OCTETS]) is None


def test_an_image_that_is_too_large_leaves_the_slot_as_it_is() -> None:
    flash = PaperFlash()
    large = Firmware("qemu-arm64", 7, "1.7", ROOM - TABLE_OCTETS + 1, "ab" * 32)
    with pytest.raises(SlotFull, match="the slot 61440"):
        SlotWriter(flash, "b", large, ImageCheck("qemu-arm64", 0, None), Placing)
    assert decode_table(bytes(flash.slots["b"][:TABLE_OCTETS])) is not None


class Paper:
    """Keeps progress on paper."""

    def __init__(self) -> None:
        self.kept: Received | None = None

    def load(self) -> Received | None:
        return self.kept

    def keep(self, received: Received) -> None:
        self.kept = received


LARGE = assemble("qemu-arm64", 7, "1.7", {**PARTS, "root": bytes(range(256)) * 160}, None)


def writer_of(flash: PaperFlash, paper: Paper, sha256: str = "ab" * 32) -> SlotWriter:
    firmware = Firmware("qemu-arm64", 7, "1.7", len(LARGE), sha256)
    return SlotWriter(flash, "b", firmware, ImageCheck("qemu-arm64", 0, None), Placing, paper)


def broken_off(octets: int, monkeypatch: pytest.MonkeyPatch) -> tuple[PaperFlash, Paper]:
    """So much of the image has come when the program ends; each 8 KiB it was noted."""
    monkeypatch.setattr("firmware.update.slots._KEPT_OCTETS", 8_192)
    flash, paper = PaperFlash(), Paper()
    writer = writer_of(flash, paper)
    for at in range(0, octets, 1_024):
        writer.feed(LARGE[at : min(octets, at + 1_024)])
    return flash, paper


@pytest.mark.parametrize("octets", [8_192, 20_000, 30_720, len(LARGE)])
def test_after_a_restart_it_goes_on_from_what_the_slot_holds(
    octets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    flash, paper = broken_off(octets, monkeypatch)
    again = writer_of(flash, paper)
    assert again.taken == (octets if octets == len(LARGE) else octets // 8_192 * 8_192)
    again.feed(LARGE[again.taken :])
    again.finish()
    assert flash.durable[: TABLE_OCTETS + len(LARGE)] == slot_octets(LARGE, "qemu-arm64")


@pytest.mark.parametrize("spoiled", [TABLE_OCTETS, TABLE_OCTETS + 9_000])
def test_what_the_slot_no_longer_holds_is_fetched_again(
    spoiled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    flash, paper = broken_off(20_000, monkeypatch)
    flash.slots["b"][spoiled] ^= 1
    again = writer_of(flash, paper)
    assert again.taken == 0
    again.feed(LARGE)
    again.finish()
    assert flash.durable[: TABLE_OCTETS + len(LARGE)] == slot_octets(LARGE, "qemu-arm64")


def test_a_place_in_another_image_is_not_gone_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    flash, paper = broken_off(20_000, monkeypatch)
    assert writer_of(flash, paper, "cd" * 32).taken == 0
    assert paper.kept is not None
    paper.kept = Received("ab" * 32, "a", paper.kept.octets, paper.kept.digest)
    assert writer_of(flash, paper).taken == 0


@given(
    st.integers(1, len(LARGE)), st.integers(0, ROOM - 1), st.integers(0, 255), st.integers(-9, 9)
)
def test_nothing_unproved_is_gone_on_from(octets: int, at: int, value: int, more: int) -> None:
    flash, paper = PaperFlash(), Paper()
    flash.slots["b"][TABLE_OCTETS : TABLE_OCTETS + octets] = LARGE[:octets]
    flash.slots["b"][at] = value
    digest = hashlib.sha256(LARGE[:octets]).hexdigest()
    paper.kept = Received("ab" * 32, "b", octets + more, digest)
    taken = writer_of(flash, paper).taken
    assert taken in (0, octets)
    assert bytes(flash.slots["b"][TABLE_OCTETS : TABLE_OCTETS + taken]) == LARGE[:taken]


def test_a_record_that_cannot_be_read_or_kept_costs_no_more_than_time(tmp_path: Path) -> None:
    file = ProgressFile(tmp_path / "state" / "received.json")
    assert file.load() is None
    received = Received("ab" * 32, "b", 5, "cd" * 32)
    file.keep(received)
    assert file.load() == received
    for wrong in ("", "[1]", '{"sha256": 1}', '{"sha256": "ab", "slot": "c"}', "[" * 5_000):
        (tmp_path / "state" / "received.json").write_text(wrong)
        assert file.load() is None
    (tmp_path / "file").write_text("")
    ProgressFile(tmp_path / "file" / "received.json").keep(received)
