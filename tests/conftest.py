"""What holds for tests of every kind."""

import os

import pytest
from hypothesis import settings

from tests import kubectls

# How long an example takes is the machine's business: there are benchmarks for that. An example that failed once is
# printed as code, to be kept beside its test.
settings.register_profile("peapod", deadline=None, print_blob=True)
settings.load_profile("peapod")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Where anything but unit tests runs, ``kubectl`` is the same one on every machine."""
    if any("tests/unit" not in str(item.path) for item in session.items):
        folder = kubectls.program(kubectls.NEW).parent
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
