"""A bundle of a board's logs has no secrets, and says what the board did not answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.board import load_board
from boards.diagnose import (
    BOOT_S,
    SECTION_S,
    SECTIONS,
    SETTLE_S,
    DiagnoseDialogue,
    bundle,
    without_secrets,
)
from boards.flash import diagnose, session
from boards.prompt import FlashFailed
from tests.boards.test_dialogue import FLASH, loader

SHELL = "setenv loopstart loopstart.shell; boot"


class FakeSystem:
    """A board whose boot loader starts a system with a shell; it echoes what is typed."""

    def __init__(self, answers: dict[str, str]) -> None:
        self._answers = answers
        self._line = b""
        self.booted = self.restarted = False

    def feed(self, octets: bytes) -> bytes:
        said = b""
        for octet in octets:
            if octet not in (10, 13):
                self._line += bytes((octet,))
                said += bytes((octet,))
                continue
            line, self._line = self._line.decode("ascii", "replace"), b""
            said += b"\r\n" + self._command(line)
        return said

    def _command(self, line: str) -> bytes:
        if not self.booted:
            if line == SHELL:
                self.booted = True
                return b"Starting kernel ...\r\nLoopstart: version 7 runs from slot a\r\n/ # "
            return b"=> "
        if "reboot" in line:
            self.restarted = True
        for name, command in SECTIONS.items():
            if line == f'echo "@@""{name}"; {command} 2>&1; echo "@@""end"':
                text = self._answers.get(name)
                if text is None:
                    return b""
                return f"@@{name}\n{text}\n@@end\n/ # ".replace("\n", "\r\n").encode()
        return b"/ # "


def ask(system: FakeSystem) -> DiagnoseDialogue:
    run, now = DiagnoseDialogue(FLASH, loader(), SHELL, 0.0), 0.0
    said = system.feed(run.tick(now))
    for _ in range(200):
        out = run.receive(said, now) if said else run.tick(now)
        said = system.feed(out)
        if run.over:
            return run
        if not said:
            now = run.deadline
    raise AssertionError("it does not come to an end")


def test_all_that_a_board_knows_is_in_one_text_and_no_secret() -> None:
    answers = dict.fromkeys(SECTIONS, "nothing special")
    answers["configuration"] = 'username = "100001"\npassword = "hunter2"\nsecret="hunter3"'
    answers["log"] = "0 info event=registered server=pop1\n1 debug Authorization: hunter4"
    system = FakeSystem(answers)
    run = ask(system)
    text = bundle(run.sections)
    assert run.failure == ""
    assert [one.name for one in run.sections] == list(SECTIONS)
    assert "hunter" not in text
    assert 'username = "100001"\npassword = (hidden)\nsecret=(hidden)' in text
    assert "event=registered server=pop1" in text
    assert system.restarted, "no shell stays open"


def test_what_was_not_answered_is_said() -> None:
    run = ask(FakeSystem({"version": "7"}))
    texts = {one.name: one.text for one in run.sections}
    assert texts["version"] == "7\n"
    assert texts["log"] == "(the board has not answered)"
    assert min(BOOT_S, SETTLE_S, SECTION_S) > 0


def test_a_system_that_does_not_come_up() -> None:
    run = DiagnoseDialogue(FLASH, loader(), SHELL, 0.0)
    run.receive(b"\r\n=> ", 0.0)
    run.receive(b"Kernel panic", 1.0)
    run.tick(1.0 + BOOT_S)
    assert "the system does not come up" in run.failure


@given(
    st.sampled_from(["password", "SECRET", "token", "Authorization"]), st.text("ab1", min_size=3)
)
def test_nothing_stays_behind_the_name_of_a_secret(name: str, value: str) -> None:
    assert without_secrets(f"x {name} = {value}") == f"x {name} = (hidden)"


def test_no_file_is_written_over_and_none_left_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bundle.txt"
    words = ["--board", "qemu-arm64", "--port", "/dev/ttyUSB77", "--json", "--output", str(path)]
    path.write_text("mine")
    assert diagnose.main(words) == session.REFUSED
    assert "File exists" in json.loads(capsys.readouterr().out)["failure"]
    assert path.read_text() == "mine"
    path.unlink()
    assert diagnose.main(words) == session.NO_PORT
    assert not path.exists(), "nothing has come"


def test_a_board_that_cannot_be_asked() -> None:
    with pytest.raises(FlashFailed, match=r"has no `shell` in \[boot\]"):
        DiagnoseDialogue(FLASH, loader(), "", 0.0)
    boot = load_board("qemu-arm64").boot
    assert boot is not None
    assert boot.shell == SHELL
