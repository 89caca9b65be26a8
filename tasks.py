"""Everything that is done with this repository, by one file that sets itself up.

Run bare (`python3 tasks.py demo`) it makes `.venv`, installs what is missing, and does the job;
with invoke installed, `invoke demo` does the same. `python3 tasks.py --list` shows all tasks.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
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
INTEROP = (
    *("sip-tester", "baresip-core", "tshark", "multimon-ng", "minimodem", "iaxmodem"),
    *("espeak-ng", "postgresql", "cpio", "u-boot-tools", "libubootenv-tool", "lrzsz"),
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


def ensure_venv() -> None:
    """Make `.venv` with everything in it; at once when it is there already."""
    if STAMP.exists() and STAMP.read_text() == fingerprint() and PYTHON.exists():
        return
    if sys.version_info < (3, 11):
        fail(f"Python 3.11 or later is needed, this is {sys.version.split()[0]}")
    if not PYTHON.exists():
        say("making .venv ...")
        made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False)
        if made.returncode:
            shutil.rmtree(VENV, ignore_errors=True)
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


def ensure_debian(interop: bool) -> None:
    """Debian's packages: what the device needs, and what the tests talk to."""
    missing = tuple(package for package, library in NEEDED.items() if not has_library(library))
    if missing and not apt_install(missing):
        fail(f"the device needs libraries: run `sudo apt-get install {' '.join(missing)}`")
    if interop:
        absent = tuple(p for p in INTEROP if shutil.which(PROGRAMS[p]) is None)
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


WHOLE_ALONE = ("tests/host/sip", "tests/host/iax2", "tests/host/api/test_v2_described.py")
"""About octets on the wire, with a store behind them, or long: over PostgreSQL by `postgres`
alone."""


def do_test(arguments: list[str]) -> None:
    """`check`, then all tests, and over PostgreSQL those of the host that are about its store; with
    arguments, which go to pytest, the first alone."""
    ensure_debian(interop=True)
    ensure_bench()
    ensure_clients()
    do_check([])
    python("-m", "pytest", "-n", WORKERS, "--dist", "loadfile", *arguments)
    if not arguments:
        do_postgres(["tests/host", *(f"--ignore={folder}" for folder in WHOLE_ALONE)])


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
    command += [str(PYTHON), "-m", "pytest", "--store", "postgres", "-n", WORKERS]
    command += ["--dist", "loadfile"]
    run(*command, *(arguments or ["tests/host"]))


def do_bench(arguments: list[str]) -> None:
    """Measure the host and a device beside their peers; `--json` for one object a line."""
    ensure_debian(interop=True)
    if not ensure_bench():
        raise SystemExit(1)
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
            print(f"  {name:<12}{(function.__doc__ or '').splitlines()[0]}")
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
