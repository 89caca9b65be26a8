"""The whole device against a SIP peer: registration, calls both ways, audio, digits, strangers."""

from __future__ import annotations

import random
import re
import shutil
import socket
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.firmware.device_process import DeviceProcess
from tests.firmware.peer import Peer, Script, Spectrum, parse
from tests.firmware.tlsfront import TlsFront, make_certificate

FAST = "register_timeout_s = 1.0\nretry_least_s = 0.5\nretry_most_s = 2.0\n"


@contextmanager
def running(folder: Path, peer: Peer, sip: str = "", line: str = "") -> Iterator[DeviceProcess]:
    """A device whose server is the peer; afterwards both are gone."""
    device = DeviceProcess(folder, f'servers = ["127.0.0.1:{peer.port}"]\n{FAST}{sip}', line)
    try:
        yield device
        assert device.stop() == 0, device.text()
    finally:
        device.process.kill()
        device.process.wait()
        peer.close()


def recording(path: Path) -> np.ndarray:
    with wave.open(str(path), "rb") as wav:
        return np.frombuffer(wav.readframes(wav.getnframes()), np.int16).astype(float)


@pytest.mark.parametrize("algorithms", [("SHA-256", "MD5"), ("MD5",)])
def test_registers_with_digest_and_leaves_with_its_own_binding(
    tmp_path: Path, algorithms: tuple[str, ...]
) -> None:
    peer = Peer(algorithms)
    peer.other_contact = "Contact: <sip:100001@192.0.2.7:5060>;expires=9999\r\n"
    with running(tmp_path, peer) as device:
        device.handset.wait("registered")
        assert f"algorithm={algorithms[0]}" in peer.registers[0].one("authorization")
    last = peer.registers[-1]
    assert last.one("contact") != "*"
    assert "192.0.2.7" not in last.one("contact")
    assert last.one("expires") == "0" or "expires=0" in last.one("contact")


def test_its_own_binding_is_refreshed_whatever_others_hold(tmp_path: Path) -> None:
    """Given another device's long binding first in the answer, then our short one still lives."""
    peer = Peer()
    peer.other_contact = "Contact: <sip:100001@192.0.2.7:5060>;expires=9999\r\n"
    peer.expires_s = 6
    with running(tmp_path, peer, "keep_alive_s = 1") as device:
        device.handset.wait("registered")
        until = time.monotonic() + 8
        while len(peer.registers) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(peer.registers) >= 2
        assert peer.keep_alives >= 3
        assert device.handset.state()["registered"]


def test_wrong_password_is_not_hammered(tmp_path: Path) -> None:
    peer = Peer(password="other")
    with running(tmp_path, peer) as device:
        time.sleep(1.2)
        assert not device.handset.state()["registered"]
        assert 1 <= len([one for one in peer.heard if one.method == "REGISTER"]) <= 8
        assert "403" in device.text()


def test_call_out_is_heard_both_ways_with_digits_as_events(tmp_path: Path) -> None:
    """Given a registered device, when it dials by DTMF and the peer answers, then tones cross."""
    peer = Peer()
    peer.tone_hz = 1_500
    with running(tmp_path, peer) as device:
        handset = device.handset
        handset.wait("registered")
        handset.off_hook()
        handset.wait("tone", "dial")
        handset.dtmf("5145550123", 50, 50)
        handset.wait("call", "talking")
        invite = peer.wait_for("INVITE sip:15145550123@")
        assert invite.one("from")
        assert peer.offered_codecs[:3] == ["PCMU", "PCMA", "G722"]
        assert set(peer.offered_codecs[3:]) <= {"telephone-event"}
        handset.record(str(tmp_path / "ear.wav"))
        handset.tone([1_004], 1_200)
        time.sleep(1.3)
        handset.stop_record()
        ear = Spectrum(recording(tmp_path / "ear.wav")[1_600:8_000])
        assert ear.strongest() == [1_500]
        mouth = peer.pcm()[-8_800:-2_400]
        assert Spectrum(mouth).strongest() == [1_004]
        assert Spectrum(mouth).dbm0(1_004) == pytest.approx(-10, abs=1)
        peer.audio.clear()
        handset.dtmf("159#")
        time.sleep(0.4)
        assert peer.events == [1, 5, 9, 11]
        leak = Spectrum(peer.pcm().astype(float))
        assert leak.dbm0(1_336) < -22, "digits that go as events are kept out of the audio"
        peer.bye()
        handset.wait("tone", "reorder")
        handset.on_hook()
        handset.wait("line", "on_hook")


def test_digits_go_in_band_when_so_configured(tmp_path: Path) -> None:
    peer = Peer()
    with running(tmp_path, peer, 'dtmf = "inband"') as device:
        handset = device.handset
        handset.wait("registered")
        handset.off_hook()
        handset.wait("tone", "dial")
        handset.dtmf("5145550123", 50, 50)
        handset.wait("call", "talking")
        peer.audio.clear()
        handset.dtmf("5", on_ms=400)
        time.sleep(0.2)
        assert peer.events == []
        tones = Spectrum(peer.pcm().astype(float)).strongest(2)
        assert tones == pytest.approx([770, 1_336], abs=3)
        handset.on_hook()
        peer.wait_for("BYE")


def test_digits_go_in_band_where_the_far_end_takes_no_events(tmp_path: Path) -> None:
    peer = Peer()
    peer.takes_events = False
    with running(tmp_path, peer) as device:
        handset = device.handset
        handset.wait("registered")
        handset.off_hook()
        handset.wait("tone", "dial")
        handset.dtmf("411", 50, 50)
        handset.wait("call", "talking")
        peer.audio.clear()
        handset.dtmf("55", 100, 100)
        time.sleep(0.3)
        assert peer.events == []
        tones = Spectrum(peer.pcm().astype(float)).strongest(2)
        assert tones == pytest.approx([770, 1_336], abs=6)
    peer.wait_for("BYE")


def test_the_other_codecs_and_no_transfer_at_the_far_ends_wish(tmp_path: Path) -> None:
    peer = Peer()
    with running(tmp_path, peer, line="flash = false\nhang_up_ms = 200") as device:
        handset = device.handset
        handset.wait("registered")
        for kind, name in ((8, "PCMA"), (9, "G722")):
            peer.codec = (kind, name)
            handset.off_hook()
            handset.wait("tone", "dial")
            handset.dtmf("411", 50, 50)
            handset.wait("call", "talking")
            time.sleep(0.4)
            assert peer.packets.get(kind, 0) > 10
            if kind == 9:
                peer.within("REFER", "Refer-To: <sip:19005550123@127.0.0.1>\r\n")
                peer.wait_for("SIP/2.0 403", "REFER")
                assert handset.state()["call"] == "talking"
            handset.on_hook()
            handset.wait("line", "on_hook")
        assert not [one for one in peer.heard if one.first.startswith("INVITE sip:1900")]


def test_call_in_rings_and_is_answered_and_a_second_one_is_busy(tmp_path: Path) -> None:
    peer = Peer()
    peer.tone_hz = 1_500
    with running(tmp_path, peer, line="call_waiting = false") as device:
        handset = device.handset
        handset.wait("registered")
        peer.call()
        handset.wait("ringing")
        peer.wait_for("SIP/2.0 180", "INVITE")
        assert handset.state()["ring_vrms"] >= 40
        handset.off_hook()
        answer = peer.wait_for("SIP/2.0 200", "INVITE")
        peer.acknowledge(answer)
        state = handset.wait("call", "talking")
        assert not state["ringing"]
        assert state["ring_vrms"] == 0
        second = peer.call()
        busy = peer.wait_for("SIP/2.0 486", "INVITE")
        assert busy.one("call-id") == second
        time.sleep(0.4)
        assert handset.state()["ear_dbm0"] > -15
        handset.on_hook()
        peer.wait_for("BYE")


CAUSES = [
    (486, "", "busy"),
    (600, "", "busy"),
    (402, "Q.850;cause=21", "reorder"),
    (404, "Q.850;cause=1", "reorder"),
    (503, "", "reorder"),
    (480, "SIP;cause=480, Q.850;cause=17", "busy"),
]


def test_a_refused_call_sounds_like_its_cause(tmp_path: Path) -> None:
    peer = Peer()
    with running(tmp_path, peer, line="flash = false\nhang_up_ms = 200") as device:
        handset = device.handset
        handset.wait("registered")
        for count, (status, reason, tone) in enumerate(CAUSES):
            peer.scripts["911"] = Script(((status, False),), reason)
            handset.off_hook()
            handset.wait("tone", "dial")
            handset.dtmf("911", 50, 50)
            handset.wait("line", "ended")
            assert handset.state()["tone"] == tone, (status, reason)
            if count in (0, 2):
                _check_cadence(device, tmp_path / "ear.wav", 0.5 if tone == "busy" else 0.25)
            handset.on_hook()
            handset.wait("line", "on_hook")


def _check_cadence(device: DeviceProcess, path: Path, part_s: float) -> None:
    device.handset.record(str(path))
    time.sleep(1.1)
    device.handset.stop_record()
    ear = recording(path)
    assert Spectrum(ear).strongest(2) == pytest.approx([480, 620], abs=2)
    ear = ear[: len(ear) // 160 * 160]
    bursts = np.abs(ear.reshape(-1, 160)).max(axis=1) > 100
    changes = int(np.count_nonzero(np.diff(bursts.astype(int))))
    assert changes == pytest.approx(1.1 / part_s, abs=1)


def test_early_media_is_heard_before_the_answer(tmp_path: Path) -> None:
    peer = Peer()
    peer.tone_hz = 1_500
    peer.scripts["15145550123"] = Script(((183, True),))
    with running(tmp_path, peer) as device:
        handset = device.handset
        handset.wait("registered")
        handset.off_hook()
        handset.wait("tone", "dial")
        handset.dtmf("15145550123", 50, 50)
        handset.wait("call", "early_media")
        time.sleep(0.4)
        state = handset.state()
        assert state["tone"] == ""
        assert state["ear_dbm0"] > -15
        handset.on_hook()
        peer.wait_for("CANCEL")


def test_local_ringback_without_early_media(tmp_path: Path) -> None:
    peer = Peer()
    peer.scripts["411"] = Script(((180, False),))
    with running(tmp_path, peer, line='country = "UK"') as device:
        handset = device.handset
        handset.wait("registered")
        handset.off_hook()
        handset.wait("tone", "dial")
        handset.rotary("411", 20)
        handset.wait("tone", "ringback")
        handset.on_hook()
        handset.wait("line", "on_hook")


def test_invites_from_strangers_do_not_ring_nor_take_legs(tmp_path: Path) -> None:
    """Given a scanner that knows the contact, when it sends twenty INVITEs, then none rings."""
    peer = Peer()
    with running(tmp_path, peer) as device, _stranger() as stranger:
        handset = device.handset
        handset.wait("registered")
        statuses = []
        for count in range(20):
            peer.call(via=stranger, call_id=f"scan{count}")
            reply = parse(stranger.recv(65_536), ("", 0))
            while reply.one("call-id") != f"scan{count}" or " 100 " in reply.first:
                reply = parse(stranger.recv(65_536), ("", 0))
            statuses.append(reply.first.split(" ")[1])
        assert statuses == ["403"] * 20
        assert handset.state()["rings"] == 0
        watch = (
            f"SUBSCRIBE {peer.contact} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:"
            f"{stranger.getsockname()[1]};branch=z9hG4bKwatch\r\nFrom: <sip:x@y>;tag=1\r\n"
            f"To: <{peer.contact}>\r\nCall-ID: watch\r\nCSeq: 1 SUBSCRIBE\r\n"
            "Contact: <sip:x@127.0.0.1>\r\nEvent: presence\r\nMax-Forwards: 70\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        stranger.sendto(watch.encode(), peer.device)
        answer = parse(stranger.recv(65_536), ("", 0))
        while answer.one("call-id") != "watch":
            answer = parse(stranger.recv(65_536), ("", 0))
        assert answer.first.startswith("SIP/2.0 403")
        peer.call()
        handset.wait("ringing")


@contextmanager
def _stranger() -> Iterator[socket.socket]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(3)
    try:
        yield sock
    finally:
        sock.close()


def test_garbage_does_not_end_the_device(tmp_path: Path) -> None:
    peer = Peer()
    with running(tmp_path, peer) as device:
        device.handset.wait("registered")
        requests = (b"INVITE sip:x SIP/2.0\r\n\r\n", b"SIP/2.0 200\r\n\r\n")
        for junk in (*requests, b"\0" * 100, b"A" * 9_000):
            peer.sip.sendto(junk, peer.device)
        bad_sdp = peer._sdp
        peer._sdp = lambda: "v=0\r\nm=audio x\r\n"  # type: ignore[method-assign]
        peer.call()
        time.sleep(0.3)
        peer._sdp = bad_sdp  # type: ignore[method-assign]
        peer.call()
        device.handset.wait("ringing")


def test_backup_server_is_used_and_left_when_the_first_returns(tmp_path: Path) -> None:
    """Given a first server that is deaf, when it hears again, then the device moves back to it."""
    first, backup = Peer(deaf=True), Peer()
    sip = f'servers = ["127.0.0.1:{first.port}", "127.0.0.1:{backup.port}"]\n{FAST}'
    device = DeviceProcess(tmp_path, sip + "fallback_s = 1.0\n")
    try:
        device.handset.wait("server", f"127.0.0.1:{backup.port}")
        first.deaf = False
        device.handset.wait("server", f"127.0.0.1:{first.port}", 40)
        time.sleep(0.5)
        assert re.search(r"expires=0", backup.registers[-1].one("contact")) or (
            backup.registers[-1].one("expires") == "0"
        )
        assert device.stop() == 0
    finally:
        device.process.kill()
        device.process.wait()
        first.close()
        backup.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_tls_with_a_certificate_that_is_checked(tmp_path: Path) -> None:
    """Given a TLS server, when its authority is known, then calls pass; when not, nothing does."""
    certificate, key = make_certificate(tmp_path, "good")
    stranger, _ = make_certificate(tmp_path, "other")
    peer = Peer()
    front = TlsFront(peer, certificate, key)
    server = f'servers = ["127.0.0.1:{front.port};transport=tls"]\n{FAST}'
    try:
        device = DeviceProcess(tmp_path, f'{server}tls_ca_file = "{certificate}"\n')
        try:
            handset = device.handset
            handset.wait("registered")
            handset.off_hook()
            handset.wait("tone", "dial")
            handset.dtmf("411", 50, 50)
            handset.wait("call", "talking")
            assert ";transport=" in peer.registers[0].one("contact").lower()
            handset.on_hook()
            handset.wait("line", "on_hook")
            peer.through = peer.registers[0].source
            peer.call()
            handset.wait("ringing")
            assert device.stop() == 0
        finally:
            device.process.kill()
            device.process.wait()
        before = len(peer.heard)
        device = DeviceProcess(tmp_path, f'{server}tls_ca_file = "{stranger}"\n')
        try:
            time.sleep(1.5)
            assert not device.handset.state()["registered"]
            assert len(peer.heard) == before, "nothing is said to a server that is not known"
            assert device.stop() == 0
        finally:
            device.process.kill()
            device.process.wait()
    finally:
        front.close()
        peer.close()


@pytest.mark.parametrize("seed", [1])
def test_mutated_requests_of_the_registrar_do_not_end_the_device(tmp_path: Path, seed: int) -> None:
    """Given a server gone mad, when it sends 400 damaged requests, then the next call rings."""
    peer = Peer()
    rng = random.Random(seed)
    methods = ["INVITE"] * 4 + [
        "BYE",
        "CANCEL",
        "ACK",
        "NOTIFY",
        "REFER",
        "UPDATE",
        "PRACK",
        "INFO",
    ]
    with running(tmp_path, peer) as device:
        device.handset.wait("registered")
        for count in range(400):
            whole = peer.request(rng.choice(methods), f"mad{seed}-{count}", peer.port)
            peer.sip.sendto(_damage(bytearray(whole), rng), peer.device)
            if count % 20 == 0:
                time.sleep(0.03)
        time.sleep(0.5)
        device.handset.off_hook()  # some of them ring, and are answered
        time.sleep(0.2)
        device.handset.on_hook()
        device.handset.wait("line", "on_hook")
        device.handset.forget_rings()
        peer.call()
        device.handset.wait("rings", 1)
        assert device.process.poll() is None, f"seed {seed}"


def _damage(octets: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(octets))
        kind = rng.randrange(4)
        if kind == 0:
            octets[at] = rng.randrange(256)
        elif kind == 1:
            del octets[at : at + rng.randint(1, 40)]
        elif kind == 2:
            octets[at:at] = rng.randbytes(rng.randint(1, 20))
        else:
            lines = bytes(octets).split(b"\r\n")
            lines.insert(rng.randrange(len(lines)), rng.choice(lines))
            octets = bytearray(b"\r\n".join(lines))
        octets = octets or bytearray(b"x")
    return bytes(octets)
