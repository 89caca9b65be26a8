"""Encrypted calls."""

from __future__ import annotations

import pytest

from firmware.wire.errors import PeerError
from firmware.wire.iax2 import (
    Access,
    CallOffered,
    Credentials,
    Ended,
    Event,
    NewCall,
    State,
)
from firmware.wire.iax2.auth import Encryption, key
from firmware.wire.iax2.crypto import FrameCipher
from firmware.wire.iax2.elements import Ie
from firmware.wire.iax2.frames import FullFrame
from firmware.wire.iax2.kinds import FrameType, Iax
from tests.wire.iax2.aes import Aes
from tests.wire.iax2.link import BAD, CLEAN, CLIENT, SERVER, Link, Network, Users


class Secret:
    """Two ends that can encrypt."""

    def __init__(
        self,
        client: Encryption = "offer",
        server: Encryption = "offer",
        password: str = "s3cret",
        link: Link = CLEAN,
        seed: int = 1,
    ) -> None:
        self.network = Network(link, seed)
        self.users = Users({"alice": Access("md5", secret="s3cret", encryption=server)})
        self.client = self.network.add(CLIENT, crypto=Aes())
        self.server = self.network.add(SERVER, authority=self.users, crypto=Aes())
        self.heard: list[bytes] = []
        self.server.on_event = self._take
        self.call = self.client.endpoint.place(
            SERVER, NewCall(called="1"), self.network.now, Credentials("alice", password, client)
        )

    def _take(self, event: Event) -> None:
        if isinstance(event, CallOffered):
            event.call.voice_sink = lambda at, payload, form: self.heard.append(payload)
            event.call.ringing(self.network.now)
            event.call.answer(self.network.now)


def test_all_after_the_challenge_is_encrypted() -> None:
    secret = Secret()
    secret.network.run(1)
    assert secret.call.state is State.UP
    assert secret.call.encrypted
    taken = secret.server.all_of(CallOffered)[0].call
    assert taken.encrypted
    for number in range(20):
        secret.call.send_voice(b"plain audio" + bytes([number]) * 149, secret.network.now)
        secret.network.run(0.02)
    secret.call.text(secret.network.now, "plain text")
    secret.call.hang_up(secret.network.now, 16, "plain cause")
    secret.network.run(1)
    assert len(secret.heard) == 20
    assert secret.server.all_of(Ended)[0].text == "plain cause"
    assert not [one for one in secret.client.sent + secret.server.sent if b"plain" in one]
    challenge = next(
        frame.elements.text(Ie.CHALLENGE)
        for frame in map(FullFrame.from_bytes, secret.server.sent[:3])
        if frame.subclass == Iax.AUTHREQ
    )
    # Decrypted apart from the call: AUTHREP is the first frame under the key, and well formed.
    cipher = FrameCipher(Aes(), key(challenge, "s3cret"), secret.network.random.randbytes)
    frame = FullFrame.from_bytes(cipher.open(secret.client.sent[2], 4))
    assert (frame.type, frame.subclass) == (FrameType.IAX, Iax.AUTHREP)
    assert frame.elements.text(Ie.MD5_RESULT) == key(challenge, "s3cret").hex()
    secret.network.run(60)
    assert not len(secret.client.endpoint)
    assert not len(secret.server.endpoint)


@pytest.mark.parametrize(
    ("client", "server", "outcome"),
    [
        ("no", "no", "clear"), ("offer", "no", "clear"), ("no", "offer", "clear"),
        ("require", "offer", "encrypted"), ("offer", "require", "encrypted"),
        ("require", "no", "refused"), ("no", "require", "refused"),
    ],
)  # fmt: skip
def test_who_encrypts(client: Encryption, server: Encryption, outcome: str) -> None:
    secret = Secret(client, server)
    secret.network.run(2)
    if outcome == "refused":
        assert [one.cause for one in secret.client.all_of(Ended)] == [57]
        assert not secret.heard
        assert not secret.server.all_of(CallOffered)
    else:
        assert secret.call.state is State.UP
        assert secret.call.encrypted is (outcome == "encrypted")


def test_a_wrong_password_is_told_though_no_key_is_shared() -> None:
    secret = Secret(password="wrong")
    secret.network.run(2)
    assert [one.cause for one in secret.client.all_of(Ended)] == [21]
    assert secret.users.failures == [("alice", CLIENT)]
    secret.network.run(60)
    assert not len(secret.client.endpoint)
    assert not len(secret.server.endpoint)


def test_encrypted_calls_on_a_bad_link() -> None:
    up = 0
    for seed in range(1, 41):
        secret = Secret(link=BAD, seed=seed)
        secret.network.run(30)
        up += secret.call.state is State.UP
        secret.call.hang_up(secret.network.now)
        secret.network.run(120)
        assert len(secret.client.all_of(Ended)) == 1, f"seed {seed}"
        assert not len(secret.client.endpoint)
        assert not len(secret.server.endpoint), f"seed {seed}"
    assert up >= 32


def test_forged_frames_in_clear_do_nothing_to_an_encrypted_call() -> None:
    secret = Secret()
    secret.network.run(1)
    call, taken = secret.call, secret.server.all_of(CallOffered)[0].call
    for subclass in (Iax.HANGUP, Iax.INVAL, Iax.REJECT, Iax.ACK):
        forged = FullFrame(call.number, taken.number, 99, taken.iseqno, 0, FrameType.IAX, subclass)
        secret.server.endpoint.receive_datagram(forged.to_bytes(), CLIENT, secret.network.now)
    secret.network.run(30)
    assert not call.ended
    assert not taken.ended
    assert secret.server.endpoint.counters.malformed == 4


def test_the_padding_is_as_chan_iax2_has_it() -> None:
    cipher = FrameCipher(Aes(), bytes(range(16)), lambda size: b"\xff" * size)
    for size in range(4, 60):
        frame = bytes([0x80, 1, 0, 2]) + bytes(8 + size)
        sealed = cipher.seal(frame, 4)
        assert sealed[:4] == frame[:4]
        assert (len(sealed) - 4) % 16 == 0
        plain = Aes().decrypt(bytes(range(16)), sealed[4:])
        assert len(sealed) - len(frame) == 16 + (plain[15] & 0x0F)
        assert cipher.open(sealed, 4) == frame
        for cut in range(1, 16):
            with pytest.raises(PeerError):
                cipher.open(sealed[:-cut], 4)
