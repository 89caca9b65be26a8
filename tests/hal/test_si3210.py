"""The Si3210: waking it in the right order, its faults, what it measures, how it comes back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.board import LineHardware
from boards.lines import Si3210Settings
from hal.countries import country_codes, load_country
from hal.drivers import open_line
from hal.drivers import si3210_regs as regs
from hal.drivers.alsa import AlsaAudio
from hal.drivers.alsa_fake import FakeAlsa
from hal.drivers.si3210 import Si3210Line
from hal.drivers.si3210_bus import GpioInterrupt, open_chip, open_interrupt
from hal.drivers.si3210_chip import Chip
from hal.drivers.si3210_power import Calibration, power_up, restore
from hal.drivers.si3210_regs import Linefeed, Reg
from hal.drivers.si3210_sim import Misuse, Si3210Sim
from hal.values import DtmfDigit, Feed, LineFault, LoopCurrent, RingCadence
from tests.hal.rigs import Si3210IntRig, Si3210Rig

RING = RingCadence((2_000, 4_000))


class Bench:
    """A chip without a driver, and time."""

    def __init__(self, **faults: bool) -> None:
        self.now_ms = 0.0
        self.sim = Si3210Sim(lambda: self.now_ms)
        for name, value in faults.items():
            setattr(self.sim, name, value)
        self.chip = Chip(self.sim)
        self.found: Calibration = {}

    def power_up(self, settings: Si3210Settings | None = None) -> None:
        for wait_ms in power_up(self.chip, settings or Si3210Settings(), self.found):
            self.now_ms += wait_ms

    def refused(self) -> str:
        with pytest.raises(LineFault) as caught:
            self.power_up()
        assert self.sim.wire.feed is Feed.OPEN, "nothing is fed that is not sound"
        return str(caught.value)


def test_a_chip_wakes_in_the_order_that_it_wants() -> None:
    bench = Bench()
    bench.power_up(Si3210Settings(loop_current_ma=26, pcm="alaw", pcm_slot=300))
    read = bench.chip.read
    assert read(Reg.LINEFEED) & regs.LINEFEED_SET == Linefeed.FORWARD
    assert read(Reg.LOOP_CURRENT_LIMIT) == 2  # 20 mA and two steps of 3
    assert read(Reg.PCM_MODE) == 0x20  # A-law
    assert (read(Reg.PCM_OUT_HIGH), read(Reg.PCM_IN_LOW)) == (1, 44)
    assert read(Reg.CONVERTER_RESULT) in range(2, 14)
    assert bench.sim.indirect[36] == 0x0320, "the filters work again"
    assert bench.now_ms < 3_000


@pytest.mark.parametrize("code", country_codes())
def test_each_country_has_its_impedance(code: str) -> None:
    """600 ohm in North America and Brazil, a resistor with another beside a capacitor elsewhere;
    also after the chip has reset itself."""
    rig = Si3210Rig(Si3210Settings(impedance=load_country(code).impedance))
    expected = {"US": 0, "CA": 0, "BR": 0, "UK": 4, "FR": 4, "DE": 5, "AU": 5}[code]
    assert rig.chip.registers[10] == 0x08 | expected
    rig.chip.reset()
    assert rig.chip.registers[10] == 0x08
    rig.wait(10_000)
    assert rig.chip.registers[10] == 0x08 | expected


def test_the_owners_impedance_goes_before_the_countrys_and_the_boards_before_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []

    def note(_chip: object, _sound: object, settings: Si3210Settings, *_: object) -> None:
        made.append(settings.impedance)

    monkeypatch.setattr("hal.drivers.si3210.Si3210Line", note)
    monkeypatch.setattr("hal.drivers.si3210_bus.open_chip", lambda *_: None)
    monkeypatch.setattr("hal.drivers.libraries.load", lambda *_: None)
    for board in (Si3210Settings(), Si3210Settings(impedance="600")):
        open_line(LineHardware("si3210", si3210=board), lambda: 0.0, None, "900")
    assert made == ["900", "600"]


def test_faults_of_board_and_line_are_told_apart() -> None:
    assert "converter" in Bench(powerless=True).refused()
    assert "leaks" in Bench(leaky=True).refused()
    assert "calibrate" in Bench(uncalibrated=True).refused()
    assert "no Si3210 answers" in Bench(absent=True).refused()
    assert "wiring" in Bench(broken_bus=True).refused()
    assert "holds" in Bench(garbled=True).refused()


def test_how_long_a_fault_may_take() -> None:
    for fault, most_ms in (("powerless", 600), ("leaky", 1_200), ("uncalibrated", 5_500)):
        bench = Bench(**{fault: True})
        bench.refused()
        assert bench.now_ms <= most_ms, fault


@pytest.mark.parametrize(("register", "value", "words"), [
    (Reg.REVISION, 0x01, "revision 1"), (Reg.IDENTITY, 0x32, "register 11"),
    (Reg.LOOPBACK, 0x01, "register 8"),
])  # fmt: skip
def test_another_chip_is_not_woken(register: int, value: int, words: str) -> None:
    bench = Bench()
    bench.sim.registers[register] = value
    assert words in bench.refused()


def test_a_result_of_the_converter_out_of_range_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hal.drivers.si3210_sim._CONVERTER_RESULT", 0x0F)
    bench = Bench()
    bench.power_up()
    assert bench.chip.read(Reg.CONVERTER_RESULT) == 0x08


def test_a_chip_that_has_reset_itself_is_back_at_once() -> None:
    bench = Bench()
    bench.power_up()
    bench.sim.reset()
    before_ms = bench.now_ms
    restore(bench.chip, Si3210Settings(), bench.found)
    assert bench.now_ms == before_ms
    assert bench.chip.read(Reg.LINEFEED) & regs.LINEFEED_SET == Linefeed.FORWARD


def test_a_chip_that_another_program_has_set_up_is_woken_anew() -> None:
    bench = Bench()
    bench.power_up()
    bench.power_up()
    assert bench.chip.read(Reg.LINEFEED) & regs.LINEFEED_SET == Linefeed.FORWARD


# The simulator itself: a driver that is careless meets a Misuse.


def woken() -> Bench:
    bench = Bench()
    bench.power_up()
    return bench


@pytest.mark.parametrize(
    "deed",
    [
        lambda chip: chip.read(77),
        lambda chip: chip.write(90, 0),
        lambda chip: chip.write(Reg.BATTERY_VOLTAGE, 0),
        lambda chip: chip.write_indirect(60, 0),
        lambda chip: chip.write(Reg.LINEFEED, 3),
        lambda chip: chip.write(Reg.POWER_DOWN, 0x10),
        lambda chip: chip.write(Reg.CALIBRATE_1, 0x5F),
        lambda chip: chip._spi.xfer2([0, 0]),
    ],
)
def test_what_a_woken_chip_does_not_forgive(deed: object) -> None:
    with pytest.raises(Misuse):
        deed(woken().chip)  # type: ignore[operator]


def test_steps_that_were_left_out_are_found() -> None:
    with pytest.raises(Misuse, match="converter is off"):
        Bench().chip.write(Reg.LINEFEED, 1)
    with pytest.raises(Misuse, match="Q7"):
        Bench().chip.write(Reg.POWER_DOWN, 0)
    bench = Bench()
    bench.chip.write(Reg.AUTOMATIC, 0x07)
    bench.chip.write(Reg.BATTERY_SWITCH, 1)
    with pytest.raises(Misuse, match="indirect registers"):
        bench.chip.write(Reg.POWER_DOWN, 0)
    for address in (*regs.INDIRECT, regs.SCRATCH):
        bench.chip.write_indirect(address, regs.INDIRECT.get(address, 0))
    bench.chip.write(Reg.POWER_DOWN, 0)
    with pytest.raises(Misuse, match="charged battery"):
        bench.chip.write(Reg.CALIBRATE_1, 0x5F)
    bench.now_ms += 500
    with pytest.raises(Misuse, match="filters"):
        bench.chip.write(Reg.CALIBRATE_1, 0x5F)
    with pytest.raises(Misuse, match="before calibration"):
        bench.chip.write(Reg.LINEFEED, 1)


def test_an_indirect_access_has_to_be_waited_for() -> None:
    bench = woken()
    bench.chip.write(Reg.INDIRECT_ADDRESS, 20)
    with pytest.raises(Misuse, match="before its access was over"):
        bench.chip.read(Reg.INDIRECT_LOW)
    with pytest.raises(Misuse, match="before the last one was over"):
        bench.chip.write(Reg.INDIRECT_LOW, 1)


@given(st.lists(st.tuples(st.sampled_from(sorted(regs.INDIRECT)), st.integers(0, 0xFFFF))))
def test_indirect_registers_keep_what_is_written(words: list[tuple[int, int]]) -> None:
    bench = Bench()
    for address, word in words:
        bench.chip.write_indirect(address, word)
    kept = dict(words)
    assert {address: bench.chip.read_indirect(address) for address in kept} == kept


# The line


@pytest.mark.parametrize("hz", [20, 25])
def test_the_bell_rings_at_the_countrys_frequency(hz: int) -> None:
    rig = Si3210Rig()
    rig.line.ring(RingCadence((1_000, 4_000), hz))
    assert rig.bell_rings()
    assert rig.chip.indirect[20] == {20: 0x7EF0, 25: 0x7E6D}[hz]


def test_another_frequency_is_refused() -> None:
    with pytest.raises(LineFault, match="20 or 25"):
        Si3210Rig().line.ring(RingCadence((1_000, 4_000), 50))


def test_cadences_of_any_kind() -> None:
    rig = Si3210Rig()
    rig.line.ring(RingCadence((400, 200, 400, 2_000), 25))
    rig.wait(6_100)
    assert rig.handset.cadence_ms[:7] == [400, 200, 400, 2_000, 400, 200, 400]


@pytest.mark.parametrize("make", [Si3210Rig, Si3210IntRig])
def test_pulses_of_a_fast_dial_are_seen(make: type[Si3210Rig]) -> None:
    rig = make()
    rig.lift()
    rig.wait(500)
    rig.line.take_events()
    rig.handset.rotary(rig.now_ms, "7", 10)
    rig.wait(1_500)
    flowing = [one.flowing for one in rig.line.take_events() if isinstance(one, LoopCurrent)]
    assert flowing == [False, True] * 7


def test_with_its_interrupt_an_idle_chip_is_hardly_asked() -> None:
    asked = {}
    for make in (Si3210Rig, Si3210IntRig):
        rig = make()
        before = rig.chip.accesses
        rig.wait(10_000)
        asked[make] = rig.chip.accesses - before
    assert asked[Si3210IntRig] <= 10 * 10
    assert asked[Si3210Rig] >= 1_000


def test_digits_that_the_chip_hears() -> None:
    rig = Si3210Rig(Si3210Settings(detect_dtmf=True))
    assert rig.line.capabilities.detects_dtmf
    heard = []
    for code in range(16):
        rig.chip.hear_digit(code)
        rig.wait(20)
        heard += rig.line.take_events()
    assert "".join(one.digit for one in heard if isinstance(one, DtmfDigit)) == "D1234567890*#ABC"


def test_what_the_chip_measures() -> None:
    rig = Si3210Rig()
    idle = rig.line.measure()
    assert idle.loop_v == pytest.approx(48, abs=1.5)
    assert idle.loop_ma == 0
    assert idle.battery_v == pytest.approx(-75, abs=1)
    assert idle.tip_v > idle.ring_v
    rig.lift()
    rig.wait(100)
    assert rig.line.measure().loop_ma == pytest.approx(20, abs=1.3)
    rig.line.feed(Feed.REVERSED)
    reversed_line = rig.line.measure()
    assert reversed_line.loop_ma == pytest.approx(-20, abs=1.3)
    assert reversed_line.loop_v < 0
    rig.line.feed(Feed.OPEN)
    assert rig.line.measure().loop_v == 0


@pytest.mark.parametrize("make", [Si3210Rig, Si3210IntRig])
def test_a_hot_chip_that_opened_the_line_feeds_it_again(
    make: type[Si3210Rig], caplog: pytest.LogCaptureFixture
) -> None:
    rig = make()
    rig.lift()
    rig.wait(200)
    rig.line.take_events()
    rig.chip.alarm()
    assert rig.wire.flowing is False
    rig.wait(1_500)
    assert bool(rig.wire.flowing)
    assert "too hot" in caplog.text


def test_a_chip_that_resets_itself_in_a_call(caplog: pytest.LogCaptureFixture) -> None:
    rig = Si3210Rig()
    rig.line.feed(Feed.REVERSED)
    rig.lift()
    rig.wait(200)
    rig.chip.reset()
    rig.wait(50)
    assert bool(rig.wire.flowing)
    assert rig.wire.feed is Feed.REVERSED
    assert "reset itself" in caplog.text
    rig.line.feed(Feed.FORWARD)
    rig.hang_up()
    rig.wait(500)
    rig.line.ring(RingCadence((1_000, 4_000), 25))
    assert rig.bell_rings()


def test_a_bus_that_fails_ends_the_call_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "loopstart")
    rig = Si3210Rig()
    rig.lift()
    rig.wait(200)
    rig.line.take_events()
    rig.chip.broken_bus = True
    rig.wait(50)
    ended = rig.line.take_events()
    assert [one.flowing for one in ended if isinstance(one, LoopCurrent)] == [False]
    with pytest.raises(LineFault, match="does not answer"):
        rig.line.ring(RING)
    with pytest.raises(LineFault, match="does not answer"):
        rig.line.feed(Feed.OPEN)
    rig.line.ring(None)
    rig.wait(20_000)
    rig.chip.broken_bus = False
    rig.wait(40_000)
    assert [one.message for one in caplog.records] == ["the Si3210 is gone", "the Si3210 is back"]
    begun = rig.line.take_events()
    assert [one.flowing for one in begun if isinstance(one, LoopCurrent)] == [True]
    rig.hang_up()
    rig.wait(500)
    rig.line.ring(RING)
    assert rig.bell_rings()


def test_a_failure_in_the_middle_of_a_call_is_raised_and_changes_nothing() -> None:
    rig = Si3210Rig()
    rig.chip.broken_bus = True
    with pytest.raises(LineFault, match="wiring"):
        rig.line.feed(Feed.REVERSED)
    rig.chip.broken_bus = False
    rig.chip.reset()
    rig.wait(10_000)
    assert rig.wire.feed is Feed.FORWARD


def test_a_line_that_is_closed_is_fed_and_asks_for_nothing() -> None:
    rig = Si3210IntRig()
    rig.line.ring(RING)
    rig.line.close()
    assert not rig.bell_rings()
    assert rig.wire.feed is Feed.FORWARD
    assert rig.line.due_ms is None
    assert rig.line.descriptors() == ()


def test_buses_that_cannot_be_had() -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    spidev = SimpleNamespace(SpiDev=lambda: SimpleNamespace(open=refuse))
    with pytest.raises(LineFault, match=r"/dev/spidev1\.2 .*dtparam=spi=on"):
        open_chip(spidev, Si3210Settings(spi_bus=1, spi_device=2))
    line = SimpleNamespace(
        Direction=SimpleNamespace(INPUT=1),
        Edge=SimpleNamespace(FALLING=1),
        Bias=SimpleNamespace(PULL_UP=1),
    )
    gpiod = SimpleNamespace(line=line, LineSettings=SimpleNamespace, request_lines=refuse)
    with pytest.raises(LineFault, match="GPIO line 7"):
        open_interrupt(gpiod, Si3210Settings(interrupt_line=7))


def test_a_pin_that_fails_is_a_chip_that_fails() -> None:
    def fail(_timeout: float) -> bool:
        raise OSError(5, "Input/output error")

    request = SimpleNamespace(fd=9, wait_edge_events=fail, release=lambda: None)
    now_ms = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now_ms
        now_ms += seconds * 1000

    sim = Si3210Sim(lambda: now_ms)
    sound = AlsaAudio(FakeAlsa(sim.wire), "default", "default", lambda: now_ms)
    line = Si3210Line(
        Chip(sim), sound, Si3210Settings(), lambda: now_ms, GpioInterrupt(request), sleep
    )
    assert line.take_events() == []
    with pytest.raises(LineFault, match="does not answer"):
        line.ring(RING)
