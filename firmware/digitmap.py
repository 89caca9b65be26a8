"""Digit maps: when a dialled number is complete, and what is sent for it.

The syntax is that of Cisco's and Linksys' adapters, with `x`, `.` and `T` of RFC 3435, 2.1.5:

    (*xx|[3469]11|0|00|<:1>[2-9]xxxxxxxxx|1xxx[2-9]xxxxxx|<9,:>xxxxxxx|1900xxxxxxx!|011xx.T)

    0-9 * # A-D   that key               x         any digit 0-9
    [2-46]        one of them            [^19]     any digit but these
    e.            e, any number of times (none, too)       e?   e or nothing
    <a:b>         a is dialled, b sent   ,         outside dial tone from here on
    S0            at the end: send at once, even if more could follow
    T             at the end: send only after a pause
    !             at the end: barred

Pure: no clock and no state; `DigitMap.match` looks at the digits so far.
"""

from __future__ import annotations

from dataclasses import dataclass

KEYS = "0123456789*#ABCD"
_DIGITS = frozenset("0123456789")
_LONGEST_MAP = 4_096
_MOST_ALTERNATIVES = 128
MOST_DIGITS = 64
"""A longer number matches nothing."""


class DigitMapError(ValueError):
    """A digit map that means nothing; says where and why."""


@dataclass(frozen=True, slots=True)
class Element:
    """One place of a pattern."""

    accepts: frozenset[str] = frozenset()
    """Keys that fit here; empty for a place that takes no key."""
    sent: bool = True
    """False: the key is dialled but not sent on."""
    repeats: bool = False
    optional: bool = False
    inserts: str = ""
    """Sent when this place is passed."""
    outside_tone: bool = False


@dataclass(frozen=True, slots=True)
class Alternative:
    """One pattern of a map."""

    elements: tuple[Element, ...]
    at_once: bool = False
    after_pause: bool = False
    barred: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """What a map says of the digits so far."""

    live: bool
    """False: no pattern fits, nor will one."""
    complete: bool
    """A pattern fits as it stands."""
    final: bool
    """A pattern fits and there is nothing to wait for."""
    barred: bool
    """The pattern that fits bars the number."""
    number: str
    """What to send, if `complete`."""
    outside_tone: bool
    """An outside dial tone is due now."""


@dataclass(frozen=True, slots=True)
class _Thread:
    alternative: int
    position: int
    sent: str
    tone: bool


class DigitMap:
    """A compiled digit map.

    Raises:
        DigitMapError: `text` is no digit map.
    """

    __slots__ = ("_alternatives", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._alternatives = parse(text)

    def match(self, digits: str) -> Match:
        """What the map says of `digits`, the keys pressed so far."""
        threads: dict[tuple[int, int], _Thread] = {}
        for number in range(len(self._alternatives)):
            self._enter(_Thread(number, 0, "", False), threads)
        for key in digits[: MOST_DIGITS + 1]:
            threads = self._step(threads, key)
        if len(digits) > MOST_DIGITS:
            threads = {}
        return self._judge(list(threads.values()))

    def accepts(self, digits: str, key: str) -> bool:
        """True if some pattern goes on with `key` after `digits`."""
        return self.match(digits + key).live

    def _step(
        self, threads: dict[tuple[int, int], _Thread], key: str
    ) -> dict[tuple[int, int], _Thread]:
        after: dict[tuple[int, int], _Thread] = {}
        for thread in threads.values():
            elements = self._alternatives[thread.alternative].elements
            if thread.position == len(elements):
                continue
            element = elements[thread.position]
            if key not in element.accepts:
                continue
            sent = thread.sent + key if element.sent else thread.sent
            stays = 0 if element.repeats else 1
            position = thread.position + stays
            self._enter(_Thread(thread.alternative, position, sent, False), after)
        return after

    def _enter(self, thread: _Thread, threads: dict[tuple[int, int], _Thread]) -> None:
        """Add a thread, and those that it becomes without another key."""
        elements = self._alternatives[thread.alternative].elements
        position, sent, tone = thread.position, thread.sent, thread.tone
        while True:
            place = (thread.alternative, position)
            threads.setdefault(place, _Thread(*place, sent, tone))
            if position == len(elements):
                return
            element = elements[position]
            if element.accepts and not (element.repeats or element.optional):
                return
            sent += element.inserts
            tone = tone or element.outside_tone
            position += 1

    def _judge(self, threads: list[_Thread]) -> Match:
        whole = [thread for thread in threads if self._at_end(thread)]
        goes_on = any(not self._at_end(thread) and self._takes_key(thread) for thread in threads)
        barred = [thread for thread in whole if self._alternatives[thread.alternative].barred]
        first = barred or sorted(whole, key=lambda one: one.alternative)
        chosen = first[0] if first else None
        final = False
        if chosen is not None:
            kinds = [self._alternatives[thread.alternative] for thread in whole]
            waits = goes_on or any(kind.after_pause for kind in kinds)
            final = not waits or any(kind.at_once for kind in kinds)
        return Match(
            live=bool(whole) or goes_on,
            complete=chosen is not None,
            final=final,
            barred=bool(barred),
            number=chosen.sent if chosen is not None else "",
            outside_tone=any(thread.tone for thread in threads),
        )

    def _at_end(self, thread: _Thread) -> bool:
        return thread.position == len(self._alternatives[thread.alternative].elements)

    def _takes_key(self, thread: _Thread) -> bool:
        return bool(self._alternatives[thread.alternative].elements[thread.position].accepts)


def parse(text: str) -> tuple[Alternative, ...]:
    """The patterns of a map.

    Raises:
        DigitMapError: says at which character (from 1) and why.
    """
    if len(text) > _LONGEST_MAP:
        raise DigitMapError(f"a digit map has at most {_LONGEST_MAP} characters")
    bare = text.strip()
    offset = text.find(bare) + 1
    if bare.startswith("(") and bare.endswith(")"):
        bare, offset = bare[1:-1], offset + 1
    alternatives: list[Alternative] = []
    for pattern in bare.split("|"):
        alternatives.append(_Parser(pattern, offset).alternative())
        offset += len(pattern) + 1
    if len(alternatives) > _MOST_ALTERNATIVES:
        raise DigitMapError(f"a digit map has at most {_MOST_ALTERNATIVES} patterns")
    return tuple(alternatives)


class _Parser:
    """Reads one pattern."""

    def __init__(self, pattern: str, offset: int) -> None:
        self.pattern = pattern
        self.offset = offset
        self.at = 0

    def fail(self, why: str) -> DigitMapError:
        return DigitMapError(f"character {self.offset + min(self.at, len(self.pattern))}: {why}")

    def peek(self) -> str:
        return self.pattern[self.at] if self.at < len(self.pattern) else ""

    def take(self) -> str:
        char = self.peek()
        self.at += 1
        return char

    def alternative(self) -> Alternative:
        elements: list[Element] = []
        at_once = after_pause = barred = False
        while self.at < len(self.pattern):
            rest = self.pattern[self.at :].strip()
            if rest in ("S0", "s0"):
                at_once, self.at = True, len(self.pattern)
            elif rest in ("T", "t"):
                after_pause, self.at = True, len(self.pattern)
            elif rest == "!":
                barred, self.at = True, len(self.pattern)
            elif self.peek() in " -":
                self.at += 1
            elif self.peek() == "<":
                elements.extend(self.replacement())
            else:
                elements.append(self.suffixes(self.element(), elements))
        if not any(element.accepts for element in elements):
            raise self.fail("a pattern has at least one key; remove the empty one")
        return Alternative(tuple(elements), at_once, after_pause, barred)

    def element(self) -> Element:
        char = self.peek()
        if char == ",":
            self.at += 1
            return Element(outside_tone=True)
        if char == "[":
            return Element(self.char_class())
        if char in "xX":
            self.at += 1
            return Element(_DIGITS)
        if char.upper() in KEYS:
            self.at += 1
            return Element(frozenset(char.upper()))
        raise self.fail(f"`{char}` has no meaning in a digit map")

    def suffixes(self, element: Element, before: list[Element]) -> Element:
        if self.peek() == "." and element.accepts:
            self.at += 1
            return Element(element.accepts, element.sent, repeats=True)
        if self.peek() == "?" and element.accepts:
            self.at += 1
            return Element(element.accepts, element.sent, optional=True)
        return element

    def char_class(self) -> frozenset[str]:
        self.at += 1
        negated = self.peek() == "^"
        self.at += negated
        keys: set[str] = set()
        while self.peek() != "]":
            first = self.take().upper()
            if not first:
                raise self.fail("`[` without `]`")
            last = first
            if self.peek() == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                last = self.take().upper()
            if first == "X":
                keys |= _DIGITS
            elif first in KEYS and last in KEYS and first <= last:
                keys |= {key for key in KEYS if first <= key <= last}
            else:
                raise self.fail(f"`{first}-{last}` is no range of keys")
        self.at += 1
        keys = set(_DIGITS - keys) if negated else keys
        if not keys:
            raise self.fail("a class of no keys matches nothing")
        return frozenset(keys)

    def replacement(self) -> list[Element]:
        self.at += 1
        dialled: list[Element] = []
        while self.peek() not in (":", ">", ""):
            one = self.suffixes(self.element(), dialled)
            dialled.append(
                Element(one.accepts, False, one.repeats, one.optional, "", one.outside_tone)
            )
        inserted = ""
        if self.peek() == ":":
            self.at += 1
            while self.peek() not in (">", ""):
                key = self.take().upper()
                if key not in KEYS and key != "+":
                    raise self.fail(f"`{key}` cannot be sent in place of digits")
                inserted += key
        if self.take() != ">":
            raise self.fail("`<` without `>`")
        return [*dialled, Element(inserts=inserted)] if inserted else dialled
