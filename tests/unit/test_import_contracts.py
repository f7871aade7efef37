"""Each import contract of pyproject.toml, broken on purpose in a copy of the tree, is reported."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]

VIOLATIONS = {
    "Imports point one way, and no daemon imports another": [
        ("kube_proxy/services.py", "import kubelet.options"),
        ("apimachinery/meta.py", "import kube_client.watch"),
        ("host_network/routes.py", "import component_base.logs"),
    ],
    "Only apiserver.storage imports the etcd client": [
        ("kube_dns/zone.py", "import aetcd"),
        ("apiserver/registry/store.py", "import grpc"),
    ],
    "In the apiserver: handlers > bootstrap > admission > registry > storage": [
        ("apiserver/registry/store.py", "import apiserver.admission"),
        ("apiserver/admission/__init__.py", "import apiserver.handlers"),
        ("apiserver/storage/__init__.py", "import apiserver.registry"),
    ],
    "Only the kubelet's runtime imports docker": [
        ("kubelet/node/added_later.py", "import docker"),
        ("kubelet/pods/worker.py", "from docker import errors"),
        ("deploy/lab/engine.py", "import docker"),
    ],
    "Imports point one way inside the kubelet": [("kubelet/runtime/__init__.py", "import kubelet.pods")],
    "Only the proxy's iptables package imports iptc": [
        ("kube_proxy/added_later.py", "import iptc"),
        ("kube_proxy/proxier.py", "from iptc import Rule"),
    ],
    "Imports point one way inside the proxy": [("kube_proxy/services.py", "import kube_proxy.proxier")],
    "Imports point one way inside the proxy's data plane": [
        ("kube_proxy/dataplane/loop.py", "import kube_proxy.dataplane.tcp")
    ],
    "Imports point one way inside the proxy's iptables package": [
        ("kube_proxy/iptables/rules.py", "import kube_proxy.iptables.plan")
    ],
}


def contracts() -> set[str]:
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {contract["name"] for contract in settings["contracts"]}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a copy of the tree that has every violation at once."""
    tree = tmp_path_factory.mktemp("tree")
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]
    for package in settings["root_packages"]:
        shutil.copytree(CHECKOUT / package, tree / package, ignore=lambda _, names: [n for n in names if _is_data(n)])
    shutil.copy(CHECKOUT / "pyproject.toml", tree)
    for violations in VIOLATIONS.values():
        for module, line in violations:
            with (tree / module).open("a") as file:
                file.write(f"\n{line}\n")
    program = Path(sys.executable).with_name("lint-imports")
    command = [str(program), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    result = subprocess.run(command, cwd=tree, capture_output=True, text=True, env=environment)
    assert result.returncode == 1, result.stdout + result.stderr
    return result.stdout


def _is_data(name: str) -> bool:
    return ("." in name and not name.endswith(".py")) or name == "__pycache__"


def test_every_contract_is_broken_here() -> None:
    assert set(VIOLATIONS) == contracts()


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_a_broken_contract_is_reported(contract: str, report: str) -> None:
    assert f"{contract} BROKEN" in " ".join(report.split())


@pytest.mark.parametrize(("module", "line"), [pair for pairs in VIOLATIONS.values() for pair in pairs])
def test_each_forbidden_import_is_named(module: str, line: str, report: str) -> None:
    importer = re.sub(r"(/__init__)?\.py$", "", module).replace("/", ".")
    imported = line.split()[1]
    arrow = rf"{re.escape(importer)} -> {re.escape(imported)}"
    reported = " ".join(report.split())
    assert re.search(arrow, reported) or f"{importer} is not allowed to import {imported}" in reported, reported[-3000:]
