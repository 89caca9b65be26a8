"""The signing key: outside the repository, its owner's alone, never overwritten."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from boards import keys
from firmware.wire import ed25519


def test_a_key_signs_what_our_own_check_takes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key.pem"
    public = keys.make(path)
    known, sign = keys.signer(path)
    assert known == public
    assert ed25519.verify(public, b"header", sign(b"header"))
    assert not ed25519.verify(public, b"another", sign(b"header"))


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o277])
def test_its_owner_alone_may_read_it_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    (tmp_path / "there").mkdir()
    path = tmp_path / "there" / "key.pem"
    before = os.umask(mask)
    try:
        keys.make(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    keys.make(path)
    before = path.read_bytes()
    with pytest.raises(keys.KeyFileError, match="boards trust the key in it"):
        keys.make(path)
    assert path.read_bytes() == before


def test_no_key_in_the_repository_not_even_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(keys.REPOSITORY)
    for path in (keys.REPOSITORY / "key.pem", tmp_path / "link" / "tests" / "key.pem"):
        with pytest.raises(keys.KeyFileError, match="in the repository"):
            keys.make(path)
        assert not path.exists()
    assert not keys.default_path().is_relative_to(keys.REPOSITORY)


def test_a_key_that_others_may_read_signs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    keys.make(path)
    path.chmod(0o640)
    with pytest.raises(keys.KeyFileError, match="chmod 600"):
        keys.signer(path)


def test_what_is_no_key_says_so(tmp_path: Path) -> None:
    with pytest.raises(keys.KeyFileError, match="`python3 tasks"):
        keys.signer(tmp_path / "none.pem")
    path = tmp_path / "key.pem"
    path.touch(0o600)
    with pytest.raises(keys.KeyFileError, match="no key"):
        keys.signer(path)
    made = ["openssl", "genpkey", "-quiet", "-algorithm", "X25519", "-out", str(path)]
    subprocess.run(made, check=True)
    path.chmod(0o600)
    with pytest.raises(keys.KeyFileError, match="another kind"):
        keys.signer(path)


def test_the_command_says_where_the_key_is_and_never_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key.pem"
    assert keys.main([str(path)]) == 0
    said = capsys.readouterr()
    assert str(path) in said.out
    assert keys.signer(path)[0].hex() in said.out
    secret = path.read_text().splitlines()[1]
    assert secret not in said.out + said.err
    assert keys.main([str(path)]) == 1
    assert keys.main(["--help"]) == 2
