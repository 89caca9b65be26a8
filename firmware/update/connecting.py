"""Finds the host that `[provisioning]` or DHCP names, and the secret for it."""

from __future__ import annotations

import secrets
from pathlib import Path

from firmware.update.client import HostClient, HostError, tls_context
from firmware.update.credentials import Credentials
from firmware.update.places import Places, ProvisioningConfig, host_url
from firmware.wire.provisioning import normal_mac

_NET = Path("/sys/class/net")


def connect(given: ProvisioningConfig, places: Places) -> tuple[HostClient, Credentials]:
    """The host, and this device's secret there.

    Raises:
        HostError: nobody says where it is, or the secret is another host's.
        OSError: the file of the authorities cannot be read.
    """
    client, url = _client(given, places)
    return client, Credentials(places.secret, url, given.secret, secrets.token_bytes)


def fetch_balance(given: ProvisioningConfig, places: Places) -> str:
    """What the device's account may still spend, as `12.50`; it waits for the host.

    Raises:
        OSError: the host does not say it, or there is no secret to ask with yet.
    """
    try:
        client, url = _client(given, places)
        credentials = Credentials(places.secret, url, given.secret, secrets.token_bytes)
        return client.balance(credentials.own)
    except HostError as error:
        raise OSError(str(error)) from None


def _client(given: ProvisioningConfig, places: Places) -> tuple[HostClient, str]:
    url = given.url
    if not url:
        try:
            url = places.option_66.read_text("utf-8", "replace")
        except OSError:
            raise HostError("neither [provisioning] nor DHCP says where the host is") from None
    try:
        url = host_url(url)
    except ValueError as error:
        raise HostError(str(error)) from None
    if url.startswith("http://") and not given.plain_http:
        raise HostError(f"{url} is not HTTPS; it is not asked without `plain_http = true`")
    context = None
    if url.startswith("https://"):
        context = tls_context(given.ca_file, given.verify, given.ca)
    return HostClient(url, normal_mac(given.mac) if given.mac else _own_mac(), context), url


def _own_mac(folder: Path = _NET) -> str:
    """Of the first interface that is no loop."""
    for interface in sorted(folder.glob("*")):
        try:
            text = (interface / "address").read_text().strip()
            if interface.name != "lo" and int(text.replace(":", ""), 16):
                return normal_mac(text)
        except (OSError, ValueError):
            continue
    raise HostError("this machine has no network interface; give `mac` in [provisioning]")
