"""What the server says of itself, and whom it lets in."""

import re
import ssl
from pathlib import Path

import httpx
import pytest

from tests.certificates import Authority
from tests.integration.apiserver.objects import config_map, created, ok, refused
from tests.integration.apiserver_process import TOKEN, ApiserverProcess

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


async def test_discovery_lists_resources_as_kubectl_needs_them(api: httpx.AsyncClient) -> None:
    assert ok(await api.get("/api"))["versions"] == ["v1"]
    groups = ok(await api.get("/apis"))["groups"]
    assert "coordination.k8s.io" in [group["name"] for group in groups]
    assert ok(await api.get("/apis/coordination.k8s.io"))["preferredVersion"]["version"] == "v1"
    rows = {row["name"]: row for row in ok(await api.get("/api/v1"))["resources"]}
    assert {name for name in rows if "/" not in name} >= {
        "configmaps", "endpoints", "events", "namespaces", "nodes", "pods", "replicationcontrollers", "secrets",
        "services",
    }  # fmt: skip
    assert rows["pods"]["shortNames"] == ["po"]
    assert rows["pods"]["categories"] == ["all"]
    assert rows["pods"]["verbs"] == [
        "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch",
    ]  # fmt: skip
    assert (rows["nodes"]["namespaced"], rows["pods"]["namespaced"]) == (False, True)
    scale = rows["replicationcontrollers/scale"]
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")
    assert rows["pods/binding"]["kind"] == "Binding"
    leases = ok(await api.get("/apis/coordination.k8s.io/v1"))
    assert [row["name"] for row in leases["resources"]] == ["leases"]


async def test_aggregated_discovery_says_the_same(api: httpx.AsyncClient) -> None:
    for root, group in (("/api", None), ("/apis", "coordination.k8s.io")):
        reply = await api.get(root, headers={"Accept": f"{AGGREGATED},application/json"})
        assert reply.headers["content-type"] == AGGREGATED
        item = next(entry for entry in reply.json()["items"] if entry["metadata"].get("name") == group)
        path = f"{root}/{group}/v1" if group else f"{root}/v1"
        legacy = ok(await api.get(path))["resources"]
        flat = []
        for resource in item["versions"][0]["resources"]:
            flat.append((resource["resource"], resource["verbs"]))
            for subresource in resource.get("subresources", ()):
                flat.append((f"{resource['resource']}/{subresource['subresource']}", subresource["verbs"]))
        assert flat == [(row["name"], row["verbs"]) for row in legacy]


async def test_openapi_lets_kubectl_leave_validation_to_the_server(api: httpx.AsyncClient) -> None:
    paths = ok(await api.get("/openapi/v3"))["paths"]
    assert set(paths) >= {"api/v1", "apis/coordination.k8s.io/v1"}
    document = ok(await api.get(paths["api/v1"]["serverRelativeURL"]))
    patch = document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert "fieldValidation" in {parameter["name"] for parameter in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert "io.k8s.api.core.v1.Pod" in document["components"]["schemas"]
    refused(await api.get("/openapi/v3/apis/none/v1"), 404, "NotFound")


async def test_the_docs_page_lists_the_api(api: httpx.AsyncClient) -> None:
    page = await api.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    for path in ("/api/v1/namespaces/{namespace}/pods/{name}", "/apis/coordination.k8s.io/v1/leases", "/scale"):
        assert path in page.text
    assert "<script" not in page.text  # nothing is fetched from elsewhere
    document = ok(await api.get("/openapi.json"))
    assert "/api/v1/nodes" in document["paths"]
    assert "/docs" in ok(await api.get("/"))["paths"]


async def test_version_health_and_metrics(api: httpx.AsyncClient, ns: str) -> None:
    version = ok(await api.get("/version"))
    assert (version["major"], version["minor"]) == ("1", "32")
    assert version["gitVersion"].startswith("v1.32")
    assert re.fullmatch("[0-9a-f]{40}", version["gitCommit"])
    assert version["gitTreeState"] in ("clean", "dirty")
    assert version["buildDate"].endswith("Z")
    for path in ("/healthz", "/livez", "/readyz"):
        assert (await api.get(path)).text == "ok"
    assert "[+]etcd ok" in (await api.get("/readyz", params={"verbose": ""})).text
    created(await api.post(f"{ns}/configmaps", json=config_map("a")))
    metrics = (await api.get("/metrics")).text
    assert 'apiserver_request_total{code="201",group="",resource="configmaps",subresource="",verb="CREATE"' in metrics
    for name in ("apiserver_request_duration_seconds_bucket", "process_resident_memory_bytes"):
        assert name in metrics
    refused(await api.get("/nothing"), 404, "NotFound")
    refused(await api.get("/apis/example.com/v1/deployments"), 404, "NotFound")
    refused(await api.get("/api/v1/wishes"), 404, "NotFound")
    refused(await api.get("/api/v2/pods"), 404, "NotFound")


def unknown(server: ApiserverProcess, **options: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, verify=server.ssl_context(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/api/v1/pods", "/api", "/metrics", "/docs", "/openapi/v3", "/", "/nothing"])
async def test_who_brings_no_identity_is_not_let_in(shared: ApiserverProcess, path: str) -> None:
    async with unknown(shared) as client:
        refused(await client.get(path), 401, "Unauthorized")
        for wrong in ("Bearer wrong", f"Bearer {TOKEN}x", "Bearer", f"Bearer {TOKEN[:-1]}"):
            refused(await client.get(path, headers={"Authorization": wrong}), 401, "Unauthorized")
        refused(await client.get(path, headers={"Authorization": f"Basic {TOKEN}"}), 401, "Unauthorized")
        assert (await client.get("/healthz")).status_code == 200


async def test_a_certificate_names_its_user(shared: ApiserverProcess, ns: str) -> None:
    pair = shared.authority.issue("kubelet", "system:node:n1", ("system:nodes",))
    context = shared.ssl_context()
    context.load_cert_chain(pair.cert, pair.key)
    async with httpx.AsyncClient(base_url=shared.url, verify=context) as client:
        created(await client.post(f"{ns}/configmaps", json=config_map("a")))


async def test_a_certificate_of_another_authority_ends_in_an_alert(shared: ApiserverProcess, tmp_path: Path) -> None:
    pair = Authority(tmp_path, "other").issue("mallory", "admin", ("system:masters",))
    context = shared.ssl_context()
    context.load_cert_chain(pair.cert, pair.key)
    async with httpx.AsyncClient(base_url=shared.url, verify=context) as client:
        with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError, ssl.SSLError)):
            await client.get("/api", headers={"Authorization": f"Bearer {TOKEN}"})


async def test_plain_http_is_not_answered(shared: ApiserverProcess) -> None:
    async with httpx.AsyncClient(base_url=shared.url.replace("https", "http")) as client:
        with pytest.raises(httpx.HTTPError):
            await client.get("/api")
