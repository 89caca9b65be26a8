"""From an all-zero disk to a registered device, by the tool alone: flash it, then provision it.

It needs an image (`tasks.py image`), which takes minutes and packages of another architecture:
`LOOPSTART_IMAGE` names it, `LOOPSTART_KEY` the key that it is signed with.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boards.diagnose import SECTIONS
from boards.flash import session
from tests.boards.machine import Machine, blank, needs_qemu
from tests.boards.network import BOARD, SERVER, namespace, needs_netns
from tests.boards.test_flash_real import TAP, flash_table, run_command, run_tool, state_on
from tests.firmware.iax2_peer import Peer

IMAGE, KEY = os.environ.get("LOOPSTART_IMAGE", ""), os.environ.get("LOOPSTART_KEY", "")
CONFIG = """board = "qemu-arm64"
[iax2]
username = "100001"
password = "secret"
servers = ["10.0.2.2:{port}"]
[line]
country = "CA"
"""


@needs_qemu
@needs_netns
@pytest.mark.timeout(600)
@pytest.mark.skipif(not IMAGE, reason="needs an image: LOOPSTART_IMAGE, LOOPSTART_KEY")
def test_from_an_all_zero_disk_to_a_registered_device(tmp_path: Path) -> None:
    disk = blank(tmp_path / "disk", flash_table().octets)
    how = ("--via", "tftp", "--address", BOARD, "--server", SERVER)
    with namespace() as net, Machine(tmp_path, disk, network=TAP, netns=net) as machine:
        flashed = run_tool(machine, Path(IMAGE), Path(KEY), *how, netns=net)
    assert flashed.status == session.UNREGISTERED
    assert "has no configuration yet" in flashed.result["failure"]

    peer = Peer()
    config = tmp_path / "ata.toml"
    config.write_text(CONFIG.format(port=peer.where[1]))
    try:
        with Machine(tmp_path, disk, network=("-nic", "user,model=virtio-net-pci")) as machine:
            provisioned = run_command("provision", machine, "--config", str(config))
        assert (provisioned.status, provisioned.result["failure"]) == (session.REGISTERED, "")
        assert peer.devices
        with Machine(tmp_path, disk, network=("-nic", "user,model=virtio-net-pci")) as machine:
            asked = run_command("diagnose", machine, "--output", str(tmp_path / "bundle"))
        bundle = (tmp_path / "bundle").read_text()
        assert (asked.status, asked.result["failure"]) == (0, "")
        assert all(f"=== {name} ===" in bundle for name in SECTIONS)
        assert "has not answered" not in bundle
        assert "version 1 runs from slot a" in bundle
        assert 'username = "100001"' in bundle
        assert '"secret"' not in bundle
    finally:
        peer.close()
    with disk.open("rb") as stream:
        mailbox = flash_table().mailbox
        assert mailbox is not None
        stream.seek(mailbox.offset)
        assert stream.read(mailbox.octets) == bytes(mailbox.octets), "no secret stays behind"
    state = state_on(disk)
    assert state is not None
    assert state.slot == "a"
