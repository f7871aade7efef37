"""PodSecurity on a real apiserver: what is refused, of what clients are warned, and who is exempt."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import yaml

from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.kubectls import program

PREFIX = "pod-security.kubernetes.io/"
NAMESPACES = "/api/v1/namespaces"
MERGE = {"Content-Type": "application/merge-patch+json"}
PRIVILEGED = 'privileged (container "c" must not set securityContext.privileged=true)'
EXEMPT = {"namespaces": ["exempt"], "usernames": ["ann"], "runtimeClasses": ["vm"]}


def pod(name: str, *, privileged: bool = True, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "securityContext": {"privileged": privileged}}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def deployment(name: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": pod(name)["spec"]}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}}, "template": template}}


def warnings(answer: httpx.Response) -> list[str]:
    texts = (value.removeprefix('299 - "').removesuffix('"') for value in answer.headers.get_list("warning"))
    return [text.replace('\\"', '"') for text in texts]


async def label(client: httpx.AsyncClient, namespace: str, **labels: str | None) -> httpx.Response:
    values = {PREFIX + name.replace("_", "-"): value for name, value in labels.items()}
    return await client.patch(namespace, json={"metadata": {"labels": values}}, headers=MERGE)


async def test_a_pod_that_violates_what_is_enforced_is_refused(api: httpx.AsyncClient, ns: str) -> None:
    assert (await label(api, ns, enforce="baseline")).status_code == 200
    answer = await api.post(f"{ns}/pods", json=pod("bad"))
    assert answer.status_code == 403
    status = answer.json()
    assert status["message"] == f'pods "bad" is forbidden: violates PodSecurity "baseline:latest": {PRIVILEGED}'
    assert (status["reason"], status["details"]) == ("Forbidden", {"name": "bad", "kind": "pods"})
    assert (await api.post(f"{ns}/pods", json=pod("good", privileged=False))).status_code == 201
    answer = await api.post(f"{ns}/pods?dryRun=All", json=pod("bad"))
    assert answer.status_code == 403


async def test_whoever_makes_pods_is_only_warned(api: httpx.AsyncClient, ns: str) -> None:
    assert (await label(api, ns, enforce="baseline", warn="baseline", warn_version="v1.30")).status_code == 200
    group = ns.replace("/api/v1", "/apis/apps/v1")
    answer = await api.post(f"{group}/deployments", json=deployment("d"))
    assert answer.status_code == 201
    assert warnings(answer) == [f'would violate PodSecurity "baseline:v1.30": {PRIVILEGED}']
    answer = await api.patch(f"{group}/deployments/d/scale", json={"spec": {"replicas": 0}}, headers=MERGE)
    assert warnings(answer) == []


async def test_a_pod_that_is_allowed_may_still_be_warned_of(api: httpx.AsyncClient, ns: str) -> None:
    assert (await label(api, ns, warn="baseline", enforce="privileged")).status_code == 200
    answer = await api.post(f"{ns}/pods", json=pod("a"))
    assert (answer.status_code, warnings(answer)) == (
        201,
        [f'would violate PodSecurity "baseline:latest": {PRIVILEGED}'],
    )


async def test_updates_are_judged_only_if_they_change_what_runs(api: httpx.AsyncClient, ns: str) -> None:
    assert (await api.post(f"{ns}/pods", json=pod("a"))).status_code == 201
    await label(api, ns, enforce="baseline")
    labelled = await api.patch(f"{ns}/pods/a", json={"metadata": {"labels": {"x": "y"}}}, headers=MERGE)
    assert labelled.status_code == 200
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    image = {"spec": {"containers": [{"name": "c", "image": "other"}]}}
    changed = await api.patch(f"{ns}/pods/a", json=image, headers=strategic)
    assert changed.status_code == 403
    status = await api.patch(f"{ns}/pods/a/status", json={"status": {"phase": "Running"}}, headers=MERGE)
    assert status.status_code == 200


async def test_an_ephemeral_container_is_held_to_the_same(api: httpx.AsyncClient, ns: str) -> None:
    await label(api, ns, enforce="baseline")
    assert (await api.post(f"{ns}/pods", json=pod("a", privileged=False))).status_code == 201
    debugger = {"name": "debug", "image": "i", "securityContext": {"privileged": True}}
    path, headers = f"{ns}/pods/a/ephemeralcontainers", {"Content-Type": "application/strategic-merge-patch+json"}
    answer = await api.patch(path, json={"spec": {"ephemeralContainers": [debugger]}}, headers=headers)
    assert answer.status_code == 403
    assert 'privileged (container "debug" must not set' in answer.json()["message"]


async def test_wrong_labels_are_refused_when_they_are_set(api: httpx.AsyncClient, ns: str) -> None:
    answer = await label(api, ns, enforce="strict", warn_version="1.20")
    assert answer.status_code == 422
    status = answer.json()
    assert [cause["field"] for cause in status["details"]["causes"]] == [
        f"metadata.labels[{PREFIX}enforce]",
        f"metadata.labels[{PREFIX}warn-version]",
    ]
    assert "must be one of privileged, baseline, restricted" in status["message"]
    created = await api.post(NAMESPACES, json={"metadata": {"name": "wrong", "labels": {f"{PREFIX}audit": ""}}})
    assert created.status_code == 422


async def test_who_makes_a_namespace_stricter_is_warned_of_its_pods(api: httpx.AsyncClient, ns: str) -> None:
    for body in (pod("a"), pod("b"), pod("c", privileged=False, hostNetwork=True), pod("d", privileged=False)):
        assert (await api.post(f"{ns}/pods", json=body)).status_code == 201
    name = ns.rpartition("/")[2]
    answer = await label(api, ns, enforce="baseline")
    assert warnings(answer) == [
        f'existing pods in namespace "{name}" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 1 other pod): privileged",
        "c: host namespaces",
    ]
    assert warnings(await label(api, ns, warn="baseline")) == []
    assert warnings(await label(api, ns, enforce="privileged")) == []
    assert warnings(await label(api, ns, enforce=None)) == []


async def test_kubectl_shows_the_warnings(shared: ApiserverProcess, api: httpx.AsyncClient, ns: str) -> None:
    assert (await api.post(f"{ns}/pods", json=pod("a"))).status_code == 201
    name = ns.rpartition("/")[2]
    process = await asyncio.create_subprocess_exec(
        program(), "label", "namespace", name, f"{PREFIX}enforce=baseline", env=shared.environment(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, stderr = await process.communicate()
    assert process.returncode == 0, stderr
    assert "Warning: a: privileged" in stderr.decode().splitlines()


async def test_evaluations_are_counted(api: httpx.AsyncClient, ns: str) -> None:
    await label(api, ns, enforce="baseline", enforce_version="v1.999", warn="restricted", warn_version="v1.19")
    assert (await api.post(f"{ns}/pods", json=pod("a"))).status_code == 403
    assert (await api.post(f"{ns}/pods", json=pod("b", privileged=False))).status_code == 201
    lines = (await api.get("/metrics")).text.splitlines()
    counted = [line for line in lines if line.startswith("pod_security_evaluations_total")]
    request = 'request_operation="create",resource="pods",subresource=""'
    for decision, level, version, mode in (
        ("deny", "baseline", "future", "enforce"),
        ("allow", "baseline", "future", "enforce"),
        ("deny", "restricted", "v1.19", "warn"),
    ):
        labels = f'decision="{decision}",mode="{mode}",policy_level="{level}",policy_version="{version}",{request}'
        assert f"pod_security_evaluations_total{{{labels}}} 1.0" in counted
    refused = 'name="PodSecurity",operation="CREATE",rejected="true",type="validate"'
    count = "apiserver_admission_controller_admission_duration_seconds_count"
    assert any(line.startswith(f"{count}{{{refused}}} ") for line in lines)


# -- with a configuration


@pytest.fixture(scope="module")
def configured(shared_etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiserverProcess]:
    directory = tmp_path_factory.mktemp("configured")
    configuration = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": {"enforce": "baseline"},
        "exemptions": EXEMPT,
    }
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [{"name": "PodSecurity", "configuration": configuration}],
    }
    (directory / "admission.yaml").write_text(yaml.safe_dump(document))
    server = ApiserverProcess(
        directory, shared_etcd.url, f"--admission-control-config-file={directory / 'admission.yaml'}"
    )
    try:
        asyncio.run(server.start())
        yield server
    finally:
        server.kill()


@pytest.fixture
async def strict(configured: ApiserverProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with configured.http() as client:
        yield client


async def test_the_default_holds_for_namespaces_without_labels(strict: httpx.AsyncClient, ns: str) -> None:
    answer = await strict.post(f"{ns}/pods", json=pod("a"))
    assert answer.status_code == 403
    await label(strict, ns, enforce="privileged")
    assert (await strict.post(f"{ns}/pods", json=pod("a"))).status_code == 201


async def test_users_namespaces_and_runtime_classes_are_exempt(
    strict: httpx.AsyncClient, configured: ApiserverProcess, ns: str
) -> None:
    async with configured.http("ann") as ann:
        assert (await ann.post(f"{ns}/pods", json=pod("a"))).status_code == 201
    runtime = {"metadata": {"name": "vm"}, "handler": "vm"}
    assert (await strict.post("/apis/node.k8s.io/v1/runtimeclasses", json=runtime)).status_code == 201
    assert (await strict.post(f"{ns}/pods", json=pod("b", runtimeClassName="vm"))).status_code == 201
    labels = {f"{PREFIX}enforce": "restricted"}
    made = await strict.post(NAMESPACES, json={"metadata": {"name": "exempt", "labels": labels}})
    assert warnings(made) == [
        'namespace "exempt" is exempt from Pod Security, and the policy (enforce=restricted:latest) will be ignored'
    ]
    assert (await strict.post(f"{NAMESPACES}/exempt/pods", json=pod("a"))).status_code == 201
