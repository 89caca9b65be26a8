"""How each figure is measured. A group shares one start of the host."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tests.bench import decks, device, iax2, port, sipp, store, store_postgres
from tests.bench.books import Books
from tests.bench.figures import Figure
from tests.bench.processes import processor_s, resident_mb
from tests.bench.sipp import Caller, Load, Where
from tests.bench.subjects import REGISTERED, Bed, have_peer

PEER = "sippy b2bua_simple"
_SETTLE_S = 0.3
"""From SIPp's last message until the CDR is durable, and some."""
MOST_FAILURES = 0.001
MOST_RETRANSMISSIONS = 0.02


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how often, how much."""

    rounds: int = 3
    call_s: float = 10.0
    loaded_s: float = 15.0
    register_s: float = 10.0
    step_s: float = 8.0
    """Of the search for the highest rate."""
    rates: tuple[int, ...] = tuple(range(100, 2_100, 100))
    growth_calls: tuple[int, int] = (2_000, 10_000)
    growth_rate: int = 50
    """So slow that at the first count calls are as many as they will ever be in memory: their
    transactions linger for 64*T1, 32 s (RFC 3261, 17), which takes 1,600 calls at this rate."""
    device_s: float = 20.0
    talk_s: float = 10.0
    """Of calls over IAX2 with sound."""
    kill_s: float = 6.0
    prefixes: int = decks.PREFIXES
    """Of the deck that is imported."""
    store_calls: int = 6_400
    """That are authorised and settled on a store of their own."""
    port_s: float = 60.0
    """Of audio through a port."""
    voice_calls: int = 20
    """From handset to handset."""


QUICK = Plan(
    1, 3.0, 3.0, 3.0, 3.0, (100, 200), (200, 600), 100, 3.0, 3.0, 2.5, 50_000, 1_280, 10.0, 2
)
"""A slice of each: shows that it works; its figures are worth little."""

Step = Callable[[str, float], None]
"""Told what comes next, and how many seconds it takes."""


class Bench:
    """One run. Every group yields its figures, and notes its calls in the books."""

    def __init__(self, bed: Bed, plan: Plan, step: Step) -> None:
        self.bed = bed
        self.plan = plan
        self.books = Books(bed)
        self.limits: list[str] = []
        """What went wrong above the highest rates, a sentence a try."""
        self._step = step

    # --- the groups ---

    def calls(self, wanted: set[str]) -> Iterator[Figure]:
        """CPU of a call at 50 a second: ours in three ways and the peer's, turn by turn."""
        bed, plan, rate = self.bed, self.plan, 50
        ways = {
            "sip_call_cpu_ms": bed.digest,
            "sip_call_noauth_cpu_ms": bed.trusted,
            "sip_call_relayed_cpu_ms": bed.relayed,
        }
        if "sip_setup_ms" in wanted:
            wanted = wanted | {"sip_call_cpu_ms"}
        ours: dict[str, list[float]] = {name: [] for name in ways if name in wanted}
        theirs: list[float] = []
        waited: list[float] = []
        they_waited: list[float] = []
        peered = have_peer() and wanted & {"sip_call_cpu_ms", "sip_call_noauth_cpu_ms"}
        with contextlib.ExitStack() as stack:
            host = stack.enter_context(bed.serve())
            peer = stack.enter_context(bed.serve_peer()) if peered else None
            for name in ours:
                self._calls("warming up", host, ways[name], rate, 2.0)
            if peer:
                self._peer_calls("warming up the peer", peer, rate, 2.0)
            for turn in range(plan.rounds):
                for name, runs in ours.items():
                    what = f"{name}, round {turn + 1}"
                    cpu_ms, load = self._calls(what, host, ways[name], rate, plan.call_s)
                    runs.append(cpu_ms)
                    if name == "sip_call_cpu_ms":
                        waited.append(load.setup_ms)
                if peer:
                    what = f"the peer, round {turn + 1}"
                    cpu_ms, load = self._peer_calls(what, peer, rate, plan.call_s)
                    theirs.append(cpu_ms)
                    they_waited.append(load.setup_ms)
        self.books.compare("calls at 50/s")
        if waited:
            yield Figure.of("sip_setup_ms", waited, PEER, they_waited)
        for name, runs in ours.items():
            alike = name != "sip_call_relayed_cpu_ms"  # the peer relays nothing
            yield Figure.of(name, runs, PEER, theirs if alike else None)

    def loaded(self, wanted: set[str]) -> Iterator[Figure]:
        """CPU of a call at 400 a second, and memory afterwards."""
        plan, runs, rate = self.plan, [], 400
        with self.bed.serve() as host:
            self._calls("warming up", host, self.bed.digest, rate, 1.0)
            for turn in range(plan.rounds):
                what = f"400 calls a second, round {turn + 1}"
                runs.append(self._calls(what, host, self.bed.digest, rate, plan.loaded_s)[0])
            memory = resident_mb(host.pid)
        self.books.compare("calls at 400/s")
        yield Figure.of("sip_call_cpu_ms_loaded", runs)
        yield Figure.of("host_rss_mb", [memory])

    def rate(self, wanted: set[str]) -> Iterator[Figure]:
        """The highest rate that goes well, of ours and of the peer."""
        ours = highest(self.plan.rates, self._rate_goes_well)
        self.books.compare("highest rate")
        theirs = highest(self.plan.rates, self._peer_rate_goes_well) if (have_peer()) else 0
        yield Figure.of("sip_call_rate", [ours], PEER, [theirs] if theirs else None)

    def register(self, wanted: set[str]) -> Iterator[Figure]:
        """CPU of a registration: a challenge and a refresh, of many accounts in turn."""
        plan, runs, rate = self.plan, [], 1_000
        with self.bed.serve() as host:
            first_s = min(plan.register_s, REGISTERED / rate)
            self._load("first registrations", self.bed.phones, self.bed.host, None, rate, first_s)
            for turn in range(plan.rounds):
                before = processor_s(host.pid)
                what = f"registrations, round {turn + 1}"
                load = self._load(what, self.bed.phones, self.bed.host, None, rate, plan.register_s)
                runs.append((processor_s(host.pid) - before) * 1000 / load.calls)
                _demand(load, what)
        yield Figure.of("register_cpu_ms", runs)

    def growth(self, wanted: set[str]) -> Iterator[Figure]:
        """Memory of a fresh host after some calls, and after many more at the same rate."""
        (few, many), rate = self.plan.growth_calls, self.plan.growth_rate
        memory = []
        with self.bed.serve() as host:
            for calls in (few, many - few):
                what = f"{calls} calls, for memory"
                self._calls(what, host, self.bed.digest, rate, calls / rate)
                memory.append(resident_mb(host.pid))
        self.books.compare("growth")
        yield Figure.of("host_rss_growth_mb", [memory[1] - memory[0]])

    def iax2_legs(self, wanted: set[str]) -> Iterator[Figure]:
        """What sound over IAX2 costs, relayed, trunked and bridged to SIP."""
        plan = self.plan
        try:
            yield from iax2.legs(self.bed, wanted, plan.rounds, plan.talk_s, self._note_iax2)
        finally:
            self.bed.use_carrier(self.bed.carrier)
            self.books.compare("sound over IAX2")

    def iax2_setup(self, wanted: set[str]) -> Iterator[Figure]:
        """What a call over IAX2 costs without its sound."""
        plan = self.plan
        try:
            yield from iax2.setup(self.bed, plan.rounds, plan.call_s, self._note_iax2)
        finally:
            self.books.compare("calls over IAX2")

    def _note_iax2(self, what: str, load: Load) -> None:
        self._step(what, load.elapsed_s + 1)
        self.books.note(load)

    def rates(self, wanted: set[str]) -> Iterator[Figure]:
        """What a million prefixes cost."""
        yield from decks.measure(self.bed, self.plan.rounds, self.plan.prefixes, self._step)

    def store(self, wanted: set[str]) -> Iterator[Figure]:
        """What the store takes a second."""
        plan = self.plan
        yield from store.measure(self.bed.folder, plan.rounds, plan.store_calls, self._step)

    def store_postgres(self, wanted: set[str]) -> Iterator[Figure]:
        """What the store takes a second in PostgreSQL."""
        plan = self.plan
        yield from store_postgres.measure(plan.rounds, plan.store_calls, self._step)

    def device(self, wanted: set[str]) -> Iterator[Figure]:
        """Memory and processor of a device in a call through the host, media relayed."""
        self._step("a device in a call", self.plan.device_s + 5)
        self.bed.use_carrier(self.bed.tone_carrier)
        try:
            with self.bed.serve():
                memory, share = device.in_a_call(self.bed, self.plan.device_s)
        finally:
            self.bed.use_carrier(self.bed.carrier)
        yield Figure.of("device_rss_mb", [memory])
        yield Figure.of("device_cpu_pct", [share])

    def iax2_device(self, wanted: set[str]) -> Iterator[Figure]:
        """The same over IAX2, bridged to the carrier's RTP, in clear and encrypted."""
        self._step("a device in a call over IAX2", 1.5 * self.plan.device_s + 10)
        self.bed.use_carrier(self.bed.tone_carrier)
        try:
            with self.bed.serve(iax2=True):
                memory, share = device.in_a_call(self.bed, self.plan.device_s, "iax2")
                encrypted, _ = device.in_a_call(self.bed, self.plan.device_s / 2, "iax2", "require")
        finally:
            self.bed.use_carrier(self.bed.carrier)
        yield Figure.of("iax2_device_rss_mb", [memory])
        yield Figure.of("iax2_device_cpu_pct", [share])
        yield Figure.of("iax2_device_encrypted_rss_mb", [encrypted])

    def port(self, wanted: set[str]) -> Iterator[Figure]:
        """What listening to one telephone costs, without a call around it."""
        plan = self.plan
        self._step("a port's audio", 0.3 * plan.rounds * plan.port_s)
        yield Figure.of(
            "dtmf_us_per_frame", [port.receiver_us(plan.port_s) for _ in range(plan.rounds)]
        )
        yield Figure.of("line_cpu_pct", [port.line_pct(plan.port_s) for _ in range(plan.rounds)])

    def mouth_to_ear(self, wanted: set[str]) -> Iterator[Figure]:
        """How long sound takes from handset to handset through devices and host."""
        calls = self.plan.voice_calls
        self._step("from mouth to ear", 5 * calls + 6)
        with self.bed.serve(iax2=True):
            took = list(port.mouth_to_ear_ms(self.bed, calls))
        yield Figure.of("mouth_to_ear_ms", took)
        yield Figure.of("mouth_to_ear_p95_ms", [float(np.percentile(took, 95))])

    def kill(self) -> str:
        """The end: `kill -9` in mid-load, recovery, audit."""
        self._step("kill -9 in mid-load", self.plan.kill_s + 8)
        told = self.books.kill(200, self.plan.kill_s)
        self.books.audit()
        return told

    # --- loads ---

    def _load(
        self,
        what: str,
        caller: Caller,
        target: Where,
        carrier: Where | None,
        rate: int,
        seconds: float,
    ) -> Load:
        self._step(what, seconds + caller.talk_s + _SETTLE_S + 0.5)
        load = sipp.place(self.bed.folder, caller, target, carrier, rate, seconds)
        time.sleep(_SETTLE_S)
        return load

    def _calls(
        self, what: str, host: subprocess.Popen[bytes], caller: Caller, rate: int, seconds: float
    ) -> tuple[float, Load]:
        """Calls through our host: CPU milliseconds a call. All of them have to succeed."""
        before = processor_s(host.pid)
        load = self._load(what, caller, self.bed.host, self.bed.carrier, rate, seconds)
        cpu_ms = (processor_s(host.pid) - before) * 1000 / load.calls
        self.books.note(load)
        _demand(load, what)
        return cpu_ms, load

    def _peer_calls(
        self, what: str, peer: subprocess.Popen[bytes], rate: int, seconds: float
    ) -> tuple[float, Load]:
        """The same through the peer, which asks for no credentials."""
        before = processor_s(peer.pid)
        caller = self.bed.of_peer
        load = self._load(what, caller, self.bed.sippy, self.bed.carrier, rate, seconds)
        cpu_ms = (processor_s(peer.pid) - before) * 1000 / load.calls
        _demand(load, what)
        return cpu_ms, load

    # --- the highest rate ---

    def _rate_goes_well(self, rate: int) -> bool:
        bed, seconds = self.bed, self.plan.step_s
        with bed.serve():
            load = self._load(
                f"{rate} calls a second", bed.digest, bed.host, bed.carrier, rate, seconds
            )
        self.books.note(load)
        return self._judged("the host", load, rate, bed.digest)

    def _peer_rate_goes_well(self, rate: int) -> bool:
        bed, seconds = self.bed, self.plan.step_s
        with bed.serve_peer():
            load = self._load(
                f"the peer, {rate} calls a second",
                bed.of_peer,
                bed.sippy,
                bed.carrier,
                rate,
                seconds,
            )
        return self._judged("the peer", load, rate, bed.of_peer)

    def _judged(self, who: str, load: Load, rate: int, caller: Caller) -> bool:
        well = goes_well(load, rate, caller.talk_s)
        if not well:
            self.limits.append(
                f"{who} at {rate} calls a second: of {load.calls} calls {load.failures} failed, "
                f"{load.retransmissions} messages were sent again, it took {load.elapsed_s:.1f} s"
            )
        return well


def highest(rates: tuple[int, ...], goes_well: Callable[[int], bool]) -> int:
    """Upward until a rate fails twice, then once more half a step below it; 0 if none goes.

    The second try is there because one hiccup of the machine is no limit of the program.
    """
    best = 0
    for rate in rates:
        if not (goes_well(rate) or goes_well(rate)):
            between = (best + rate) // 2
            return between if best and goes_well(between) else best
        best = rate
    return best


def goes_well(load: Load, rate: int, talk_s: float) -> bool:
    """At most 0.1 % of calls failed, at most 2 retransmissions a hundred calls, and the rate was
    really driven: SIPp did not fall behind by more than a twentieth."""
    on_time = load.elapsed_s <= load.calls / rate * 1.05 + talk_s + 1
    few = load.failures <= MOST_FAILURES * load.calls
    return few and on_time and load.retransmissions <= MOST_RETRANSMISSIONS * load.calls


def _demand(load: Load, what: str) -> None:
    """A cost a call of calls that failed means nothing.

    Raises:
        RuntimeError: more failed than may.
    """
    if load.failures > max(1, MOST_FAILURES * load.calls):
        raise RuntimeError(
            f"{what}: {load.failures} of {load.calls} failed: the machine is too busy, or the "
            "program under measurement is broken"
        )
