"""What who has not authenticated can do to a host: next to nothing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest

from firmware.wire.sip import digest
from firmware.wire.sip.message import Response, parse
from host.sip.guard import Guard, UsedNonces
from tests.host.sip.agents import Agent, Side, cast, hangs_up
from tests.host.sip.world import CALLED, HOST, World

STRANGER = ("10.9.9.9", 5060)


def message(method: str, number: int, *lines: str, tag: str = "") -> bytes:
    fields = [
        f"{method} sip:{CALLED}@10.0.0.1 SIP/2.0",
        f"Via: SIP/2.0/UDP 10.9.9.9:5060;branch=z9hG4bKs{method}{number}",
        f"From: <sip:mallory@10.9.9.9>;tag=m{number}",
        f"To: <sip:{CALLED}@10.0.0.1>" + (f";tag={tag}" if tag else ""),
        f"Call-ID: s{number}",
        f"CSeq: 1 {method}",
        "Contact: <sip:mallory@10.9.9.9:5060>",
        "Max-Forwards: 70",
        *lines,
        "Content-Length: 0",
    ]
    return ("\r\n".join(fields) + "\r\n\r\n").encode()


def authorization(world: World, user: str = "mallory") -> str:
    nonce = world.host.authenticator._nonces.make(world.now, STRANGER[0])
    return (
        f'Authorization: Digest username="{user}", realm="loopstart", nonce="{nonce}", '
        f'uri="sip:x", response="{"0" * 32}", algorithm=MD5, qop=auth, nc=00000001, cnonce="x"'
    )


def state(world: World) -> tuple[int, ...]:
    sip, host = world.host.sip, world.host
    return (
        len(sip.layer),
        len(sip.layer._merged),
        len(sip.layer._awaiting_ack),
        len(sip._legs),
        len(sip._ended),
        len(sip.deadlines),
        host.registrar.count,
        len(host.control.calls),
        len(world._queue),
        world.conn.execute("SELECT count(*) FROM call").fetchone()[0],
    )


KINDS: list[Callable[[World, int], bytes]] = [
    lambda w, n: message("INVITE", n),
    lambda w, n: message("INVITE", n, authorization(w)),
    lambda w, n: message("INVITE", n, "Authorization: Digest nonsense"),
    lambda w, n: message("INVITE", n, tag="nobody"),
    lambda w, n: message("REGISTER", n),
    lambda w, n: message("REGISTER", n, authorization(w, "alice")),
    lambda w, n: message("OPTIONS", n),
    lambda w, n: message("CANCEL", n),
    lambda w, n: message("BYE", n, tag="nobody"),
    lambda w, n: message("ACK", n, tag="nobody"),
    lambda w, n: message("SUBSCRIBE", n),
    lambda w, n: b"\0\xff garbage" * n,
    lambda w, n: (
        f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK{n}\r\nFrom: <sip:a@b>;tag=1"
        f"\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: r{n}\r\nCSeq: 1 INVITE\r\n\r\n".encode()
    ),
]


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_strangers_leave_nothing_behind(world: World, kind: int) -> None:
    cast(world)
    world.run(1)
    before = state(world)
    for number in range(50):
        world.carry(STRANGER, HOST, KINDS[kind](world, number))
    world.run(0.1)
    assert state(world) == before
    told = [parse(d) for _, _, b, d in world.wire if b == STRANGER]
    assert len(told) <= 50, "one answer at most, and none repeated"
    assert all(isinstance(m, Response) and m.status >= 200 for m in told)
    world.finish()


def test_who_is_unknown_gets_what_a_wrong_password_gets(world: World) -> None:
    _alice, _ = cast(world)
    told: list[Response] = []
    for user in ("alice", "nobody"):
        side = Agent(world, (f"10.0.1.{len(told) + 5}", 5062), user, "wrong").call()
        world.run(1)
        told.append(side.responses[-1])
    assert [r.status for r in told] == [403, 403]
    names = [[name for name, _ in r.headers.items()] for r in told]
    assert names[0] == names[1]
    assert told[0].reason == told[1].reason
    assert told[0].headers.get("Reason") == told[1].headers.get("Reason")


def test_and_as_soon(world: World) -> None:
    """Medians over many tries differ by less than a fifth."""
    cast(world)
    host = world.host
    host.authenticator.guard = Guard(10**9, 1)
    listener = next(iter(world.listeners.values()))
    from tests.host.sip.world import SimFlow

    flow = SimFlow(world, listener, STRANGER, False)
    spent: dict[str, list[int]] = {"alice": [], "nobody": []}
    for number in range(600):
        for user, times in spent.items():
            request = parse(message("REGISTER", number, authorization(world, user)))
            start = time.perf_counter_ns()
            host.authenticator.check(request, flow, world.now)  # type: ignore[arg-type]
            times.append(time.perf_counter_ns() - start)
    known, unknown = (statistics.median(times) for times in spent.values())
    assert abs(known - unknown) < 0.2 * max(known, unknown), (known, unknown)


def test_a_source_that_keeps_failing_is_locked_out_but_spares_live_bindings(
    world: World,
) -> None:
    alice, _ = cast(world)
    world.account("bob")
    alice.register()
    world.run(1)
    attacker = Agent(world, ("10.0.1.1", 6000), "alice", "guess")
    for _ in range(20):
        attacker.register()
    world.run(2)
    bob = Agent(world, ("10.0.1.1", 6001), "bob")
    bob.register()
    caller = alice.call()
    caller.on_answer = hangs_up(3)
    world.run(20)
    assert bob.registered[-1].status == 403, "from there nobody new gets in"
    assert caller.outcome == 200, "who is registered from there is served"
    elsewhere = Agent(world, ("10.0.1.7", 6001), "bob")
    elsewhere.register()
    world.run(300)
    assert elsewhere.registered[-1].status == 200
    bob.register()
    world.run(1)
    assert bob.registered[-1].status == 200, "a lock-out ends"


def test_a_nonce_serves_once(world: World) -> None:
    alice, north = cast(world)
    first = alice.call()
    first.on_answer = hangs_up(1)
    world.run(10)
    used = first.request.headers.get("Authorization") or ""
    second = alice.call(CALLED, ("Authorization", used))
    world.run(1)
    assert second.statuses == [401]
    assert "stale=true" in (second.responses[-1].headers.get("WWW-Authenticate") or "")
    assert len(north.sides) == 1


def test_an_old_nonce_is_stale_and_a_foreign_one_is_not_told_so(world: World) -> None:
    alice, _ = cast(world)
    uri = f"sip:{CALLED}@10.0.0.1"

    def tried(nonce: str, wait_s: float) -> Response:
        challenge = f'Digest realm="loopstart", nonce="{nonce}", algorithm=SHA-256, qop="auth"'
        value = digest.respond(
            [challenge], username="alice", password="secret", method="INVITE", uri=uri,
            cnonce="c", nc=1,
        )  # fmt: skip
        assert value is not None
        world.run(wait_s)
        side = alice.call(CALLED, ("Authorization", value))
        world.run(1)
        return side.responses[-1]

    stale = tried(world.host.authenticator._nonces.make(world.now, alice.where[0]), 301)
    assert "stale=true" in (stale.headers.get("WWW-Authenticate") or "")
    foreign = tried("0-1-" + "0" * 32, 0)
    assert foreign.status == 401
    assert "stale=true" not in (foreign.headers.get("WWW-Authenticate") or "")


def test_an_account_without_password_cannot_be_logged_in_to(world: World) -> None:
    """A trunk is known by its address: anybody can compute the digest of an empty secret."""
    cast(world)
    world.account("trunk", password="", address="10.0.5.5", route="value")
    nonce = world.host.authenticator._nonces.make(world.now, STRANGER[0])
    a2 = digest.digest_hash("MD5", f"INVITE:sip:{CALLED}@10.0.0.1".encode())
    response = digest.digest_hash("MD5", f":{nonce}:00000001:c:auth:{a2}".encode())
    line = (
        f'Authorization: Digest username="trunk", realm="loopstart", nonce="{nonce}", '
        f'uri="sip:{CALLED}@10.0.0.1", response="{response}", algorithm=MD5, qop=auth, '
        f'nc=00000001, cnonce="c"'
    )
    world.carry(STRANGER, HOST, message("INVITE", 1, line))
    world.run(1)
    (told,) = [d for _, _, b, d in world.wire if b == STRANGER]
    assert told.startswith(b"SIP/2.0 403")


def test_a_trunk_calls_without_digest(world: World) -> None:
    cast(world)
    world.account("trunk", password="", address="10.0.5.5", route="value")
    caller = Agent(world, ("10.0.5.5", 5060)).call()
    caller.on_answer = hangs_up(3)
    world.finish()
    assert caller.statuses == [180, 200]
    assert world.cdr()["account"] == "trunk"


def test_overload_sheds_with_503_but_repeats_what_it_took(worlds: Callable[..., World]) -> None:
    world = worlds(overload_pending=2)
    alice, _north = cast(world)
    world.host.store.delay_s = 2.0
    taken: list[Side] = [alice.call(), alice.call("15145550101")]
    world.run(0.5)
    shed = alice.call("15145550102")
    world.run(0.1)
    assert shed.outcome == 503
    assert shed.responses[-1].headers.get("Retry-After")
    repeated = next(d for _, a, _, d in world.wire if a == alice.where and b"Authorization" in d)
    alice.raw(repeated)
    world.run(0.1)
    assert world.wire[-1][3].startswith(b"SIP/2.0 100"), "a repetition is no new call"
    for side in taken:
        side.on_answer = hangs_up(3)
    world.finish()
    assert [side.outcome for side in taken] == [200, 200]
    assert len(world.cdrs()) == 2


def test_guards_keep_to_their_size() -> None:
    guard = Guard(3, 10.0, max_sources=100)
    for number in range(1000):
        guard.failed(f"10.0.{number // 256}.{number % 256}", 0.0)
    assert len(guard._sources) == 100
    nonces = UsedNonces(64)
    assert nonces.accept("n", 1)
    assert not nonces.accept("n", 1)
    assert nonces.accept("n", 2, bearer=7)
    assert nonces.accept("n", 2, bearer=7)
    assert not nonces.accept("n", 2, bearer=8)
