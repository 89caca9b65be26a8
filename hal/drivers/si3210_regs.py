"""Registers of the Si3210 (Silicon Labs ProSLIC), and what belongs into them.

Sources: [D] the data sheet of the Si3210/Si3211; [W] the presets that DAHDI's driver of the TDM400P
has used on that chip for twenty years.
"""

from __future__ import annotations

from enum import IntEnum


class Reg(IntEnum):
    """Direct registers [D]."""

    REVISION = 0
    PCM_MODE = 1
    PCM_OUT_LOW = 2
    PCM_OUT_HIGH = 3
    PCM_IN_LOW = 4
    PCM_IN_HIGH = 5
    LOOPBACK = 8
    IMPEDANCE = 10
    IDENTITY = 11
    POWER_DOWN = 14
    INTERRUPTS_1 = 18
    INTERRUPTS_2 = 19
    INTERRUPTS_3 = 20
    ENABLE_1 = 21
    ENABLE_2 = 22
    ENABLE_3 = 23
    DTMF = 24
    INDIRECT_LOW = 28
    INDIRECT_HIGH = 29
    INDIRECT_ADDRESS = 30
    INDIRECT_STATUS = 31
    LINEFEED = 64
    BATTERY_SWITCH = 66
    AUTOMATIC = 67
    LOOP_STATUS = 68
    LOOP_CURRENT_LIMIT = 71
    COMMON_MODE = 73
    HIGH_BATTERY = 74
    LOOP_VOLTAGE = 78
    LOOP_CURRENT = 79
    TIP_VOLTAGE = 80
    RING_VOLTAGE = 81
    BATTERY_VOLTAGE = 82
    CONVERTER_PERIOD = 92
    CONVERTER = 93
    CALIBRATE_1 = 96
    CALIBRATE_2 = 97
    CONVERTER_RESULT = 107
    ENHANCEMENTS = 108


class Linefeed(IntEnum):
    """What LINEFEED is set to [D]; the chip itself may have left it since."""

    OPEN = 0
    FORWARD = 1
    FORWARD_TRANSMISSION = 2
    RINGING = 4
    REVERSE = 5
    REVERSE_TRANSMISSION = 6


LINEFEED_SET = 0x07
"""The bits that were set; those above show what the line is doing [D]."""

# Identity after reset [D], as [W] checks it.
LOOPBACK_AT_RESET = 0x02
IDENTITY = 0x33
OLDEST_REVISION = 2

# Power [W]. Voltages are in steps of 376 mV.
CONVERTER_OFF = 0x10
CONVERTER_ON = 0x00
SLOWEST_PERIOD = 0xFF
ENGAGED = 0x19
CALIBRATED = 0x99
"""Engaged, and its own calibration begun."""
POWERED_STEPS = 0xC0
POWERED_WITHIN_MS = 500
LEAK_STEPS = 0x06
"""The battery has sunk so far within LEAK_MS of switching off: the line leaks."""
LEAK_MS = 500
REVISION_C = 0xEB
NO_AUTOMATIC_BATTERY = 0x07
LOW_BATTERY = 0x01
ALL_CALIBRATIONS_2 = 0x1F
ALL_CALIBRATIONS_1 = 0x5F
CALIBRATED_WITHIN_MS = 2_000
CONVERTER_RESULTS = range(0x02, 0x0E)
CONVERTER_RESULT_USUAL = 0x08
COMMON_MODE_VOLTS = 0x04
CALIBRATION_REGISTERS = range(96, 108)

# Interrupts [D]: bits of INTERRUPTS_2 and INTERRUPTS_3.
RING_TRIP = 0x01
LOOP_CHANGED = 0x02
POWER_ALARMS = 0xFC
"""One of the six transistors of the line drivers is too hot."""
DTMF_HEARD = 0x01
ALL = 0xFF
LOOP_CLOSED = 0x01
"""Of LOOP_STATUS, debounced by the chip for 12.5 ms."""
DTMF_VALID = 0x10
DTMF_DIGITS = "D1234567890*#ABC"
"""By the low four bits of DTMF."""

# Measures [D]: size of a step.
BATTERY_STEP_V = 0.376
LOOP_VOLTAGE_STEP_V = 1.5
LOOP_CURRENT_STEP_MA = 1.27
NEGATIVE = 0x40
LOWEST_V = -95.88
"""Of tip and ring; voltages above ground read as 0."""
LEAST_LIMIT_MA, LIMIT_STEP_MA, MOST_LIMIT = 20, 3, 7
"""LOOP_CURRENT_LIMIT counts steps above the least limit: 20 to 41 mA."""

PCM_MODES = {"ulaw": 0x28, "alaw": 0x20, "linear": 0x3C}
"""Enabled; linear goes in transfers of 16 bits [D], the others are [W]'s."""

IMPEDANCE_MADE = 0x08
IMPEDANCES = {"600": 0, "900": 1, "270+750||150nF": 4, "220+820||120nF": 5}
"""Made towards the telephone, by name: IMPEDANCE_MADE and one of these [W]."""

RING_OSCILLATOR = 20
RING_AMPLITUDE = 21
RING_HZ = {20: (0x7EF0, 0x0160), 25: (0x7E6D, 0x01B9)}
"""RING_OSCILLATOR and RING_AMPLITUDE for a frequency, about 60 V [W]."""

FILTERS = range(35, 40)
"""Indirect: of loop closure, ring trip and the transistors' heat; emptied before power-up [W]."""
FILTER_EMPTY = 0x8000
SCRATCH = 97

INDIRECT: dict[int, int] = {
    # DTMF: peaks of the four rows and of the first column, twist, ratios, second harmonics, levels
    0: 0x55C2, 1: 0x51E6, 2: 0x4B85, 3: 0x4937, 4: 0x3333, 5: 0x0202, 6: 0x0202, 7: 0x0198,
    8: 0x0198, 9: 0x0611, 10: 0x0202, 11: 0x00E5, 12: 0x0A1C,
    # both tone oscillators: coefficient, amplitude, phase
    13: 0x7B30, 14: 0x0063, 15: 0x0000, 16: 0x7870, 17: 0x007D, 18: 0x0000,
    # ringing: offset, oscillator, amplitude, phase
    19: 0x0000, RING_OSCILLATOR: 0x7EF0, RING_AMPLITUDE: 0x0160, 22: 0x0000,
    # metering pulses: envelope, amplitude, phase
    23: 0x2000, 24: 0x2000, 25: 0x0000,
    # digital gain towards the ear, and from the mouth: 1
    26: 0x4000, 27: 0x4000,
    # thresholds: loop closure, ring trip, common mode least and most, power of Q1-2, Q3-4, Q5-6
    28: 0x1000, 29: 0x3600, 30: 0x1000, 31: 0x0200, 32: 0x07C0, 33: 0x2600, 34: 0x1B80,
    # filters: loop closure, ring trip, heat of Q1-2, Q3-4, Q5-6
    35: 0x8000, 36: 0x0320, 37: 0x008C, 38: 0x0100, 39: 0x0010,
    # bias while ringing, least voltage of the converter, its margin, threshold when the loop opens
    40: 0x0C00, 41: 0x0C00, 42: 0x1000, 43: 0x1000,
}  # fmt: skip
"""Presets of the indirect registers [W]."""
