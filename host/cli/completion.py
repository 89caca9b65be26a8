"""Command: completion."""

from __future__ import annotations

from typing import Annotated

import typer
from typer._completion_shared import get_completion_script

from host.cli.account_options import one_of

_PROGRAM = "loopstart-host"


def completion(shell: Annotated[str, typer.Argument(help="bash, zsh or fish")]) -> None:
    """Print what makes a shell complete commands and options; `--install-completion` sets it up."""
    one_of("shell", shell, ("bash", "zsh", "fish"))
    variable = f"_{_PROGRAM}_COMPLETE".replace("-", "_").upper()
    print(get_completion_script(prog_name=_PROGRAM, complete_var=variable, shell=shell))
