"""The listener for devices: TLS of its own, asked by curl."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from firmware.update.client import HostClient, HostError, tls_context
from firmware.update.credentials import Credentials
from firmware.wire.provisioning import Document, make_secret, new_secret_bytes
from host.devices import firmware, registry
from tests.host.api.test_process import asks, process
from tests.host.api.test_running import free_port
from tests.host.api.world import ApiWorld
from tests.host.devices.test_endpoint import MAC, PUBLIC, image
from tests.host.sip.server_process import ADDRESS, certificate

pytestmark = pytest.mark.skipif(
    not (shutil.which("openssl") and shutil.which("curl")), reason="openssl or curl is missing"
)


def curl(folder: Path, url: str, secret: str, *words: str) -> Any:
    return subprocess.run(
        ["curl", "-sS", "--cacert", str(folder / "cert.pem"), "--max-time", "10",
         "-H", f"Authorization: Bearer {secret}", "-w", "%{http_code}", *words, url],
        check=False, capture_output=True, timeout=30,
    )  # fmt: skip


def test_curl_is_served_over_tls_and_resumes(tmp_path: Path) -> None:
    """Given a listener with a certificate, curl exchanges the secret, and a download that was cut
    off goes on where it ended."""
    octets = image()
    with_device(tmp_path, octets)
    certificate(tmp_path)
    api, port = free_port(ADDRESS), free_port(ADDRESS)
    more = (
        f'[provisioning]\naddress = "{ADDRESS}"\nport = {port}\n'
        'certificate = "cert.pem"\nkey = "key.pem"\nfirmware_dir = "firmware"\n'
    )
    once, own = (tmp_path / "once").read_text(), make_secret(lambda count: b"\5" * count)
    url = f"https://{ADDRESS}:{port}/provision/{MAC}"
    with process(tmp_path, api, more) as running:
        asks(api, {})
        body = new_secret_bytes(own).decode()
        exchanged = curl(tmp_path, f"{url}/secret", once, "--data-binary", body)
        assert exchanged.stdout == b"204", exchanged.stderr
        told = curl(tmp_path, url, own)
        assert told.stdout[-3:] == b"200"
        wanted = Document.from_bytes(told.stdout[:-3]).firmware
        assert wanted is not None
        part = tmp_path / "part"
        part.write_bytes(octets[:20_000])
        rest = curl(tmp_path, f"{url}/firmware/{wanted.sha256}", own, "-C", "-", "-o", str(part))
        assert rest.stdout == b"206", rest.stderr
        assert hashlib.sha256(part.read_bytes()).hexdigest() == wanted.sha256
        assert curl(tmp_path, f"http://127.0.0.1:{api}/provision/{MAC}", own).stdout[-3:] == b"403"
        running.terminate()
        assert running.wait(10) == 0


def test_a_device_asks_over_tls_and_believes_nobody_else(tmp_path: Path) -> None:
    with_device(tmp_path, image())
    certificate(tmp_path)
    api, port = free_port(ADDRESS), free_port(ADDRESS)
    more = (
        f'[provisioning]\naddress = "{ADDRESS}"\nport = {port}\n'
        'certificate = "cert.pem"\nkey = "key.pem"\nfirmware_dir = "firmware"\n'
    )
    url, once = f"https://{ADDRESS}:{port}", (tmp_path / "once").read_text()
    with process(tmp_path, api, more):
        asks(api, {})
        client = HostClient(url, MAC, tls_context(str(tmp_path / "cert.pem"), True))
        secret = Credentials(tmp_path / "secret.json", url, once, os.urandom).secret(client)
        told = client.ask(secret)
        assert told.firmware is not None
        assert told.firmware.version == 7
        assert client.ask(secret) is told, "304: nothing has changed"
        own = tls_context("", True, (tmp_path / "cert.pem").read_text())
        assert HostClient(url, MAC, own).ask(secret) == told, "a certificate in the configuration"
        parts: list[bytes] = []
        client.fetch(secret, told.firmware.sha256, 20_000, parts.append, lambda: False)
        assert b"".join(parts) == image()[20_000:]
        with pytest.raises(HostError, match="does not prove who it is"):
            HostClient(url, MAC, tls_context("", True)).ask(secret)


def with_device(folder: Path, octets: bytes) -> None:
    """A store with one device that is to run this image."""
    world = ApiWorld(folder, noon=time.time_ns() // 1_000_000)
    once = registry.add(world.conn, world.now(), MAC, board="qemu-arm64")[1]
    (folder / "once").write_text(once)
    (folder / "seven.img").write_bytes(octets)
    firmware.add(world.conn, world.now(), folder / "firmware", folder / "seven.img", PUBLIC)
    firmware.want(world.conn, [MAC], "7")
    world.close()


def test_without_a_certificate_it_does_not_start(tmp_path: Path) -> None:
    ApiWorld(tmp_path).close()
    more = f'[provisioning]\naddress = "{ADDRESS}"\n'
    with process(tmp_path, free_port(ADDRESS), more) as running:
        assert running.wait(20) == 2
        assert running.stderr is not None
        assert "TLS needs certificate and key" in running.stderr.read()


def test_plain_http_is_served_where_it_is_told(tmp_path: Path) -> None:
    with_device(tmp_path, image())
    port = free_port(ADDRESS)
    more = f'[provisioning]\naddress = "{ADDRESS}"\nport = {port}\nplain_http = true\n'
    api = free_port(ADDRESS)
    with process(tmp_path, api, more):
        asks(api, {})
        own = make_secret(lambda count: b"\5" * count)
        headers = {"Authorization": f"Bearer {(tmp_path / 'once').read_text()}"}
        answer = httpx.post(
            f"http://{ADDRESS}:{port}/provision/{MAC}/secret",
            content=new_secret_bytes(own),
            headers=headers,
        )
        assert answer.status_code == 204
