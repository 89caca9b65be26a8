"""The whole device: numbers and waiting messages, from the network to the handset's wire."""

from __future__ import annotations

import socket
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.firmware import iax2_peer
from tests.firmware.device_process import DeviceProcess
from tests.firmware.peer import Peer
from tests.hal import ears

SIP = "register_timeout_s = 1.0\nretry_least_s = 0.5\nretry_most_s = 2.0\n"
QUICK = 'caller_id = "etsi-fsk-dtas"'
"""Data before the first ring, after a tenth of a second."""


@contextmanager
def recorded(device: DeviceProcess, folder: Path, peer: Peer | iax2_peer.Peer) -> Iterator[None]:
    """What reaches the handset is recorded once the device has registered; at the end it stops."""
    try:
        device.handset.wait("registered")
        device.handset.record(str(folder / "wire.wav"))
        yield
        assert device.stop() == 0, device.text()
    finally:
        device.process.kill()
        device.process.wait()
        peer.close()


@contextmanager
def over_sip(folder: Path, peer: Peer, sip: str = "", line: str = QUICK) -> Iterator[DeviceProcess]:
    device = DeviceProcess(folder, f'servers = ["127.0.0.1:{peer.port}"]\n{SIP}{sip}', line)
    with recorded(device, folder, peer):
        yield device


@contextmanager
def over_iax2(folder: Path, peer: iax2_peer.Peer) -> Iterator[DeviceProcess]:
    account = f'servers = ["{peer.server}"]\n{SIP}'
    device = DeviceProcess(folder, account, QUICK, "iax2")
    with recorded(device, folder, peer):
        yield device


def on_the_wire(device: DeviceProcess, folder: Path) -> bytes:
    """Audio that reached the handset while its receiver was down."""
    device.handset.stop_record()
    with wave.open(str(folder / "wire.wav"), "rb") as wav:
        return wav.readframes(wav.getnframes())


def parameters(audio: bytes, folder: Path) -> dict[int, bytes]:
    octets = ears.octets(audio, "v23", folder)
    assert sum(octets[: octets[1] + 3]) % 256 == 0
    found, rest = {}, octets[2 : octets[1] + 2]
    while rest:
        found[rest[0]] = rest[2 : rest[1] + 2]
        rest = rest[rest[1] + 2 :]
    return found


@ears.needs_minimodem
def test_number_and_name_are_shown_between_the_first_two_rings(tmp_path: Path) -> None:
    peer = Peer()
    with over_sip(tmp_path, peer, line='country = "US"') as device:
        asked = time.localtime()
        peer.call()
        device.handset.wait("rings", 1)
        device.handset.wait("rings", 2)
        shown = ears.displayed(on_the_wire(device, tmp_path), tmp_path)
        assert (shown["Phone"], shown["Name"]) == ("514-555-0199", "Ann")
        hour = {
            time.strftime("%m/%d %H:%M", time.localtime(time.mktime(asked) + s)) for s in (0, 9)
        }
        assert shown["Time"] in hour


@ears.needs_minimodem
@pytest.mark.parametrize(
    ("caller", "extra", "wanted"),
    [
        ("", 'P-Asserted-Identity: "Bob" <sip:2125550100@127.0.0.1>\r\n', (b"2125550100", b"Bob")),
        ('"Anonymous" <sip:anonymous@anonymous.invalid>', "", (b"P", b"P")),
        ("<sip:127.0.0.1>", "", (b"O", b"O")),
    ],
)
def test_who_calls_over_sip(
    caller: str, extra: str, wanted: tuple[bytes, bytes], tmp_path: Path
) -> None:
    peer = Peer()
    with over_sip(tmp_path, peer) as device:
        peer.call(caller=caller, extra=extra)
        device.handset.wait("ringing")
        found = parameters(on_the_wire(device, tmp_path), tmp_path)
        assert (found.get(0x02, found.get(0x04)), found.get(0x07, found.get(0x08))) == wanted
        device.handset.off_hook()
        peer.acknowledge(peer.wait_for("SIP/2.0 200", "INVITE"))
        device.handset.wait("call", "talking")


@ears.needs_minimodem
@pytest.mark.parametrize(
    ("new", "wanted"),
    [
        ({}, (b"15145550199", b"Far End")),
        ({"presentation": 0x20}, (b"P", b"P")),
        ({"presentation": 0x43}, (b"O", b"O")),
        ({"calling": "", "name": ""}, (b"O", b"O")),
    ],
)
def test_who_calls_over_iax2(
    new: dict[str, Any], wanted: tuple[bytes, bytes], tmp_path: Path
) -> None:
    peer = iax2_peer.Peer()
    with over_iax2(tmp_path, peer) as device:
        peer.call(**new)
        device.handset.wait("ringing")
        found = parameters(on_the_wire(device, tmp_path), tmp_path)
        assert (found.get(0x02, found.get(0x04)), found.get(0x07, found.get(0x08))) == wanted


WAITS = "Messages-Waiting: yes\r\nVoice-Message: 2/0\r\n"
NONE = "Messages-Waiting: no\r\n"


def lamp(audio: bytes, folder: Path) -> list[int]:
    octets = ears.octets(audio, "v23", folder)
    return [octets[at + 4] for at in range(len(octets)) if octets[at:].startswith(b"\x82\x03\x0b")]


@ears.needs_minimodem
def test_an_unasked_notify_sets_lamp_and_dial_tone(tmp_path: Path) -> None:
    peer = Peer()
    with over_sip(tmp_path, peer) as device:
        handset = device.handset
        peer.notify(WAITS)
        peer.wait_for("SIP/2.0 200", "NOTIFY")
        handset.wait("audio")
        handset.wait("audio", False)
        assert lamp(on_the_wire(device, tmp_path), tmp_path) == [0xFF]
        handset.off_hook()
        handset.wait("tone", "stutter")
        handset.on_hook()
        handset.wait("line", "on_hook")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.1", 0))
            peer.notify(NONE, stranger)
            time.sleep(0.5)
        handset.off_hook()
        handset.wait("tone", "stutter")
        handset.on_hook()
        handset.wait("line", "on_hook")
        peer.notify(NONE)
        handset.record(str(tmp_path / "wire.wav"))
        handset.wait("audio")
        handset.wait("audio", False)
        assert lamp(on_the_wire(device, tmp_path), tmp_path) == [0x00]


@pytest.mark.parametrize("mailbox", [WAITS, None])
def test_a_subscription_is_asked_for_where_it_is_configured(
    mailbox: str | None, tmp_path: Path
) -> None:
    peer = Peer()
    peer.mailbox = mailbox
    with over_sip(tmp_path, peer, 'message_waiting = "subscribe"\n') as device:
        asked = peer.wait_for("SUBSCRIBE")
        assert asked.one("event") == "message-summary"
        assert "simple-message-summary" in asked.one("accept")
        assert asked.first.startswith("SUBSCRIBE sip:100001@127.0.0.1")
        if mailbox:
            peer.wait_for("SIP/2.0 200", "NOTIFY")
        time.sleep(0.2)
        device.handset.off_hook()
        device.handset.wait("tone", "stutter" if mailbox else "dial")
        device.handset.dtmf("411", 50, 50)
        device.handset.wait("call", "talking")
        assert peer.wait_for("INVITE sip:411@127.0.0.1")


def test_nobody_is_asked_and_nothing_believed_when_it_is_off(tmp_path: Path) -> None:
    peer = Peer()
    with over_sip(tmp_path, peer, 'message_waiting = "off"\n') as device:
        peer.notify(WAITS)
        time.sleep(0.5)
        device.handset.off_hook()
        device.handset.wait("tone", "dial")
        assert not [one for one in peer.heard if one.method == "SUBSCRIBE"]


def test_iax2_says_with_each_registration_what_waits(tmp_path: Path) -> None:
    peer = iax2_peer.Peer()
    peer.mailbox = (2, 1)
    with over_iax2(tmp_path, peer) as device:
        device.handset.off_hook()
        device.handset.wait("tone", "stutter")
