"""A button that is held restores the defaults once; one that is touched or jammed does not."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.board import Board, load_board
from boards.hardware import Button
from boards.schema import loads
from firmware.panel import press
from firmware.panel.__main__ import Panel
from firmware.panel.button import Hold
from firmware.panel.lamps import Lamps
from firmware.panel.outlook import Outlook
from firmware.panel.press import ButtonError, ConsolePress, GpioPress, open_button


def asked(hold: Hold, looks: list[tuple[float, bool]]) -> list[float]:
    return [at for at, pressed in looks if hold.look(pressed, at)]


def down(start: int, end: int) -> list[tuple[float, bool]]:
    """Held from one millisecond to another, and let go of."""
    return [(float(at), at < end) for at in range(start, end + 1_000, 200)]


def test_held_for_long_enough_it_asks_once_when_it_is_let_go_of() -> None:
    hold = Hold(10)
    assert asked(hold, [(0.0, False), *down(200, 10_000)]) == []
    assert asked(hold, down(20_000, 45_000)) == [45_000.0], "at its start it would mean rescue"
    assert asked(hold, down(50_000, 55_000)) == []


def test_who_holds_it_sees_when_it_is_enough() -> None:
    hold = Hold(10)
    hold.look(False, 0)
    hold.look(True, 200)
    assert [hold.enough(at) for at in (200, 10_100, 10_200, 30_000)] == [False, False, True, True]


def test_something_that_leans_on_it_is_nobody() -> None:
    hold = Hold(10)
    assert asked(hold, [(0.0, False), *down(200, 90_000)]) == []
    assert not hold.holding(90_000)


def test_one_that_is_down_from_the_start_asks_for_nothing_until_it_was_up() -> None:
    hold = Hold(10)
    assert asked(hold, down(0, 30_000)) == []
    assert asked(hold, down(31_000, 50_000)) == [50_000.0]


@given(st.lists(st.tuples(st.integers(50, 4_000), st.booleans()), max_size=60), st.integers(1, 60))
def test_it_never_asks_unless_it_was_down_all_the_time(
    steps: list[tuple[int, bool]], reset_s: int
) -> None:
    hold, now, since = Hold(reset_s), 0.0, None
    hold.look(False, now)
    for after, pressed in steps:
        now += after
        if hold.look(pressed, now):
            assert since is not None
            assert not pressed
            assert now - since >= reset_s * 1000
        since = (now if since is None else since) if pressed else None


# --- a key of the console ---


def test_a_key_that_is_held_is_a_button() -> None:
    ours, theirs = os.openpty()
    key = ConsolePress(os.ttyname(theirs), "r")
    try:
        assert not key.pressed(0)
        os.write(ours, b"r")
        assert key.pressed(100)
        os.write(ours, b"rrr")
        assert key.pressed(1_050)
        assert not key.pressed(2_100), "it does not come again"
        os.write(ours, b"r")
        assert key.pressed(3_000)
        os.write(ours, b"reboot")
        assert not key.pressed(3_100), "a text is typed"
    finally:
        key.close()
        os.close(ours)
        os.close(theirs)


# --- a pin ---

QUESTION = """
#include <linux/gpio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void) {
    struct gpio_v2_line_request r;
    memset(&r, 0, sizeof r);
    r.offsets[0] = 17;
    strcpy(r.consumer, "loopstart");
    r.config.flags = GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_ACTIVE_LOW;
    r.num_lines = 1;
    fwrite(&r, sizeof r, 1, stdout);
    unsigned long numbers[] = {GPIO_V2_GET_LINE_IOCTL, GPIO_V2_LINE_GET_VALUES_IOCTL};
    fwrite(numbers, sizeof numbers, 1, stdout);
    return 0;
}
"""


@pytest.mark.interop
@pytest.mark.skipif(
    shutil.which("cc") is None or not Path("/usr/include/linux/gpio.h").exists(),
    reason="needs a C compiler and the kernel's headers",
)
def test_the_request_is_what_the_kernels_header_says(tmp_path: Path) -> None:
    source = tmp_path / "question.c"
    source.write_text(QUESTION)
    subprocess.run(["cc", "-o", str(tmp_path / "question"), str(source)], check=True)
    said = subprocess.run([str(tmp_path / "question")], capture_output=True, check=True).stdout
    assert said[:-16] == press.pin_request(17, press._INPUT | press._ACTIVE_LOW)
    assert struct.unpack("=QQ", said[-16:]) == (press._GET_LINE, press._GET_VALUES)


def test_a_pin_is_read_and_one_without_pull_ups_is_had_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chip = tmp_path / "gpiochip0"
    chip.touch()
    requests: list[bytes] = []
    level = [0]

    def ioctl(descriptor: int, number: int, argument: bytearray) -> int:
        if number == press._GET_LINE:
            requests.append(bytes(argument))
            if len(requests) == 1:
                raise OSError(22, "Invalid argument")
            argument[-4:] = struct.pack("=i", os.dup(descriptor))
        else:
            argument[:8] = struct.pack("=Q", level[0])
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    pin = GpioPress(str(chip), 17, active_low=True)
    assert requests[1] == press.pin_request(17, press._INPUT | press._ACTIVE_LOW)
    assert not pin.pressed(0)
    level[0] = 1
    assert pin.pressed(0)
    pin.close()


def test_a_button_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ButtonError, match="gpiochip9 line 4: No such file"):
        open_button(Button("gpio", str(tmp_path / "gpiochip9"), 4), "")
    with pytest.raises(ButtonError, match="ttyX: No such file"):
        open_button(Button("console", key="r"), str(tmp_path / "ttyX"))


# --- the whole front ---


class Finger:
    """A button that is pressed by tests; it may break."""

    def __init__(self) -> None:
        self.down = self.broken = False

    def pressed(self, _now_ms: float) -> bool:
        if self.broken:
            raise OSError(5, "Input/output error")
        return self.down

    def close(self) -> None:
        """Nothing is open."""


BOARD = """name = "b"
[[lines]]
driver = "sim"
[[leds]]
path = "power"
meaning = "power"
[button]
kind = "console"
key = "r"
reset_s = 5
"""


def test_the_front_of_a_board(tmp_path: Path) -> None:
    """Held for a second the power lamp blinks fast, so that who holds it knows that it is heard;
    let go before its time nothing is lost. After its time it is dark, until he lets go. A button
    that breaks leaves the lamps as they are."""
    lamp = tmp_path / "leds" / "power"
    lamp.mkdir(parents=True)
    for name, text in (("max_brightness", "1"), ("brightness", "0"), ("delay_on", "0")):
        (lamp / name).write_text(text)
    (lamp / "delay_off").write_text("0")
    (lamp / "trigger").write_text("[none] timer")
    now, resets, finger = [0.0], [0], Finger()
    told: list[str] = []

    def reset() -> None:
        resets[0] += 1

    panel = Panel(
        loads(Board, BOARD),
        Outlook(tmp_path / "ata.toml", tmp_path / "run", network=tmp_path / "net"),
        Lamps(tmp_path / "leds"),
        finger,
        reset,
        lambda: now[0],
        told.append,
    )

    def turns(seconds: float) -> None:
        for _ in range(round(seconds * 5)):
            (lamp / "trigger").write_text("[none] timer")
            panel.turn()
            now[0] += 200.0

    turns(2)
    assert (lamp / "brightness").read_text()[0] == "1"
    finger.down = True
    turns(1.4)
    assert (lamp / "delay_on").read_text()[:3] == "100"
    turns(2)
    finger.down = False
    turns(2)
    assert (resets[0], told) == (0, [])
    finger.down = True
    turns(8)
    assert resets[0] == 0
    assert told == ["let go, and the defaults are restored"]
    assert (lamp / "brightness").read_text()[0] == "0"
    finger.down = False
    turns(1)
    assert resets[0] == 1
    finger.down = True
    turns(8)
    finger.broken = True
    turns(2)
    assert resets[0] == 1
    assert (lamp / "brightness").read_text()[0] == "1"


def test_the_board_in_qemu_has_a_key_for_it() -> None:
    button = load_board("qemu-arm64").button
    assert button is not None
    assert (button.kind, button.key) == ("console", "r")
