"""`python3 tasks.py ports`: the serial ports of this computer, and whether they can be used."""

from __future__ import annotations

import argparse
import json
import os
import sys

from rich.console import Console
from rich.table import Table
from serial.tools import list_ports


def found() -> list[dict[str, object]]:
    """Each port: `port`, `what` it is, its `serial` number, and whether we `may` use it."""
    rows: list[dict[str, object]] = []
    for one in sorted(list_ports.comports()):
        may = os.access(one.device, os.R_OK | os.W_OK)
        what = one.description if one.description != "n/a" else ""
        rows.append(
            {"port": one.device, "what": what, "serial": one.serial_number or "", "may": may}
        )
    return rows


def main(words: list[str]) -> int:
    """List them; exit status 1 where there is none."""
    parser = argparse.ArgumentParser(
        prog="python3 tasks.py ports", description="Lists the serial ports of this computer."
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a port")
    as_json = parser.parse_args(words).json
    rows = found()
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return 0 if rows else 1
    if not rows:
        print("this computer has no serial port: plug the cable in", file=sys.stderr)
        return 1
    table = Table("port", "what it is", "serial number", "yours to use", box=None)
    for row in rows:
        cells = (str(row["port"]), str(row["what"]), str(row["serial"]))
        table.add_row(*cells, "yes" if row["may"] else "no")
    Console().print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
