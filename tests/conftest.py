"""What all tests share: which store they are run over."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import stores

LONG = (
    "scenarios/test_demo.py",
    "host/simulate/test_seeds.py",
    "scenarios/test_transfers.py",
    "host/api/test_v2_described.py",
    "host/store/test_outage.py",
    "scenarios/test_streams.py",
    "host/simulate/test_command.py",
    "boards/test_power_cuts.py",
    "boards/test_flash_real.py",
    "scenarios/test_edges.py",
    "host/rules/test_rules.py",
    "host/store/test_upgrade.py",
)
"""Files that take long begin first, the longest before all: one that began last would have a
worker alone at the end. With `--dist loadfile --no-loadscope-reorder`."""

# How long an example takes is the machine's doing: the first one loads a library.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--store",
        choices=("sqlite", "postgres"),
        default=os.environ.get(stores.VARIABLE, "sqlite"),
        help="postgres: over databases of the cluster that PGHOST and so on name",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "sqlite_only(reason): is about the file itself; not tried over PostgreSQL"
    )
    # Processes that tests start, and those that share the tests, go by the environment.
    os.environ[stores.VARIABLE] = config.getoption("--store")
    shares = getattr(config, "workerinput", None) is None and config.getoption("-n", 0)
    if stores.on_postgres() and not shares:
        stores.use_postgres()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    order = {here / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path, len(LONG)))
    if not stores.on_postgres():
        return
    left, kept = [], []
    for item in items:
        mark = item.get_closest_marker("sqlite_only")
        assert mark is None or mark.kwargs.get("reason"), f"{item.nodeid} says not why"
        (left if mark else kept).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


@pytest.fixture(autouse=True)
def _log_handlers_go() -> Iterator[None]:
    """A program that a test plays in this process sets up its log on a stream that goes with the
    test: whoever logged after that would write of the closed stream to the next one's."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler and handler not in before:
            root.removeHandler(handler)


@pytest.fixture(autouse=True)
def _databases_go(request: pytest.FixtureRequest) -> Iterator[None]:
    """Databases of a test go with it."""
    folder: Path | None = None
    if stores.on_postgres() and "tmp_path" in request.fixturenames:
        folder = request.getfixturevalue("tmp_path")
    yield
    if folder:
        stores.forget(folder)
