"""The provisioning document and reports: read as written, and wrong keys told by name."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.wire.provisioning import (
    ONCE,
    SECRET,
    Configuration,
    Document,
    DocumentError,
    Firmware,
    LineTest,
    LineTests,
    Report,
    digest_of,
    is_secret,
    make_secret,
    new_secret_bytes,
    new_secret_of,
    normal_mac,
)

IMAGE = Firmware("qemu-arm64", 7, "1.2", 30_000_000, "ab" * 32)
WHOLE = Document(3_600, Configuration(1, 'board = "sim"\n'), IMAGE)
TESTS = LineTests(
    "kitchen", "t1", 90, (LineTest("foreign_emf", "fail", "tip 48 V", "tip", "look"),)
)
REPORT = Report("qemu-arm64", 6, "1.1", "b", "cd" * 32, ("firmware: no room",), (TESTS,))


@pytest.mark.parametrize("document", [WHOLE, Document(60), Document(60, firmware=IMAGE)])
def test_a_document_is_read_as_it_was_written(document: Document) -> None:
    assert Document.from_bytes(document.to_bytes()) == document


def test_a_report_is_read_as_it_was_written() -> None:
    assert Report.from_bytes(REPORT.to_bytes()) == REPORT
    assert REPORT.line_tests[0].failed


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({"interval_s": 5}, ["interval_s: is no whole number from 60 to 604800"]),
        ({"interval_s": True}, ["interval_s: is no whole number from 60 to 604800"]),
        ({"configuration": {"toml": 1}}, [
            "configuration.schema: is no whole number from 1 to 4294967295: it is missing",
            "configuration.toml: is no text of at most 65536 letters",
        ]),
        ({"configuration": []}, ["configuration: is no table"]),
        ({"firmware": {
            "board": "a b", "version": 0, "label": "1", "octets": 1, "sha256": "AB" * 32,
        }}, [
            "firmware.board: is not a name",
            "firmware.version: is no whole number from 1 to 4294967295",
            "firmware.sha256: is not a SHA-256 in lower-case hexadecimal",
        ]),
        ({"schema": 2}, ["schema: 2 is not known here, 1 is; update what reads it"]),
    ],
)  # fmt: skip
def test_each_wrong_key_is_named(changes: dict[str, Any], problems: list[str]) -> None:
    table = json.loads(WHOLE.to_bytes()) | changes
    with pytest.raises(DocumentError) as caught:
        Document.from_bytes(json.dumps(table).encode())
    assert list(caught.value.problems) == problems


def test_keys_of_a_newer_program_are_passed_over() -> None:
    table = json.loads(WHOLE.to_bytes())
    table["colour"] = table["firmware"]["colour"] = "red"
    assert Document.from_bytes(json.dumps(table).encode()) == WHOLE


def test_wrong_line_tests_are_named_by_their_place() -> None:
    table = json.loads(REPORT.to_bytes())
    table["line_tests"][0]["tests"].append({"test": "x", "verdict": "perhaps", "measures": ""})
    with pytest.raises(
        DocumentError, match=r"line_tests\[0\]\.tests\[1\]\.verdict: is none of pass"
    ):
        Report.from_bytes(json.dumps(table).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(
        ["interval_s", "configuration", "firmware", "line_tests", "problems", "schema"]
    ),
    JSON,
    st.binary(max_size=30),
)
def test_whatever_comes_is_read_or_refused(key: str, value: Any, noise: bytes) -> None:
    table = json.loads(WHOLE.to_bytes()) | json.loads(REPORT.to_bytes()) | {key: value}
    for octets in (noise, json.dumps(table).encode(), json.dumps(value).encode()):
        for read in (Document.from_bytes, Report.from_bytes, new_secret_of):
            with suppress(DocumentError):
                read(octets)


@pytest.mark.parametrize("text", ["02:00:5E:10:00:01", "02-00-5e-10-00-01", "0200.5e10.0001"])
def test_a_mac_address_is_known_however_it_is_written(text: str) -> None:
    assert normal_mac(text) == "02005e100001"


@pytest.mark.parametrize("text", ["", "02:00:5e:10:00", "03:00:5e:10:00:01", "../../etc/passwd"])
def test_what_is_no_mac_address(text: str) -> None:
    with pytest.raises(ValueError):
        normal_mac(text)


def test_secrets_are_of_two_kinds_and_kept_as_hashes() -> None:
    own, once = make_secret(bytes), make_secret(lambda count: b"\xff" * count, ONCE)
    assert is_secret(own, SECRET)
    assert not is_secret(own, ONCE)
    assert is_secret(once, ONCE)
    assert not is_secret(own[:-1])
    assert own not in digest_of(own)
    assert new_secret_of(new_secret_bytes(own)) == own
    with pytest.raises(DocumentError, match="32 random octets"):
        new_secret_of(new_secret_bytes(once))
