"""Gets Debian's packages and Python's wheels for a board's architecture, into a cache.

apt works with a state of its own for the other architecture; where both fetch from is the business
of apt's and pip's configuration on this machine. What is in the cache is used if its hash is right.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from boards.hardware import Root
from boards.image.lock import ImageBuildError, Locked, sha256_of

Say = Callable[[str], None]
_MACHINES = {"arm64": "aarch64", "amd64": "x86_64", "armhf": "armv7l"}
_SUITES = ("bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable")
_MAIN = ("main",)
_FIELDS = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PYTHON = "3.11"
"""Of the suite `bookworm`."""


def _run(command: Sequence[str], what: str, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ImageBuildError(
            f"{what}: there is no program {command[0]}; install the package that has it"
        ) from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise ImageBuildError(f"{what}: {command[0]} says: {' / '.join(said)}")
    return done.stdout


def _with_components(components: Sequence[str]) -> str:
    """A list of sources: all that this machine has of Debian's, with more components."""
    listed = _run(["apt-get", "indextargets", "--format", _FIELDS], "the archives").splitlines()
    found = {tuple(line.split()) for line in listed}
    lines = {
        f"deb [signed-by={_KEYRING}] {uri} {release} {' '.join(components)}\n"
        for uri, release, component in found
        if component == "main" and release.partition("-")[0] in _SUITES
    }
    return "".join(sorted(lines))


def _sources_of(suite: str) -> str:
    """A list of sources: the archive that this machine's own suite comes from, and its keys.

    Raises:
        ImageBuildError: this machine has none of Debian's archives.
    """
    for line in _run(["apt-get", "indextargets", "--format", _FIELDS], "the archives").splitlines():
        uri, release, component = line.split()
        if component == "main" and release in _SUITES:
            return f"deb [signed-by={_KEYRING}] {uri} {suite} main\n"
    raise ImageBuildError("apt knows no archive of Debian on this machine: see /etc/apt")


class Apt:
    """apt for another architecture, which touches nothing of this machine's packages.

    Args:
        folder: its state and the downloaded packages.
        architecture: Debian's name.
        suite: another one of Debian's than this machine's, from where this machine has its own.
        components: of the archive.
    """

    def __init__(
        self,
        folder: Path,
        architecture: str,
        suite: str = "",
        components: Sequence[str] = _MAIN,
    ) -> None:
        self.folder = folder / "debian"
        self._architecture = architecture
        state = folder / (f"apt-{suite}-{architecture}" if suite else f"apt-{architecture}")
        for part in ("state/lists/partial", "cache/archives/partial"):
            (state / part).mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        self._options = [
            *("-o", f"Dir::State={state / 'state'}", "-o", f"Dir::State::status={state}/status"),
            *("-o", f"Dir::Cache={state / 'cache'}", "-o", f"APT::Architecture={architecture}"),
            *("-o", f"APT::Architectures::={architecture}", "-o", "Acquire::Languages=none"),
            *("-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1", "-q"),
        ]
        if suite or tuple(components) != _MAIN:
            text = _sources_of(suite) if suite else _with_components(components)
            (state / "sources.list").write_text(text, "ascii")
            only = ("-o", f"Dir::Etc::sourcelist={state}/sources.list")
            self._options += [*only, "-o", "Dir::Etc::sourceparts=-"]
        self._updated = False

    def update(self) -> None:
        """Get the lists of packages, once."""
        if not self._updated:
            _run(["apt-get", *self._options, "update"], "the lists of packages")
            self._updated = True

    def wanted(self, packages: Iterable[str], without: Iterable[str]) -> list[tuple[str, str]]:
        """Name and version of the packages and of what they depend on."""
        self.update()
        command = ["apt-get", *self._options, "-s", "--no-install-recommends", "install"]
        said = _run([*command, *packages], "the packages of the root")
        left_out = set(without)
        found = re.findall(r"^Inst (\S+) \((\S+) ", said, re.MULTILINE)
        return sorted((name, version) for name, version in found if name not in left_out)

    def kernel(self, package: str) -> tuple[str, str]:
        """Name and version of the package with the kernel; a name like `linux-image-arm64` alone
        depends on it."""
        self.update()
        said = _run(["apt-cache", *self._options, "depends", package], "the kernel")
        found = re.search(r"Depends: (linux-image-\d\S+)", said)
        return self.candidate(found[1] if found else package)

    def candidate(self, name: str) -> tuple[str, str]:
        """Name and version of one package, as it is offered.

        Raises:
            ImageBuildError: there is none.
        """
        self.update()
        policy = _run(["apt-cache", *self._options, "policy", name], f"the package {name}")
        version = re.search(r"Candidate: (\S+)", policy)
        if version is None or version[1] == "(none)":
            raise ImageBuildError(f"there is no package {name} for {self._architecture}")
        return name, version[1]

    def path(self, file: str) -> Path:
        """Where a downloaded package stands."""
        return self.folder / file

    def download(self, name: str, version: str) -> Locked:
        """Get one package of this version; apt proves it by the archive's signature."""
        file = self._file(name, version)
        if file is None:
            self.update()
            remedy = "if Debian has it no longer, `--lock` takes its successor"
            command = ["apt-get", *self._options, "download", f"{name}={version}"]
            _run(command, f"the package {name} {version} ({remedy})", self.folder)
            file = self._file(name, version)
            assert file is not None
        return Locked(name, version, file.name, sha256_of(file))

    def fetch(self, locked: Locked) -> Path:
        """The package as it was locked.

        Raises:
            ImageBuildError: it cannot be had, or it is another one now.
        """
        path = self.path(locked.file)
        if path.exists() and sha256_of(path) != locked.sha256:
            path.unlink()
        if not path.exists():
            self.download(locked.name, locked.version)
        if not path.exists() or sha256_of(path) != locked.sha256:
            raise ImageBuildError(f"{locked.file} is not the one that was locked: make a new lock")
        return path

    def _file(self, name: str, version: str) -> Path | None:
        """Its file in the cache, which boards of several architectures share."""
        stem = f"{name}_{version.replace(':', '%3a')}"
        files = (self.folder / f"{stem}_{one}.deb" for one in (self._architecture, "all"))
        return next((one for one in files if one.exists()), None)


_SOURCE = (
    *(sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "download"),
    *("--no-deps", "--no-binary=:all:"),
)


class Pip:
    """pip for another architecture."""

    def __init__(self, folder: Path, architecture: str) -> None:
        self.folder = folder / "wheels" / architecture
        self.folder.mkdir(parents=True, exist_ok=True)
        machine = _MACHINES.get(architecture, architecture)
        tags = [f"manylinux_2_{minor}_{machine}" for minor in (36, 28, 17)]
        tags += [f"manylinux2014_{machine}"]
        self._command = [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "download"),
            *("--only-binary=:all:", "--no-deps", "--implementation", "cp"),
            *("--python-version", PYTHON, "--dest", str(self.folder)),
            *(word for tag in tags for word in ("--platform", tag)),
        ]

    def newest(self, name: str) -> Locked:
        """Get a wheel, and say which it is.

        Args:
            name: of the package; with `==` and a version, where another one would not do.
        """
        with_hash = self.folder / "new"
        with_hash.mkdir(exist_ok=True)
        for old in with_hash.iterdir():
            old.unlink()
        _run([*self._command, "--dest", str(with_hash), name], _no_wheel(name))
        wheel = next(with_hash.iterdir())
        target = wheel.replace(self.folder / wheel.name)
        plain = name.partition("==")[0]
        return Locked(plain, wheel.name.split("-")[1], wheel.name, sha256_of(target))

    def source(self, name: str) -> Locked:
        """Get the newest source, and say which it is."""
        alone = self.folder / "source"
        for old in alone.glob(f"{name}-*"):
            old.unlink()
        _run([*_SOURCE, "--dest", str(alone), name], f"the source of {name}")
        file = next(alone.glob(f"{name}-*.tar.gz"))
        version = file.name.removesuffix(".tar.gz").rpartition("-")[2]
        return Locked(name, version, file.name, sha256_of(file))

    def fetch_source(self, locked: Locked) -> Path:
        """The source as it was locked.

        Raises:
            ImageBuildError: it cannot be had, or it is another one now.
        """
        path = self.folder / "source" / locked.file
        if not path.exists() or sha256_of(path) != locked.sha256:
            path.unlink(missing_ok=True)
            wanted = f"{locked.name}=={locked.version}"
            _run([*_SOURCE, "--dest", str(path.parent), wanted], f"the source of {locked.name}")
        if not path.exists() or sha256_of(path) != locked.sha256:
            raise ImageBuildError(f"{locked.file} is not the one that was locked: make a new lock")
        return path

    def fetch(self, locked: Locked) -> Path:
        """The wheel as it was locked.

        Raises:
            ImageBuildError: it cannot be had, or it is another one now.
        """
        path = self.folder / locked.file
        if not path.exists() or sha256_of(path) != locked.sha256:
            path.unlink(missing_ok=True)
            wanted = f"{locked.name}=={locked.version} --hash=sha256:{locked.sha256}\n"
            listed = self.folder / "wanted.txt"
            listed.write_text(wanted)
            _run([*self._command, "--require-hashes", "-r", str(listed)], _no_wheel(locked.name))
        if not path.exists():
            raise ImageBuildError(f"{locked.file} is offered no longer: make a new lock")
        return path


def _no_wheel(name: str) -> str:
    return f"the wheel of {name} (where there is none for the board, name it in to_be_built)"


def newest(root: Root, kernel: str, apt: Apt, pip: Pip, say: Say) -> tuple[Locked, ...]:
    """Kernel, packages and wheels as they are offered today, in this order."""
    say("asking for packages ...")
    wanted = [apt.kernel(kernel), *apt.wanted(root.packages, root.without)]
    wanted += [apt.candidate(name) for name in root.alone]
    found = []
    for index, (name, version) in enumerate(wanted):
        say(f"{index + 1}/{len(wanted)} {name} {version}")
        found.append(apt.download(name, version))
    for name in root.wheels:
        say(f"wheel {name}")
        found.append(pip.newest(name))
    return tuple(found)
