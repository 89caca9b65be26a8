"""YMODEM: what others' programs receive, over good wires and bad ones."""

from __future__ import annotations

import os
import random
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.ymodem import ACK, ANSWER_S, CAN, NAK, TRIES, YmodemSender, block
from tests.boards.receiver import Receiver


def carry(sender: YmodemSender, receiver: Receiver, fault: random.Random | None = None) -> float:
    """Run both until the sender is over; with `fault`, the wire damages or loses octets. Gives the
    simulated seconds that it took."""
    now, to_sender = 0.0, receiver.begin()
    for _ in range(20_000):
        out, rest = sender.receive(to_sender, now)
        assert not rest
        if sender.over:
            receiver.receive(out)
            return now
        if not out and not to_sender:
            now = min(sender.deadline, receiver.asks_at(now))
            out = sender.tick(now)
        to_sender = receiver.tick(now)
        if out and fault is not None and fault.random() < 0.15:
            at = fault.randrange(len(out))
            out = (
                out[:at]
                + (bytes([out[at] ^ 0x40]) if fault.random() < 0.5 else b"")
                + out[at + 1 :]
            )
        to_sender += receiver.receive(out)
    raise AssertionError("it does not come to an end")


@pytest.mark.parametrize("length", [0, 1, 127, 128, 129, 1023, 1024, 1025, 65_536])
def test_a_file_arrives(length: int) -> None:
    octets = random.Random(length).randbytes(length)
    sender, receiver = YmodemSender("piece", octets, 0.0), Receiver()
    assert carry(sender, receiver) < 1
    assert not sender.failure
    assert (receiver.name, receiver.file) == ("piece", octets)
    assert sender.acknowledged == length


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 6000))
def test_over_a_bad_wire_the_file_arrives_as_it_is_or_it_is_said(seed: int, length: int) -> None:
    fault = random.Random(seed)
    octets = fault.randbytes(length)
    sender, receiver = YmodemSender("piece", octets, 0.0), Receiver()
    carry(sender, receiver, fault)
    if not sender.failure:
        assert receiver.file == octets


def test_a_block_looks_as_the_protocol_says() -> None:
    sent = block(1, b"123456789" + bytes(119))
    assert sent[:3] == b"\x01\x01\xfe"
    assert len(sent) == 3 + 128 + 2
    assert block(256 + 5, bytes(129))[:3] == b"\x02\x05\xfa"
    assert block(2, b"ab")[3:131] == b"ab" + b"\x1a" * 126


def test_a_board_that_never_asks_is_given_up() -> None:
    sender, now = YmodemSender("piece", b"x", 0.0), 0.0
    for _ in range(TRIES):
        now = sender.deadline
        sender.tick(now)
    assert sender.over
    assert "does not take" in sender.failure
    assert now == TRIES * ANSWER_S


def test_a_board_that_refuses_every_block_is_given_up() -> None:
    sender = YmodemSender("piece", b"x", 0.0)
    sender.receive(b"C" + bytes([ACK]) + b"C", 0.0)
    sender.receive(bytes([NAK]) * TRIES, 0.0)
    assert sender.failure


def test_a_cancel_is_two_of_them() -> None:
    sender = YmodemSender("piece", b"x", 0.0)
    sender.receive(bytes([CAN]) + b"C", 0.0)
    assert not sender.over
    out, rest = sender.receive(bytes([CAN, CAN]) + b"=> ", 0.0)
    assert (sender.failure, rest) == ("the board has cancelled the transfer", b"=> ")
    assert out.count(CAN) == 5


@given(st.lists(st.binary(max_size=8), max_size=30))
def test_whatever_the_board_says_nothing_breaks(said: list[bytes]) -> None:
    sender, now = YmodemSender("piece", bytes(2000), 0.0), 0.0
    for octets in said:
        sender.receive(octets, now)
        now += 5
        sender.tick(now)
    assert 0 <= sender.acknowledged <= 2000


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("rb") is None, reason="needs Debian's lrzsz")
def test_rb_receives_it(tmp_path: Path) -> None:
    octets = random.Random(1).randbytes(20_000)
    child = subprocess.Popen(
        ["rb", "-b", "-q"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    sender, end = YmodemSender("piece.bin", octets, time.monotonic()), time.monotonic() + 30
    while not sender.over and time.monotonic() < end:
        readable, _, _ = select.select([child.stdout], [], [], 0.1)
        came = os.read(child.stdout.fileno(), 4096) if readable else b""
        out = sender.receive(came, time.monotonic())[0] or sender.tick(time.monotonic())
        if out:
            os.write(child.stdin.fileno(), out)
    assert not sender.failure
    child.stdin.close()
    child.wait(10)
    child.stdout.close()
    assert (tmp_path / "piece.bin").read_bytes() == octets
