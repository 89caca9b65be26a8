"""A device and a real host over a real socket: enrolled, configured, updated, its lines told."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from boards.board import load_board
from boards.slot import TABLE_OCTETS, Placing, decode_table, slot_octets
from boards.state import BootState, marked_good
from firmware.network import has_way_out
from firmware.status import UPDATING, Notices
from firmware.update.agent import Agent, Hands
from firmware.update.client import HostClient, HostError
from firmware.update.credentials import Credentials
from firmware.update.files import ConfigFiles, load_kept
from firmware.update.machine import Stage, Update
from firmware.update.medium import Medium
from firmware.update.places import Places, ProvisioningConfig, host_url
from firmware.update.progress import ProgressFile
from firmware.update.slots import SlotWriter
from firmware.update.values import Board, Event, Fetch, Kept
from firmware.update.worker import Worker
from firmware.wire.ed25519 import verify
from firmware.wire.image import assemble
from firmware.wire.image_check import ImageCheck
from firmware.wire.provisioning import Configuration, digest_of
from hal.line_tests import Measure, Result, Verdict
from host.devices import firmware as images
from host.devices import registry, reports
from tests.host.api.world import ApiWorld
from tests.host.devices.test_endpoint import KEY, MAC, PUBLIC, Provisioned

FLASH = load_board("qemu-arm64").flash
PARTS = {"kernel": os.urandom(70_000), "initramfs": os.urandom(9_000), "root": os.urandom(300_000)}


def made(version: int) -> bytes:
    return assemble("qemu-arm64", version, f"1.{version}", PARTS, KEY.sign)


class Rig:
    """One device with two slots in a file, on the first of which version 1 runs."""

    def __init__(self, folder: Path, url: str, secret: str) -> None:
        assert FLASH is not None
        self.url = url
        self.given = ProvisioningConfig(
            url, secret, MAC, plain_http=True, run_dir=str(folder / "run")
        )
        self.places = Places.of(self.given, str(folder / "state"))
        self.config = folder / "ata.toml"
        self.config.write_text(self.text("100001"))
        disk = folder / "disk"
        with disk.open("wb") as stream:
            stream.truncate(FLASH.octets)
        self.medium = Medium(disk, FLASH)
        self.medium.write("a", 0, slot_octets(made(1), "qemu-arm64"))
        first = BootState(1, "a", 3, 0, 0)
        self.medium.boot.write(marked_good(first, 1, None))
        self.notices = Notices(self.places.run, self.places.tests, "kitchen", os.getpid())
        self.line(registered=True)
        self.ended: list[int] = []
        self.restarts = 0
        self.alive = True
        self.start()

    def text(self, user: str) -> str:
        return (
            f'board = "qemu-arm64"\n[sip]\nusername = "{user}"\npassword = "p"\n'
            f'servers = ["192.0.2.1"]\n[provisioning]\nurl = "{self.url}"\nplain_http = true\n'
            f'run_dir = "{self.given.run_dir}"\n'
        )

    def start(self) -> None:
        """The program starts, as after a restart of the board."""
        state = self.medium.boot.read()
        assert state is not None
        versions = tuple(
            found[0] if (found := decode_table(self.medium.read(slot, 0, TABLE_OCTETS))) else None
            for slot in ("a", "b")
        )
        board = Board("qemu-arm64", state.slot, state, (versions[0], versions[1]))
        self.files = ConfigFiles(self.config)
        self.update = Update(
            board,
            self.files.settle(load_kept(self.places.kept)),
            lambda given: self.files.problem(given, self.given),
            lambda: 0.0,
            time.monotonic() * 1000,
        )
        events: SimpleQueue[Event] = SimpleQueue()
        self.worker = Worker(self._connect, self._writer, events.put)
        hands = Hands(
            self.medium.boot.write,
            self.ended.append,
            self._restart,
            lambda: True,
            lambda pid: self.alive and Path(f"/proc/{pid}").exists(),
        )
        self.agent = Agent(self.update, self.places, self.files, self.worker, hands, events, "1.1")
        self.worker.start()
        self.agent._obey(self.update.start())

    def _restart(self) -> None:
        self.restarts += 1

    def _connect(self) -> tuple[HostClient, Credentials]:
        secrets = Credentials(self.places.secret, self.url, self.given.secret, os.urandom)
        return HostClient(self.url, MAC, None), secrets

    def _writer(self, order: Fetch) -> SlotWriter:
        check = ImageCheck("qemu-arm64", order.floor, lambda *signed: verify(PUBLIC, *signed))
        kept = ProgressFile(self.places.received)
        return SlotWriter(self.medium, order.slot, order.firmware, check, Placing, kept)

    def line(self, registered: bool, calls: bool = False) -> None:
        self.notices.tell(registered, calls)

    def until(self, true: Callable[[], Any], s: float = 20.0) -> None:
        """Work until something is so."""
        end = time.monotonic() + s
        while not true():
            assert time.monotonic() < end, (self.update.stage, self.update.problems)
            self.agent.turn(0.02)

    def close(self) -> None:
        self.worker.close()
        self.medium.close()


@contextmanager
def serving(folder: Path, **more: Any) -> Iterator[tuple[Provisioned, str]]:
    with closing(ApiWorld(folder)) as world:
        host = Provisioned(world, folder, plain_http=True, **more)
        world.app = host.app
        with world.serving() as address:
            yield host, address


@pytest.fixture
def host_and_rig(tmp_path: Path) -> Iterator[tuple[Provisioned, Rig]]:
    with serving(tmp_path) as (host, address):
        rig = Rig(tmp_path, address, host.once)
        yield host, rig
        rig.close()


def test_a_device_is_enrolled_updated_and_its_lines_are_told(
    host_and_rig: tuple[Provisioned, Rig],
) -> None:
    host, rig = host_and_rig
    tip = Result("foreign_emf", Verdict.FAIL, (Measure("tip_ground", 31.0, "V"),), ("tip",), "look")
    rig.notices.tests.keep((tip,))
    made_image = host.add(made(2))
    images.want(host.conn, [MAC], "2")
    rig.until(lambda: rig.restarts or rig.ended)
    assert registry.device(host.conn, MAC).has_secret
    assert rig.places.secret.stat().st_mode & 0o077 == 0
    found = decode_table(rig.medium.read("b", 0, TABLE_OCTETS))
    assert found is not None
    assert found[0] == 2
    assert rig.medium.read("b", TABLE_OCTETS, made_image.octets) == made(2)
    state = rig.medium.boot.read()
    assert state is not None
    assert (state.slot, state.tries, state.is_good("b"), state.is_good("a")) == (
        "b",
        1,
        False,
        True,
    )
    rig.until(lambda: reports.line_tests(host.conn, MAC))
    (kept,) = reports.line_tests(host.conn, MAC)
    assert (kept.line, kept.failed) == ("kitchen", True)
    assert kept.tests[0]["measures"] == "tip_ground 31 V"
    assert rig.ended == [os.getpid()]
    assert not rig.restarts, "its line has not ended yet"
    rig.alive = False
    rig.until(lambda: rig.restarts)
    assert load_kept(rig.places.kept).trying == made_image.sha256


def test_line_tests_wait_for_a_host_that_is_away(tmp_path: Path) -> None:
    bad = Result("ringers", Verdict.FAIL, note="no telephone")
    with serving(tmp_path) as (host, address):
        rig = Rig(tmp_path, address, host.once)
        rig.until(lambda: registry.device(host.conn, MAC).version == 1)
        registry.issue_once(host.conn, host.world.now(), MAC, revoke=True)
        rig.notices.tests.keep((bad,))
        rig.until(lambda: rig.agent._report_ms is not None and rig.agent._reported is None)
        assert reports.line_tests(host.conn, MAC) == []
        host.conn.execute("UPDATE device SET secret_digest = ?", (_own(rig),))
        rig.agent._report_ms = 0.0
        rig.until(lambda: reports.line_tests(host.conn, MAC))
        rig.until(lambda: not list(rig.places.tests.iterdir()))
        rig.close()


def _own(rig: Rig) -> str:
    return digest_of(json.loads(rig.places.secret.read_text())["own"])


def test_a_configuration_comes_and_goes_back(host_and_rig: tuple[Provisioned, Rig]) -> None:
    host, rig = host_and_rig
    before = rig.config.read_text()
    given = registry.set_config(host.conn, MAC, rig.text("100002"))
    rig.until(lambda: rig.ended)
    assert rig.config.read_text() == given.toml
    assert rig.update.kept.config_trial
    rig.agent._obey(rig.update.handle_timer(time.monotonic() * 1000 + 1))
    rig.line(registered=False)
    rig.agent.look()
    late_ms = time.monotonic() * 1000 + 700_000
    rig.agent._clock = lambda: late_ms
    rig.agent.look()
    assert rig.config.read_text() == before
    assert not rig.update.kept.config_trial


def test_a_configuration_that_cannot_be_used_is_told(
    host_and_rig: tuple[Provisioned, Rig],
) -> None:
    host, rig = host_and_rig
    registry.set_config(host.conn, MAC, 'board = "qemu-arm64"\n[sip]\nuser = "1"\n')
    rig.until(lambda: registry.device(host.conn, MAC).problems)
    problems = " ".join(registry.device(host.conn, MAC).problems)
    assert "configuration:3: sip.user: no such setting; did you mean `username`?" in problems
    assert "100001" in rig.config.read_text()
    assert not rig.ended


def test_a_cut_between_what_is_kept_and_what_is_done_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "ata.toml"
    path.write_text("old")
    files = ConfigFiles(path)
    new = Configuration(1, "new")
    claimed = Kept(config=new.sha256, config_trial=True)
    assert files.settle(claimed) == Kept(), "it was not taken: it is taken again"
    files.take(new)
    assert files.settle(claimed) == claimed
    files.take(new)
    gone = Kept(config_failed=new.sha256)
    assert files.settle(gone) == gone
    assert path.read_text() == "old", "it was not given back: it is given back now"


def test_an_image_of_another_key_is_refused_and_nothing_boots_it(
    host_and_rig: tuple[Provisioned, Rig],
) -> None:
    host, rig = host_and_rig
    forged = assemble("qemu-arm64", 2, "1.2", PARTS, lambda _: b"\1" * 64)
    host.folder.parent.joinpath("forged.img").write_bytes(forged)
    images.add(host.conn, host.world.now(), host.folder, host.folder.parent / "forged.img", b"")
    images.want(host.conn, [MAC], "2")
    rig.until(lambda: registry.device(host.conn, MAC).problems)
    assert "signed with another key" in registry.device(host.conn, MAC).problems[0]
    assert decode_table(rig.medium.read("b", 0, TABLE_OCTETS)) is None
    state = rig.medium.boot.read()
    assert state is not None
    assert (state.slot, state.is_good("a")) == ("a", True)
    assert rig.update.stage is Stage.IDLE
    rig.agent.look()
    assert not (rig.places.run / UPDATING).exists()


def test_a_download_that_breaks_off_goes_on_where_it_stopped(
    host_and_rig: tuple[Provisioned, Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    host, rig = host_and_rig
    offsets: list[int] = []
    fetch = HostClient.fetch

    def breaks_off(
        self: HostClient, secret: str, sha256: str, offset: int, take: Any, stop: Any
    ) -> None:
        offsets.append(offset)
        if len(offsets) == 1:

            def some(octets: bytes) -> None:
                take(octets)
                raise HostError("the image has broken off")

            take_now = some
        else:
            take_now = take
        fetch(self, secret, sha256, offset, take_now, stop)

    monkeypatch.setattr(HostClient, "fetch", breaks_off)
    host.add(made(2))
    images.want(host.conn, [MAC], "2")
    rig.until(lambda: offsets and rig.update._fetch_ms is not None)
    rig.agent._obey(rig.update.handle_timer(time.monotonic() * 1000 + 61_000))
    rig.until(lambda: rig.ended)
    assert offsets[0] == 0
    assert offsets[1] > 0
    assert (rig.places.run / UPDATING).exists(), "a lamp says: leave the power on"
    assert rig.medium.read("b", TABLE_OCTETS, len(made(2))) == made(2)


def test_a_download_goes_on_after_a_restart(
    host_and_rig: tuple[Provisioned, Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware.update.slots._KEPT_OCTETS", 65_536)
    host, rig = host_and_rig
    offsets: list[int] = []
    fetch = HostClient.fetch

    def dies(self: HostClient, secret: str, sha256: str, offset: int, take: Any, stop: Any) -> None:
        offsets.append(offset)

        def some(octets: bytes) -> None:
            take(octets[:100_000])
            if len(offsets) == 1:
                raise HostError("the power is gone")

        fetch(self, secret, sha256, offset, some if len(offsets) == 1 else take, stop)

    monkeypatch.setattr(HostClient, "fetch", dies)
    host.add(made(2))
    images.want(host.conn, [MAC], "2")
    rig.until(lambda: offsets and rig.update._fetch_ms is not None)
    rig.worker.close()
    rig.start()
    rig.until(lambda: rig.ended)
    assert offsets[0] == 0
    assert offsets[1] >= 65_536, "what the slot holds by then is not fetched again"
    assert rig.medium.read("b", TABLE_OCTETS, len(made(2))) == made(2)


def test_an_answer_that_is_lost_costs_no_secret(tmp_path: Path) -> None:
    with serving(tmp_path) as (host, address):
        path = tmp_path / "secret.json"

        class Lost(HostClient):
            def exchange(self, once: str, own: str) -> None:
                super().exchange(once, own)
                raise HostError("the answer has broken off")

        lost, client = Lost(address, MAC, None), HostClient(address, MAC, None)
        with pytest.raises(HostError):
            Credentials(path, address, host.once, os.urandom).secret(lost)
        secret = Credentials(path, address, host.once, os.urandom).secret(client)
        assert client.ask(secret).firmware is None
        again = Credentials(path, address, host.once, os.urandom).secret(client)
        assert again == secret, "the one that is used is not tried for ever"
        once = registry.issue_once(host.conn, host.world.now(), MAC, revoke=True)
        new = Credentials(path, address, once, os.urandom).secret(client)
        assert client.ask(new).firmware is None


def test_a_secret_is_told_to_no_other_host(tmp_path: Path) -> None:
    path = tmp_path / "secret.json"
    with serving(tmp_path) as (host, address):
        Credentials(path, address, host.once, os.urandom).secret(HostClient(address, MAC, None))
    with pytest.raises(HostError, match="is not told it"):
        Credentials(path, "https://evil.example", "", os.urandom)


def test_a_host_that_is_away_or_wrong_is_told_apart() -> None:
    client = HostClient("http://127.0.0.1:9", MAC, None)
    with pytest.raises(HostError, match="does not answer") as caught:
        client.ask("lsdv_x")
    assert not caught.value.reached


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("host.example", "https://host.example"),
        ("host.example:8482\0", "https://host.example:8482"),
        ("https://host.example/base/", "https://host.example/base"),
        ("[2001:db8::1]", "https://[2001:db8::1]"),
    ],
)
def test_dhcp_says_a_name_or_a_url(text: str, url: str) -> None:
    assert host_url(text) == url


@pytest.mark.parametrize("text", ["", "ftp://host.example", "https://u@host.example", "a b"])
def test_what_dhcp_may_not_say(text: str) -> None:
    with pytest.raises(ValueError, match="write https://host"):
        host_url(text)


def test_a_way_out_is_seen_in_the_routes(tmp_path: Path) -> None:
    head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
    route, route6 = tmp_path / "route", tmp_path / "route6"
    route.write_text(head + "eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
    assert not has_way_out(route, route6)
    route.write_text(head + "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")
    assert has_way_out(route, route6)


def test_a_full_disk_stops_updates_and_nothing_else(
    host_and_rig: tuple[Provisioned, Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    host, rig = host_and_rig

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("firmware.update.agent.save_kept", full)
    registry.set_config(host.conn, MAC, rig.text("100002"))
    assert rig.agent.run() == 1
    assert "100001" in rig.config.read_text()
    assert rig.update.kept.config_trial
