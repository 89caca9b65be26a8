"""The peers against each other: what they claim to hear is what was sent."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.peers.carrier import Carrier, Plan
from tests.peers.endpoint import Endpoint, Where, until
from tests.peers.tones import (
    RATE_HZ,
    Samples,
    Spectrum,
    bursts_ms,
    loudest,
    read_wav,
    sine,
    wav_frames,
    write_wav,
)
from tests.scenarios.rig import ROOT, Net


@pytest.mark.parametrize("dbm0", [-3.0, -10.0, -40.0])
@pytest.mark.parametrize("hz", [300.0, 1_004.0, 3_400.0])
def test_a_tone_is_measured_as_it_was_made(hz: float, dbm0: float) -> None:
    spectrum = Spectrum(sine((hz,), dbm0, RATE_HZ // 2))
    assert spectrum.strongest() == [pytest.approx(hz, abs=2)]
    assert spectrum.dbm0(hz) == pytest.approx(dbm0, abs=0.5)
    assert spectrum.total_dbm0 == pytest.approx(dbm0, abs=0.2)
    assert spectrum.has(hz, dbm0)
    assert not spectrum.has(hz + 100, dbm0)
    assert not spectrum.has(hz, dbm0 + 4)


def test_two_tones_are_told_apart_and_neither_stands_alone() -> None:
    spectrum = Spectrum(sine((480, 620), -24, RATE_HZ // 4))
    assert spectrum.strongest(2) == [pytest.approx(480, abs=3), pytest.approx(620, abs=3)]
    assert not spectrum.has(480, -24)


def test_silence_has_no_tone() -> None:
    spectrum = Spectrum(np.zeros(RATE_HZ, np.int16))
    assert not any(spectrum.has(hz, level) for hz in (480, 1_000) for level in (-10, -40))


def test_a_cadence_is_seen() -> None:
    on, off = sine((480,), -20, RATE_HZ // 4), np.zeros(RATE_HZ // 4, np.int16)
    heard: Samples = np.concatenate([off, on, off, on])
    assert bursts_ms(heard) == [(False, 250), (True, 250), (False, 250), (True, 250)]
    assert Spectrum(loudest(heard, 0.2)).has(480, -20)


def test_a_wav_comes_back_as_it_went(tmp_path: Path) -> None:
    samples = sine((700,), -10, 1_000)
    write_wav(tmp_path / "a.wav", samples)
    assert (read_wav(tmp_path / "a.wav") == samples).all()
    octets = b"".join(wav_frames(tmp_path / "a.wav"))
    assert octets.startswith(samples.astype("<i2").tobytes())
    assert len(octets) == 7 * 320


def test_carrier_and_caller_talk_press_digits_and_hang_up() -> None:
    async def scenario() -> None:
        net = Net()
        async with Carrier(net[3]) as carrier, Endpoint(net[4]) as caller:
            carrier.default = Plan(hz=1_500)
            call = await caller.call("100", Where(carrier.address, carrier.port), hz=700)
            await call.wait("answered")
            far = carrier.calls_to("100")[0]
            call.media.press("1#")
            await asyncio.gather(call.wait_heard(0.5), far.wait_heard(0.5))
            await until(lambda: far.media.digits == "1#", what="digits")
            assert Spectrum(loudest(call.media.samples(), 0.3)).has(1_500, -10)
            assert Spectrum(loudest(far.media.samples(), 0.3)).has(700, -10)
            assert call.statuses == [100, 180, 200]
            far.hang_up()
            await call.wait("ended")
            assert call.ended_by == "peer"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("plan", "status"), [(Plan(status=486, cause=17), 486), (Plan(status=503), 503)]
)
def test_a_carrier_refuses_as_planned(plan: Plan, status: int) -> None:
    async def scenario() -> None:
        net = Net()
        async with Carrier(net[3]) as carrier, Endpoint(net[4]) as caller:
            carrier.plans["200"] = plan
            call = await caller.call("200", Where(carrier.address, carrier.port))
            await call.wait("ended")
            assert (call.status, call.cause) == (status, plan.cause)
            assert not call.media.heard, "a callee that has not answered is silent"

    asyncio.run(scenario())


def test_a_carrier_in_a_process_of_its_own_is_moved_by_its_socket(tmp_path: Path) -> None:
    net, control = Net(), tmp_path / "carrier.sock"
    words = ["--listen", f"{net[3]}:5070", "--control", str(control), "--seconds", "30"]
    command = [sys.executable, "-m", "tests.peers.carrier", *words]

    async def scenario() -> None:
        await until(control.exists, 15, "the control socket")
        reader, writer = await asyncio.open_unix_connection(str(control))

        async def ask(**request: Any) -> Any:
            writer.write(json.dumps(request).encode() + b"\n")
            return json.loads(await asyncio.wait_for(reader.readline(), 5))

        assert (await ask(do="plan", number="300", hz=900))["hz"] == 900
        assert "error" in await ask(do="dance")
        async with Endpoint(net[4]) as caller:
            call = await caller.call("300", Where(net[3], 5070), hz=700)
            await call.wait("answered")
            await call.wait_heard(0.5)
            assert Spectrum(loudest(call.media.samples(), 0.3)).has(900, -10)
            (row,) = await ask(do="calls")
            assert (row["number"], row["state"]) == ("300", "answered")
            assert await ask(do="save", call=0, file=str(tmp_path / "heard.wav")) == {}
            assert Spectrum(loudest(read_wav(tmp_path / "heard.wav"), 0.2)).has(700, -10)
            assert await ask(do="hang_up", call=0) == {}
            await call.wait("ended")
        writer.close()

    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            asyncio.run(scenario())
        finally:
            process.terminate()
