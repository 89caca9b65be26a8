"""`loopstart-update` as a technician starts it: what is wrong is said, with what to do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from boards.board import load_board
from boards.slot import slot_octets
from boards.state import BootState
from firmware.config import load_config
from firmware.update.__main__ import main
from firmware.update.medium import Medium
from firmware.wire.provisioning import make_secret
from host.devices import firmware as images
from host.devices import registry
from tests.firmware.update.test_agent import made, serving
from tests.host.devices.test_endpoint import MAC

ROOT = Path(__file__).parents[3]


def write(folder: Path, provisioning: str = "", board: str = "qemu-arm64") -> Path:
    path = folder / "ata.toml"
    path.write_text(
        f'board = "{board}"\nstate_dir = "{folder / "state"}"\n[sip]\nusername = "1"\n'
        f'password = "p"\nservers = ["127.0.0.1:9"]\n{provisioning}'
    )
    return path


ASKS = '[provisioning]\nurl = "https://127.0.0.1:9"\n'


@pytest.mark.parametrize(
    ("provisioning", "words", "said"),
    [
        ("", [], "has no [provisioning]"),
        ('[provisioning]\nurl = "http://h"\n', [], "is not HTTPS"),
        ('[provisioning]\nsecret = "x"\n', [], "take it from `loopstart-host device secret MAC`"),
        ('[provisioning]\nmac = "x"\n', [], "provisioning.mac: 'x' is no MAC address"),
        (ASKS, ["--flash", "/nowhere"], "give --slot a or --slot b"),
        (ASKS, ["--flash", "/nowhere", "--slot", "a"], "give --key FILE"),
        (ASKS, ["--flash", "/nowhere", "--slot", "a", "--key", "{key}"], "/nowhere: No such file"),
        (ASKS, ["--flash", "/x", "--slot", "a", "--key", "/dev/null"], "64 hexadecimal digits"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    provisioning: str,
    words: list[str],
    said: str,
) -> None:
    key = tmp_path / "key.pub"
    key.write_text("ab" * 32)
    words = [word.format(key=key) for word in words]
    path = write(tmp_path, provisioning)
    try:
        status = main(["--config", str(path), *words])
    except SystemExit as exit_:
        status = int(str(exit_.code))
    assert status == 2
    assert said in capsys.readouterr().err


def test_it_runs_asks_and_ends(tmp_path: Path) -> None:
    """The program itself, on a disk in a file: it enrols, says what runs, and ends at SIGTERM."""
    flash = load_board("qemu-arm64").flash
    assert flash is not None
    disk = tmp_path / "disk"
    with disk.open("wb") as stream:
        stream.truncate(flash.octets)
    with closing(Medium(disk, flash)) as medium:
        medium.write("a", 0, slot_octets(made(1), "qemu-arm64"))
        medium.boot.write(BootState(1, "a", 2, 1, 0))
    key = tmp_path / "key.pub"
    key.write_text("ab" * 32)
    with serving(tmp_path) as (host, address):
        path = write(
            tmp_path,
            f'[provisioning]\nurl = "{address}"\nplain_http = true\nmac = "{MAC}"\n'
            f'secret = "{host.once}"\nrun_dir = "{tmp_path / "run"}"\n',
        )
        words = ["--flash", str(disk), "--slot", "a", "--key", str(key), "--label", "1.1"]
        running = subprocess.Popen(
            [sys.executable, "-m", "firmware.update", "--config", str(path), *words],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert running.stderr is not None
            assert "updates are looked after" in running.stderr.readline()
            running.send_signal(signal.SIGHUP)
            end = time.monotonic() + 40
            while registry.device(host.conn, MAC).version != 1:
                assert time.monotonic() < end
                assert running.poll() is None
                time.sleep(0.1)
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == 0
        shown = registry.device(host.conn, MAC)
        assert (shown.label, shown.slot, shown.board) == ("1.1", "a", "qemu-arm64")
        assert images.images(host.conn) == []
    with closing(Medium(disk, flash)) as medium:
        state = medium.boot.read()
        assert state is not None
        assert state.tries == 3, "a good slot has its tries again as soon as its system is up"


def test_without_a_host_it_judges_the_slot_on_trial_and_ends(tmp_path: Path) -> None:
    """A good slot leaves nothing to do; one on trial is watched."""
    flash = load_board("qemu-arm64").flash
    assert flash is not None
    disk = tmp_path / "disk"
    with disk.open("wb") as stream:
        stream.truncate(flash.octets)
    with closing(Medium(disk, flash)) as medium:
        medium.write("a", 0, slot_octets(made(1), "qemu-arm64"))
        medium.boot.write(BootState(1, "a", 2, 1, 0))
    key = tmp_path / "key.pub"
    key.write_text("ab" * 32)
    path = write(tmp_path, "")
    words = ["--flash", str(disk), "--slot", "a", "--key", str(key)]
    command = [sys.executable, "-m", "firmware.update", "--config", str(path), *words]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60).returncode == 0
    with closing(Medium(disk, flash)) as medium:
        medium.boot.write(BootState(1, "a", 2, 0, 0))
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert "updates are looked after" in running.stderr.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(3)
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0


def test_a_lasting_secret_may_stand_in_the_configuration(tmp_path: Path) -> None:
    secret = make_secret(bytes)
    path = write(tmp_path, f'[provisioning]\nsecret = "{secret}"\n')
    given = load_config(path).provisioning
    assert given is not None
    assert given.secret == secret
