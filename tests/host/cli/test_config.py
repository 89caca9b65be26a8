"""Configuration files: what is right is read, what is wrong is named with its line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from host.cli.config import ConfigError, default_database, load, parse
from host.settings import Listener, Settings

FULL = """
database = "db/host.sqlite"
host_id = "montreal-1"
rules_off = ["balance"]

[[listeners]]
pop = "montreal"
address = "127.0.0.1"
port = 5060

[[listeners]]
pop = "toronto"
port = 5070
transport = "tcp"

[sip]
realm = "example.net"
digest_algorithms = ["MD5"]

[charging]
quota_s = 30
commit_window_ms = 0
"""


def test_without_a_file_the_defaults_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/var/lib/x")
    assert load(None).database == "/var/lib/x/loopstart/host.sqlite"
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    assert default_database() == Path.home() / ".local/state/loopstart/host.sqlite"


def test_a_full_file() -> None:
    settings = parse(FULL, Path("/etc/loopstart/host.toml"))
    assert settings.database == "/etc/loopstart/db/host.sqlite"
    assert settings.listeners[1] == Listener("toronto", port=5070, transport="tcp")
    assert settings.sip.digest_algorithms == ("MD5",)
    assert (settings.charging.quota_s, settings.charging.renew_before_s) == (30, 10)
    assert parse("", Path("x")).sip == Settings().sip


def test_a_listener_of_iax2_has_its_own_port_unless_told_otherwise() -> None:
    text = "[[listeners]]\ntransport = 'iax2'\n[[listeners]]\ntransport = 'iax2'\nport = 4570\n"
    assert [one.port for one in parse(text, Path("x")).listeners] == [4569, 4570]
    clash = text + "[media]\nbridge_min_port = 25000\n"
    with pytest.raises(ConfigError, match=r"x:7: media\.bridge_min_port: .* relay"):
        parse(clash, Path("x"))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[charging]\n\nqouta_s = 3", 3, "did you mean 'quota_s'"),
        ("[sipp]\nrealm = 'x'", 1, "did you mean 'sip'"),
        ("zzz = 1", 1, "known here: database"),
        ("[[listeners]]\n[[listeners]]\nprot = 1", 3, "listeners.2.prot"),
        ("[charging]\nquota_s = '30'", 2, "valid integer, but it says '30'"),
        ("[charging]\nquota_s = true", 2, "valid integer"),
        ("charging = 3", 1, "charging"),
        ("[charging]\ncommit_window_ms = 21", 2, "from 0 to 20"),
        ("charging.commit_window_ms = 21", 1, "from 0 to 20"),
        ("[charging]\nquota_s = 5", 1, "below quota_s"),
        ("[[listeners]]\nport = 5060\n[[listeners]]\nport = 70000", 4, "from 1 to 65535"),
        ("[[listeners]]\naddress = 'example.net'", 2, "IP address"),
        ("[[listeners]]\ntransport = 'tls'", 2, "certificate and key"),
        (
            "[[listeners]]\ntransport = 'tls'\ncertificate = 'no.pem'\nkey = 'no.pem'",
            3,
            "cannot be read",
        ),
        ("[[listeners]]\ntransport = 'sctp'", 2, "'udp', 'tcp', 'tls' or 'iax2'"),
        ("[[listeners]]\n[[listeners]]\npop = 'b'", 3, "another listener"),
        ("listeners = []", 1, "without a listener"),
        ("[media]\nmin_port = 30000\n", 2, "below max_port"),
        ("[sip]\ndigest_algorithms = ['MD4']", 2, "use SHA-256"),
        ("rules_off = ['gravity']", 1, "is no rule"),
        ("x = = 1", 1, "no TOML"),
        ("a = 1\n[", 2, "no TOML"),
    ],
)
def test_a_wrong_file_names_line_and_remedy(text: str, line: int, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(text, Path("/etc/host.toml"))
    print(error.value)
    assert said in str(error.value)
    if "below quota_s" not in said and "another listener" not in said:
        assert str(error.value).startswith(f"/etc/host.toml:{line}: ")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "no.toml")
    (tmp_path / "latin.toml").write_bytes(b"realm = '\xe9'")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(tmp_path / "latin.toml")
