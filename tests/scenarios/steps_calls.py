"""The demo's steps that the scripted SIP caller plays: 5, 7, 8 and 9."""

from __future__ import annotations

import asyncio
import contextlib
import time
from decimal import Decimal

from tests.peers.call import Call
from tests.peers.endpoint import Where, until
from tests.scenarios.stage import (
    HEARTBEAT_MS,
    HOLD,
    INCREMENT_MS,
    VALUE_PER_MINUTE,
    Stage,
    price,
    usd,
)

AT_ONCE = 30
AFFORDED = 3
BYE_WITHIN_S = 0.050
CRASH_SLACK_MS = 400


async def _settle_down(calls: list[Call], timeout_s: float = 10.0) -> None:
    """Wait until each call is answered or refused."""
    await until(
        lambda: all(call.state != "calling" for call in calls), timeout_s, "an answer to every call"
    )


async def _place(stage: Stage, account: str, number: str, where: Where | None = None) -> Call:
    """A call that sends no audio, so that thirty of them cost nothing."""
    call = await stage.callers[account].call(number, where or stage.montreal)
    call.media.source = None
    return call


def _said(call: Call) -> str:
    return f"{call.status} {call.phrase}, cause {call.cause}"


async def channels(stage: Stage, step: int = 5) -> None:
    """A third call to one number and a sixth outgoing channel: refused."""
    report, same = stage.report, "15145550150"
    report.doing(step, "two calls to one number, then a third")
    first = [await _place(stage, "carol", same) for _ in range(2)]
    await _settle_down(first)
    third = await _place(stage, "carol", same)
    await _settle_down([third])
    up = sum(call.state == "answered" for call in first)
    report.check(step, "two calls to one number are up", up == 2, f"{up} answered")
    report.check(
        step,
        "the third call to that number gets 403, cause 34",
        (third.status, third.cause) == (403, 34),
        _said(third),
    )
    third.hang_up()
    report.doing(step, "three more numbers, then a sixth")
    more = [await _place(stage, "carol", f"1514555016{digit}") for digit in range(3)]
    await _settle_down(more)
    sixth = await _place(stage, "carol", "15145550169")
    await _settle_down([sixth])
    up = sum(call.state == "answered" for call in [*first, *more])
    report.check(step, "five outgoing channels are up", up == 5, f"{up} answered")
    report.check(
        step,
        "the sixth gets 403, cause 34",
        (sixth.status, sixth.cause) == (403, 34),
        _said(sixth),
    )
    for call in [*first, *more, sixth]:
        call.hang_up()
    rows = await stage.host.cdrs("carol", 7)
    reasons = [row["reason"] for row in rows if row["disposition"] == "refused"]
    wanted = ["account channels full", "calls to one number full"]
    free = all(Decimal(row["cost"]) == 0 and row["talk_ms"] == 0 for row in rows if row["reason"])
    report.check(
        step,
        "CDRs: both reasons, no talk, no cost",
        sorted(reasons) == wanted and free,
        "; ".join(reasons) or "no refusals",
    )


async def holds(stage: Stage, step: int = 7) -> None:
    """Thirty calls at once to thirty numbers, with funds for exactly three first holds."""
    report = stage.report
    funds = await stage.funds("crowd")
    row = await stage.host.run("account", "show", "crowd")
    report.check(
        step,
        "40 channels, funds for three first holds",
        funds["available"] == AFFORDED * HOLD and row["channels"] == 40,
        f"{row['channels']} channels, {usd(funds['available'])}",
    )
    report.doing(step, f"{AT_ONCE} calls at once")
    numbers = [f"151455502{number:02}" for number in range(AT_ONCE)]
    began = time.monotonic()
    calls = await asyncio.gather(*(_place(stage, "crowd", number) for number in numbers))
    await _settle_down(calls, 15)
    took_ms = (time.monotonic() - began) * 1000
    up = [call for call in calls if call.state == "answered"]
    refused = [call for call in calls if (call.status, call.cause) == (402, 21)]
    live = await stage.funds("crowd")
    report.check(
        step, f"{AFFORDED} calls pass", len(up) == AFFORDED, f"{len(up)} after {took_ms:.0f} ms"
    )
    report.check(
        step,
        f"{AT_ONCE - AFFORDED} get 402, cause 21",
        len(refused) == AT_ONCE - AFFORDED,
        f"{len(refused)} refused so",
    )
    report.check(
        step,
        "what is held never exceeds the funds",
        live["held"] == live["funds"] == AFFORDED * HOLD,
        f"{usd(live['held'])} held of {usd(live['funds'])}",
    )
    for call in up:
        call.hang_up()
    rows = await stage.host.cdrs("crowd", AT_ONCE)
    cost = sum((Decimal(one["cost"]) for one in rows), Decimal())
    reasons = sum(one["reason"] == "no money" for one in rows)
    report.check(
        step,
        "CDRs: one a call, 27 without money",
        len(rows) == AT_ONCE and reasons == AT_ONCE - AFFORDED,
        f"{len(rows)} CDRs, {reasons} without money",
    )
    left = await stage.funds("crowd")
    report.check(
        step,
        "three calls are paid, and no more than there was",
        left["held"] == 0 and left["funds"] == AFFORDED * HOLD - cost == 0,
        f"{usd(cost)} paid, {usd(left['funds'])} left",
    )


async def cut_off(stage: Stage, step: int = 8) -> None:
    """A call is cut off when the money ends. All times are the kernel's at the peers' sockets."""
    report, number, bought_s = stage.report, "15145550180", INCREMENT_MS / 1000
    funds = await stage.funds("dave")
    report.check(
        step, "the balance buys six seconds", funds["available"] == HOLD, usd(funds["available"])
    )
    call = await _place(stage, "dave", number)
    await call.wait("answered")
    far: Call = await stage.carried(f"+{number}")
    report.doing(step, "the money runs out")
    cut = True
    try:
        await asyncio.gather(far.wait("ended", bought_s + 2), call.wait("ended", bought_s + 2))
    except TimeoutError:
        cut = False
    # The host heard of the answer after it was sent, and before its ACK came back.
    earliest, latest = far.answered_at + bought_s, far.acknowledged_at + bought_s
    for where, leg in (("the carrier", far), ("the caller", call)):
        late_ms = (leg.ended_at - latest) * 1000
        report.check(
            step,
            f"BYE at {where} within 50 ms of the deadline",
            cut
            and leg.ended_by == "peer"
            and earliest - 0.002 <= leg.ended_at <= latest + BYE_WITHIN_S,
            f"{late_ms:+.1f} ms" if cut else "no BYE",
        )
    if not cut:
        call.hang_up()
    row = (await stage.host.cdrs("dave"))[-1]
    report.check(
        step,
        "CDR: ended by money, billed what was granted",
        row["ended_by"] == "money" and row["billed_ms"] == INCREMENT_MS,
        f"ended by {row['ended_by']}, {row['billed_ms']} of {row['talk_ms']} ms billed",
    )
    left = await stage.funds("dave")
    report.check(
        step,
        "the balance is used up and not overdrawn",
        left["funds"] == 0 and left["held"] == 0 and Decimal(row["cost"]) == HOLD,
        f"{usd(Decimal(row['cost']))} paid, {usd(left['funds'])} left",
    )


async def recovery(stage: Stage, step: int = 9) -> None:
    """`kill -9` in mid-call, and a restart."""
    report, host = stage.report, stage.host
    report.doing(step, "five calls take all channels")
    calls = [await _place(stage, "erin", f"1514555019{digit}") for digit in range(5)]
    await _settle_down(calls)
    answered = sum(call.state == "answered" for call in calls)
    report.check(step, "five calls are up", answered == 5, f"{answered} answered")
    beat_after = max(call.answered_at for call in calls) * 1000 + 1_000
    report.doing(step, "they talk, and the heart beats")
    await until(lambda: _beat(stage)["utc_ms"] > beat_after, 10, "a heartbeat in mid-call")
    killed_at = await asyncio.to_thread(host.kill)
    beat = _beat(stage)
    left = host.rows("SELECT call_id, answered_mono_ms FROM call WHERE state = 'open'")
    expected = {row["call_id"]: beat["mono_ms"] - row["answered_mono_ms"] for row in left}
    report.doing(step, "the host was killed, and starts again")
    await host.start()
    report.check(step, "the host was killed in mid-call", len(left) == 5, f"{len(left)} open calls")
    check = await host.run("ledger", "check")
    report.check(
        step, "the ledger is in balance", check["sound"], "; ".join(check["faults"]) or "sound"
    )
    await _check_bills(stage, step, expected, calls, killed_at)
    funds, live = await stage.funds("erin"), await host.run("calls")
    report.check(
        step,
        "nothing is held, no call is live",
        funds["held"] == 0 and live == [],
        f"{usd(funds['held'])} held, {len(live)} live",
    )
    for call in calls:
        call.hang_up()
    with contextlib.suppress(TimeoutError):
        await until(lambda: all(call.bye_status for call in calls), 3, "answers to BYE")
    statuses = sorted({call.bye_status for call in calls})
    report.check(
        step, "BYE in a forgotten dialog gets 481", statuses == [481], f"{statuses} to five BYEs"
    )
    report.doing(step, "five new calls")
    again = [await _place(stage, "erin", f"1514555019{digit}") for digit in range(5)]
    await _settle_down(again)
    up = sum(call.state == "answered" for call in again)
    report.check(step, "no channel is left taken: five new calls", up == 5, f"{up} answered")
    for call in again:
        call.hang_up()
    await until(lambda: all(call.bye_status for call in again if call.status == 200), 5, "BYEs")


def _beat(stage: Stage) -> dict[str, int]:
    return stage.host.rows("SELECT utc_ms, mono_ms FROM host")[0]


async def _check_bills(
    stage: Stage, step: int, expected: dict[str, int], calls: list[Call], killed_at: float
) -> None:
    """Each call is billed from its answer to the last heartbeat, neither less nor more."""
    found = await stage.host.run("cdr", "list", "--account", "erin")
    rows = [row for row in found if row["ended_by"] == "crash"]
    billed = {row["call_id"]: row["billed_ms"] for row in rows}
    stage.report.check(
        step,
        "CDRs: billed to the last heartbeat",
        len(billed) == 5 and billed == expected,
        f"{len(billed)} CDRs, {min(billed.values(), default=0)} to "
        f"{max(billed.values(), default=0)} ms",
    )
    answered = [stage.carrier.calls_to(f"+{call.number}")[0].answered_at for call in calls]
    lived_ms = [(killed_at - at) * 1000 for at in answered]
    lost_ms = (sum(lived_ms) - sum(billed.values())) / 5 if billed else 0.0
    stage.report.check(
        step,
        "that is at most one heartbeat before the kill",
        bool(billed) and -CRASH_SLACK_MS / 4 <= lost_ms <= HEARTBEAT_MS + CRASH_SLACK_MS,
        f"{lost_ms:.0f} ms not billed, by the carrier's clock" if billed else "not billed",
    )
    costs = [Decimal(row["cost"]) for row in rows]
    right = [price(VALUE_PER_MINUTE, row["billed_ms"]) for row in rows]
    stage.report.check(
        step,
        "CDRs: charged once, at the value rate",
        len(costs) == 5 and costs == right,
        f"{usd(sum(costs, Decimal()))} for five calls",
    )
