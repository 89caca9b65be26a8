"""The boot state as rescue reads and writes it: what `boards.state` does, for MicroPython.

The two are held together by a test. All numbers in a block are hexadecimal.
"""

from boards import environment

OCTETS = environment.BLOCK_OCTETS
TRIES = 3
_BITS = {"a": 1, "b": 2}
_OTHER = {"a": "b", "b": "a"}
_NUMBERS = ("seq", "tries", "good", "floor")


class State:
    """What boots: see `boards.state.BootState` for the fields."""

    def __init__(self, seq: int, slot: str, tries: int, good: int, floor: int) -> None:
        self.seq = seq
        self.slot = slot
        self.tries = tries
        self.good = good
        self.floor = floor

    @property
    def spare(self) -> str:
        """The slot that may be written: never the only one that has shown that it works."""
        idle = _OTHER[self.slot]
        proved_is_idle = self.good & _BITS[idle] and not self.good & _BITS[self.slot]
        return self.slot if proved_is_idle else idle

    @property
    def proved(self) -> list[str]:
        """The slots that have proved good."""
        return [slot for slot in ("a", "b") if self.good & _BITS[slot]]

    def to_bytes(self) -> bytes:
        """The block."""
        values = {"seq": f"{self.seq:x}", "slot": self.slot, "tries": f"{self.tries:x}"}
        values["good"], values["floor"] = f"{self.good:x}", f"{self.floor:x}"
        return environment.encode(values)


def read(block: bytes) -> State | None:
    """The state in a block, None where it is damaged, blank, or says what cannot be."""
    values = environment.decode(block)
    if values is None or values.get("slot") not in _OTHER:
        return None
    numbers = []
    for name in _NUMBERS:
        number = _number(values.get(name, ""))
        if number is None:
            return None
        numbers.append(number)
    if numbers[2] > 3:
        return None
    return State(numbers[0], values["slot"], numbers[1], numbers[2], numbers[3])


def _number(text: str) -> int | None:
    """None where it is no number; MicroPython's int() takes signs and spaces, too."""
    if not 1 <= len(text) <= 8 or any(one not in "0123456789abcdefABCDEF" for one in text):
        return None
    return int(text, 16)


def newest(blocks: list[bytes]) -> tuple[int, State | None]:
    """The block that counts, and its state; -1 and None where none is valid."""
    best, found = -1, None
    for index, block in enumerate(blocks):
        state = read(block)
        if state is not None and (found is None or state.seq > found.seq):
            best, found = index, state
    return best, found


def boot(state: State) -> "tuple[str, State | None]":
    """Which slot starts, or `rescue`, and the state to be written before: `boards.state.boot`."""
    if state.tries > 0:
        slot, tries, good = state.slot, state.tries - 1, state.good
    else:
        slot, tries = _OTHER[state.slot], TRIES - 1
        good = state.good & _BITS[slot]
        if not good:
            return "rescue", None
    return slot, State(state.seq + 1, slot, tries, good, state.floor)


def before_writing(state: State) -> State:
    """To be written before the first octet of the spare slot changes: it cannot boot meanwhile."""
    spare = state.spare
    after = State(state.seq + 1, state.slot, state.tries, state.good & ~_BITS[spare], state.floor)
    if spare == state.slot:
        after.slot, after.tries = _OTHER[spare], TRIES
    return after


def to_be_tried(state: State | None, slot: str) -> State:
    """`slot` is written and proved: it boots next, once where the other one is good."""
    if state is None:
        return State(1, slot, TRIES, 0, 0)
    good = state.good & ~_BITS[slot]
    tries = 1 if good & _BITS[_OTHER[slot]] else TRIES
    return State(state.seq + 1, slot, tries, good, state.floor)
