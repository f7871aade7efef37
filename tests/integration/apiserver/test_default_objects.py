"""The objects that a cluster has from its first start, through a real apiserver that starts twice."""

from typing import Any

import httpx

from tests.integration.apiserver.objects import created, ok
from tests.integration.apiserver_process import ApiserverProcess
from tests.support import eventually

RBAC = "/apis/rbac.authorization.k8s.io/v1"
FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
PLACES = (
    f"{RBAC}/clusterroles", f"{RBAC}/clusterrolebindings", f"{RBAC}/roles", f"{RBAC}/rolebindings", SERVICES,
    f"{FLOW}/flowschemas", f"{FLOW}/prioritylevelconfigurations", "/apis/scheduling.k8s.io/v1/priorityclasses",
    "/api/v1/namespaces",
)  # fmt: skip


async def names(client: httpx.AsyncClient, path: str) -> set[str]:
    return {item["metadata"]["name"] for item in ok(await client.get(path))["items"]}


async def everything(client: httpx.AsyncClient) -> dict[str, str]:
    """The revision of every object of these kinds."""
    versions: dict[str, str] = {}
    for path in PLACES:
        for item in ok(await client.get(path))["items"]:
            versions[f"{path} {item['metadata'].get('namespace', '')} {item['metadata']['name']}"] = item["metadata"][
                "resourceVersion"
            ]
    return versions


async def complete(client: httpx.AsyncClient) -> None:
    """The API services are made last."""

    async def all_there() -> bool:
        return "v1.storage.k8s.io" in await names(client, SERVICES)

    await eventually(all_there, timeout=20)


async def test_a_new_cluster_has_what_kubernetes_has(apiserver: ApiserverProcess) -> None:
    async with apiserver.http() as client:
        await complete(client)
        assert {"cluster-admin", "admin", "edit", "view", "system:node"} <= await names(client, f"{RBAC}/clusterroles")
        classes = ok(await client.get("/apis/scheduling.k8s.io/v1/priorityclasses"))["items"]
        assert {priority_class["metadata"]["name"]: priority_class["value"] for priority_class in classes} == {
            "system-cluster-critical": 2_000_000_000,
            "system-node-critical": 2_000_001_000,
        }
        ranges = ok(await client.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes"))
        assert ranges["spec"] == {"cidrs": ["10.0.0.0/16"]}
        groups = {
            f"{version['version']}.{group['name']}"
            for group in ok(await client.get("/apis"))["groups"]
            for version in group["versions"]
        }
        services = ok(await client.get(SERVICES))["items"]
        assert {service["metadata"]["name"] for service in services} == (groups | {"v1."}) - {
            "v1.apiregistration.k8s.io"
        }
        for service in services:
            (condition,) = service["status"]["conditions"]
            assert (condition["type"], condition["status"], condition["reason"]) == ("Available", "True", "Local")


async def test_a_second_start_writes_nothing(apiserver: ApiserverProcess) -> None:
    async with apiserver.http() as client:
        await complete(client)
        before = await everything(client)
    await apiserver.restart()
    async with apiserver.http() as client:
        await _started(client)
        assert await everything(client) == before


async def _started(client: httpx.AsyncClient) -> None:
    """The lease of the apiserver is renewed before the default objects are looked at, and again ten seconds later."""
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    first = ok(await client.get(path))["items"][0]["spec"]["renewTime"]

    async def again() -> bool:
        return bool(ok(await client.get(path))["items"][0]["spec"]["renewTime"] != first)

    await eventually(again, timeout=25)


async def test_a_start_mends_the_defaults_and_keeps_what_was_added(apiserver: ApiserverProcess) -> None:
    async with apiserver.http() as client:
        await complete(client)
        path = f"{RBAC}/clusterroles/system:node-proxier"
        role = ok(await client.get(path))
        own = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"]}
        ok(await client.put(path, json={**role, "rules": [own]}))
        ok(await client.delete("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical"))
        ok(await client.delete(f"{RBAC}/clusterrolebindings/system:kube-dns"))
        other = {**binding("system:kube-dns"), "roleRef": {**REF, "name": "view"}}
        created(await client.post(f"{RBAC}/clusterrolebindings", json=other))
    await apiserver.restart()
    async with apiserver.http() as client:

        async def mended() -> bool:
            restored = ok(await client.get(path))
            bound = ok(await client.get(f"{RBAC}/clusterrolebindings/system:kube-dns"))
            return restored["rules"] == [own, *role["rules"]] and bound["roleRef"]["name"] == "system:kube-dns"

        await eventually(mended, timeout=20)
        assert "system-node-critical" in await names(client, "/apis/scheduling.k8s.io/v1/priorityclasses")


REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole"}


def binding(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "roleRef": {**REF, "name": name}}


async def test_component_statuses_tell_of_the_control_plane(apiserver: ApiserverProcess) -> None:
    async with apiserver.http() as client:
        path = "/api/v1/componentstatuses"
        assert await names(client, path) == {"controller-manager", "etcd-0", "scheduler"}
        etcd = ok(await client.get(f"{path}/etcd-0"))
        assert etcd["conditions"] == [{"type": "Healthy", "status": "True", "message": "ok"}]
        assert (await client.get(f"{path}/etcd-9")).status_code == 404
        assert (await client.delete(f"{path}/etcd-0")).status_code == 405
