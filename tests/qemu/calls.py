"""Calls between the telephone in the guest and the far end, and what is checked of them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from tests.peers.call import Call
from tests.peers.tones import Samples, Spectrum, loudest
from tests.qemu.stage import (
    CARRIER_HZ,
    MONTREAL,
    MOUTH_HZ,
    TONE_DBM0,
    Stage,
    gaps,
    stamp_of,
    words_of,
)
from tests.scenarios.stage import VALUE_PER_MINUTE, price, usd

LISTEN_S = 1.5
TONE_S = 0.2
"""A tone has to last so long to be one."""
ATTEMPTS = 5
WITHIN_DB = 2.0
LONGEST_FLASH_MS = 1_000
"""US: a break that lasts longer is a hang-up."""
SLACK_MS = 500
"""How late the device may tell of it, on a processor that is emulated."""
TALK_SLACK_MS = 800


async def outgoing(stage: Stage, step: int, *, pulses: bool, note: str = "") -> None:
    """A whole call from the telephone to the far end, and its CDR."""
    over = len(await stage.host.run("cdr", "list", "--account", "alice"))
    call = await talk(stage, step, pulses=pulses)
    await both_ways(stage, step, call, note)
    await hang_up(stage, step, call)
    await check_cdr(stage, step, call, over, "out", VALUE_PER_MINUTE)


async def talk(stage: Stage, step: int, *, pulses: bool) -> Call:
    """Off-hook, dial tone, digits, ringback, answer."""
    report, guest, number = stage.report, stage.guest, f"+1{MONTREAL}"
    before = len(stage.carrier.calls_to(number))
    mark = await stage.mark()
    report.doing(step, "the receiver is lifted")
    await guest.do("lift")
    await stage.logged("tone=dial", mark)
    check_pair(stage, step, "dial tone", await stage.ear(1.0, f"step{step}dial"), (350, 440))
    report.doing(step, f"{MONTREAL} is dialled by {'pulses' if pulses else 'keys'}")
    await guest.do("dial", digits=MONTREAL, pulses=pulses)
    said = await stage.logged("event=calling", mark, 40)
    report.check(
        step,
        "all digits are understood: " + ("pulses, by the kernel" if pulses else "DTMF, by us"),
        f"number=1{MONTREAL}" in said,
        words_of(said),
    )
    await stage.logged("tone=ringback", mark)
    heard = await stage.ear(1.5, f"step{step}ringback")
    check_pair(stage, step, "ringback", heard, (440, 480))
    await stage.logged("call=talking", mark)
    call: Call = stage.carrier.calls_to(number)[before]
    return call


async def both_ways(stage: Stage, step: int, call: Call, note: str = "") -> None:
    """A tone each way; where the processor was busy elsewhere, both listen again."""
    for attempt in range(1, ATTEMPTS + 1):
        stage.report.doing(step, f"both ends listen, attempt {attempt}")
        call.media.forget()
        await stage.guest.do("say", hz=MOUTH_HZ, ms=6_000, dbm0=TONE_DBM0)
        heard, _ = await asyncio.gather(
            stage.ear(LISTEN_S, f"step{step}"), call.wait_heard(LISTEN_S, 30)
        )
        spoken = call.media.samples()
        stage.count_gaps(heard, spoken)
        if _has_tone(heard, CARRIER_HZ) and _has_tone(spoken, MOUTH_HZ):
            break
    tries = f", attempt {attempt}" if attempt > 1 else ""
    check_tone(stage, step, f"the far end's tone in the telephone{note}", heard, tries=tries)
    what = f"the telephone's tone at the far end{note}"
    check_tone(stage, step, what, spoken, MOUTH_HZ, tries=tries)


async def in_the_ear(stage: Stage, step: int, what: str) -> None:
    """The far end's tone alone."""
    for _ in range(ATTEMPTS):
        heard = await stage.ear(LISTEN_S, f"step{step}again")
        stage.count_gaps(heard)
        if _has_tone(heard, CARRIER_HZ):
            break
    check_tone(stage, step, what, heard)


def _has_tone(samples: Samples, hz: float) -> bool:
    """One tone of about the level that was sent, and nothing else, for 200 ms on end."""
    spectrum = Spectrum(loudest(samples, TONE_S))
    (strongest,) = spectrum.strongest()
    return abs(strongest - hz) <= 6 and spectrum.has(hz, TONE_DBM0, WITHIN_DB)


def check_tone(
    stage: Stage,
    step: int,
    what: str,
    samples: Samples,
    hz: float = CARRIER_HZ,
    *,
    tries: str = "",
) -> None:
    """One tone, and nothing else; what is missing of it is told."""
    spectrum = Spectrum(loudest(samples, TONE_S))
    (strongest,) = spectrum.strongest()
    stage.report.check(
        step,
        f"{what}: {hz:.0f} Hz",
        _has_tone(samples, hz),
        f"{strongest:.0f} Hz, {spectrum.dbm0(hz):.1f} dBm0, {gaps(samples)} gaps of 10 ms{tries}",
    )


def check_pair(stage: Stage, step: int, what: str, samples: Samples, hz: tuple[int, int]) -> None:
    """A tone of two frequencies, such as dial tone."""
    pair = Spectrum(loudest(samples, 0.4)).strongest(2)
    stage.report.check(
        step,
        f"{what} in the telephone: {hz[0]} and {hz[1]} Hz",
        all(abs(one - two) <= 6 for one, two in zip(pair, hz, strict=True)),
        f"{pair[0]:.0f} and {pair[1]:.0f} Hz",
    )


async def hang_up(stage: Stage, step: int, call: Call) -> None:
    """The receiver goes back; the driver tells after the country's longest flash."""
    mark = await stage.mark()
    at = await stage.guest.do("hang_up")
    line = await stage.logged("event=on-hook", mark)
    ms = (stamp_of(line) - at) * 1000
    stage.report.check(
        step,
        "the hang-up is told when the longest flash is over (1000 ms)",
        -50 <= ms - LONGEST_FLASH_MS <= SLACK_MS,
        f"{ms:.0f} ms",
    )
    await call.wait("ended", 20)


async def put_back(stage: Stage) -> None:
    """The receiver goes back after the call."""
    mark = await stage.mark()
    await stage.guest.do("hang_up")
    await stage.logged("event=on-hook", mark)


async def check_cdr(
    stage: Stage, step: int, call: Call, over: int, direction: str, per_minute: Decimal
) -> None:
    """The host's own record of the call: who was paid what for how long."""
    row: dict[str, Any] = (await stage.host.cdrs("alice", over + 1))[-1]
    measured_ms = round((call.ended_at - call.answered_at) * 1000)
    talk_ms, cost = row["talk_ms"], Decimal(row["cost"])
    stage.report.check(
        step,
        "CDR: answered, talk as the far end measured it, paid",
        (row["disposition"], row["direction"]) == ("answered", direction)
        and abs(talk_ms - measured_ms) <= TALK_SLACK_MS
        and cost == price(per_minute, row["billed_ms"]) > 0,
        f"{row['direction']}, {talk_ms} ms (far end {measured_ms}), {usd(cost)}",
    )
