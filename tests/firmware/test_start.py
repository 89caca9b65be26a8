"""How a board's programs begin: with the code of their dataclasses, as the image has it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from boards.image.build import CODE
from boards.image.dataclass_code import MODULES
from firmware import start

COUNTS = """
import dataclasses, sys
from importlib import import_module
from pathlib import Path
from firmware import start

missing = []

class Ready(dict):
    def get(self, text):
        if text not in self:
            missing.append(text)
        return super().get(text)

ready = Ready(start.load(Path(sys.argv[1])))
start.prepare(ready)
for name in sys.argv[2:]:
    import_module(name)
print(len(ready), len(missing))
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("code") / "code"
    command = [sys.executable, "-m", "boards.image.dataclass_code", dataclasses.__file__, str(path)]
    subprocess.run(command, check=True)
    return path


def test_nothing_of_the_programs_is_compiled_at_their_start(code: Path) -> None:
    command = [sys.executable, "-c", COUNTS, str(code), *MODULES]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    ready, missing = (int(one) for one in said.split())
    assert ready > 500
    assert missing == 0


def test_the_same_modules_give_the_same_octets(code: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    command = [sys.executable, "-m", "boards.image.dataclass_code", dataclasses.__file__]
    subprocess.run([*command, str(again)], check=True)
    assert again.read_bytes() == code.read_bytes()


def test_a_class_made_by_it_is_as_any_other_and_what_is_not_there_is_compiled(
    code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(dataclasses), "exec", exec)
    start.prepare(start.load(code))

    @dataclasses.dataclass(frozen=True, slots=True)
    class Light:
        on_ms: int
        nobody_else_has_this: int = 0

    assert Light(1) == Light(1, 0)
    assert repr(Light(1)).endswith("Light(on_ms=1, nobody_else_has_this=0)")
    assert hash(Light(2)) == hash(Light(2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Light(1).on_ms = 2  # type: ignore[misc]


def test_the_image_has_it_where_it_is_looked_for() -> None:
    if sys.version_info[:2] == (3, 11):
        assert str(start.CODE).endswith(CODE)


@pytest.mark.parametrize("octets", [b"", b"\0\xff", b"N"])
def test_a_file_that_is_none_costs_time_alone(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "code"
    path.write_bytes(octets)
    assert start.load(path) == {}
    assert start.load(tmp_path / "missing") == {}


def test_a_program_is_run_with_the_command_line(tmp_path: Path) -> None:
    line = 'from firmware.start import run; run("firmware.app", True)'
    config = tmp_path / "ata.toml"
    config.write_text("nonsense = 1\n")
    command = [sys.executable, "-c", line, "--config", str(config), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "nonsense" in done.stderr
