"""Ed25519 and SHA-512 of our own: RFC 8032's vectors, and beside programs that others wrote."""

from __future__ import annotations

import hashlib
import subprocess
import tomllib
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.wire.ed25519 import verify
from firmware.wire.sha512 import sha512
from tests.micropython import COMMAND, needs_micropython

ROOT = Path(__file__).parents[2]
VECTORS = tomllib.loads((ROOT / "tests/vectors/ed25519.toml").read_text())["vectors"]
ORDER = 2**252 + 27742317777372353535851937790883648493
named = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])


def octets(vector: dict[str, str]) -> tuple[bytes, bytes, bytes]:
    """Public key, message, signature."""
    public, message, signature = (
        bytes.fromhex(vector[key]) for key in ("public", "message", "signature")
    )
    return public, message, signature


@named
def test_the_vectors_are_those_of_a_signer_that_others_wrote(vector: dict[str, str]) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["secret"]))
    public, message, signature = octets(vector)
    assert key.public_key().public_bytes_raw() == public
    assert key.sign(message) == signature


@named
def test_the_vectors_of_the_standard_are_good(vector: dict[str, str]) -> None:
    assert verify(*octets(vector))


@named
def test_a_vector_with_one_bit_changed_is_not(vector: dict[str, str]) -> None:
    public, message, signature = octets(vector)
    for at in (0, 31, 32, 63):
        wrong = bytearray(signature)
        wrong[at] ^= 1
        assert not verify(public, message, bytes(wrong))
    assert not verify(public, message + b"\0", signature)
    other = VECTORS[0] if vector is not VECTORS[0] else VECTORS[1]
    assert not verify(bytes.fromhex(other["public"]), message, signature)


def theirs(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@settings(max_examples=40)
@given(
    st.binary(min_size=32, max_size=32),
    st.binary(max_size=300),
    st.none() | st.tuples(st.integers(0, 95), st.integers(1, 255)),
)
def test_agrees_with_cryptography(
    secret: bytes, message: bytes, change: tuple[int, int] | None
) -> None:
    key = Ed25519PrivateKey.from_private_bytes(secret)
    sent = bytearray(key.public_key().public_bytes_raw() + key.sign(message))
    if change is not None:
        sent[change[0]] ^= change[1]
    public, signature = bytes(sent[:32]), bytes(sent[32:])
    ours = verify(public, message, signature)
    assert ours == theirs(public, message, signature) == (change is None)


@given(st.binary(max_size=70), st.binary(max_size=20), st.binary(max_size=140))
@settings(max_examples=40)
def test_no_octets_do_worse_than_sign_nothing(
    public: bytes, message: bytes, signature: bytes
) -> None:
    assert not verify(public, message, signature)


def test_a_signature_cannot_be_written_in_a_second_way() -> None:
    public, message, signature = octets(VECTORS[0])
    factor = int.from_bytes(signature[32:], "little") + ORDER
    again = signature[:32] + factor.to_bytes(32, "little")
    assert not verify(public, message, again), "RFC 8032, 5.1.7: S is below the order"


@given(st.binary(max_size=400))
def test_sha_512_is_that_of_hashlib(data: bytes) -> None:
    assert sha512(data) == hashlib.sha512(data).digest()


@pytest.mark.parametrize("length", [0, 111, 112, 127, 128, 239, 240, 256])
def test_sha_512_at_the_edges_of_a_block(length: int) -> None:
    assert sha512(b"l" * length) == hashlib.sha512(b"l" * length).digest()


@needs_micropython
def test_micropython_runs_it_too() -> None:
    public, message, signature = (one.hex() for one in octets(VECTORS[2]))
    program = (
        f"import sys, binascii\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from firmware.wire.ed25519 import verify\n"
        f"given = [binascii.unhexlify(one) for one in ({public!r}, {message!r}, {signature!r})]\n"
        "print(verify(*given), verify(given[0], b'other', given[2]))\n"
    )
    said = subprocess.run([COMMAND, "-c", program], capture_output=True, text=True)
    assert said.stdout.split() == ["True", "False"], said.stderr
