"""The lab in which end-to-end tests run. It is removed afterwards in any case."""

from collections.abc import Iterator

import pytest

from tests.e2e.lab import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A cluster of two nodes that all tests share; each test uses its own names."""
    lab = Lab("e2e")
    lab.make("clean")
    try:
        lab.up()
        yield lab
    finally:
        lab.make("clean")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add the daemons' logs to the report of a failed test."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.when == "call" and report.failed and lab is not None:
        report.sections.append(("daemons' logs", lab.logs()))
