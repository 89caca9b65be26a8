"""Low balances by mail: once a crossing, in the customer's language, through bad servers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from host.charging import ledger
from host.charging.values import USD, Money, Tariff
from host.funds import alerts
from host.funds.letters import templates
from host.funds.sender import GIVE_UP_S, LEASE_S, RETRY_S, MailSender, Tally
from host.settings import MailSettings
from host.store.opening import open_reader
from tests.host.charging.world import CENT, World, leg


class Postbox:
    """What an SMTP server got; it answers as told, then takes all."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.answers: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        answer = self.answers.pop(0) if self.answers else "250 taken"
        if answer.startswith(("250", "dies after")):
            message = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(message, EmailMessage)
            self.messages.append(message)
        if answer.startswith("dies"):
            server.transport.abort()
        return answer

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such user"
        if address.startswith("later"):
            return "450 greylisted"
        envelope.rcpt_tos.append(address)
        return "250 OK"


@contextlib.contextmanager
def serving(postbox: Postbox, **options: Any) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    controller = Controller(postbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@pytest.fixture
def port(postbox: Postbox) -> Iterator[int]:
    with serving(postbox) as port:
        yield port


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Alice has 6 USD and wants to be told below 5."""
    world = World(tmp_path / "host.sqlite")
    assert world.account(6 * USD, "alice") == 1
    alert(world)
    return world


def alert(world: World, threshold: int = 5 * USD, **options: str) -> None:
    options = {"address": "alice@example.net"} | options
    alerts.set_alert(world.conn, 1, threshold=Money(threshold), **options)  # type: ignore[arg-type]


def sender(world: World, port: int, **options: Any) -> MailSender:
    settings = MailSettings(
        "127.0.0.1", port, "none", sender="billing@host.example", timeout_s=5, **options
    )
    return MailSender(world.conn, settings, "secret", lambda: world.now.utc_ms)


def send(world: World, port: int) -> Tally:
    return asyncio.run(sender(world, port).send_due())


def spend(world: World, amount: int) -> None:
    """By a call, as money is spent."""
    call_id = f"call-{world.conn.total_changes}"
    world.authorize(call_id, leg(1, Tariff(Money(0), connect_fee=Money(amount))))
    world.answered(call_id)
    assert world.settle(call_id, 1_000) == [amount]


def waiting(world: World) -> int:
    (count,) = world.conn.execute("SELECT count(*) FROM outbox").fetchone()
    return int(count)


def test_low_balance_alert_email_is_sent_once_per_crossing(
    world: World, postbox: Postbox, port: int
) -> None:
    spend(world, USD)
    assert waiting(world) == 0, "5.00 is not below 5.00"
    assert send(world, port) == Tally()
    spend(world, CENT)
    spend(world, 10 * CENT)
    assert waiting(world) == 1
    world.ms += 1_000
    assert send(world, port) == Tally(sent=1)
    assert send(world, port) == Tally()
    (message,) = postbox.messages
    assert message["To"] == "alice@example.net"
    assert message["From"] == "billing@host.example"
    assert message["Subject"] == "Low balance: 4.99 USD left on alice"
    assert "below 5.00 USD" in message.get_content()
    # A deposit that brings it above arms the alert anew; one that does not, does not.
    world.pay(1, 5 * CENT)
    spend(world, CENT)
    assert waiting(world) == 1
    world.pay(1, USD)
    spend(world, 2 * USD)
    assert send(world, port) == Tally(sent=1)
    assert postbox.messages[1]["Message-ID"] != message["Message-ID"]
    world.sound()


def test_fees_and_chargebacks_cross_it_too_and_what_is_held_does_not(world: World) -> None:
    world.authorize("live", leg(1), max_talk_ms=10**9)
    assert waiting(world) == 0
    ledger.take_fee(world.conn, world.now, 1, Money(2 * USD), "month")
    assert waiting(world) == 1
    # A payment that repays a debt, or has a fee, does not look like money that was spent.
    world.conn.execute("DELETE FROM outbox")
    alert(world, 90 * USD)
    ledger.pay(world.conn, world.now, 1, Money(100 * USD), "wire", "w", "", Money(15 * USD))
    assert (waiting(world), world.funds(1).funds) == (0, 89 * USD)


def test_an_alert_is_as_durable_as_the_settlement_that_it_tells_of(world: World) -> None:
    world.conn.execute("BEGIN IMMEDIATE")
    spend(world, 2 * USD)
    assert waiting(world) == 1
    world.conn.execute("ROLLBACK")
    assert waiting(world) == 0
    spend(world, 2 * USD)
    found = open_reader(world.path)
    assert found.execute("SELECT count(*) FROM outbox").fetchone() == (1,)
    found.close()


def test_who_wants_no_alert_gets_none(world: World) -> None:
    alert(world, 0)
    spend(world, 6 * USD)
    assert waiting(world) == 0


@pytest.mark.parametrize(
    ("language", "subject", "words"),
    [
        ("en", "Low balance: 4.00 USD left on alice", "fallen below 5.00 USD"),
        ("fr", "Solde bas : il reste 4.00 USD sur alice", "passé sous 5.00 USD"),
        ("es", "Saldo bajo: quedan 4.00 USD en alice", "ha bajado de 5.00 USD"),
    ],
)
def test_in_the_language_of_the_customer(
    world: World, postbox: Postbox, port: int, language: str, subject: str, words: str
) -> None:
    alert(world, language=language)
    spend(world, 2 * USD)
    assert send(world, port).sent == 1
    (message,) = postbox.messages
    assert message["Subject"] == subject
    assert message["Content-Language"] == language
    assert words in message.get_content()
    assert "{" not in message.get_content()


def test_every_language_has_every_mail() -> None:
    kinds = {language: sorted(templates(language)) for language in alerts.LANGUAGES}
    assert len(set(map(str, kinds.values()))) == 1, kinds


def test_a_server_that_says_not_now_is_asked_again_later(
    world: World, postbox: Postbox, port: int
) -> None:
    postbox.answers = ["451 try later", "451 try later"]
    spend(world, 2 * USD)
    assert send(world, port) == Tally(put_off=1)
    assert send(world, port) == Tally(), "not before its time"
    world.ms += RETRY_S[0] * 1000 - 1
    assert send(world, port) == Tally()
    world.ms += 1
    assert send(world, port) == Tally(put_off=1)
    world.ms += RETRY_S[0] * 1000
    assert send(world, port) == Tally(), "the second wait is longer"
    world.ms += (RETRY_S[1] - RETRY_S[0]) * 1000
    assert send(world, port) == Tally(sent=1)
    assert len(postbox.messages) == 1


def test_a_server_that_is_away_is_asked_for_days_then_given_up(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
    spend(world, 2 * USD)
    tries = 0
    while True:
        tally = send(world, closed)
        if tally.failed:
            break
        tries += tally.put_off
        world.ms += RETRY_S[-1] * 1000
    assert world.ms > GIVE_UP_S * 1000
    assert tries == GIVE_UP_S // RETRY_S[-1] + 1
    world.ms += GIVE_UP_S * 1000
    assert send(world, closed) == Tally()


def test_a_connection_that_dies_after_the_message_sends_it_again_under_the_same_id(
    world: World, postbox: Postbox, port: int
) -> None:
    postbox.answers = ["dies after"]
    spend(world, 2 * USD)
    assert send(world, port) == Tally(put_off=1)
    world.ms += RETRY_S[0] * 1000
    assert send(world, port) == Tally(sent=1)
    first, second = postbox.messages
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]
    assert first.as_bytes() == second.as_bytes()


def test_a_sender_that_died_in_the_midst_loses_nothing(
    world: World, postbox: Postbox, port: int
) -> None:
    spend(world, 2 * USD)
    # What a sender does first, and then no more.
    world.conn.execute(
        "UPDATE outbox SET due_utc_ms = ?, tries = 1", (world.now.utc_ms + LEASE_S * 1000,)
    )
    assert send(world, port) == Tally(), "it is another's"
    world.ms += LEASE_S * 1000
    assert send(world, port) == Tally(sent=1)


def test_a_mailbox_that_does_not_exist_is_tried_once_and_a_grey_list_again(
    world: World, postbox: Postbox, port: int
) -> None:
    alert(world, address="nobody@example.net")
    spend(world, 2 * USD)
    assert send(world, port) == Tally(failed=1)
    world.ms += GIVE_UP_S
    assert send(world, port) == Tally()
    (error,) = world.conn.execute("SELECT error FROM outbox").fetchone()
    assert "no such user" in error
    alert(world, address="later@example.net")
    world.pay(1, 2 * USD)
    spend(world, 2 * USD)
    assert send(world, port) == Tally(put_off=1)


def test_two_senders_send_one_message_once(world: World, postbox: Postbox, port: int) -> None:
    for n in range(20):
        alerts.queue(world.conn, world.now, 1, "low-balance", f"t{n}", balance=1, threshold=2)
    assert not alerts.queue(world.conn, world.now, 1, "low-balance", "t1", balance=1)
    other = World(world.path)

    async def both() -> list[Tally]:
        return list(
            await asyncio.gather(sender(world, port).send_due(), sender(other, port).send_due())
        )

    tallies = asyncio.run(both())
    assert sum(tally.sent for tally in tallies) == 20
    ids = [message["Message-ID"] for message in postbox.messages]
    assert len(ids) == len(set(ids)) == 20


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_the_sender_logs_in(world: World, postbox: Postbox) -> None:
    seen: list[object] = []

    def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        seen.append(data)
        return AuthResult(success=data == LoginPassword(b"alice", b"secret"))

    options = {"authenticator": check, "auth_require_tls": False, "auth_required": True}
    spend(world, 2 * USD)
    with serving(postbox, **options) as port:
        assert send(world, port) == Tally(put_off=1), "without a name it is refused"
        world.ms += RETRY_S[0] * 1000
        wise = sender(world, port, username="alice")
        assert asyncio.run(wise.send_due()) == Tally(sent=1)
    assert seen


@pytest.mark.parametrize(
    "address",
    [
        "",
        "alice",
        "a@b@c",
        "a b@c.net",
        "a@c..net",
        "a@\n.net",
        "bcc:x@y.net",
        "<a@c.net>",
        "é@c.fr",
    ],
)
def test_what_is_no_address_of_a_customer(world: World, address: str) -> None:
    with pytest.raises(ValueError):
        alert(world, address=address)
    with pytest.raises(ValueError):
        alert(world, language="de")
