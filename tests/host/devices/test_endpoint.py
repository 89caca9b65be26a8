"""Devices ask the host: what they are told, what they tell, and who learns nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.testclient import TestClient

from firmware.wire.image import Header, part_of, seal
from firmware.wire.provisioning import (
    Document,
    LineTest,
    LineTests,
    Report,
    balance_of,
    make_secret,
    new_secret_bytes,
)
from host.api import access
from host.api.app import make_app
from host.api.services import Services
from host.api.store import Store
from host.charging.values import USD
from host.devices import firmware, registry, reports
from host.devices.endpoint import REQUESTS_PER_MINUTE, STRANGERS_PER_MINUTE
from host.settings import ProvisioningSettings
from tests.host.api.world import ApiWorld
from tests.stores import database_at

MAC = "02005e100001"
OTHER = "02005e100002"
NAT = "198.51.100.77"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = KEY.public_key().public_bytes_raw()


def image(version: int = 7, board: str = "qemu-arm64", octets: bytes = b"kernel" * 9_000) -> bytes:
    header = Header(board, version, f"1.{version}", (part_of("kernel", [octets]),))
    return seal(header, KEY.sign) + octets


class Provisioned:
    """A host with one device, behind a proxy that speaks TLS."""

    def __init__(self, world: ApiWorld, folder: Path, **given: Any) -> None:
        self.world, self.conn, self.folder = world, world.conn, folder / "firmware"
        settings = replace(
            world.settings,
            provisioning=ProvisioningSettings(firmware_dir=str(self.folder), **given),
        )
        self.services = Services(settings, Store(database_at(world.database)), now=world.now)
        self.app = make_app(self.services)
        self.once = registry.add(self.conn, world.now(), MAC, board="qemu-arm64")[1]
        self.own = make_secret(lambda count: b"\1" * count)

    def client(self, scheme: str = "https", address: str = NAT) -> TestClient:
        return TestClient(self.app, client=(address, 4711), base_url=f"{scheme}://host.example")

    def ask(self, path: str = "", secret: str = "", **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {secret or self.own}"} | more.pop("headers", {})
        method = "POST" if "content" in more else "GET"
        url = f"/provision/{more.pop('mac', MAC)}{path}"
        with self.client(more.pop("scheme", "https"), more.pop("address", NAT)) as client:
            return client.request(method, url, headers=headers, **more)

    def enrol(self) -> None:
        answer = self.ask("/secret", self.once, content=new_secret_bytes(self.own))
        assert answer.status_code == 204, answer.text

    def add(self, octets: bytes, name: str = "one.img") -> firmware.Image:
        file = self.folder.parent / name
        file.write_bytes(octets)
        return firmware.add(self.conn, self.world.now(), self.folder, file, PUBLIC)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Callable[..., Provisioned]]:
    """Makes hosts; takes settings of provisioning."""
    with closing(ApiWorld(tmp_path)) as world:
        yield lambda **given: Provisioned(world, tmp_path, **given)


@pytest.fixture
def host(hosts: Callable[..., Provisioned]) -> Provisioned:
    return hosts()


def test_a_device_gets_a_secret_of_its_own_for_one_of_one_use(host: Provisioned) -> None:
    assert host.ask().status_code == 401, "it has none yet"
    assert host.ask(secret=host.once).status_code == 401, "that one is for the exchange alone"
    host.enrol()
    assert Document.from_bytes(host.ask().content) == Document(3_600)
    again = host.ask("/secret", host.once, content=new_secret_bytes(make_secret(bytes)))
    assert again.status_code == 401, "it was for one use"
    kept = host.conn.execute("SELECT secret_digest, once_digest FROM device").fetchone()
    assert host.own not in kept
    assert kept[1] == ""


def test_a_device_is_told_what_its_account_may_still_spend(host: Provisioned) -> None:
    host.enrol()
    assert host.ask("/balance").status_code == 404, "it is nobody's yet"
    registry.change(host.conn, MAC, account="alice_home")
    answer = host.ask("/balance")
    assert answer.json() == {"schema": 1, "balance": "10.00", "currency": "USD"}
    assert balance_of(answer.content) == "10.00"
    host.conn.execute(
        "UPDATE ledger_account SET held = ? WHERE id = ?", (USD // 3, host.world.alice)
    )
    assert balance_of(host.ask("/balance").content) == "9.66", (
        "less what calls hold, in whole cents"
    )
    assert host.ask("/balance", make_secret(bytes)).status_code == 401


def test_a_lost_secret_has_another_issued(host: Provisioned) -> None:
    host.enrol()
    once = registry.issue_once(host.conn, host.world.now(), MAC)
    assert host.ask().status_code == 200, "the device may not have lost it at all"
    new = make_secret(lambda count: b"\2" * count)
    assert host.ask("/secret", once, content=new_secret_bytes(new)).status_code == 204
    assert host.ask().status_code == 401
    assert host.ask(secret=new).status_code == 200
    registry.issue_once(host.conn, host.world.now(), MAC, revoke=True)
    assert host.ask(secret=new).status_code == 401, "a stolen one is good no more"


def test_a_secret_for_one_use_does_not_last(host: Provisioned) -> None:
    host.world.now_ms += registry.ONCE_FOR_MS
    answer = host.ask("/secret", host.once, content=new_secret_bytes(host.own))
    assert answer.status_code == 401


def test_only_https_unless_told(hosts: Callable[..., Provisioned]) -> None:
    host = hosts()
    host.enrol()
    answer = host.ask(scheme="http")
    assert answer.status_code == 403
    assert "only over HTTPS" in answer.json()["detail"]
    told = replace(host.services.settings.provisioning, plain_http=True)
    host.services.settings = replace(host.services.settings, provisioning=told)
    host.app = make_app(host.services)
    assert host.ask(scheme="http").status_code == 200


def test_a_device_is_told_its_configuration_and_firmware(host: Provisioned) -> None:
    host.enrol()
    made = host.add(image())
    given = registry.set_config(host.conn, MAC, 'board = "qemu-arm64"\n')
    assert firmware.want(host.conn, [MAC], "1.7") == [MAC]
    answer = host.ask()
    told = Document.from_bytes(answer.content)
    assert told.configuration == given
    assert told.firmware is not None
    assert (told.firmware.version, told.firmware.sha256) == (7, made.sha256)
    etag = answer.headers["etag"]
    same = host.ask(headers={"If-None-Match": etag})
    assert (same.status_code, same.content) == (304, b"")
    registry.set_config(host.conn, MAC, "")
    assert host.ask(headers={"If-None-Match": etag}).status_code == 200
    shown = registry.device(host.conn, MAC)
    assert (shown.source, shown.seen_utc_ms) == (NAT, host.world.now_ms)


def test_firmware_is_fetched_in_parts(host: Provisioned) -> None:
    host.enrol()
    octets = image()
    made = host.add(octets)
    firmware.want(host.conn, [MAC], "7")
    path = f"/firmware/{made.sha256}"
    whole = host.ask(path)
    assert (whole.status_code, whole.content) == (200, octets)
    assert whole.headers["etag"] == f'"{made.sha256}"'
    rest = host.ask(path, headers={"Range": "bytes=10000-", "If-Range": whole.headers["etag"]})
    assert (rest.status_code, rest.content) == (206, octets[10_000:])
    assert rest.headers["content-range"] == f"bytes 10000-{len(octets) - 1}/{len(octets)}"
    other = host.ask(path, headers={"Range": "bytes=10000-", "If-Range": '"another"'})
    assert (other.status_code, len(other.content)) == (200, len(octets))
    over = host.ask(path, headers={"Range": f"bytes={len(octets)}-"})
    assert over.status_code == 416


def test_a_device_fetches_no_firmware_but_its_own(host: Provisioned) -> None:
    host.enrol()
    made = host.add(image())
    assert host.ask(f"/firmware/{made.sha256}").status_code == 404
    firmware.want(host.conn, [MAC], "7")
    firmware.path_of(host.folder, made.sha256).unlink()
    assert "add it again" in host.ask(f"/firmware/{made.sha256}").json()["detail"]


TESTS = (
    LineTest("hazardous_potential", "pass", "tip_ground 0.1 Vrms"),
    LineTest("foreign_emf", "fail", "ring_ground 31 V", "ring_ground", "is another line crossed?"),
)


def test_line_tests_reach_the_host_once(host: Provisioned) -> None:
    host.enrol()
    bad = LineTests("kitchen", "t1", 600, TESTS)
    report = Report("qemu-arm64", 6, "1.6", "b", problems=("no\nroom",), line_tests=(bad,))
    for _ in range(2):  # the answer to the first was lost
        assert host.ask("/report", content=report.to_bytes()).status_code == 204
    good = LineTests("kitchen", "t2", 0, TESTS[:1])
    host.ask("/report", content=Report("qemu-arm64", 6, line_tests=(good,)).to_bytes())
    last, failed = reports.line_tests(host.conn, MAC)
    assert (last.line, last.utc_ms, last.failed) == ("kitchen", host.world.now_ms, False)
    assert (failed.utc_ms, failed.failed) == (host.world.now_ms - 600_000, True)
    assert failed.tests[1]["note"] == "is another line crossed?"
    shown = registry.device(host.conn, MAC)
    assert (shown.version, shown.problems) == (6, ())


def test_of_many_line_tests_the_newest_are_kept_and_the_last_fault(host: Provisioned) -> None:
    host.enrol()
    for number in range(reports.KEPT + 5):
        tests = LineTests("line1", f"t{number}", 1_000 - number, TESTS[: 2 if number < 2 else 1])
        reports.take(host.conn, host.world.now(), MAC, NAT, Report("b", 1, line_tests=(tests,)))
    (count,) = host.conn.execute("SELECT count(*) FROM line_test").fetchone()
    assert count == reports.KEPT + 1
    last, failed = reports.line_tests(host.conn, MAC)
    assert last.utc_ms == host.world.now_ms - (1_000 - reports.KEPT - 4) * 1_000
    assert failed.utc_ms == host.world.now_ms - 999_000


def test_a_wrong_report_is_told_by_key_and_changes_nothing(host: Provisioned) -> None:
    host.enrol()
    answer = host.ask("/report", content=b'{"schema": 1, "board": "", "version": -1}')
    assert answer.status_code == 422
    assert [one.partition(":")[0] for one in answer.json()["errors"]] == ["board", "version"]
    assert registry.device(host.conn, MAC).seen_utc_ms is None
    large = host.ask("/report", content=b" " * 300_000)
    assert large.status_code == 413


def test_strangers_learn_nothing_and_leave_nothing(host: Provisioned) -> None:
    host.enrol()
    wrong = make_secret(lambda count: b"\7" * count)
    unknown = host.ask(secret=wrong, mac=OTHER, address="192.0.2.1")
    known = host.ask(secret=wrong, address="192.0.2.2")
    assert unknown.status_code == known.status_code == 401
    assert unknown.content == known.content
    assert "Bearer" in known.headers["www-authenticate"]
    before = host.conn.execute("SELECT * FROM device").fetchall()
    for number in range(30):
        host.ask("/report", wrong, content=Report("b", 1).to_bytes(), address=f"192.0.2.{number}")
    assert host.conn.execute("SELECT * FROM device").fetchall() == before


def test_who_guesses_is_locked_out_and_his_neighbour_is_not(host: Provisioned) -> None:
    host.enrol()
    wrong = make_secret(lambda count: b"\7" * count)
    for _ in range(host.services.settings.api.lockout_failures):
        assert host.ask(secret=wrong, mac=OTHER).status_code == 401
    assert host.ask(secret=wrong, mac=OTHER).status_code == 429
    assert host.ask().status_code == 200, "another device behind the same address"


def test_nobody_asks_without_end(host: Provisioned) -> None:
    host.enrol()
    answers = [host.ask().status_code for _ in range(REQUESTS_PER_MINUTE)]
    assert answers == [200] * (REQUESTS_PER_MINUTE - 1) + [429], "the first was the exchange"
    host.world.now_ms += 60_000
    assert host.ask().status_code == 200
    with host.client(address="192.0.2.9") as client:
        answers = [client.get(f"/provision/{MAC}").status_code for _ in range(STRANGERS_PER_MINUTE)]
        assert set(answers) == {401}
        assert client.get(f"/provision/{MAC}").status_code == 429


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (image()[:-1], "the image ends after"),
        (b"no image at all", "this is no image of Loopstart"),
        (image().replace(b"kernelkernel", b"kernelKernel", 1), "the part kernel is damaged"),
        (
            seal(Header("b", 1, "1", (part_of("k", [b"1"]),)), None) + b"1",
            "nobody has signed the image",
        ),
        (
            seal(Header("b", 1, "1", (part_of("k", [b"1"]),)), lambda _: b"\1" * 64) + b"1",
            "signed with another key",
        ),
    ],
)
def test_images_that_are_not_taken(host: Provisioned, octets: bytes, words: str) -> None:
    with pytest.raises(Exception, match=words):
        host.add(octets)
    assert firmware.images(host.conn) == []
    assert not host.folder.exists() or list(host.folder.iterdir()) == []


def test_an_image_is_kept_by_its_hash(host: Provisioned) -> None:
    octets = image()
    made = host.add(octets)
    assert made.sha256 == hashlib.sha256(octets).hexdigest()
    with pytest.raises(Exception, match="there is a version 7 for qemu-arm64"):
        host.add(image(octets=b"other"), "two.img")
    assert [one.name for one in host.folder.iterdir()] == [f"{made.sha256}.img"]
    host.add(image(8), "three.img")
    assert [one.version for one in firmware.images(host.conn)] == [8, 7]
    firmware.want(host.conn, [MAC], "7")
    with pytest.raises(Exception, match="1 devices are to run it"):
        firmware.remove(host.conn, host.folder, "7")
    firmware.want(host.conn, [MAC], "")
    assert firmware.remove(host.conn, host.folder, made.sha256[:8]).version == 7
    assert len(list(host.folder.iterdir())) == 1


def test_operators_programs_see_devices(host: Provisioned) -> None:
    host.enrol()
    registry.add(host.conn, host.world.now(), OTHER, description="spare")
    host.add(image())
    firmware.want(host.conn, [MAC], "7")
    tests = LineTests("kitchen", "t1", 60, TESTS)
    report = Report("qemu-arm64", 6, "1.6", "b", line_tests=(tests,))
    assert host.ask("/report", content=report.to_bytes()).status_code == 204
    token = access.add_token(host.conn, host.world.now(), "program", False)
    with host.client() as client:
        client.headers["Authorization"] = f"Bearer {token}"
        first = client.get("/api/v2/devices", params={"limit": 1}).json()
        assert [one["mac"] for one in first["items"]] == [MAC]
        rest = client.get("/api/v2/devices", params={"after": first["next"]}).json()
        assert [(one["mac"], one["description"]) for one in rest["items"]] == [(OTHER, "spare")]
        none = client.get("/api/v2/devices", params={"board": "sim"}).json()
        assert none == {"items": [], "next": None}
        shown = client.get(f"/api/v2/devices/{MAC}").json()
        assert (shown["version"], shown["wanted_version"], shown["source"]) == (6, 7, NAT)
        (kept,) = shown["line_tests"]
        assert (kept["at"], kept["failed"]) == ("2027-01-15T11:59:00Z", True)
        assert [one["verdict"] for one in kept["tests"]] == ["pass", "fail"]
        assert client.get("/api/v2/devices/02005e1000ff").status_code == 404
