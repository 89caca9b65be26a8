"""Words that the voice menu is put together from, as G.711 mu-law beside this file.

A language is one file, `<language>.ulaw`, of its words in the order of `words.toml`;
`<language>.toml` says how many frames of 20 ms each has. So a device needs no speech synthesis.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from hal.dsp.codecs import Decoder, frame_octets
from hal.values import SILENCE

FOLDER = Path(__file__).parent
_PAUSE_FRAMES = 20
_GAP_FRAMES = 4
_OCTETS = frame_octets("PCMU")
PAUSE = ""
"""In the place of a word."""


def languages() -> tuple[str, ...]:
    """Those that there are words for."""
    return tuple(tomllib.loads((FOLDER / "words.toml").read_text("utf-8")))


def clip(language: str, words: Iterable[str]) -> bytes:
    """Words as 16-bit linear audio, whole frames.

    Raises:
        KeyError: the language has no such word.
        LineFault: libspandsp is not installed.
    """
    sounds, decoder = _sounds(language), Decoder("PCMU")
    frames = [SILENCE] * _PAUSE_FRAMES
    for word in words:
        if word == PAUSE:
            frames += [SILENCE] * _PAUSE_FRAMES
            continue
        sound = sounds[word]
        frames += [decoder.decode(sound[at : at + _OCTETS]) for at in range(0, len(sound), _OCTETS)]
        frames += [SILENCE] * _GAP_FRAMES
    return b"".join(frames)


def words_of_address(address: str) -> list[str]:
    """How an IP address is spoken: digit by digit; none where there is none."""
    try:
        plain = str(ipaddress.ip_address(address))
    except ValueError:
        return ["no_address"]
    names = {".": "point", ":": "colon"}
    return ["address", *(names.get(one, one) for one in plain)]


def words_of_amount(amount: str) -> list[str]:
    """How an amount of money, `-12.50`, is spoken: digit by digit."""
    names = {".": "point", "-": "minus"}
    return [names.get(one, one) for one in amount]


@lru_cache(maxsize=1)
def _sounds(language: str) -> dict[str, bytes]:
    lengths: dict[str, int] = tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
    octets = (FOLDER / f"{language}.ulaw").read_bytes()
    sounds, at = {}, 0
    for word, frames in lengths.items():
        sounds[word] = octets[at : at + frames * _OCTETS]
        at += frames * _OCTETS
    return sounds
