"""Commands: device firmware."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from host.cli.context import Context, now
from host.cli.output import fail, say, show
from host.devices import firmware as images
from host.devices import registry

firmware = typer.Typer(no_args_is_help=True, help="Images, and which devices are to run them.")

_Macs = Annotated[list[str] | None, typer.Argument(help="MAC addresses.")]
_Named = Annotated[str, typer.Argument(help="Version, label, or the beginning of its SHA-256.")]


def _folder(env: Context) -> Path:
    return Path(env.settings.provisioning.firmware_dir)


@firmware.command("add", epilog="Example: loopstart-host device firmware add qemu-arm64-7.img")
def firmware_add(ctx: typer.Context, file: Path) -> None:
    """Check an image, and keep a copy for devices."""
    env: Context = ctx.obj
    key = bytes.fromhex(env.settings.provisioning.public_key)
    with env.writing() as conn:
        made = images.add(conn, now(), _folder(env), file, key)
    text = f"version {made.version} ({made.label}) for {made.board} added, {made.octets} octets"
    say(text, as_json=env.json, **made._asdict())


@firmware.command("list", epilog="Example: loopstart-host device firmware list")
def firmware_list(ctx: typer.Context) -> None:
    """All images, and how many devices are to run each."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = [one._asdict() for one in images.images(conn)]
    columns = ("board", "version", "label", "octets", "devices", "added_utc_ms", "sha256")
    show(rows, columns, as_json=env.json, empty="none yet: `device firmware add FILE`")


@firmware.command("set", epilog="Example: loopstart-host device firmware set 7 02:00:5e:10:00:01")
def firmware_set(
    ctx: typer.Context,
    named: _Named,
    macs: _Macs = None,
    board: Annotated[str, typer.Option(help="All devices with this board.")] = "",
) -> None:
    """Let devices run a version: they fetch it, try it while nobody calls, or go back."""
    _want(ctx.obj, named, macs or [], board)


@firmware.command("unset", epilog="Example: loopstart-host device firmware unset 02:00:5e:10:00:01")
def firmware_unset(
    ctx: typer.Context,
    macs: _Macs = None,
    board: Annotated[str, typer.Option(help="All devices with this board.")] = "",
) -> None:
    """Let devices keep what they run."""
    _want(ctx.obj, "", macs or [], board)


def _want(env: Context, named: str, macs: list[str], board: str) -> None:
    if not macs and not board:
        fail("no device is named: give MAC addresses, or --board NAME", 2)
    with env.writing() as conn:
        if board:
            macs = [*macs, *(one.mac for one in registry.devices(conn) if one.board == board)]
        changed = images.want(conn, macs, named)
    what = f"are to run {named}" if named else "keep what they run"
    say(f"{len(changed)} devices {what}", as_json=env.json, devices=changed, firmware=named)


@firmware.command("remove", epilog="Example: loopstart-host device firmware remove 6")
def firmware_remove(ctx: typer.Context, named: _Named) -> None:
    """Delete an image that no device is to run."""
    env: Context = ctx.obj
    with env.writing() as conn:
        gone = images.remove(conn, _folder(env), named)
    say(f"version {gone.version} for {gone.board} removed", as_json=env.json, **gone._asdict())
