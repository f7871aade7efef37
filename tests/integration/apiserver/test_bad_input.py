"""Whatever is sent, the answer is a Status that says what is wrong, and the server goes on."""

import gzip
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.apiserver.objects import (
    CONTAINER,
    causes,
    config_map,
    controller,
    created,
    is_not_typed,
    name_of,
    ok,
    pod,
    refused,
    service,
)
from tests.integration.apiserver_process import ApiserverProcess

JSON = {"Content-Type": "application/json"}
YAML = {"Content-Type": "application/yaml"}
DEEP = 100_000

UNREADABLE: list[tuple[str, bytes, dict[str, str]]] = [
    ("cut off", b'{"metadata":{"name":"a"', JSON),
    ("no JSON", b"hello", JSON),
    ("two documents", b"{}{}", JSON),
    ("a list", b"[]", JSON),
    ("a string", b'"a"', JSON),
    ("null", b"null", JSON),
    ("nothing", b"", JSON),
    ("invalid UTF-8", b'{"metadata":{"name":"\xff\xfe"}}', JSON),
    ("UTF-16", '{"metadata":{"name":"a"}}'.encode("utf-16"), JSON),
    ("NaN", b'{"spec":{"containers":[{"name":NaN}]}}', JSON),
    ("a NUL byte", b'{"metadata":{"name":"a\x00"}}', JSON),
    ("deep lists", b'{"metadata":' + b"[" * DEEP + b"]" * DEEP + b"}", JSON),
    ("deep objects", b'{"a":' * DEEP + b"1" + b"}" * DEEP, JSON),
    ("bad YAML", b"metadata: {name: a\nspec: ]", YAML),
    ("YAML tags", b"metadata: !!python/object/apply:os.system ['true']", YAML),
    ("two YAML documents", b"a: 1\n---\nb: 2\n", YAML),
    ("deep YAML", b"a: " + b"[" * 20_000 + b"]" * 20_000, YAML),
    ("an alias bomb", b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % ((n, n) + (n - 1,) * 8) for n in b"bcdefghijk"), YAML),
    ("no gzip", b"hello", {**JSON, "Content-Encoding": "gzip"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "headers"), [row[1:] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE])
async def test_a_body_that_cannot_be_read(
    api: httpx.AsyncClient, ns: str, body: bytes, headers: dict[str, str]
) -> None:
    refused(await api.post(f"{ns}/pods", content=body, headers=headers), 400, "BadRequest")
    created(await api.post(f"{ns}/pods", json=pod("p")))
    refused(await api.put(f"{ns}/pods/p", content=body, headers=headers), 400, "BadRequest")


WRONG_TYPES: list[tuple[Any, str]] = [
    ({"metadata": []}, "metadata"),
    ({"metadata": {"name": 7}}, "metadata.name"),
    ({"metadata": {"labels": {"a": 1}}}, "metadata.labels"),
    ({"metadata": {"labels": ["a"]}}, "metadata.labels"),
    ({"spec": {"containers": {}}}, "spec.containers"),
    ({"spec": {"containers": [{"ports": [{"containerPort": "http"}]}]}}, "spec.containers[0].ports[0].containerPort"),
    ({"spec": {"containers": [{"ports": [{"containerPort": 10**30}]}]}}, "spec.containers[0].ports[0].containerPort"),
    ({"spec": {"containers": [{"ports": [{"containerPort": 80.5}]}]}}, "spec.containers[0].ports[0].containerPort"),
    ({"spec": {"activeDeadlineSeconds": 2**63}}, "spec.activeDeadlineSeconds"),
    ({"spec": {"hostNetwork": "yes"}}, "spec.hostNetwork"),
    ({"metadata": {"creationTimestamp": "yesterday"}}, "metadata.creationTimestamp"),
    ({"metadata": {"creationTimestamp": 5}}, "metadata.creationTimestamp"),
    ({"spec": {"containers": [{"resources": {"limits": {"cpu": []}}}]}}, "spec.containers[0].resources.limits"),
]


@pytest.mark.parametrize(("body", "field"), WRONG_TYPES, ids=[f"{row[1]}-{n}" for n, row in enumerate(WRONG_TYPES)])
async def test_a_value_of_the_wrong_type_is_named(api: httpx.AsyncClient, ns: str, body: Any, field: str) -> None:
    refused(await api.post(f"{ns}/pods", json=body), 400, "BadRequest", field)


def with_container(**fields: Any) -> dict[str, Any]:
    return pod("a", containers=[{**CONTAINER, **fields}])


C = "spec.containers[0]"
# requests that are not given are those of the limits
AMOUNTS = {(f"{C}.resources.{field}[cpu]", "FieldValueInvalid") for field in ("limits", "requests")}
INVALID_PODS: list[tuple[dict[str, Any], set[tuple[str, str]]]] = [
    ({}, {("metadata.name", "FieldValueRequired"), ("spec.containers", "FieldValueRequired")}),
    (pod("A_b"), {("metadata.name", "FieldValueInvalid")}),
    (pod("a" * 254), {("metadata.name", "FieldValueInvalid")}),
    (pod("a", {"-x": "y", "ok": "no spaces"}), {("metadata.labels", "FieldValueInvalid")}),
    (pod("a", containers=[{}]), {(f"{C}.name", "FieldValueRequired"), (f"{C}.image", "FieldValueRequired")}),
    (pod("a", containers=[CONTAINER, CONTAINER]), {("spec.containers[1].name", "FieldValueDuplicate")}),
    (pod("a", restartPolicy="Sometimes"), {("spec.restartPolicy", "FieldValueNotSupported")}),
    (pod("a", dnsPolicy="None of these"), {("spec.dnsPolicy", "FieldValueNotSupported")}),
    (with_container(ports=[{"containerPort": 0}]), {(f"{C}.ports[0].containerPort", "FieldValueRequired")}),
    (with_container(ports=[{"containerPort": 65536}]), {(f"{C}.ports[0].containerPort", "FieldValueInvalid")}),
    (with_container(ports=[{"containerPort": 1, "hostPort": -1, "protocol": "ICMP"}]),
     {(f"{C}.ports[0].hostPort", "FieldValueInvalid"), (f"{C}.ports[0].protocol", "FieldValueNotSupported")}),
    (with_container(imagePullPolicy="Maybe"), {(f"{C}.imagePullPolicy", "FieldValueNotSupported")}),
    (with_container(env=[{"name": ""}]), {(f"{C}.env[0].name", "FieldValueRequired")}),
    (with_container(env=[{"name": "a", "valueFrom": {}}]), {(f"{C}.env[0].valueFrom", "FieldValueInvalid")}),
    (with_container(volumeMounts=[{"name": "none", "mountPath": "/x"}]),
     {(f"{C}.volumeMounts[0].name", "FieldValueNotFound")}),
    (with_container(resources={"limits": {"cpu": "much"}}), AMOUNTS),
    (with_container(resources={"limits": {"cpu": "-1"}}), AMOUNTS),
    (with_container(resources={"requests": {"cpu": 2}, "limits": {"cpu": 1}}),
     {(f"{C}.resources.requests", "FieldValueInvalid")}),
    (with_container(livenessProbe={}), {(f"{C}.livenessProbe", "FieldValueRequired")}),
    (with_container(livenessProbe={"httpGet": {"port": 0}}),
     {(f"{C}.livenessProbe.httpGet.port", "FieldValueInvalid")}),
    (with_container(livenessProbe={"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}),
     {(f"{C}.livenessProbe.tcpSocket", "FieldValueForbidden")}),
    (pod("a", volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]),
     {("spec.volumes[0].hostPath", "FieldValueForbidden")}),
    (pod("a", volumes=[{"name": "v"}, {"name": "v"}]), {("spec.volumes[1].name", "FieldValueDuplicate")}),
    (pod("a", tolerations=[{"operator": "Near"}]), {("spec.tolerations[0].operator", "FieldValueInvalid"),
                                                  ("spec.tolerations[0].operator", "FieldValueNotSupported")}),
    (pod("a", nodeSelector={"!": "x"}), {("spec.nodeSelector", "FieldValueInvalid")}),
    (pod("a", activeDeadlineSeconds=0), {("spec.activeDeadlineSeconds", "FieldValueInvalid")}),
    (pod("a", dnsPolicy="None"), {("spec.dnsConfig", "FieldValueRequired")}),
    (with_container(lifecycle={"preStop": {}}), {(f"{C}.lifecycle.preStop", "FieldValueRequired")}),
    (pod("a", ephemeralContainers=[{"name": "e", "image": "x"}]),
     {("spec.ephemeralContainers", "FieldValueForbidden")}),
    (pod("a", securityContext={"runAsUser": -1}), {("spec.securityContext.runAsUser", "FieldValueInvalid")}),
    (pod("a", hostAliases=[{"ip": "x"}]), {("spec.hostAliases[0].ip", "FieldValueInvalid")}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), INVALID_PODS, ids=[str(n) for n in range(len(INVALID_PODS))])
async def test_every_fault_of_a_pod_is_named(
    api: httpx.AsyncClient, ns: str, body: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    assert causes(await api.post(f"{ns}/pods", json=body)) == expected


PORT = "spec.ports[0]"
INVALID: list[tuple[str, dict[str, Any], set[tuple[str, str]]]] = [
    ("services", service("1a"), {("metadata.name", "FieldValueInvalid")}),
    ("services", {"metadata": {"name": "a"}}, {("spec.ports", "FieldValueRequired")}),
    ("services", service("a", ports=[{"port": 0}, {"port": 70000}]), {
        ("spec.ports[0].port", "FieldValueInvalid"), ("spec.ports[0].targetPort", "FieldValueInvalid"),
        ("spec.ports[1].port", "FieldValueInvalid"), ("spec.ports[1].targetPort", "FieldValueInvalid"),
        ("spec.ports[0].name", "FieldValueRequired"), ("spec.ports[1].name", "FieldValueRequired")}),
    ("services", service("a", clusterIP="10.99.0.1"), {("spec.clusterIPs", "FieldValueInvalid")}),
    ("services", service("a", clusterIP="x"), {("spec.clusterIPs[0]", "FieldValueInvalid")}),
    ("services", service("a", clusterIP="10.0.0.1"), {("spec.clusterIPs", "FieldValueInvalid")}),
    ("services", service("a", type="NodePort", ports=[{"port": 1, "nodePort": 80}]),
     {(f"{PORT}.nodePort", "FieldValueInvalid")}),
    ("services", service("a", ports=[{"port": 1, "nodePort": 30000}]), {(f"{PORT}.nodePort", "FieldValueForbidden")}),
    ("services", service("a", type="Odd"), {("spec.type", "FieldValueNotSupported")}),
    ("services", service("a", type="ExternalName"), {("spec.externalName", "FieldValueRequired")}),
    ("services", service("a", sessionAffinity="Cookie"), {("spec.sessionAffinity", "FieldValueNotSupported")}),
    ("services", service("a", externalIPs=["nowhere"]), {("spec.externalIPs[0]", "FieldValueInvalid")}),
    ("services", service("a", externalIPs=["127.0.0.1", "192.0.2.1", "0.0.0.0"], publicIPs=["169.254.169.254"],
                         deprecatedPublicIPs=["224.0.0.1", "::ffff:127.0.0.1"]),
     {(f"spec.{place}", "FieldValueInvalid") for place in (
         "externalIPs[0]", "externalIPs[2]", "publicIPs[0]", "deprecatedPublicIPs[0]", "deprecatedPublicIPs[1]")}),
    ("services", service("a", externalIPs=["10.0.0.10"]), {("spec.externalIPs[0]", "FieldValueInvalid")}),
    ("services", service("a", ipFamilies=["IPv6"]), {("spec.ipFamilies[0]", "FieldValueInvalid")}),
    ("services", service("a", ipFamilyPolicy="RequireDualStack"), {("spec.ipFamilyPolicy", "FieldValueInvalid")}),
    ("services", service("a", ports=[{"port": 1, "name": "p"}, {"port": 1, "name": "p"}]),
     {("spec.ports[1].name", "FieldValueDuplicate"), ("spec.ports[1]", "FieldValueDuplicate")}),
    ("replicationcontrollers", {"metadata": {"name": "a"}},
     {("spec.selector", "FieldValueRequired"), ("spec.template", "FieldValueRequired")}),
    ("replicationcontrollers", controller("a", -1), {("spec.replicas", "FieldValueInvalid")}),
    ("configmaps", {"metadata": {"name": "a"}, "data": {"a/b": "x"}}, {("data[a/b]", "FieldValueInvalid")}),
    ("configmaps", {"metadata": {"name": "a"}, "binaryData": {"a": "!"}}, {("binaryData[a]", "FieldValueInvalid")}),
    ("configmaps", config_map("a", big="x" * 1048577), {("data", "FieldValueTooLong")}),
    ("secrets", {"metadata": {"name": "a"}, "data": {"a": "!"}}, {("data[a]", "FieldValueInvalid")}),
    ("secrets", {"metadata": {"name": "a"}, "type": "kubernetes.io/tls"},
     {("data[tls.crt]", "FieldValueRequired"), ("data[tls.key]", "FieldValueRequired")}),
    ("endpoints", {"metadata": {"name": "a"}, "subsets": [{"addresses": [{"ip": "127.0.0.1"}]}]},
     {("subsets[0].addresses[0].ip", "FieldValueInvalid")}),
    ("events", {"metadata": {"name": "a"}, "involvedObject": {"namespace": "elsewhere"}},
     {("involvedObject.namespace", "FieldValueInvalid")}),
    ("configmaps", {"metadata": {"name": "a", "finalizers": ["x"]}}, {("metadata.finalizers[0]", "FieldValueInvalid")}),
    ("configmaps", {"metadata": {"name": "a", "ownerReferences": [{}]}}, {
        (f"metadata.ownerReferences[0].{field}", "FieldValueInvalid")
        for field in ("apiVersion", "kind", "name", "uid")}),
    ("configmaps", {"metadata": {"generateName": "A-"}},
     {("metadata.generateName", "FieldValueInvalid"), ("metadata.name", "FieldValueInvalid")}),
]  # fmt: skip


@pytest.mark.parametrize(("plural", "body", "expected"), INVALID, ids=[f"{r[0]}-{n}" for n, r in enumerate(INVALID)])
async def test_every_fault_of_an_object_is_named(
    api: httpx.AsyncClient, ns: str, plural: str, body: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    assert causes(await api.post(f"{ns}/{plural}", json=body)) == expected


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "nowhere"])
async def test_a_load_balancer_s_address_is_one_that_can_be_reached(
    api: httpx.AsyncClient, ns: str, address: str
) -> None:
    backend = {"service": {"name": "a", "port": {"number": 80}}}
    ingress = {"metadata": {"name": "a"}, "spec": {"defaultBackend": backend}}
    for plural, path, body in (
        ("services", f"{ns}/services", service("a", type="LoadBalancer", ports=[{"port": 80}])),
        ("ingresses", ns.replace("/api/v1/", "/apis/networking.k8s.io/v1/") + "/ingresses", ingress),
    ):
        created(await api.post(path, json=body))
        status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"ip": address}]}}}
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = await api.patch(f"{path}/a/status", json=status, headers=headers)
        assert causes(answer) == {("status.loadBalancer.ingress[1].ip", "FieldValueInvalid")}, plural
        status["status"]["loadBalancer"]["ingress"].pop()
        ok(await api.patch(f"{path}/a/status", json=status, headers=headers))


async def test_a_body_that_is_something_else(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    for other in ({"kind": "Secret", "apiVersion": "v1"}, {"apiVersion": "v2"}, {"kind": "ConfigMapList"}):
        refused(await api.post(path, json={**config_map("a"), **other}), 400, "BadRequest")
    elsewhere = {"metadata": {"name": "a", "namespace": "default"}}
    refused(await api.post(path, json=elsewhere), 400, "BadRequest", "namespace")
    created(await api.post(path, json=config_map("a")))
    refused(await api.put(f"{path}/a", json=config_map("b")), 400, "BadRequest", "name")
    refused(await api.post(path, json=config_map("a")), 409, "AlreadyExists", 'configmaps "a" already exists')
    for content_type in ("text/plain", "application/xml", "multipart/form-data"):
        headers = {"Content-Type": content_type}
        refused(await api.post(path, content=b"{}", headers=headers), 415, "UnsupportedMediaType")
        refused(await api.patch(f"{path}/a", content=b"{}", headers=headers), 415, "UnsupportedMediaType")
    refused(await api.patch(f"{path}/a", content=b"{}", headers=JSON), 415, "UnsupportedMediaType")


async def test_a_body_that_is_too_large(api: httpx.AsyncClient, ns: str) -> None:
    path, large = f"{ns}/configmaps", b'{"data":{"a":"' + b"x" * 3 * 1024 * 1024 + b'"}}'
    refused(await api.post(path, content=large, headers=JSON), 413, "RequestEntityTooLarge")

    async def chunks() -> Any:
        for at in range(0, len(large), 65536):
            yield large[at : at + 65536]

    refused(await api.post(path, content=chunks(), headers=JSON), 413, "RequestEntityTooLarge")
    bomb = gzip.compress(b" " * 300 * 1024 * 1024, compresslevel=1)
    zipped = {**JSON, "Content-Encoding": "gzip"}
    refused(await api.post(path, content=bomb, headers=zipped), 413, "RequestEntityTooLarge")
    small = gzip.compress(json.dumps(config_map("zipped")).encode())
    created(await api.post(path, content=small, headers=zipped))


@pytest.mark.parametrize(
    "name", ["a%2Fb", "%2e%2e", "%2e", "a%00b", "%ff", "a b", "A", "a?b", "%", "a//b", "a;b", "%E2%82%AC", "a" * 2000],
)  # fmt: skip
async def test_an_odd_name_in_a_url_finds_nothing(api: httpx.AsyncClient, ns: str, name: str) -> None:
    namespace = name_of(ns)
    for path in (f"{ns}/pods/{name}", f"/api/v1/namespaces/{name}/pods/x", f"/api/v1/nodes/{name}"):
        for method in ("GET", "DELETE", "PATCH"):
            headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else JSON
            reply = await api.request(method, path, content=b"{}", headers=headers)
            if reply.status_code not in (400, 404, 405):
                assert reply.status_code in (200, 307), (path, method, reply.text)
                assert method == "GET", path
    assert ok(await api.get(f"/api/v1/namespaces/{namespace}"))
    assert (await api.get("/readyz")).status_code == 200


async def test_nulls_count_as_absent(api: httpx.AsyncClient, ns: str) -> None:
    body = pod("a")
    body["metadata"] |= {"labels": None, "annotations": None, "creationTimestamp": None, "finalizers": None}
    body["spec"] |= {"volumes": None, "nodeSelector": None, "restartPolicy": None}
    body["spec"]["containers"][0] |= {"resources": {"limits": None}, "env": None, "command": None}
    body["status"] = None
    assert created(await api.post(f"{ns}/pods", json=body))["spec"]["restartPolicy"] == "Always"
    assert created(await api.post(f"{ns}/secrets", json={"metadata": {"name": "s"}, "data": {"a": None}}))["data"] == {
        "a": ""
    }


@pytest.mark.parametrize(
    "amount", ["1e9999999", "1e-9999999", "9" * 5000, "1E", "1Ki.", "0x10", "1_000", " 1", "∞", ""]
)
async def test_odd_amounts_do_no_harm(api: httpx.AsyncClient, ns: str, amount: str) -> None:
    reply = await api.post(f"{ns}/pods", json=with_container(resources={"limits": {"memory": amount}}))
    assert reply.status_code in (201, 422), reply.text


@pytest.mark.parametrize(
    ("kind", "document", "code"),
    [
        ("json-patch", b"{}", 400), ("json-patch", b"[{}]", 400), ("json-patch", b'[{"op":"fly","path":"/a"}]', 400),
        ("json-patch", b'[{"op":"test","path":"/data/a","value":"2"}]', 422),
        ("json-patch", b'[{"op":"remove","path":"/data/none"}]', 422),
        ("json-patch", b'[{"op":"replace","path":"/data","value":[]}]', 422),
        ("json-patch", b'[{"op":"replace","path":"","value":null}]', 400),
        ("json-patch", b"[" + b'{"op":"add","path":"/data/a","value":"1"},' * 20_000 + b"{}]", 413),
        ("merge-patch", b"[]", 400), ("merge-patch", b"null", 400), ("merge-patch", b"{", 400),
        ("merge-patch", b"", 400),
        ("merge-patch", b'{"metadata":{"name":"b"}}', 400), ("merge-patch", b'{"data":7}', 422),
        ("merge-patch", b'{"metadata":{"uid":"b"}}', 409), ("merge-patch", b'{"kind":"Secret"}', 400),
        ("strategic-merge-patch", b"[]", 400), ("strategic-merge-patch", b'{"data":[]}', 422),
        ("strategic-merge-patch", b'{"metadata":null}', 200),
    ],
)  # fmt: skip
async def test_patches_that_cannot_be_applied(
    api: httpx.AsyncClient, ns: str, kind: str, document: bytes, code: int
) -> None:
    created(await api.post(f"{ns}/configmaps", json=config_map("a", a="1")))
    headers = {"Content-Type": f"application/{kind}+json"}
    reply = await api.patch(f"{ns}/configmaps/a", content=document, headers=headers)
    assert reply.status_code == code, reply.text


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["metadata", "spec", "name", "labels", "containers", "ports", "port", "env", "data", "image",
                         "volumes", "selector", "template", "subsets", "addresses", "kind", "apiVersion", "x", ""]),
        inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    document=values,
    plural=st.sampled_from(["pods", "services", "configmaps", "secrets", "endpoints", "events",
                            "replicationcontrollers"]),
    kind=st.sampled_from(["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]),
    query=st.dictionaries(
        st.sampled_from(["limit", "continue", "resourceVersion", "labelSelector", "fieldSelector", "fieldManager",
                         "resourceVersionMatch", "dryRun", "force", "includeObject"]), st.text(max_size=6), max_size=3),
)  # fmt: skip
def test_nothing_that_is_sent_makes_the_server_fail(
    shared: ApiserverProcess, document: Any, plural: str, kind: str, query: dict[str, str]
) -> None:
    headers = {"Authorization": "Bearer sesame", "Content-Type": kind}
    body = json.dumps(document).encode("utf-8", "surrogatepass")
    path = f"{shared.url}/api/v1/namespaces/default/{plural}"
    with httpx.Client(verify=shared.ssl_context(), headers=headers) as client:
        for reply in (
            client.post(path, content=body, params=query),
            client.put(f"{path}/fuzz", content=body, params=query),
            client.patch(f"{path}/kept", content=body, headers={"Content-Type": "application/merge-patch+json"}),
            client.patch(f"{path}/kept", content=body, headers={"Content-Type": "application/apply-patch+yaml"},
                         params={"fieldManager": "f", **query}),
            client.get(path, params=query),
        ):  # fmt: skip
            assert reply.status_code < 500 or is_not_typed(reply), reply.text
            if reply.status_code >= 400:
                assert reply.json()["kind"] == "Status"
