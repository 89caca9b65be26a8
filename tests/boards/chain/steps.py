"""The steps of a board's life, in order: each stands on the one before."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from boards.flash import session
from boards.slot import slot_octets
from tests.boards.broken import BROKEN, HANGS, made_anew, same
from tests.boards.chain.cuts import STATES, Recording, boots_for_real, cut_all
from tests.boards.chain.stage import DID, Stage
from tests.boards.cuts import FLASH, phase, places
from tests.boards.network import BOARD, SERVER
from tests.boards.system import Console
from tests.boards.test_flash_real import TAP
from tests.boards.write_log import recording

MIB = 1 << 20
CUTS = int(os.environ.get("LOOPSTART_UPDATE_CUTS", "120"))
REAL_CUTS = int(os.environ.get("LOOPSTART_UPDATE_REAL_CUTS", "3"))
BOOT_S, UPDATE_S, GIVE_UP_S = 150.0, 420.0, 900.0
WORDS = {
    "truncated kernel": "starting a, tries left: 0",
    "init that exits": "Kernel panic",
    "kernel that hangs": HANGS.decode().strip(),
    "system that never registers": r"version \d+ runs from slot a",
}
"""What the console says of each broken version, as a pattern."""


async def flashed(stage: Stage, step: int) -> None:
    """All zeros -> U-Boot -> TFTP -> Linux."""
    began = time.monotonic()
    failure = await stage.flash()
    said = f"{time.monotonic() - began:.0f} s; it asks for a configuration"
    stage.report.check(step, "flashed, and Linux runs", "has no configuration yet" in failure, said)


async def provisioned(stage: Stage, step: int) -> None:
    """Its configuration comes over the cable, with the secret for one use and the authority."""
    began = time.monotonic()
    status = await stage.provision()
    said = f"{time.monotonic() - began:.0f} s, exit status {status}"
    stage.report.check(step, "it registers over IAX2", status == session.REGISTERED, said)


async def proves_good(stage: Stage, step: int) -> None:
    """The updater has asked over HTTPS, reported, and marked the slot after a minute."""
    began = time.monotonic()
    await stage.until(lambda: stage.device()["version"] == 1, 180, "a report")
    stage.report.check(
        step, "its host knows what runs", stage.device()["slot"] == "a", _since(began)
    )
    await stage.until(lambda: stage.state.is_good("a"), 180, "slot a is good")
    state = stage.state
    said = f"{_since(began)}: {state}"
    stage.report.check(step, "its slot is good after a minute", state.tries == 3, said)


async def rings(stage: Stage, step: int) -> None:
    """Somebody calls it."""
    caller = stage.caller
    assert caller is not None
    assert stage.machine is not None
    stage.said_at = len(stage.machine.console())
    began = time.monotonic()
    await caller.wait("registered", timeout_s=30)
    await caller.dial(DID.removeprefix("+1"))
    await stage.said(r"event=state (port=\S+ )?line=ringing", 30)
    stage.report.check(step, "its line rings", True, _since(began))
    await caller.wait("tone", "ringback")
    await caller.hang_up()
    await stage.said(r"event=state (port=\S+ )?line=on_hook", 30)
    stage.report.check(step, "it stops when the caller hangs up", True, _since(began))


async def breaks_off(stage: Stage, step: int) -> None:
    """Version 2 is wanted; the connection breaks, and later the power goes."""
    stage.wire.carried, stage.wire.cut_at = 0, 4 * MIB
    began = time.monotonic()
    length = await stage.want(2, same)
    await stage.until(lambda: stage.wire.cut_at is None, UPDATE_S, "the download begins")
    stage.report.check(step, "a connection breaks off", True, _since(began))
    await stage.until(lambda: stage.wire.carried > 14 * MIB, UPDATE_S, "it goes on")
    stage.power_off()
    said = f"{_since(began)}: {stage.wire.carried / MIB:.1f} of {length / MIB:.1f} MiB have come"
    state = stage.state
    whole = not state.is_good("b") and state.is_good("a") and state.slot == "a"
    stage.report.check(step, "the power goes while it is fetched", whole, said)


async def updates(stage: Stage, step: int) -> None:
    """It goes on with what it had, boots version 2, and is good. All its writes are recorded."""
    base, log = stage.folder / "base", stage.folder / "writes"
    await asyncio.to_thread(shutil.copyfile, stage.disk, base)
    before = stage.wire.carried
    began = time.monotonic()
    stage.power_on(drive=recording(stage.disk, log)).power_on()
    await stage.said(r"version 1 runs from slot a", BOOT_S)
    await stage.said(r"version 2 runs from slot b", UPDATE_S)
    carried = stage.wire.carried - before
    length = (stage.host.rows("SELECT octets FROM firmware WHERE version = 2"))[0]["octets"]
    said = f"{carried / MIB:.1f} MiB of {length / MIB:.1f}, {_since(began)}"
    # What was on its way at either break was counted, and is lost.
    stage.report.check(step, "what had come is not fetched again", carried < length - 6 * MIB, said)
    await stage.said("event=registered", BOOT_S)
    await stage.until(lambda: stage.state.is_good("b"), 240, "slot b is good")
    state = stage.state
    good = (state.slot, state.good, state.tries) == ("b", 3, 3)
    stage.report.check(step, "version 2 is good", good, f"{_since(began)}: {state}")
    await stage.until(lambda: stage.device()["version"] == 2, 120, "a report")
    stage.power_on().power_on()  # what follows is not recorded
    await stage.said("version 2 runs from slot b", BOOT_S)
    await stage.said("event=registered", BOOT_S)


async def falls_back(stage: Stage, step: int, version: int, how: str) -> None:
    """A version that is whole and signed, and does not work."""
    assert stage.machine is not None
    began = time.monotonic()
    stage.said_at = len(stage.machine.console())
    await stage.want(version, BROKEN[how])
    await stage.said(WORDS[how], UPDATE_S)
    stage.report.check(step, "it is tried", True, _since(began))
    given_up = f"version {version} did not work; 2 runs again"
    await stage.until(lambda: given_up in stage.device()["problems"], GIVE_UP_S, given_up)
    state = stage.state
    good = state.slot == "b" and state.is_good("b")
    stage.report.check(step, "it goes back by itself", good, f"{_since(began)}: {state}")
    console = stage.machine.console()[stage.said_at :]
    registered = "event=registered" in console.rpartition("version 2 runs from slot b")[2]
    stage.report.check(step, "and is registered", registered, given_up)


async def power_cuts(stage: Stage, step: int) -> None:
    """The recording of step 6 is cut at seeded places, with unflushed writes dropped or torn."""
    stage.power_off()
    log = Recording.of(stage.folder / "base", stage.folder / "writes")
    began = time.monotonic()
    came = await asyncio.to_thread(cut_all, log, CUTS, stage.folder, stage.config)
    for name in sorted({one.partition(":")[0] for one in came}):
        told = {one: count for one, count in came.items() if one.startswith(f"{name}:")}
        said = ", ".join(f"{one.partition(': ')[2]} {n} times" for one, n in sorted(told.items()))
        stage.report.check(step, f"{sum(told.values())} cuts within {name}", True, said)
    slot = sum(n for one, n in came.items() if one.startswith("slot_b"))
    state = sum(n for one, n in came.items() if one.startswith(STATES))
    enough = CUTS >= 100 and slot >= CUTS * 6 // 10 and state >= CUTS * 2 // 10
    stage.report.check(step, f"{CUTS} of {CUTS} boot a whole version", enough, _since(began))
    for index, seed in places(log.requests, 7 * REAL_CUTS, STATES)[::7]:
        began = time.monotonic()
        version = await boots_for_real(stage, log, index, seed)
        where = phase(log.requests[index])
        stage.report.check(step, f"registers after a cut within {where}", True,
                           f"{version}, {_since(began)}")  # fmt: skip


async def rescued(stage: Stage, step: int) -> None:
    """Nothing is left in either slot: rescue fetches version 2, and the device is what it was."""
    if stage.rescue is None:
        stage.report.check(step, "left out: no --rescue", True)
        return
    stage.power_off()
    began = time.monotonic()
    image = stage.folder / "v2.img"
    image.write_bytes(made_anew(stage.image.read_bytes(), stage.key, 2, same))
    with stage.disk.open("r+b") as disk:
        disk.seek(FLASH.rescue.offset)
        disk.write(slot_octets(stage.rescue.read_bytes(), "qemu-arm64"))
        for slot in (FLASH.slot_a, FLASH.slot_b):
            disk.seek(slot.offset)
            disk.write(bytes(slot.octets))
    machine = stage.power_on(TAP)
    console = Console(machine.port)
    with serving(stage.folder):
        await asyncio.sleep(1.1)  # QEMU looks once a second whether somebody has opened a pty
        machine.power_on()
        await asyncio.to_thread(console.until, "rescue> ", 120)
        stage.report.check(step, "the board comes to rescue by itself", True, _since(began))
        console.type(f"t {BOARD} {SERVER} {image.name}")
        await asyncio.to_thread(console.until, "is written and proved; restarting", 400)
        stage.report.check(step, "version 2 is fetched, written, proved", True, _since(began))
    console.close()
    stage.power_on().power_on()
    await stage.said("version 2 runs from slot", BOOT_S)
    await stage.said("event=registered", BOOT_S)
    stage.report.check(step, "it registers, with its configuration", True, _since(began))
    await stage.until(lambda: stage.state.is_good(stage.state.slot), 300, "its slot is good")
    stage.report.check(step, "its slot is good", True, f"{_since(began)}: {stage.state}")


@contextmanager
def serving(folder: Path) -> Iterator[None]:
    """atftpd where rescue finds it."""
    words = ("--daemon", "--no-fork", "--logfile", "/dev/null", "--user", "root.root")
    with subprocess.Popen(["atftpd", *words, "--bind-address", SERVER, str(folder)]) as daemon:
        try:
            yield
        finally:
            daemon.kill()


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"


Deed = Callable[[Stage, int], Awaitable[None]]


def _broken(number: int, how: str) -> Deed:
    return lambda stage, step: falls_back(stage, step, number, how)


STEPS: dict[int, tuple[str, Deed, float]] = {
    1: ("an all-zero disk is flashed by TFTP", flashed, 240),
    2: ("provisioned over its console", provisioned, 240),
    3: ("version 1 proves good", proves_good, 400),
    4: ("a call rings its line", rings, 120),
    5: ("a download breaks off", breaks_off, 900),
    6: ("it goes on, and version 2 runs", updates, 900),
    7: ("a call rings it under version 2", rings, 120),
    **{
        number: (f"a broken version: {how}", _broken(number - 5, how), 1_500)
        for number, how in enumerate(BROKEN, 8)
    },
    12: ("power cuts while it updated itself", power_cuts, 1_800),
    13: ("both slots destroyed, rescue restores", rescued, 1_200),
}
