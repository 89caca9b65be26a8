"""What the kernel says of the network."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def has_way_out(route: Path = Path("/proc/net/route"), route6: Path | None = None) -> bool:
    """Whether there is a default route, by IPv4 or IPv6 (proc(5))."""
    with suppress(OSError):
        for line in route.read_text().splitlines()[1:]:
            words = line.split()
            if len(words) > 7 and words[1] == words[7] == "00000000":
                return True
    with suppress(OSError):
        for line in (route6 or Path("/proc/net/ipv6_route")).read_text().splitlines():
            words = line.split()
            if len(words) == 10 and words[:2] == ["0" * 32, "00"] and words[9] != "lo":
                return True
    return False
