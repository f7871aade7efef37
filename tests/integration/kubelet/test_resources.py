"""Usage, limits, eviction and live files on a real engine."""

import json
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from apimachinery import meta
from apimachinery.types import core_v1
from kube_client import Client
from tests.integration.kubelet.cluster import ADDRESS, NODE, Cluster
from tests.integration.kubelet.conftest import condition_of
from tests.integration.kubelet.pods import Pods, container, container_id, is_ready, status_of
from tests.support import eventually


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


def fetch(cluster: Cluster, path: str) -> str:
    context = ssl.create_default_context(cafile=str(cluster.file("kubelet-ca.crt")))
    context.load_cert_chain(cluster.file("admin.crt"), cluster.file("admin.key"))
    with urllib.request.urlopen(f"https://{ADDRESS}:10250{path}", context=context, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


@contextmanager
def kubelet_with(cluster: Cluster, *flags: str) -> Iterator[None]:
    """The kubelet restarted with more flags, and back."""
    command = cluster.kubelet.command
    try:
        cluster.kubelet.command = (*command, *flags)
        cluster.restart_kubelet()
        yield
    finally:
        cluster.kubelet.command = command
        cluster.restart_kubelet()


async def test_usage_is_told(pods: Pods, cluster: Cluster) -> None:
    busy = container(command=["sh", "-c", "while :; do :; done"], resources=limits(cpu="200m", memory="64Mi"))
    pod = await pods.running("busy", busy)

    def measured() -> dict[str, Any] | None:
        summary = json.loads(fetch(cluster, "/stats/summary"))
        assert summary["node"]["memory"]["availableBytes"] > 0
        mine = [entry for entry in summary["pods"] if entry["podRef"]["uid"] == meta.uid_of(pod)]
        return mine[0] if mine and "usageNanoCores" in mine[0]["containers"][0].get("cpu", {}) else None

    stats = await eventually(measured, timeout=40, interval=0.5)
    assert stats is not None
    assert 20_000_000 < stats["containers"][0]["cpu"]["usageNanoCores"] < 300_000_000
    assert 0 < stats["memory"]["workingSetBytes"] < 64 * 1024 * 1024
    metrics = fetch(cluster, "/metrics/resource")
    assert (
        f'container_memory_working_set_bytes{{container="main",namespace="{pod.metadata.namespace}",pod="busy"}}'
        in metrics
    )
    assert "node_cpu_usage_seconds_total " in metrics


def oom_score_adj_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


async def test_requests_and_limits_reach_the_kernel(pods: Pods, cluster: Cluster) -> None:
    """And who asked for more is killed later when the node's memory ends."""
    request = {"cpu": "250m", "memory": "24Mi"}
    guaranteed = core_v1.ResourceRequirements(requests=dict(request), limits=dict(request))
    burstable = core_v1.ResourceRequirements(requests=dict(request), limits={"cpu": "500m"})
    settings, scores = {}, {}
    for name, resources in (("guaranteed", guaranteed), ("burstable", burstable), ("best-effort", None)):
        spec = container(resources=resources or core_v1.ResourceRequirements())
        pod = await pods.running(name, spec)
        assert (pod.status.qos_class or "").lower() == name.replace("-", "")
        with cluster.docker() as engine:
            inspected = engine.inspect_container(container_id(pod))
        settings[name] = inspected["HostConfig"]
        scores[name] = oom_score_adj_of(inspected["State"]["Pid"])
    keys = ("CpuShares", "CpuQuota", "CpuPeriod", "Memory")
    assert [settings["guaranteed"][key] for key in keys] == [256, 25_000, 100_000, 24 * 1024 * 1024]
    assert [settings["burstable"][key] for key in keys] == [256, 50_000, 100_000, 0]
    assert [settings["best-effort"][key] for key in keys] == [2, 0, 0, 0]
    assert scores["guaranteed"] < scores["burstable"] < scores["best-effort"] == 1000


async def test_too_much_memory_is_told(pods: Pods) -> None:
    greedy = container(command=["sh", "-c", "x=0123456789; while :; do x=$x$x; done"], resources=limits(memory="16Mi"))
    await pods.create("greedy", greedy, restart_policy="Never")
    pod = await pods.until("greedy", lambda pod: pod.status.phase == "Failed")
    ended = status_of(pod).state.terminated
    assert ended is not None
    assert (ended.reason, ended.exit_code) == ("OOMKilled", 137)


async def test_pods_are_evicted_under_pressure(empty_node: None, pods: Pods, cluster: Cluster, client: Client) -> None:
    request = core_v1.ResourceRequirements(requests={"memory": "64Mi"})
    await pods.running("modest", container(resources=request))
    await pods.running("careless")
    with kubelet_with(cluster, "--eviction-hard=memory.available<1000Ti"):
        evicted = await pods.until("careless", lambda pod: pod.status.phase == "Failed", timeout=30)
        assert evicted.status.reason == "Evicted"
        reasons = [
            condition.reason for condition in evicted.status.conditions or () if condition.type == "DisruptionTarget"
        ]
        assert reasons == ["TerminationByKubelet"]
        assert (evicted.status.message or "").startswith("The node was low on resource: memory.")
        await pods.event(evicted, "Evicted", "The node was low on resource: memory.")

        async def pressed() -> bool:
            node = await client.resource(core_v1.Node).get(NODE)
            return condition_of(node, "MemoryPressure") == "True"

        await eventually(pressed)
        await pods.create("late")
        rejected = await pods.until("late", lambda pod: pod.status.phase == "Failed")
        assert "MemoryPressure" in (rejected.status.message or "")


async def test_files_of_a_running_pod_follow_the_api(
    pods: Pods, cluster: Cluster, client: Client, namespace: str
) -> None:
    maps = client.resource(core_v1.ConfigMap)
    config = core_v1.ConfigMap(data={"k": "old"})
    config.metadata.name, config.metadata.namespace = "cm", namespace
    await maps.create(config)
    labels = core_v1.DownwardAPIVolumeFile(
        path="labels", field_ref=core_v1.ObjectFieldSelector(field_path="metadata.labels")
    )
    volumes = [
        core_v1.Volume(name="c", config_map=core_v1.ConfigMapVolumeSource(name="cm")),
        core_v1.Volume(name="d", downward_api=core_v1.DownwardAPIVolumeSource(items=[labels])),
        core_v1.Volume(name="e", empty_dir=core_v1.EmptyDirVolumeSource()),
    ]
    mounts = [core_v1.VolumeMount(name=volume.name, mount_path=f"/{volume.name}") for volume in volumes]
    script = "chmod 700 /e; while :; do sleep 0.2; done"
    pod = await pods.running("live", container(command=["sh", "-c", script], volume_mounts=mounts), volumes=volumes)
    base = cluster.root / "pods" / meta.uid_of(pod) / "volumes"
    with kubelet_with(cluster, "--sync-frequency=1s"):
        await maps.patch("cm", {"data": {"k": "new"}}, namespace=namespace)
        await eventually(lambda: (base / "kubernetes.io~configmap/c/k").read_text() == "new", timeout=20)
        labelled = {"metadata": {"labels": {"fresh": "yes"}}}
        await client.resource(core_v1.Pod).patch("live", labelled, namespace=namespace)
        await eventually(
            lambda: 'fresh="yes"' in (base / "kubernetes.io~downward-api/d/labels").read_text(), timeout=20
        )
    assert (base / "kubernetes.io~empty-dir/e").stat().st_mode & 0o777 == 0o700
    assert status_of(await pods.until("live", is_ready)).restart_count == 0


def limits(**amounts: str) -> core_v1.ResourceRequirements:
    return core_v1.ResourceRequirements(limits=dict(amounts))
