"""RTP, telephone events and G.711."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.wire import rtp
from firmware.wire.errors import PeerError


@given(
    st.builds(
        rtp.RtpPacket,
        st.integers(0, 127),
        st.integers(0, 2**16 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.binary(max_size=200),
        st.booleans(),
        st.lists(st.integers(0, 2**32 - 1), max_size=15).map(tuple),
        st.none() | st.tuples(st.integers(0, 65535), st.integers(0, 5).map(lambda n: b"word" * n)),
    )
)
def test_a_packet_survives_the_wire(packet: rtp.RtpPacket) -> None:
    assert rtp.RtpPacket.from_bytes(packet.to_bytes()) == packet


def test_the_octets_of_a_packet_are_those_of_the_standard() -> None:
    packet = rtp.RtpPacket(0, 0x1234, 0x89ABCDEF, 0xDEADBEEF, b"\xff\x7f", marker=True)
    assert packet.to_bytes().hex() == "8080123489abcdefdeadbeefff7f"


def test_padding_is_taken_off() -> None:
    data = bytes.fromhex("a0000001000000020000000361620002")
    assert rtp.RtpPacket.from_bytes(data).payload == b"ab"


@given(st.binary(max_size=64))
def test_any_octets_are_a_packet_or_a_peer_error(data: bytes) -> None:
    for read in (rtp.RtpPacket.from_bytes, rtp.TelephoneEvent.from_bytes):
        try:
            read(data)
        except PeerError:
            continue


def test_a_key_of_rfc_4733() -> None:
    event = rtp.TelephoneEvent(11, True, -10, 800)
    assert event.to_bytes().hex() == "0b8a0320"
    assert rtp.TelephoneEvent.from_bytes(event.to_bytes()) == event
    assert event.key == "#"
    assert rtp.TelephoneEvent(rtp.EVENT_FLASH).key is None


def test_g711_decodes_to_the_values_of_the_standard() -> None:
    ulaw = array("h", rtp.decode_ulaw(bytes([0xFF, 0x7F, 0x80, 0x00, 0xFE])))
    assert ulaw.tolist() == [0, 0, 32124, -32124, 8]
    alaw = array("h", rtp.decode_alaw(bytes([0xD5, 0x55, 0xAA, 0x2A, 0xD4])))
    assert alaw.tolist() == [8, -8, 32256, -32256, 24]


@pytest.mark.parametrize(
    ("encode", "decode", "zeros"),
    [(rtp.encode_ulaw, rtp.decode_ulaw, {0x7F}), (rtp.encode_alaw, rtp.decode_alaw, set[int]())],
)
def test_every_code_comes_back(encode, decode, zeros) -> None:  # type: ignore[no-untyped-def]
    codes = bytes(sorted(set(range(256)) - zeros))
    assert encode(decode(codes)) == codes


@pytest.mark.parametrize(
    ("encode", "decode"),
    [(rtp.encode_ulaw, rtp.decode_ulaw), (rtp.encode_alaw, rtp.decode_alaw)],
)
def test_every_sample_is_near_what_it_was(encode, decode) -> None:  # type: ignore[no-untyped-def]
    samples = array("h", range(-32768, 32768))
    heard = array("h", decode(encode(samples.tobytes())))
    for sample, back in zip(samples, heard, strict=True):
        assert abs(sample - back) <= max(16, (abs(sample) + 132) / 28), sample


@pytest.mark.parametrize(
    "data",
    [
        "8000000100000002000000",  # too short
        "400000010000000200000003",  # version 1
        "a0000001000000020000000361620000",  # padding of nothing
        "a00000010000000200000003616200ff",  # padding beyond the packet
        "810000010000000200000003",  # a contributing source cut short
        "90000001000000020000000300010002",  # an extension cut short
    ],
)
def test_what_is_no_packet(data: str) -> None:
    with pytest.raises(PeerError):
        rtp.RtpPacket.from_bytes(bytes.fromhex(data))
