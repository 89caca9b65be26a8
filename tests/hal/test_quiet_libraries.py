"""No C function that the device calls prints: standard output belongs to the program.

libspandsp's own echo canceller prints a line for every sample as Debian builds it.
"""

from __future__ import annotations

import ctypes
import gc
import re
from typing import Any

import pytest

from hal.dsp import build_spandsp, build_speexdsp, codecs, data, dtmf, echo
from hal.dsp.connect_tones import ConnectTone, ConnectToneDetector
from hal.dsp.dtmf_receiver import DtmfReceiver
from hal.values import FRAME_SAMPLES, SILENCE

_LOUD = b"\x00\x40\x00\xc0" * 80
_CLIPPED = (b"\xff\x7f" * 4 + b"\x01\x80" * 4) * 20
"""1000 Hz at full scale."""


class Spy:
    """A library that notes which of its functions are called."""

    def __init__(self, lib: Any) -> None:
        self._lib = lib
        self.called: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._lib, name)

        def call(*arguments: Any) -> Any:
            self.called.add(name)
            return function(*arguments)

        return call


def declared(text: str) -> set[str]:
    """Names of the functions of some declarations."""
    return set(re.findall(r"(\w+)\(", text))


def printed(capfd: pytest.CaptureFixture[str]) -> str:
    """What went to descriptors 1 and 2, C's own buffers included."""
    ctypes.CDLL(None).fflush(None)
    got = capfd.readouterr()
    return got.out + got.err


def use_spandsp() -> None:
    """Send, receive, encode, decode, conceal, announce, know a fax machine."""
    sender, receiver = dtmf.DtmfSender(), DtmfReceiver()
    sender.send("15#")
    while (frame := sender.frame()) is not None:
        receiver.hear(frame)
        assert receiver.maybe in (True, False)
    names: tuple[codecs.CodecName, ...] = ("PCMU", "PCMA", "G722", "GSM")
    for name in names:
        encoder, decoder = codecs.Encoder(name), codecs.Decoder(name)
        for frame in (_LOUD, SILENCE):
            decoder.decode(encoder.encode(frame))
    concealer = codecs.Concealer()
    concealer.heard(_LOUD)
    concealer.lost()
    message = b"\x04\x01\x31"
    data.fsk(message + bytes([-sum(message) % 256]), "bell202", -13.5, 30, 30)
    use_connect_tones()


def use_connect_tones() -> None:
    """Send and hear what begins a fax."""
    ffi, lib = dtmf.library()
    detector, block = ConnectToneDetector(), ffi.new("int16_t[]", FRAME_SAMPLES)
    sender = lib.modem_connect_tones_tx_init(ffi.NULL, ConnectTone.ANS.value)
    for _ in range(100):
        lib.modem_connect_tones_tx(sender, block, FRAME_SAMPLES)
        detector.hear(bytes(ffi.buffer(block)))
    lib.modem_connect_tones_tx_free(sender)
    for frame in (_LOUD, _CLIPPED, SILENCE):
        detector.hear(frame)


def use_speexdsp() -> None:
    """Cancel an echo, that then is elsewhere, and audio that is clipped."""
    canceller = echo.EchoCanceller()
    for delay in (1, 3):
        frames = [bytes([at * delay % 251, 8 * (at % 7)] * 160) for at in range(100)]
        for far, near in zip(frames[delay:], frames, strict=False):
            canceller.played(far)
            canceller.cancel(near)
    for near in (_CLIPPED, b"\xff\x7f" * 160, SILENCE, *[_CLIPPED] * 100):
        canceller.played(_CLIPPED)
        canceller.cancel(near)


def test_every_function_of_libspandsp_is_quiet(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ffi, lib = dtmf.library()
    spy = Spy(lib)
    monkeypatch.setattr(dtmf, "_loaded", (ffi, spy))
    use_spandsp()
    gc.collect()
    assert spy.called == declared(build_spandsp.DECLARATIONS)
    assert printed(capfd) == ""


def test_every_function_of_libspeexdsp_is_quiet(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ffi, lib = echo.library()
    spy = Spy(lib)
    monkeypatch.setattr(echo, "library", lambda: (ffi, spy))
    use_speexdsp()
    gc.collect()
    assert spy.called == declared(build_speexdsp.DECLARATIONS)
    assert printed(capfd) == ""


def test_what_a_library_prints_is_seen(capfd: pytest.CaptureFixture[str]) -> None:
    ctypes.CDLL(None).puts(b"estimate 12")
    assert printed(capfd) == "estimate 12\n"
