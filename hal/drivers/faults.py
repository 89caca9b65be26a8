"""What is wrong with a simulated line, and what its port then measures: the physics, no more.

The telephone of a line has ringers (1 REN is 6930 ohms and 8 uF, TIA-968) and, while its contacts
are closed, an electronic speech circuit: some volts that it needs, and a resistance.
"""

from __future__ import annotations

from math import hypot, inf, pi, sin, sqrt

from boards.lines import FaultSettings
from hal.line_tests import Probe, Reading

_BATTERY_V = 48.0
LOW_MA, HIGH_MA = 20.0, 40.0
HOOK_MA = 10.0
"""A line that draws so much is off the hook to its card, by a telephone or by a short circuit."""
_TELEPHONE_V, _TELEPHONE_OHM = 5.0, 150.0
_REN_OHM, _REN_F = 6_930.0, 8e-6
_RINGING_VRMS, _RINGING_HZ = 20.0, 20.0


def foreign(faults: FaultSettings, now_ms: float) -> tuple[float, float]:
    """Volts of tip and ring that come from elsewhere, at this instant."""
    swing = sqrt(2) * sin(2 * pi * faults.ac_hz * now_ms / 1000)
    return (
        faults.tip_dc_v + faults.tip_ac_vrms * swing,
        faults.ring_dc_v + faults.ring_ac_vrms * swing,
    )


def loop(tip_ring_ohm: float, closed: bool, most_ma: float) -> tuple[float, float]:
    """Volts between the wires and milliamperes, fed with at most so much.

    Args:
        tip_ring_ohm: of a fault; 0: none.
        closed: the contacts of the telephone.
    """
    siemens = 1 / tip_ring_ohm if tip_ring_ohm else 0.0
    most_a = most_ma / 1000
    if closed:
        volts = (most_a + _TELEPHONE_V / _TELEPHONE_OHM) / (siemens + 1 / _TELEPHONE_OHM)
        if volts < _TELEPHONE_V:
            volts = most_a / siemens
    else:
        volts = most_a / siemens if siemens else inf
    volts = min(volts, _BATTERY_V)
    telephone = max(0.0, volts - _TELEPHONE_V) / _TELEPHONE_OHM if closed else 0.0
    return volts, (volts * siemens + telephone) * 1000


def reading(faults: FaultSettings, closed: bool, probe: Probe, now_ms: float) -> Reading:
    """What a port that measures everything reads."""
    if probe is Probe.OPEN:
        tip, ring = foreign(faults, now_ms)
        return Reading(tip_v=tip, ring_v=ring)
    if probe is Probe.GROUND:
        tip, tip_ma = loop(faults.tip_ground_ohm, False, LOW_MA)
        ring, ring_ma = loop(faults.ring_ground_ohm, False, LOW_MA)
        return Reading(-tip, -ring, tip_ma, ring_ma)
    if probe is Probe.RINGING:
        return _ringing(faults, closed)
    volts, ma = loop(faults.tip_ring_ohm, closed, LOW_MA if probe is Probe.LOW else HIGH_MA)
    ground_ma = volts / faults.ring_ground_ohm * 1000 if faults.ring_ground_ohm else 0.0
    return Reading(0.0, -volts, ma, ma + ground_ma)


def _ringing(faults: FaultSettings, closed: bool) -> Reading:
    reactance = 1 / (2 * pi * _RINGING_HZ * _REN_F)
    square = _REN_OHM**2 + reactance**2
    real, imaginary = faults.ren * _REN_OHM / square, faults.ren * reactance / square
    if faults.tip_ring_ohm:
        real += 1 / faults.tip_ring_ohm
    if closed:
        real += 1 / _TELEPHONE_OHM
    return Reading(vrms=_RINGING_VRMS, ma_rms=hypot(real, imaginary) * _RINGING_VRMS * 1000)
