"""The echo of a real host, through its real relay."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from firmware.wire.rtp import RtpPacket
from firmware.wire.sip.sdp import parse
from host.numbering import dids
from tests.host.sip.phone import Phone
from tests.host.sip.server_process import HostProcess

DID = "+12125550100"


def test_a_telephone_hears_itself(tmp_path: Path) -> None:
    host = HostProcess(tmp_path, "udp")
    phone = media = None
    try:
        host.setup()
        host.account("alice", route="premium")
        host.carrier("north", "127.0.1.5", 5060)
        host.did(DID, "alice")
        dids.route_did(host.conn, DID, routing="sys:echo")
        host.start()
        phone = Phone.udp("127.0.1.9", ("127.0.1.1", host.port), "alice")
        media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        media.bind(("127.0.1.9", 0))
        media.settimeout(0.02)
        phone.media_port = media.getsockname()[1]
        answer = phone.call(DID.lstrip("+"))
        assert answer.status == 200
        described = parse(answer.body)
        assert described.audio is not None
        where = (str(described.address_of(described.audio)), described.audio.port)
        sent = [bytes([n]) * 160 for n in range(100)]
        heard: list[bytes] = []
        for n, payload in enumerate(sent):
            media.sendto(RtpPacket(0, n, n * 160, 7, payload).to_bytes(), where)
            try:
                heard.append(RtpPacket.from_bytes(media.recv(2048)).payload)
            except TimeoutError:
                continue
        time.sleep(0.1)
        assert len(heard) > 80
        assert set(heard) <= set(sent)
        assert phone.bye().status == 200
        cdrs = host.wait_cdrs(2)
        assert [(cdr["direction"], cdr["disposition"]) for cdr in cdrs] == [
            ("out", "answered"),
            ("in", "answered"),
        ]
        assert all(cdr["cost"] > 0 for cdr in cdrs)
    finally:
        for one in (phone, media):
            if one is not None:
                one.close()
        host.close()
    host.clean_log()
