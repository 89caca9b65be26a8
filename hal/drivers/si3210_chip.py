"""Reading and writing registers of a Si3210 over SPI (spidev).

The chip wants its select line raised between octets, so that each octet is a transfer of its own.
A read is the address with its top bit set, then an octet that comes back.
"""

from __future__ import annotations

from typing import Protocol

from hal.drivers.si3210_regs import Reg
from hal.values import LineFault

_READ = 0x80
_MOST_LOOKS = 200
"""At the status of indirect access: it takes less than 2 ms."""


class Spi(Protocol):
    """What a driver asks of `spidev.SpiDev`."""

    def xfer2(self, octets: list[int]) -> list[int]:
        """Select, exchange octets, deselect. Raises OSError."""

    def close(self) -> None:
        """Give the bus back."""


class Chip:
    """The registers. Every call raises LineFault if the bus fails."""

    def __init__(self, spi: Spi) -> None:
        self._spi = spi

    def read(self, register: int) -> int:
        """A direct register."""
        self._octet(register | _READ)
        return self._octet(0)

    def write(self, register: int, value: int) -> None:
        """Set a direct register."""
        assert 0 <= value <= 0xFF, "a register is an octet"
        self._octet(register)
        self._octet(value)

    def read_indirect(self, address: int) -> int:
        """An indirect register, 16 bits."""
        self._wait()
        self.write(Reg.INDIRECT_ADDRESS, address)
        self._wait()
        return self.read(Reg.INDIRECT_LOW) | self.read(Reg.INDIRECT_HIGH) << 8

    def write_indirect(self, address: int, value: int) -> None:
        """Set an indirect register."""
        assert 0 <= value <= 0xFFFF, "an indirect register has 16 bits"
        self._wait()
        self.write(Reg.INDIRECT_LOW, value & 0xFF)
        self.write(Reg.INDIRECT_HIGH, value >> 8)
        self.write(Reg.INDIRECT_ADDRESS, address)

    def close(self) -> None:
        """Give the bus back."""
        self._spi.close()

    def _wait(self) -> None:
        for _ in range(_MOST_LOOKS):
            if self.read(Reg.INDIRECT_STATUS) == 0:
                return
        raise LineFault(
            "the Si3210 takes no indirect register; check its clocks (PCLK and FSYNC must run)"
        )

    def _octet(self, octet: int) -> int:
        try:
            return self._spi.xfer2([octet])[0]
        except OSError as error:
            raise LineFault(
                f"the SPI bus of the Si3210 failed ({error}); check its wiring"
            ) from None
