"""Corners of what requests mean, in which clients rely on the answer of Kubernetes."""

import asyncio

import httpx

from tests.integration.apiserver.objects import (
    causes,
    config_map,
    controller,
    created,
    event,
    name_of,
    ok,
    pod,
    refused,
    service,
)

MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


async def test_concurrent_patches_are_no_conflict_unless_they_name_a_revision(api: httpx.AsyncClient, ns: str) -> None:
    made = created(await api.post(f"{ns}/configmaps", json=config_map("c")))

    async def patch(number: int) -> int:
        document = {"data": {f"k{number}": "x"}}
        return (await api.patch(f"{ns}/configmaps/c", json=document, headers=MERGE)).status_code

    assert await asyncio.gather(*map(patch, range(40))) == [200] * 40
    current = ok(await api.get(f"{ns}/configmaps/c"))
    assert len(current["data"]) == 40
    outdated = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"a": "b"}}
    refused(await api.patch(f"{ns}/configmaps/c", json=outdated, headers=MERGE), 409, "Conflict")


async def test_a_failed_test_of_a_secret_does_not_tell_what_it_holds(api: httpx.AsyncClient, ns: str) -> None:
    created(await api.post(f"{ns}/secrets", json={"metadata": {"name": "s"}, "data": {"key": "aHVzaA=="}}))
    for operation in (
        {"op": "test", "path": "/data/key", "value": "x"},
        {"op": "test", "path": "/data/key/deep", "value": "x"},
        {"op": "remove", "path": "/data/key/deep"},
    ):
        reply = await api.patch(f"{ns}/secrets/s", json=[operation], headers=JSON_PATCH)
        refused(reply, 422, "Invalid", "/data/key")
        assert "aHVzaA" not in reply.text
    absent = [{"op": "test", "path": "/data/none", "value": None}]
    ok(await api.patch(f"{ns}/secrets/s", json=absent, headers=JSON_PATCH))


async def test_times_are_read_as_go_reads_them_and_stored_as_go_writes_them(api: httpx.AsyncClient, ns: str) -> None:
    fields = {"action": "a", "reportingComponent": "c", "reportingInstance": "i"}
    whole = event("whole", name_of(ns), eventTime="2026-01-02T03:04:00Z", **fields)
    refused(await api.post(f"{ns}/events", json=whole), 400, "BadRequest", "eventTime: must be a time such as")
    zoned = event("zoned", name_of(ns), eventTime="2026-01-02T03:04:00.100000+01:00", **fields)
    stored = created(await api.post(f"{ns}/events", json={**zoned, "lastTimestamp": "2026-01-02T03:04:00.5+01:00"}))
    assert (stored["eventTime"], stored["lastTimestamp"]) == ("2026-01-02T02:04:00.100000Z", "2026-01-02T02:04:00Z")


async def test_a_pod_has_the_priority_of_its_class(api: httpx.AsyncClient, ns: str) -> None:
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    unknown = await api.post(f"{ns}/pods", json=pod("a", priorityClassName="none-such"))
    refused(unknown, 403, "Forbidden", "no PriorityClass with name none-such was found")
    refused(
        await api.post(f"{ns}/pods", json=pod("a", priority=5)), 403, "Forbidden", "must not be provided in pod spec"
    )
    system = created(await api.post(f"{ns}/pods", json=pod("a", priorityClassName="system-node-critical")))
    assert system["spec"]["priority"] == 2000001000
    high = {"metadata": {"name": "high"}, "value": 7, "globalDefault": True, "preemptionPolicy": "Never"}
    try:
        created(await api.post(classes, json=high))
        another = {**high, "metadata": {"name": "higher"}}
        refused(await api.post(classes, json=another), 403, "Forbidden", "high is already marked as default")
        spec = created(await api.post(f"{ns}/pods", json=pod("b")))["spec"]
        assert (spec["priorityClassName"], spec["priority"], spec["preemptionPolicy"]) == ("high", 7, "Never")
        preempting = pod("c", preemptionPolicy="PreemptLowerPriority")
        refused(await api.post(f"{ns}/pods", json=preempting), 403, "Forbidden", "PreemptionPolicy")
    finally:
        await api.delete(f"{classes}/high")


async def test_a_pod_gets_what_its_runtime_class_needs(api: httpx.AsyncClient, ns: str) -> None:
    classes = "/apis/node.k8s.io/v1/runtimeclasses"
    unknown = await api.post(f"{ns}/pods", json=pod("a", runtimeClassName="none-such"))
    refused(unknown, 403, "Forbidden", 'RuntimeClass "none-such" not found')
    sandboxed = {
        "metadata": {"name": name_of(ns)},
        "handler": "vm",
        "overhead": {"podFixed": {"cpu": "100m"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]},
    }
    created(await api.post(classes, json=sandboxed))
    spec = created(await api.post(f"{ns}/pods", json=pod("a", runtimeClassName=name_of(ns))))["spec"]
    assert (spec["overhead"], spec["nodeSelector"]) == ({"cpu": "100m"}, {"vm": "yes"})
    assert {"key": "vm", "operator": "Exists"} in spec["tolerations"]
    elsewhere = pod("b", runtimeClassName=name_of(ns), nodeSelector={"vm": "no"})
    refused(await api.post(f"{ns}/pods", json=elsewhere), 403, "Forbidden", "forbidden: conflict: runtimeClass")
    same = pod("c", runtimeClassName=name_of(ns), overhead={"cpu": "0.1"}, tolerations=[{"operator": "Exists"}])
    made = (await api.post(f"{ns}/pods", json=same)).json()["spec"]
    assert made["tolerations"] == [{"operator": "Exists"}], "which includes those of the class"
    heavy = pod("b", runtimeClassName=name_of(ns), overhead={"cpu": "2"})
    refused(await api.post(f"{ns}/pods", json=heavy), 403, "Forbidden", "doesn't match RuntimeClass's defined Overhead")
    refused(
        await api.post(f"{ns}/pods", json=pod("b", overhead={"cpu": "2"})), 403, "Forbidden", "Pod Overhead set without"
    )


def warned(reply: httpx.Response) -> str:
    assert reply.status_code < 300, reply.text
    return reply.headers.get("warning", "")


async def test_every_write_warns_of_what_may_not_be_meant(api: httpx.AsyncClient, ns: str) -> None:
    twice = {"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}
    assert "hides previous definition" in warned(await api.post(f"{ns}/pods", json=pod("a", containers=[twice])))
    created(await api.post(f"{ns}/replicationcontrollers", json=controller("r")))
    change = {"spec": {"template": {"spec": {"containers": [twice]}}}}
    reply = await api.patch(f"{ns}/replicationcontrollers/r", json=change, headers=MERGE)
    assert 'spec.template.spec.containers[0].env[1]: hides previous definition of \\"A\\"' in warned(reply)
    assert not warned(await api.put(f"{ns}/replicationcontrollers/r/status", json=reply.json()))
    assert "hides previous definition" in warned(await api.put(f"{ns}/replicationcontrollers/r", json=reply.json()))


async def test_an_owner_that_is_named_twice_counts_once(api: httpx.AsyncClient, ns: str) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u-1"}
    owned = {"metadata": {"name": "c", "ownerReferences": [owner, owner]}}
    reply = await api.post(f"{ns}/configmaps", json=owned)
    assert "duplicate UID(s) observed: [u-1]" in warned(reply)
    assert reply.json()["metadata"]["ownerReferences"] == [owner]
    reply = await api.patch(f"{ns}/configmaps/c", json={"metadata": owned["metadata"]}, headers=MERGE)
    assert "duplicate UID(s) observed: [u-1]" in warned(reply)


async def test_options_are_refused_as_objects_of_their_kind(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    made = created(await api.post(path, json=config_map("c")))
    wrong = {"dryRun": "Some", "fieldValidation": "Maybe", "fieldManager": "a\nb"}
    for kind, reply in (
        ("CreateOptions", await api.post(path, json=config_map("d"), params=wrong)),
        ("UpdateOptions", await api.put(f"{path}/c", json=made, params=wrong)),
        ("PatchOptions", await api.patch(f"{path}/c", json={}, params=wrong, headers=MERGE)),
    ):
        assert causes(reply) == {
            ("dryRun", "FieldValueNotSupported"),
            ("fieldValidation", "FieldValueNotSupported"),
            ("fieldManager", "FieldValueInvalid"),
        }
        details = reply.json()["details"]
        assert (details["kind"], details["group"]) == (kind, "meta.k8s.io")
    forced = await api.patch(f"{path}/c", json={}, params={"force": "true"}, headers=MERGE)
    assert causes(forced) == {("force", "FieldValueForbidden")}
    apply = {"Content-Type": "application/apply-patch+yaml"}
    nobody = await api.patch(f"{path}/c", json={"apiVersion": "v1", "kind": "ConfigMap"}, headers=apply)
    assert causes(nobody) == {("fieldManager", "FieldValueRequired")}
    both = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Up", "orphanDependents": True}
    assert causes(await api.request("DELETE", f"{path}/c", json={**both, "dryRun": ["Some"]})) == {
        ("dryRun", "FieldValueNotSupported"),
        ("propagationPolicy", "FieldValueInvalid"),
        ("propagationPolicy", "FieldValueNotSupported"),
    }
    ok(await api.delete(f"{path}/c", params={"gracePeriodSeconds": "-1"}))


async def test_a_patch_that_gives_a_field_another_type_is_invalid(api: httpx.AsyncClient, ns: str) -> None:
    created(await api.post(f"{ns}/pods", json=pod("p")))
    reply = await api.patch(f"{ns}/pods/p", json={"spec": {"hostNetwork": "no"}}, headers=MERGE)
    assert causes(reply) == {("patch", "FieldValueInvalid")}
    assert "spec.hostNetwork: must be a boolean, not a string" in reply.json()["message"]


async def test_put_creates_where_kubernetes_lets_it(api: httpx.AsyncClient, ns: str) -> None:
    rbac = ns.replace("/api/v1/", "/apis/rbac.authorization.k8s.io/v1/")
    role = {"kind": "Role", "apiGroup": "rbac.authorization.k8s.io", "name": "r"}
    for path, body in (
        (f"{ns}/services", service("s")),
        (f"{ns}/endpoints", {"metadata": {"name": "s"}}),
        (f"{ns}/limitranges", {"metadata": {"name": "s"}, "spec": {"limits": []}}),
        (f"{rbac}/roles", {"metadata": {"name": "s"}}),
        (f"{rbac}/rolebindings", {"metadata": {"name": "s"}, "roleRef": role}),
        (ns.replace("/api/v1/", "/apis/coordination.k8s.io/v1/") + "/leases", {"metadata": {"name": "s"}}),
    ):
        made = created(await api.put(f"{path}/s", json=body))
        ok(await api.put(f"{path}/s", json=made))
    refused(await api.put(f"{ns}/configmaps/s", json=config_map("s")), 404, "NotFound")
    nameless = {"metadata": {}, "spec": {"ports": [{"port": 80}]}}
    refused(await api.put(f"{ns}/services/s", json=nameless), 400, "BadRequest", "name must be provided")


async def test_the_form_that_is_wanted_most_is_answered(api: httpx.AsyncClient, ns: str) -> None:
    for accept, expected in (
        ("application/yaml;q=0.5, application/json", "application/json"),
        ("application/json;q=0.2, application/yaml;q=0.9", "application/yaml"),
        ("application/json;q=0, application/yaml", "application/yaml"),
    ):
        reply = await api.get(f"{ns}/configmaps", headers={"Accept": accept})
        assert reply.headers["content-type"].partition(";")[0] == expected
    refused(await api.get(f"{ns}/configmaps", headers={"Accept": "application/json;q=0"}), 406, "NotAcceptable")
