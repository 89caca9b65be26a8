"""`python -m tests.hal.talkoff`: does speech sound like digits? Beside multimon-ng's opinion.

espeak-ng reads what stands in this repository's own pages, each piece in another voice and at
another speed, at telephone band and level. Whatever digit is heard in it is false. At most two an
hour may be. Exit status: 0 no more were heard, 1 more were, 2 a program is missing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hal.dsp.dtmf_receiver import DtmfReceiver
from hal.values import FRAME_OCTETS, SILENCE
from tests.hal import ears
from tests.hal.speech import speech

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "LICENSE", "host/README.md", "CHANGELOG.md")
VOICES = (
    *("en-us", "en-gb", "en-us+f2", "en-us+m3", "en-gb+f4", "en-gb-scotland+m5", "en-us+f5"),
    *("fr", "es", "de", "fr+f3", "es+m2", "it+f1", "pt-br", "en-us+croak", "en-us+whisper"),
)
SPEEDS = (110, 140, 170, 200, 240)
LEVELS_DBM0 = (-21.0, -15.0, -11.0)
MOST_AN_HOUR = 2
_PIECE = 1_200


def pieces() -> Iterator[str]:
    """The pages' prose, piece by piece, and again from the start."""
    text = " ".join((ROOT / page).read_text("utf-8") for page in PAGES)
    words = re.sub(r"[^\w\s.,;:'()-]+", " ", text)
    return itertools.cycle(textwrap.wrap(words, _PIECE, break_on_hyphens=False))


def spoken(minutes: float) -> Iterator[tuple[str, np.ndarray]]:
    """Who speaks, and samples, until there are so many minutes."""
    turns = zip(
        pieces(),
        itertools.cycle(VOICES),
        itertools.cycle(SPEEDS),
        # Of another period than the voices, or a voice would have one level always.
        itertools.cycle((*LEVELS_DBM0, *LEVELS_DBM0[:2])),
        strict=False,
    )
    length = 0
    for text, voice, speed, level in turns:
        if length >= minutes * 60 * 8_000:
            return
        samples = speech(voice, speed, text, level)
        length += len(samples)
        yield f"{voice} at {speed} words a minute and {level:g} dBm0", samples


def heard(octets: bytes) -> tuple[str, int]:
    """What our receiver hears, and in how many frames it thought that a digit may sound."""
    receiver, digits, maybe = DtmfReceiver(), "", 0
    for at in range(0, len(octets), FRAME_OCTETS):
        frame = octets[at : at + FRAME_OCTETS]
        digits += receiver.hear(frame + SILENCE[len(frame) :])
        maybe += receiver.maybe
    return digits, maybe


def run(minutes: float, as_json: bool) -> int:
    """Listen, and tell."""
    ours = theirs = ""
    seconds = maybe_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for who, samples in spoken(minutes):
            octets = samples.astype("<i2").tobytes()
            digits, maybe = heard(octets)
            others = ears.dtmf(octets, Path(folder))
            ours, theirs = ours + digits, theirs + others
            seconds += len(samples) / 8_000
            maybe_s += maybe * 0.02
            if digits and not as_json:
                print(f"{seconds:.0f} s, {who}: {digits}", file=sys.stderr)
    told = {
        "speech_s": round(seconds),
        "digits": len(ours),
        "multimon_digits": len(theirs),
        "muted_s": round(maybe_s, 2),
    }
    if as_json:
        print(json.dumps(told))
    else:
        print(
            f"{seconds / 60:.0f} minutes of speech: {len(ours)} false digits {ours!r}, multimon-ng "
            f"{len(theirs)}; {maybe_s:.1f} s of it would be muted where digits travel as events"
        )
    return 0 if len(ours) <= MOST_AN_HOUR * max(1.0, minutes / 60) else 1


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        prog="tasks.py talkoff", description=(__doc__ or "").splitlines()[0].split(": ")[1]
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="of speech (60)")
    parser.add_argument("--json", action="store_true", help="one object")
    options = parser.parse_args()
    for program in ("espeak-ng", "multimon-ng"):
        if shutil.which(program) is None:
            print(f"talkoff: run `sudo apt-get install {program}`", file=sys.stderr)
            return 2
    return run(options.minutes, options.json)


if __name__ == "__main__":
    sys.exit(main())
