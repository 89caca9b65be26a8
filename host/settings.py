"""What an operator may set for one host, as plain values.

The process that carries calls gets these ready made; they are read from TOML, checked and
explained by `host.cli.config`, which that process never imports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Transport = Literal["udp", "tcp", "tls", "iax2"]


@dataclass(frozen=True, slots=True)
class Listener:
    """One address that devices and carriers send to, over SIP or (`iax2`) over IAX2. Its POP is
    the POP of what registers there."""

    pop: str = "default"
    address: str = "127.0.0.1"
    port: int = 5060
    """In the file the default is 4569 where the transport is `iax2` (RFC 5456, 10)."""
    transport: Transport = "udp"
    advertised: str = ""
    """Host name or address that peers see (Via, Contact); empty: `address`."""
    certificate: str = ""
    """Path of a PEM certificate chain (TLS only)."""
    key: str = ""
    """Path of the PEM private key (TLS only)."""
    digest_algorithms: tuple[str, ...] = ()
    """Offered here in place of `SipSettings.digest_algorithms`: some old clients take the first
    challenge or none, and know MD5 alone."""


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """The audio relay."""

    address: str = "127.0.0.1"
    """Address that is put into SDP and that the relay binds."""
    min_port: int = 20_000
    max_port: int = 29_998
    bridge_min_port: int = 30_000
    """First of the ports where calls between IAX2 and SIP take RTP; one call uses one."""
    bridge_max_port: int = 39_999
    silence_s: int = 60
    """A call whose media has been silent for so long both ways is ended; 0 means never."""


@dataclass(frozen=True, slots=True)
class ChargingSettings:
    """Quotas (RFC 8506) and durability."""

    quota_s: int = 60
    """Talk time that one hold covers, seconds."""
    renew_before_s: int = 10
    """A hold is renewed so long before it runs out, seconds."""
    max_call_s: int = 14_400
    """No call is longer than this, seconds."""
    commit_window_ms: int = 20
    """Writes are gathered for so long before one durable commit; 0 to 20 milliseconds."""
    heartbeat_ms: int = 1_000


@dataclass(frozen=True, slots=True)
class SipSettings:
    """The SIP side."""

    realm: str = "loopstart"
    digest_algorithms: tuple[str, ...] = ("SHA-256", "MD5")
    """Offered in this order (RFC 8760, 2.4)."""
    min_expires_s: int = 60
    max_expires_s: int = 3_600
    contacts_per_account: int = 10
    session_expires_s: int = 1_800
    """RFC 4028; 0 switches session timers off."""
    min_se_s: int = 90
    batch_ms: int = 120
    """From some 200 datagrams a second on, over SIP and IAX2 together, they are taken in batches,
    at most so far apart, which halves their cost; 0: each at once, whatever the load."""
    ring_s: int = 180
    """An unanswered call is given up after so long."""
    carrier_timeout_s: int = 6
    """A carrier that sends no provisional answer for so long is passed over."""
    overload_pending: int = 2_000
    """Calls waiting for the store at which new ones get 503 with Retry-After."""
    lockout_failures: int = 20
    """Failed authentications from one source within `lockout_s` that lock it out."""
    lockout_s: int = 300
    shutdown_grace_s: int = 10
    """At shutdown calls may finish for so long, then they are ended and settled."""


@dataclass(frozen=True, slots=True)
class Iax2Settings:
    """The IAX2 side (RFC 5456). What calls and lock-outs need stands in `SipSettings`, for both."""

    min_refresh_s: int = 60
    max_refresh_s: int = 3_600
    """Registrations are asked again after what the device wants, within these."""
    max_calls: int = 8_192
    """Calls of one listener, authenticated or not."""
    max_calls_per_address: int = 2_048
    """Of them from one address."""
    max_unauthenticated_per_user: int = 3
    token_life_s: int = 10
    """A call token is good for so long (AST-2009-006)."""
    ping_s: int = 20
    trunk_ms: int = 20
    """Meta frames leave so far apart."""
    trunk_timestamps: bool = True
    """Meta frames bear the time of each of their frames."""
    batch_ms: int = 10
    """While sound goes through IAX2 legs, batches of datagrams (`SipSettings.batch_ms`) are so far
    apart; 0: each at once, whatever the load."""
    encryption: bool = False
    """Calls may be encrypted (AES-128), as accounts and carriers say; needs the Python package
    `cryptography`."""


@dataclass(frozen=True, slots=True)
class MailSettings:
    """How mail to customers leaves; its password stands in LOOPSTART_SMTP_PASSWORD."""

    host: str = ""
    """SMTP server; empty: no mail is sent, it waits."""
    port: int = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    sender: str = ""
    """Mail address that it comes from."""
    timeout_s: int = 30
    poll_s: int = 10
    """The outbox is looked into so often."""


@dataclass(frozen=True, slots=True)
class PaymentSettings:
    """Where customers go after a payment page; the providers' keys stand in the environment."""

    success_url: str = "https://localhost/paid"
    cancel_url: str = "https://localhost/cancelled"
    webhook_address: str = "127.0.0.1"
    webhook_port: int = 8_480
    """Where the providers' webhooks are taken, behind a proxy that speaks TLS."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The API of customers and operators, in a process of its own."""

    enabled: bool = True
    """`serve` starts it."""
    address: str = "127.0.0.1"
    port: int = 8_481
    proxies: tuple[str, ...] = ()
    """Addresses of proxies whose X-Forwarded-For is believed; one of them speaks TLS."""
    requests_per_minute: int = 120
    """Of one customer or operator; more are refused."""
    lockout_failures: int = 10
    """Wrong passwords from one source, or for one name, within `lockout_s` that lock it out."""
    lockout_s: int = 300


@dataclass(frozen=True, slots=True)
class ProvisioningSettings:
    """Configuration and firmware for devices, at `/provision/<mac>` in the API's process."""

    enabled: bool = True
    address: str = ""
    """Of a listener of its own, where devices come without a proxy; empty: none."""
    port: int = 8_482
    certificate: str = ""
    """Path of a PEM certificate chain for that listener."""
    key: str = ""
    """Path of the PEM private key."""
    plain_http: bool = False
    """True lets devices ask without TLS: whoever listens then has their secrets."""
    interval_s: int = 3_600
    """Devices ask so often, and a random part of it later."""
    firmware_dir: str = ""
    """Folder of the images; empty: `firmware` beside the database, or where the default file would
    stand if that is no file."""
    public_key: str = ""
    """Hexadecimal; images that are added have to be signed by its other half. Empty: by whomever
    the devices trust."""


@dataclass(frozen=True, slots=True)
class FeeSettings:
    """What happens to a DID whose monthly fee cannot be paid."""

    enabled: bool = True
    """`serve` starts the job that takes them; of several hosts on one store one is enough."""
    grace_days: int = 7
    """Its calls are still delivered for so long."""
    suspended_days: int = 14
    """Then they are not, for so long; then it is released."""
    poll_s: int = 60
    """Fees that are due are looked for so often."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All of one host."""

    database: str = ""
    """Path of the SQLite file, or `postgresql://` and so on; empty: the default file
    (`host.cli.config`)."""
    host_id: str = "host1"
    """Names this host in the store: it settles its own open calls when it starts."""
    listeners: tuple[Listener, ...] = field(default_factory=lambda: (Listener(),))
    sip: SipSettings = field(default_factory=SipSettings)
    iax2: Iax2Settings = field(default_factory=Iax2Settings)
    media: MediaSettings = field(default_factory=MediaSettings)
    charging: ChargingSettings = field(default_factory=ChargingSettings)
    mail: MailSettings = field(default_factory=MailSettings)
    payments: PaymentSettings = field(default_factory=PaymentSettings)
    fees: FeeSettings = field(default_factory=FeeSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    provisioning: ProvisioningSettings = field(default_factory=ProvisioningSettings)
    control: str = ""
    """Path of the Unix socket by which operators reach live calls; empty: beside the database,
    or where the default file would stand if that is no file."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = True
    rules_off: tuple[str, ...] = ()
    """Test only: names of `host.charging.values.Rule` that are not enforced."""

    @property
    def pop_of(self) -> dict[str, str]:
        """POPs of the listeners, by `address:port` as the store has it of a registration."""
        return {f"{one.address}:{one.port}": one.pop for one in self.listeners}
