"""Transactions over good and bad links, in simulated time."""

from __future__ import annotations

import itertools

import pytest

from firmware.wire.sip.dialog import Dialog
from firmware.wire.sip.message import Headers, Request, Response, parse, response_to
from firmware.wire.sip.timers import TABLE, Timers
from firmware.wire.sip.transaction import (
    AckReceived,
    AckTimedOut,
    CancelReceived,
    Event,
    RequestReceived,
    ResponseReceived,
    ServerTransaction,
    StrayResponse,
    TimedOut,
    TransactionLayer,
)

from .network import LINKS, Callee, Caller, Network, Path

UDP = Path("udp")
TCP = Path("tcp", True)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("seed", range(8))
def test_every_call_ends_in_exactly_one_way_and_nothing_is_left(seed: int, link: str) -> None:
    print(f"seed {seed} link {link}")
    network = Network(seed, LINKS[link])
    callee = Callee(network)
    network.b.user = callee.told
    callers: list[Caller] = []

    def told(event: Event, now: float) -> None:
        if isinstance(event, ResponseReceived | TimedOut):
            user = event.transaction.user
            assert isinstance(user, Caller)
            user.told(event, now)

    network.a.user = told
    for number in range(12):
        cancel = None if number % 4 else network.random.uniform(0.0, 4.0)
        callers.append(Caller(network, number, cancel))
    network.run()
    for number, caller in enumerate(callers):
        name = caller.call_id
        assert len(caller.outcomes) == 1, (name, caller.outcomes)
        assert callee.offered[name] <= 1
        assert callee.finals[name] == callee.offered[name]
        outcome = caller.outcomes[0]
        if outcome == "200":
            assert caller.bye is not None
            assert len(caller.bye_outcomes) == 1
            # Told once of the ACK or once that none came.
            assert callee.acks[name] + callee.lost_acks[name] == 1
            assert callee.byes[name] <= 1
        if LINKS[link].loss == 0:
            if outcome == "487":
                assert number % 4 == 0
            elif number % 3 == 0:
                assert outcome == "486"
            else:
                assert outcome == "200"
            assert sum(callee.lost_acks.values()) == 0
    for end in (network.a, network.b):
        assert len(end.layer) == 0, "a transaction is left"
        assert end.layer.next_deadline is None


# Single stories.


def layer() -> TransactionLayer:
    numbers = itertools.count()
    return TransactionLayer(branch=lambda: f"z9hG4bKt{next(numbers):x}")


def make(method: str, branch: str, *, cseq: int = 1, to_tag: str = "", call: str = "c1") -> Request:
    return Request(
        method,
        "sip:b@b.example",
        Headers(
            [
                ("Via", f"SIP/2.0/UDP a.example:5060;branch={branch}"),
                ("From", "<sip:a@a.example>;tag=f1"),
                ("To", "<sip:b@b.example>" + (f";tag={to_tag}" if to_tag else "")),
                ("Call-ID", call),
                ("CSeq", f"{cseq} {method}"),
                ("Contact", "<sip:a@a.example>"),
                ("Route", "<sip:p.example;lr>"),
            ]
        ),
    )


def sent(side: TransactionLayer) -> list[Request | Response]:
    out, side.out = side.out, []
    return [parse(data) for data, _ in out]


def lines(side: TransactionLayer) -> list[str]:
    return [message.start_line() for message in sent(side)]


def arrive(side: TransactionLayer, request: Request, now: float = 0.0) -> ServerTransaction:
    event = side.receive(request, UDP, now)
    assert isinstance(event, RequestReceived)
    return event.transaction


def until(side: TransactionLayer, end: float) -> list[tuple[float, Event]]:
    """Run timers to `end`; what happened when."""
    events: list[tuple[float, Event]] = []
    while side.next_deadline is not None and side.next_deadline <= end:
        now = side.next_deadline
        events += [(now, event) for event in side.handle_timers(now)]
    return events


def times_sent(side: TransactionLayer, end: float) -> list[float]:
    moments: list[float] = []
    while side.next_deadline is not None and side.next_deadline <= end:
        now = side.next_deadline
        side.handle_timers(now)
        moments += [now] * len(side.out)
        side.out = []
    return moments


def test_an_unanswered_invite_is_repeated_by_timer_a_and_given_up_by_timer_b() -> None:
    side = layer()
    transaction = side.request(make("INVITE", side.branch()), UDP, 0.0)
    moments = []
    events: list[tuple[float, Event]] = []
    while side.next_deadline is not None:
        now = side.next_deadline
        side.out = []
        events += [(now, event) for event in side.handle_timers(now)]
        moments += [now] * len(side.out)
    assert moments == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert events == [(32.0, TimedOut(transaction))]


def test_an_unanswered_request_is_repeated_by_timer_e_up_to_t2() -> None:
    side = layer()
    side.request(make("OPTIONS", side.branch()), UDP, 0.0)
    side.out = []
    moments = times_sent(side, 100)
    assert moments == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_nothing_is_repeated_over_a_stream_but_a_2xx() -> None:
    side = layer()
    side.request(make("INVITE", side.branch()), TCP, 0.0)
    side.out = []
    assert times_sent(side, 31) == []
    other = layer()
    event = other.receive(make("INVITE", "z9hG4bKx"), TCP, 0.0)
    assert isinstance(event, RequestReceived)
    event.transaction.respond(response_to(event.request, 200, to_tag="t"), 0.0)
    other.out = []
    assert times_sent(other, 12) == [0.5, 1.5, 3.5, 7.5, 11.5]


def test_a_2xx_without_ack_ends_in_one_report() -> None:
    side = layer()
    transaction = arrive(side, make("INVITE", "z9hG4bKx"))
    transaction.respond(response_to(transaction.request, 200, to_tag="t"), 0.0)
    [(moment, event)] = until(side, 100)
    assert (moment, event) == (32.0, AckTimedOut(transaction))
    assert transaction.accepted
    late = side.receive(make("ACK", "z9hG4bKy", to_tag="t"), UDP, 33.0)
    assert isinstance(late, AckReceived)
    assert late.transaction is None
    assert len(side) == 0


def test_a_repeated_request_gets_the_last_answer_again() -> None:
    side = layer()
    bye = make("BYE", "z9hG4bKx", to_tag="t")
    transaction = arrive(side, bye)
    assert side.receive(bye, UDP, 0.1) is None
    assert sent(side) == []
    transaction.respond(response_to(bye, 200), 0.2)
    assert side.receive(bye, UDP, 31.0) is None
    assert lines(side) == ["SIP/2.0 200 OK"] * 2
    until(side, 33.0)
    assert isinstance(side.receive(bye, UDP, 33.0), RequestReceived)


def test_a_repeated_invite_gets_the_last_answer_again() -> None:
    side = layer()
    invite = make("INVITE", "z9hG4bKx")
    transaction = arrive(side, invite)
    transaction.respond(response_to(invite, 180, to_tag="t"), 0.1)
    assert side.receive(invite, UDP, 0.5) is None
    transaction.respond(response_to(invite, 486, to_tag="t"), 0.6)
    assert side.receive(invite, UDP, 1.0) is None
    assert lines(side) == ["SIP/2.0 180 Ringing"] * 2 + ["SIP/2.0 486 Busy Here"] * 2


def test_an_invite_that_waits_for_its_answer_gets_a_100_after_200_ms() -> None:
    side = layer()
    invite = make("INVITE", "z9hG4bKx")
    transaction = arrive(side, invite)
    transaction.trying(0.0)
    assert side.next_deadline == next(row.default_s for row in TABLE if row.name == "100") == 0.2
    assert times_sent(side, 0.2) == [0.2]
    assert times_sent(side, 5.0) == [], "100 is sent once"
    assert side.receive(invite, UDP, 5.0) is None
    transaction.respond(response_to(invite, 486, to_tag="t"), 6.0)
    assert lines(side) == ["SIP/2.0 100 Trying", "SIP/2.0 486 Busy Here"]


@pytest.mark.parametrize("status", [180, 200, 486])
def test_an_invite_that_is_answered_at_once_gets_no_100(status: int) -> None:
    side = layer()
    invite = make("INVITE", "z9hG4bKx")
    transaction = arrive(side, invite)
    transaction.trying(0.0)
    transaction.respond(response_to(invite, status, to_tag="t"), 0.1)
    until(side, 40.0)
    assert {message.status for message in sent(side) if isinstance(message, Response)} == {status}


def test_an_invite_that_comes_again_before_its_answer_gets_a_100_at_once() -> None:
    side = layer()
    invite = make("INVITE", "z9hG4bKx")
    transaction = arrive(side, invite)
    transaction.trying(0.0)
    assert side.receive(invite, UDP, 0.1) is None
    assert lines(side) == ["SIP/2.0 100 Trying"]
    assert times_sent(side, 0.3) == [], "the other end knows"
    transaction.respond(response_to(invite, 180, to_tag="t"), 0.3)
    assert lines(side) == ["SIP/2.0 180 Ringing"]


def test_a_cancelled_invite_gets_its_487_and_no_100() -> None:
    side = layer()
    invite = make("INVITE", "z9hG4bKq")
    transaction = arrive(side, invite)
    transaction.trying(0.0)
    assert isinstance(side.receive(make("CANCEL", "z9hG4bKq"), UDP, 0.1), CancelReceived)
    transaction.respond(response_to(invite, 487, to_tag="t"), 0.1)
    side.receive(make("ACK", "z9hG4bKq", to_tag="t"), UDP, 0.15)
    until(side, 40.0)
    assert lines(side) == ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]
    assert len(side) == 0


def test_an_invite_that_is_refused_without_a_trace_gets_no_100_later() -> None:
    side = layer()
    invite = make("INVITE", "z9hG4bKx")
    transaction = arrive(side, invite)
    transaction.trying(0.0)
    transaction.respond_statelessly(response_to(invite, 503))
    until(side, 40.0)
    assert lines(side) == ["SIP/2.0 503 Service Unavailable"]
    assert len(side) == 0


def test_a_repeated_final_answer_is_swallowed_for_t4() -> None:
    side = layer()
    side.request(make("OPTIONS", "z9hG4bKq"), UDP, 0.0)
    ok = response_to(make("OPTIONS", "z9hG4bKq"), 200)
    assert isinstance(side.receive(ok, UDP, 0.1), ResponseReceived)
    assert side.receive(ok, UDP, 4.0) is None
    side.handle_timers(6.0)
    assert isinstance(side.receive(ok, UDP, 6.0), StrayResponse)


def test_the_ack_of_a_refusal_is_the_layers_affair_on_both_sides() -> None:
    side, other = layer(), layer()
    transaction = side.request(make("INVITE", "z9hG4bKq"), UDP, 0.0)
    [invite] = sent(side)
    assert isinstance(invite, Request)
    server = arrive(other, invite)
    server.respond(response_to(invite, 486, to_tag="t"), 0.0)
    [busy] = sent(other)
    assert isinstance(busy, Response)
    event = side.receive(busy, UDP, 0.1)
    assert isinstance(event, ResponseReceived)
    assert event.transaction is transaction
    [ack] = sent(side)
    assert isinstance(ack, Request)
    assert (ack.method, ack.cseq, ack.to.tag) == ("ACK", (1, "ACK"), "t")
    assert ack.top_via == invite.top_via
    assert ack.headers.get("Route") == "<sip:p.example;lr>"
    assert side.receive(busy, UDP, 5.0) is None
    assert lines(side) == ["ACK sip:b@b.example SIP/2.0"]
    assert other.receive(ack, UDP, 0.2) is None
    assert other.receive(ack, UDP, 0.3) is None
    assert times_sent(other, 100) == []
    assert len(other) == 0


def test_cancel_waits_for_a_provisional_answer() -> None:
    side = layer()
    transaction = side.request(make("INVITE", "z9hG4bKq"), UDP, 0.0)
    [invite] = sent(side)
    assert isinstance(invite, Request)
    transaction.cancel(0.1, [("Reason", "Q.850;cause=16")])
    assert sent(side) == []
    side.receive(response_to(invite, 100), UDP, 0.2)
    [cancel] = sent(side)
    assert isinstance(cancel, Request)
    assert (cancel.method, cancel.cseq) == ("CANCEL", (1, "CANCEL"))
    assert cancel.uri == invite.uri
    assert cancel.top_via == invite.top_via
    assert cancel.headers.get("Reason") == "Q.850;cause=16"
    transaction.cancel(0.3)
    assert sent(side) == []
    assert side.receive(response_to(cancel, 200), UDP, 0.3) is None
    [(_, event)] = until(side, 100)
    assert event == TimedOut(transaction)  # nobody ended it: 64*T1 after the CANCEL
    assert len(side) == 0


def test_cancel_that_crosses_the_200() -> None:
    side, other = layer(), layer()
    transaction = side.request(make("INVITE", "z9hG4bKq"), UDP, 0.0)
    [invite] = sent(side)
    assert isinstance(invite, Request)
    server = arrive(other, invite)
    server.respond(response_to(invite, 180, to_tag="t"), 0.0)
    side.receive(sent(other)[0], UDP, 0.1)
    server.respond(response_to(invite, 200, to_tag="t"), 0.2)  # on its way ...
    transaction.cancel(0.2)  # ... while this leaves
    [cancel] = sent(side)
    assert other.receive(cancel, UDP, 0.3) is None  # too late: answered, not told
    two_hundreds = sent(other)
    assert [message.cseq[1] for message in two_hundreds] == ["INVITE", "CANCEL"]
    assert two_hundreds[1].to.tag == "t"
    event = side.receive(two_hundreds[0], UDP, 0.4)
    assert isinstance(event, ResponseReceived)
    assert event.response.status == 200
    assert side.receive(two_hundreds[1], UDP, 0.4) is None


def test_cancel_in_time_and_for_nothing() -> None:
    side = layer()
    invite = make("INVITE", "z9hG4bKq")
    server = arrive(side, invite)
    event = side.receive(make("CANCEL", "z9hG4bKq"), UDP, 0.1)
    assert isinstance(event, CancelReceived)
    assert event.target is server
    server.respond(response_to(invite, 487, to_tag="t"), 0.1)
    assert lines(side) == ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]
    assert side.receive(make("CANCEL", "z9hG4bKq"), UDP, 0.2) is None
    assert side.receive(make("CANCEL", "z9hG4bKother"), UDP, 0.2) is None
    assert lines(side) == ["SIP/2.0 200 OK", "SIP/2.0 481 Call/Transaction Does Not Exist"]


def answered() -> tuple[TransactionLayer, Request, Response]:
    """A client whose INVITE got a 2xx and that has acknowledged it."""
    side = layer()
    transaction = side.request(make("INVITE", "z9hG4bKq"), UDP, 0.0)
    [invite] = sent(side)
    assert isinstance(invite, Request)
    ok = response_to(invite, 200, to_tag="t1")
    ok.headers.set("Contact", "<sip:b@b.example>")
    event = side.receive(ok, UDP, 0.1)
    assert isinstance(event, ResponseReceived)
    dialog = Dialog.uac(transaction.request, ok)
    ack = dialog.ack(1, via="SIP/2.0/UDP a.example;branch=z9hG4bKack")
    side.send(ack, UDP)
    transaction.acknowledge(ack)
    sent(side)
    return side, invite, ok


def test_a_repeated_2xx_gets_its_ack_without_a_word() -> None:
    side, _, ok = answered()
    assert side.receive(ok, UDP, 4.0) is None
    assert lines(side) == ["ACK sip:b@b.example SIP/2.0"]
    until(side, 40)
    assert isinstance(side.receive(ok, UDP, 40.0), StrayResponse)


def test_the_2xx_of_another_fork_is_told_once() -> None:
    side, invite, _ = answered()
    fork = response_to(invite, 200, to_tag="t2")
    fork.headers.set("Contact", "<sip:fork@c.example>")
    event = side.receive(fork, UDP, 1.0)
    assert isinstance(event, ResponseReceived)
    assert side.receive(fork, UDP, 1.5) is None
    assert sent(side) == []
    ack = Dialog.uac(None, fork).ack(1, via="SIP/2.0/UDP a.example;branch=z9hG4bKack2")
    side.send(ack, UDP)
    event.transaction.acknowledge(ack)
    assert side.receive(fork, UDP, 2.0) is None
    assert lines(side) == ["ACK sip:fork@c.example SIP/2.0"] * 2


def test_early_dialogs_of_forks_are_all_told() -> None:
    side = layer()
    side.request(make("INVITE", "z9hG4bKq"), UDP, 0.0)
    [invite] = sent(side)
    assert isinstance(invite, Request)
    for tag in ("t1", "t2"):
        event = side.receive(response_to(invite, 183, to_tag=tag), UDP, 0.1)
        assert isinstance(event, ResponseReceived)
        assert event.response.to.tag == tag


def test_a_merged_request_is_a_loop() -> None:
    side = layer()
    arrive(side, make("INVITE", "z9hG4bKone"))
    assert side.receive(make("INVITE", "z9hG4bKtwo"), UDP, 0.1) is None
    assert lines(side) == ["SIP/2.0 482 Loop Detected"]
    arrive(side, make("INVITE", "z9hG4bKthree", cseq=2))  # the next try is none
    side.handle_timers(40.0)
    arrive(side, make("INVITE", "z9hG4bKfour"), 40.0)  # nor is it remembered for ever


def test_a_peer_of_rfc_2543_without_cookie() -> None:
    side = layer()
    invite = make("INVITE", "1")
    server = arrive(side, invite)
    arrive(side, make("INVITE", "1", call="c2"))  # the same branch for another call
    assert side.receive(make("INVITE", "1"), UDP, 0.1) is None
    server.respond(response_to(invite, 486, to_tag="t"), 0.2)
    sent(side)
    assert side.receive(make("ACK", "1", to_tag="t"), UDP, 0.3) is None
    assert times_sent(side, 30) == []


def test_an_ack_with_the_branch_of_its_invite_is_understood() -> None:
    side = layer()
    invite = make("INVITE", "z9hG4bKx")
    server = arrive(side, invite)
    server.respond(response_to(invite, 200, to_tag="t"), 0.0)
    event = side.receive(make("ACK", "z9hG4bKx", to_tag="t"), UDP, 0.1)
    assert isinstance(event, AckReceived)
    assert event.transaction is server


def test_too_many_transactions_are_refused_and_leave_nothing() -> None:
    side = TransactionLayer(branch=layer().branch, max_transactions=3)
    for number in range(10):
        side.receive(make("INVITE", f"z9hG4bK{number}", call=f"c{number}"), UDP, 0.0)
    assert len(side) == 3
    assert side.refused == 7
    assert {message.headers.get("Retry-After") for message in sent(side)} == {"5"}


def test_a_stateless_answer_leaves_nothing() -> None:
    side = layer()
    server = arrive(side, make("INVITE", "z9hG4bKx"))
    server.respond_statelessly(response_to(server.request, 401, to_tag="t"))
    assert lines(side) == ["SIP/2.0 401 Unauthorized"]
    assert len(side) == 0


def test_a_lost_connection_ends_what_waits_on_it() -> None:
    side = layer()
    transaction = side.request(make("INVITE", side.branch()), TCP, 0.0)
    side.request(make("OPTIONS", side.branch()), UDP, 0.0)
    assert side.flow_lost(TCP, 1.0) == [TimedOut(transaction)]
    assert len(side) == 1


def test_a_response_for_somebody_else_is_a_stray() -> None:
    side = layer()
    side.request(make("OPTIONS", "z9hG4bKq"), UDP, 0.0)
    [options] = sent(side)
    assert isinstance(options, Request)
    foreign = response_to(options, 200)
    foreign.headers.add("Via", "SIP/2.0/UDP other.example;branch=z9hG4bKo")
    assert isinstance(side.receive(foreign, UDP, 0.1), StrayResponse)
    other = response_to(make("OPTIONS", "z9hG4bKnobody"), 200)
    assert isinstance(side.receive(other, UDP, 0.1), StrayResponse)


def test_the_table_of_timers_agrees_with_what_runs() -> None:
    timers = Timers()
    values = {row.name: row.default_s for row in TABLE}
    assert all(row.section.startswith("RFC ") and row.unit == "s" for row in TABLE)
    assert (values["T1"], values["T2"], values["T4"]) == (timers.t1_s, timers.t2_s, timers.t4_s)
    for name in "BDFHJLM":
        assert values[name] == timers.timeout_s
    assert (values["I"], values["K"]) == (timers.t4_s, timers.t4_s)
    assert {row.name for row in TABLE} >= set("ABDEFGHIJKLM")
