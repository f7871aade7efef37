"""Clients for Python of many ages watch, read logs and run commands."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import python_clients
from tests.e2e.lab import Lab, sleeper


@pytest.fixture(scope="module")
def namespace(lab: Lab) -> Iterator[str]:
    """With one running pod, ``speaker``, which has said a line."""
    with lab.namespace("python-clients") as name:
        pod = sleeper("speaker", ["sh", "-c", "echo a line; exec sleep 3600"])
        pod["metadata"]["labels"] = {"app": "speaker"}
        lab.apply(pod, namespace=name)
        lab.ready_pods("app=speaker", 1, name)
        yield name


@pytest.mark.parametrize("version", python_clients.VERSIONS)
def test_a_client_watches_reads_logs_and_runs_commands(lab: Lab, namespace: str, version: str) -> None:
    program = "asynchronous.py" if version.startswith("kubernetes_asyncio") else "official.py"
    command = [python_clients.interpreter(version), Path(python_clients.__file__).with_name(program)]
    environment = {**os.environ, "KUBECONFIG": str(lab.state / "kubeconfig")}
    done = subprocess.run([*command, namespace, "speaker"], env=environment, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ADDED speaker\na line\nhello from a container\n"
