"""Programs that are not ours: started with a bound on their time, ended by their own id."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

SCENARIOS = Path(__file__).parent / "scenarios"


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """Skips with a clear word where the program is missing."""
    return pytest.mark.skipif(
        shutil.which(program) is None,
        reason=f"{program} is not installed: apt-get install {package}",
    )


class Program:
    """One process and what it wrote."""

    def __init__(self, folder: Path, name: str, *words: str) -> None:
        self.log_path = folder / f"{name}-{time.monotonic_ns()}.log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=folder
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    def wait(self, seconds: float) -> int:
        """Its exit status; fails when it does not end in time."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"it ran for more than {seconds} s\n{self.log[-3000:]}") from None

    def wait_for(self, text: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        while text not in self.log:
            assert time.monotonic() < until, f"no {text!r} in\n{self.log[-3000:]}"
            assert self.process.poll() is None, f"it ended\n{self.log[-3000:]}"
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)


def sipp(folder: Path, scenario: str, address: str, port: int, calls: int, *words: str) -> Program:
    """SIPp with a scenario of ours; it ends after so many calls."""
    return Program(
        folder, "sipp", "sipp", *words, "-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", address,
        "-p", str(port), "-mi", address, "-m", str(calls), "-nostdin", "-timeout", "40",
        "-timeout_error", "-trace_err",
    )  # fmt: skip
