"""Valid messages and ways to spoil them, by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable

JUNK = (
    b"", b"\0", b"\xff\xfe", b"%", b'"', b"<", b">", b";", b",", b"@", b":", b"\t \t", b"\r", b"\n",
    b"99999999999999999999", b"-1", b"4294967296", b"sip:", b"tel:", b"*", b"\xd9\xa3", b"%00",
    b"A" * 300, b"SIP/2.0", b"[::1", b"=;=;=", b"\\", b"z9hG4bK", b"\r\n \r\n",
)  # fmt: skip
"""What stands in messages that somebody wrote to break a parser."""

Mutation = Callable[[random.Random, bytes], bytes]


def _flip(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def _cut(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randint(1, 60) :]


def _double(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data))
    end = start + rng.randint(1, 80)
    return data[:end] + data[start:end] * rng.randint(1, 5) + data[end:]


def _insert(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.choice(JUNK) + data[at:]


def _truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(1, len(data) + 1)]


def _swap_lines(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"\r\n".join(lines)


def _spoil_line(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    at = rng.randrange(len(lines))
    for mark in (b": ", b"="):
        if mark in lines[at]:
            lines[at] = lines[at].split(mark)[0] + mark + rng.choice(JUNK)
            break
    return b"\r\n".join(lines)


def _repeat_line(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    at = rng.randrange(len(lines))
    lines[at:at] = [lines[at]] * rng.choice((1, 2, 20, 200))
    return b"\r\n".join(lines)


def _drop_line(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    del lines[rng.randrange(len(lines))]
    return b"\r\n".join(lines)


def _noise(rng: random.Random, data: bytes) -> bytes:
    return rng.randbytes(rng.randint(1, 400))


MUTATIONS: tuple[Mutation, ...] = (
    _flip, _cut, _double, _insert, _truncate, _swap_lines, _spoil_line, _spoil_line,
    _repeat_line, _drop_line, _noise,
)  # fmt: skip


def spoil(rng: random.Random, data: bytes) -> bytes:
    """One to three mutations of a message."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(MUTATIONS)(rng, data or b"x")
    return data[:60_000]


def spoil_body(rng: random.Random, data: bytes) -> bytes:
    """The body is spoiled, and Content-Length made to fit: the description itself is tried."""
    head, _, body = data.partition(b"\r\n\r\n")
    body = spoil(rng, body)[:20_000]
    lines = [x for x in head.split(b"\r\n") if not x.lower().startswith(b"content-length")]
    lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
