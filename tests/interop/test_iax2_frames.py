"""Each frame and element of IAX2 that we send, as tshark reads it: nothing malformed, as meant."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from firmware.wire.iax2 import (
    Access,
    CallOffered,
    Credentials,
    DateTime,
    EndpointSettings,
    Event,
    Format,
    NewCall,
)
from firmware.wire.iax2.auth import key
from firmware.wire.iax2.crypto import FrameCipher
from firmware.wire.iax2.elements import Ie
from firmware.wire.iax2.frames import FullFrame
from firmware.wire.iax2.kinds import Control, FrameType, Iax
from tests.interop.programs import needs
from tests.wire.iax2.aes import Aes
from tests.wire.iax2.link import CLIENT, SERVER, Network, Users

pytestmark = [pytest.mark.interop, needs("tshark", "tshark")]

FIELDS = (
    "iax2.packet_type", "iax2.type", "iax2.iax.subclass", "iax2.control.subclass",
    "iax2.src_call", "iax2.dst_call", "iax2.retransmission", "iax2.timestamp", "iax2.oseqno",
    "iax2.iseqno", "_ws.malformed", "_ws.expert.message", "iax2.iax.called_number",
    "iax2.iax.calling_number", "iax2.iax.calling_name", "iax2.iax.calling_ani", "iax2.iax.dnid",
    "iax2.iax.rdnis", "iax2.iax.language", "iax2.iax.called_context", "iax2.iax.username",
    "iax2.iax.version", "iax2.iax.callingpres", "iax2.iax.callington", "iax2.iax.callingtns",
    "iax2.iax.format", "iax2.iax.format2", "iax2.iax.capability", "iax2.iax.capability2",
    "iax2.iax.codecprefs", "iax2.iax.datetime.raw", "iax2.iax.datetime", "iax2.iax.encryption",
    "iax2.iax.auth.methods", "iax2.iax.auth.challenge", "iax2.iax.auth.md5", "iax2.iax.refresh",
    "iax2.iax.cause", "iax2.iax.causecode", "iax2.iax.msg_count", "iax2.iax.iax_unknown",
    "iax2.iax.transferid", "iax2.iax.call_no", "iax2.iax.app_addr.sinaddr",
    "iax2.iax.app_addr.sinport",
    "iax2.iax.rrjitter", "iax2.iax.rrloss", "iax2.iax.rrpkts", "iax2.iax.rrdelay",
    "iax2.iax.rrdropped", "iax2.iax.rrooo", "iax2.voice.codec", "iax2.voice.subclass",
    "iax2.dtmf.subclass", "iax2.text.text", "iax2.trunk.ncalls", "iax2.trunk.cmddata.ts",
    "iax2.trunk.call.scallno", "iax2.trunk.call.ts", "iax2.trunk.call.len", "iax2.ie_id",
    "iax2.cap.ulaw", "iax2.cap.alaw",
)  # fmt: skip

Row = dict[str, list[str]]


def write_pcap(
    path: Path, taps: list[tuple[float, tuple[str, int], tuple[str, int], bytes]]
) -> None:
    """Ethernet, IPv4 and UDP around each datagram."""
    with path.open("wb") as file:
        file.write(struct.pack("!IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for at, source, to, data in taps:
            udp = struct.pack("!HHHH", source[1], to[1], 8 + len(data), 0) + data
            address = bytes(map(int, source[0].split("."))), bytes(map(int, to[0].split(".")))
            head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, *address)
            total = sum(struct.unpack("!10H", head))
            total = (total & 0xFFFF) + (total >> 16)
            head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
            packet = bytes(12) + b"\x08\0" + head + udp
            stamp = (int(at), int(at % 1 * 1_000_000), len(packet), len(packet))
            file.write(struct.pack("!IIII", *stamp) + packet)


def dissect(path: Path) -> list[Row]:
    """What tshark reads in each datagram."""
    words = ["tshark", "-r", str(path), "-d", "udp.port==4569,iax2", "-T", "json"]
    for field in FIELDS:
        words += ["-e", field]
    done = subprocess.run(words, capture_output=True, timeout=60, check=True)
    layers: list[dict[str, Any]] = json.loads(done.stdout)
    return [packet["_source"]["layers"] for packet in layers]


def one(row: Row, field: str) -> str:
    return row.get(field, [""])[0]


NEW = NewCall(
    called="15145550100", calling="5145550199", name="Alice", presentation=0x20,
    type_of_number=1, transit_network=3, language="fr",
    formats_preferred=(Format.ALAW, Format.ULAW), ani="5145550111", dnid="18005550100",
    date_time=DateTime(2026, 11, 22, 22, 10, 42), redirecting="5145550122",
    context="in", auto_answer=True,
)  # fmt: skip


def conversation(encryption: bool) -> Network:
    """Two calls in a trunk and one without, a registration and pokes; all that we ever send."""
    network = Network(seed=3)
    users = Users(
        {
            "alice": Access("md5", secret="s3cret", encryption="offer"),
            "trunk": Access("md5", secret="s3cret", trunk=True),
        },
        mailbox=(3, 1),
    )
    settings = EndpointSettings()
    client = network.add(CLIENT, settings, crypto=Aes() if encryption else None)
    server = network.add(SERVER, settings, users, crypto=Aes() if encryption else None)
    refuse = False

    def take(event: Event) -> None:
        if not isinstance(event, CallOffered):
            return
        call, now = event.call, network.now
        if refuse:
            call.reject(now, 1, "Unallocated number")
            return
        call.proceeding(now)
        call.ringing(now)
        call.progress(now)
        call.answer(now)

    server.on_event = take
    wanted = Credentials("alice", "s3cret", "offer" if encryption else "no")
    call = client.endpoint.place(SERVER, NEW, network.now, wanted)
    network.run(1)
    if not encryption:
        for number in range(2):
            trunk = client.endpoint.place(
                SERVER, NewCall(called=str(number)), network.now,
                Credentials("trunk", "s3cret"), trunk=True,
            )  # fmt: skip
            network.run(0.5)
            trunk.tag = "trunk"
    for step in range(6):
        for each in client.endpoint.calls.values():
            each.send_voice(bytes([step]) * 160, network.now)
        network.run(0.02)
    now = network.now
    call.hold(now)
    call.unhold(now)
    call.flash(now)
    call.quelch(now)
    call.unquelch(now)
    call.digit_begin(now, "5")
    call.digit_end(now, "5")
    call.text(now, "hello")
    call.join_to(now, call, 4711)
    call.transfer_to(now, "1")
    network.run(25)
    call.hang_up(network.now, 16, "Normal Clearing")
    network.run(1)
    refuse = True
    client.endpoint.place(SERVER, NewCall(called="9"), network.now, wanted)
    network.run(1)
    client.endpoint.place(SERVER, NewCall(called="9"), network.now, Credentials("alice", "wrong"))
    network.run(1)
    refuse = False
    for cause in (17, 34):
        placed = client.endpoint.place(SERVER, NewCall(called="9"), network.now, wanted)
        network.run(1)
        taken = server.all_of(CallOffered)[-1].call
        (taken.busy if cause == 17 else taken.congestion)(network.now)
        placed.hang_up(network.now, cause)
        network.run(1)
    registration = client.endpoint.register(SERVER, "alice", "s3cret", 120, network.now)
    client.endpoint.register(SERVER, "alice", "wrong", 120, network.now)
    client.endpoint.poke(SERVER, network.now)
    network.run(1)
    client.endpoint.release(registration, network.now)
    network.run(1)
    stray = FullFrame(9, 77, 3, 1, 1, FrameType.IAX, Iax.PING).to_bytes()
    server.endpoint.receive_datagram(stray, CLIENT, network.now)
    for each in server.endpoint.calls.values():
        each.ask_again(network.now)
    network.run(1)
    network.parties.pop(SERVER)
    client.endpoint.close(network.now)
    network.run(20)
    return network


SENT = {
    Iax.NEW, Iax.PING, Iax.PONG, Iax.ACK, Iax.HANGUP, Iax.REJECT, Iax.ACCEPT, Iax.AUTHREQ,
    Iax.AUTHREP, Iax.INVAL, Iax.LAGRQ, Iax.LAGRP, Iax.REGREQ, Iax.REGAUTH, Iax.REGACK, Iax.REGREJ,
    Iax.REGREL, Iax.VNAK, Iax.TXREJ, Iax.QUELCH, Iax.UNQUELCH, Iax.POKE, Iax.UNSUPPORT,
    Iax.CALLTOKEN,
}  # fmt: skip
CONTROLS = {
    Control.RINGING, Control.ANSWER, Control.BUSY, Control.CONGESTION, Control.FLASH,
    Control.PROGRESS, Control.PROCEEDING, Control.HOLD, Control.UNHOLD,
}  # fmt: skip
ELEMENTS = {
    Ie.CALLED_NUMBER, Ie.CALLING_NUMBER, Ie.CALLING_ANI, Ie.CALLING_NAME, Ie.CALLED_CONTEXT,
    Ie.USERNAME, Ie.CAPABILITY, Ie.FORMAT, Ie.LANGUAGE, Ie.VERSION, Ie.DNID, Ie.AUTHMETHODS,
    Ie.CHALLENGE, Ie.MD5_RESULT, Ie.APPARENT_ADDR, Ie.REFRESH, Ie.CAUSE, Ie.IAX_UNKNOWN,
    Ie.MSGCOUNT, Ie.AUTOANSWER, Ie.TRANSFERID, Ie.RDNIS, Ie.DATETIME, Ie.CALLINGPRES,
    Ie.CALLINGTON, Ie.CALLINGTNS, Ie.CAUSECODE, Ie.CODEC_PREFS, Ie.RR_JITTER, Ie.RR_LOSS,
    Ie.RR_PKTS, Ie.RR_DELAY, Ie.RR_DROPPED, Ie.RR_OOO, Ie.CALLTOKEN, Ie.CAPABILITY2, Ie.FORMAT2,
}  # fmt: skip


def check_frames(rows: list[Row], taps: list[bytes]) -> None:
    """Nothing malformed, and every header as our own reader has it."""
    assert len(rows) == len(taps)
    for row, data in zip(rows, taps, strict=True):
        assert "_ws.malformed" not in row, (row, data.hex())
        if data[0] & 0x80:
            frame = FullFrame.from_bytes(data)
            assert one(row, "iax2.packet_type") == "1"
            assert int(one(row, "iax2.src_call")) == frame.source
            assert int(one(row, "iax2.dst_call")) == frame.destination
            assert int(one(row, "iax2.timestamp")) == frame.timestamp_ms
            assert int(one(row, "iax2.oseqno")) == frame.oseqno
            assert int(one(row, "iax2.iseqno")) == frame.iseqno
            assert int(one(row, "iax2.type")) == frame.type
            assert one(row, "iax2.retransmission") in (
                ("1", "True") if frame.retransmission else ("0", "False")
            )
            if frame.type == FrameType.IAX:
                assert int(one(row, "iax2.iax.subclass")) == frame.subclass
                told = [int(code, 0) for code in row.get("iax2.ie_id", [])]
                assert told == [code for code, _ in frame.elements.pairs]


def test_all_that_we_send_is_read_as_meant(tmp_path: Path) -> None:
    network = conversation(encryption=False)
    write_pcap(tmp_path / "all.pcap", network.taps)
    rows = dissect(tmp_path / "all.pcap")
    taps = [data for _, _, _, data in network.taps]
    check_frames(rows, taps)
    iax = {int(one(row, "iax2.iax.subclass") or 0) for row in rows}
    assert iax >= SENT | {0}
    assert {int(one(row, "iax2.control.subclass") or 0) for row in rows} >= CONTROLS
    types = {int(one(row, "iax2.type") or 0) for row in rows}
    assert types >= {1, 2, 4, 6, 7, 12}
    elements = {int(code, 0) for row in rows for code in row.get("iax2.ie_id", [])}
    assert elements >= ELEMENTS

    new = next(row for row in rows if one(row, "iax2.iax.subclass") == "1")
    meant = {
        "called_number": "15145550100", "calling_number": "5145550199", "calling_name": "Alice",
        "calling_ani": "5145550111", "dnid": "18005550100", "rdnis": "5145550122",
        "language": "fr", "called_context": "in", "username": "alice", "codecprefs": "ED",
    }  # fmt: skip
    for field, value in meant.items():
        assert one(new, f"iax2.iax.{field}").rstrip("\n") == value, field
    numbers = {
        "version": 2, "callingpres": 0x20, "callington": 1, "callingtns": 3, "format": 8,
        "format2": 8, "capability": 12,
    }  # fmt: skip
    for field, number in numbers.items():
        assert int(one(new, f"iax2.iax.{field}"), 0) == number
    assert "2026" in one(new, "iax2.iax.datetime")
    assert "22:10:42" in one(new, "iax2.iax.datetime")

    def of(subclass: Iax) -> list[Row]:
        return [row for row in rows if one(row, "iax2.iax.subclass") == str(int(subclass))]

    assert int(one(of(Iax.AUTHREQ)[0], "iax2.iax.auth.methods"), 0) == 2
    assert len(one(of(Iax.AUTHREQ)[0], "iax2.iax.auth.challenge")) == 16
    assert len(one(of(Iax.AUTHREP)[0], "iax2.iax.auth.md5")) == 32
    assert int(one(of(Iax.ACCEPT)[0], "iax2.iax.format"), 0) == 8
    accepted = of(Iax.REGACK)[0]
    assert one(accepted, "iax2.iax.app_addr.sinaddr") == CLIENT[0]
    assert one(accepted, "iax2.iax.app_addr.sinport") == "4569"
    assert int(one(accepted, "iax2.iax.refresh"), 0) == 120
    assert int(one(accepted, "iax2.iax.msg_count"), 0) == 0x0103
    assert {int(one(row, "iax2.iax.causecode"), 0) for row in of(Iax.REJECT)} == {1, 21}
    assert "Normal Clearing" in {one(row, "iax2.iax.cause") for row in of(Iax.HANGUP)}
    asked = of(Iax.TXREQ)[0]
    assert one(asked, "iax2.iax.app_addr.sinaddr") == SERVER[0]
    assert one(asked, "iax2.iax.app_addr.sinport") == "4569"
    assert one(asked, "iax2.iax.call_no") == one(asked, "iax2.dst_call")
    assert int(one(asked, "iax2.iax.transferid"), 0) == 4711
    assert int(one(of(Iax.TXREJ)[0], "iax2.iax.transferid"), 0) == 4711
    assert one(of(Iax.TRANSFER)[0], "iax2.iax.called_number") == "1"
    assert bytes.fromhex(one(of(Iax.UNSUPPORT)[0], "iax2.iax.iax_unknown")) == b"\x22"
    assert {int(one(row, "iax2.iax.rrpkts") or "0", 0) for row in of(Iax.PONG)} >= {6}
    assert any(one(row, "iax2.retransmission") in ("1", "True") for row in rows)
    voice = [row for row in rows if one(row, "iax2.type") == "2"]
    assert {int(one(row, "iax2.voice.codec"), 0) for row in voice} == {8, 4}
    digits = [one(row, "iax2.dtmf.subclass") for row in rows if "iax2.dtmf.subclass" in row]
    assert digits == ["5", "5"]
    assert "hello" in {one(row, "iax2.text.text") for row in rows}
    assert len([row for row in rows if one(row, "iax2.packet_type") == "0"]) == 5
    trunks = [row for row in rows if one(row, "iax2.packet_type") == "3"]
    assert sum(len(row["iax2.trunk.call.len"]) for row in trunks) == 10
    assert {one(row, "iax2.trunk.cmddata.ts") for row in trunks} <= {"1", "True"}
    assert len({call for row in trunks for call in row["iax2.trunk.call.scallno"]}) == 2
    assert {length for row in trunks for length in row["iax2.trunk.call.len"]} <= {"160", "0x00a0"}


def test_encrypted_frames_are_the_same_after_our_own_decryption(tmp_path: Path) -> None:
    network = conversation(encryption=True)
    cipher: FrameCipher | None = None
    call_numbers: set[int] = set()
    plain = []
    for at, source, to, data in network.taps:
        number = int.from_bytes(data[:2], "big") & 0x7FFF
        if cipher is not None and number in call_numbers:
            data = cipher.open(data, 4 if data[0] & 0x80 else 2)
        elif data[0] & 0x80:
            frame = FullFrame.from_bytes(data)
            if frame.subclass == Iax.AUTHREQ and frame.type == FrameType.IAX:
                assert frame.elements.number(Ie.ENCRYPTION) == 1
                if cipher is not None:
                    break
                challenge = frame.elements.text(Ie.CHALLENGE)
                cipher = FrameCipher(Aes(), key(challenge, "s3cret"), network.random.randbytes)
                call_numbers = {frame.source, frame.destination}
        plain.append((at, source, to, data))
    write_pcap(tmp_path / "plain.pcap", plain)
    rows = dissect(tmp_path / "plain.pcap")
    check_frames(rows, [data for _, _, _, data in plain])
    kinds = {int(one(row, "iax2.iax.subclass") or 0) for row in rows}
    assert kinds >= {Iax.AUTHREP, Iax.ACCEPT, Iax.ACK, Iax.QUELCH, Iax.PING, Iax.HANGUP}
    assert "hello" in {one(row, "iax2.text.text") for row in rows}
    assert len([row for row in rows if one(row, "iax2.packet_type") == "0"]) == 5
