"""The section [iax2] of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from boards.schema import loads
from firmware.app import main
from firmware.config import Config, Iax2Config, parse_iax2_server

EXAMPLE = Path(__file__).parents[2] / "firmware" / "example.toml"
GOOD = '[iax2]\nusername = "1"\npassword = "p"\nservers = ["pop.example"]\n'


def test_the_example_shows_every_default_of_iax2() -> None:
    """Given the example with [iax2] uncommented in place of [sip], then it is all defaults."""
    shown = EXAMPLE.read_text()
    head, _, rest = shown.partition("\n[sip]\n")
    section = rest.partition("#[iax2]\n")[2].partition("[line]")[0]
    lines = [one.removeprefix("#") for one in section.splitlines()]
    config = loads(Config, head + "\n[iax2]\n" + "\n".join(lines))
    assert config.sip is None
    assert config.iax2 == Iax2Config("100001", "change-me", ("127.0.0.1:4569",))
    for name in Iax2Config.__slots__:  # type: ignore[attr-defined]
        assert f"#{name} = " in section, f"{name} is not explained"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + 'codecs = ["G729"]', ':5: iax2.codecs[0]: the string "G729"'),
        (GOOD + "codecs = []", ":5: iax2.codecs: no codec is named"),
        (GOOD.replace("pop.example", "pop:99999"), ":4: iax2.servers[0]: port 99999"),
        (GOOD.replace("pop.example", "a;transport=tcp"), "write `servers = ["),
        (GOOD + "jitter_least_ms = 300\njitter_most_ms = 100", "is less than jitter_least_ms"),
        (GOOD + 'encryption = "yes"', 'choose one of "no", "offer", "require"'),
        (GOOD + "keepalive_s = 1", "did you mean `keep_alive_s`?"),
        (
            GOOD + '[sip]\nusername = "1"\npassword = "p"\nservers = ["a"]',
            ":1: iax2: a device speaks SIP or IAX2, not both; remove [sip] or [iax2]",
        ),
        ('[line]\ncountry = "US"', "no account is named; add a section [sip] or [iax2]"),
        ('[iax2]\nusername = "1"\nservers = ["a"]', ":1: iax2: `password` is missing; add `pass"),
        (GOOD.replace('"1"', '""'), "no name of 1 to 128 printable characters"),
    ],
)
def test_a_wrong_section_names_line_and_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    path = tmp_path / "ata.toml"
    path.write_text(text)
    assert main(["--config", str(path), "--check"]) == 2
    assert words in capsys.readouterr().err


def test_servers() -> None:
    assert str(parse_iax2_server("pop.example")) == "pop.example:4569"
    assert str(parse_iax2_server("[2001:db8::1]:4570")) == "[2001:db8::1]:4570"
    assert parse_iax2_server("[2001:db8::1]").host == "2001:db8::1"
