"""TRANSFER and TXREQ of one call and of two, over a link that loses and repeats."""

from __future__ import annotations

import pytest

from firmware.wire.iax2 import (
    Call,
    CallOffered,
    Ended,
    EndpointSettings,
    JoinAsked,
    TransferAsked,
    TransferReady,
    TransferRefused,
)
from firmware.wire.iax2.kinds import Iax
from firmware.wire.iax2.settings import RELEASE_S
from tests.wire.iax2.link import CLEAN, Link
from tests.wire.iax2.test_calls import Pair, iax_frames

TRANSFERS = EndpointSettings(transfers=True)


def two_calls(pair: Pair) -> tuple[Call, Call]:
    return pair.call(), pair.call()


def ask(pair: Pair, first: Call, second: Call) -> list[JoinAsked]:
    now = pair.network.now
    first.join_to(now, second, 4711)
    second.join_to(now, first, 4711)
    pair.network.run(1)
    return pair.server.all_of(JoinAsked)


def test_each_of_two_calls_names_the_other_by_the_number_that_the_peer_gave_it() -> None:
    pair = Pair(server=TRANSFERS)
    first, second = two_calls(pair)
    asked = ask(pair, first, second)
    taken = [event.call for event in pair.server.all_of(CallOffered)]
    assert [event.call for event in asked] == taken
    assert [event.other_number for event in asked] == [taken[1].number, taken[0].number]
    assert {event.transfer_id for event in asked} == {4711}


def test_who_is_told_that_all_is_ready_leaves_and_nobody_hangs_up() -> None:
    pair = Pair(server=TRANSFERS)
    first, second = two_calls(pair)
    for event in ask(pair, first, second):
        event.call.transfer_ready(pair.network.now, event.transfer_id)
    pair.network.run(1)
    assert [event.call for event in pair.client.all_of(TransferReady)] == [first, second]
    first.release(pair.network.now)
    second.release(pair.network.now)
    pair.network.run(1)
    assert [event.cause for event in pair.server.all_of(Ended)] == [16, 16]
    assert Iax.HANGUP not in iax_frames(pair.client) + iax_frames(pair.server)
    assert iax_frames(pair.client).count(Iax.TXREL) == 2
    pair.finish()


def test_who_stays_though_all_is_ready_is_hung_up() -> None:
    pair = Pair(server=TRANSFERS)
    first, second = two_calls(pair)
    for event in ask(pair, first, second):
        event.call.transfer_ready(pair.network.now, event.transfer_id)
    pair.network.run(RELEASE_S + 2)
    assert first.ended
    assert second.ended
    pair.finish()


def test_a_number_is_asked_for_and_refused_by_the_word_that_there_is() -> None:
    pair = Pair(server=TRANSFERS)
    call = pair.call()
    call.transfer_to(pair.network.now, "15145550199")
    pair.network.run(1)
    (asked,) = pair.server.all_of(TransferAsked)
    assert asked.number == "15145550199"
    asked.call.refuse_transfer(pair.network.now)
    pair.network.run(1)
    (refused,) = pair.client.all_of(TransferRefused)
    assert not refused.unsupported
    call.transfer_to(pair.network.now, "")
    pair.network.run(1)
    assert len(pair.client.all_of(TransferRefused)) == 2, "no number is none"
    assert not call.ended
    call.hang_up(pair.network.now)
    pair.finish()


def test_a_peer_that_does_none_says_so_and_the_call_goes_on() -> None:
    pair = Pair()
    first, second = two_calls(pair)
    assert ask(pair, first, second) == []
    assert [event.unsupported for event in pair.client.all_of(TransferRefused)] == [False, False]
    first.transfer_to(pair.network.now, "1")
    pair.network.run(1)
    assert pair.client.all_of(TransferRefused)[-1].unsupported
    assert not first.ended
    first.hang_up(pair.network.now)
    second.hang_up(pair.network.now)
    pair.finish()


def test_what_nobody_asked_for_is_no_news() -> None:
    """A TXREADY, TXREJ or TXREL out of nowhere ends no call and says nothing."""
    pair = Pair(server=TRANSFERS)
    call = pair.call()
    taken, now = pair.taken, pair.network.now
    for subclass in (Iax.TXREADY, Iax.TXREJ, Iax.TXREL):
        taken.send_iax(now, subclass)
        call.send_iax(now, subclass)
    pair.network.run(2)
    for kind in (TransferReady, TransferRefused, Ended):
        assert pair.client.all_of(kind) == pair.server.all_of(kind) == []
    call.hang_up(pair.network.now)
    pair.finish()


@pytest.mark.parametrize("seed", range(10))
def test_a_lossy_link_loses_no_transfer(seed: int) -> None:
    pair = Pair(server=TRANSFERS, seed=seed)
    first, second = two_calls(pair)
    pair.network.link = Link(loss=0.2)
    first.join_to(pair.network.now, second, 1)
    second.join_to(pair.network.now, first, 1)
    pair.network.run(30)
    asked = pair.server.all_of(JoinAsked)
    assert len(asked) == 2, "once each"
    for event in asked:
        event.call.transfer_ready(pair.network.now, 1)
    pair.network.run(5)
    for event in pair.client.all_of(TransferReady):
        event.call.release(pair.network.now)
    pair.network.run(60)
    assert first.ended
    assert second.ended
    pair.network.link = CLEAN
    pair.finish()
