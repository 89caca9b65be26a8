"""A device of two lines: its configuration, and its processes on loopback against a real host."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware.app import main
from firmware.assembly import lines_of
from firmware.config import load_config

BOARD = 'name = "two"\n' + "".join(
    f'[[lines]]\ndriver = "sim"\nname = "fxs{number}"\n' for number in (1, 2)
)


DEAD = 'servers = ["127.0.0.1:9"]'


def entry(name: str, port: str = "", line: str = "", sip: str = DEAD, user: str = "1") -> str:
    return (
        f'[[lines]]\nname = "{name}"\n{port}\n'
        f'[lines.sip]\nusername = "{user}"\npassword = "secret"\naddress = "127.0.0.1"\n{sip}\n'
        f"[lines.line]\n{line}\n"
    )


def write(folder: Path, *parts: str) -> Path:
    (folder / "board.toml").write_text(BOARD)
    path = folder / "ata.toml"
    top = f'board = "board.toml"\nstate_dir = "{folder}/state"\n'
    path.write_text(top + "".join(parts))
    return path


def test_each_line_has_a_port_of_the_board_and_a_folder_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, entry("kitchen"), entry("study", user="2"))
    lines = lines_of(load_config(path), tmp_path)
    assert [(one.name, one.hardware.name) for one in lines] == [
        ("kitchen", "fxs1"), ("study", "fxs2"),
    ]  # fmt: skip
    assert [one.config.username for one in lines] == ["1", "2"]
    assert lines[0].config.state_dir != lines[1].config.state_dir
    path = write(tmp_path, entry("kitchen", 'port = "fxs2"'), entry("study", 'port = "fxs1"'))
    lines = lines_of(load_config(path), tmp_path)
    assert [one.hardware.name for one in lines] == ["fxs2", "fxs1"]


SERVERS = 'servers = ["a:1"]'


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((entry("a"), entry("a")), "lines[1].name: is that of the line `a`, too"),
        ((entry("a b"),), "lines[0].name: is no name"),
        ((entry("a", sip=f"{SERVERS}\nport = 5062"), entry("b", sip=f"{SERVERS}\nport = 5062")),
         "lines[1].sip.port: is that of the line `a`, too"),
        ((entry("a", sip=f"{SERVERS}\nrtp_port = 4000"),
          entry("b", sip=f"{SERVERS}\nrtp_port = 4006")),
         "lines[1].sip.rtp_port: is that of the line `a`, too"),
        ((entry("a", line='control = "/run/h"'), entry("b", line='control = "/run/h"')),
         "lines[1].line.control: is that"),
        ((entry("a"), entry("b", line='country = "XX"')), "lines[1].line.country:"),
        ((entry("a"), '[[lines]]\nname = "b"\n'), "lines[1].sip: no account is named"),
        ((entry("a"), entry("b"), entry("c")), "lines[2].port: the board `two` has 2 port"),
        ((entry("a", 'port = "fxs9"'),), "has no port `fxs9` for `a`; give it one of fxs1, fxs2"),
        ((entry("a", 'port = "fxs2"'), entry("b")), "lines[1].port: the line `b` has a port"),
        ((entry("a"), '[sip]\nusername = "1"\npassword = "p"\nservers = ["a"]\n'),
         "sip: stands beside [[lines]]"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_names_line_and_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], parts: tuple[str, ...], words: str
) -> None:
    assert main(["--config", str(write(tmp_path, *parts)), "--check"]) == 2
    assert words in capsys.readouterr().err


def test_a_line_that_there_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, entry("kitchen"), entry("study"))
    assert main(["--config", str(path), "--line", "attic"]) == 2
    assert "it has" not in (told := capsys.readouterr().err)
    assert "kitchen, study" in told


def test_line_tests_of_all_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, entry("kitchen"), entry("study"))
    assert main(["--config", str(path), "--line-test"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert {row.split("\t")[0] for row in told} == {"kitchen", "study"}
    assert main(["--config", str(path), "--line-test", "--line", "study"]) == 0
    assert {row.split("\t")[0] for row in capsys.readouterr().out.splitlines()} == {"study"}
