"""Configuration of older schemas: a copy is migrated, and the older file stays as it was."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.config import load_config
from firmware.update.migration import STEPS, MigrationError, migrated, own_path, to_toml
from firmware.wire.provisioning import CONFIG_SCHEMA

OLD = '# the owner\'s\nboard = "sim"\n[sip]\nuser = "1"\npassword = "p"\nservers = ["192.0.2.1"]\n'


def rename(document: dict[str, Any]) -> dict[str, Any]:
    sip = dict(document["sip"])
    return {**document, "sip": {"username": sip.pop("user"), **sip}}


def double(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "doubled": True}


def test_a_newer_program_migrates_a_copy(tmp_path: Path) -> None:
    """Given the file of the version before, when one that is two schemas newer starts, and the
    board falls back, then the old one finds its own untouched."""
    base = tmp_path / "ata.toml"
    base.write_text(OLD)
    own = own_path(base, 3, {1: rename, 2: double})
    assert own == tmp_path / "ata.3.toml"
    document = tomllib.loads(own.read_text())
    assert (document["sip"]["username"], document["doubled"], document["schema"]) == ("1", True, 3)
    assert base.read_text() == OLD
    assert own_path(base, 1) == base
    own.write_text(own.read_text().replace("192.0.2.1", "192.0.2.2"))
    assert "192.0.2.2" in own_path(base, 3, {}).read_text(), "made once, then its own"
    assert own.stat().st_mode & 0o077 == 0, "there is a password in it"


def test_the_newest_older_one_is_taken(tmp_path: Path) -> None:
    base = tmp_path / "ata.toml"
    base.write_text(OLD)
    (tmp_path / "ata.2.toml").write_text('schema = 2\nboard = "pc-dahdi"\n')
    document = tomllib.loads(own_path(base, 3, {2: double}).read_text())
    assert document["board"] == "pc-dahdi"


def test_without_any_it_is_the_reader_who_complains(tmp_path: Path) -> None:
    assert own_path(tmp_path / "ata.toml", 2, {}) == tmp_path / "ata.2.toml"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "schema", "words"),
    [("a = ", 1, "is no TOML"), ("", 4, "has schema 4, 2 is known here; update the firmware")],
)
def test_what_cannot_be_migrated(text: str, schema: int, words: str) -> None:
    with pytest.raises(MigrationError, match=words):
        migrated(text, schema, 2, {1: rename})


def test_each_schema_but_the_last_has_a_step() -> None:
    assert sorted(STEPS) == list(range(1, CONFIG_SCHEMA))


def test_a_configuration_of_another_schema_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "ata.toml"
    path.write_text("schema = 99\n" + OLD.replace("user =", "username ="))
    with pytest.raises(Exception, match="schema: is not 1"):
        load_config(path)


VALUES = st.recursive(
    st.text() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.text(), VALUES, max_size=6))
def test_what_is_written_is_read_back(document: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(document)) == document
