"""Commands: carrier."""

from __future__ import annotations

from typing import Annotated

import typer

from host.cli.account_options import CHOICES, one_of
from host.cli.config import IAX2_PORT
from host.cli.context import Context, rows_of
from host.cli.output import fail, say, show
from host.numbering import provisioning
from host.numbering.values import Carrier

app = typer.Typer(no_args_is_help=True, help="Where calls go out, and come in.")


@app.command("add", epilog="Example: loopstart-host carrier add north 192.0.2.9 --priority 1")
def carrier_add(
    ctx: typer.Context,
    name: str,
    address: str,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Else 5060, or 4569 for IAX2.")
    ] = None,
    transport: Annotated[str, typer.Option(help="udp, tcp, tls or iax2")] = "udp",
    priority: Annotated[int, typer.Option(help="The lowest is tried first.")] = 10,
    source_port: Annotated[
        int | None, typer.Option(help="Port its calls come from; 0: any. Else its port.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Put before the number.")] = "",
    media: Annotated[str, typer.Option(help="relay or direct")] = "relay",
    codecs: str = "PCMU,PCMA,G722",
    username: Annotated[str, typer.Option(help="What we log in with, if it asks.")] = "",
    secret: Annotated[str, typer.Option(help="The password of that.")] = "",
    call_token: Annotated[str, typer.Option(help="IAX2: yes, no or auto")] = "yes",
    encryption: Annotated[str, typer.Option(help="IAX2: no, offer or require")] = "no",
    trunk: Annotated[bool, typer.Option(help="IAX2: voice to it in meta frames.")] = False,
) -> None:
    """Add a carrier, or change the one of that name."""
    env: Context = ctx.obj
    one_of("transport", transport, ("udp", "tcp", "tls", "iax2"))
    given = {"media": media, "call_token": call_token, "encryption": encryption}
    for what, value in given.items():
        one_of(what, value, CHOICES[what])
    if transport != "iax2" and (trunk or encryption != "no"):
        fail("encryption and trunk go with --transport iax2 alone", 2)
    if bool(username) != bool(secret):
        fail("username and secret go together", 2)
    port = port or (IAX2_PORT if transport == "iax2" else 5060)
    with env.writing() as conn:
        provisioning.add_carrier(
            conn,
            Carrier(
                name=name,
                address=address,
                port=port,
                transport=transport,  # type: ignore[arg-type]  # checked above
                prefix=prefix,
                media=media,  # type: ignore[arg-type]  # checked above
                codecs=tuple(part.strip() for part in codecs.split(",") if part.strip()),
                username=username,
                secret=secret,
                call_token=call_token,  # type: ignore[arg-type]  # checked above
                encryption=encryption,  # type: ignore[arg-type]  # checked above
                trunk=trunk,
            ),
            priority=priority,
            source_port=source_port,
        )
    say(f"carrier {name} added", as_json=env.json, name=name, address=address, port=port)


@app.command("list", epilog="Example: loopstart-host carrier list --json")
def carrier_list(ctx: typer.Context) -> None:
    """All carriers in the order in which they are tried."""
    env: Context = ctx.obj
    with env.reading() as conn:
        rows = rows_of(
            conn,
            "SELECT name, priority, address, port, transport, source_port, prefix, media, codecs, "
            "enabled, username, call_token, encryption, trunk FROM carrier ORDER BY priority, name",
        )
    columns = ("name", "priority", "address", "port", "transport", "source_port", "prefix", "media")
    show(rows, columns, as_json=env.json, empty="no carriers: `carrier add NAME ADDRESS`")


@app.command("disable", epilog="Example: loopstart-host carrier disable north")
def carrier_disable(ctx: typer.Context, name: str) -> None:
    """Take no calls to or from a carrier, but for emergencies; live ones go on."""
    _enable(ctx.obj, name, False)


@app.command("enable", epilog="Example: loopstart-host carrier enable north")
def carrier_enable(ctx: typer.Context, name: str) -> None:
    """Take calls to and from a carrier again."""
    _enable(ctx.obj, name, True)


def _enable(env: Context, name: str, enabled: bool) -> None:
    with env.writing() as conn:
        provisioning.enable_carrier(conn, name, enabled)
    text = f"carrier {name} is {'enabled' if enabled else 'disabled'}"
    say(text, as_json=env.json, name=name, enabled=enabled)


@app.command("remove", epilog="Example: loopstart-host carrier remove north")
def carrier_remove(ctx: typer.Context, name: str) -> None:
    """Remove a carrier."""
    env: Context = ctx.obj
    with env.writing() as conn:
        provisioning.remove_carrier(conn, name)
    say(f"carrier {name} removed", as_json=env.json, name=name)
