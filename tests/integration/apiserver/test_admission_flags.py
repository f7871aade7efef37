"""--enable-admission-plugins and --disable-admission-plugins do what they say."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer

NAMESPACE = "/api/v1/namespaces/strict"


def service(name: str, *addresses: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "externalIPs": list(addresses)}}


@pytest.fixture
async def client(etcd: EtcdServer, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    server = ApiserverProcess(
        tmp_path,
        etcd.url,
        "--enable-admission-plugins=DenyServiceExternalIPs,OwnerReferencesPermissionEnforcement",
        "--disable-admission-plugins=ServiceAccount,PodSecurity,StorageObjectInUseProtection",
        "--default-not-ready-toleration-seconds=20",
    )
    await server.start()
    try:
        async with server.http() as made:
            yield made
    finally:
        server.stop()


async def test_plugins_are_asked_as_the_flags_say(client: httpx.AsyncClient) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    made = await client.post("/api/v1/namespaces", json={"metadata": {"name": "strict", "labels": labels}})
    assert made.status_code == 201
    pod = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    answer = await client.post(f"{NAMESPACE}/pods", json=pod)
    assert answer.status_code == 201, "PodSecurity is disabled"
    seconds = {
        toleration["key"]: toleration["tolerationSeconds"] for toleration in answer.json()["spec"]["tolerations"]
    }
    assert seconds == {"node.kubernetes.io/not-ready": 20, "node.kubernetes.io/unreachable": 300}
    refused = await client.post(f"{NAMESPACE}/services", json=service("a", "192.0.2.1"))
    assert refused.status_code == 403
    assert "Use of external IPs is denied by admission control" in refused.json()["message"]
    assert (await client.post(f"{NAMESPACE}/services", json=service("a"))).status_code == 201
    ghost = {"apiVersion": "example.com/v1", "kind": "Ghost", "name": "g", "uid": "u", "blockOwnerDeletion": True}
    owned = {"metadata": {"name": "m", "ownerReferences": [ghost]}}
    assert (await client.post(f"{NAMESPACE}/configmaps", json=owned)).status_code == 201, "the user may do everything"
