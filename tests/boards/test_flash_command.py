"""`tasks.py flash` refuses what is wrong before it opens a port, and shows how far it is."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.flash import command, session
from boards.flash.pace import Pace, spoken
from boards.flash.report import Json, Lines
from boards.keys import signer
from boards.loader_run import Progress
from tests.boards.images import signed_image

NOWHERE = "/dev/ttyUSB77"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = command.main(["--port", NOWHERE, "--json", *words])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["event"] == "result"
    return status, result["failure"]


def test_an_image_that_is_right_gets_as_far_as_the_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, key = signed_image(tmp_path, 1_000)
    for given_key in (str(key), signer(key)[0].hex()):
        status, said = run(capsys, "--board", "qemu-arm64", "--key", given_key, str(image))
        assert status == session.NO_PORT
        assert NOWHERE in said


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        ("damaged", "is not sent: the part initramfs is damaged"),
        ("short", "is not sent: the image ends after"),
        ("another's", "is not sent: the signature is wrong"),
        ("text", "is not sent: this is no image of Loopstart"),
        ("absent", "cannot be read (No such file or directory)"),
    ],
)
def test_an_image_that_is_wrong_is_not_sent(
    what: str, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, key = signed_image(tmp_path, 9_000)
    octets = bytearray(image.read_bytes())
    if what == "damaged":
        octets[-1] ^= 1
    elif what == "short":
        del octets[-1]
    elif what == "another's":
        (tmp_path / "other").mkdir()
        _, key = signed_image(tmp_path / "other", 1)
    elif what == "text":
        octets[:] = b"#!/bin/sh\n" * 100
    image.write_bytes(octets)
    if what == "absent":
        image.unlink()
    status, said = run(capsys, "--board", "qemu-arm64", "--key", str(key), str(image))
    assert status == session.REFUSED
    assert wanted in said


def test_a_rescue_system_goes_alone_or_beside_an_image_to_its_own_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, key = signed_image(tmp_path, 1_000)
    rescue, _ = signed_image(tmp_path, 1_000, rescue=True)
    how = ("--board", "qemu-arm64", "--key", str(key))
    for words in (("--rescue", str(rescue)), ("--rescue", str(rescue), str(image))):
        status, said = run(capsys, *how, *words)
        assert status == session.NO_PORT
        assert NOWHERE in said
    status, said = run(capsys, *how, str(rescue))
    assert status == session.REFUSED
    assert "is not sent: this is a rescue system: it goes to its own place" in said
    status, said = run(capsys, *how, "--rescue", str(image))
    assert status == session.REFUSED
    assert "is not sent: this is a system for a slot: flash it without --rescue" in said
    status, said = run(capsys, *how)
    assert status == session.WRONG
    assert "give an IMAGE, or a rescue system as --rescue IMAGE, or both" in said


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        ("damaged", "is not sent: the part initramfs is damaged"),
        ("another's", "is not sent: the signature is wrong"),
    ],
)
def test_a_rescue_system_that_is_wrong_is_refused_as_an_image_is(
    what: str, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rescue, key = signed_image(tmp_path, 9_000, rescue=True)
    if what == "damaged":
        octets = bytearray(rescue.read_bytes())
        octets[-5_000] ^= 1
        rescue.write_bytes(octets)
    else:
        (tmp_path / "other").mkdir()
        _, key = signed_image(tmp_path / "other", 1)
    how = ("--board", "qemu-arm64", "--key", str(key))
    status, said = run(capsys, *how, "--rescue", str(rescue))
    assert status == session.REFUSED
    assert wanted in said


def test_an_image_for_another_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, key = signed_image(tmp_path, 1_000, board="lantiq-vgv7510")
    status, said = run(capsys, "--board", "qemu-arm64", "--key", str(key), str(image))
    assert status == session.REFUSED
    assert "for the board lantiq-vgv7510, this is qemu-arm64" in said


def test_a_board_that_is_not_flashed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = run(capsys, "--board", "sim", str(tmp_path / "x"))
    assert status == session.REFUSED
    assert "the board sim is not one that is flashed" in said
    status, said = run(capsys, "--board", "no-such", str(tmp_path / "x"))
    assert status == session.WRONG
    assert "there is no board `no-such`" in said


def test_a_key_that_is_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    status, said = run(capsys, "--board", "qemu-arm64", str(tmp_path / "x"))
    assert status == session.REFUSED
    assert "Give the 64 digits that `python3 tasks.py keys` said" in said


def test_an_address_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, key = signed_image(tmp_path, 1_000)
    how = ("--key", str(key), "--via", "tftp", "--address", "192.0.2.300")
    status, said = run(capsys, "--board", "qemu-arm64", *how, str(image))
    assert status == session.WRONG
    assert "write it as 192.0.2.2/24" in said


# --- what is shown ---


def test_a_pipe_gets_a_line_now_and_then_with_rate_and_time_left() -> None:
    out = io.StringIO()
    lines = Lines(out)
    for second in range(101):
        lines.progress(Progress(second * 1_000, 100_000, second * 1_000), float(second))
    said = out.getvalue().splitlines()
    assert said[0] == "  0 %    - kB/s  -:-- left"
    assert said[5] == " 50 %    1.0 kB/s  0:50 left"
    assert said[-1] == "100 %    1.0 kB/s  0:00 left"
    assert len(said) == 11


def test_what_was_there_already_counts_as_done_and_not_as_fast() -> None:
    out = io.StringIO()
    shown = Json(out)
    shown.progress(Progress(50_000, 100_000, 0), 0.0)
    shown.progress(Progress(50_000, 100_000, 2_000, 2_000), 2.0)
    last = json.loads(out.getvalue().splitlines()[-1])
    assert (last["done"], last["rate"], last["remaining_s"]) == (52_000, 1_000.0, 48.0)


@given(st.lists(st.tuples(st.floats(0, 60), st.integers(0, 10**6)), max_size=50))
def test_a_pace_is_never_negative(steps: list[tuple[float, int]]) -> None:
    pace, now, sent = Pace(), 0.0, 0
    for seconds, octets in steps:
        now, sent = now + seconds, sent + octets
        pace.note(sent, now)
        assert pace.rate is None or pace.rate > 0


@pytest.mark.parametrize(
    ("seconds", "wanted"), [(None, "-:--"), (0, "0:00"), (65.4, "1:05"), (3_725, "1:02:05")]
)
def test_times_as_people_read_them(seconds: float | None, wanted: str) -> None:
    assert spoken(seconds) == wanted
