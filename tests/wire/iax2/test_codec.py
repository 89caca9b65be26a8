"""The quick codec against the reference, both ways, and octets of no sense."""

from __future__ import annotations

import pytest
from construct import ConstructError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firmware.wire.errors import PeerError
from firmware.wire.iax2 import reference
from firmware.wire.iax2.elements import TABLE, Elements, Ie, Value
from firmware.wire.iax2.formats import (
    Format,
    choose,
    preferences_from_text,
    preferences_to_text,
)
from firmware.wire.iax2.frames import FullFrame, MiniFrame, TrunkEntry, TrunkFrame
from firmware.wire.iax2.kinds import compress, uncompress
from firmware.wire.iax2.offer import DateTime, NewCall

_NUMBERS = {"u8": 8, "u16": 16, "u32": 32, "u64": 64}
_ADDRESSES = st.one_of(
    st.tuples(st.ip_addresses(v=4).map(str), st.integers(0, 0xFFFF)),
    st.tuples(st.ip_addresses(v=6).map(str), st.integers(0, 0xFFFF)),
)


def _value(code: int) -> st.SearchStrategy[Value]:
    kind = TABLE[code].kind if code in TABLE else "octets"
    if kind in _NUMBERS:
        return st.integers(0, (1 << _NUMBERS[kind]) - 1)
    if kind == "text":
        return st.binary(max_size=40).map(lambda one: one.decode("utf-8", "surrogateescape"))
    if kind == "empty":
        return st.none()
    if kind == "address":
        return _ADDRESSES
    return st.binary(max_size=40)


PAIRS = st.lists(
    st.integers(0, 255).flatmap(lambda code: st.tuples(st.just(code), _value(code))), max_size=12
)
OCTETS = st.binary(max_size=80)


@given(PAIRS)
def test_elements_are_written_as_the_reference_writes_them(pairs: list[tuple[int, Value]]) -> None:
    data = Elements.of(pairs).to_bytes()
    assert data == reference.ELEMENTS.build(pairs)
    assert Elements.from_bytes(data).pairs == tuple(pairs)


@given(OCTETS)
@example(bytes([Ie.VERSION, 1, 2]))
@example(bytes([Ie.FORMAT2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 4]))
@example(bytes([Ie.AUTOANSWER, 2, 1, 1]))
@example(bytes([Ie.APPARENT_ADDR, 16, 2, 0, 0x11, 0xD9, 192, 0, 2, 1]) + bytes(8))
def test_any_octets_are_read_as_the_reference_reads_them_or_refused(data: bytes) -> None:
    try:
        expected = reference.ELEMENTS.parse(data)
    except ConstructError:
        with pytest.raises(PeerError):
            Elements.from_bytes(data)
        return
    elements = Elements.from_bytes(data)
    assert list(elements.pairs) == list(expected)
    assert elements.to_bytes() == data, "nothing of it is lost, known or not"


def test_every_element_of_the_standard_is_in_the_table() -> None:
    assert set(TABLE) == set(range(1, 57))


@given(
    st.integers(1, 0x7FFF), st.integers(0, 0x7FFF), st.booleans(), st.integers(0, 2**32 - 1),
    st.integers(0, 255), st.integers(0, 255), st.integers(0, 255),
    st.one_of(st.integers(0, 127), st.integers(0, 63).map(lambda power: 1 << power)), OCTETS,
)  # fmt: skip
def test_full_frames(
    source: int,
    destination: int,
    again: bool,
    timestamp: int,
    oseqno: int,
    iseqno: int,
    kind: int,
    subclass: int,
    payload: bytes,
) -> None:
    frame = FullFrame(
        source, destination, timestamp, oseqno, iseqno, kind, subclass, payload, again
    )
    octet = compress(subclass)
    expected = reference.FULL.build(
        {
            "source": {"number": source},
            "destination": {"flag": again, "number": destination},
            "timestamp": timestamp,
            "oseqno": oseqno,
            "iseqno": iseqno,
            "type": kind,
            "subclass": {"power": bool(octet & 0x80), "value": octet & 0x7F},
            "payload": payload,
        }
    )
    assert frame.to_bytes() == expected
    assert FullFrame.from_bytes(expected) == frame


@given(OCTETS)
def test_any_octets_as_a_full_frame(data: bytes) -> None:
    try:
        expected = reference.FULL.parse(data)
    except ConstructError:
        with pytest.raises(PeerError):
            FullFrame.from_bytes(data)
        return
    frame = FullFrame.from_bytes(data)
    assert frame.source == expected.source.number
    assert frame.destination == expected.destination.number
    assert frame.retransmission == expected.destination.flag
    assert (frame.timestamp_ms, frame.oseqno, frame.iseqno) == (
        expected.timestamp, expected.oseqno, expected.iseqno,
    )  # fmt: skip
    assert frame.payload == expected.payload


@given(st.integers(1, 0x7FFF), st.integers(0, 0xFFFF), OCTETS)
def test_mini_frames(source: int, timestamp: int, payload: bytes) -> None:
    frame = MiniFrame(source, timestamp, payload)
    expected = reference.MINI.build(
        {"source": {"number": source}, "timestamp": timestamp, "payload": payload}
    )
    assert frame.to_bytes() == expected
    assert MiniFrame.from_bytes(expected) == frame


ENTRIES = st.lists(st.tuples(st.integers(1, 0x7FFF), st.integers(0, 0xFFFF), OCTETS), max_size=5)


@given(st.integers(0, 2**32 - 1), st.booleans(), ENTRIES)
def test_trunk_frames(timestamp: int, stamped: bool, entries: list[tuple[int, int, bytes]]) -> None:
    frame = TrunkFrame(
        timestamp,
        stamped,
        tuple(TrunkEntry(n, low if stamped else None, payload) for n, low, payload in entries),
    )
    expected = reference.TRUNK.build(
        {
            "stamped": {"flag": stamped},
            "timestamp": timestamp,
            "entries": [
                {"source": {"flag": False, "number": n}, "timestamp": low, "payload": payload}
                for n, low, payload in entries
            ],
        }
    )
    assert frame.to_bytes() == expected
    assert TrunkFrame.from_bytes(expected) == frame


@given(OCTETS, st.sampled_from([b"", b"\0\0\1\0", b"\0\0\1\1", b"\0\0\x80\1"]))
@settings(max_examples=300)
def test_any_octets_as_a_trunk_frame(tail: bytes, head: bytes) -> None:
    data = head + tail
    try:
        expected = reference.TRUNK.parse(data)
    except ConstructError:
        with pytest.raises(PeerError):
            TrunkFrame.from_bytes(data)
        return
    frame = TrunkFrame.from_bytes(data)
    assert [(one.source, one.payload) for one in frame.entries] == [
        (one.source.number, one.payload) for one in expected.entries
    ]


def test_subclasses_are_powers_of_two_or_small() -> None:
    for subclass in [*range(128), *(1 << power for power in range(7, 64))]:
        assert uncompress(compress(subclass)) == subclass
    assert uncompress(0xFF) == -1
    with pytest.raises(ValueError, match="200"):
        compress(200)


def test_preferences_as_chan_iax2_writes_them() -> None:
    assert preferences_to_text([Format.ULAW, Format.ALAW, Format.GSM, Format.G722]) == "DECO"
    assert preferences_from_text("DE\x7fC") == (Format.ULAW, Format.ALAW, Format.GSM)


def test_the_choice_of_a_format() -> None:
    ours = (Format.ULAW, Format.ALAW)
    both = int(Format.ULAW | Format.ALAW | Format.GSM)
    assert choose(ours, Format.GSM, (Format.GSM, Format.ALAW), both) is Format.ALAW
    assert choose(ours, Format.ALAW, (), both) is Format.ALAW
    assert choose(ours, Format.GSM, (), both) is Format.ULAW
    assert choose(ours, Format.GSM, (), int(Format.GSM | Format.G729)) is None
    assert choose(ours, None, (Format.ALAW,), 0) is Format.ALAW


@given(st.integers(0, 2**32 - 1))
def test_a_date_and_time(number: int) -> None:
    assert DateTime.from_number(number).to_number() == number


def test_a_new_says_everything() -> None:
    new = NewCall(
        called="15145550100", calling="5145550199", name="Zoë", presentation=0x20,
        type_of_number=1, transit_network=3, language="fr", username="alice",
        formats_preferred=(Format.ALAW, Format.ULAW), capability=12, format=Format.ALAW,
        date_time=DateTime(2026, 11, 22, 22, 10, 42), ani="514", dnid="800", redirecting="555",
        context="in", encryption=True, auto_answer=True,
    )  # fmt: skip
    assert NewCall.of(Elements.from_bytes(Elements.of(new.elements()).to_bytes())) == new


def test_an_address_is_read_whatever_c_left_in_its_padding() -> None:
    content = b"\x02\0\x11\xd9\xc0\0\2\1" + b"leftover"
    elements = Elements.from_bytes(bytes([Ie.APPARENT_ADDR, 16]) + content)
    assert elements.address(Ie.APPARENT_ADDR) == ("192.0.2.1", 4569)
    assert elements.to_bytes()[2:] == content
    short = Elements.from_bytes(bytes([Ie.APPARENT_ADDR, 3]) + content[:3])
    assert short.address(Ie.APPARENT_ADDR) is None


def test_a_long_text_is_cut_between_characters() -> None:
    data = Elements.of([(Ie.CALLING_NAME, "é" * 200)]).to_bytes()
    assert Elements.from_bytes(data).text(Ie.CALLING_NAME) == "é" * 127
