"""The command `loopstart-ata` and its configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from firmware.app import main
from firmware.config import ConfigError, load_config, parse_server
from firmware.log import KeyValueFormatter
from firmware.priority import NICE, prefer_sound

EXAMPLE = Path(__file__).parents[2] / "firmware" / "example.toml"


def write(folder: Path, sip: str = "", line: str = "", top: str = "") -> Path:
    path = folder / "ata.toml"
    path.write_text(f'{top}\n[sip]\nusername = "1"\npassword = "p"\n{sip}\n[line]\n{line}\n')
    return path


def test_the_example_is_good_and_shows_every_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(EXAMPLE), "--check"]) == 0
    assert "good" in capsys.readouterr().out
    shown = EXAMPLE.read_text()
    bare = load_config(EXAMPLE)
    uncommented = "\n".join(
        one[2:] if one.startswith("# ") and " = " in one else one for one in shown.splitlines()
    )
    folder = EXAMPLE.parent
    assert folder.is_dir()
    from boards.schema import loads
    from firmware.config import Config

    assert loads(Config, uncommented) == bare
    for section in (bare.sip, bare.line):
        for name in section.__slots__:  # type: ignore[attr-defined]
            assert f"{name} = " in shown, f"{name} is not explained"


@pytest.mark.parametrize(
    ("sip", "line", "words"),
    [
        ('servers = ["a:1"]', 'digit_map = "(1z)"', ":7: line.digit_map: character 3: `z`"),
        ('servers = ["a:99999"]', "", ":5: sip.servers"),
        ('servers = ["a;transport=sctp"]', "", ":5: sip.servers"),
        ("servers = []", "", "no server is named"),
        ('server = ["a"]', "", "did you mean `servers`?"),
        ('servers = ["a:5061;transport=tls"]', "", "tls_ca_file"),
        ('servers = ["a"]\ncodecs = ["G729"]', "", 'choose one of "PCMU", "PCMA", "G722"'),
        ('servers = ["a"]', 'country = "XX"', "choose one of"),
        ('servers = ["a"]', "flash_least_ms = 500\nflash_most_ms = 200", "raise it"),
    ],
)
def test_a_wrong_configuration_names_line_and_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sip: str, line: str, words: str
) -> None:
    assert main(["--config", str(write(tmp_path, sip, line)), "--check"]) == 2
    assert words in capsys.readouterr().err


def test_an_unknown_board_and_no_file(tmp_path: Path) -> None:
    assert main(["--config", str(write(tmp_path, 'servers = ["a"]', "", 'board = "x"'))]) == 2
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "nothing")


def test_servers() -> None:
    assert str(parse_server("pop.example")) == "pop.example:5060"
    assert str(parse_server("pop.example;transport=tls")) == "pop.example:5061;transport=tls"
    assert parse_server("[2001:db8::1]:5070;transport=tcp").host == "[2001:db8::1]"


def test_help_shows_examples() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "firmware.app", "--help"],
        capture_output=True,
        timeout=20,
        check=True,
    )
    assert b"examples:" in run.stdout


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        sip = f'servers = ["127.0.0.1:9"]\naddress = "127.0.0.1"\nport = {port}'
        path = write(tmp_path, sip)
        run = subprocess.run(
            [sys.executable, "-m", "firmware.app", "--config", str(path)],
            capture_output=True, timeout=30, check=False,
        )  # fmt: skip
    assert run.returncode == 1
    assert b"nothing else uses the port" in run.stderr
    assert b"Traceback" not in run.stderr


def test_sound_goes_before_other_programs_where_that_is_allowed() -> None:
    code = (
        "import os; from firmware.priority import prefer_sound; "
        "prefer_sound(); print(os.getpriority(os.PRIO_PROCESS, 0))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert int(told.stdout) == (min(ours, NICE) if os.geteuid() == 0 else ours)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may")
@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="no autogroups here")
def test_as_a_session_of_its_own_a_device_goes_before_other_sessions() -> None:
    code = (
        "from pathlib import Path; from firmware.priority import prefer_sound; "
        "prefer_sound(); print(Path('/proc/self/autogroup').read_text())"
    )
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
    assert told.stdout.split()[1:] == ["nice", str(NICE)]


def test_without_leave_sound_goes_as_everything_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(os, "setpriority", refuse)
    prefer_sound()


def test_what_peers_write_cannot_forge_log_lines() -> None:
    import logging

    record = logging.makeLogRecord({"msg": "leg", "levelname": "INFO", "what": 'x" \nevent=evil'})
    line = KeyValueFormatter().format(record)
    assert "\n" not in line
    assert 'what="x\\" \\nevent=evil"' in line
