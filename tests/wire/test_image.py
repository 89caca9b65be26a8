"""Images: each refusal by its own words, and no octet that changes unnoticed."""

from __future__ import annotations

import hashlib
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from firmware.wire import ed25519
from firmware.wire.image import HEADER, UNSIGNED, Header, Part, part_of, seal
from firmware.wire.image_check import (
    BadHash,
    BadSignature,
    BelowFloor,
    ImageCheck,
    ImageError,
    MissingSignature,
    NotAnImage,
    TrailingOctets,
    Truncated,
    WrongBoard,
)
from tests.micropython import COMMAND, needs_micropython

ROOT = Path(__file__).parents[2]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
PARTS = {"kernel": b"kernel " * 40, "empty": b"", "root": bytes(range(256)) * 3}


def trusted(message: bytes, signature: bytes) -> bool:
    return ed25519.verify(PUBLIC, message, signature)


def made(
    board: str = "qemu-arm64",
    version: int = 7,
    parts: dict[str, bytes] = PARTS,
    key: Ed25519PrivateKey | None = KEY,
) -> bytes:
    described = tuple(part_of(name, [octets]) for name, octets in parts.items())
    header = Header(board, version, "0.7.0", described)
    return seal(header, key.sign if key else None) + b"".join(parts.values())


IMAGE = made()
START = len(IMAGE) - sum(len(octets) for octets in PARTS.values())


def check(image: bytes, floor: int = 0, step: int = 1000) -> dict[str, bytes]:
    """What the checker gives of each part, of an image that comes in steps of so many octets."""
    checker = ImageCheck("qemu-arm64", floor, trusted)
    found: dict[str, bytes] = {}
    for at in range(0, len(image), step):
        for piece in checker.feed(image[at : at + step]):
            assert len(found.get(piece.part, b"")) == piece.offset
            found[piece.part] = found.get(piece.part, b"") + piece.octets
    checker.finish()
    assert checker.complete
    return found


@pytest.mark.parametrize("step", [1, 7, 64, 100_000])
def test_a_good_image_comes_out_in_its_parts(step: int) -> None:
    assert check(IMAGE, floor=7, step=step) == {
        name: octets for name, octets in PARTS.items() if octets
    }


def test_what_the_header_says_is_known_when_it_is_proved() -> None:
    checker = ImageCheck("qemu-arm64", 0, trusted)
    assert checker.feed(IMAGE[: START - 1]) == []
    assert checker.board is None
    checker.feed(IMAGE[START - 1 : START])
    assert [checker.board, checker.version, checker.label] == ["qemu-arm64", 7, "0.7.0"]
    assert checker.parts[0] == ("kernel", 280, hashlib.sha256(PARTS["kernel"]).digest())


def with_octet(at: int, value: int) -> bytes:
    return IMAGE[:at] + bytes([value]) + IMAGE[at + 1 :]


REFUSALS: dict[str, tuple[bytes, int, type[ImageError], str]] = {
    "wrong board": (made(board="rpi-ag1171"), 0, WrongBoard, "is for the board rpi-ag1171"),
    "below the floor": (IMAGE, 8, BelowFloor, "version 7; the oldest that this board takes is 8"),
    "bad hash": (with_octet(START + 300, 0xFF), 0, BadHash, "the part root is damaged"),
    "bad hash at the end": (with_octet(len(IMAGE) - 1, 0), 0, BadHash, "part root is damaged"),
    "no signature": (made(key=None), 0, MissingSignature, "nobody has signed"),
    "another key": (made(key=OTHER), 0, BadSignature, "signed with another key"),
    "damaged header": (with_octet(20, 0xFF), 0, BadSignature, "the header is damaged"),
    "no image": (b"\x7fELF" + IMAGE, 0, NotAnImage, "no image of Loopstart"),
    "format to come": (with_octet(9, 2), 0, NotAnImage, "format 2, 1 is known here"),
    "no parts": (with_octet(10, 0), 0, NotAnImage, "0 parts"),
    "too short": (IMAGE[:-1], 0, Truncated, "767 of 768 octets of its part root"),
    "within the header": (IMAGE[: START - 1], 0, Truncated, "within its header"),
    "nothing": (b"", 0, Truncated, "after 0 octets"),
    "too long": (IMAGE + b"\0", 0, TrailingOctets, "goes on after its last part"),
}


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("step", [1, 100_000])
def test_each_refusal_has_its_own_words(name: str, step: int) -> None:
    image, floor, kind, words = REFUSALS[name]
    with pytest.raises(ImageError) as caught:
        check(image, floor, step)
    assert type(caught.value) is kind
    assert words in str(caught.value)


def test_the_refusals_differ_in_their_words() -> None:
    said: dict[type[ImageError], str] = {}
    for image, floor, kind, _ in REFUSALS.values():
        with pytest.raises(kind) as caught:
            check(image, floor)
        said.setdefault(kind, str(caught.value))
    assert len(set(said.values())) == len(said) == 8


@given(st.integers(0, len(IMAGE) - 1), st.integers(1, 255), st.integers(1, 400))
def test_no_octet_changes_unnoticed(at: int, change: int, step: int) -> None:
    with pytest.raises(ImageError):
        check(with_octet(at, IMAGE[at] ^ change), step=step)


@given(st.integers(0, len(IMAGE) - 1), st.integers(1, 30))
def test_no_octet_is_lost_or_doubled_unnoticed(at: int, count: int) -> None:
    with pytest.raises(ImageError):
        check(IMAGE[:at] + IMAGE[at + count :])
    with pytest.raises(ImageError):
        check(IMAGE[: at + count] + IMAGE[at:])


@given(st.binary(max_size=400), st.booleans())
def test_any_octets_are_refused_as_an_image_is(octets: bytes, begun: bool) -> None:
    with pytest.raises(ImageError):
        check(IMAGE[:11] + octets if begun else octets)


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=16)


@given(
    TEXT,
    st.integers(1, 2**32 - 1),
    TEXT,
    st.dictionaries(TEXT, st.binary(), min_size=1, max_size=8),
)
def test_what_is_made_is_read_back_and_agrees_with_the_description(
    board: str, version: int, label: str, parts: dict[str, bytes]
) -> None:
    described = tuple(part_of(name, [octets[:1], octets[1:]]) for name, octets in parts.items())
    header = Header(board, version, label, described)
    image = seal(header, KEY.sign) + b"".join(parts.values())
    checker = ImageCheck(board, version, trusted)
    checker.feed(image)
    checker.finish()
    assert (checker.version, checker.label) == (version, label)
    assert tuple(Part(*part) for part in checker.parts) == described
    read = HEADER.parse(image)
    assert (read.board, read.version, read.label) == (board, version, label)
    assert [(one.name, one.octets, one.sha256) for one in read.parts] == checker.parts


def test_an_unsigned_image_is_taken_only_where_signatures_are_not_asked_for() -> None:
    checker = ImageCheck("qemu-arm64", 0, None)
    checker.feed(made(key=None))
    checker.finish()
    assert made(key=None)[START - 64 : START] == UNSIGNED


@pytest.mark.parametrize(
    "header",
    [
        Header("", 1, "l", (part_of("p", []),)),
        Header("b" * 33, 1, "l", (part_of("p", []),)),
        Header("b", 0, "l", (part_of("p", []),)),
        Header("b", 2**32, "l", (part_of("p", []),)),
        Header("b", 1, "zwölf", (part_of("p", []),)),
        Header("b", 1, "l", ()),
        Header("b", 1, "l", (part_of("p", []), part_of("p", []))),
        Header("b", 1, "l", tuple(part_of(f"p{index}", []) for index in range(9))),
    ],
)
def test_what_cannot_be_made_is_said(header: Header) -> None:
    with pytest.raises(ValueError):
        header.to_bytes()


def test_forty_megabytes_are_not_held() -> None:
    piece = bytes(64 * 1024)
    part = part_of("root", (piece for _ in range(640)))
    checker = ImageCheck("b", 0, trusted)
    checker.feed(seal(Header("b", 1, "l", (part,)), KEY.sign))
    tracemalloc.start()
    for _ in range(640):
        checker.feed(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    checker.finish()
    assert peak < 400_000


@needs_micropython
def test_micropython_checks_an_image_too(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(IMAGE)
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from firmware.wire.ed25519 import verify
from firmware.wire.image_check import ImageCheck, ImageError
def check(octets):
    checker = ImageCheck("qemu-arm64", 7, lambda *signed: verify({PUBLIC!r}, *signed))
    found = []
    try:
        for at in range(0, len(octets), 100):
            found += [len(one.octets) for one in checker.feed(octets[at : at + 100])]
        checker.finish()
    except ImageError as error:
        return type(error).__name__
    return sum(found)
good = open({str(image)!r}, "rb").read()
print(check(good), check(good[:-1]), check(good[:-1] + b"x"), check(good[:30] + b"x" + good[31:]))
"""
    said = subprocess.run([COMMAND, "-c", program], capture_output=True, text=True)
    assert said.stdout.split() == ["1048", "Truncated", "BadHash", "BadSignature"], said.stderr
