"""The commands about devices, as an operator types them."""

from __future__ import annotations

from pathlib import Path

from firmware.wire.provisioning import ONCE, LineTest, LineTests, Report, is_secret
from host.charging.values import Now
from host.devices import reports
from host.store.opening import open_writer
from tests.host.cli.test_commands import Operator, operator
from tests.host.devices.test_endpoint import MAC, image

__all__ = ["operator"]


def test_a_device_is_added_configured_and_updated(operator: Operator, tmp_path: Path) -> None:
    operator.run("account", "add", "alice")
    made = operator.json("device", "add", "02:00:5E:10:00:01", "--account", "alice")
    assert made["mac"] == MAC
    assert is_secret(made["secret"], ONCE)
    (row,) = operator.json("device", "list")
    assert (row["account"], row["state"]) == ("alice", "has no secret of its own yet")
    config = tmp_path / "ata.toml"
    config.write_text('board = "qemu-arm64"\n')
    operator.run("device", "config", MAC, str(config))
    assert operator.text("device", "config", MAC) == config.read_text()
    file = tmp_path / "seven.img"
    file.write_bytes(image())
    assert operator.json("device", "firmware", "add", str(file))["version"] == 7
    operator.run("device", "set", MAC, "--board", "qemu-arm64")
    changed = operator.json("device", "firmware", "set", "1.7", "--board", "qemu-arm64")
    assert changed["devices"] == [MAC]
    shown = operator.json("device", "show", MAC)
    assert (shown["wanted_version"], shown["configured"]) == (7, True)
    assert "1.7" in operator.text("device", "firmware", "list")
    assert "are to run it" in operator.error("device", "firmware", "remove", "7")
    operator.run("device", "firmware", "unset", MAC)
    operator.run("device", "firmware", "remove", "7")
    again = operator.json("device", "secret", MAC, "--revoke")
    assert again["secret"] != made["secret"]
    operator.run("device", "config", MAC, "--none")
    assert "`device config" in operator.error("device", "config", MAC)
    operator.run("device", "remove", MAC)
    assert operator.json("device", "list") == []


def test_what_its_lines_are_like_is_shown(operator: Operator) -> None:
    operator.run("device", "add", MAC)
    assert "have not been tested" in operator.run("device", "show", MAC).stderr
    conn = open_writer(operator.database)
    noon = Now(1_800_014_400_000, 0)
    for age_s, verdict in ((86_400, "fail"), (0, "pass")):
        test = LineTest("resistive_faults", verdict, "tip_ring 12 kohm")  # type: ignore[arg-type]
        tests = LineTests("kitchen", f"t{age_s}", age_s, (test,))
        report = Report("sim", 6, problems=("firmware: no room",), line_tests=(tests,))
        reports.take(conn, noon, MAC, "198.51.100.9", report)
    conn.close()
    text = operator.text("device", "show", MAC)
    assert "firmware: no room" in text
    assert "2027-01-15 12:00:00" in text
    assert "2027-01-14 12:00:00" in text
    shown = operator.json("device", "show", MAC)
    assert [one["failed"] for one in shown["line_tests"]] == [False, True]


def test_what_cannot_be(operator: Operator, tmp_path: Path) -> None:
    assert "is no MAC address" in operator.error("device", "add", "kitchen")
    assert "no account 'bob'" in operator.error("device", "add", MAC, "--account", "bob")
    assert f"no device {MAC}" in operator.error("device", "show", MAC)
    operator.run("device", "add", MAC)
    assert f"there is a device {MAC}" in operator.error("device", "add", MAC)
    bad = tmp_path / "bad.toml"
    bad.write_text("board = sim\n")
    assert "is no TOML" in operator.error("device", "config", MAC, str(bad))
    assert "no firmware '9'" in operator.error("device", "firmware", "set", "9", MAC)
    operator.error("device", "firmware", "set", "9", status=2)
    operator.error("device", "set", MAC, status=2)
