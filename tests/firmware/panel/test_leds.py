"""What an owner sees on the front: the table, and the files of a kernel that is not there."""

from __future__ import annotations

import json
import logging
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.hardware import Led
from firmware.panel.lamps import Lamps
from firmware.panel.leds import DARK, STEADY, TABLE, Light, Situation, lights, load_rows
from firmware.panel.outlook import START_MS, Outlook
from firmware.status import UPDATING, Notices

ROWS = load_rows(TABLE.read_text())
MEANINGS: tuple[Any, ...] = get_args(get_type_hints(Led)["meaning"])
WORDS = [one.name for one in fields(Situation)]
SITUATIONS = st.builds(Situation, **{word: st.booleans() for word in WORDS})
EVEN, FAST, SLOW = Light(500, 500), Light(100, 100), Light(1000, 1000)


def shown(meaning: Any, **words: bool) -> Light:
    return lights(ROWS, [Led("x", meaning)], Situation(**words))["x"]


def test_the_table_speaks_of_every_meaning_that_a_board_may_give() -> None:
    assert set(ROWS) == set(MEANINGS)


@pytest.mark.parametrize(
    ("meaning", "words", "light"),
    [
        ("power", (), STEADY),
        ("power", ("starting",), SLOW),
        ("power", ("holding",), FAST),
        ("power", ("holding", "let_go"), DARK),
        ("network", (), DARK),
        ("network", ("link",), EVEN),
        ("network", ("link", "address"), STEADY),
        ("registered", (), DARK),
        ("registered", ("configured",), EVEN),
        ("registered", ("configured", "registered"), STEADY),
        ("line", (), DARK),
        ("line", ("in_use",), STEADY),
        ("line", ("in_use", "ringing"), FAST),
        ("messages", ("messages",), SLOW),
        ("update", ("updating",), FAST),
        ("fault", (), DARK),
        ("fault", ("stopped",), STEADY),
        ("fault", ("alarm",), SLOW),
    ],
)
def test_what_an_owner_sees(meaning: str, words: tuple[str, ...], light: Light) -> None:
    assert shown(meaning, **dict.fromkeys(words, True)) == light


@given(SITUATIONS, st.permutations(MEANINGS))
def test_a_lamp_of_several_meanings_shows_the_first_that_lights_it(
    situation: Situation, order: list[Any]
) -> None:
    alone = [lights(ROWS, [Led("x", one)], situation)["x"] for one in order]
    together = lights(ROWS, [Led("x", one) for one in order], situation)["x"]
    assert together == next((one for one in alone if one != DARK), DARK)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ringing", "rings"),
        ('"slow"], ["always", "on"', '"slow"], ["link", "on"'),
        ("fast = ", "f = "),
    ],
)
def test_a_table_that_says_too_little_is_refused(old: str, new: str) -> None:
    text = TABLE.read_text()
    assert old in text
    with pytest.raises(ValueError, match=r"there is no|not for"):
        load_rows(text.replace(old, new, 1))


class Kernel:
    """/sys/class/leds with one lamp: its files are what the kernel's are."""

    def __init__(self, folder: Path, triggers: str = "[none] kbd-numlock timer heartbeat") -> None:
        self.root = folder / "leds"
        self.lamp = self.root / "green:power"
        self.lamp.mkdir(parents=True)
        (self.lamp / "brightness").write_text("0\n")
        (self.lamp / "max_brightness").write_text("255\n")
        (self.lamp / "trigger").write_text(triggers + "\n")
        if "timer" in triggers:
            (self.lamp / "delay_on").write_text("0\n")
            (self.lamp / "delay_off").write_text("0\n")

    def now(self, name: str) -> str:
        return (self.lamp / name).read_text().split("\n")[0]


def test_lamps_are_lit_dark_and_blink(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    lamps = Lamps(kernel.root)
    lamps.show({"green:power": STEADY})
    assert kernel.now("brightness").startswith("255")
    assert kernel.now("trigger").startswith("none")
    (kernel.lamp / "trigger").write_text("[none] timer\n")
    lamps.show({"green:power": Light(100, 1900)})
    assert kernel.now("trigger").startswith("timer")
    assert (kernel.now("delay_on")[:3], kernel.now("delay_off")[:4]) == ("100", "1900")
    lamps.show({"green:power": DARK})
    assert kernel.now("trigger").startswith("none")
    assert kernel.now("brightness").startswith("0")


def test_a_lamp_that_is_as_wanted_is_left_alone(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    lamps = Lamps(kernel.root)
    lamps.show({"green:power": STEADY})
    (kernel.lamp / "brightness").write_text("7\n")
    lamps.show({"green:power": STEADY})
    assert kernel.now("brightness") == "7"


def test_a_missing_lamp_is_logged_once_and_the_others_are_lit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kernel = Kernel(tmp_path)
    lamps = Lamps(kernel.root)
    with caplog.at_level(logging.WARNING):
        for light in (STEADY, DARK, FAST):
            lamps.show({"red:none": light, "green:power": light})
    assert [record.__dict__["led"] for record in caplog.records] == ["red:none"]
    assert kernel.now("trigger").startswith("timer")


def test_a_kernel_without_the_trigger_lights_steadily_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kernel = Kernel(tmp_path, "[none] heartbeat")
    with caplog.at_level(logging.WARNING):
        Lamps(kernel.root).show({"green:power": FAST})
    assert kernel.now("brightness").startswith("255")
    assert "no trigger `timer`" in caplog.records[0].__dict__["detail"]


# --- how the device is ---


class Device:
    """Its configuration, its lines and its network, as files."""

    def __init__(self, folder: Path) -> None:
        self.run, self.net = folder / "run", folder / "net"
        self.config = folder / "ata.toml"
        self.out = False
        for name, carrier in (("lo", "1"), ("eth0", "0")):
            (self.net / name).mkdir(parents=True)
            (self.net / name / "carrier").write_text(carrier)
        self.outlook = Outlook(self.config, self.run, lambda _: True, self.net, lambda: self.out)

    def now(self, now_ms: float = 0.0) -> set[str]:
        situation = self.outlook.look(False, now_ms)
        return {word for word in WORDS if getattr(situation, word)}


def test_from_a_blank_board_to_a_call(tmp_path: Path) -> None:
    device = Device(tmp_path)
    assert device.now() == set()
    (device.net / "eth0" / "carrier").write_text("1\n")
    assert device.now() == {"link"}
    device.out = True
    assert device.now() == {"link", "address"}
    device.config.write_text("board = 'sim'\n")
    assert device.now() == {"link", "address", "configured", "starting"}
    kitchen = Notices(device.run, tmp_path / "tests", "kitchen", 1)
    office = Notices(device.run, tmp_path / "tests", "office", 1)
    base = {"link", "address", "configured"}
    kitchen.tell(registered=True, calls=False)
    office.tell(registered=False, calls=False)
    assert device.now() == base, "one of two lines is not all"
    office.tell(registered=True, calls=True, ringing=True, messages=True, alarm=True)
    said = base | {"registered", "in_use", "ringing", "messages", "alarm"}
    assert device.now() == said
    (device.run / UPDATING).touch()
    assert device.now() == said | {"updating"}


def test_a_program_that_does_not_come_back_is_a_fault(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.config.write_text("board = 'sim'\n")
    assert "starting" in device.now(0)
    assert "starting" in device.now(START_MS - 1)
    assert {"stopped", "starting"} & device.now(START_MS) == {"stopped"}
    Notices(device.run, tmp_path / "tests", "kitchen", 1)
    assert not {"stopped", "starting"} & device.now(START_MS + 1)


def test_states_that_an_older_program_wrote_are_read(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.config.write_text("x")
    device.run.mkdir()
    (device.run / "kitchen.line").write_text(
        json.dumps({"name": "kitchen", "pid": 1, "program": 1, "registered": True, "calls": False})
    )
    assert device.now() == {"configured", "registered"}
