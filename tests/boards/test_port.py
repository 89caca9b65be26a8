"""A port that cannot be used, or goes away, says what to do; a terminal on it passes all on."""

from __future__ import annotations

import errno
import json
import os
import pty
import socket
import threading
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import serial

from boards.flash import console, ports
from boards.flash.port import Port, PortError


@dataclass
class Pty:
    """A cable: what we open is `name`, the board is at `board`."""

    board: int
    name: str


@pytest.fixture
def cable() -> Iterator[Pty]:
    board, ours = pty.openpty()
    tty.setraw(ours)
    yield Pty(board, os.ttyname(ours))
    for one in (board, ours):
        try:
            os.close(one)
        except OSError:
            assert one == board, "a test may pull the board's end alone"


def why(name: str, baud: int = 115_200) -> str:
    with pytest.raises(PortError) as caught:
        Port(name, baud)
    return str(caught.value)


def test_octets_go_both_ways(cable: Pty) -> None:
    port = Port(cable.name, 115_200)
    port.write(b"printenv\r")
    assert os.read(cable.board, 100) == b"printenv\r"
    os.write(cable.board, b"=> ")
    port.wait(5.0)
    assert port.read() == b"=> "
    assert port.read() == b""
    port.close()


def test_a_port_that_is_not_there() -> None:
    said = why("/dev/ttyUSB77")
    assert said.startswith("there is no port /dev/ttyUSB77: plug the cable in")
    assert "tasks.py ports" in said


def test_a_file_that_is_no_port(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(b"")
    assert "is no serial port" in why(str(path))


def test_a_busy_port_names_who_has_it(cable: Pty) -> None:
    other = Port(cable.name, 115_200)
    assert why(cable.name).startswith(f"another program has {cable.name} open")
    other.close()
    Port(cable.name, 115_200).close()


def test_a_port_that_another_program_says_it_has(
    cable: Pty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boards.flash.port._LOCKS", (tmp_path,))
    lock = tmp_path / f"LCK..{Path(cable.name).name}"
    lock.write_text(f"{os.getpid():>10}\n")
    assert f"({lock} says so)" in why(cable.name)
    lock.write_text("99999999\n")
    Port(cable.name, 115_200).close()


def test_without_leave_the_group_to_join_is_named(
    cable: Pty, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise serial.SerialException(errno.EACCES, "Permission denied")

    monkeypatch.setattr("serial.Serial.open", refuses)
    monkeypatch.setattr("grp.getgrgid", lambda _: SimpleNamespace(gr_name="dialout"))
    assert "run `sudo usermod -aG dialout $USER`, then log in again" in why(cable.name)


def test_a_cable_that_is_pulled(cable: Pty) -> None:
    port = Port(cable.name, 115_200)
    os.close(cable.board)
    with pytest.raises(PortError, match=r"has gone away .*run the same command again"):
        port.read()
    port.close()


def test_an_address_that_nobody_serves() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        name = f"socket://127.0.0.1:{taken.getsockname()[1]}"
        assert "cannot be reached" in why(name)


# --- console ---


def test_a_terminal_passes_all_on_until_its_key_leaves_it(cable: Pty) -> None:
    port = Port(cable.name, 115_200)
    keys, typing = os.pipe()
    shown, screen = os.pipe()
    carries = threading.Thread(target=console.carry, args=(port, keys, screen))
    carries.start()
    os.write(typing, b"reset\r\x03")
    came = b""
    while len(came) < 7:
        came += os.read(cable.board, 100)
    assert came == b"reset\r\x03"
    os.write(cable.board, b"U-Boot\r\n\xff")
    assert os.read(shown, 100) == b"U-Boot\r\n\xff"
    os.write(typing, b"x\x1dy")
    carries.join(10)
    assert not carries.is_alive()
    assert os.read(cable.board, 100) == b"x"
    port.close()
    for one in (keys, typing, shown, screen):
        os.close(one)


def test_a_terminal_says_what_is_wrong_with_its_port(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.main(["--port", "/dev/ttyUSB77"]) == 4
    assert "there is no port /dev/ttyUSB77" in capsys.readouterr().err
    assert console.main(["--port", "/dev/ttyUSB77", "--board", "no-such"]) == 2


# --- ports ---


def test_ports_are_listed(
    cable: Pty, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = SimpleNamespace(device=cable.name, description="USB serial", serial_number="A1")
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: [one])
    assert ports.main(["--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row == {"port": cable.name, "what": "USB serial", "serial": "A1", "may": True}
    assert ports.main([]) == 0
    assert cable.name in capsys.readouterr().out
    monkeypatch.setattr("serial.tools.list_ports.comports", list)
    assert ports.main([]) == 1
    assert "no serial port: plug the cable in" in capsys.readouterr().err
