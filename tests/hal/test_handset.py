"""The simulated handset: bell, contacts, files, and its control socket."""

from __future__ import annotations

import json
import socket
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from boards.lines import FaultSettings
from hal.drivers.handset import Handset
from hal.drivers.sim import SimLine
from hal.drivers.sim_client import HandsetClient, HandsetError
from hal.values import LineFault, RingCadence


@pytest.mark.parametrize(
    ("vrms", "hz", "rings"),
    [(65, 20, True), (40, 25, True), (39, 20, False), (65, 5, False), (65, 100, False)],
)
def test_the_bell_wants_ringing_voltage(vrms: int, hz: int, rings: bool) -> None:
    line = SimLine(lambda: 0.0)
    line.ring(RingCadence((1_000, 1_000), hz, vrms))
    assert line.handset.ringing is rings


def test_bounce_depends_on_the_seed_alone() -> None:
    def edges(seed: int) -> list[tuple[float, bool]]:
        handset = Handset(seed)
        handset.lift(0)
        handset.rotary(100, "5")
        found = []
        while edge := handset.move_contacts(10_000):
            found.append(edge)
        return found

    assert edges(3) == edges(3)
    assert edges(3) != edges(4)
    times = [at for at, _ in edges(3)]
    assert times == sorted(times)
    assert len(times) > 11, "contacts bounce"


def test_what_cannot_be_done_says_why(tmp_path: Path) -> None:
    handset = Handset()
    for deed in (lambda: handset.flash(0, 500), lambda: handset.press("1")):
        with pytest.raises(ValueError, match="on the hook"):
            deed()
    handset.lift(0)
    for digits in ("12a", "", "1" * 65):
        with pytest.raises(ValueError, match="dial has"):
            handset.rotary(10, digits)
    with pytest.raises(ValueError, match="cannot be played"):
        handset.say(str(tmp_path / "none.wav"))
    stereo = tmp_path / "stereo.wav"
    with wave.open(str(stereo), "wb") as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(44_100)
        wav.writeframes(bytes(400))
    with pytest.raises(ValueError, match="sox"):
        handset.say(str(stereo))


@pytest.fixture
def control(tmp_path: Path) -> Iterator[tuple[SimLine, str]]:
    """A line whose socket is served by a thread, as the device's loop would."""
    path = str(tmp_path / "h.sock")
    line = SimLine(lambda: time.monotonic_ns() / 1e6, control=path)
    running = True

    def serve() -> None:
        while running:
            line.take_events()
            if line.read_audio() is not None:
                line.write_audio(b"\x01\x02" * 160)
            time.sleep(0.002)

    thread = threading.Thread(target=serve)
    thread.start()
    yield line, path
    running = False
    thread.join()
    line.close()
    assert not Path(path).exists()


def test_the_handset_is_moved_through_its_socket(
    control: tuple[SimLine, str], tmp_path: Path
) -> None:
    line, path = control
    assert Path(path).stat().st_mode & 0o077 == 0, "nobody else may listen in"
    with HandsetClient(path) as handset:
        assert handset.state()["hook"] == "on"
        line.ring(RingCadence((100, 100)))
        handset.wait("ringing")
        time.sleep(0.45)
        handset.off_hook()
        state = handset.wait("loop_current")
        assert state["cadence_ms"][:3] == pytest.approx([100, 100, 100], abs=15)
        assert not state["ringing"]
        line.audio(True)
        handset.record(str(tmp_path / "ear.wav"))
        handset.dtmf("12")
        assert handset.stop_record() > 200
        with wave.open(str(tmp_path / "ear.wav")) as wav:
            assert b"\x01\x02" in wav.readframes(wav.getnframes())
        assert handset.say(str(tmp_path / "ear.wav")) > 200
        handset.flash(100)
        handset.rotary("1", 20)
        handset.on_hook()
        handset.wait("loop_current", False)
        with pytest.raises(HandsetError, match="on the hook"):
            handset.flash()
        with pytest.raises(HandsetError, match="in vain"):
            handset.wait("ringing", timeout_s=0.1)


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"{", b'{"do":"fly"}', b'{"do":"wait","for":"x"}', b'{"do":"tone","hz":[9e9]}',
     b'{"do":"dtmf"}', b'{"do":"flash","ms":"x"}', b"[" * 3_000, b'{"do":["x"]}', b"\xff\xfe"],
)  # fmt: skip
def test_nonsense_is_answered_not_died_of(control: tuple[SimLine, str], line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(3)
        stream.connect(control[1])
        stream.sendall(line + b"\n")
        answer = json.loads(stream.recv(65_536))
        assert answer["ok"] is False
        assert answer["error"]


def test_a_socket_that_cannot_be_says_so(tmp_path: Path) -> None:
    with pytest.raises(LineFault, match="cannot be opened"):
        SimLine(lambda: 0.0, control=str(tmp_path / "none" / "h.sock"))


def test_a_socket_that_another_program_has_is_left_to_it(control: tuple[SimLine, str]) -> None:
    with pytest.raises(LineFault, match="another program has the handset"):
        SimLine(lambda: 0.0, control=control[1])
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(control[1])


def test_the_line_is_spoilt_and_mended_through_the_socket(control: tuple[SimLine, str]) -> None:
    line, path = control
    with HandsetClient(path) as handset:
        handset.faults(tip_ground_ohm=9_000, ren=0)
        assert line.faults.tip_ground_ohm == 9_000
        handset.faults()
        assert line.faults == FaultSettings()
        for wrong in ({"tip_ground": 1.0}, {"ren": -1.0}):
            with pytest.raises(HandsetError, match=next(iter(wrong))):
                handset.faults(**wrong)
