"""The lab in which end-to-end tests run, which is removed afterwards in any case, and its kubectls."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kubectl_clients import NEW, OLD, ROOT_CA, Kubectl, documents, settled, text
from tests.e2e.lab import Lab, eventually


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


@pytest.fixture(scope="module", params=[NEW, OLD])
def kubectl_home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A version, and a home that keeps its discovery cache."""
    return request.param, tmp_path_factory.mktemp(f"kubectl-{request.param}")


_numbers = itertools.count(1)


@pytest.fixture
def kubectl(lab: Lab, kubectl_home: tuple[str, Path]) -> Iterator[Kubectl]:
    """In its own namespace, which is deleted with the cluster-scoped objects named after it."""
    with lab.namespace(f"matrix-{next(_numbers)}") as name:
        client = Kubectl(kubectl_home[0], lab, kubectl_home[1], name)
        eventually(lambda: client.run("get", "configmaps", "-o", "name") == f"configmap/{ROOT_CA}\n")
        yield client
        lab.kubectl("delete", "node,namespace", f"{name}-node", f"{name}-more", "--ignore-not-found", "--wait=false")


@pytest.fixture
def everything(kubectl: Kubectl, tmp_path: Path) -> Path:
    """A file with one document of each kind, all of which have been created."""
    file = tmp_path / "all.yaml"
    file.write_text(text(documents(kubectl.namespace)))
    kubectl.run("create", "-f", str(file))
    settled(kubectl)
    return file


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add the daemons' logs to the report of a failed test."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.when == "call" and report.failed and lab is not None:
        report.sections.append(("daemons' logs", lab.logs()))
