"""DAHDI: what its cards do beyond the contract, and what happens when they fail."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import logging
import select
import socket

import pytest

from boards.lines import DahdiSettings
from hal.drivers.dahdi import DahdiLine
from hal.drivers.dahdi_abi import FXOKS, FXOLS, MOST_EVENTS, Call, Hook, Param, Params, gain
from hal.drivers.dahdi_fake import FakeDahdi
from hal.drivers.devicefile import KernelFiles
from hal.drivers.ioctls import GENERIC, OLDER, PARISC, Direction, layout_of
from hal.drivers.settings import HookTiming
from hal.values import (
    SILENCE,
    Capabilities,
    Feed,
    FlashSeen,
    HookChanged,
    LineEvent,
    LineFault,
    PulseDigit,
    RingCadence,
    ShortBreak,
)
from tests.hal.rigs import DahdiRig, DahdiSpanRig

RING = RingCadence((2_000, 4_000))
GERMAN = HookTiming(flash_least_ms=80, flash_most_ms=130)
SOUND = b"\x10\x20" * 160


def run(rig: DahdiRig, ms: float) -> list[LineEvent]:
    """Let time pass as the device's loop would."""
    events: list[LineEvent] = []
    for _ in range(round(ms / 10)):
        rig.wait(10)
        events += rig.line.take_events()
    return events


def lifted(timing: HookTiming | None = None) -> DahdiRig:
    """A rig whose receiver has been off for a second."""
    rig = DahdiRig(timing=timing)
    rig.lift()
    assert [type(one) for one in run(rig, 1_000)] == [HookChanged]
    return rig


# As header and compiler have them on processors with the usual layout.
USUAL = {
    Call.SPECIFY: 0x4004DA26, Call.SET_BLOCKSIZE: 0x4004DA01, Call.FLUSH: 0x4004DA03,
    Call.GET_PARAMS: 0xC088DA05, Call.SET_PARAMS: 0x4088DA05, Call.HOOK: 0x4004DA07,
    Call.GETEVENT: 0x8004DA08, Call.SETTONEZONE: 0x4004DA16, Call.GET_BUFINFO: 0x8018DA1B,
    Call.SET_BUFINFO: 0x4018DA1B, Call.SETLINEAR: 0x4004DA28, Call.ECHOCANCEL: 0x4004DA21,
    Call.SETCADENCE: 0x4040DA2A, Call.ONHOOKTRANSFER: 0x4004DA33, Call.SETPOLARITY: 0x4004DA5C,
    Call.VMWI: 0xC004DA5E, Call.VMWI_CONFIG: 0x4004DA5F,
    Call.TONEDETECT: 0x4004DA5B, Call.SET_HWGAIN: 0x4008DA56,
}  # fmt: skip


def test_ioctls_have_the_numbers_of_the_header() -> None:
    assert {call: call.number(GENERIC) for call in Call} == USUAL


@pytest.mark.parametrize(
    ("machine", "layout"),
    [("x86_64", GENERIC), ("aarch64", GENERIC), ("armv7l", GENERIC), ("riscv64", GENERIC),
     ("mips", OLDER), ("mips64", OLDER), ("ppc", OLDER), ("ppc64le", OLDER), ("parisc64", PARISC)],
)  # fmt: skip
def test_numbers_are_laid_out_as_the_processor_wants(machine: str, layout: object) -> None:
    assert layout_of(machine) is layout


def test_the_older_layout_is_that_of_the_kernels_own_terminal_calls() -> None:
    # TIOCGWINSZ and TIOCSWINSZ of asm/ioctls.h for PowerPC and MIPS.
    assert OLDER.number(Direction.READ, ord("t"), 104, 8) == 0x40087468
    assert OLDER.number(Direction.WRITE, ord("t"), 103, 8) == 0x80087467
    # TIOCGPTN and TIOCSPTLCK of asm-generic/ioctls.h.
    assert GENERIC.number(Direction.READ, ord("T"), 0x30, 4) == 0x80045430
    assert GENERIC.number(Direction.WRITE, ord("T"), 0x31, 4) == 0x40045431


def test_parameters_lie_where_the_structure_has_them() -> None:
    params = Params()
    params[Param.FLASH_LONGEST_MS] = 600
    assert params.octets[112:116] == (600).to_bytes(4, "little")
    assert gain(-35, True)[:4] == (-35).to_bytes(4, "little", signed=True)


@pytest.mark.parametrize(
    ("timing", "ms"), [(HookTiming(), 1_000), (GERMAN, 400), (HookTiming(hang_up_ms=1_500), 1_500)]
)
def test_a_hang_up_shows_when_the_countrys_longest_flash_is_over(
    timing: HookTiming, ms: int
) -> None:
    rig = lifted(timing)
    start_ms = rig.now_ms
    rig.hang_up()
    (event,) = run(rig, 2_000)
    assert isinstance(event, HookChanged)
    assert not event.off_hook
    assert event.at_ms - start_ms == pytest.approx(ms, abs=30)


@pytest.mark.parametrize("digit", "1234567890")
def test_rotary_digits(digit: str) -> None:
    rig = lifted()
    rig.handset.rotary(rig.now_ms, digit)
    events = run(rig, 2_000)
    assert [one.digit for one in events if isinstance(one, PulseDigit)] == [digit]
    assert len(events) == 1


@pytest.mark.parametrize(
    ("timing", "ms", "seen"),
    [(HookTiming(), 500, True), (HookTiming(), 950, True),
     (dataclasses.replace(GERMAN, pulse=False), 100, True), (HookTiming(flash=False), 300, False)],
)  # fmt: skip
def test_flash(timing: HookTiming, ms: float, seen: bool) -> None:
    rig = lifted(timing)
    rig.handset.flash(rig.now_ms, ms)
    assert [type(one) for one in run(rig, 2_000)] == [FlashSeen] * seen


def test_a_break_that_may_be_a_pulse_or_a_flash_is_told_as_such() -> None:
    rig = lifted(GERMAN)
    rig.handset.flash(rig.now_ms, 100)
    assert [type(one) for one in run(rig, 2_000)] == [ShortBreak]
    rig.handset.rotary(rig.now_ms, "12")
    assert [type(one) for one in run(rig, 3_000)] == [ShortBreak, PulseDigit]


def test_pulses_are_nothing_where_pulse_dialling_is_off() -> None:
    rig = lifted(HookTiming(pulse=False))
    rig.handset.rotary(rig.now_ms, "5")
    assert run(rig, 2_000) == []


def test_a_software_span_says_what_it_has_not() -> None:
    can = DahdiSpanRig().line.capabilities
    assert can == Capabilities(
        debounces_hook=True, counts_pulses=True, opens_loop=True, cancels_echo=True
    )


def test_the_card_hears_digits_only_if_told_to_and_able() -> None:
    port = DahdiSettings(detect_dtmf=True)
    assert DahdiRig(port).line.capabilities.detects_dtmf
    assert not DahdiSpanRig(port).line.capabilities.detects_dtmf
    assert not DahdiRig().line.capabilities.detects_dtmf


def test_loopstart_drops_no_battery() -> None:
    card = FakeDahdi(lambda: 0.0, signalling=FXOLS)
    line = DahdiLine(card, DahdiSettings(), HookTiming(), lambda: 0.0)
    assert not line.capabilities.opens_loop


def broken(**changes: object) -> str:
    """What a card in such a state is answered with."""
    card = FakeDahdi(lambda: 0.0, 3)
    for name, value in changes.items():
        setattr(card, name, value)
    port = DahdiSettings(channel=3, gain_in_db=3.0 if "_software" in changes else 0.0)
    with pytest.raises(LineFault) as caught:
        DahdiLine(card, port, HookTiming(), lambda: 0.0)
    assert not card._open, "the descriptor was given back"
    return str(caught.value)


def test_ports_that_cannot_be_opened_say_what_to_do() -> None:
    assert "modprobe dahdi" in broken(installed=False)
    assert "`fxoks=3`" in broken(present=False)
    assert "Asterisk" in broken(in_use=True)
    assert "`loadzone=us`" in broken(zone=False)
    wrong = Params()
    wrong[Param.SIGNALLING] = 1 << 5 | 1 << 13
    assert "not set up as a telephone's port" in broken(params=wrong)
    assert "remove gain_in_db" in broken(_software=True)


def test_a_receiver_that_is_off_when_the_port_opens_is_told() -> None:
    now_ms = 0.0
    card = FakeDahdi(lambda: now_ms)
    card.wire.handset.lift(0)
    now_ms = 500.0
    card.wire.advance()
    line = DahdiLine(card, DahdiSettings(), HookTiming(), lambda: now_ms)
    assert line.take_events() == [HookChanged(500, True)]
    assert (Call.HOOK, Hook.OFF_HOOK) in card.calls


def test_the_rings_of_another_country() -> None:
    rig = DahdiRig()
    rig.line.ring(RingCadence((400, 200, 400, 2_000), 25))
    run(rig, 6_000)
    assert rig.handset.cadence_ms[:7] == [400, 200, 400, 2_000, 400, 200, 400]
    with pytest.raises(LineFault, match="16 parts"):
        rig.line.ring(RingCadence((100, 100) * 9))
    rig.wait(700)
    assert rig.bell_rings(), "a refusal changes nothing"


def test_the_far_end_has_hung_up_the_battery_drops_once_and_the_call_goes_on() -> None:
    rig = lifted()
    rig.line.feed(Feed.OPEN)
    assert rig.wire.flowing is False
    run(rig, 300)
    rig.line.feed(Feed.FORWARD)
    assert run(rig, 1_500) == []
    assert bool(rig.wire.flowing)
    assert rig.card.calls[-1] == (Call.HOOK, Hook.OFF_HOOK), "asked again until the kernel was free"
    rig.handset.flash(rig.now_ms, 500)
    assert [type(one) for one in run(rig, 2_000)] == [FlashSeen]


def test_a_port_that_is_busy_rings_later() -> None:
    rig = DahdiRig()
    rig.card.be_busy()
    rig.line.ring(RING)
    assert not rig.bell_rings()
    assert rig.line.wake_at_ms() is not None
    run(rig, 1_000)
    assert rig.bell_rings()
    rig.line.ring(None)
    rig.card.be_busy()
    rig.line.ring(RING)
    rig.line.ring(None)
    run(rig, 1_000)
    assert not rig.bell_rings(), "nobody wants it any more"


def test_events_in_the_way_lose_no_frame() -> None:
    rig = lifted()
    rig.line.audio(True)
    got = 0
    for step in range(100):
        if step % 5 == 0:
            rig.card._event(12)
        rig.wait(20)
        got += rig.line.read_audio() is not None
        rig.line.write_audio(SOUND)
    assert got >= 98
    assert rig.last_heard() == SOUND


def test_more_frames_than_fit_are_lost_not_waited_for() -> None:
    rig = lifted()
    rig.line.audio(True)
    for _ in range(10):
        rig.line.write_audio(SOUND)
    assert rig.line.lost_frames == 6  # type: ignore[attr-defined]


def test_the_echo_canceller_runs_with_the_audio() -> None:
    rig = lifted()
    rig.line.audio(True)
    rig.line.audio(False)
    taps = [value for call, value in rig.card.calls if call is Call.ECHOCANCEL]
    assert taps == [0, 128, 0]


def test_the_echo_canceller_stands_still_for_fax() -> None:
    rig = lifted()
    rig.line.audio(True)
    rig.line.cancel_echo(False)
    rig.line.cancel_echo(True)
    rig.line.audio(False)
    rig.line.cancel_echo(True)
    taps = [value for call, value in rig.card.calls if call is Call.ECHOCANCEL]
    assert taps == [0, 128, 0, 128, 0]


def test_lost_events_are_made_up_for() -> None:
    rig = lifted()
    for _ in range(MOST_EVENTS):
        rig.card._event(12)
    rig.hang_up()
    rig.wait(1_500)
    assert rig.line.take_events() == [HookChanged(rig.now_ms, False)]


@pytest.mark.parametrize("told", [True, False])
def test_a_card_that_is_pulled_out_comes_back_by_itself(
    told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "loopstart")
    rig = lifted()
    rig.line.audio(True)
    rig.card.pull_out()
    if not told:
        rig.card._events.clear()
    assert [one.off_hook for one in run(rig, 1_200) if isinstance(one, HookChanged)] == [False]
    assert rig.line.read_audio() is None
    rig.line.write_audio(SILENCE)
    rig.line.ring(None)
    with pytest.raises(LineFault, match="plug it in again"):
        rig.line.ring(RING)
    with pytest.raises(LineFault, match="plug it in again"):
        rig.line.feed(Feed.REVERSED)
    assert rig.line.descriptors() == ()
    assert rig.line.wake_at_ms() is not None, "it looks by itself"
    run(rig, 5_000)
    rig.card.plug_in()
    rig.hang_up()
    assert run(rig, 10_000) == []
    assert [one.message for one in caplog.records] == ["card is gone", "card is back"]
    rig.line.audio(False)
    rig.line.ring(RING)
    assert rig.bell_rings()
    rig.lift()
    assert [type(one) for one in run(rig, 100)] == [HookChanged]
    rig.line.audio(True)
    rig.wait(20)
    assert rig.line.read_audio() is not None


@pytest.mark.parametrize("speaking", [True, False])
def test_the_word_that_a_card_goes_may_meet_audio_first(speaking: bool) -> None:
    rig = lifted()
    rig.line.audio(True)
    rig.wait(20)
    rig.card.pull_out()
    if speaking:
        rig.line.write_audio(SOUND)
    else:
        assert rig.line.read_audio() is None
    assert [one.off_hook for one in run(rig, 100) if isinstance(one, HookChanged)] == [False]
    rig.hang_up()
    run(rig, 2_000)
    rig.card.plug_in()
    run(rig, 10_000)
    rig.line.audio(False)
    rig.line.ring(RING)
    assert rig.bell_rings(), "it is back"


def test_an_absent_card_is_looked_for_ever_more_rarely() -> None:
    rig = DahdiRig()
    rig.card.pull_out()
    rig.line.take_events()
    waits = []
    for _ in range(8):
        wake_ms = rig.line.wake_at_ms()
        assert wake_ms is not None
        waits.append(wake_ms - rig.now_ms)
        rig.wait(wake_ms - rig.now_ms)
        rig.line.take_events()
    assert waits[0] == 1_000
    assert all(one <= two for one, two in itertools.pairwise(waits))
    assert waits[-1] == 30_000


def test_a_card_in_alarm_does_not_ring(caplog: pytest.LogCaptureFixture) -> None:
    rig = DahdiRig()
    rig.card.alarm(True)
    with pytest.raises(LineFault, match="alarm"):
        rig.line.ring(RING)
    rig.card.alarm(False)
    rig.line.ring(RING)
    assert rig.bell_rings()


def test_an_idle_port_wakes_nobody() -> None:
    rig = DahdiRig()
    assert rig.line.descriptors() == rig.line.descriptors()
    rig.wait(1_000)
    assert not rig.card.readable()
    rig.lift()
    rig.wait(100)
    assert rig.card.readable()
    rig.line.take_events()
    rig.line.audio(True)
    assert not rig.card.readable()
    rig.wait(20)
    assert rig.card.readable()
    assert rig.line.wake_at_ms() is None


def test_the_kernels_events_are_seen_by_select() -> None:
    """Urgent TCP data is an exceptional condition, as a card's event is."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    files = KernelFiles()
    fd = near.detach()

    def readable(audio: bool) -> bool:
        return bool(select.select([files.watch(fd, audio)], (), (), 0.2)[0])

    far.send(b"x")
    assert not readable(False)
    assert readable(True)
    assert files.read(fd, 10) == b"x"
    far.send(b"!", socket.MSG_OOB)
    assert readable(False)
    files.close(fd)
    far.close()
    with pytest.raises(OSError) as caught:
        files.read(fd, 10)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(FileNotFoundError):
        files.open("/dev/dahdi/none")


assert FXOKS == 0x1020, "kewlstart, as dahdi/user.h has it"


@pytest.mark.parametrize(("lamp", "bits"), [("reversal", 1), ("dc", 2), ("ac", 4)])
def test_a_card_lights_the_lamp_and_again_when_it_is_back(lamp: str, bits: int) -> None:
    rig = DahdiRig(DahdiSettings(lamp=lamp))  # type: ignore[arg-type]
    assert rig.line.capabilities.lights_lamp
    assert (rig.card.lamp_by, rig.card.lamp_lit) == (bits, False)
    rig.line.light_lamp(True)
    assert rig.card.lamp_lit
    rig.card.pull_out()
    run(rig, 1_500)
    rig.card.lamp_by, rig.card.lamp_lit = 0, False
    rig.card.plug_in()
    run(rig, 40_000)
    assert (rig.card.lamp_by, rig.card.lamp_lit) == (bits, True)
    rig.line.light_lamp(False)
    assert not rig.card.lamp_lit


def test_a_lamp_that_nobody_asked_for_stays_dark_and_one_that_there_is_not_is_told() -> None:
    rig = DahdiRig()
    rig.line.light_lamp(True)
    assert not rig.card.lamp_lit
    assert not rig.line.capabilities.lights_lamp
    DahdiSpanRig().line.light_lamp(True)
    card = FakeDahdi(lambda: 0.0, software=True)
    with pytest.raises(LineFault, match="remove `lamp`"):
        DahdiLine(card, DahdiSettings(lamp="ac"), HookTiming(), lambda: 0.0)
