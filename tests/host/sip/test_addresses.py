"""Where requests are sent: addresses alone, for looking up a name would make all calls wait."""

from __future__ import annotations

import pytest

from host.sip.transport import literal_address


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("[2001:db8::5]", "2001:db8::5"),
        ("2001:db8::5", "2001:db8::5"),
        ("pbx.example.com", None),
        ("203.0.113.555", None),
        ("1.2.3", None),
        ("", None),
    ],
)
def test_a_host_is_an_address_or_a_name(host: str, address: str | None) -> None:
    assert literal_address(host) == address
