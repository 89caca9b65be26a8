"""The whole device against an IAX2 peer: registration, calls both ways, audio, digits, strangers,
encryption, bad links."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from firmware.wire import iax2
from tests.firmware.device_process import DeviceProcess
from tests.firmware.iax2_peer import BadWay, Peer
from tests.firmware.measure_device import resident_mb
from tests.firmware.peer import Spectrum

FAST = "register_timeout_s = 1.0\nretry_least_s = 0.5\nretry_most_s = 2.0\n"


@contextmanager
def running(
    folder: Path,
    peer: Peer,
    account: str = "",
    line: str = "",
    way: BadWay | None = None,
    backup: str = "",
) -> Iterator[DeviceProcess]:
    """A device whose server is the peer; afterwards both are gone."""
    server = peer.server if way is None else way.server
    servers = ", ".join(f'"{one}"' for one in (server, backup) if one)
    device = DeviceProcess(folder, f"servers = [{servers}]\n{FAST}{account}", line, "iax2")
    try:
        yield device
        assert device.stop() == 0, device.text()
        assert "Traceback" not in device.text()
    finally:
        device.process.kill()
        device.process.wait()
        if way is not None:
            way.close()
        peer.close()


def recording(path: Path) -> np.ndarray:
    with wave.open(str(path), "rb") as wav:
        return np.frombuffer(wav.readframes(wav.getnframes()), np.int16).astype(float)


def dial(device: DeviceProcess, digits: str, until: str = "talking") -> None:
    device.handset.wait("registered")
    device.handset.off_hook()
    device.handset.wait("tone", "dial")
    device.handset.dtmf(digits, 50, 50)
    if until:
        device.handset.wait("call", until)


def test_registers_by_md5_with_a_call_token_and_leaves(tmp_path: Path) -> None:
    peer = Peer()
    with running(tmp_path, peer) as device:
        device.handset.wait("registered")
        assert device.handset.state()["server"] == peer.server
        assert peer.of(iax2.Registering)[0].username == "100001"
        sent = b"".join(peer.raw)
        assert b"secret" not in sent
        assert peer.endpoint.counters.token_asked >= 1
    assert peer.of(iax2.Releasing)


def test_a_server_with_an_ipv6_address(tmp_path: Path) -> None:
    try:
        peer = Peer(address="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with running(tmp_path, peer) as device:
        dial(device, "411")
        device.handset.on_hook()


def test_at_the_end_calls_are_hung_up_and_the_registration_is_released(tmp_path: Path) -> None:
    peer = Peer()
    with running(tmp_path, peer) as device:
        dial(device, "411")
        assert device.stop() == 0
        assert peer.wait(iax2.Ended).cause == 16
        assert peer.wait(iax2.Releasing).username == "100001"


def test_the_registration_is_refreshed_before_it_runs_out(tmp_path: Path) -> None:
    peer = Peer(refresh_s=2)
    with running(tmp_path, peer, "keep_alive_s = 1") as device:
        device.handset.wait("registered")
        time.sleep(3.3)
        times = peer.of(iax2.Registering)
        assert 3 <= len(times) <= 4, "at three quarters of two seconds each"
        assert device.handset.state()["registered"]


def test_wrong_password_is_not_hammered(tmp_path: Path) -> None:
    peer = Peer(password="other")
    with running(tmp_path, peer) as device:
        time.sleep(1.5)
        assert not device.handset.state()["registered"]
        assert 1 <= device.text().count('event="not registered"') <= 5
        assert not peer.of(iax2.Registering)


@pytest.mark.parametrize("codec", ["PCMA", "G722", "GSM"])
def test_tones_cross_in_the_other_codecs(tmp_path: Path, codec: str) -> None:
    peer = Peer()
    peer.tone_hz = 1_500
    with running(tmp_path, peer, f'codecs = ["{codec}"]') as device:
        dial(device, "411")
        call = peer.wait(iax2.CallOffered).call
        device.handset.tone([1_004], 2_000)
        time.sleep(0.2)
        device.handset.record(str(tmp_path / "ear.wav"))
        time.sleep(0.5)
        device.handset.stop_record()
        assert peer.names[call.number] == codec
        ear = Spectrum(recording(tmp_path / "ear.wav"))
        assert ear.strongest() == pytest.approx([1_500], abs=3)
        assert Spectrum(peer.pcm(call)[-3_200:]).strongest() == pytest.approx([1_004], abs=3)
        device.handset.on_hook()


def test_call_out_is_heard_both_ways_with_digits_as_events(tmp_path: Path) -> None:
    """Given a registered device, when it dials by DTMF and the peer answers, then tones cross."""
    peer = Peer()
    peer.tone_hz = 1_500
    with running(tmp_path, peer) as device:
        handset = device.handset
        dial(device, "5145550123")
        offered = peer.wait(iax2.CallOffered).call
        assert offered.new.called == "15145550123"
        assert offered.username == "100001"
        time.sleep(0.3)
        handset.record(str(tmp_path / "ear.wav"))
        handset.tone([1_004], 1_200)
        time.sleep(1.3)
        handset.stop_record()
        assert peer.names[offered.number] == "PCMU"
        ear = Spectrum(recording(tmp_path / "ear.wav")[1_600:8_000])
        assert ear.strongest() == pytest.approx([1_500], abs=3)
        mouth = peer.pcm(offered)[-8_800:-2_400]
        assert Spectrum(mouth).strongest() == pytest.approx([1_004], abs=3)
        assert Spectrum(mouth).dbm0(1_004) == pytest.approx(-10, abs=2)
        peer.forget()
        handset.dtmf("159#")
        time.sleep(0.5)
        assert [one.digit for one in peer.of(iax2.DigitBegan)] == ["1", "5", "9", "#"]
        ended = peer.of(iax2.DigitEnded)
        assert [one.digit for one in ended] == ["1", "5", "9", "#"]
        leak = Spectrum(peer.pcm(offered))
        assert leak.dbm0(1_336) < -22, "digits that go as events are kept out of the audio"
        assert resident_mb(device.process.pid) <= 26
        peer.do(lambda now: offered.hang_up(now, 16))
        handset.wait("tone", "reorder")
        handset.on_hook()
        handset.wait("line", "on_hook")


def test_digits_of_the_far_end_are_heard(tmp_path: Path) -> None:
    peer = Peer()
    with running(tmp_path, peer) as device:
        dial(device, "411")
        call = peer.wait(iax2.CallOffered).call
        device.handset.record(str(tmp_path / "ear.wav"))
        peer.do(lambda now: call.digit(now, "5"))
        time.sleep(0.5)
        device.handset.stop_record()
        loud = recording(tmp_path / "ear.wav")
        assert Spectrum(loud).strongest(2) == pytest.approx([770, 1_336], abs=12)
        device.handset.on_hook()
        assert peer.wait(iax2.Ended).cause == 16


def test_digits_go_in_band_when_so_configured(tmp_path: Path) -> None:
    peer = Peer()
    with running(tmp_path, peer, 'dtmf = "inband"') as device:
        dial(device, "411")
        call = peer.wait(iax2.CallOffered).call
        peer.forget()
        device.handset.dtmf("5", on_ms=400)
        time.sleep(0.2)
        assert not peer.of(iax2.DigitBegan)
        assert Spectrum(peer.pcm(call)).strongest(2) == pytest.approx([770, 1_336], abs=3)
        device.handset.on_hook()


def test_call_in_rings_and_is_answered_and_a_second_one_is_busy(tmp_path: Path) -> None:
    peer = Peer()
    peer.tone_hz = 1_500
    with running(tmp_path, peer, line="call_waiting = false") as device:
        handset = device.handset
        handset.wait("registered")
        call = peer.call()
        handset.wait("ringing")
        peer.wait(iax2.Ringing, call=call)
        handset.off_hook()
        peer.wait(iax2.Answered, call=call)
        handset.wait("call", "talking")
        second = peer.call()
        assert peer.wait(iax2.Ended, call=second).cause == 17
        time.sleep(0.4)
        assert handset.state()["ear_dbm0"] > -15
        handset.on_hook()
        assert peer.wait(iax2.Ended, call=call).cause == 16


def _second(device: DeviceProcess, digits: str) -> None:
    device.handset.flash()
    device.handset.wait("tone", "recall")
    device.handset.dtmf(digits, 50, 50)
    device.handset.wait("call", "talking")


def test_hold_three_way_and_a_transfer_that_the_device_makes(tmp_path: Path) -> None:
    """Given two calls, when they are joined, then each far end hears the handset and the other."""
    peer = Peer()
    peer.tone_hz = 1_500
    with running(tmp_path, peer) as device:
        handset = device.handset
        dial(device, "411")
        first = peer.wait(iax2.CallOffered).call
        _second(device, "511")
        second = peer.of(iax2.CallOffered)[1].call
        assert peer.wait(iax2.Hold, call=first)
        assert peer.wait(iax2.Quelched, call=first)
        handset.flash()
        handset.wait("call", "three_way")
        assert peer.wait(iax2.Unhold, call=first)
        assert peer.wait(iax2.Unquelched, call=first)
        peer.forget()
        handset.tone([1_004], 1_200)
        time.sleep(1.0)
        for call in (first, second):
            heard = Spectrum(peer.pcm(call)[-4_000:])
            assert heard.dbm0(1_004) == pytest.approx(-10, abs=2)
            assert heard.dbm0(1_500) > -15, "of the other"
        handset.on_hook()
        handset.wait("line", "on_hook")
        time.sleep(0.5)
        peer.forget()
        time.sleep(0.8)
        for call in (first, second):
            heard = Spectrum(peer.pcm(call)[-4_000:])
            assert heard.dbm0(1_500) > -15
            assert heard.dbm0(1_004) < -40
        peer.do(lambda now: first.hang_up(now, 16))
        assert peer.wait(iax2.Ended, call=second).cause == 16


def test_a_forwarded_call_is_joined_in_the_device(tmp_path: Path) -> None:
    peer = Peer()
    peer.tone_hz = 1_500
    with running(tmp_path, peer) as device:
        dial(device, "*90", "")
        device.handset.wait("tone", "recall")
        device.handset.dtmf("411", 50, 50)
        device.handset.wait("tone", "confirm")
        call = peer.call()
        onward = peer.wait(iax2.CallOffered).call
        assert onward.new.called == "411"
        peer.wait(iax2.Answered, call=call)
        time.sleep(0.8)
        assert Spectrum(peer.pcm(onward)[-4_000:]).dbm0(1_500) > -15


def test_caller_id_withheld_and_flash_told(tmp_path: Path) -> None:
    peer = Peer()
    with running(tmp_path, peer, line='flash_as = "event"') as device:
        dial(device, "*67", "")
        device.handset.wait("tone", "recall")
        device.handset.dtmf("411", 50, 50)
        device.handset.wait("call", "talking")
        call = peer.wait(iax2.CallOffered).call
        assert call.new.presentation == 0x20
        device.handset.flash()
        assert peer.wait(iax2.Flash, call=call)


def test_a_caller_who_gives_up_is_rung_off(tmp_path: Path) -> None:
    peer = Peer()
    with running(tmp_path, peer) as device:
        device.handset.wait("registered")
        call = peer.call()
        device.handset.wait("ringing")
        peer.do(lambda now: call.hang_up(now, 16))
        device.handset.wait("ringing", False)
        device.handset.wait("call", "idle")


@pytest.mark.parametrize(
    ("what", "tone"), [("busy", "busy"), ("congestion", "reorder"), ("reject", "reorder")]
)
def test_refusals_are_heard_as_tones(tmp_path: Path, what: str, tone: str) -> None:
    peer = Peer()
    peer.behave["411"] = what
    with running(tmp_path, peer) as device:
        dial(device, "411", "")
        device.handset.wait("tone", tone)
        if what == "reject":
            assert "Q.850 1 No such number" in device.text()
        device.handset.on_hook()
        device.handset.wait("line", "on_hook")


@pytest.mark.parametrize("what", ["early", "voice"])
def test_audio_before_the_answer_is_heard(tmp_path: Path, what: str) -> None:
    peer = Peer()
    peer.behave["411"] = what
    peer.tone_hz = 1_500
    with running(tmp_path, peer) as device:
        dial(device, "411", "early_media")
        time.sleep(0.4)
        assert device.handset.state()["ear_dbm0"] > -15
        device.handset.on_hook()
        peer.wait(iax2.Ended)


def test_ringback_until_the_caller_gives_up(tmp_path: Path) -> None:
    peer = Peer()
    peer.behave["411"] = "ring"
    with running(tmp_path, peer) as device:
        dial(device, "411", "alerting")
        device.handset.wait("tone", "ringback")
        device.handset.on_hook()
        assert peer.wait(iax2.Ended).cause == 16


def test_on_hold_nothing_is_sent_and_afterwards_it_is(tmp_path: Path) -> None:
    peer = Peer()
    with running(tmp_path, peer) as device:
        dial(device, "411")
        call = peer.wait(iax2.CallOffered).call
        device.handset.tone([1_004], 20_000)
        peer.do(lambda now: call.hold(now))
        time.sleep(0.3)
        peer.forget()
        time.sleep(0.3)
        assert len(peer.pcm(call)) == 0
        peer.do(lambda now: call.unhold(now))
        time.sleep(0.3)
        assert Spectrum(peer.pcm(call)[800:]).strongest() == pytest.approx([1_004], abs=3)
        device.handset.on_hook()


def test_backup_server_is_used_and_left_when_the_first_returns(tmp_path: Path) -> None:
    """Given a first server that is deaf, when it hears again, then the device moves back to it."""
    first, backup = Peer(), Peer()
    first.deaf = True
    account = f'servers = ["{first.server}", "{backup.server}"]\n{FAST}fallback_s = 1.0\n'
    device = DeviceProcess(tmp_path, account, "", "iax2")
    try:
        device.handset.wait("server", backup.server)
        first.deaf = False
        device.handset.wait("server", first.server, 20)
        backup.wait(iax2.Releasing)
        assert device.stop() == 0
    finally:
        device.process.kill()
        device.process.wait()
        first.close()
        backup.close()


def test_a_server_that_is_lost_is_left_for_the_backup(tmp_path: Path) -> None:
    """Given a call at the first server, when it falls silent, then all is over, and elsewhere."""
    first, backup = Peer(), Peer()
    account = f'servers = ["{first.server}", "{backup.server}"]\n{FAST}keep_alive_s = 1\n'
    device = DeviceProcess(tmp_path, account, "", "iax2")
    try:
        device.handset.wait("server", first.server)
        first.deaf = True
        device.handset.wait("server", backup.server, 20)
        dial(device, "411")
        assert backup.of(iax2.CallOffered)
        device.handset.on_hook()
        device.handset.wait("line", "on_hook")
        assert device.stop() == 0
    finally:
        device.process.kill()
        device.process.wait()
        first.close()
        backup.close()


def test_calls_from_strangers_do_not_ring(tmp_path: Path) -> None:
    """Given a scanner that knows the port, when it calls twenty times, then none rings."""
    peer, stranger = Peer(), Peer()
    with running(tmp_path, peer) as device:
        device.handset.wait("registered")
        calls = [stranger.call(peer.devices[-1]) for _ in range(20)]
        for call in calls:
            stranger.wait(iax2.Ended, 15, call=call)
        assert device.handset.state()["rings"] == 0
        peer.call()
        device.handset.wait("ringing")
    stranger.close()


def test_garbage_does_not_end_the_device(tmp_path: Path) -> None:
    peer = Peer()
    with running(tmp_path, peer) as device:
        device.handset.wait("registered")
        target = peer.devices[-1]
        for junk in (b"", b"\x80", b"\0" * 100, b"\xff" * 4_000, b"\x80\1\0\0" + bytes(8)):
            peer.socket.sendto(junk, target)
        rng = random.Random(1)
        for count in range(300):
            peer.socket.sendto(rng.randbytes(40), target)
            if count % 50 == 0:
                time.sleep(0.03)
        peer.call()
        device.handset.wait("ringing")


@pytest.mark.parametrize("seed", [1])
def test_mutated_frames_of_the_registrar_do_not_end_the_device(tmp_path: Path, seed: int) -> None:
    """Given a server gone mad, when it sends 600 damaged frames, then the next call rings."""
    peer = Peer()
    peer.tone_hz = 1_500
    rng = random.Random(seed)
    with running(tmp_path, peer) as device:
        dial(device, "411")
        call = peer.wait(iax2.CallOffered).call
        peer.do(lambda now: (call.digit(now, "5"), call.hold(now), call.unhold(now)))
        time.sleep(0.3)
        full = [one for one in peer.sent if one[0] & 0x80]
        mini = [one for one in peer.sent if not one[0] & 0x80]
        assert full
        assert mini
        for count in range(600):
            frame = bytearray(rng.choice(full if rng.random() < 0.8 else mini))
            for _ in range(rng.randint(1, 4)):
                frame[rng.randrange(len(frame))] = rng.randrange(256)
            peer.socket.sendto(frame[: rng.randint(1, len(frame))], peer.devices[-1])
            if count % 50 == 0:
                time.sleep(0.02)
        device.handset.on_hook()
        device.handset.wait("line", "on_hook", 30)
        time.sleep(0.3)
        device.handset.forget_rings()
        peer.call()
        device.handset.wait("rings", 1)
        assert device.process.poll() is None, f"seed {seed}"


@pytest.mark.parametrize("ours", ["offer", "require"])
def test_an_encrypted_call_is_heard_both_ways(tmp_path: Path, ours: str) -> None:
    peer = Peer(encryption="require")
    peer.tone_hz = 1_500
    with running(tmp_path, peer, f'encryption = "{ours}"') as device:
        dial(device, "411")
        call = peer.wait(iax2.CallOffered).call
        assert call.encrypted
        device.handset.tone([1_004], 1_500)
        time.sleep(1)
        assert device.handset.state()["ear_dbm0"] > -15
        assert Spectrum(peer.pcm(call)[-4_800:]).strongest() == pytest.approx([1_004], abs=3)
        device.handset.on_hook()
        device.handset.wait("line", "on_hook")
        incoming = peer.call()
        device.handset.wait("ringing")
        device.handset.off_hook()
        peer.wait(iax2.Answered, call=incoming)
        assert incoming.encrypted
        assert resident_mb(device.process.pid) <= 36
        device.handset.on_hook()


@pytest.mark.parametrize("method", ["md5", "address"])
def test_without_encryption_there_is_no_call_where_it_is_required(
    tmp_path: Path, method: Literal["md5", "address"]
) -> None:
    """Given a server that does not encrypt, or does not even challenge, then nothing is said."""
    peer = Peer()
    with running(tmp_path, peer, 'encryption = "require"') as device:
        device.handset.wait("registered")
        peer.method = method
        dial(device, "411", "")
        device.handset.wait("tone", "reorder")
        assert not peer.heard
        device.handset.on_hook()
        device.handset.wait("line", "on_hook")
        call = peer.call()
        peer.wait(iax2.Ended, 10, call=call)
        assert device.handset.state()["rings"] == 0


@pytest.mark.parametrize(("seed", "loss", "jitter_ms"), [(1, 0.05, 100), (2, 0.1, 200)])
def test_a_call_over_a_bad_way_is_heard_both_ways(
    tmp_path: Path, seed: int, loss: float, jitter_ms: float
) -> None:
    """Given loss, jitter and duplicates, then the tone is heard without holes."""
    peer = Peer()
    peer.tone_hz = 500
    way = BadWay(peer.where, seed, loss, jitter_ms, 0.05)
    with running(tmp_path, peer, way=way) as device:
        dial(device, "411")
        call = peer.wait(iax2.CallOffered).call
        device.handset.tone([1_004], 10_000)
        time.sleep(1.5)
        device.handset.record(str(tmp_path / "ear.wav"))
        time.sleep(2)
        device.handset.stop_record()
        ear = recording(tmp_path / "ear.wav")
        assert Spectrum(ear).strongest() == pytest.approx([500], abs=3), f"seed {seed}"
        frames = ear[: len(ear) // 160 * 160].reshape(-1, 160)
        quiet = np.sqrt(np.mean(frames**2, axis=1)) < 1_000
        assert np.mean(quiet) < 0.05, f"seed {seed}: concealed, not silent"
        assert Spectrum(peer.pcm(call)[-16_000:]).strongest() == pytest.approx([1_004], abs=3)
        assert way.lost > 10
        device.handset.on_hook()
        device.handset.wait("line", "on_hook")


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    peer = Peer()
    device = DeviceProcess(
        tmp_path, f'servers = ["{peer.server}"]\nport = {peer.where[1]}', "", "iax2"
    )
    try:
        assert device.process.wait(10) == 1
        assert "nothing else uses the port" in device.text()
        assert "Traceback" not in device.text()
    finally:
        device.process.kill()
        device.process.wait()
        peer.close()


def test_an_emergency_call_is_tried_where_the_server_refuses_us(tmp_path: Path) -> None:
    peer = Peer()
    peer.registers = False
    peer.behave["911"] = "answer"
    with running(tmp_path, peer) as device:
        time.sleep(0.5)  # off-hook at the start is a telephone that was left so
        device.handset.off_hook()
        time.sleep(0.5)
        device.handset.dtmf("411", 60, 60)
        device.handset.wait("tone", "reorder")
        device.handset.on_hook()
        device.handset.wait("line", "on_hook")
        device.handset.off_hook()
        time.sleep(0.5)
        assert device.handset.state()["tone"] == "", "no dial tone without service"
        device.handset.dtmf("911", 60, 60)
        device.handset.wait("call", "talking")
    assert not peer.of(iax2.Registering)
    assert [one.call.new.called for one in peer.of(iax2.CallOffered)] == ["911"]


@pytest.mark.parametrize("how", ["silent", "refuses"])
def test_an_emergency_call_is_tried_at_every_server(tmp_path: Path, how: str) -> None:
    first, second = Peer(), Peer()
    second.behave["911"] = "answer"
    if how == "refuses":
        first.behave["911"] = "congestion"
    try:
        with running(tmp_path, first, backup=second.server) as device:
            device.handset.wait("registered")
            if how == "silent":
                first.close()
            dial(device, "911", "")
            device.handset.wait("call", "talking", 9)
        assert [one.call.new.called for one in second.of(iax2.CallOffered)] == ["911"]
    finally:
        second.close()


def test_a_name_that_nobody_has_does_not_hold_anything_up(tmp_path: Path) -> None:
    peer = Peer()
    account = f'servers = ["nobody.invalid", "{peer.server}"]\n{FAST}'
    device = DeviceProcess(tmp_path, account, "", "iax2")
    try:
        device.handset.wait("server", peer.server)
        assert device.stop() == 0
    finally:
        device.process.kill()
        device.process.wait()
        peer.close()


def test_debug_shows_frames_and_no_secrets(tmp_path: Path) -> None:
    peer = Peer()
    device = DeviceProcess(tmp_path, f'servers = ["{peer.server}"]', "", "iax2", "--debug")
    try:
        device.handset.wait("registered")
        assert device.stop() == 0
        assert "REGREQ" in device.text()
        assert "CALLTOKEN=..." in device.text()
        assert "MD5_RESULT=..." in device.text()
        assert "secret" not in device.text()
    finally:
        device.process.kill()
        device.process.wait()
        peer.close()


_WITHOUT = """
import sys
import firmware.app as app
from firmware.config import Config, Iax2Config
agent = app.make_agent(Config(iax2=Iax2Config("1", "p", ("127.0.0.1",), encryption="{0}")))
unwanted = {{"pjsua2", "cryptography", "asyncio", "host", "construct", "firmware.ua.sip"}}
print(",".join(sorted(set(sys.modules) & unwanted)))
"""


@pytest.mark.parametrize(("encryption", "loaded"), [("no", ""), ("offer", "cryptography")])
def test_a_device_with_iax2_alone_imports_no_sip(encryption: str, loaded: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(encryption)],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert run.stdout.strip() == loaded


def test_encryption_without_its_package_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "cryptography.py").write_text("raise ImportError('not here')\n")
    config = tmp_path / "ata.toml"
    config.write_text(
        '[iax2]\nusername = "1"\npassword = "p"\nservers = ["127.0.0.1"]\nencryption = "offer"\n'
        f'[line]\ncontrol = "{tmp_path}/handset.sock"\n'
    )
    run = subprocess.run(
        [sys.executable, "-m", "firmware.app", "--config", str(config)],
        capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"},
    )  # fmt: skip
    assert run.returncode == 1
    assert "pip install 'loopstart[encryption]'" in run.stderr
    assert "Traceback" not in run.stderr
