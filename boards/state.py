"""What a board boots: two blocks, of which the valid one with the highest sequence number counts.

A writer overwrites the other block alone, and flushes it before it goes on: whatever a power cut
leaves of that block, the board has its old state or its new one. U-Boot reads and writes the same
blocks by `env import -c` and `env export -c` in its boot script, whose steps are `boot` below;
numbers are hexadecimal there, so they are here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from boards import environment

Slot = Literal["a", "b"]
Target = Literal["a", "b", "rescue"]

STATE_OCTETS = environment.BLOCK_OCTETS
TRIES = 3
"""Boots that a slot gets before it is given up, unless the system in it says that it is good."""
MOST = 0xFFFFFFFF
"""Of all numbers: U-Boot's `setexpr` and `itest` reckon with 32 bits on small boards."""
_BITS: dict[Slot, int] = {"a": 1, "b": 2}
_OTHER: dict[Slot, Slot] = {"a": "b", "b": "a"}
_NAMED: dict[str, Slot] = {"a": "a", "b": "b"}


@dataclass(frozen=True, slots=True)
class BootState:
    """Which slot boots, how often it is still tried, and what may be installed."""

    seq: int
    """Grows by one with each write."""
    slot: Slot
    tries: int
    """Boots that are left to `slot`."""
    good: int
    """Bit 0 for slot a, bit 1 for slot b: the system in it has shown that it works."""
    floor: int
    """The lowest version that may be installed."""

    @property
    def idle(self) -> Slot:
        """The slot that does not boot next."""
        return _OTHER[self.slot]

    @property
    def spare(self) -> Slot:
        """The slot that may be written: never the only one that has shown that it works."""
        return self.slot if self.on_trial else self.idle

    def is_good(self, slot: Slot) -> bool:
        """Has the system in `slot` shown that it works?"""
        return bool(self.good & _BITS[slot])

    @property
    def on_trial(self) -> bool:
        """Has `slot` yet to show that it works, and is there a good one to fall back to?"""
        return self.is_good(self.idle) and not self.is_good(self.slot)

    def to_bytes(self) -> bytes:
        """The block, 4096 octets."""
        return environment.encode(
            {
                "seq": f"{self.seq:x}",
                "slot": self.slot,
                "tries": f"{self.tries:x}",
                "good": f"{self.good:x}",
                "floor": f"{self.floor:x}",
            }
        )

    @staticmethod
    def from_bytes(block: bytes) -> BootState | None:
        """The state in a block; None where the block is damaged, blank, or says what cannot be."""
        values = environment.decode(block)
        if values is None:
            return None
        slot = _NAMED.get(values.get("slot", ""))
        numbers = [_number(values.get(name, "")) for name in ("seq", "tries", "good", "floor")]
        seq, tries, good, floor = numbers
        if seq is None or tries is None or good is None or floor is None:
            return None
        if slot is None or good > 3:
            return None
        return BootState(seq, slot, tries, good, floor)


def _number(text: str) -> int | None:
    if not 1 <= len(text) <= 8 or any(one not in "0123456789abcdefABCDEF" for one in text):
        return None
    return int(text, 16)


def newest(first: bytes, second: bytes) -> tuple[int, BootState] | None:
    """The block that counts, 0 or 1, and its state; None where neither is valid.

    Where both have one number, which no writer leaves behind, the first counts.
    """
    states = [BootState.from_bytes(first), BootState.from_bytes(second)]
    found = [(index, state) for index, state in enumerate(states) if state is not None]
    return max(found, key=lambda one: (one[1].seq, -one[0])) if found else None


def next_write(first: bytes, second: bytes, state: BootState) -> tuple[int, bytes]:
    """Which block to overwrite so that `state` counts, 0 or 1, and the octets for it.

    The number of `state` is not taken; it becomes one more than the highest there is.
    """
    latest = newest(first, second)
    index, seq = (1 - latest[0], latest[1].seq + 1) if latest else (0, 1)
    assert seq <= MOST, "a board does not boot four thousand million times"
    return index, replace(state, seq=seq).to_bytes()


def installed(slot: Slot = "a") -> BootState:
    """The state that the flasher writes last, when it has filled `slot` of a blank board."""
    return BootState(1, slot, TRIES, 0, 0)


def boot(state: BootState) -> tuple[Target, BootState | None]:
    """What the boot script does: where it goes, and the state that it writes before it does.

    A slot without tries left is no longer good, and the other one is taken if it is; else rescue,
    which changes nothing, so that the next boot goes there, too.
    """
    if state.tries > 0:
        return state.slot, replace(state, tries=state.tries - 1)
    if not state.is_good(state.idle):
        return "rescue", None
    good = state.good & _BITS[state.idle]
    fallen = replace(state, slot=state.idle, tries=TRIES - 1, good=good)
    return fallen.slot, fallen


def before_writing(state: BootState) -> BootState:
    """To be written before the first octet of the spare slot changes: it cannot boot meanwhile."""
    after = replace(state, good=state.good & ~_BITS[state.spare])
    if state.spare == state.slot:
        after = replace(after, slot=state.idle, tries=TRIES)
    return after


def to_be_tried(state: BootState) -> BootState:
    """The spare slot is written and verified: it is booted, and the other one if that fails.

    Once where the other one is good, else as often as any slot.
    """
    tried = replace(before_writing(state), slot=state.spare)
    return replace(tried, tries=1 if tried.on_trial else TRIES)


def with_try_back(state: BootState, configured: bool = True) -> BootState:
    """The system in `slot` is up, and its start shows nothing: the try that it took is given back,
    so that nobody who pulls the plug often ends in rescue. What is good, and the floor, stay.

    | slot has proved good | the other one | configured | tries |
    |---|---|---|---|
    | yes | any | any | all |
    | no | not good: nothing to fall back to | any | all |
    | no | good | yes | stay: a version on trial may be what lost the configuration |
    | no | good | never since its defaults | one: a version just flashed waits to be provisioned |

    Args:
        configured: the board has a configuration, had one before, or its own cannot be read.
    """
    least = TRIES if not state.on_trial else 0 if configured else 1
    return replace(state, tries=max(state.tries, least))


def marked_good(state: BootState, version: int, other_version: int | None) -> BootState:
    """The system that runs works: it gets all its tries again, and the floor may rise.

    Args:
        version: of the slot in use.
        other_version: of the idle slot, None if it holds none: the floor never rises above it, so
            that what the board falls back to may be installed again.
    """
    good = state.good | _BITS[state.slot]
    floor = state.floor
    if other_version is not None and state.is_good(state.idle):
        floor = max(floor, min(version, other_version))
    return replace(state, tries=TRIES, good=good, floor=floor)
