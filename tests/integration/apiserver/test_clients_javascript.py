"""@kubernetes/client-node, installed from npm into a cache the first time, does its work against a real apiserver."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.apiserver.aged import LONG_AGO, aged_apiserver
from tests.integration.apiserver_process import ApiserverProcess

SCRIPT = Path(__file__).parent / "js" / "client.mjs"
PACKAGE = "@kubernetes/client-node"
VERSION = "1.4.0"  # the newest that runs on Node 20
CACHE = Path(f"/var/tmp/peapod-client-node-{VERSION}")


@pytest.fixture(scope="module")
def library() -> Path:
    if not (CACHE / "node_modules" / PACKAGE / "package.json").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", f"--prefix={CACHE}", f"{PACKAGE}@{VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
        assert done.returncode == 0, f"{PACKAGE} cannot be installed: {done.stderr}"
    return CACHE


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiserverProcess]:
    with aged_apiserver(tmp_path_factory.mktemp("aged")) as server:
        yield server


def test_it_writes_watches_resumes_and_recovers(aged: ApiserverProcess, library: Path) -> None:
    done = subprocess.run(
        ["node", str(SCRIPT), "default", LONG_AGO],
        env={**aged.environment(), "CLIENT_NODE_FOLDER": str(library)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == {
        "created": {"k": "1"},
        "listed": ["a"],
        "patched": {"k": "1", "l": "2"},
        "merged": {"k": "1", "l": "2", "m": "3"},
        "watched": [["ADDED", "b"], ["MODIFIED", "a"]],
        "resumed": [["MODIFIED", "a"], ["DELETED", "b"]],
        "missing": 404,
        "gone": ["ERROR", 410],
        "told": [["add", "a"], ["add", "c"], ["delete", "c"]],
        "left": 0,
    }
