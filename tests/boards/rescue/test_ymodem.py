"""Rescue receives by YMODEM from lrzsz, from our own sender, and over a bad line."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.rescue.ymodem import CAN, START_S, TRIES, YmodemReceiver, crc16
from boards.ymodem import YmodemSender


def send(octets: bytes, mangle: float = 0.0, seed: int = 0) -> tuple[YmodemReceiver, bytes]:
    """Our sender to our receiver; each step's octets are damaged or lost so often."""
    chance, now = random.Random(seed), 0.0
    sender, receiver = YmodemSender("a.img", octets, now), YmodemReceiver(now)
    file, to_sender, to_receiver = b"", receiver.tick(now), b""
    while not receiver.over and now < 2_000:
        to_receiver += sender.receive(to_sender, now)[0] if to_sender else sender.tick(now)
        if to_receiver and chance.random() < mangle:
            broken = bytearray(to_receiver)
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
            to_receiver = bytes(broken[chance.randrange(2) :])
        to_sender = receiver.receive(to_receiver, now)
        file += receiver.take()
        to_receiver = b""
        if not to_sender:
            now = max(now + 0.01, min(sender.deadline, receiver.deadline))
            to_sender = receiver.tick(now)
            if to_sender and chance.random() < mangle:
                to_sender = b""
    return receiver, file


def test_the_crc_is_that_of_the_reference() -> None:
    assert crc16(b"123456789") == 0x31C3


@given(st.binary(max_size=5_000))
def test_a_file_arrives_as_it_is(octets: bytes) -> None:
    receiver, file = send(octets)
    assert (receiver.failure, file) == ("", octets)
    assert (receiver.name, receiver.length) == ("a.img", len(octets))


@given(st.integers(0, 10_000))
def test_over_a_bad_line_it_arrives_or_is_refused(seed: int) -> None:
    octets = random.Random(seed).randbytes(4_321)
    receiver, file = send(octets, 0.2, seed)
    assert receiver.over
    assert receiver.failure or file == octets


@given(st.lists(st.binary(max_size=2_000), max_size=30))
def test_garbage_is_no_file_and_no_loop(parts: list[bytes]) -> None:
    receiver, now = YmodemReceiver(0.0), 0.0
    for part in parts:
        receiver.receive(part, now)
        now = max(now + 0.1, receiver.deadline)
        receiver.tick(now)
    for _ in range(int(START_S) + TRIES * 20):
        now = max(now, receiver.deadline)
        receiver.tick(now)
    assert receiver.over


def test_nobody_sends() -> None:
    receiver, now, asked = YmodemReceiver(0.0), 0.0, 0
    while not receiver.over:
        now = receiver.deadline
        asked += receiver.tick(now) == b"C"
    assert asked == START_S / 3
    assert "nobody has sent anything" in receiver.failure


def test_the_sender_gives_up() -> None:
    receiver = YmodemReceiver(0.0)
    receiver.receive(bytes((CAN, CAN)), 0.0)
    assert receiver.failure == "the sender has given up"


@pytest.mark.skipif(shutil.which("sb") is None, reason="lrzsz is not installed")
def test_lrzsz_sends_to_it(tmp_path: Path) -> None:
    file = tmp_path / "b.img"
    file.write_bytes(random.Random(7).randbytes(100_001))
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    command = ["sb", "-k", "-q", str(file)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL) as sb:
        receiver, came, until = YmodemReceiver(time.monotonic()), b"", time.monotonic() + 30
        while not receiver.over and time.monotonic() < until:
            now = time.monotonic()
            out = receiver.tick(now)
            try:
                out += receiver.receive(os.read(ours, 4_096), now)
            except BlockingIOError:
                time.sleep(0.001)
            came += receiver.take()
            if out:
                os.write(ours, out)
        sb.kill()
    assert (receiver.failure, receiver.name, receiver.length) == ("", "b.img", 100_001)
    assert came == file.read_bytes()
