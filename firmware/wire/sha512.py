"""SHA-512 (FIPS 180-4), for where `hashlib` lacks it: MicroPython, with which rescue runs."""

_MASK = 0xFFFFFFFFFFFFFFFF


def _root(value: int, degree: int) -> int:
    """The largest whole number whose power is not above `value`; Newton, from above."""
    guess = 1 << 72  # above every root that is asked for here
    while True:
        better = ((degree - 1) * guess + value // guess ** (degree - 1)) // degree
        if better >= guess:
            return guess
        guess = better


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % one for one in found):
            found.append(candidate)
        candidate += 1
    return found


_K = [_root(prime << 192, 3) & _MASK for prime in _primes(80)]
"""First 64 bits of the fractions of the cube roots of the first 80 primes (4.2.3)."""
_START = [_root(prime << 128, 2) & _MASK for prime in _primes(8)]
"""The same of the square roots of the first eight (5.3.5)."""


def _turn(word: int, bits: int) -> int:
    return (word >> bits | word << (64 - bits)) & _MASK


def _block(state: list[int], block: bytes) -> list[int]:
    """The state after 128 more octets (6.4.2)."""
    words = [int.from_bytes(block[at : at + 8], "big") for at in range(0, 128, 8)]
    for at in range(16, 80):
        low, high = words[at - 15], words[at - 2]
        small0 = _turn(low, 1) ^ _turn(low, 8) ^ low >> 7
        small1 = _turn(high, 19) ^ _turn(high, 61) ^ high >> 6
        words.append((words[at - 16] + small0 + words[at - 7] + small1) & _MASK)
    a, b, c, d, e, f, g, h = state
    for constant, word in zip(_K, words):  # noqa: B905 - MicroPython's zip knows no `strict`
        sum1 = _turn(e, 14) ^ _turn(e, 18) ^ _turn(e, 41)
        first = h + sum1 + (e & f ^ ~e & _MASK & g) + constant + word
        sum0 = _turn(a, 28) ^ _turn(a, 34) ^ _turn(a, 39)
        second = sum0 + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (
            (first + second) & _MASK, a, b, c, (d + first) & _MASK, e, f, g,
        )  # fmt: skip
    after = (a, b, c, d, e, f, g, h)
    return [(old + new) & _MASK for old, new in zip(state, after)]  # noqa: B905


def sha512(data: bytes) -> bytes:
    """The digest of `data`, 64 octets."""
    pad = b"\x80" + bytes((111 - len(data)) % 128) + (8 * len(data)).to_bytes(16, "big")
    padded = data + pad
    state = _START
    for at in range(0, len(padded), 128):
        state = _block(state, padded[at : at + 128])
    return b"".join([word.to_bytes(8, "big") for word in state])
