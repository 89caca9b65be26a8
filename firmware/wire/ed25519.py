"""Checks Ed25519 signatures (RFC 8032, 5.1), in plain Python that MicroPython runs, too.

Only checks: nothing here is secret, so nothing takes care to last equally long. Signing is done by
`cryptography`, where images are built.
"""

from firmware.wire.sha512 import sha512

KEY_OCTETS = 32
SIGNATURE_OCTETS = 64

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
"""Order of the base point."""
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)

# A point is (X, Y, Z, T), with x = X/Z, y = Y/Z, xy = T/Z (5.1.4).


def _add(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = 2 * t1 * t2 * _D % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _x_of(y: int, sign: int) -> int | None:
    """The x that belongs to y (5.1.3), None where there is none."""
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    return _P - x if x & 1 != sign else x


def _point(octets: bytes) -> tuple[int, ...] | None:
    number = int.from_bytes(octets, "little")
    y, sign = number & (2**255 - 1), number >> 255
    x = _x_of(y, sign)
    return None if x is None else (x, y, 1, x * y % _P)


def _octets(point: tuple[int, ...]) -> bytes:
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    number: int = y | (x & 1) << 255
    return number.to_bytes(32, "little")


_BASE_Y = 4 * pow(5, _P - 2, _P) % _P
_BASE_X = _x_of(_BASE_Y, 0) or 0
_BASE = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)
_NEUTRAL = (0, 1, 1, 0)


def _sum_of_multiples(
    first: int, one: tuple[int, ...], second: int, other: tuple[int, ...]
) -> tuple[int, ...]:
    """[first] one + [second] other, bit by bit for both at once."""
    choices = (None, one, other, _add(one, other))
    point: tuple[int, ...] = _NEUTRAL
    for bit in range(252, -1, -1):
        point = _add(point, point)
        chosen = choices[(first >> bit & 1) + 2 * (second >> bit & 1)]
        if chosen is not None:
            point = _add(point, chosen)
    return point


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Was `message` signed with the key that belongs to `public_key`? (5.1.7)

    Any octets are taken: a key or a signature of the wrong length, or that is no point of the
    curve, has signed nothing.
    """
    if len(public_key) != KEY_OCTETS or len(signature) != SIGNATURE_OCTETS:
        return False
    key = _point(public_key)
    factor = int.from_bytes(signature[32:], "little")
    if key is None or factor >= _L:
        return False
    digest = sha512(signature[:32] + public_key + message)
    challenge = int.from_bytes(digest, "little") % _L
    minus_key = (_P - key[0], key[1], key[2], _P - key[3])
    return _octets(_sum_of_multiples(factor, _BASE, challenge, minus_key)) == signature[:32]
