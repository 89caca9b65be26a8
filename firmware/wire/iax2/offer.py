"""What a caller says in NEW (RFC 5456, 6.2.2), as a value and as elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from firmware.wire.iax2.auth import ENCRYPT_AES128
from firmware.wire.iax2.elements import Elements, Ie, Value
from firmware.wire.iax2.formats import (
    VOICE_MASK,
    Format,
    preferences_from_text,
    preferences_to_text,
)

VERSION = 2


class DateTime(NamedTuple):
    """Local time of day, to two seconds (8.6.29)."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int

    @staticmethod
    def from_number(number: int) -> DateTime:
        """From the 32 bits of DATETIME; fields may be out of range if the peer's are."""
        return DateTime(
            2000 + (number >> 25 & 0x7F),
            number >> 21 & 0x0F,
            number >> 16 & 0x1F,
            number >> 11 & 0x1F,
            number >> 5 & 0x3F,
            (number & 0x1F) * 2,
        )

    def to_number(self) -> int:
        """The 32 bits of DATETIME."""
        return (
            (self.year - 2000 & 0x7F) << 25
            | (self.month & 0x0F) << 21
            | (self.day & 0x1F) << 16
            | (self.hour & 0x1F) << 11
            | (self.minute & 0x3F) << 5
            | self.second // 2 & 0x1F
        )


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call as its caller describes it. "" and None are left out of NEW."""

    called: str = ""
    calling: str = ""
    name: str = ""
    presentation: int = 0
    """ITU-T Q.931 octet 3a, 7 bits: 0 allowed, 0x20 restricted, 0x43 unavailable (8.6.30)."""
    type_of_number: int = 0
    """8.6.31."""
    transit_network: int = 0
    """8.6.32."""
    language: str = "en"
    username: str = ""
    formats_preferred: tuple[Format, ...] = ()
    """The best first. () in a call to be placed: the endpoint's."""
    capability: int = 0
    """A bit a format. 0 in a call to be placed: that of `formats_preferred`."""
    format: Format | None = None
    """None in a call to be placed: the first one preferred."""
    date_time: DateTime | None = None
    ani: str = ""
    dnid: str = ""
    redirecting: str = ""
    """RDNIS."""
    context: str = ""
    encryption: bool = False
    """The caller offers AES-128."""
    auto_answer: bool = False

    def elements(self) -> list[tuple[int, Value]]:
        """As they travel; all formats must be set. The call token comes after them."""
        pairs: list[tuple[int, Value]] = [(Ie.VERSION, VERSION), (Ie.CALLED_NUMBER, self.called)]
        pairs.append((Ie.CODEC_PREFS, preferences_to_text(self.formats_preferred)))
        texts = (
            (Ie.CALLING_NUMBER, self.calling),
            (Ie.CALLING_NAME, self.name),
            (Ie.CALLING_ANI, self.ani),
            (Ie.DNID, self.dnid),
            (Ie.RDNIS, self.redirecting),
            (Ie.LANGUAGE, self.language),
            (Ie.CALLED_CONTEXT, self.context),
            (Ie.USERNAME, self.username),
        )
        pairs[2:2] = [
            (Ie.CALLINGPRES, self.presentation),
            (Ie.CALLINGTON, self.type_of_number),
            (Ie.CALLINGTNS, self.transit_network),
        ]
        pairs += [(code, text) for code, text in texts if text]
        if self.auto_answer:
            pairs.append((Ie.AUTOANSWER, None))
        if self.encryption:
            pairs.append((Ie.ENCRYPTION, ENCRYPT_AES128))
        wanted = int(self.format or 0)
        # Only the low 31 bits fit into the elements of the RFC.
        pairs.append((Ie.FORMAT, wanted & 0x7FFFFFFF))
        pairs.append((Ie.FORMAT2, wanted))
        pairs.append((Ie.CAPABILITY, self.capability & 0x7FFFFFFF))
        pairs.append((Ie.CAPABILITY2, self.capability))
        if self.date_time is not None:
            pairs.append((Ie.DATETIME, self.date_time.to_number()))
        return pairs

    @staticmethod
    def of(elements: Elements) -> NewCall:
        """What the elements of a NEW say."""
        number = elements.number
        text = elements.text
        capability = number(Ie.CAPABILITY2)
        when = number(Ie.DATETIME)
        return NewCall(
            called=text(Ie.CALLED_NUMBER),
            calling=text(Ie.CALLING_NUMBER),
            name=text(Ie.CALLING_NAME),
            presentation=number(Ie.CALLINGPRES) or 0,
            type_of_number=number(Ie.CALLINGTON) or 0,
            transit_network=number(Ie.CALLINGTNS) or 0,
            language=text(Ie.LANGUAGE),
            username=text(Ie.USERNAME),
            formats_preferred=preferences_from_text(text(Ie.CODEC_PREFS)),
            capability=capability if capability is not None else number(Ie.CAPABILITY) or 0,
            format=format_of(elements),
            date_time=None if when is None else DateTime.from_number(when),
            ani=text(Ie.CALLING_ANI),
            dnid=text(Ie.DNID),
            redirecting=text(Ie.RDNIS),
            context=text(Ie.CALLED_CONTEXT),
            encryption=bool((number(Ie.ENCRYPTION) or 0) & ENCRYPT_AES128),
            auto_answer=Ie.AUTOANSWER in elements,
        )


def format_of(elements: Elements) -> Format | None:
    """The one voice format that FORMAT (or FORMAT2, which goes before it) names."""
    bits = elements.number(Ie.FORMAT2)
    if not bits:
        bits = elements.number(Ie.FORMAT) or 0
    bits &= VOICE_MASK
    if not bits or bits & bits - 1:
        return None
    return Format(bits)
