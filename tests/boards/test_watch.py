"""After flashing: the console says that the device has registered, or why it has not."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.flash.watch import REFUSED_S, REGISTER_S, BootWatch
from firmware.log import KeyValueFormatter

BOARDS = Path(__file__).resolve().parents[2] / "boards"
KERNEL = b"\r\nStarting kernel ...\r\n\r\n"


def log_line(event: str, port: str = "", **extra: object) -> bytes:
    """What the device's own log says, as a console shows it."""
    record = logging.makeLogRecord({"levelname": "INFO", "msg": event, **extra})
    return KeyValueFormatter(port).format(record).encode() + b"\r\n"


def registered(port: str = "") -> bytes:
    return log_line("registered", port, server="pop1.example:5060", status=200, text="OK")


def test_a_device_that_registers() -> None:
    boot = BootWatch(("line1",), 0.0)
    said = boot.receive(KERNEL + registered(), 9.0)
    assert said == ["the kernel starts", "has registered with pop1.example:5060"]
    assert (boot.over, boot.failure, boot.server) == (True, "", "pop1.example:5060")


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_octets_may_come_in_any_pieces(lengths: list[int]) -> None:
    boot, octets = BootWatch(("line1",), 0.0), KERNEL + b"noise \xff\x1b[0m\r\n" + registered()
    for length in lengths:
        boot.receive(octets[:length], 1.0)
        octets = octets[length:]
    boot.receive(octets, 1.0)
    assert (boot.over, boot.failure) == (True, "")


def test_each_of_several_lines_has_to_register() -> None:
    boot = BootWatch(("line1", "line2"), 0.0)
    boot.receive(registered("line1") * 2, 1.0)
    assert not boot.over
    boot.receive(registered("line2"), 2.0)
    assert (boot.over, boot.failure) == (True, "")


def test_a_refusal_is_told_with_its_words_and_may_still_be_overcome() -> None:
    refused = log_line("not registered", server="pop1", status=403, text="wrong \\ password")
    boot = BootWatch(("line1",), 0.0)
    (said,) = boot.receive(refused, 5.0)
    assert said.startswith("is not registered with pop1: 403 wrong \\ password. ")
    assert "tasks.py provision" in said
    assert not boot.over
    again = BootWatch(("line1",), 0.0)
    again.receive(refused, 5.0)
    again.receive(registered(), 10.0)
    assert (again.over, again.failure) == (True, "")
    boot.receive(b"", 5.0 + REFUSED_S)
    assert (boot.over, boot.failure) == (True, said)


def test_a_board_that_finds_nothing_to_start_is_not_waited_for() -> None:
    boot = BootWatch(("line1",), 0.0)
    said = boot.receive(b"Loopstart: starting a, tries left: 2\r\nLoopstart: a is damaged\r\n", 1.0)
    assert said[0] == "starting slot a, tries left: 2"
    boot.receive(b"Loopstart: starting rescue, tries left: 0\r\n", 2.0)
    assert boot.over
    assert "starts neither slot, and waits to be flashed anew: slot a is damaged" in boot.failure
    words = (BOARDS / "boot.script").read_text()
    assert all(one in words for one in ("Loopstart: starting", "is damaged", "nothing here starts"))


def test_a_board_without_a_configuration_is_told_what_it_needs() -> None:
    boot = BootWatch(("line1",), 0.0)
    said = boot.receive(
        KERNEL + b"Loopstart: version 7 runs from slot a\r\nLoopstart: not provisioned: no\r\n", 9.0
    )
    assert said == ["the kernel starts", "version 7 runs from slot a"]
    assert boot.over
    assert "python3 tasks.py provision" in boot.failure
    words = (BOARDS / "image" / "system" / "init").read_text()
    assert 'echo "Loopstart: $1" >"$CONSOLE"' in words
    assert all(f'say "{one}' in words for one in ("not provisioned", "version ", "the program has"))


@pytest.mark.parametrize(
    ("octets", "wanted"),
    [
        (b"", "said nothing"),
        (b"U-Boot 2023.01\r\n=> ", "started no kernel"),
        (KERNEL + b"login: ", "has not registered within 180 seconds"),
        (KERNEL + b"[ 1.0] Kernel panic - not syncing: VFS\r\n", "its kernel stops"),
    ],
)
def test_why_not(octets: bytes, wanted: str) -> None:
    boot = BootWatch(("line1",), 0.0)
    boot.receive(octets, REGISTER_S - 1)
    assert boot.failure == "", "it is waited for as long as it may take"
    boot.receive(b"", REGISTER_S)
    assert wanted in boot.failure
