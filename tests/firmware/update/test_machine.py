"""What a device runs, and when: each story as its owner would tell it, and what may never be."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.update.machine import Stage
from firmware.update.values import Ask, CheckSync, Fetch, Pause, Restart, TakeConfig, Times
from firmware.wire.provisioning import Configuration, Document
from tests.firmware.update.world import World, firmware

MINUTE = 60.0
TWO = Document(3_600, firmware=firmware(2))


def test_a_new_version_is_fetched_tried_and_kept() -> None:
    world = World()
    world.document = TWO
    world.run(2 * MINUTE)
    assert world.fetches()
    world.fetched()
    assert world.boots == [1, 2]
    assert world.state.slot == "b"
    assert not world.state.is_good("b"), "it has yet to show that it works"
    world.run(2 * MINUTE)
    assert world.state.is_good("b")
    assert world.state.floor == 1, "what it falls back to may be installed again"
    assert world.kept.trying == ""
    world.run(120 * MINUTE, 30)
    assert world.boots == [1, 2]


def test_a_version_that_never_registers_falls_back_and_is_not_tried_for_ever() -> None:
    world = World(broken=frozenset((2,)))
    world.document = TWO
    for _ in range(6):
        world.run(30 * MINUTE)
        world.fetched()
    assert world.boots == [1, 2, 1, 2, 1]
    assert world.state.is_good("a")
    assert world.update.problems["firmware"] == "version 2 did not work; 1 runs again"
    world.document = Document(3_600, firmware=firmware(3))
    world.run(90 * MINUTE)
    world.fetched()
    world.run(5 * MINUTE)
    assert world.boots[-1] == 3
    assert world.update.problems == {}


def test_how_long_a_new_version_may_take_to_register_is_for_its_owner_to_say() -> None:
    for least_s, minutes in ((60, 4), (1_800, 40)):
        world = World(broken=frozenset((2,)), times=Times(refused_ms=least_s * 1_000))
        world.document = TWO
        world.run(2 * MINUTE)
        world.fetched()
        world.run(least_s - 30)
        assert world.boots == [1, 2], "it still has time"
        world.run(minutes * MINUTE)
        assert world.boots[:3] == [1, 2, 1]


def test_an_outage_of_the_host_rolls_nothing_back() -> None:
    world = World()
    world.document = TWO
    world.run(2 * MINUTE)
    world.set(host=False)
    world.fetched()
    world.run(9 * MINUTE)
    assert not world.state.is_good("b")
    world.run(2 * MINUTE)
    assert world.state.is_good("b"), "ten minutes with a network, and no host"
    world.run(600 * MINUTE, 60)
    assert world.boots == [1, 2]


def test_what_was_held_to_be_good_in_an_outage_has_to_register_after_it() -> None:
    world = World(broken=frozenset((2,)))
    world.document = TWO
    world.run(2 * MINUTE)
    world.set(host=False)
    world.fetched()
    world.run(30 * MINUTE)
    assert world.state.is_good("b")
    world.run(600 * MINUTE, 60)
    assert world.boots == [1, 2]
    world.set(host=True)
    world.run(30 * MINUTE)
    assert world.boots == [1, 2, 1]
    assert "did not work" in world.update.problems["firmware"]


def test_without_a_network_nothing_is_decided() -> None:
    world = World()
    world.document = TWO
    world.run(2 * MINUTE)
    world.set(network=False)
    world.fetched()
    world.run(600 * MINUTE, 60)
    assert world.boots == [1, 2]
    assert not world.state.is_good("b")
    world.set(network=True)
    world.run(5 * MINUTE)
    assert world.state.is_good("b")


def test_whoever_pulls_the_plug_while_it_is_tried_has_it_tried_again() -> None:
    world = World()
    world.document = TWO
    world.run(2 * MINUTE)
    world.fetched()
    world.run(10)
    world.power_on()
    assert world.boots == [1, 2, 1]
    world.run(5 * MINUTE)
    world.fetched()
    world.run(5 * MINUTE)
    assert world.boots == [1, 2, 1, 2]
    assert world.state.is_good("b")


def test_a_first_installation_with_a_wrong_password_does_not_end_in_rescue() -> None:
    world = World(broken=frozenset((1,)))
    for _ in range(5):
        world.state = world.state.__class__(world.state.seq, "a", world.state.tries, 0, 0)
        world.power_on()
        world.run(30 * MINUTE)
    assert not world.rescue
    assert not world.state.is_good("a")


def test_no_update_during_a_call() -> None:
    world = World()
    world.document = TWO
    world.set(calls=True)
    world.run(60 * MINUTE)
    assert not world.fetches()
    world.set(calls=False)
    world.run(10)
    assert world.fetches()
    world.set(calls=True)
    assert isinstance(world.orders[-1], Pause), "the line has all of the network"
    world.set(calls=False)
    world.run(3 * MINUTE)
    assert world.fetches(), "it goes on"
    world.set(calls=True)
    world.fetched()
    world.tell()
    world.run(60 * MINUTE)
    assert world.boots == [1]
    world.set(calls=False)
    world.run(3 * MINUTE)
    world.fetched()
    assert world.boots == [1, 2]


def test_a_download_that_breaks_off_goes_on_and_a_wrong_image_is_not_fetched_again() -> None:
    world = World()
    world.document = TWO
    world.run(2 * MINUTE)
    world.fetched(whole=False)
    world.run(5 * MINUTE)
    assert world.fetches()
    world.fetched(whole=False, final=True)
    world.run(300 * MINUTE, 30)
    assert not world.fetches()
    assert world.update.problems["firmware"] == "no way"
    assert world.boots == [1]


def test_what_is_for_another_board_or_too_old_is_said() -> None:
    world = World()
    other = firmware(2).__class__("pc-dahdi", 2, "1.2", 1_000, "a" * 64)
    world.document = Document(3_600, firmware=other)
    world.run(2 * MINUTE)
    assert "this is qemu-arm64" in world.update.problems["firmware"]
    world.state = world.state.__class__(9, "a", 3, 1, 2)
    world.versions[0] = 3
    world.power_on()
    world.document = TWO.__class__(3_600, firmware=firmware(1))
    world.run(2 * MINUTE)
    assert world.update.problems["firmware"] == "version 1 is below 2"
    assert not any(isinstance(one, Fetch) for one in world.orders)


def test_a_configuration_is_taken_when_nobody_calls_and_kept_if_it_registers() -> None:
    world = World()
    world.set(calls=True)
    world.document = Document(3_600, Configuration(1, "new"))
    world.run(10 * MINUTE)
    assert world.config == "own"
    world.set(calls=False)
    world.run(3 * MINUTE)
    assert world.config == "new"
    assert not world.kept.config_trial
    world.run(300 * MINUTE, 30)
    taken = [one for one in world.orders if isinstance(one, TakeConfig)]
    assert len(taken) == 1


def test_one_that_it_does_not_register_with_is_given_back() -> None:
    world = World()
    world.bad_configs.add("new")
    world.document = Document(3_600, Configuration(1, "new"))
    world.run(5 * MINUTE)
    assert world.config == "new"
    world.run(10 * MINUTE)
    assert world.config == "own"
    assert world.update.problems["configuration"] == "the device did not register with it"
    world.run(300 * MINUTE, 30)
    assert world.config == "own", "not before there is another"
    world.document = Document(3_600, Configuration(1, "newer"))
    world.run(90 * MINUTE)
    assert world.config == "newer"
    assert world.update.problems == {}


def test_one_that_came_before_an_outage_is_tried_again() -> None:
    world = World()
    world.document = Document(3_600, Configuration(1, "new"))
    while world.config != "new":
        world.run(1, 1)
    world.set(host=False)
    world.run(30 * MINUTE)
    assert world.config == "own"
    world.set(host=True)
    world.run(90 * MINUTE)
    assert world.config == "new"


def test_a_wrong_one_is_not_taken_at_all() -> None:
    world = World()
    world.document = Document(3_600, Configuration(1, "wrong"))
    world.run(90 * MINUTE)
    assert world.config == "own"
    assert world.update.problems["configuration"] == "sip: no account is named"


def test_a_board_without_slots_says_so() -> None:
    world = World()
    world.update.board = world.update.board.__class__("sim", None, None)
    world.document = TWO
    world.run(2 * MINUTE)
    assert "has no slots" in world.update.problems["firmware"]


def test_it_asks_at_the_start_at_intervals_and_when_it_is_told() -> None:
    world = World()
    world.run(10 * 3_600, 30)
    asked = [one for one in world.orders if isinstance(one, Ask)]
    assert 8 <= len(asked) <= 10
    world.orders.clear()
    for _ in range(5):
        world._obey(world.update.handle(CheckSync(), world.now_ms))
    world.run(60)
    assert sum(isinstance(one, Ask) for one in world.orders) == 2, "not as often as it is told"


STEPS: list[Callable[[World], None]] = [
    lambda world: world.run(20),
    lambda world: world.run(11 * MINUTE, 20),
    lambda world: world.run(70 * MINUTE, 30),
    lambda world: world.fetched(),
    lambda world: world.fetched(whole=False),
    lambda world: world.fetched(whole=False, final=True),
    lambda world: world.set(calls=True),
    lambda world: world.set(calls=False),
    lambda world: world.set(host=False),
    lambda world: world.set(host=True),
    lambda world: world.set(network=False),
    lambda world: world.set(network=True),
    lambda world: world.power_on(),
    lambda world: setattr(world, "document", Document(60, firmware=firmware(2))),
    lambda world: setattr(world, "document", Document(60, firmware=firmware(3))),
    lambda world: setattr(world, "document", Document(60, Configuration(1, "new"))),
    lambda world: setattr(world, "document", Document(60, Configuration(1, "bad"), firmware(2))),
    lambda world: setattr(world, "document", Document(60)),
    lambda world: world._obey(world.update.handle(CheckSync(), world.now_ms)),
]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 1_000),
    st.frozensets(st.sampled_from((2, 3))),
    st.lists(st.integers(0, len(STEPS) - 1), max_size=40),
)
def test_no_order_of_events_bricks_a_board(
    seed: int, broken: frozenset[int], steps: list[int]
) -> None:
    """Whatever comes when: no slot in use is written, nothing restarts during a call, no outage
    rolls back (`World` asserts these); and in the end a version that works runs, and registers."""
    world = World(seed, broken)
    world.bad_configs.add("bad")
    for index in steps:
        STEPS[index](world)
        assert not world.rescue
    world.set(host=True, network=True, calls=False)
    world.document = Document(60)
    for _ in range(4):
        world.run(60 * MINUTE, 30)
    assert world.registered
    assert world.version not in broken
    assert world.state.is_good(world.running)
    assert world.update.stage is Stage.IDLE


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1_000), st.lists(st.integers(0, len(STEPS) - 1), max_size=30))
def test_a_device_whose_host_is_away_from_the_trial_on_stays_with_its_version(
    seed: int, steps: list[int]
) -> None:
    """However long, and however often the network goes with it: without a power cut it runs on."""
    world = World(seed)
    world.document = TWO
    world.run(2 * MINUTE)
    world.set(host=False)
    world.fetched()
    assert world.boots == [1, 2]
    for index in steps:
        if index not in (9, 12):  # the host stays away, and nobody pulls the plug
            STEPS[index](world)
    assert world.boots == [1, 2]
    assert not any(
        isinstance(one, Restart) for one in world.orders[world.orders.index(Restart()) + 1 :]
    )
