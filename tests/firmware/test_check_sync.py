"""NOTIFY of `check-sync`: a device that is provisioned hears it from its registrar alone."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firmware.status import is_alive, line_states
from firmware.ua.check_sync import asks_for_sync
from tests.firmware.device_process import DeviceProcess
from tests.firmware.peer import Peer
from tests.firmware.test_device_sip import running

NOTIFY = (
    "NOTIFY sip:1@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa\r\n"
    "From: <sip:192.0.2.9>;tag=a\r\nTo: <sip:1@192.0.2.1>\r\nCall-ID: a\r\nCSeq: 1 NOTIFY\r\n"
    "{event}\r\nContent-Length: 0\r\n\r\n"
)


@pytest.mark.parametrize(
    ("event", "asks"),
    [
        ("Event: check-sync", True),
        ("Event: check-sync;reboot=false", True),
        ("event:Check-Sync ; reboot=true", True),
        ("o: check-sync", True),
        ("Event: message-summary", False),
        ("Event: check-sync-not", False),
        ("X-Event: check-sync", False),
    ],
)
def test_what_asks_for_it(event: str, asks: bool) -> None:
    assert asks_for_sync(NOTIFY.format(event=event)) is asks


def test_what_is_no_such_notify() -> None:
    notify = NOTIFY.format(event="Event: check-sync")
    assert not asks_for_sync(notify.replace("NOTIFY", "OPTIONS"))
    assert not asks_for_sync(notify.partition("From")[0])
    assert not asks_for_sync("")


@contextmanager
def provisioned(folder: Path, peer: Peer) -> Iterator[DeviceProcess]:
    line = f'[provisioning]\nurl = "https://127.0.0.1:9"\nrun_dir = "{folder / "run"}"'
    with running(folder, peer, "", line) as device:
        device.handset.wait("registered")
        yield device


def wanted_at(folder: Path) -> float:
    (state,) = line_states(folder / "run", is_alive)
    return state.sync_ms


def test_it_is_told_to_what_looks_after_updates(tmp_path: Path) -> None:
    peer = Peer()
    with provisioned(tmp_path, peer) as device:
        assert wanted_at(tmp_path) == 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.1", 0))
            peer.notify("", stranger, "check-sync")
            peer.notify("", None, "presence")
            time.sleep(0.5)
        assert wanted_at(tmp_path) == 0, "a stranger has no say"
        peer.notify("", None, "check-sync;reboot=false")
        end = time.monotonic() + 5
        while (first := wanted_at(tmp_path)) == 0:
            assert time.monotonic() < end, device.text()
            time.sleep(0.02)
        peer.notify("", None, "check-sync")
        while wanted_at(tmp_path) == first:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert "RX " not in device.text(), "pjsip's log stays unsaid"


def test_a_device_that_is_not_provisioned_does_not_listen(tmp_path: Path) -> None:
    peer = Peer()
    with running(tmp_path, peer) as device:
        device.handset.wait("registered")
        peer.notify("", None, "check-sync")
        time.sleep(0.3)
        device.handset.off_hook()
        device.handset.wait("tone", "dial")


def test_it_calls_as_before(tmp_path: Path) -> None:
    peer = Peer()
    with provisioned(tmp_path, peer) as device:
        device.handset.off_hook()
        device.handset.wait("tone", "dial")
        device.handset.dtmf("15145550100#", 60, 60)
        device.handset.wait("call", "talking")
        peer.notify("", None, "check-sync")
        end = time.monotonic() + 5
        while wanted_at(tmp_path) == 0:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert device.handset.state()["call"] == "talking"
        device.handset.on_hook()
