"""A node says whether it enforces network policies, and whoever writes one is warned if it does not."""

import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from apimachinery.core import nodes
from apimachinery.core.well_known import NETWORK_POLICY_CONDITION
from apimachinery.types import core_v1, meta_v1
from kube_client import Client
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.kube_proxy.lab import NODE_NAME, Lab
from tests.processes import Process
from tests.support import eventually

POLICY = {"metadata": {"name": "deny"}, "spec": {"podSelector": {}}}
POLICIES = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"


@pytest.fixture
async def client(lab: Lab, apiserver: ApiserverProcess) -> AsyncIterator[Client]:
    async with apiserver.client() as client:
        await client.resource(core_v1.Node).create(core_v1.Node(metadata=meta_v1.ObjectMeta(name=NODE_NAME)))
        yield client


@contextlib.contextmanager
def running(apiserver: ApiserverProcess, log: Path, *flags: str, path: str = os.environ["PATH"]) -> Iterator[None]:
    command = (sys.executable, "-m", "kube_proxy", f"--kubeconfig={apiserver.kubeconfig}")
    ports = ("--healthz-bind-address=127.0.0.1:0", "--metrics-bind-address=127.0.0.1:0")
    environment = {**os.environ, "PATH": path}
    process = Process(log, *command, f"--hostname-override={NODE_NAME}", *ports, *flags, environment=environment)
    process.spawn()
    try:
        yield
    except BaseException:
        print(log.read_text())
        raise
    finally:
        process.kill()


async def reported(client: Client) -> tuple[str, str, str]:
    """Status, reason and message of the node's condition; empty while it has none."""
    node = await client.resource(core_v1.Node).get(NODE_NAME)
    condition = nodes.condition(node, NETWORK_POLICY_CONDITION)
    return (condition.status, condition.reason or "", condition.message or "") if condition else ("", "", "")


async def warnings(apiserver: ApiserverProcess) -> str:
    async with apiserver.http() as http:
        answer = await http.post(f"{POLICIES}?dryRun=All", json=POLICY)
    assert answer.status_code == 201
    return answer.headers.get("warning", "")


async def test_a_host_without_address_sets_says_so_until_it_has_them(
    lab: Lab, apiserver: ApiserverProcess, client: Client, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("ip", "conntrack", "iptables", "iptables-save", "iptables-restore"):
        (programs / name).symlink_to(str(shutil.which(name)))
    assert "no kube-proxy has reported" in await warnings(apiserver)
    with running(apiserver, tmp_path / "log", path=str(programs)):

        async def failed() -> bool:
            return (await reported(client))[:2] == ("False", "HostCannot")

        await eventually(failed)
        assert "ipset: No such file or directory" in (await reported(client))[2]
        assert f"not enforced on {NODE_NAME}: ipset: No such file" in await warnings(apiserver)
        (programs / "ipset").symlink_to(str(shutil.which("ipset")))

        async def enforced() -> bool:
            return (await reported(client))[:2] == ("True", "RulesInPlace")

        await eventually(enforced)
        assert await warnings(apiserver) == ""


async def test_a_proxy_that_is_told_not_to_enforce_says_so(
    lab: Lab, apiserver: ApiserverProcess, client: Client, tmp_path: Path
) -> None:
    with running(apiserver, tmp_path / "log", "--network-policy=false"):

        async def disabled() -> bool:
            return (await reported(client))[:2] == ("False", "Disabled")

        await eventually(disabled)
        assert "--network-policy=false" in await warnings(apiserver)
