"""Controllers act as service accounts of their own, as the audit log of a real apiserver shows."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import gettempdir

import pytest
import yaml

from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import ObjectMeta
from deploy.lab.certificates import write_service_account_keys
from kube_client import Client
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.integration.daemon_process import DaemonProcess
from tests.support import eventually

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "verbs": ["create"], "resources": [{"group": "", "resources": ["pods"]}]}],
}
ACCOUNT = "replication-controller"


@pytest.fixture
async def server(tmp_path: Path, etcd: EtcdServer) -> AsyncIterator[ApiserverProcess]:
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    private, public = tmp_path / "sa.key", tmp_path / "sa.pub"
    write_service_account_keys(private, public)
    server = ApiserverProcess(
        tmp_path,
        etcd.url,
        f"--audit-policy-file={tmp_path / 'policy.yaml'}",
        f"--audit-log-path={tmp_path / 'audit.log'}",
        f"--service-account-key-file={public}",
        f"--service-account-signing-key-file={private}",
    )
    await server.start()
    yield server
    server.stop()


def creators(folder: Path) -> set[str]:
    """Who has created pods; nobody is who has no valid token at the time."""
    users = {json.loads(line)["user"]["username"] for line in (folder / "audit.log").read_text().splitlines()}
    return users - {""}


def folders_of_tokens() -> list[Path]:
    return list(Path(gettempdir()).glob("controllers-*"))


def controller(name: str) -> v1.ReplicationController:
    labels = {"app": name}
    spec = v1.PodSpec(containers=[v1.Container(name="c", image="x")])
    template = v1.PodTemplateSpec(metadata=ObjectMeta(labels=labels), spec=spec)
    return v1.ReplicationController(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=v1.ReplicationControllerSpec(replicas=1, selector=labels, template=template),
    )


async def made(client: Client, name: str) -> bool:
    pods = await client.resource(v1.Pod).list(namespace="default", label_selector=f"app={name}")
    return bool(pods.items)


async def test_a_controller_acts_as_its_own_account_and_gets_another_if_that_is_deleted(
    tmp_path: Path, server: ApiserverProcess
) -> None:
    before = folders_of_tokens()
    process = DaemonProcess(tmp_path, "controller_manager", server.kubeconfig, "--use-service-account-credentials")
    try:
        await process.start()
        async with server.client() as client:
            await client.resource(v1.ReplicationController).create(controller("first"))
            await eventually(lambda: made(client, "first"), timeout=30)
            me = f"system:serviceaccount:kube-system:{ACCOUNT}"
            await eventually(lambda: creators(tmp_path) == {me})

            await client.resource(v1.ServiceAccount).delete(ACCOUNT, namespace="kube-system")
            await client.resource(v1.ReplicationController).create(controller("second"))
            await eventually(lambda: made(client, "second"), timeout=90)
            assert creators(tmp_path) == {me}
    finally:
        assert process.stop() == 0
    assert folders_of_tokens() == before, "tokens do not outlive the process"


async def test_a_controller_manager_that_waits_for_the_apiserver_stops_at_once(
    tmp_path: Path, server: ApiserverProcess
) -> None:
    server.stop()
    process = DaemonProcess(tmp_path, "controller_manager", server.kubeconfig, "--use-service-account-credentials")
    process.spawn()
    try:
        await eventually(lambda: "no token" in process.log.read_text())
    finally:
        assert process.stop() == 0
