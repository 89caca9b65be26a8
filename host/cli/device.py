"""Commands: device."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from host.cli.context import Context, now
from host.cli.device_firmware import firmware
from host.cli.output import Row, fail, say, show, show_one
from host.control_client import Refused, Unreachable, ask
from host.devices import registry, reports
from host.devices.registry import Device

app = typer.Typer(
    no_args_is_help=True,
    help="Telephone adapters: their secrets, configuration, firmware, and how their lines are.",
)
app.add_typer(firmware, name="firmware")

_Mac = Annotated[str, typer.Argument(help="MAC address, as 02:00:5e:10:00:01.")]
_COLUMNS = ("mac", "board", "account", "running", "wanted", "configuration", "seen_utc_ms", "state")
_Board = Annotated[str | None, typer.Option(help="Name of its board, as qemu-arm64.")]
_Account = Annotated[str | None, typer.Option(help="User name that it registers as.")]


def _columns(**given: str | None) -> dict[str, str]:
    return {name: value for name, value in given.items() if value is not None}


@app.command("add", epilog="Example: loopstart-host device add 02:00:5e:10:00:01 --account alice")
def device_add(
    ctx: typer.Context,
    mac: _Mac,
    board: _Board = None,
    account: _Account = None,
    description: str | None = None,
) -> None:
    """Make a device. It is given a secret for one use, which it changes for its own."""
    env: Context = ctx.obj
    columns = _columns(board=board, account=account, description=description)
    with env.writing() as conn:
        plain, secret = registry.add(conn, now(), mac, **columns)
    text = f"device {plain} added, secret for one use {secret} (good for 7 days, kept nowhere)"
    say(text, as_json=env.json, mac=plain, secret=secret)


@app.command("list", epilog="Example: loopstart-host device list --json")
def device_list(ctx: typer.Context) -> None:
    """All devices: what they run and are to run, and when they were last seen."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = [_row(one) for one in registry.devices(conn)]
    show(rows, _COLUMNS, as_json=env.json, empty="no devices yet: `device add MAC`")


@app.command("show", epilog="Example: loopstart-host device show 02:00:5e:10:00:01")
def device_show(ctx: typer.Context, mac: _Mac) -> None:
    """All of one device, with the last tests of its lines and those that failed."""
    env: Context = ctx.obj
    with env.reading() as conn:
        found = registry.device(conn, mac)
        tests = reports.line_tests(conn, found.mac)
    if env.json:
        kept = [one._asdict() for one in tests]
        show_one({**found._asdict(), "line_tests": kept}, as_json=True)
        return
    fields = found._asdict() | {"problems": "; ".join(found.problems)}
    fields |= {"wanted_sha256": found.wanted_sha256 or "", "source": found.source}
    show_one(fields, as_json=False)
    rows = [{"line": one.line, "utc_ms": one.utc_ms, **test} for one in tests for test in one.tests]
    print()
    columns = ("line", "utc_ms", "test", "verdict", "measures", "note")
    show(rows, columns, as_json=False, empty="its lines have not been tested")


@app.command("set", epilog="Example: loopstart-host device set 02:00:5e:10:00:01 --account bob")
def device_set(
    ctx: typer.Context,
    mac: _Mac,
    board: _Board = None,
    account: _Account = None,
    description: str | None = None,
) -> None:
    """Change what is kept of a device; what is not named stays."""
    env: Context = ctx.obj
    columns = _columns(board=board, account=account, description=description)
    if not columns:
        fail(f"nothing to change in {mac}: use --board, --account or --description", 2)
    with env.writing() as conn:
        plain = registry.change(conn, mac, **columns)
    say(f"device {plain} changed", as_json=env.json, mac=plain, **columns)


@app.command("remove", epilog="Example: loopstart-host device remove 02:00:5e:10:00:01")
def device_remove(ctx: typer.Context, mac: _Mac) -> None:
    """Forget a device and its secret; what it runs it goes on running."""
    env: Context = ctx.obj
    with env.writing() as conn:
        plain = registry.remove(conn, mac)
    say(f"device {plain} removed", as_json=env.json, mac=plain)


@app.command("secret", epilog="Example: loopstart-host device secret 02:00:5e:10:00:01 --revoke")
def device_secret(
    ctx: typer.Context,
    mac: _Mac,
    revoke: Annotated[bool, typer.Option(help="The one that it has is good no more.")] = False,
) -> None:
    """Issue a secret for one use, for a device that has lost its own, or let it be stolen."""
    env: Context = ctx.obj
    with env.writing() as conn:
        secret = registry.issue_once(conn, now(), mac, revoke=revoke)
        plain = registry.known(conn, mac)
    text = f"secret for one use of {plain}: {secret} (good for 7 days, kept nowhere)"
    say(text, as_json=env.json, mac=plain, secret=secret, revoked=revoke)


@app.command("sync", epilog="Example: loopstart-host device sync 02:00:5e:10:00:01")
def device_sync(
    ctx: typer.Context,
    mac: _Mac,
    restart: Annotated[
        bool, typer.Option(help="It may start anew for it; Loopstart's own does not need to.")
    ] = False,
) -> None:
    """Let a device ask for its configuration and firmware now, by a NOTIFY of `check-sync`.

    It goes to where the device's account is registered over SIP. Over IAX2 there is no such
    message: the device asks when its interval is over.
    """
    env: Context = ctx.obj
    with env.reading() as conn:
        found = registry.device(conn, mac)
        query = "SELECT id FROM account WHERE username = ?"
        row = conn.execute(query, (found.account,)).fetchone()
    if row is None:
        fail(f"whose {mac} is, is not known: `device set {mac} --account NAME`")
    try:
        asked = ask(env.settings.control, "sync", account_id=row[0], restart=restart)
    except (Unreachable, Refused) as error:
        fail(str(error))
    if not asked["told"]:
        how = "registered over IAX2" if asked["over_iax2"] else "not registered at this host"
        fail(f"{found.account} is {how}: {found.mac} asks when its interval is over")
    text = f"{asked['told']} registrations of {found.account} were told"
    say(text, as_json=env.json, mac=found.mac, account=found.account, **asked)


@app.command("config", epilog="Example: loopstart-host device config 02:00:5e:10:00:01 ata.toml")
def device_config(
    ctx: typer.Context,
    mac: _Mac,
    file: Annotated[
        Path | None, typer.Argument(help="TOML, as `loopstart-ata --check` takes it; - is stdin.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Let it keep the one that it has.")] = False,
) -> None:
    """Give a device its configuration, which it fetches; without a file, print it.

    The device checks it, takes it when nobody calls, and goes back to the one before if it does
    not register with it; `device show` says so.
    """
    env: Context = ctx.obj
    if file is None and not none:
        with env.reading() as conn:
            text = registry.config_of(conn, mac)
        if not text:
            fail(f"{mac} has no configuration here: `device config {mac} FILE`")
        if env.json:
            say("", as_json=True, mac=mac, configuration=text)
        else:
            print(text, end="")
        return
    text = "" if file is None or none else _read(file)
    with env.writing() as conn:
        given = registry.set_config(conn, mac, text)
        plain = registry.known(conn, mac)
    words = f"device {plain} is to have this configuration" if text else f"{plain} keeps its own"
    say(words, as_json=env.json, mac=plain, sha256=given.sha256 if text else None)


def _read(file: Path) -> str:
    try:
        octets = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return octets.decode("utf-8")
    except OSError as error:
        fail(f"{file}: {error.strerror}: name a file that can be read")
    except UnicodeDecodeError:
        fail(f"{file} is not UTF-8 text: save it as UTF-8")


def _row(one: Device) -> Row:
    row: dict[str, Any] = one._asdict()
    row["running"] = f"{one.label or '?'} ({one.version})" if one.version else ""
    row["wanted"] = str(one.wanted_version or "")
    row["configuration"] = ("taken" if one.config_taken else "waits") if one.configured else "own"
    row["state"] = _state(one)
    return row


def _state(one: Device) -> str:
    if one.problems:
        return "has a problem"
    if not one.has_secret:
        return "has no secret of its own yet"
    if one.seen_utc_ms is None:
        return "never seen"
    waits = one.wanted_version not in (None, one.version)
    return "to be updated" if waits or (one.configured and not one.config_taken) else "up to date"
