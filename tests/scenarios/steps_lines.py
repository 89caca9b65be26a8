"""The demo's steps that a handset plays: 1, 2, 3, 4 and 6."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from tests.peers.call import Call
from tests.peers.tones import Samples, Spectrum, bursts_ms, loudest
from tests.scenarios.rig import Device
from tests.scenarios.stage import (
    CARRIER_HZ,
    DID,
    DID_PER_MINUTE,
    FIRST_POP,
    MONTREAL,
    MOUTH_HZ,
    PREMIUM_PER_MINUTE,
    SECOND_POP,
    VALUE_PER_MINUTE,
    Stage,
    price,
    usd,
)

TONE_DBM0 = -10.0
LISTEN_S = 1.2
TALK_SLACK_MS = 300
"""The host's talk time may differ so much from the carrier's, on a busy machine."""


async def value_call(stage: Stage, step: int = 1) -> None:
    """An account without a DID calls Montreal on the value route."""
    report, alice = stage.report, stage.devices["alice"]
    dids = await stage.host.run("did", "list", "--account", "alice")
    report.check(step, "the account owns no DID", dids == [], f"{len(dids)} DIDs")
    await _montreal(stage, step, alice, "value", VALUE_PER_MINUTE)


async def premium_call(stage: Stage, step: int = 2) -> None:
    """The same on the premium route."""
    await stage.host.run("account", "set", "alice", "--route", "premium")
    await _montreal(stage, step, stage.devices["alice"], "premium", PREMIUM_PER_MINUTE)


async def _montreal(
    stage: Stage, step: int, device: Device, route: str, per_minute: Decimal
) -> None:
    report, number = stage.report, f"+1{MONTREAL}"
    before = await stage.funds(device.name)
    over = len(await stage.host.run("cdr", "list", "--account", device.name))
    count = len(stage.carrier.calls_to(number)) + 1
    report.doing(step, f"{device.name} dials {MONTREAL}")
    await device.dial(MONTREAL)
    await device.wait("call", "talking")
    call: Call = await stage.carried(number, count)
    await _measure(stage, step, device, call)
    await device.hang_up()
    await call.wait("ended")
    row = (await stage.host.cdrs(device.name, over + 1))[-1]
    _check_cdr(stage, step, row, call, f"{route} 1514", per_minute)
    after = await stage.funds(device.name)
    paid = before["funds"] - after["funds"]
    report.check(
        step,
        "the ledger moved by the CDR's cost, nothing is held",
        paid == Decimal(row["cost"]) > 0 and after["held"] == 0,
        f"{usd(paid)} paid, {usd(after['held'])} held",
    )


async def _measure(stage: Stage, step: int, device: Device, call: Call) -> None:
    """A tone each way: out of the mouth to the carrier's socket, and into the ear."""
    stage.report.doing(step, "both ends listen")
    call.media.forget()
    await device.do("tone", [MOUTH_HZ], 4_000, TONE_DBM0)
    heard, _ = await asyncio.gather(
        stage.ear(device, LISTEN_S, f"step{step}"), call.wait_heard(LISTEN_S)
    )
    check_tone(stage, step, "tone in the ear", heard, CARRIER_HZ)
    check_tone(stage, step, "tone at the carrier", call.media.samples(), MOUTH_HZ)


def check_tone(stage: Stage, step: int, what: str, samples: Samples, hz: float) -> None:
    """One tone, and nothing else."""
    spectrum = Spectrum(loudest(samples))
    (strongest,) = spectrum.strongest()
    stage.report.check(
        step,
        f"{what}: {hz:.0f} Hz at {TONE_DBM0:.0f} dBm0",
        abs(strongest - hz) <= 4 and spectrum.has(hz, TONE_DBM0),
        f"{strongest:.0f} Hz, {spectrum.dbm0(hz):.1f} dBm0",
    )


def _check_cdr(
    stage: Stage, step: int, row: dict[str, Any], call: Call, tariff: str, per_minute: Decimal
) -> None:
    measured_ms = round((call.ended_at - call.answered_at) * 1000)
    talk_ms, cost = row["talk_ms"], Decimal(row["cost"])
    stage.report.check(
        step,
        "CDR: talk as the carrier measured it",
        row["disposition"] == "answered" and abs(talk_ms - measured_ms) <= TALK_SLACK_MS,
        f"{talk_ms} ms, carrier {measured_ms} ms",
    )
    stage.report.check(
        step,
        f"CDR: {tariff}, {usd(per_minute)} a minute, 6/6",
        row["tariff_ref"] == tariff and cost == price(per_minute, row["billed_ms"]),
        f"{row['tariff_ref']}, {usd(cost)} for {row['billed_ms']} ms",
    )


async def did_call(stage: Stage, step: int = 3) -> None:
    """A call to a New York per-minute DID rings the handset and is answered."""
    report, bob = stage.report, stage.devices["bob"]
    over = len(await stage.host.run("cdr", "list", "--account", "bob"))
    call = await stage.carrier.call(DID, stage.newyork, caller="+15145550111", hz=CARRIER_HZ)
    report.doing(step, "the handset rings")
    state = await bob.wait("ringing")
    report.check(
        step,
        "the handset rings on ringing voltage",
        state["ring_vrms"] >= 40 and state["ring_hz"] == 20,
        f"{state['ring_vrms']} V, {state['ring_hz']} Hz",
    )
    await bob.do("off_hook")
    await call.wait("answered")
    await bob.wait("call", "talking")
    await _measure(stage, step, bob, call)
    call.hang_up()
    await bob.hang_up()
    row = (await stage.host.cdrs("bob", over + 1))[-1]
    report.check(
        step,
        "CDR: an incoming call of the DID's account",
        (row["direction"], row["callee"], row["caller"]) == ("in", DID, "+15145550111"),
        f"{row['direction']}, {row['caller']} to {row['callee']}",
    )
    _check_cdr(stage, step, row, call, "did per-minute", DID_PER_MINUTE)


async def pop_match(stage: Stage, step: int = 4) -> None:
    """The DID's POP moved away: not delivered; moved back: delivered."""
    report, bob = stage.report, stage.devices["bob"]
    over = len(await stage.host.run("cdr", "list", "--account", "bob"))
    await stage.host.run("did", "set", DID, "--pop", FIRST_POP)
    await bob.do("forget_rings")
    report.doing(step, f"a call while the DID is at {FIRST_POP}")
    call = await stage.carrier.call(DID, stage.newyork, caller="+15145550111")
    refused = True
    try:
        await call.wait("ended", 4)
    except TimeoutError:
        refused = False
        call.hang_up()
        await call.wait("ended")
    report.check(
        step,
        f"POP moved to {FIRST_POP}: the caller gets 480, cause 20",
        refused and (call.status, call.cause) == (480, 20),
        f"{call.status} {call.phrase}, cause {call.cause}",
    )
    rings = (await bob.do("state"))["rings"]
    report.check(step, "the handset did not ring", rings == 0, f"{rings} rings")
    row = (await stage.host.cdrs("bob", over + 1))[-1]
    report.check(
        step,
        "CDR: the reason, no talk, no cost",
        row["reason"] == "POP mismatch" and row["talk_ms"] == 0 and Decimal(row["cost"]) == 0,
        f"{row['reason'] or row['disposition']}: {row['detail']}",
    )
    await stage.host.run("did", "set", DID, "--pop", SECOND_POP)
    report.doing(step, "the DID is back where the handset is registered")
    call = await stage.carrier.call(DID, stage.newyork, caller="+15145550111", hz=CARRIER_HZ)
    await bob.wait("ringing")
    await bob.do("off_hook")
    await call.wait("answered")
    heard = await stage.ear(bob, LISTEN_S, "step4")
    check_tone(
        stage, step, f"POP back at {SECOND_POP}: answered, tone in the ear", heard, CARRIER_HZ
    )
    await bob.hang_up()
    await call.wait("ended")


async def no_money(stage: Stage, step: int = 6) -> None:
    """An empty balance: refused, and reorder is heard in the handset."""
    report, alice = stage.report, stage.devices["alice"]
    funds = await stage.funds("alice")
    report.check(step, "the balance is empty", funds["funds"] == 0, usd(funds["funds"]))
    report.doing(step, "alice dials without money")
    over = len(await stage.host.run("cdr", "list", "--account", "alice"))
    number = f"+1{MONTREAL}"
    reached = len(stage.carrier.calls_to(number))
    await alice.dial(MONTREAL)
    heard = "reorder"
    try:
        await alice.wait("tone", "reorder", 6)
    except TimeoutError:
        state = await alice.do("state")
        heard = f"no reorder: call {state['call']}, tone {state['tone'] or 'none'}"
    if not report.check(step, "the telephone plays reorder", heard == "reorder", heard):
        return
    report.doing(step, "alice listens")
    _check_reorder(stage, step, await stage.ear(alice, 2.2, "step6"))
    await alice.hang_up()
    row = (await stage.host.cdrs("alice", over + 1))[-1]
    report.check(
        step,
        "CDR: refused for want of money, no cost",
        row["reason"] == "no money" and row["talk_ms"] == 0 and Decimal(row["cost"]) == 0,
        f"{row['disposition']}: {row['reason']}, {usd(Decimal(row['cost']))}",
    )
    asked = len(stage.carrier.calls_to(number)) - reached
    report.check(step, "no carrier was asked", asked == 0, f"{asked} calls at the carrier")


def _check_reorder(stage: Stage, step: int, heard: Samples) -> None:
    pair = Spectrum(loudest(heard, 0.2)).strongest(2)
    stage.report.check(
        step,
        "reorder in the ear: 480 and 620 Hz",
        abs(pair[0] - 480) <= 5 and abs(pair[1] - 620) <= 5,
        f"{pair[0]:.0f} and {pair[1]:.0f} Hz",
    )
    # The first and the last run are cut by the recording.
    runs = bursts_ms(heard)[1:-1]
    on = [ms for loud, ms in runs if loud]
    off = [ms for loud, ms in runs if not loud]
    middle = [sorted(part)[len(part) // 2] if part else 0 for part in (on, off)]
    stage.report.check(
        step,
        "reorder's cadence: 250 ms on, 250 ms off",
        len(on) >= 2 and all(abs(ms - 250) <= 30 for ms in middle),
        f"{middle[0]} ms on, {middle[1]} ms off, {len(on)} times",
    )
