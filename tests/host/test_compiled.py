"""The SIP core as machine code: it is what the sources say, or it is not taken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from host import compiled, compiling

ROOT = Path(__file__).parents[2]
made = pytest.mark.skipif(
    not compiled.place().is_dir(), reason="not compiled: run `loopstart-host compile`"
)


def outside(program: str) -> subprocess.CompletedProcess[str]:
    """Run by a Python of its own, which has imported nothing yet."""
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=110
    )


@made
def test_the_tests_of_the_core_pass_over_its_machine_code() -> None:
    ran = outside(
        "import sys, pytest; from host import compiled; compiled.prefer(); "
        "status = pytest.main(['tests/wire/sip', '-q', '-n', '0', '-p', 'no:cacheprovider']); "
        "sys.exit(status or not compiled.in_use())"
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert " passed" in ran.stdout


@made
def test_the_process_that_carries_calls_takes_it() -> None:
    ran = outside(
        "import sys; sys.argv = ['x', '--help']; from host import compiled; "
        "from host.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: print(compiled.in_use())"
    )
    assert ran.stdout.splitlines()[-1] == "True", ran.stderr


def test_sources_that_have_changed_run_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = compiled.place()
    copies = [Path(shutil.copy(path, tmp_path)) for path in compiled.sources()]
    monkeypatch.setattr(compiled, "sources", lambda: copies)
    assert compiled.place() == before, "the place depends on names and contents alone"
    copies[3].write_text(copies[3].read_text() + "\n")
    assert compiled.place() != before
    assert not compiled.prefer()
    ran = outside("import host.sip.server; from host import compiled; print(compiled.in_use())")
    assert ran.stdout == "False\n", "nobody has asked for it"


@pytest.mark.parametrize("fault", ["no mypyc", "not a folder"])
def test_what_cannot_be_compiled_leaves_nothing_behind(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    if fault == "no mypyc":
        broken = tmp_path / "python"
        broken.write_text("#!/bin/sh\necho 'No module named mypyc' >&2\nexit 1\n")
        broken.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(broken))
        remedy = "No module named mypyc\n.*pip install 'loopstart"
    else:
        (tmp_path / "lib").write_text("")
        remedy = "lib/loopstart: Not a directory"
    with pytest.raises(compiling.CompileError, match=remedy):
        compiling.make()
    assert not compiled.prefer()
    assert not list(tmp_path.glob("lib/loopstart/*"))
