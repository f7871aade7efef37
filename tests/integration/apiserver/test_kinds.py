"""Every kind through a real apiserver: made, read, listed, patched, printed by kubectl, deleted; and what is special."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.certificates import Authority
from tests.integration.apiserver.objects import causes, created, name_of, ok, pod, refused
from tests.integration.apiserver_process import ApiserverProcess
from tests.kinds import KINDS, SELECTOR, Kind, kind

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
MERGE = {"Content-Type": "application/merge-patch+json"}


async def kubectl(server: ApiserverProcess, *arguments: str, stdin: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        "kubectl",
        *arguments,
        env=server.environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 30)
    assert process.returncode == 0, err.decode()
    return out.decode()


def place(sample: Kind) -> str:
    """Events about cluster-wide objects live in default; the others may, too."""
    return sample.path("default")


@pytest.mark.parametrize("sample", KINDS, ids=str)
async def test_a_kind_lives_its_life(shared: ApiserverProcess, api: httpx.AsyncClient, sample: Kind) -> None:
    path = place(sample)
    made = created(await api.post(path, json=sample.manifest(), params={"fieldValidation": "Strict"}))
    assert (made["apiVersion"], made["kind"]) == (sample.api_version, sample.kind)
    object_path = f"{path}/{sample.name}"
    read = ok(await api.get(object_path))
    assert read == made

    table = ok(await api.get(path, headers={"Accept": TABLE}))
    rows = [row["cells"] for row in table["rows"] if row["object"]["metadata"]["name"] == sample.name]
    assert len(rows) == 1
    assert len(rows[0]) == len(table["columnDefinitions"])

    patched = ok(await api.patch(object_path, json={"metadata": {"labels": {"x": "y"}}}, headers=MERGE))
    assert patched["metadata"]["labels"]["x"] == "y"
    same = {key: value for key, value in patched.items() if key != "metadata"}
    assert same == {key: value for key, value in read.items() if key != "metadata"}
    assert patched["metadata"].get("generation") == read["metadata"].get("generation") or sample.plural in (
        "endpointslices",  # their labels count
    )
    assert (
        ok(await api.put(object_path, json=patched))["metadata"]["resourceVersion"]
        == patched["metadata"]["resourceVersion"]
    )

    printed = await kubectl(shared, "get", f"{sample.plural}.{sample.version}.{sample.group}", "-o", "wide")
    headings = [column["name"].upper() for column in table["columnDefinitions"]]
    assert printed.splitlines()[0].split() == " ".join(headings).split()

    created_again = await api.post(path, json=sample.manifest())
    refused(created_again, 409, "AlreadyExists")
    ok(await api.delete(object_path))
    refused(await api.get(object_path), 404, "NotFound")


async def test_applying_twice_changes_nothing(shared: ApiserverProcess) -> None:
    """kubectl sends patches for lists that the server filled in; what comes of them is what was there."""
    others = [
        sample for sample in KINDS if sample.plural != "horizontalpodautoscalers"
    ]  # two versions would undo each other
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [sample.manifest() for sample in others]})

    async def versions() -> list[str]:
        listed = json.loads(await kubectl(shared, "get", "-o", "json", "-f", "-", stdin=text))
        return [item["metadata"]["resourceVersion"] for item in listed["items"]]

    assert (await kubectl(shared, "apply", "-f", "-", stdin=text)).count(" created") == len(others)
    first = await versions()
    await kubectl(shared, "apply", "-f", "-", stdin=text)
    assert await versions() == first
    applied = await kubectl(shared, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)
    assert applied.count("serverside-applied") == len(others)
    await kubectl(shared, "delete", "--wait=false", "-f", "-", stdin=text)


# -- one store, two versions


async def test_an_autoscaler_is_one_object_in_both_versions(api: httpx.AsyncClient, ns: str) -> None:
    old, new = (kind("horizontalpodautoscalers", version).path(name_of(ns)) for version in ("v1", "v2"))
    created(await api.post(new, json=kind("horizontalpodautoscalers", "v2").manifest()))
    shown = ok(await api.get(f"{old}/a"))
    assert shown["apiVersion"] == "autoscaling/v1"
    assert shown["spec"]["targetCPUUtilizationPercentage"] == 50
    ok(await api.patch(f"{old}/a", json={"spec": {"targetCPUUtilizationPercentage": 70}}, headers=MERGE))
    changed = ok(await api.get(f"{new}/a"))
    assert changed["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    listed = ok(await api.get(old))
    assert (listed["kind"], listed["apiVersion"]) == ("HorizontalPodAutoscalerList", "autoscaling/v1")
    assert [item["apiVersion"] for item in listed["items"]] == ["autoscaling/v1"]
    conflict = {**shown, "metadata": {**shown["metadata"], "resourceVersion": "1"}}
    refused(await api.put(f"{old}/a", json=conflict), 409, "Conflict")
    ok(await api.delete(f"{old}/a"))
    refused(await api.get(f"{new}/a"), 404, "NotFound")


async def test_a_watch_shows_each_version_its_own(api: httpx.AsyncClient, ns: str) -> None:
    paths = {version: kind("horizontalpodautoscalers", version).path(name_of(ns)) for version in ("v1", "v2")}
    revision = ok(await api.get(paths["v2"]))["metadata"]["resourceVersion"]

    async def first_two(version: str) -> list[tuple[str, str]]:
        query = {"watch": "1", "resourceVersion": revision, "timeoutSeconds": "20"}
        events = []
        async with api.stream("GET", paths[version], params=query) as stream:
            async for line in stream.aiter_lines():
                event = json.loads(line)
                events.append((event["type"], event["object"]["apiVersion"]))
                if len(events) == 2:
                    break
        return events

    watching = [asyncio.create_task(first_two(version)) for version in paths]
    created(await api.post(paths["v1"], json=kind("horizontalpodautoscalers", "v1").manifest()))
    ok(await api.delete(f"{paths['v2']}/a"))
    for version, task in zip(paths, watching, strict=True):
        assert await task == [("ADDED", f"autoscaling/{version}"), ("DELETED", f"autoscaling/{version}")]


async def test_an_event_of_either_group_is_seen_in_both(api: httpx.AsyncClient) -> None:
    newer, older = kind("events").path("default"), "/api/v1/namespaces/default/events"
    body = kind("events").manifest(note="hello", metadata={"name": "both"})
    created(await api.post(newer, json=body))
    assert ok(await api.get(f"{older}/both"))["message"] == "hello"
    refused(await api.get(newer, params={"fieldSelector": "involvedObject.name="}), 400, "BadRequest")
    selected = ok(await api.get(newer, params={"fieldSelector": "reason=Because,regarding.name="}))["items"]
    assert "both" in [item["metadata"]["name"] for item in selected]
    ok(await api.delete(f"{older}/both"))
    refused(await api.get(f"{newer}/both"), 404, "NotFound")
    del body["eventTime"]
    assert causes(await api.post(newer, json=body)) == {("eventTime", "FieldValueRequired")}


async def test_the_newest_version_is_preferred(api: httpx.AsyncClient) -> None:
    group = ok(await api.get("/apis/autoscaling"))
    assert [version["version"] for version in group["versions"]] == ["v2", "v1"]
    assert group["preferredVersion"]["version"] == "v2"


# -- subresources


@pytest.mark.parametrize("plural", ["deployments", "replicasets", "statefulsets"])
async def test_scale(api: httpx.AsyncClient, ns: str, plural: str) -> None:
    path = kind(plural).path(name_of(ns))
    created(await api.post(path, json=kind(plural).manifest()))
    scale = ok(await api.get(f"{path}/a/scale"))
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["selector"]) == ("Scale", 1, "app=a")
    ok(await api.patch(f"{path}/a/scale", json={"spec": {"replicas": 4}}, headers=MERGE))
    scaled = ok(await api.get(f"{path}/a"))
    assert (scaled["spec"]["replicas"], scaled["metadata"]["generation"]) == (4, 2)
    assert causes(await api.patch(f"{path}/a/scale", json={"spec": {"replicas": -1}}, headers=MERGE)) == {
        ("spec.replicas", "FieldValueInvalid")
    }


async def test_status_and_spec_are_written_apart(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{kind('deployments').path(name_of(ns))}/a"
    created(await api.post(kind("deployments").path(name_of(ns)), json=kind("deployments").manifest()))
    change = {"spec": {"replicas": 7}, "status": {"replicas": 3}}
    after = ok(await api.patch(f"{path}/status", json=change, headers=MERGE))
    assert (after["spec"]["replicas"], after["status"]["replicas"], after["metadata"]["generation"]) == (1, 3, 1)
    after = ok(await api.patch(path, json={**change, "status": {"replicas": 9}}, headers=MERGE))
    assert (after["spec"]["replicas"], after["status"]["replicas"], after["metadata"]["generation"]) == (7, 3, 2)


async def running(api: httpx.AsyncClient, ns: str, name: str) -> str:
    """A pod that runs and is ready; its path."""
    created(await api.post(f"{ns}/pods", json=pod(name, {"app": "a"})))
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    ok(await api.patch(f"{ns}/pods/{name}/status", json={"status": status}, headers=MERGE))
    return f"{ns}/pods/{name}"


def eviction(name: str, **options: Any) -> dict[str, Any]:
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options}


async def test_a_pod_without_a_budget_is_evicted(api: httpx.AsyncClient, ns: str) -> None:
    path = await running(api, ns, "p")
    assert created(await api.post(f"{path}/eviction", json=eviction("p", dryRun=["All"])))["status"] == "Success"
    assert ok(await api.get(path))["metadata"].get("deletionTimestamp") is None
    refused(await api.post(f"{path}/eviction", json=eviction("other")), 400, "BadRequest")
    assert created(await api.post(f"{path}/eviction", json=eviction("p")))["status"] == "Success"
    refused(await api.get(path), 404, "NotFound")
    refused(await api.post(f"{path}/eviction", json=eviction("p")), 404, "NotFound")


async def test_a_budget_refuses_what_it_cannot_spare(api: httpx.AsyncClient, ns: str) -> None:
    budget = kind("poddisruptionbudgets").path(name_of(ns))
    created(await api.post(budget, json=kind("poddisruptionbudgets").manifest()))
    first, second = await running(api, ns, "p"), await running(api, ns, "q")
    status = refused(await api.post(f"{first}/eviction", json=eviction("p")), 429, "TooManyRequests")
    assert status["details"]["causes"][0]["reason"] == "DisruptionBudget"
    assert "still being processed" in status["details"]["causes"][0]["message"]
    counted = {"observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 1, "disruptionsAllowed": 1}
    ok(await api.patch(f"{budget}/a/status", json={"status": counted}, headers=MERGE))
    created(await api.post(f"{first}/eviction", json=eviction("p")))
    left = ok(await api.get(f"{budget}/a"))["status"]
    assert left["disruptionsAllowed"] == 0
    assert set(left["disruptedPods"]) == {"p"}
    status = refused(await api.post(f"{second}/eviction", json=eviction("q")), 429, "TooManyRequests")
    assert "needs 1 healthy pods and has 2 currently" in status["details"]["causes"][0]["message"]
    ok(await api.get(second))


async def test_a_finished_pod_is_nobodys_loss(api: httpx.AsyncClient, ns: str) -> None:
    created(
        await api.post(kind("poddisruptionbudgets").path(name_of(ns)), json=kind("poddisruptionbudgets").manifest())
    )
    path = await running(api, ns, "p")
    ok(await api.patch(f"{path}/status", json={"status": {"phase": "Succeeded"}}, headers=MERGE))
    created(await api.post(f"{path}/eviction", json=eviction("p")))
    refused(await api.get(path), 404, "NotFound")


async def test_discovery_tells_drain_how_to_evict(api: httpx.AsyncClient) -> None:
    rows = {row["name"]: row for row in ok(await api.get("/api/v1"))["resources"]}
    eviction = rows["pods/eviction"]
    assert (eviction["group"], eviction["version"], eviction["kind"], eviction["verbs"]) == (
        "policy",
        "v1",
        "Eviction",
        ["create"],
    )
    assert rows["pods/ephemeralcontainers"]["kind"] == "Pod"
    assert rows["bindings"]["verbs"] == ["create"]
    assert rows["componentstatuses"]["verbs"] == ["get", "list"]


async def test_a_debug_container_is_put_into_a_pod(api: httpx.AsyncClient, ns: str) -> None:
    path = await running(api, ns, "p")
    container = {"name": "debug", "image": "busybox:1.36", "targetContainerName": "c"}
    patch = {"spec": {"ephemeralContainers": [container]}}
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    after = ok(await api.patch(f"{path}/ephemeralcontainers", json=patch, headers=strategic))
    assert after["spec"]["ephemeralContainers"][0]["terminationMessagePolicy"] == "File"
    ok(await api.patch(path, json={"metadata": {"labels": {"still": "writable"}}}, headers=MERGE))
    removal = {"spec": {"ephemeralContainers": []}}
    assert causes(await api.patch(f"{path}/ephemeralcontainers", json=removal, headers=MERGE)) == {
        ("spec.ephemeralContainers", "FieldValueForbidden")
    }


async def test_the_old_way_to_bind(api: httpx.AsyncClient, ns: str) -> None:
    created(await api.post(f"{ns}/pods", json=pod("p")))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    assert created(await api.post(f"{ns}/bindings", json=binding))["status"] == "Success"
    assert ok(await api.get(f"{ns}/pods/p"))["spec"]["nodeName"] == "n1"
    refused(await api.post(f"{ns}/bindings", json=binding), 409, "Conflict")
    refused(await api.get(f"{ns}/bindings"), 405, "MethodNotAllowed")


async def test_a_signing_request_is_approved_and_signed(api: httpx.AsyncClient, tmp_path: Path) -> None:
    sample = kind("certificatesigningrequests")
    path = place(sample)
    body = sample.manifest(metadata={"name": "signed"})
    body["spec"] = {**body["spec"], "username": "somebody-else", "groups": ["system:masters"]}
    made = created(await api.post(path, json=body))
    assert (made["spec"]["username"], made["spec"]["groups"]) == ("admin", ["system:masters", "system:authenticated"])
    approval = {"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "r"}]}}
    assert causes(await api.patch(f"{path}/signed/status", json=approval, headers=MERGE)) == {
        ("status.conditions", "FieldValueForbidden")
    }
    decided = ok(await api.patch(f"{path}/signed/approval", json=approval, headers=MERGE))
    assert decided["status"]["conditions"][0]["lastUpdateTime"]
    junk = {"status": {"certificate": "eA=="}}
    assert causes(await api.patch(f"{path}/signed/status", json=junk, headers=MERGE)) == {
        ("status.certificate", "FieldValueInvalid")
    }
    certificate = base64.b64encode(Authority(tmp_path).cert.read_bytes()).decode()
    chain = {"status": {"certificate": certificate}}
    signed = ok(await api.patch(f"{path}/signed/status", json=chain, headers=MERGE))
    assert signed["status"]["certificate"] == certificate
    assert signed["spec"] == made["spec"]
    ok(await api.delete(f"{path}/signed"))


# -- answered and not stored


async def ask(api: httpx.AsyncClient, path: str, **spec: Any) -> dict[str, Any]:
    status: dict[str, Any] = created(await api.post(f"/apis/{path}", json={"spec": spec}))["status"]
    return status


async def test_who_am_i_and_whose_token_is_this(api: httpx.AsyncClient) -> None:
    me = await ask(api, "authentication.k8s.io/v1/selfsubjectreviews")
    assert me["userInfo"]["username"] == "admin"
    review = "authentication.k8s.io/v1/tokenreviews"
    known = await ask(api, review, token="sesame")
    assert (known["authenticated"], known["user"]["username"]) == (True, "admin")
    unknown = await ask(api, review, token="open")
    assert unknown.get("authenticated") is None
    assert unknown["error"]
    refused(await api.post(f"/apis/{review}", json={"spec": {}}), 400, "BadRequest")


async def test_there_is_no_table_of_an_answer(api: httpx.AsyncClient) -> None:
    path, table = "/apis/authentication.k8s.io/v1/selfsubjectreviews", "application/json;as=Table;v=v1;g=meta.k8s.io"
    refused(await api.post(path, json={}, headers={"Accept": table}), 406, "NotAcceptable")
    answer = created(await api.post(path, json={}, headers={"Accept": f"{table},application/json"}))
    assert answer["kind"] == "SelfSubjectReview"


async def test_whoever_is_known_may_do_everything(api: httpx.AsyncClient, ns: str) -> None:
    pods = {"verb": "create", "resource": "pods", "namespace": name_of(ns)}
    root = "authorization.k8s.io/v1"
    assert (await ask(api, f"{root}/selfsubjectaccessreviews", resourceAttributes=pods))["allowed"] is True
    path = {"verb": "get", "path": "/healthz"}
    assert (await ask(api, f"{root}/subjectaccessreviews", user="u", nonResourceAttributes=path))["allowed"] is True
    local = f"{root}/namespaces/{name_of(ns)}/localsubjectaccessreviews"
    assert (await ask(api, local, user="u", resourceAttributes=pods))["allowed"] is True
    rules = await ask(api, f"{root}/selfsubjectrulesreviews", namespace="default")
    assert rules["resourceRules"] == [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    assert rules["incomplete"] is False


async def test_a_review_that_asks_nothing_is_refused(api: httpx.AsyncClient, ns: str) -> None:
    root = "/apis/authorization.k8s.io/v1"
    assert causes(await api.post(f"{root}/selfsubjectaccessreviews", json={"spec": {}})) == {
        ("spec.resourceAttributes", "FieldValueInvalid")
    }
    asked = {"resourceAttributes": {"verb": "get", "namespace": "other"}}
    assert causes(await api.post(f"{root}/subjectaccessreviews", json={"spec": asked})) == {
        ("spec.user", "FieldValueInvalid")
    }
    local = f"{root}/namespaces/{name_of(ns)}/localsubjectaccessreviews"
    assert causes(await api.post(local, json={"spec": {**asked, "user": "u"}})) == {
        ("spec.resourceAttributes.namespace", "FieldValueInvalid")
    }
    refused(await api.get(f"{root}/selfsubjectaccessreviews"), 405, "MethodNotAllowed")


async def test_kubectl_asks_what_it_may_do(shared: ApiserverProcess) -> None:
    assert (await kubectl(shared, "auth", "can-i", "create", "deployments")).strip() == "yes"
    assert "*.*" in await kubectl(shared, "auth", "can-i", "--list")
    assert "admin" in await kubectl(shared, "auth", "whoami")


# -- refusals, end to end


async def test_every_fault_is_named_at_once(api: httpx.AsyncClient, ns: str) -> None:
    body = kind("deployments").manifest(spec={"replicas": -1, "selector": SELECTOR, "template": {}})
    assert causes(await api.post(kind("deployments").path(name_of(ns)), json=body)) == {
        ("spec.replicas", "FieldValueInvalid"),
        ("spec.template.metadata.labels", "FieldValueInvalid"),
        ("spec.template.spec.containers", "FieldValueRequired"),
    }
    assert causes(await api.post(kind("rolebindings").path(name_of(ns)), json=kind("rolebindings").manifest(
        roleRef={"kind": "Thing", "name": "x"}
    ))) == {("roleRef.kind", "FieldValueNotSupported")}  # fmt: skip
