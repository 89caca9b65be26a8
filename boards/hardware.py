"""What a board is besides its lines: the tables of a board file that images and flashing go by."""

from __future__ import annotations

import string
from dataclasses import dataclass, field, fields
from typing import Literal

from boards.environment import BLOCK_OCTETS
from boards.schema import Check, setting

Architecture = Literal["arm64", "amd64", "armhf", "mips"]
"""As Debian calls them."""
Built = Literal["dahdi", "pyalsaaudio"]
"""What can be compiled for a board: see `boards.image.compiled`."""


@dataclass(frozen=True, slots=True)
class Console:
    """`[console]`: the serial port at which the board talks."""

    baud: int = setting(115_200, least=1_200, most=4_000_000)
    device: str = "ttyS0"
    """Linux's name of it, on the board."""


def _fits(*names: str) -> Check:
    """Checks a command of the boot loader: it may name these values, as in `{address:x}`."""

    def check(text: str) -> str:
        try:
            found = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
            text.format(**dict.fromkeys(names, 1))
        except (ValueError, KeyError, IndexError):
            return f'"{text}" does not fit: it may name {", ".join(names) or "nothing"} in braces'
        missing = [name for name in names if name not in found]
        return f'"{text}" does not name {", ".join(missing)}' if missing else ""

    return check


_FETCHED = ("address", "server", "name")


@dataclass(frozen=True, slots=True)
class Loader:
    """`[loader]`: how the boot loader is spoken to. Numbers in its commands are hexadecimal."""

    read: str = setting(check=_fits("address", "block", "blocks"))
    """Reads from the flash to RAM."""
    write: str = setting(check=_fits("address", "block", "blocks"))
    """Writes RAM to the flash."""
    prompt: str = "=> "
    countdown: str = "Hit any key to stop autoboot"
    """What it says while a key stops it."""
    stop: str = " "
    """The key."""
    prepare: tuple[str, ...] = ()
    """Commands before the flash can be used."""
    load_address: int = setting(0x48000000, least=0, most=0xFFFFFFFF)
    """Where a piece is put in RAM."""
    check_address: int = setting(0x4A000000, least=0, most=0xFFFFFFFF)
    """Where it is read back to."""
    load: str = setting("loady {address:x}", check=_fits("address"))
    """Receives a file by YMODEM."""
    fetch: str = setting("tftpboot {address:x} {server}:{name}", check=_fits(*_FETCHED))
    """Fetches a file by TFTP."""
    fetch_prepare: tuple[str, ...] = ("setenv tftpblocksize 1468", "setenv tftpwindowsize 16")
    """Commands before the first is fetched."""
    lease: tuple[str, ...] = ("setenv autoload no", "dhcp")
    """Commands that get the board an address."""
    address: tuple[str, ...] = ("setenv ipaddr {address}", "setenv netmask {mask}")
    """Commands that give it one instead."""
    crc: str = setting("crc32 {address:x} {octets:x}", check=_fits("address", "octets"))
    """Says `==> ` and a CRC-32."""
    dump: str = setting("md.b {address:x} {octets:x}", check=_fits("address", "octets"))
    """Shows octets of RAM, sixteen a line behind their address."""
    boot: str = "reset"

    @staticmethod
    def problem(value: Loader) -> tuple[str, str, str] | None:
        """What no annotation can say: key, what is wrong, remedy."""
        if not value.prompt.strip() or not value.countdown.strip() or not value.stop:
            return "prompt", "prompt, countdown and key must not be empty", "take them from a boot"
        for command in value.address:
            what = _fits("address", "mask")(command)
            if what and "does not name" not in what:
                return "address", what, "see boards/README.md"
        if abs(value.load_address - value.check_address) < 0x100000:
            what = "is within a megabyte of load_address"
            return "check_address", what, "pieces must not overlap there: choose another address"
        return None


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of the flash."""

    offset: int = setting(least=0)
    octets: int = setting(least=1)

    @property
    def end(self) -> int:
        """The first octet behind it."""
        return self.offset + self.octets


@dataclass(frozen=True, slots=True)
class Flash:
    """`[flash]`: how big it is, and what stands where."""

    boot: Region
    """What the boot loader finds its script in; written once, never by an update."""
    state: Region
    """The two blocks of the boot state, one at its start, one in its middle."""
    rescue: Region
    slot_a: Region
    slot_b: Region
    persistent: Region
    """Configuration and what the owner sets; no update writes it."""
    octets: int = setting(least=1)
    """Of the whole flash."""
    mailbox: Region | None = None
    """Through which a configuration goes to the system; without one it goes otherwise."""
    device: str = "/dev/vda"
    """Linux's name of it, on the board."""
    block_octets: int = setting(512, least=1)
    """The unit that the loader's commands count in."""
    erase_octets: int = setting(512, least=1)
    """The unit that changes together."""

    @property
    def state_blocks(self) -> tuple[int, int]:
        """Where the two blocks of the boot state begin."""
        return self.state.offset, self.state.offset + self.state.octets // 2

    @property
    def unused(self) -> int:
        """Octets that belong to no region."""
        return self.octets - sum(region.octets for _, region in regions(self))

    @staticmethod
    def problem(value: Flash) -> tuple[str, str, str] | None:
        """What no annotation can say: key, what is wrong, remedy."""
        if value.erase_octets % value.block_octets:
            what = f"{value.erase_octets} is no multiple of block_octets, {value.block_octets}"
            return "erase_octets", what, "give the size of the flash's erase blocks"
        behind, before = 0, "the start of the flash"
        for name, region in sorted(regions(value), key=lambda one: one[1].offset):
            for key, number in (("offset", region.offset), ("octets", region.octets)):
                if number % value.erase_octets:
                    what = f"{number:#x} is no multiple of erase_octets, {value.erase_octets:#x}"
                    return f"{name}.{key}", what, "round it"
            if region.offset < behind:
                what = f"{region.offset:#x} is within {before}, which ends at {behind:#x}"
                return f"{name}.offset", what, "regions must not overlap: move one"
            behind, before = region.end, name
        if behind > value.octets:
            what = f"{before} ends at {behind:#x}, the flash at {value.octets:#x}"
            return f"{before}.octets", what, "make the regions smaller"
        half = value.state.octets // 2
        if half < BLOCK_OCTETS or half % value.erase_octets:
            least = 2 * max(BLOCK_OCTETS, value.erase_octets)
            what = "both blocks of the boot state must be erased on their own"
            return "state.octets", what, f"give it {least:#x} octets"
        if value.slot_a.octets != value.slot_b.octets:
            what = "the slots differ in size"
            return "slot_b.octets", what, "an image must fit into either: make them equal"
        return None


def regions(flash: Flash) -> list[tuple[str, Region]]:
    """Each region with its key."""
    found = [(one.name, getattr(flash, one.name)) for one in fields(flash)]
    return [(name, value) for name, value in found if isinstance(value, Region)]


@dataclass(frozen=True, slots=True)
class Boot:
    """`[boot]`: how the boot script starts a kernel. Numbers in its commands are hexadecimal."""

    start: tuple[str, ...] = ()
    """Commands that start the kernel; they may name `{kernel:x}` and `{initramfs:x}`, where the
    two were read to, and `{octets}`, how long the initramfs is."""
    kernel_address: int = setting(0x44000000, least=0, most=0xFFFFFFFF)
    initramfs_address: int = setting(0x43000000, least=0, most=0xFFFFFFFF)
    watchdog: tuple[str, ...] = ()
    """Commands that start the watchdog, so that a kernel which hangs is reset, too."""
    feed: tuple[str, ...] = ()
    """Commands of the system's shell that feed it, in place of a write to /dev/watchdog."""
    held: tuple[str, ...] = ()
    """Commands that are all true while the button is held."""
    wait: str = ""
    """A command before them that takes as long as a person needs to press it."""
    shell: str = ""
    """What the boot loader is told to start the system with a shell on its console, for once."""

    @staticmethod
    def problem(value: Boot) -> tuple[str, str, str] | None:
        """What no annotation can say: key, what is wrong, remedy."""
        for command in value.start:
            try:
                command.format(kernel=1, initramfs=1, octets=1)
            except (ValueError, KeyError, IndexError):
                what = f'"{command}" may name kernel, initramfs and octets in braces alone'
                return "start", what, "write {{ and }} where U-Boot's own braces stand"
        return None


@dataclass(frozen=True, slots=True)
class Disk:
    """`[disk]`: the board boots from a disk or card as `dd` writes it, made beside the image."""

    loader: Literal["raspberry-pi", "grub"]
    """What its firmware starts: a Raspberry Pi U-Boot, a PC GRUB."""
    packages: tuple[str, ...] = ()
    """Debian's, with what stands in the first part."""
    files: tuple[str, ...] = ()
    """Of these packages and the kernel's; patterns as `usr/lib/x/*.dtb`."""
    texts: dict[str, str] = field(default_factory=dict)
    """Files that are written here, by name."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """`[kernel]`: Debian's package, what an initramfs must bring, and how it is started."""

    package: str
    modules: tuple[str, ...] = ()
    """Each with its parameters behind it, if any."""
    more_modules: tuple[str, ...] = ()
    """Those of a slot's system alone, which rescue does not load."""
    command_line: str = ""


@dataclass(frozen=True, slots=True)
class Root:
    """`[root]`: what the read-only root file system consists of."""

    suite: str = "bookworm"
    packages: tuple[str, ...] = ()
    """Debian's, with what they depend on."""
    without: tuple[str, ...] = ()
    """Of what they depend on, what the board has no use for: package management, say."""
    alone: tuple[str, ...] = ()
    """Debian's, without what they depend on."""
    wheels: tuple[str, ...] = ()
    """Of Python, for the board's architecture; `name==version` where another would not do."""
    components: tuple[str, ...] = ("main",)
    """Of Debian's archive."""
    built: tuple[Built, ...] = ()
    """What the build compiles from source."""
    setup: tuple[str, ...] = ()
    """Commands of the system's shell before the device's program starts."""
    to_be_built: tuple[str, ...] = ()
    """What has no wheel for it; without pjsua2 the board speaks IAX2 alone."""


@dataclass(frozen=True, slots=True)
class Led:
    """`[[leds]]`: a lamp, and what it means when it is lit."""

    path: str
    """Under /sys/class/leds."""
    meaning: Literal["power", "network", "registered", "line", "messages", "update", "fault"]


@dataclass(frozen=True, slots=True)
class Button:
    """`[button]`: held at power-on it starts rescue, held in operation it restores the defaults."""

    kind: Literal["gpio", "console"]
    chip: str = "/dev/gpiochip0"
    line: int = setting(-1, least=-1, most=1023)
    active_low: bool = True
    key: str = ""
    """Of kind `console`: the key that stands for it, during the countdown and in operation."""
    reset_s: float = setting(10.0, least=1, most=60)
    """Held for so long in operation, the defaults are restored."""

    @staticmethod
    def problem(value: Button) -> tuple[str, str, str] | None:
        """What no annotation can say: key, what is wrong, remedy."""
        if value.kind == "gpio" and value.line < 0:
            return "line", "a button at a pin needs its line", "see `gpioinfo` on the board"
        if value.kind == "console" and len(value.key) != 1:
            return "key", "a button on the console is one key", 'write `key = "r"`'
        return None
