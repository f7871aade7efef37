"""Pod security on a real apiserver: what is refused, what kubectl is warned of, what the audit log notes."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.support import eventually

PREFIX = "pod-security.kubernetes.io"
MERGE = {"Content-Type": "application/merge-patch+json"}
HARDENED = {
    "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip
BARE = (
    'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
    'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
    'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
    '"Localhost")'
)
CONFIGURATION = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "AdmissionConfiguration",
    "plugins": [
        {
            "name": "PodSecurity",
            "configuration": {
                "apiVersion": "pod-security.admission.config.k8s.io/v1",
                "kind": "PodSecurityConfiguration",
                "exemptions": {"usernames": ["ann"], "namespaces": ["exempt"]},
            },
        }
    ],
}
POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}


@pytest.fixture
async def server(etcd: EtcdServer, tmp_path: Path) -> AsyncIterator[ApiserverProcess]:
    configuration, policy = tmp_path / "admission.yaml", tmp_path / "policy.yaml"
    configuration.write_text(yaml.safe_dump(CONFIGURATION))
    policy.write_text(yaml.safe_dump(POLICY))
    flags = (
        f"--admission-control-config-file={configuration}",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={tmp_path / 'audit.log'}",
        "--enable-admission-plugins=DenyServiceExternalIPs",
    )
    made = ApiserverProcess(tmp_path, etcd.url, *flags)
    try:
        await made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
async def http(server: ApiserverProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http() as client:
        yield client


async def namespace(http: httpx.AsyncClient, name: str, **labels: str) -> httpx.Response:
    named = {f"{PREFIX}/{label.replace('_', '-')}": value for label, value in labels.items()}
    return await http.post("/api/v1/namespaces", json={"metadata": {"name": name, "labels": named}})


def pod(name: str, context: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i", "securityContext": context}]},
    }


async def create(http: httpx.AsyncClient, where: str, body: dict[str, Any]) -> httpx.Response:
    return await http.post(f"/api/v1/namespaces/{where}/pods", json=body)


def warnings(answer: httpx.Response) -> list[str]:
    return [
        text.removeprefix('299 - "').removesuffix('"').replace('\\"', '"')
        for text in answer.headers.get_list("warning")
    ]


def kubectl_warnings(server: ApiserverProcess, *arguments: str) -> str:
    result = subprocess.run(
        ("kubectl", *arguments), env=server.environment(), capture_output=True, text=True, check=False
    )
    return result.stderr


async def test_pods_are_refused_and_their_makers_warned_of(http: httpx.AsyncClient) -> None:
    assert (await namespace(http, "strict", enforce="restricted", warn="restricted")).status_code == 201
    refused = await create(http, "strict", pod("x"))
    assert refused.status_code == 403
    assert refused.json()["message"] == f'pods "x" is forbidden: violates PodSecurity "restricted:latest": {BARE}'
    assert warnings(refused) == []
    assert (await create(http, "strict", pod("y", HARDENED))).status_code == 201
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": pod("t")["spec"]}
    controller = {"metadata": {"name": "rc"}, "spec": {"selector": labels, "template": template, "replicas": 0}}
    made = await http.post("/api/v1/namespaces/strict/replicationcontrollers", json=controller)
    assert made.status_code == 201
    assert warnings(made) == [f'would violate PodSecurity "restricted:latest": {BARE}']
    debugger = [{"name": "debug", "image": "i", "securityContext": {"privileged": True}}]
    patch = {"spec": {"ephemeralContainers": debugger}}
    added = await http.patch("/api/v1/namespaces/strict/pods/y/ephemeralcontainers", json=patch, headers=MERGE)
    assert added.status_code == 403
    assert 'privileged (container "debug" must not set securityContext.privileged=true)' in added.json()["message"]
    annotated = await http.patch(
        "/api/v1/namespaces/strict/pods/y", json={"metadata": {"annotations": {"a": "b"}}}, headers=MERGE
    )
    assert annotated.status_code == 200


async def test_who_tightens_a_namespace_is_warned_of_the_pods_in_it(
    http: httpx.AsyncClient, server: ApiserverProcess
) -> None:
    await namespace(http, "loose")
    for name in ("b", "a", "c"):
        await create(http, "loose", pod(name))
    await create(http, "loose", pod("privileged", {"privileged": True}))
    told = await asyncio.to_thread(
        kubectl_warnings, server, "label", "--dry-run=server", "namespace", "loose", f"{PREFIX}/enforce=restricted"
    )
    reasons = "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"
    assert told.splitlines() == [
        'Warning: existing pods in namespace "loose" violate the new PodSecurity enforce level "restricted:latest"',
        f"Warning: a (and 2 other pods): {reasons}",
        f"Warning: privileged: privileged, {reasons}",
    ]
    patch = {"metadata": {"labels": {f"{PREFIX}/enforce": "strict"}}}
    refused = await http.patch("/api/v1/namespaces/loose", json=patch, headers=MERGE)
    assert refused.status_code == 422
    assert refused.json()["message"] == (
        f'Namespace "loose" is invalid: metadata.labels[{PREFIX}/enforce]: Invalid value: "strict": must be one of '
        "privileged, baseline, restricted"
    )
    assert (await namespace(http, "bad", warn_version="1.2")).status_code == 422


async def test_what_the_file_exempts_is_not_judged(http: httpx.AsyncClient, server: ApiserverProcess) -> None:
    made = await namespace(http, "exempt", enforce="restricted")
    assert warnings(made) == [
        'namespace "exempt" is exempt from Pod Security, and the policy (enforce=restricted:latest) will be ignored'
    ]
    assert (await create(http, "exempt", pod("a"))).status_code == 201
    await namespace(http, "strict", enforce="restricted")
    async with server.http("ann") as ann:
        assert (await create(ann, "strict", pod("a"))).status_code == 201
    assert (await create(http, "strict", pod("b"))).status_code == 403


async def test_the_audit_log_notes_what_would_be_refused(http: httpx.AsyncClient, tmp_path: Path) -> None:
    await namespace(http, "watched", audit="restricted")
    assert (await create(http, "watched", pod("a"))).status_code == 201

    def annotations() -> dict[str, str]:
        events = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
        finished = (event["annotations"] for event in events if event["stage"] == "ResponseComplete")
        return next((noted for noted in finished if f"{PREFIX}/audit-violations" in noted), {})

    noted = await eventually(annotations)
    assert noted[f"{PREFIX}/audit-violations"] == f'would violate PodSecurity "restricted:latest": {BARE}'
    assert noted[f"{PREFIX}/enforce-policy"] == "privileged:latest"


async def test_a_plugin_that_is_off_by_default_can_be_enabled(http: httpx.AsyncClient) -> None:
    service = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "externalIPs": ["192.0.2.1"]}}
    refused = await http.post("/api/v1/namespaces/default/services", json=service)
    assert refused.json()["message"] == (
        'services "s" is forbidden: Use of external IPs is denied by admission control.'
    )
