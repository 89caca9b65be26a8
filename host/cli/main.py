"""The command `loopstart-host`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from host.cli import (
    api,
    barred,
    calls,
    carriers,
    compiling,
    completion,
    destinations,
    device,
    fees,
    funds,
    live,
    mail,
    money,
    numbers,
    rates,
    serve,
    simulate,
    store,
    wires,
)
from host.cli.config import ConfigError, load
from host.cli.context import Context
from host.cli.output import fail

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The prepaid host that devices register to.",
    epilog="--config and --json may stand anywhere. Exit status: 0 done, 1 not found or a check "
    "failed, 2 wrong usage or configuration. Example: loopstart-host --config host.toml serve",
)
app.add_typer(numbers.account, name="account")
app.add_typer(numbers.did, name="did")
app.add_typer(numbers.pop, name="pop")
app.add_typer(carriers.app, name="carrier")
app.add_typer(rates.app, name="rates")
app.command("pay", epilog="Example: loopstart-host pay alice 15 --provider card --id ch_1")(
    money.pay
)
app.command("serve", epilog="Example: loopstart-host serve --config host.toml")(serve.serve)
app.add_typer(calls.app, name="calls")
app.add_typer(api.app, name="api")
app.command("registrations", epilog="Example: loopstart-host registrations alice")(
    live.list_registrations
)
app.command("status", epilog="Example: loopstart-host status --config host.toml")(live.status)
app.command("completion", epilog="Example: loopstart-host completion bash >> ~/.bashrc")(
    completion.completion
)
app.command("compile", epilog="Example: loopstart-host compile")(compiling.compile_core)
app.command("simulate", epilog="Example: loopstart-host simulate --seed 1 --seeds 1000")(
    simulate.simulate
)
app.add_typer(money.cdr, name="cdr")
app.add_typer(money.ledger, name="ledger")
app.add_typer(funds.deposit, name="deposit")
app.add_typer(wires.wire, name="wire")
app.add_typer(funds.transactions, name="transactions")
app.command("refund", epilog="Example: loopstart-host refund pi_3Q 10")(funds.refund)
app.command("returns", epilog="Example: loopstart-host returns --state asked")(funds.returns)
app.command("chargeback", epilog="Example: loopstart-host chargeback pi_3Q --id dp_1")(
    funds.chargeback
)
app.add_typer(destinations.forward, name="forward")
app.add_typer(destinations.sip_uri, name="sip-uri")
app.add_typer(destinations.ring_group, name="ring-group")
app.add_typer(destinations.caller_filter, name="caller-filter")
app.add_typer(barred.blocked, name="blocked")
app.add_typer(barred.emergency, name="emergency")
app.add_typer(fees.fees, name="fees")
app.add_typer(mail.threshold, name="threshold")
app.add_typer(mail.mail, name="mail")
app.add_typer(device.app, name="device")
app.add_typer(store.store, name="store")


@app.callback()
def options(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="TOML file; without it the defaults stand.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read the configuration that every command goes by."""
    if ctx.resilient_parsing or "--help" in sys.argv:
        return
    try:
        ctx.obj = Context(load(config), as_json, config)
    except ConfigError as error:
        fail(str(error), 2)


def hoist(arguments: list[str]) -> list[str]:
    """Bring `--config FILE` and `--json` to the front, where the parser wants them."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "--config":
            front += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word == "--json" or word.startswith("--config="):
            front.append(word)
        else:
            rest.append(word)
    return front + rest


def main() -> None:
    """Run the command line."""
    app(hoist(sys.argv[1:]), prog_name="loopstart-host")


if __name__ == "__main__":
    main()
