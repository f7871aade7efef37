"""In which forms objects come and go: JSON, YAML, protobuf, tables, metadata alone."""

from typing import Any

import httpx
import yaml

from apimachinery.schema import protobuf
from tests.integration.apiserver.objects import (
    blank,
    config_map,
    controller,
    created,
    name_of,
    ok,
    pod,
    refused,
    service,
)

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io"}
PARTIAL = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
PARTIAL_LIST = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"}
PROTOBUF = "application/vnd.kubernetes.protobuf"

# what kubectl 1.32 prints: the first line without, the second with -o wide
COLUMNS = {
    "pods": (["Name", "Ready", "Status", "Restarts", "Age"], ["IP", "Node", "Nominated Node", "Readiness Gates"]),
    "replicationcontrollers": (["Name", "Desired", "Current", "Ready", "Age"], ["Containers", "Images", "Selector"]),
    "services": (["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"], ["Selector"]),
    "endpoints": (["Name", "Endpoints", "Age"], []),
    "configmaps": (["Name", "Data", "Age"], []),
    "secrets": (["Name", "Type", "Data", "Age"], []),
    "events": (
        ["Last Seen", "Type", "Reason", "Object", "Message"], ["Subobject", "Source", "First Seen", "Count", "Name"],
    ),
}  # fmt: skip


async def test_tables_have_the_columns_that_kubectl_prints(api: httpx.AsyncClient, ns: str) -> None:
    for plural, (always, wide) in COLUMNS.items():
        empty = ok(await api.get(f"{ns}/{plural}", headers=TABLE))
        assert (empty["kind"], empty["apiVersion"], empty["rows"]) == ("Table", "meta.k8s.io/v1", [])
        created(await api.post(f"{ns}/{plural}", json=blank(plural, "x", name_of(ns))))
        table = ok(await api.get(f"{ns}/{plural}", headers=TABLE))
        columns = table["columnDefinitions"]
        assert [column["name"] for column in columns if not column["priority"]] == always
        assert [column["name"] for column in columns if column["priority"]] == wide
        assert len(table["rows"][0]["cells"]) == len(columns)
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
        assert table["metadata"]["resourceVersion"]
    cluster = {"nodes": ["Name", "Status", "Roles", "Age", "Version"], "namespaces": ["Name", "Status", "Age"]}
    for plural, expected in cluster.items():
        columns = ok(await api.get(f"/api/v1/{plural}", headers=TABLE))["columnDefinitions"]
        assert [column["name"] for column in columns if not column["priority"]] == expected


async def test_cells_say_what_kubectl_prints(api: httpx.AsyncClient, ns: str) -> None:
    async def cells(path: str) -> list[Any]:
        row: list[Any] = ok(await api.get(f"{ns}/{path}", headers=TABLE))["rows"][0]["cells"]
        return row

    created(await api.post(f"{ns}/pods", json=pod("p")))
    assert (await cells("pods"))[:4] == ["p", "0/1", "Pending", "0"]
    created(await api.post(f"{ns}/replicationcontrollers", json=controller("rc", 3)))
    assert (await cells("replicationcontrollers/rc"))[:4] == ["rc", 3, 0, 0]
    assert (await cells("replicationcontrollers/rc"))[-3:] == ["c", "busybox:1.36", "app=rc"]
    created(await api.post(f"{ns}/services", json=service("s", type="ExternalName", externalName="example.com")))
    assert (await cells("services"))[1:5] == ["ExternalName", "<none>", "example.com", "80/TCP"]
    assert (
        ok(await api.get(f"{ns}/pods", headers=TABLE, params={"includeObject": "None"}))["rows"][0].get("object")
        is None
    )
    whole = ok(await api.get(f"{ns}/pods", headers=TABLE, params={"includeObject": "Object"}))
    assert whole["rows"][0]["object"]["spec"]["containers"]


async def test_metadata_alone(api: httpx.AsyncClient, ns: str) -> None:
    made = created(await api.post(f"{ns}/configmaps", json=config_map("a", x="1")))
    partial = ok(await api.get(f"{ns}/configmaps/a", headers=PARTIAL))
    assert partial == {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": made["metadata"]}
    many = ok(await api.get(f"{ns}/configmaps", headers=PARTIAL_LIST))
    assert (many["kind"], len(many["items"]), "data" in many["items"][0]) == ("PartialObjectMetadataList", 1, False)


async def test_yaml_in_and_out(api: httpx.AsyncClient, ns: str) -> None:
    text = "metadata: {name: a}\ndata:\n  time: '1:30'\n  multi: |\n    two\n    lines\n"
    made = created(await api.post(f"{ns}/configmaps", content=text, headers={"Content-Type": "application/yaml"}))
    assert made["data"] == {"time": "1:30", "multi": "two\nlines\n"}
    reply = await api.get(f"{ns}/configmaps/a", headers={"Accept": "application/yaml"})
    assert reply.headers["content-type"] == "application/yaml"
    assert yaml.safe_load(reply.text) == made
    many = yaml.safe_load((await api.get(f"{ns}/configmaps", headers={"Accept": "application/yaml"})).text)
    assert (many["kind"], many["items"]) == ("ConfigMapList", [made])


async def test_protobuf_in_and_out(api: httpx.AsyncClient, ns: str) -> None:
    body = {**pod("a", {"x": "y"}), "kind": "Pod", "apiVersion": "v1"}
    data = protobuf.encode(body, "io.k8s.api.core.v1.Pod", "v1", "Pod")
    made = created(await api.post(f"{ns}/pods", content=data, headers={"Content-Type": PROTOBUF}))
    assert made["spec"]["containers"][0]["image"] == "busybox:1.36"
    reply = await api.get(f"{ns}/pods/a", headers={"Accept": PROTOBUF})
    assert reply.headers["content-type"] == PROTOBUF
    version, kind, document = protobuf.decode(reply.content)
    assert (version, kind) == ("v1", "Pod")
    assert document["spec"] == made["spec"]
    assert document["metadata"] == made["metadata"]
    listed = protobuf.decode((await api.get(f"{ns}/pods", headers={"Accept": PROTOBUF})).content)
    assert (listed[1], len(listed[2]["items"])) == ("PodList", 1)
    both = await api.get(f"{ns}/pods/a", headers={"Accept": f"{PROTOBUF},application/json"})
    assert both.json() == made
    options = protobuf.encode({"gracePeriodSeconds": 0}, "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", "v1",
                              "DeleteOptions")  # fmt: skip
    ok(await api.request("DELETE", f"{ns}/pods/a", content=options, headers={"Content-Type": PROTOBUF}))
    refused(
        await api.post(f"{ns}/pods", content=b"k8s\0garbage", headers={"Content-Type": PROTOBUF}), 400, "BadRequest"
    )


async def test_a_form_that_nobody_makes_is_refused(api: httpx.AsyncClient, ns: str) -> None:
    for accept in ("text/html", "application/cbor", "application/json;as=Table;v=v1;g=other"):
        refused(await api.get(f"{ns}/pods", headers={"Accept": accept}), 406, "NotAcceptable")
    assert (await api.get(f"{ns}/pods", headers={"Accept": "text/html,*/*;q=0.8"})).status_code == 200
