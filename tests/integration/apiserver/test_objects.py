"""Creating, reading, changing and deleting objects of every resource, and what the server adds to them."""

from typing import Any

import httpx
import pytest

from tests.integration.apiserver.objects import (
    NAMESPACED,
    blank,
    config_map,
    controller,
    created,
    name_of,
    names,
    ok,
    pod,
    refused,
    service,
)


@pytest.mark.parametrize("plural", sorted(NAMESPACED))
async def test_every_namespaced_resource_goes_through_all_verbs(api: httpx.AsyncClient, ns: str, plural: str) -> None:
    path, labels = f"{ns}/{plural}", {"metadata": {"labels": {"a": "b"}}}
    made = created(await api.post(path, json=blank(plural, "x", name_of(ns))))
    assert made["metadata"]["uid"]
    assert made["metadata"]["creationTimestamp"]
    assert made["metadata"]["namespace"] == name_of(ns)
    assert ok(await api.get(f"{path}/x")) == made
    assert names(await api.get(path)) == ["x"]
    assert made in ok(await api.get(f"/api/v1/{plural}"))["items"]
    merged = ok(await api.patch(f"{path}/x", json=labels, headers={"Content-Type": "application/merge-patch+json"}))
    assert merged["metadata"]["labels"]["a"] == "b"
    assert int(merged["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    operations = [{"op": "add", "path": "/metadata/annotations", "value": {"c": "d"}}]
    json_patch = {"Content-Type": "application/json-patch+json"}
    assert ok(await api.patch(f"{path}/x", json=operations, headers=json_patch))["metadata"]["annotations"] == {
        "c": "d"
    }
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    document = {"metadata": {"labels": {"a": None, "e": "f"}}}
    patched = ok(await api.patch(f"{path}/x", json=document, headers=strategic))
    assert patched["metadata"]["labels"].get("e") == "f"
    assert "a" not in patched["metadata"]["labels"]
    patched["metadata"]["annotations"] = {"put": "yes"}
    put = ok(await api.put(f"{path}/x", json=patched))
    assert put["metadata"]["annotations"] == {"put": "yes"}
    assert put["metadata"]["uid"] == made["metadata"]["uid"]
    assert {entry["operation"] for entry in put["metadata"]["managedFields"]} == {"Update"}
    ok(await api.delete(f"{path}/x"))
    refused(await api.get(f"{path}/x"), 404, "NotFound", f'{plural} "x" not found')
    for name in ("p", "q"):
        created(await api.post(path, json=blank(plural, name, name_of(ns))))
    await api.delete(path)
    assert names(await api.get(path)) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/nodes", {"spec": {"podCIDR": "10.9.0.0/24"}}),
        ("/apis/coordination.k8s.io/v1/namespaces/default/leases", {"spec": {"holderIdentity": "me"}}),
    ],
)
async def test_nodes_and_leases_go_through_all_verbs(api: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    made = created(await api.post(path, json={"metadata": {"name": "all-verbs"}, **body}))
    made["metadata"]["labels"] = {"a": "b"}
    assert ok(await api.put(f"{path}/all-verbs", json=made))["metadata"]["labels"] == {"a": "b"}
    assert names(await api.get(path, params={"labelSelector": "a=b"})) == ["all-verbs"]
    assert ok(await api.delete(f"{path}/all-verbs"))["status"] == "Success"
    assert names(await api.get(path, params={"labelSelector": "a=b"})) == []


async def test_a_name_is_generated(api: httpx.AsyncClient, ns: str) -> None:
    body = {"metadata": {"generateName": "web-"}}
    made = [created(await api.post(f"{ns}/configmaps", json=body))["metadata"]["name"] for _ in range(3)]
    assert len(set(made)) == 3
    assert all(name.startswith("web-") and len(name) == 9 for name in made)


async def test_a_pod_is_given_kubernetes_defaults(api: httpx.AsyncClient, ns: str) -> None:
    made = created(await api.post(f"{ns}/pods", json=pod("a", containers=[{"name": "c", "image": "nginx"}])))
    spec, container = made["spec"], made["spec"]["containers"][0]
    assert {key: spec[key] for key in ("restartPolicy", "dnsPolicy", "schedulerName", "enableServiceLinks")} == {
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    }  # fmt: skip
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["securityContext"] == {}
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert {toleration["key"]: toleration["tolerationSeconds"] for toleration in spec["tolerations"]} == {
        "node.kubernetes.io/not-ready": 300, "node.kubernetes.io/unreachable": 300,
    }  # fmt: skip
    assert container == {
        "name": "c", "image": "nginx", "imagePullPolicy": "Always", "resources": {},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
    }  # fmt: skip
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


async def test_services_and_controllers_are_given_defaults(api: httpx.AsyncClient, ns: str) -> None:
    made = created(await api.post(f"{ns}/services", json=service("s", sessionAffinity="ClientIP")))["spec"]
    assert made["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert made["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    assert made["clusterIPs"] == [made["clusterIP"]]
    assert (made["type"], made["ipFamilies"], made["internalTrafficPolicy"]) == ("ClusterIP", ["IPv4"], "Cluster")
    body = controller("rc")
    del body["spec"]["selector"], body["spec"]["replicas"]
    made = created(await api.post(f"{ns}/replicationcontrollers", json=body))
    assert (made["spec"]["replicas"], made["spec"]["selector"]) == (1, {"app": "rc"})
    assert made["metadata"]["labels"] == {"app": "rc"}
    assert made["status"] == {"replicas": 0}


async def test_what_only_the_server_decides_is_not_taken_from_clients(api: httpx.AsyncClient, ns: str) -> None:
    body = pod("a")
    body["metadata"] |= {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7, "selfLink": "x"}
    body["metadata"]["deletionTimestamp"] = "2001-01-01T00:00:00Z"
    body["status"] = {"phase": "Running"}
    made = created(await api.post(f"{ns}/pods", json=body))
    assert made["metadata"]["uid"] != "mine"
    assert not made["metadata"]["creationTimestamp"].startswith("2001")
    assert made["metadata"]["generation"] == 1
    assert {"selfLink", "deletionTimestamp"}.isdisjoint(made["metadata"])
    assert made["status"]["phase"] == "Pending"
    made["status"]["phase"] = "Running"
    assert ok(await api.put(f"{ns}/pods/a", json=made))["status"]["phase"] == "Pending"
    body["metadata"] = {"name": "b", "resourceVersion": "5"}
    refused(await api.post(f"{ns}/pods", json=body), 400, "BadRequest", "resourceVersion")


async def test_generation_counts_changes_of_the_spec_alone(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/replicationcontrollers/rc"
    made = created(await api.post(f"{ns}/replicationcontrollers", json=controller("rc")))
    assert made["metadata"]["generation"] == 1
    merge = {"Content-Type": "application/merge-patch+json"}
    labelled = ok(await api.patch(path, json={"metadata": {"labels": {"x": "y"}}}, headers=merge))
    assert labelled["metadata"]["generation"] == 1
    status = ok(await api.patch(f"{path}/status", json={"status": {"replicas": 3}}, headers=merge))
    assert (status["metadata"]["generation"], status["status"]["replicas"]) == (1, 3)
    scaled = ok(await api.patch(path, json={"spec": {"replicas": 2}}, headers=merge))
    assert scaled["metadata"]["generation"] == 2


async def test_an_update_is_held_to_the_version_it_names(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps/a"
    first = created(await api.post(f"{ns}/configmaps", json=config_map("a", v="1")))
    second = ok(await api.put(path, json={**first, "data": {"v": "2"}}))
    stale = refused(await api.put(path, json={**first, "data": {"v": "3"}}), 409, "Conflict", "modified")
    assert stale["details"]["name"] == "a"
    unconditional = config_map("a", v="4")
    assert ok(await api.put(path, json=unconditional))["data"] == {"v": "4"}
    second["metadata"]["resourceVersion"] = ""
    second["metadata"]["uid"] = "another"
    refused(await api.put(path, json=second), 409, "Conflict", "UID")
    merge = {"Content-Type": "application/merge-patch+json"}
    old = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"v": "5"}}
    refused(await api.patch(path, json=old, headers=merge), 409, "Conflict")
    refused(await api.put(f"{ns}/configmaps/none", json=config_map("none")), 404, "NotFound")
    # leases change hands only under the version that was seen
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{name_of(ns)}/leases"
    created(await api.post(leases, json={"metadata": {"name": "l"}}))
    refused(await api.put(f"{leases}/l", json={"metadata": {"name": "l"}}), 422, "Invalid", "resourceVersion")


async def test_a_write_that_changes_nothing_makes_no_new_version(api: httpx.AsyncClient, ns: str) -> None:
    made = created(await api.post(f"{ns}/configmaps", json=config_map("a", v="1")))
    again = ok(await api.put(f"{ns}/configmaps/a", json=made))
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_dry_runs_write_nothing(api: httpx.AsyncClient, ns: str) -> None:
    path, dry = f"{ns}/services", {"dryRun": "All"}
    assert created(await api.post(path, json=service("a"), params=dry))["spec"]["clusterIP"]
    assert names(await api.get(path)) == []
    refused(await api.post(path, json=service("a"), params={"dryRun": "Some"}), 422, "Invalid", "dryRun")
    kept = created(await api.post(path, json=service("a")))
    refused(await api.post(path, json=service("a"), params=dry), 409, "AlreadyExists")
    taken = service("b", clusterIP=kept["spec"]["clusterIP"])
    refused(await api.post(path, json=taken, params=dry), 422, "Invalid", "already allocated")
    changed = {**kept, "metadata": {**kept["metadata"], "labels": {"x": "y"}}}
    assert ok(await api.put(f"{path}/a", json=changed, params=dry))["metadata"]["labels"] == {"x": "y"}
    merge = {"Content-Type": "application/merge-patch+json"}
    patch = {"metadata": {"labels": {"x": "y"}}}
    assert ok(await api.patch(f"{path}/a", json=patch, headers=merge, params=dry))["metadata"]["labels"] == {"x": "y"}
    ok(await api.delete(f"{path}/a", params=dry))
    in_body = {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]}
    ok(await api.request("DELETE", f"{path}/a", json=in_body))
    ok(await api.request("DELETE", path, json=in_body))
    assert ok(await api.get(f"{path}/a")) == kept


async def test_field_validation_ignores_warns_or_refuses(api: httpx.AsyncClient, ns: str) -> None:
    path, text = f"{ns}/configmaps", '{"metadata":{"name":"%s","labelz":{}},"data":{"a":"1","a":"2"},"extra":1}'
    js = {"Content-Type": "application/json"}
    ignored = await api.post(path, content=text % "a", params={"fieldValidation": "Ignore"}, headers=js)
    assert created(ignored)["data"] == {"a": "2"}
    assert "warning" not in ignored.headers
    warned = await api.post(path, content=text % "b", headers=js)
    created(warned)
    for fault in ('unknown field \\"metadata.labelz\\"', 'duplicate field \\"data.a\\"', 'unknown field \\"extra\\"'):
        assert fault in warned.headers["warning"]
    strict = {"fieldValidation": "Strict"}
    refused(await api.post(path, content=text % "c", params=strict, headers=js), 400, "BadRequest", "strict decoding",
            'unknown field "extra"', 'duplicate field "data.a"')  # fmt: skip
    refused(await api.put(f"{path}/b", content=text % "b", params=strict, headers=js), 400, "BadRequest", "extra")
    yaml = f"{ns}/pods", "metadata:\n  name: y\nspec:\n  containerz: []\n"
    refused(await api.post(yaml[0], content=yaml[1], params=strict, headers={"Content-Type": "application/yaml"}),
            400, "BadRequest", 'unknown field "spec.containerz"')  # fmt: skip
    for kind in ("merge-patch", "strategic-merge-patch"):
        headers = {"Content-Type": f"application/{kind}+json"}
        refused(await api.patch(f"{path}/b", json={"extra": 1}, params=strict, headers=headers), 422, "Invalid",
                'strict decoding error: unknown field "extra"')  # fmt: skip
    refused(await api.post(path, json={}, params={"fieldValidation": "Maybe"}), 422, "Invalid", "fieldValidation")


async def test_preconditions_of_a_delete(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    made = created(await api.post(path, json=config_map("a")))
    for wrong in ({"uid": "another"}, {"resourceVersion": "1"}):
        refused(
            await api.request("DELETE", f"{path}/a", json={"preconditions": wrong}), 409, "Conflict", "Precondition"
        )
    right = {"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}
    ok(await api.request("DELETE", f"{path}/a", json={"preconditions": right}))


async def test_finalizers_hold_an_object_until_they_are_gone(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    body = config_map("a")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    made = created(await api.post(path, json=body))
    waiting = ok(await api.delete(f"{path}/a"))
    assert waiting["metadata"]["deletionTimestamp"]
    again = ok(await api.delete(f"{path}/a"))
    assert again["metadata"]["resourceVersion"] == waiting["metadata"]["resourceVersion"]
    merge = {"Content-Type": "application/merge-patch+json"}
    more = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    refused(await api.patch(f"{path}/a", json=more, headers=merge), 422, "Invalid", "no new finalizers")
    gone = ok(await api.patch(f"{path}/a", json={"metadata": {"finalizers": None}}, headers=merge))
    assert gone["metadata"]["uid"] == made["metadata"]["uid"]
    refused(await api.get(f"{path}/a"), 404, "NotFound")


async def test_propagation_policies_become_finalizers(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/replicationcontrollers"
    for policy, finalizer in (("Orphan", "orphan"), ("Foreground", "foregroundDeletion")):
        name = policy.lower()
        created(await api.post(path, json=controller(name)))
        waiting = ok(await api.delete(f"{path}/{name}", params={"propagationPolicy": policy}))
        assert waiting["metadata"]["finalizers"] == [finalizer]
    refused(await api.delete(f"{path}/orphan", params={"propagationPolicy": "Up"}), 422, "Invalid", "propagation")


async def test_a_collection_is_deleted_as_far_as_selected(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "red")):
        created(await api.post(path, json=config_map(name, {"colour": colour})))
    gone = ok(await api.delete(path, params={"labelSelector": "colour=red"}))
    assert gone["kind"] == "ConfigMapList"
    assert sorted(item["metadata"]["name"] for item in gone["items"]) == ["a", "c"]
    assert names(await api.get(path)) == ["b"]


async def test_managed_fields_say_who_wrote_what(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    agent = {"User-Agent": "alice/v1"}
    created(await api.post(path, json=config_map("a", x="1", y="1"), headers=agent))
    merge = {"Content-Type": "application/merge-patch+json"}
    changed = ok(await api.patch(f"{path}/a", json={"data": {"x": "2"}}, headers=merge, params={"fieldManager": "bob"}))
    owned = {
        entry["manager"]: set(entry["fieldsV1"]["f:data"]) - {"."} for entry in changed["metadata"]["managedFields"]
    }
    assert owned == {"alice": {"f:y"}, "bob": {"f:x"}}
    status = {"Content-Type": "application/merge-patch+json"}
    created(await api.post(f"{ns}/pods", json=pod("p"), params={"fieldManager": "alice"}))
    shown = ok(await api.patch(f"{ns}/pods/p/status", json={"status": {"phase": "Running"}}, headers=status,
                               params={"fieldManager": "kubelet"}))  # fmt: skip
    entry = next(managed for managed in shown["metadata"]["managedFields"] if managed["manager"] == "kubelet")
    assert entry["subresource"] == "status"
    assert entry["fieldsV1"] == {"f:status": {"f:phase": {}}}
