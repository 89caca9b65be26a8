"""Where a PBX trunk's calls are sent: an address, for names are not looked up."""

from __future__ import annotations

from pathlib import Path

import pytest

from host.numbering.provisioning import ProvisioningError, add_account
from host.store.opening import open_writer


@pytest.mark.parametrize(
    "contact",
    ["sip:203.0.113.5:5060", "sip:pbx@203.0.113.5", "sip:[2001:db8::5]:5060;transport=tcp"],
)
def test_an_address_is_taken_as_it_is(tmp_path: Path, contact: str) -> None:
    conn = open_writer(tmp_path / "host.sqlite")
    add_account(conn, "pbx", realm="realm", password="", contact=contact)
    assert conn.execute("SELECT contact FROM account").fetchone() == (contact,)


@pytest.mark.parametrize("contact", ["sip:pbx.example.com", "203.0.113.5", "sip:203.0.113.555"])
def test_a_name_or_no_uri_is_refused_with_the_remedy(tmp_path: Path, contact: str) -> None:
    conn = open_writer(tmp_path / "host.sqlite")
    with pytest.raises(ProvisioningError, match=r"address|write it as"):
        add_account(conn, "pbx", realm="realm", password="", contact=contact)
