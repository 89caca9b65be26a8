"""Socket addresses in APPARENT ADDRESS (RFC 5456, 8.6.18), as chan_iax2 copies them out of C.

The family is in the order of a little-endian machine (2, or 10 for IPv6), the port in network
order; an IPv4 address takes 16 octets, an IPv6 address 28.
"""

from __future__ import annotations


def to_octets(address: tuple[str, int]) -> bytes:
    """The octets of a literal IP address and port."""
    host, port = address
    if ":" in host:
        # Only those who speak IPv6 pay for the module.
        from ipaddress import IPv6Address

        packed = IPv6Address(host.partition("%")[0]).packed
        return b"\x0a\0" + port.to_bytes(2, "big") + bytes(4) + packed + bytes(4)
    return b"\x02\0" + port.to_bytes(2, "big") + bytes(map(int, host.split("."))) + bytes(8)


def read(content: bytes) -> tuple[str, int] | None:
    """The address in them, whatever stands in fields that are to be zero; None if there is none."""
    port = int.from_bytes(content[2:4], "big")
    if len(content) >= 16 and content[:2] == b"\x02\0":
        return ".".join(map(str, content[4:8])), port
    if len(content) >= 28 and content[:2] == b"\x0a\0":
        from ipaddress import IPv6Address

        return str(IPv6Address(content[8:24])), port
    return None


def from_octets(content: bytes) -> tuple[str, int] | None:
    """The address in them, None if they are none or would not be written back the same."""
    address = read(content)
    return address if address is not None and to_octets(address) == content else None
