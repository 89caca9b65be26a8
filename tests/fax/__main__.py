"""`python -m tests.fax`: twenty different dense pages from one device to another through the host.

Over SIP and over IAX2, at the same time, each with 40 ms of jitter between devices and host. Every
pixel is compared. Exit status: 0 all pages are equal, 1 some are not, 2 a library is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from tests.fax.libraries import spandsp, tiff
from tests.fax.pages import page
from tests.fax.session import JITTER_MS, Bench, Protocol, Report, real_time

_A_PAGE_S = 75.0
_SETTING_UP_S = 90.0


def tell(report: Report) -> None:
    """What came of one session, for people."""
    ends = {name: end.get("result", {}) for name, end in report.ends.items()}
    retries = sum(end.get("retries", 0) for end in ends.values())
    link = report.link
    late_ms = link.late_ms / link.datagrams if link.datagrams else 0.0
    print(
        f"{report.protocol}: {report.equal} of {report.sent} pages equal "
        f"in {report.seconds:.0f} s; {retries} blocks sent again; {link.datagrams} datagrams, "
        f"{late_ms:.0f} ms late on the average and {link.most_ms:.0f} at most"
    )
    for name, end in ends.items():
        starved = report.ends[name].get("starved", 0)
        said = end.get("text") or "did not end"
        print(f"  {name}: {said}, {end.get('bit_rate', 0)} bit/s, {starved} frames not in time")
        print(f"    data call: {'; '.join(report.switched.get(name, [])) or 'never'}")
        print(f"    audio: {report.audio.get(name) or 'not told'}")


async def send(protocols: list[Protocol], pages: int, seed: int, jitter_ms: float) -> list[Report]:
    """The sessions, all at once."""
    papers = [page(seed + number) for number in range(pages)]
    timeout_s = _SETTING_UP_S + _A_PAGE_S * pages
    with tempfile.TemporaryDirectory(prefix="loopstart-fax-") as folder:

        async def one(protocol: Protocol) -> Report:
            own = Path(folder) / protocol
            own.mkdir()
            bench = Bench(own, protocol, papers, jitter_ms=jitter_ms, seed=seed)
            return await bench.play(lambda text: print(text, file=sys.stderr), timeout_s)

        return list(await asyncio.gather(*map(one, protocols)))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fax", description=__doc__)
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the first page, and of the jitter")
    parser.add_argument("--jitter-ms", type=float, default=JITTER_MS)
    parser.add_argument("--over", choices=get_args(Protocol), action="append")
    parser.add_argument("--json", action="store_true", help="one JSON object a session")
    options = parser.parse_args()
    try:
        spandsp(), tiff()
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    over: list[Protocol] = options.over or list(get_args(Protocol))
    with real_time():
        reports = asyncio.run(send(over, options.pages, options.seed, options.jitter_ms))
    for report in reports:
        if options.json:
            print(json.dumps({**asdict(report), "good": report.good}))
        else:
            tell(report)
    return 0 if all(report.good for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
