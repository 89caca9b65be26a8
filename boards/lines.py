"""How each kind of port is reached: the tables under `[[lines]]` of a board file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from boards.schema import setting

Impedance = Literal["", "600", "900", "270+750||150nF", "220+820||120nF"]
"""Of a port towards its telephone, ohm and farad; empty: as usual in the country."""


@dataclass(frozen=True, slots=True)
class DahdiSettings:
    """`[lines.dahdi]`: a channel of DAHDI, set up by /etc/dahdi/system.conf and dahdi_cfg."""

    channel: int = setting(1, least=1, most=1023)
    tone_zone: int = setting(-1, least=-1, most=127)
    """-1: the default of system.conf."""
    detect_dtmf: bool = False
    """Let the card hear digits, if it can. It then takes them out of the audio always."""
    echo_canceller: bool = True
    lamp: Literal["", "reversal", "dc", "ac"] = ""
    """What the card lights a telephone's lamp with while messages wait: a reversed line, or a high
    voltage for a neon lamp; empty: nothing, the lamp is told by caller ID's signals alone."""
    gain_in_db: float = setting(0.0, least=-15, most=12)
    """From the mouthpiece; in steps of 0.1 dB, for cards that have it."""
    gain_out_db: float = setting(0.0, least=-15, most=12)


@dataclass(frozen=True, slots=True)
class GpioSettings:
    """`[lines.gpio]`: a SLIC on pins of a GPIO chip, and a sound device for its audio."""

    chip: str = "/dev/gpiochip0"
    hook_line: int = setting(5, least=0, most=1023)
    """Offset of the line at SHK, which tells loop current."""
    ring_mode_line: int = setting(6, least=0, most=1023)
    """At RM, ring mode."""
    reverse_line: int = setting(13, least=0, most=1023)
    """At F/R, forward or reversed."""
    power_down_line: int = setting(-1, least=-1, most=1023)
    """At PD, power down; -1: not wired, and the loop is never opened."""
    hook_active_low: bool = False
    on_hook_audio: bool = True
    """The SLIC carries audio to a receiver that is down: caller ID."""
    capture: str = "plughw:0,0"
    """ALSA's name of the device that hears the mouthpiece."""
    playback: str = "plughw:0,0"

    @staticmethod
    def problem(value: GpioSettings) -> tuple[str, str, str] | None:
        """What no annotation can say: key, what is wrong, remedy."""
        wired = {
            "hook_line": value.hook_line,
            "ring_mode_line": value.ring_mode_line,
            "reverse_line": value.reverse_line,
            "power_down_line": value.power_down_line,
        }
        taken: dict[int, str] = {}
        for key, offset in wired.items():
            if offset >= 0 and offset in taken:
                return key, f"is {offset}, as {taken[offset]} is", "give each pin its own line"
            taken[offset] = key
        return None


@dataclass(frozen=True, slots=True)
class Si3210Settings:
    """`[lines.si3210]`: a Si3210 on an SPI bus, its PCM bus on a sound device of the board."""

    spi_bus: int = setting(0, least=0, most=63)
    spi_device: int = setting(0, least=0, most=63)
    """/dev/spidev<bus>.<device>."""
    spi_hz: int = setting(1_000_000, least=10_000, most=16_000_000)
    interrupt_chip: str = "/dev/gpiochip0"
    interrupt_line: int = setting(-1, least=-1, most=1023)
    """Offset of the GPIO line at INT; -1: not wired, and the chip is asked every 10 ms."""
    loop_current_ma: int = setting(20, least=20, most=41)
    """In steps of 3 mA."""
    impedance: Impedance = ""
    """What the board's circuit wants, whatever [line] and the country say."""
    pcm: Literal["ulaw", "alaw", "linear"] = "ulaw"
    pcm_slot: int = setting(0, least=0, most=1023)
    """Where its time slot begins after the frame pulse, bits."""
    detect_dtmf: bool = False
    """Let the chip hear digits. They then stay in the audio."""
    capture: str = "plughw:0,0"
    """ALSA's name of the device that hears the mouthpiece."""
    playback: str = "plughw:0,0"


_TAPI_CALLS = (
    "EVENT_GET", "LINE_FEED_SET", "RING_CADENCE_HR_SET", "RING_START", "RING_STOP",
    "ENC_START", "ENC_STOP", "DEC_START", "DEC_STOP",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TapiStep:
    """`[[lines.tapi.bring_up]]`: one ioctl of the start, in its place."""

    name: str
    number: int = setting(least=0, most=0xFFFFFFFF)
    on: Literal["control", "line"] = "line"
    value: int = 0
    """The argument, where it is a number."""
    words: tuple[int, ...] = ()
    """What the argument points to, where it is a structure: its 32-bit words."""


@dataclass(frozen=True, slots=True)
class TapiSettings:
    """`[lines.tapi]`: a channel of Lantiq's TAPI. Numbers are those of the target's own header."""

    control: str = "/dev/vmmc10"
    line: str = "/dev/vmmc11"
    channel: int = setting(0, least=0, most=15)
    codec: Literal["PCMU", "PCMA"] = "PCMA"
    calls: dict[str, int] | None = None
    """Numbers of the calls that a line makes."""
    bring_up: tuple[TapiStep, ...] = ()

    @staticmethod
    def problem(value: TapiSettings) -> tuple[str, str, str] | None:
        """What no annotation can say: key, what is wrong, remedy."""
        missing = [name for name in _TAPI_CALLS if name not in (value.calls or {})]
        if missing:
            what = f"lacks {', '.join(missing)}"
            return "calls", what, "take their numbers from drv_tapi_io.h of the target's driver"
        return None


@dataclass(frozen=True, slots=True)
class HybridSettings:
    """`[lines.hybrid]`: what a simulated line gives back of the ear's audio to the mouthpiece."""

    loss_db: float = setting(6.0, least=0, most=60)
    delay_ms: float = setting(2.0, least=0, most=200)
    taps: int = setting(20, least=1, most=128)
    """Length of the impulse response, samples of 1/8000 s; random, and fading."""
    seed: int = setting(1, least=0)


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """`[lines.faults]`: what is wrong with a simulated line, for its tests to find. 0: nothing."""

    tip_ring_ohm: float = setting(0.0, least=0)
    tip_ground_ohm: float = setting(0.0, least=0)
    ring_ground_ohm: float = setting(0.0, least=0)
    tip_dc_v: float = setting(0.0, least=-400, most=400)
    """Foreign voltage against ground."""
    ring_dc_v: float = setting(0.0, least=-400, most=400)
    tip_ac_vrms: float = setting(0.0, least=0, most=400)
    ring_ac_vrms: float = setting(0.0, least=0, most=400)
    ac_hz: float = setting(60.0, least=1, most=400)
    ren: float = setting(1.0, least=0, most=100)
    """Ringers on the line; 0: no telephone."""
    off_hook: bool = False
    """The receiver is off when the program starts."""


@dataclass(frozen=True, slots=True)
class LineHardware:
    """One FXS port of a board."""

    driver: Literal["sim", "dahdi", "gpio", "si3210", "tapi"]
    name: str = "line1"
    control: str = ""
    """Driver `sim`: path of the UNIX socket that moves the handset; empty: none is opened."""
    bounce_seed: int = setting(1, least=0)
    """Driver `sim`: seed of the contact bounce of the handset's switches."""
    echo_canceller: bool = True
    """Cancel echo in the program, where the driver does not."""
    echo_delay_ms: int = setting(0, least=0, most=500)
    """How long audio waits in the driver before it is heard: the program's echo canceller finds
    echo that comes up to 80 ms after that."""
    hybrid: HybridSettings | None = None
    """Driver `sim`: echo on its line; without this table there is none."""
    faults: FaultSettings | None = None
    """Driver `sim`: what is wrong with its line; without this table nothing is."""
    dahdi: DahdiSettings | None = None
    gpio: GpioSettings | None = None
    si3210: Si3210Settings | None = None
    tapi: TapiSettings | None = None

    @staticmethod
    def problem(value: LineHardware) -> tuple[str, str, str] | None:
        """What no annotation can say: key, what is wrong, remedy."""
        for table in _TABLES:
            if getattr(value, table) is not None and table != value.driver:
                what = f"is for the driver `{table}`, but the line has `{value.driver}`"
                return table, what, f'remove it, or write `driver = "{table}"`'
        if value.driver == "tapi" and value.tapi is None:
            return "tapi", "a line of TAPI needs its table of calls", "add `[lines.tapi]`"
        if value.hybrid is not None and value.driver != "sim":
            return "hybrid", "only a simulated line has its echo made", "remove it"
        if value.faults is not None and value.driver != "sim":
            return "faults", "only a simulated line has its faults made", "remove it"
        if value.control and value.driver != "sim":
            return "control", "only a simulated handset has a control socket", "remove it"
        return None


_TABLES = ("dahdi", "gpio", "si3210", "tapi")
