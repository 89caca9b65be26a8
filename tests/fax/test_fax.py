"""A page from device to device through the host, over SIP and IAX2 and through 40 ms of jitter."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from tests.fax.libraries import spandsp, tiff
from tests.fax.pages import page, read_pages, write_pages
from tests.fax.session import Bench, Protocol, Report, real_time
from tests.fax.terminal import FaxTerminal

try:
    spandsp(), tiff()
except OSError as error:
    pytest.skip(str(error), allow_module_level=True)

ROWS = 250


async def fax(folder: Path) -> list[Report]:
    """A page over each protocol, at the same time. Over SIP the call begins in G.722."""
    accounts: dict[Protocol, str] = {"sip": 'codecs = ["G722", "PCMU"]', "iax2": ""}
    benches = []
    for protocol, account in accounts.items():
        own = folder / protocol
        own.mkdir()
        benches.append(Bench(own, protocol, [page(7, ROWS)], account=account))
    return await asyncio.gather(*(bench.play(print, 60) for bench in benches))


@pytest.mark.slow
def test_a_page_arrives_pixel_for_pixel(tmp_path: Path) -> None:
    with real_time():
        reports = asyncio.run(fax(tmp_path))
    for report in reports:
        assert report.equal == 1, report
        assert report.good, report
        assert all(report.switched.values()), "both devices have heard what it is"
        assert report.link.most_ms > 35


def test_a_page_survives_the_instrument_itself(tmp_path: Path) -> None:
    """Two terminals joined by nothing: what the pages, libtiff and spandsp do alone."""
    sent, received = tmp_path / "sent.tif", tmp_path / "received.tif"
    papers = [page(1, 300), page(2, 200)]
    write_pages(sent, papers)
    ends = FaxTerminal(sent, calling=True), FaxTerminal(received, calling=False)
    for _ in range(50 * 120):
        one, other = (end.speak() for end in ends)
        ends[0].hear(other)
        ends[1].hear(one)
        if all(end.over for end in ends):
            break
    assert all(end.result().ok for end in ends)
    assert ends[0].result().bit_rate == 14_400
    there = read_pages(received)
    assert [paper.shape for paper in there] == [paper.shape for paper in papers]
    assert all(np.array_equal(one, other) for one, other in zip(papers, there, strict=True))
    assert not np.array_equal(page(1, 300), page(2, 300)), "pages differ by their seed"
