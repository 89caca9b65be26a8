"""What is shown over the kernel's own driver, step by step."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from tests.qemu.calls import (
    LONGEST_FLASH_MS,
    both_ways,
    check_cdr,
    check_pair,
    check_tone,
    hang_up,
    in_the_ear,
    outgoing,
    put_back,
    talk,
)
from tests.qemu.soundcard import EAR_HZ
from tests.qemu.soundcard import MOUTH_HZ as SPOKEN_HZ
from tests.qemu.stage import (
    CALLER,
    CARRIER_HZ,
    DEVICE_LOG,
    DID,
    DID_PER_MINUTE,
    OUR_CHANNEL,
    OURS,
    SPANS,
    TELEPHONE_CHANNEL,
    THEIRS,
    Stage,
    words_of,
)
from tests.scenarios.stage import VALUE_PER_MINUTE

NETEM = "loss 2% delay 40ms 20ms"
MOST_LOST = 15
"""Of 150 frames, on a processor that is emulated."""


async def driver(stage: Stage) -> None:
    """1: modules, spans, the device on one end and a telephone on the other."""
    report, guest = stage.report, stage.guest
    await stage.load_modules()
    await stage.configure(SPANS)
    spans = await guest.run("sh", "-c", "cat /proc/dahdi/*")
    report.check(
        1,
        "the kernel has a line (FXOKS) and a telephone's end (FXSKS)",
        "FXOKS" in spans and "FXSKS" in spans and "RED" not in spans,
        " | ".join(line.strip() for line in spans.splitlines() if "KS" in line),
    )
    await guest.do("connect", channel=TELEPHONE_CHANNEL)
    report.doing(1, "the device starts")
    await stage.start_device("iax2")
    said = await stage.logged("event=registered", 0, 60)
    report.check(
        1,
        "the device has the port and is registered over IAX2",
        f"{stage.net[2]}:4569" in said,
        words_of(said),
    )
    longest_ms = await guest.do("longest_flash", channel=OUR_CHANNEL)
    report.check(
        1,
        "the kernel was told the country's longest flash",
        longest_ms == LONGEST_FLASH_MS,
        f"{longest_ms} ms",
    )


async def keys(stage: Stage) -> None:
    """2: a call dialled by keys, which our software hears; tones both ways; hang-up."""
    await outgoing(stage, 2, pulses=False)


async def pulses(stage: Stage) -> None:
    """3: a call dialled by pulses, which the kernel counts; flashes within it."""
    report = stage.report
    call = await talk(stage, 3, pulses=True)
    report.doing(3, "a flash")
    mark = await stage.mark()
    await stage.guest.do("flash")
    said = await stage.logged("event=flash", mark)
    report.check(3, "a flash is seen in the call", "leg=" in said, words_of(said))
    await stage.logged("call=seized", mark)
    heard = await stage.ear(1.0, "step3recall")
    check_pair(stage, 3, "the call is held, and recall dial tone is heard", heard, (350, 440))
    mark = await stage.mark()
    await stage.guest.do("flash")
    said = await stage.logged("call=talking", mark)
    report.check(3, "another takes the call back", "line=in_call" in said, words_of(said))
    await in_the_ear(stage, 3, "the call stands: tone in the ear")
    await hang_up(stage, 3, call)


async def incoming(stage: Stage) -> None:
    """4: a call rings the telephone, which answers."""
    report, guest = stage.report, stage.guest
    over = len(await stage.host.run("cdr", "list", "--account", "alice"))
    rung = await stage.count("ring began")
    where = stage.host.listeners["montreal"]
    call = await stage.carrier.call(DID, where, caller=CALLER, hz=CARRIER_HZ)
    report.doing(4, "the telephone rings")
    begins = (await stage.telephone("ring began", rung + 2))[rung:]
    cycle_ms = begins[1] - begins[0]
    report.check(
        4,
        "it rings every six seconds, as in the US",
        abs(cycle_ms - 6_000) <= 500,
        f"{cycle_ms:.0f} ms from ring to ring",
    )
    mark = await stage.mark()
    await guest.do("lift")
    await call.wait("answered", 20)
    await stage.logged("call=talking", mark)
    await both_ways(stage, 4, call)
    mark = await stage.mark()
    call.hang_up()
    await stage.logged("tone=reorder", mark)
    heard = await stage.ear(1.0, "step4reorder")
    check_pair(stage, 4, "the caller has hung up: reorder", heard, (480, 620))
    await put_back(stage)
    await check_cdr(stage, 4, call, over, "in", Decimal(DID_PER_MINUTE))
    rung = await stage.count("ring began")
    await asyncio.sleep(1)
    after = await stage.count("ring began")
    report.check(4, "it rings no more", after == rung, f"{after - rung} rings after the call")


async def bad_network(stage: Stage) -> None:
    """5: frames are lost and late on the guest's network; the call stands."""
    report, guest = stage.report, stage.guest
    modprobe = (str(guest.root / "bin/busybox"), "modprobe", "sch_netem")
    await guest.run(*modprobe)
    await guest.run("tc", "qdisc", "add", "dev", "eth0", "root", "netem", *NETEM.split())
    try:
        await outgoing(stage, 5, pulses=False, note=f" under netem {NETEM}")
        said = await guest.run("tc", "-s", "qdisc", "show", "dev", "eth0")
    finally:
        await guest.run("tc", "qdisc", "del", "dev", "eth0", "root")
    sent = next((line.strip() for line in said.splitlines() if "Sent" in line), said)
    report.check(5, "netem dropped some of what was sent", "dropped 0" not in sent, sent)


async def alarm(stage: Stage) -> None:
    """6: the far half of the pair goes: the line is in alarm, and then is not."""
    report, guest = stage.report, stage.guest
    mark = await stage.mark()
    report.doing(6, "the telephone's span goes")
    await guest.do("disconnect")
    await stage.end_spans()
    said = await stage.logged("card is in alarm", mark)
    report.check(6, "the alarm is told", "channel 1" in said, words_of(said))
    rings = await stage.carrier.call(DID, stage.host.listeners["montreal"], caller=CALLER)
    await rings.wait("ended", 20)
    said = await stage.logged("line out of order", mark)
    report.check(
        6,
        "a caller hears at once that the line is out of order",
        (rings.status, rings.cause) == (502, 27) and not rings.ringing,
        f"{rings.statuses}, Q.850 {rings.cause}; {words_of(said)}",
    )
    await stage.configure(THEIRS)
    said = await stage.logged("card is out of alarm", mark)
    report.check(6, "so is its end", "channel 1" in said, words_of(said))
    await guest.do("connect", channel=TELEPHONE_CHANNEL)
    await asyncio.sleep(1)
    await outgoing(stage, 6, pulses=False)


async def away_and_back(stage: Stage) -> None:
    """7: our own span is taken away in a call, and comes back."""
    report, guest = stage.report, stage.guest
    over = len(await stage.host.run("cdr", "list", "--account", "alice"))
    call = await talk(stage, 7, pulses=False)
    report.doing(7, "the span is taken away")
    mark = await stage.mark()
    await stage.tell_span("unassign_span")
    said = await stage.logged("card is gone", mark)
    await call.wait("ended", 20)
    report.check(
        7,
        "a span that goes in a call is told, and the call ends",
        call.state == "ended",
        words_of(said),
    )
    await check_cdr(stage, 7, call, over, "out", VALUE_PER_MINUTE)
    await guest.do("hang_up")
    await asyncio.sleep(4)
    gone = (await guest.do("read", path=DEVICE_LOG, start=mark)).count("card is")
    report.check(7, "it is told once, as long as it is away", gone == 1, f"{gone} times")
    await stage.tell_span("auto_assign")
    await stage.configure(OURS)
    said = await stage.logged("card is back", mark, 45)
    report.check(7, "it comes back by itself", "channel 1" in said, words_of(said))
    runs = await guest.do("alive", name="device")
    report.check(7, "the device is the same process", runs, "it runs" if runs else "it has ended")
    await asyncio.sleep(1)
    await outgoing(stage, 7, pulses=False)


async def over_sip(stage: Stage) -> None:
    """8: the same device over SIP."""
    report, guest = stage.report, stage.guest
    status = await guest.do("end", name="device")
    report.check(8, "the device ends as it should", status == 0, f"exit status {status}")
    mark = await stage.mark()
    report.doing(8, "the device starts over SIP")
    await stage.start_device("sip")
    said = await stage.logged("event=registered", mark, 90)
    report.check(8, "it is registered over SIP", f"{stage.net[2]}:5060" in said, words_of(said))
    await outgoing(stage, 8, pulses=False)
    status = await guest.do("end", name="device")
    report.check(8, "the device ends as it should, again", status == 0, f"exit status {status}")


async def soundcard(stage: Stage) -> None:
    """9: the GPIO driver's audio over ALSA and snd-aloop."""
    report = stage.report
    report.doing(9, "three seconds of tones")
    heard = await stage.soundcard()
    stage.count_gaps(heard["ear"], heard["mouth"])
    check_tone(stage, 9, "what the driver plays is heard", heard["ear"], EAR_HZ)
    check_tone(stage, 9, "what is said is heard by the driver", heard["mouth"], SPOKEN_HZ)
    lost = heard["lost"]
    report.check(9, "the sound device takes the frames", lost <= MOST_LOST, f"{lost} frames lost")
