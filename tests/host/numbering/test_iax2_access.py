"""Only accounts that may use IAX2 have their password kept, and only their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from host.numbering import iax2_access, provisioning
from host.numbering.directory import Directory
from host.numbering.values import Account, Carrier
from host.store.opening import open_reader, open_writer
from tests.stores import dump

REALM = "loopstart"


class House:
    def __init__(self, path: Path) -> None:
        self.conn = open_writer(path)
        provisioning.add_account(self.conn, "alice", realm=REALM, password="horse battery")
        self.directory = Directory(open_reader(path), REALM)

    @property
    def alice(self) -> Account:
        found = self.directory.account_by_username("alice")
        assert found is not None
        return found

    def kept(self) -> bool:
        return "horse battery" in "\n".join(dump(self.conn))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "host.sqlite")


def test_the_password_is_kept_while_iax2_is_allowed(house: House) -> None:
    assert not house.kept()
    assert not house.alice.iax2
    iax2_access.allow_iax2(house.conn, "alice", REALM, "horse battery")
    assert (house.alice.iax2, house.alice.iax2_secret) == (True, "horse battery")
    iax2_access.forbid_iax2(house.conn, "alice")
    assert not house.alice.iax2
    assert not house.kept()


def test_another_password_than_the_account_has_is_refused(house: House) -> None:
    for wrong in ("", "pony"):
        with pytest.raises(provisioning.ProvisioningError, match="password"):
            iax2_access.allow_iax2(house.conn, "alice", REALM, wrong)
    assert not house.alice.iax2


def test_a_new_password_is_the_new_one_for_iax2_too(house: House) -> None:
    provisioning.set_password(house.conn, "alice", REALM, "staple")
    assert house.alice.iax2_secret == "", "IAX2 is not allowed: nothing is kept"
    iax2_access.allow_iax2(house.conn, "alice", REALM, "staple")
    provisioning.set_password(house.conn, "alice", REALM, "correct")
    assert house.alice.iax2_secret == "correct"


def test_an_account_that_is_known_by_its_address_needs_none(house: House) -> None:
    provisioning.add_account(house.conn, "pbx", realm=REALM, password="", address="192.0.2.5")
    iax2_access.allow_iax2(house.conn, "pbx", REALM, "")
    pbx = house.directory.account_by_address("192.0.2.5", 4569)
    assert pbx is not None
    assert (pbx.iax2, pbx.iax2_secret) == (True, "")


def test_a_carrier_is_known_by_the_protocol_that_it_speaks(house: House) -> None:
    carrier = Carrier("west", "192.0.2.7", 4569, "iax2", username="us", secret="x", trunk=True)
    provisioning.add_carrier(house.conn, carrier)
    assert house.directory.carrier_by_address("192.0.2.7", 4569) is None
    assert house.directory.carrier_by_address("192.0.2.7", 4569, iax2=True) == carrier
