"""`python3 tasks.py rules`: each rule and price of the page altered, and its test seen to fail."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import track

from tests.host.rules.altering import copy_project, play, read_rules


def main() -> int:
    """0: each test noticed; 1: one did not."""
    asked = argparse.ArgumentParser(prog="tasks.py rules", description=__doc__)
    asked.add_argument("--json", action="store_true", help="one object a rule")
    as_json = asked.parse_args().json
    rules = read_rules()
    console = Console(stderr=as_json)
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_project(Path(folder))
        for rule in track(rules, "rules", console=console, disable=not console.is_terminal):
            failed, told = play(rule, copy)
            missed += not failed
            if as_json:
                row = {"page": rule.page, "file": rule.file, "test": rule.test, "caught": failed}
                print(json.dumps(row), flush=True)
            else:
                word = "[green]caught[/]" if failed else f"[red]missed[/] ({told})"
                console.print(f"{word}  {rule.page}", highlight=False, soft_wrap=True)
    console.print(f"rules: {len(rules) - missed} of {len(rules)} altered rules and prices caught")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
