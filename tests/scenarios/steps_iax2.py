"""The demo's steps over IAX2: 10, 11 and 12."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from tests.peers.carrier import Plan
from tests.peers.pbx import Pbx, Wire
from tests.peers.tones import Spectrum, loudest
from tests.scenarios.rig import Device
from tests.scenarios.stage import (
    CARRIER_HZ,
    DID_PER_MINUTE,
    FRANK_DID,
    MOUTH_HZ,
    VALUE_PER_MINUTE,
    Stage,
    price,
    usd,
)
from tests.scenarios.steps_lines import LISTEN_S, TONE_DBM0, check_tone

FRANK_HZ = 900
TRUNK_CALLS = 10
TRUNK_NUMBERS = [f"151455507{n:02}" for n in range(TRUNK_CALLS)]
TRUNK_HZ = [500 + 120 * n for n in range(TRUNK_CALLS)]
TRUNK_S = 2.0
DIGITS = "147#"
DIGITS_NUMBER = "5145550155"


async def iax2_to_sip(stage: Stage, step: int = 10) -> None:
    """A device on IAX2 calls a device on SIP: audio both ways, both accounts pay."""
    report, gina, frank = stage.report, stage.devices["gina"], stage.devices["frank"]
    contacts = [
        row["contact"] for row in stage.host.logged("registered") if row["account"] == "gina"
    ]
    report.check(
        step,
        "gina's device is registered over IAX2",
        bool(contacts) and contacts[-1].startswith("iax2:"),
        contacts[-1] if contacts else "it is not",
    )
    report.doing(step, "gina dials frank")
    await gina.dial(FRANK_DID.removeprefix("+1"))
    await frank.wait("ringing")
    await frank.do("off_hook")
    await frank.wait("call", "talking")
    await gina.wait("call", "talking")
    report.doing(step, "both listen")
    await gina.do("tone", [MOUTH_HZ], 4_000, TONE_DBM0)
    await frank.do("tone", [FRANK_HZ], 4_000, TONE_DBM0)
    at_gina, at_frank = await asyncio.gather(
        stage.ear(gina, LISTEN_S, "step10gina"), stage.ear(frank, LISTEN_S, "step10frank")
    )
    check_tone(stage, step, "tone in frank's ear", at_frank, MOUTH_HZ)
    check_tone(stage, step, "tone in gina's ear", at_gina, FRANK_HZ)
    await gina.hang_up()
    await frank.hang_up()
    out = (await stage.host.cdrs("gina", 1))[-1]
    query = "SELECT direction, billed_ms, cost, account_id FROM cdr WHERE call_id = ? ORDER BY leg"
    rows = stage.host.rows(query, out["call_id"])
    talk_ms = out["billed_ms"]
    report.check(
        step,
        "CDR: gina pays the call, frank his DID",
        [row["direction"] for row in rows] == ["out", "in"]
        and talk_ms > 1_000
        and [Decimal(row["cost"]) / 10**8 for row in rows]
        == [price(VALUE_PER_MINUTE, talk_ms), price(DID_PER_MINUTE, talk_ms)],
        ", ".join(f"{row['direction']} {usd(Decimal(row['cost']) / 10**8)}" for row in rows)
        + f" for {talk_ms} ms",
    )


async def trunk(stage: Stage, step: int = 11) -> None:
    """A PBX trunk: ten calls, their voices together in meta frames, both ways."""
    report, carrier = stage.report, stage.carrier
    pbx = Pbx(stage.net[40], stage.iax2, ("pbx", stage.passwords["pbx"]))
    await pbx.start()
    try:
        for number in TRUNK_NUMBERS:
            carrier.plans[f"+{number}"] = Plan(hz=_answering_hz(number))
        for number, hz in zip(TRUNK_NUMBERS, TRUNK_HZ, strict=True):
            pbx.dial(number, hz)
        report.doing(step, "ten calls over one trunk")
        await pbx.answered(TRUNK_CALLS)
        calls = [await stage.carried(f"+{number}") for number in TRUNK_NUMBERS]
        await asyncio.sleep(0.5)
        pbx.forget()
        for call in calls:
            call.media.forget()
        await asyncio.sleep(TRUNK_S)
        came, went = pbx.came, pbx.went
        report.check(
            step,
            "the host sends the ten voices in meta frames, no mini frame beside them",
            _together(came),
            f"{came.meta} meta frames with {came.voices_in_meta} voices in {TRUNK_S:.0f} s, "
            f"{came.mini} mini frames",
        )
        report.check(
            step,
            "so does the PBX, and all ten are answered",
            _together(went),
            f"{went.meta} meta frames with {went.voices_in_meta} voices",
        )
        out = [Spectrum(loudest(call.media.samples())).has(hz, TONE_DBM0)
               for call, hz in zip(calls, TRUNK_HZ, strict=True)]  # fmt: skip
        report.check(
            step, "each caller's tone at the carrier", all(out), f"{sum(out)} of {TRUNK_CALLS}"
        )
        back = [
            Spectrum(loudest(line.samples())).has(
                CARRIER_HZ + 100 * int(line.number[-1]), TONE_DBM0
            )
            for line in pbx.lines
        ]
        report.check(
            step, "each callee's tone at the PBX", all(back), f"{sum(back)} of {TRUNK_CALLS}"
        )
        pbx.hang_up()
        rows = await stage.host.cdrs("pbx", TRUNK_CALLS)
        paid = sum((Decimal(row["cost"]) for row in rows), Decimal())
        right = [
            row["disposition"] == "answered"
            and Decimal(row["cost"]) == price(VALUE_PER_MINUTE, row["billed_ms"]) > 0
            for row in rows
        ]
        report.check(
            step,
            "CDR: ten calls, each paid for",
            len(rows) == TRUNK_CALLS and all(right),
            f"{sum(right)} of {len(rows)}, {usd(paid)}",
        )
    finally:
        await pbx.close()


def _together(wire: Wire) -> bool:
    """Ten voices of mu-law take two datagrams: one would not fit Ethernet's 1,500 octets."""
    enough = 0.8 * TRUNK_CALLS * TRUNK_S * 50
    return wire.mini == 0 and wire.voices_in_meta > max(4 * wire.meta, enough)


def _answering_hz(number: str) -> int:
    return CARRIER_HZ + 100 * int(number[-1])


async def digits(stage: Stage, step: int = 12) -> None:
    """The handset's keys, pressed in a call: DTMF frames become events at the SIP end."""
    report, gina = stage.report, stage.devices["gina"]
    report.doing(step, f"gina dials {DIGITS_NUMBER}")
    await gina.dial(DIGITS_NUMBER)
    await gina.wait("call", "talking")
    call = await stage.carried(f"+1{DIGITS_NUMBER}")
    report.doing(step, f"gina presses {DIGITS}")
    await _press(gina, DIGITS)
    end = asyncio.get_running_loop().time() + 4
    while len(call.media.digits) < len(DIGITS) and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.05)
    report.check(
        step,
        "the carrier gets the keys as telephone events",
        call.media.digits == DIGITS,
        call.media.digits or "none",
    )
    await gina.hang_up()
    await call.wait("ended")
    row = (await stage.host.cdrs("gina", 1))[-1]
    report.check(
        step,
        "CDR: the call is paid for",
        row["disposition"] == "answered" and Decimal(row["cost"]) > 0,
        f"{usd(Decimal(row['cost']))} for {row['billed_ms']} ms",
    )


async def _press(device: Device, keys: str) -> None:
    for key in keys:
        await device.do("dtmf", key, 100, 100)
        await asyncio.sleep(0.25)
