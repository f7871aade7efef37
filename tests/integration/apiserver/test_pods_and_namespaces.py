"""Where the kinds have ways of their own: pods' deaths and bindings, namespaces' ends, scale, status, events."""

import grpc
import httpx
import pytest
from aetcd.rpc import rpc_pb2, rpc_pb2_grpc

from tests.integration.apiserver.objects import (
    causes,
    config_map,
    controller,
    created,
    event,
    name_of,
    names,
    ok,
    pod,
    refused,
)
from tests.integration.conftest import EtcdServer

MERGE = {"Content-Type": "application/merge-patch+json"}


async def bound(api: httpx.AsyncClient, ns: str, name: str = "a", **spec: object) -> str:
    """The path of a new pod on a node."""
    created(await api.post(f"{ns}/pods", json=pod(name, **spec)))
    reply = await api.post(f"{ns}/pods/{name}/binding", json={"target": {"kind": "Node", "name": "n1"}})
    assert reply.status_code == 201, reply.text
    return f"{ns}/pods/{name}"


async def test_a_pod_on_no_node_goes_at_once(api: httpx.AsyncClient, ns: str) -> None:
    created(await api.post(f"{ns}/pods", json=pod("a")))
    gone = ok(await api.delete(f"{ns}/pods/a"))
    assert (gone["kind"], gone["metadata"]["name"]) == ("Pod", "a")
    refused(await api.get(f"{ns}/pods/a"), 404, "NotFound")


async def test_a_pod_on_a_node_waits_for_its_kubelet(api: httpx.AsyncClient, ns: str) -> None:
    path = await bound(api, ns)
    first = ok(await api.delete(path))["metadata"]
    assert first["deletionGracePeriodSeconds"] == 30
    longer = ok(await api.delete(path, params={"gracePeriodSeconds": 60}))["metadata"]
    assert longer == first
    shorter = ok(await api.request("DELETE", path, json={"gracePeriodSeconds": 5}))["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 5
    assert shorter["deletionTimestamp"] < first["deletionTimestamp"]
    ok(await api.delete(path, params={"gracePeriodSeconds": 0}))
    refused(await api.get(path), 404, "NotFound")


async def test_a_finished_pod_and_one_deleted_by_force_go_at_once(api: httpx.AsyncClient, ns: str) -> None:
    path = await bound(api, ns)
    ok(await api.patch(f"{path}/status", json={"status": {"phase": "Succeeded"}}, headers=MERGE))
    ok(await api.delete(path))
    refused(await api.get(path), 404, "NotFound")
    path = await bound(api, ns, "b", terminationGracePeriodSeconds=7)
    assert ok(await api.delete(path, params={"dryRun": "All"}))["metadata"]["deletionGracePeriodSeconds"] == 7
    ok(await api.delete(path, params={"gracePeriodSeconds": 0}))
    refused(await api.get(path), 404, "NotFound")


async def test_a_pod_of_the_same_name_is_deleted_and_bound_anew(api: httpx.AsyncClient, ns: str) -> None:
    """Each refusal is thought over with the current object: the cache may still show the one before."""
    for _ in range(20):
        path = await bound(api, ns)
        ok(await api.delete(path))
        ok(await api.delete(path, params={"gracePeriodSeconds": 0}))


async def test_a_pod_is_bound_once(api: httpx.AsyncClient, ns: str) -> None:
    path = await bound(api, ns)
    shown = ok(await api.get(path))
    assert shown["spec"]["nodeName"] == "n1"
    assert [(condition["type"], condition["status"]) for condition in shown["status"]["conditions"]] == [
        ("PodScheduled", "True")
    ]
    assert shown["metadata"]["generation"] == 1
    again = await api.post(f"{path}/binding", json={"target": {"name": "n2"}})
    refused(again, 409, "Conflict", 'already assigned to node "n1"')
    created(await api.post(f"{ns}/pods", json=pod("b")))
    other = {"metadata": {"name": "b", "uid": "another"}, "target": {"name": "n1"}}
    refused(await api.post(f"{ns}/pods/b/binding", json=other), 409, "Conflict", "UID")
    wrong = {"metadata": {"name": "c"}, "target": {"name": "n1"}}
    refused(await api.post(f"{ns}/pods/b/binding", json=wrong), 400, "BadRequest", "name in URL")
    assert causes(await api.post(f"{ns}/pods/b/binding", json={"target": {}})) == {
        ("target.name", "FieldValueRequired")
    }
    dry = {"dryRun": "All"}
    assert (await api.post(f"{ns}/pods/b/binding", json={"target": {"name": "n1"}}, params=dry)).status_code == 201
    assert "nodeName" not in ok(await api.get(f"{ns}/pods/b"))["spec"]
    refused(await api.post(f"{ns}/pods/none/binding", json={"target": {"name": "n1"}}), 404, "NotFound")


async def test_status_and_spec_are_written_through_their_own_paths(api: httpx.AsyncClient, ns: str) -> None:
    path = await bound(api, ns)
    shown = ok(await api.get(path))
    shown["status"]["phase"], shown["spec"]["nodeName"] = "Running", "elsewhere"
    through_status = ok(await api.put(f"{path}/status", json=shown))
    assert (through_status["status"]["phase"], through_status["spec"]["nodeName"]) == ("Running", "n1")
    assert ok(await api.get(f"{path}/status")) == through_status
    through_status["status"]["phase"] = "Failed"
    assert ok(await api.put(path, json=through_status))["status"]["phase"] == "Running"


async def test_only_some_of_a_pods_spec_may_change(api: httpx.AsyncClient, ns: str) -> None:
    made = created(await api.post(f"{ns}/pods", json=pod("a")))
    made["spec"]["containers"][0]["image"] = "busybox:2"
    made["spec"]["activeDeadlineSeconds"] = 60
    made["spec"]["tolerations"] += [{"key": "x", "operator": "Exists"}]
    made["spec"]["tolerations"][0]["tolerationSeconds"] = 5
    changed = ok(await api.put(f"{ns}/pods/a", json=made))
    assert changed["spec"]["containers"][0]["image"] == "busybox:2"
    assert changed["metadata"]["generation"] == 2
    changed["spec"]["containers"][0]["command"] = ["true"]
    assert causes(await api.put(f"{ns}/pods/a", json=changed)) == {("spec", "FieldValueForbidden")}
    del changed["spec"]["containers"][0]["command"]
    changed["spec"]["containers"] += [{"name": "more", "image": "x"}]
    assert ("spec.containers", "FieldValueForbidden") in causes(await api.put(f"{ns}/pods/a", json=changed))
    gated = created(await api.post(f"{ns}/pods", json=pod("g", schedulingGates=[{"name": "a.b/c"}, {"name": "d"}])))
    [condition] = gated["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "SchedulingGated")
    del gated["spec"]["schedulingGates"][0]
    assert ok(await api.put(f"{ns}/pods/g", json=gated))["spec"]["schedulingGates"] == [{"name": "d"}]
    more = {"spec": {"schedulingGates": [{"name": "d"}, {"name": "new"}]}}
    refusal = await api.patch(f"{ns}/pods/g", json=more, headers=MERGE)
    assert ("spec.schedulingGates", "FieldValueForbidden") in causes(refusal)


async def test_a_namespace_goes_when_its_finalizer_is_taken_off(api: httpx.AsyncClient, ns: str) -> None:
    shown = ok(await api.get(ns))
    assert shown["metadata"]["labels"] == {"kubernetes.io/metadata.name": name_of(ns)}
    assert (shown["spec"], shown["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})
    created(await api.post(f"{ns}/configmaps", json=config_map("kept")))
    assert ok(await api.delete(ns))["status"]["phase"] == "Terminating"
    denied = refused(await api.post(f"{ns}/configmaps", json=config_map("a")), 403, "Forbidden", "being terminated")
    assert denied["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    applied = await api.patch(
        f"{ns}/configmaps/a", json={"apiVersion": "v1", "kind": "ConfigMap"}, params={"fieldManager": "me"},
        headers={"Content-Type": "application/apply-patch+yaml"},
    )  # fmt: skip
    refused(applied, 403, "Forbidden")
    ok(await api.patch(f"{ns}/configmaps/kept", json={"data": {"a": "1"}}, headers=MERGE))
    shown = ok(await api.get(ns))
    shown["spec"]["finalizers"] = []
    ok(await api.put(f"{ns}/finalize", json=shown))
    refused(await api.get(ns), 404, "NotFound")


async def test_nothing_is_made_in_a_namespace_that_is_not_there(api: httpx.AsyncClient) -> None:
    for reply in (
        await api.post("/api/v1/namespaces/nowhere/configmaps", json=config_map("a")),
        await api.put("/api/v1/namespaces/nowhere/events/e", json=event("e", "nowhere")),
        await api.patch(
            "/api/v1/namespaces/nowhere/pods/p", params={"fieldManager": "me"},
            json={"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", "image": "x"}]}},
            headers={"Content-Type": "application/apply-patch+yaml"},
        ),
    ):  # fmt: skip
        refused(reply, 404, "NotFound", 'namespaces "nowhere" not found')
    refused(await api.delete("/api/v1/namespaces/kube-system"), 403, "Forbidden")


async def test_a_controller_is_scaled_through_its_scale(api: httpx.AsyncClient, ns: str) -> None:
    created(await api.post(f"{ns}/replicationcontrollers", json=controller("rc", 2)))
    path = f"{ns}/replicationcontrollers/rc"
    scale = ok(await api.get(f"{path}/scale"))
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 2})
    assert scale["status"] == {"replicas": 0, "selector": "app=rc"}
    scale["spec"]["replicas"] = 5
    scaled = ok(await api.put(f"{path}/scale", json=scale))
    assert (scaled["kind"], scaled["spec"]) == ("Scale", {"replicas": 5})
    refused(await api.put(f"{path}/scale", json=scale), 409, "Conflict")
    ok(await api.patch(f"{path}/scale", json={"spec": {"replicas": 3}}, headers=MERGE))
    shown = ok(await api.get(path))
    assert (shown["spec"]["replicas"], shown["metadata"]["generation"]) == (3, 3)
    assert ("spec.replicas", "FieldValueInvalid") in causes(
        await api.patch(f"{path}/scale", json={"spec": {"replicas": -1}}, headers=MERGE)
    )


async def lease_of(etcd: EtcdServer, key: str) -> int:
    """The etcd lease that a key hangs on; 0 if it stays for ever."""
    target = etcd.url.removeprefix("http://")
    async with grpc.aio.insecure_channel(target) as channel:
        answer = await rpc_pb2_grpc.KVStub(channel).Range(rpc_pb2.RangeRequest(key=key.encode()))
    lease: int = answer.kvs[0].lease
    return lease


async def test_events_expire_and_other_objects_do_not(api: httpx.AsyncClient, ns: str, shared_etcd: EtcdServer) -> None:
    created(await api.post(f"{ns}/events", json=event("e", name_of(ns))))
    created(await api.post(f"{ns}/configmaps", json=config_map("a")))
    assert await lease_of(shared_etcd, f"/registry/core/events/{name_of(ns)}/e")
    assert not await lease_of(shared_etcd, f"/registry/core/configmaps/{name_of(ns)}/a")


async def test_describe_finds_the_events_of_an_object(api: httpx.AsyncClient, ns: str) -> None:
    for name, about in (("e1", "p"), ("e2", "q")):
        body = event(name, name_of(ns))
        body["involvedObject"]["name"] = about
        created(await api.post(f"{ns}/events", json=body))
    selector = f"involvedObject.name=p,involvedObject.namespace={name_of(ns)},involvedObject.kind=Pod"
    assert names(await api.get(f"{ns}/events", params={"fieldSelector": selector})) == ["e1"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/v1/namespaces"), ("DELETE", "/api/v1/pods"), ("POST", "/api/v1/pods"),
        ("DELETE", "{pod}/status"), ("POST", "{pod}/status"), ("POST", "{pod}"), ("GET", "{pod}/binding"),
        ("PATCH", "{pod}/binding"), ("PUT", "/api/v1/namespaces/default/pods"), ("POST", "/api/v1"),
        ("DELETE", "/apis"), ("POST", "/version"), ("OPTIONS", "{pod}"), ("DELETE", "/openapi/v3"),
    ],
)  # fmt: skip
async def test_a_method_that_a_path_does_not_take_changes_nothing(
    api: httpx.AsyncClient, ns: str, method: str, path: str
) -> None:
    created(await api.post(f"{ns}/pods", json=pod("a")))
    reply = await api.request(method, path.format(pod=f"{ns}/pods/a"))
    refused(reply, 405, "MethodNotAllowed")
    assert names(await api.get(f"{ns}/pods")) == ["a"]
