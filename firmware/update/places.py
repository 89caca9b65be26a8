"""`[provisioning]`: who this device is to its host, and where what is kept of that stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from boards.schema import setting
from firmware.memory import state_folder
from firmware.wire.provisioning import is_secret, normal_mac

_RUN = "/run/loopstart-ata"
_HOST = re.compile(r"[A-Za-z0-9._-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?")


def host_url(text: str) -> str:
    """Where a host is, without a slash at the end: a URL as it is, a name by HTTPS.

    Raises:
        ValueError: it is neither (DHCP option 66 says either; RFC 2132, 9.4).
    """
    plain = text.strip().rstrip("\0").rstrip("/")
    if _HOST.fullmatch(plain):
        return f"https://{plain}"
    from urllib.parse import urlsplit  # for those alone who are provisioned

    parts = urlsplit(plain)  # ValueError where brackets or the port are wrong
    wrong = parts.username or parts.query or parts.fragment or parts.port == 0
    if parts.scheme not in ("https", "http") or not parts.hostname or wrong:
        raise ValueError(f"`{text[:60]}` is no address of a host; write https://host.example")
    return plain


def _check_url(text: str) -> str:
    if not text:
        return ""
    try:
        host_url(text)
    except ValueError as error:
        return str(error).partition(";")[0]
    return ""


def _check_secret(text: str) -> str:
    return "" if not text or is_secret(text) else "is no secret of a device"


def _check_mac(text: str) -> str:
    if not text:
        return ""
    try:
        normal_mac(text)
    except ValueError as error:
        return str(error).partition(":")[0]
    return ""


def _check_ca(text: str) -> str:
    if not text or "-----BEGIN CERTIFICATE-----" in text:
        return ""
    return "holds no certificate in PEM"


@dataclass(frozen=True, slots=True)
class ProvisioningConfig:
    """`[provisioning]`: the device asks its host for configuration and firmware."""

    url: str = setting("", check=_check_url, remedy='write `url = "https://host.example"`')
    """Empty: what DHCP says (option 66)."""
    secret: str = setting(
        "", check=_check_secret, remedy="take it from `loopstart-host device secret MAC`"
    )
    """The one for one use, which the device changes for one of its own."""
    mac: str = setting("", check=_check_mac, remedy='write `mac = "02:00:5e:10:00:01"`')
    """Empty: that of the first network interface."""
    ca_file: str = ""
    """Authorities that may vouch for the host; empty: those of the system."""
    ca: str = setting(
        "", check=_check_ca, remedy="write the text of the authority's file between three quotes"
    )
    """The same, as the certificates themselves in PEM: so they come with the configuration."""
    verify: bool = True
    """False lets anybody pose as the host, who then has its secret."""
    plain_http: bool = False
    """True takes a URL that begins with http://."""
    register_within_s: int = setting(900, least=60, most=86_400)
    """A new version that has not registered for so long, while the host answers, is given up."""
    run_dir: str = _RUN
    """Folder that a restart empties: the lines' states, and what DHCP has said."""

    @staticmethod
    def problem(value: ProvisioningConfig) -> tuple[str, str, str] | None:
        """What no annotation can say: key, what is wrong, remedy."""
        if value.url.startswith("http://") and not value.plain_http:
            remedy = "write https://, or, knowing the risk, `plain_http = true`"
            return "url", "is not HTTPS, so that anybody on the way has the secret", remedy
        return None


@dataclass(frozen=True, slots=True)
class Places:
    """Folders and files of one device's provisioning."""

    run: Path
    """A restart empties it."""
    state: Path
    """Outlives a restart."""

    @staticmethod
    def of(given: ProvisioningConfig, state_dir: str) -> Places:
        """
        Args:
            state_dir: as the device's configuration has it.
        """
        return Places(Path(given.run_dir), state_folder(state_dir) / "provisioning")

    @property
    def secret(self) -> Path:
        """The device's own secret, and whose it is."""
        return self.state / "secret.json"

    @property
    def kept(self) -> Path:
        """See `firmware.update.values.Kept`."""
        return self.state / "kept.json"

    @property
    def received(self) -> Path:
        """See `firmware.update.progress`."""
        return self.state / "received.json"

    @property
    def tests(self) -> Path:
        """Folder of line tests that wait for the host."""
        return self.state / "tests"

    @property
    def option_66(self) -> Path:
        """What DHCP has said; the client's script writes it."""
        return self.run / "dhcp-option-66"
