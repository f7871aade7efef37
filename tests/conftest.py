"""Settings for all tests."""

import os

import pytest
from hypothesis import settings

from tests import kubectls

# No deadlines: how long an example takes depends on the machine. A failing example is printed as code, to be added
# to its test.
settings.register_profile("peapod", deadline=None, print_blob=True)
settings.load_profile("peapod")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Unless only unit tests run, put the pinned ``kubectl`` first on the PATH."""
    if any("tests/unit" not in str(item.path) for item in session.items):
        folder = kubectls.program(kubectls.NEW).parent
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
