"""The figures of IAX2: what a leg costs the host a second, and what a call costs to set up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from firmware.wire.iax2 import Credentials
from tests.bench import iax2_peer
from tests.bench.figures import Figure
from tests.bench.iax2load import Drive, Heard, Iax2End, SipEnd, setups, talk
from tests.bench.processes import processor_s
from tests.bench.sipp import Load
from tests.bench.subjects import CALLEE, DID, IAX2_CALLER, SECRET, TRUNK, Bed
from tests.interop.asterisk import have_asterisk

CALLS = 50
LEAST_HEARD = 0.99
"""Of the frames that were sent: a cost of frames that were lost means nothing."""
SETUP_RATE = 50


def legs(
    bed: Bed, wanted: set[str], rounds: int, seconds: float, note: Callable[[str, Load], None]
) -> Iterator[Figure]:
    """CPU milliseconds of the host a leg and second, of three kinds of calls."""
    ways: dict[str, Callable[[], tuple[Drive, list[str], str]]] = {
        "iax2_leg_cpu_ms": lambda: _between_devices(bed),
        "iax2_trunk_leg_cpu_ms": lambda: _trunked(bed),
        "iax2_sip_leg_cpu_ms": lambda: _bridged(bed),
    }
    for name, make in ways.items():
        if name not in wanted:
            continue
        runs: list[float] = []
        peer_runs: list[float] = []
        for turn in range(rounds):
            with bed.serve(iax2=True) as host:
                load, numbers, user = make()
                credentials = Credentials(user, SECRET)

                def used(pid: int = host.pid) -> float:
                    return processor_s(pid)

                try:
                    heard, cost_s = talk(load, numbers, credentials, seconds, used)
                finally:
                    load.caller.close()
                    load.callee.close()
                time.sleep(0.3)
            what = f"{name}, round {turn + 1}"
            note(what, Load(heard.calls, heard.ended, 0, heard.elapsed_s))
            _demand(what, heard)
            runs.append(cost_s * 1000 / (2 * heard.answered * heard.seconds))
            if have_asterisk() and name in _PEER_S:
                peer_runs.append(_peer_leg(bed, seconds, name, turn, note))
        yield Figure.of(name, runs, iax2_peer.NAME, peer_runs)


_PEER_S = {"iax2_leg_cpu_ms": False, "iax2_trunk_leg_cpu_ms": True}
"""What the peer is measured at, and whether over a trunk."""


def _peer_leg(
    bed: Bed, seconds: float, name: str, turn: int, note: Callable[[str, Load], None]
) -> float:
    """The same calls through the peer: CPU milliseconds a leg and second."""
    trunk = _PEER_S[name]
    called = tuple(bed.iax2_carrier) if trunk else bed.iax2_callee
    with iax2_peer.serve(bed, trunk) as peer:
        load = Drive(
            Iax2End(bed.iax2_caller, bed.asterisk, trunk), Iax2End(called, bed.asterisk, trunk)
        )
        credentials = Credentials(TRUNK if trunk else IAX2_CALLER, SECRET)
        try:
            heard, cost_s = talk(
                load, _numbers(), credentials, seconds, lambda: processor_s(peer.pid)
            )
        finally:
            load.caller.close()
            load.callee.close()
    _demand(f"the peer, {name}, round {turn + 1}", heard)
    return cost_s * 1000 / (2 * heard.answered * heard.seconds)


def setup(
    bed: Bed, rounds: int, seconds: float, note: Callable[[str, Load], None]
) -> Iterator[Figure]:
    """CPU milliseconds of the host a call of two legs, from NEW to the CDR."""
    with bed.serve(iax2=True) as host:
        load, _, user = _between_devices(bed)
        runs = _setups(load, Credentials(user, SECRET), rounds, seconds, host.pid, note)
    peer_runs: list[float] = []
    if have_asterisk():
        with iax2_peer.serve(bed, False) as peer:
            load = Drive(
                Iax2End(bed.iax2_caller, bed.asterisk), Iax2End(bed.iax2_callee, bed.asterisk)
            )
            credentials = Credentials(IAX2_CALLER, SECRET)
            peer_runs = _setups(load, credentials, rounds, seconds, peer.pid, None)
    yield Figure.of("iax2_setup_cpu_ms", runs, iax2_peer.NAME, peer_runs)


def _setups(
    load: Drive,
    credentials: Credentials,
    rounds: int,
    seconds: float,
    pid: int,
    note: Callable[[str, Load], None] | None,
) -> list[float]:
    """CPU milliseconds a call of a process, round by round; `note` gets each load of ours."""
    runs: list[float] = []
    try:
        answered = ended = 0
        for turn in range(rounds + 1):
            numbers = [DID] * round(seconds * SETUP_RATE if turn else SETUP_RATE)
            before = processor_s(pid)
            all_answered, all_ended, elapsed_s = setups(load, numbers, credentials, SETUP_RATE, 1.0)
            cost_s = processor_s(pid) - before
            made, over = all_answered - answered, all_ended - ended
            answered, ended = all_answered, all_ended
            what = f"iax2_setup_cpu_ms, round {turn}"
            if note is not None:
                note(what, Load(len(numbers), min(made, over), 0, elapsed_s))
            if made < 0.999 * len(numbers):
                raise RuntimeError(f"{what}: {made} of {len(numbers)} calls were answered")
            if turn:  # the first one warms up
                runs.append(cost_s * 1000 / len(numbers))
    finally:
        load.caller.close()
        load.callee.close()
    return runs


def _registered(bed: Bed) -> Iax2End:
    end = Iax2End(bed.iax2_callee, bed.iax2_host)
    end.register(CALLEE, SECRET)
    until = time.monotonic() + 5
    while not end.registered and time.monotonic() < until:
        time.sleep(0.02)
        end.read()
        end.flush()
    if not end.registered:
        raise RuntimeError("the telephone that is called could not register over IAX2")
    return end


def _between_devices(bed: Bed) -> tuple[Drive, list[str], str]:
    load = Drive(Iax2End(bed.iax2_caller, bed.iax2_host), _registered(bed))
    return load, [DID] * CALLS, IAX2_CALLER


def _trunked(bed: Bed) -> tuple[Drive, list[str], str]:
    """A PBX's trunk to a carrier's."""
    callee = Iax2End(bed.iax2_carrier, bed.iax2_host, trunk=True)
    load = Drive(Iax2End(bed.iax2_caller, bed.iax2_host, trunk=True), callee)
    bed.use_carrier(bed.iax2_carrier, iax2=True)
    return load, _numbers(), TRUNK


def _bridged(bed: Bed) -> tuple[Drive, list[str], str]:
    load = Drive(Iax2End(bed.iax2_caller, bed.iax2_host), SipEnd(tuple(bed.carrier)))
    bed.use_carrier(bed.carrier)
    return load, _numbers(), IAX2_CALLER


def _numbers() -> list[str]:
    return [f"1514555{number:04}" for number in range(CALLS)]


def _demand(what: str, heard: Heard) -> None:
    """Raises RuntimeError where calls failed or sound was lost."""
    if heard.answered < heard.calls:
        raise RuntimeError(f"{what}: {heard.answered} of {heard.calls} calls were answered")
    if heard.heard < LEAST_HEARD * heard.sent:
        raise RuntimeError(f"{what}: {heard.heard} of {heard.sent} frames were heard")
