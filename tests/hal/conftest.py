"""A contract test that is skipped where the table of capabilities does not say so fails."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.hal.rigs import EXPECTED_SKIP


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.path.name == "test_line_contract.py":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if EXPECTED_SKIP not in reason:
            report.outcome = "failed"
            report.longrepr = f"a skip that capabilities.toml does not foresee: {reason}"
    return report
