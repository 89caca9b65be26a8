"""What of the proof over DAHDI's kernel driver can be tried without a guest, and fast."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from hal.drivers.dahdi_abi import EVENT_WAITS, Call, Event, Param, Params, integer, integer_of
from hal.values import FRAME_OCTETS, SILENCE
from tests.peers.tones import Spectrum
from tests.qemu import __main__ as command
from tests.qemu import build, machine, stage
from tests.qemu.agent import Agent, Door
from tests.qemu.telephone import DIAL, Hook, Telephone, longest_flash_ms

HERE = Path(__file__).parent
SOUND = b"\x10\x20" * 160
RING_BEGAN = 18


class FakeLine:
    """`DeviceFiles`: the telephone's end of a line, as DAHDI has it."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, bytes]] = []
        self.written: list[bytes] = []
        self.from_line: deque[bytes] = deque()
        self.events: deque[int] = deque()
        self.refuses: int | None = None
        """Error number of the next HOOK."""

    def open(self, path: str) -> int:
        assert path.startswith("/dev/dahdi/")
        return 7

    def ioctl(self, fd: int, number: int, argument: bytearray | int = 0) -> int:
        assert isinstance(argument, bytearray)
        if number == Call.GETEVENT.number():
            argument[:] = integer(self.events.popleft() if self.events else 0)
            return 0
        if number == Call.GET_PARAMS.number():
            params = Params(bytes(argument))
            params[Param.FLASH_LONGEST_MS] = 1_000 + integer_of(argument[:4])
            argument[:] = params.octets
            return 0
        self.calls.append((number, bytes(argument)))
        if number == Call.HOOK.number() and self.refuses is not None:
            raise OSError(self.refuses, "refused")
        return 0

    def read(self, fd: int, octets: int) -> bytes:
        if self.events:
            raise OSError(EVENT_WAITS, "an event waits")
        if not self.from_line:
            raise BlockingIOError
        return self.from_line.popleft()

    def write(self, fd: int, data: bytes) -> int:
        self.written.append(data)
        return len(data)

    def watch(self, fd: int, readable: bool) -> int:
        return 8

    def close(self, fd: int) -> None:
        self.calls.append((0, b"close"))

    def hooks(self) -> list[int]:
        return [integer_of(data) for number, data in self.calls if number == Call.HOOK.number()]


@pytest.fixture
def line() -> FakeLine:
    return FakeLine()


@pytest.fixture
def telephone(line: FakeLine) -> Telephone:
    return Telephone(line, 2, lambda: 500.0)


def test_the_telephone_takes_its_channel(line: FakeLine, telephone: Telephone) -> None:
    assert line.calls[0] == (Call.SPECIFY.number(), bytes(integer(2)))
    assert DIAL == 0x4104DA1F, "as header and compiler have it on processors of the usual layout"


def test_a_hand_lifts_flashes_and_hangs_up(line: FakeLine, telephone: Telephone) -> None:
    telephone.lift()
    line.refuses = errno.EINPROGRESS  # so a flash begins where nobody waits
    telephone.flash()
    line.refuses = None
    telephone.hang_up()
    assert line.hooks() == [Hook.OFF, Hook.FLASH, Hook.ON]
    line.refuses = errno.EBUSY
    with pytest.raises(OSError):
        telephone.lift()


def test_dialling_is_the_kernels_and_no_audio_gets_in_its_way(
    line: FakeLine, telephone: Telephone
) -> None:
    telephone.dial("5145", pulses=True)
    number, operation = line.calls[-1]
    assert number == DIAL
    assert struct.unpack("i", operation[:4]) == (1,)
    assert operation[4:].rstrip(b"\0") == b"P5145"
    assert len(operation) == 260
    line.from_line.extend([SILENCE] * 5)
    telephone.work()
    assert line.written == [], "what is written ends the digits"
    line.events.append(Event.DIAL_COMPLETE)
    telephone.work()
    line.from_line.append(SILENCE)
    telephone.work()
    assert line.written, "the mouth is heard again"
    assert telephone.events == [(500.0, "dialled")]


def test_for_each_frame_that_comes_one_goes(line: FakeLine, telephone: Telephone) -> None:
    telephone.say(700, 400, -10)
    telephone.listen()
    line.from_line.extend([SOUND] * 20)
    telephone.work()
    assert telephone.recording == SOUND * 20
    assert len(line.written) > 20, "some are ahead, so that none is late"
    spoken = b"".join(line.written[:20])
    assert all(len(frame) == FRAME_OCTETS for frame in line.written)
    samples = struct.unpack(f"<{len(spoken) // 2}h", spoken)
    assert Spectrum(np.array(samples, np.int16)).has(700, -10)
    assert line.written[20:] == [SILENCE] * (len(line.written) - 20)


def test_rings_and_what_the_kernel_has_no_name_for_are_kept(
    line: FakeLine, telephone: Telephone
) -> None:
    line.events.extend([RING_BEGAN, 99])
    line.from_line.append(SOUND)
    telephone.work()
    assert [what for _, what in telephone.events] == ["ring began", "event 99"]
    assert telephone.frames == 1, "events stand in no frame's way"


def test_a_channels_longest_flash_is_read_past_who_has_it_open(line: FakeLine) -> None:
    assert longest_flash_ms(line, 3) == 1_003


# --- the guest's first programs ---


def test_a_repository_anywhere_but_where_linux_keeps_its_own_is_found_in_the_guest() -> None:
    """One under /tmp was hidden by what was mounted there."""
    mounted = re.findall(r"mount -t \S+ \S+ /new/(\S+)", (HERE / "init.sh").read_text())
    assert mounted == ["run"]


@pytest.mark.parametrize("name", ["init.sh", "guest.sh"])
def test_scripts_are_shell(name: str) -> None:
    done = subprocess.run(["sh", "-n", str(HERE / name)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def unpacked(folder: Path) -> build.Built:
    """A kernel as the packages leave it, but for its contents."""
    root = folder / "root"
    modules = root / "lib/modules/6.1"
    needs: dict[str, list[str]]
    needs = {"virtio": [], "ring": ["virtio"], "virtio_pci": ["ring", "virtio"], "9pnet": []}
    needs |= {"9pnet_virtio": ["9pnet", "ring", "virtio"], "9p": ["9pnet"], "overlay": []}
    modules.mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "bin/busybox").write_bytes(b"busybox" * 3)
    lines = []
    for name, others in needs.items():
        (modules / f"{name}.ko").write_text(name)
        lines.append(f"{name}.ko: {' '.join(f'{other}.ko' for other in others)}\n")
    (modules / "modules.dep").write_text("".join(lines))
    return build.Built(root / "vmlinuz", root, "6.1")


def test_modules_come_after_those_that_they_need(tmp_path: Path) -> None:
    names = [path.stem for path in build.boot_modules(unpacked(tmp_path))]
    assert set(build.BOOT_MODULES) <= set(names)
    assert len(names) == len(set(names))
    for before, after in (("virtio", "ring"), ("ring", "virtio_pci"), ("9pnet", "9p")):
        assert names.index(before) < names.index(after)


def test_a_kernel_without_a_module_that_is_needed_is_told(tmp_path: Path) -> None:
    built = unpacked(tmp_path)
    dependencies = built.root / "lib/modules/6.1/modules.dep"
    text = dependencies.read_text().replace("overlay.ko: \n", "")
    dependencies.write_text(text)
    with pytest.raises(build.BuildError, match="no module overlay"):
        build.boot_modules(built)


@pytest.mark.skipif(shutil.which("cpio") is None, reason="no cpio: apt-get install cpio")
def test_the_initramfs_unpacks(tmp_path: Path) -> None:
    archive = build.cpio([("bin", 0o040755, b""), ("bin/init", 0o100755, b"#!/bin/sh\n"),
                          ("odd", 0o100644, b"abc")])  # fmt: skip
    subprocess.run(["cpio", "-id", "--quiet"], cwd=tmp_path, input=archive, check=True)
    assert (tmp_path / "bin/init").read_bytes() == b"#!/bin/sh\n"
    assert os.access(tmp_path / "bin/init", os.X_OK)
    assert (tmp_path / "odd").read_bytes() == b"abc"


# --- the agent, and the machine around it ---


def test_the_agent_does_what_it_is_told(tmp_path: Path) -> None:
    async def talk() -> None:
        server = await asyncio.start_server(Door(Agent()).serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        guest = machine.Machine(unpacked(tmp_path), tmp_path, Path(sys.executable), port)
        async with server:
            await guest.connect()
            assert await guest.do("hello") == os.uname().release
            assert await guest.run("echo", "two", "words") == "two words\n"
            with pytest.raises(machine.GuestError, match="`false` failed"):
                await guest.run("false")
            with pytest.raises(machine.GuestError, match="there is no telephone"):
                await guest.do("lift")
            with pytest.raises(machine.GuestError, match="no command _work"):
                await guest.do("_work")
            log = str(tmp_path / "log")
            await guest.do(
                "start", name="sleeper", words=["sh", "-c", "echo up; exec sleep 60"], log=log
            )
            assert await guest.do("alive", name="sleeper")
            assert await guest.do("end", name="sleeper") != 0
            await guest.do("write", path=log, text="written")
            assert await guest.do("read", path=log, start=3) == "tten"
            await guest.stop()

    asyncio.run(asyncio.wait_for(talk(), 20))


QEMU = """#!/bin/sh
# A QEMU whose kernel shows itself under TCG alone.
for word; do
    case $word in
        file:*) log=${word#file:} ;;
        kvm) exec sleep 60 ;;
        *hostfwd=tcp:127.0.0.1:*) port=${word#*hostfwd=tcp:127.0.0.1:}; port=${port%%-*} ;;
    esac
done
echo "guest: the kernel is up" > "$log"
exec PYTHON -c "import tests.qemu.agent as a, asyncio; a.PORT = $port; asyncio.run(a.main())"
"""


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_where_kvm_boots_nothing_the_guest_is_emulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    program = tmp_path / "qemu-system-x86_64"
    program.write_text(QEMU.replace("PYTHON", sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(machine, "_why_no_kvm", lambda: "")
    monkeypatch.setattr(machine, "_KVM_BOOT_S", 0.3)

    async def boot() -> None:
        guest = machine.Machine(unpacked(tmp_path), tmp_path, Path(sys.executable), unused_port)
        try:
            await guest.start()
            assert guest.accelerator.startswith("TCG, for /dev/kvm opens, but no kernel")
            assert await guest.do("hello") == os.uname().release
        finally:
            await guest.stop()
        assert not guest.runs

    asyncio.run(asyncio.wait_for(boot(), 30))


def test_a_guest_that_dies_is_told_with_the_end_of_its_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\necho 'no such machine' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    guest = machine.Machine(unpacked(tmp_path), tmp_path, Path(sys.executable))
    with pytest.raises(machine.GuestError, match="no such machine"):
        asyncio.run(asyncio.wait_for(guest.start(), 20))


# --- the command ---


def test_packages_that_are_missing_are_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if "qemu" in name else "/bin/x")
    monkeypatch.setattr(sys, "argv", ["test-dahdi"])
    assert command.main() == 1
    said = capsys.readouterr().err
    assert "sudo apt-get install --no-install-recommends qemu-system-x86`" in said
    monkeypatch.setattr(sys, "argv", ["test-dahdi", "--missing"])
    assert command.main() == 0
    assert capsys.readouterr().out == "qemu-system-x86\n"


def test_each_step_says_what_it_is() -> None:
    for number, (title, step) in command.STEPS.items():
        assert title
        assert (step.__doc__ or "").startswith(f"{number}: ")


def test_lines_of_the_devices_log_are_read() -> None:
    text = '2026-01-02T03:04:05.250Z warning event="card is gone" detail="a b"'
    assert stage.stamp_of(text) == 1767323045.25
    assert stage.words_of(text) == 'event="card is gone" detail="a b"'
