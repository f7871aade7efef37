"""Resource quotas against a real apiserver and a real controller manager: exact, fair, and told in kubectl's words."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.integration.daemon_process import DaemonProcess
from tests.support import eventually

DEFAULT = "/api/v1/namespaces/default"
OTHER = "/api/v1/namespaces/kube-public"


def pod(name: str, **resources: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}}


@pytest.fixture
async def apiserver(tmp_path: Path, etcd: EtcdServer) -> AsyncIterator[ApiserverProcess]:
    """Two processes, which know of each other's writes through etcd alone."""
    server = ApiserverProcess(tmp_path, etcd.url, "--workers=2")
    try:
        await server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
async def http(apiserver: ApiserverProcess, controller_manager: DaemonProcess) -> Any:
    async with apiserver.http() as client:
        yield client


async def create_quota(http: httpx.AsyncClient, hard: dict[str, str], **spec: Any) -> None:
    body = {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}}
    answer = await http.post(f"{DEFAULT}/resourcequotas", json=body)
    assert answer.status_code == 201, answer.text
    await eventually(lambda: is_used(http, **dict.fromkeys(hard, "0")))


async def used(http: httpx.AsyncClient) -> dict[str, str]:
    answer: dict[str, str] = (await http.get(f"{DEFAULT}/resourcequotas/q")).json()["status"].get("used", {})
    return answer


async def is_used(http: httpx.AsyncClient, **amounts: str) -> bool:
    return await used(http) == amounts


async def code(request: Any) -> int:
    answer: httpx.Response = await request
    return answer.status_code


async def test_forty_at_once_get_exactly_what_ten_may_have(http: httpx.AsyncClient) -> None:
    """And another namespace is served meanwhile; what is deleted may be created again."""
    await create_quota(http, {"pods": "10", "count/pods": "12"})
    creates = [code(http.post(f"{DEFAULT}/pods", json=pod(f"p{i}"))) for i in range(40)]
    others = [code(http.post(f"{OTHER}/pods", json=pod(f"p{i}"))) for i in range(5)]
    codes = await asyncio.gather(*creates, *others)
    assert Counter(codes[:40]) == {201: 10, 403: 30}
    assert codes[40:] == [201] * 5
    assert await used(http) == {"pods": "10", "count/pods": "10"}
    refused = (await http.post(f"{DEFAULT}/pods", json=pod("late"))).json()["message"]
    assert refused == (
        'pods "late" is forbidden: exceeded quota: q, requested: pods=1, used: pods=10, limited: pods=10'
    )
    taken = (await http.get(f"{DEFAULT}/pods")).json()["items"]
    for item in taken[:3]:
        await http.delete(f"{DEFAULT}/pods/{item['metadata']['name']}?gracePeriodSeconds=0")
    await eventually(lambda: is_used(http, pods="7", **{"count/pods": "7"}))
    codes = await asyncio.gather(*[code(http.post(f"{DEFAULT}/pods", json=pod(f"again{i}"))) for i in range(8)])
    assert Counter(codes) == {201: 3, 403: 5}


async def test_what_a_failed_write_was_charged_is_given_back(http: httpx.AsyncClient) -> None:
    await create_quota(http, {"configmaps": "5"})
    body = {"metadata": {"name": "a"}}
    codes = await asyncio.gather(*[code(http.post(f"{DEFAULT}/configmaps", json=body)) for _ in range(3)])
    assert Counter(codes) == {201: 1, 409: 2}
    assert int((await used(http))["configmaps"]) > 1
    await eventually(lambda: is_used(http, configmaps="1"))


async def test_services_and_any_objects_are_counted_and_updates_cost_the_difference(http: httpx.AsyncClient) -> None:
    apps = "/apis/apps/v1/namespaces/default/deployments"
    await create_quota(http, {"services.nodeports": "1", "count/deployments.apps": "1"})
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
    service = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": ports[:1]}}
    assert (await http.post(f"{DEFAULT}/services", json=service)).status_code == 201
    patch = {"spec": {"ports": ports}}
    merge = {"Content-Type": "application/merge-patch+json"}
    refused = await http.patch(f"{DEFAULT}/services/s", json=patch, headers=merge)
    assert refused.json()["message"] == (
        'services "s" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, '
        "limited: services.nodeports=1"
    )
    to_cluster_ip = {"spec": {"type": "ClusterIP"}}
    assert (await http.patch(f"{DEFAULT}/services/s", json=to_cluster_ip, headers=merge)).status_code == 200
    await eventually(lambda: is_used(http, **{"services.nodeports": "0", "count/deployments.apps": "0"}))
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": pod("x")["spec"]}
    deployment = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    assert (await http.post(apps, json=deployment)).status_code == 201
    deployment["metadata"] = {"name": "e"}
    assert "exceeded quota: q, requested: count/deployments.apps=1" in (await http.post(apps, json=deployment)).text
    await http.delete(f"{apps}/d")
    await eventually(lambda: is_used(http, **{"services.nodeports": "0", "count/deployments.apps": "0"}))


async def test_kubectl_is_told_what_a_container_must_say_and_a_limit_range_says_it(
    apiserver: ApiserverProcess, http: httpx.AsyncClient
) -> None:
    await create_quota(http, {"limits.cpu": "1"}, scopes=["NotTerminating"])

    def run(name: str) -> str:
        command = ("kubectl", "run", name, "--image=i")
        result = subprocess.run(command, env=apiserver.environment(), capture_output=True, text=True, check=False)
        return result.stdout + result.stderr

    refused = await asyncio.to_thread(run, "a")
    assert 'pods "a" is forbidden: failed quota: q: must specify limits.cpu for: a' in refused
    limits = {"spec": {"limits": [{"type": "Container", "default": {"cpu": "600m"}}]}, "metadata": {"name": "l"}}
    assert (await http.post(f"{DEFAULT}/limitranges", json=limits)).status_code == 201
    assert "pod/a created" in await asyncio.to_thread(run, "a")
    assert "exceeded quota: q, requested: limits.cpu=600m, used: limits.cpu=600m, limited: limits.cpu=1" in (
        await asyncio.to_thread(run, "b")
    )
