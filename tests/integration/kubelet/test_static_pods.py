"""Static pods from a folder, with and without an apiserver, and their mirrors."""

from pathlib import Path

import pytest
import yaml

from apimachinery import codec, meta
from apimachinery.types import core_v1
from kube_client import Client
from tests.integration.kubelet.cluster import NODE, Cluster
from tests.integration.kubelet.pods import Pods, container, container_id, is_ready
from tests.integration.kubelet.test_resources import kubelet_with
from tests.support import eventually


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


def write(folder: Path, namespace: str, host_network: bool = False) -> Path:
    pod = core_v1.Pod(spec=core_v1.PodSpec(containers=[container()], host_network=host_network or None))
    pod.metadata.name, pod.metadata.namespace = "static", namespace
    path = folder / "static.yaml"
    path.write_text(yaml.safe_dump(codec.to_builtins(pod)))
    return path


def running(cluster: Cluster) -> list[str]:
    label = "io.kubernetes.container.name=main"
    with cluster.docker() as engine:
        return [c["Id"] for c in engine.containers(filters={"label": [label]}) if "k8s_main_static" in c["Names"][0]]


async def test_a_static_pod_runs_and_shows_in_the_api(pods: Pods, cluster: Cluster, namespace: str) -> None:
    folder = cluster.file("manifests")
    folder.mkdir()
    name = f"static-{NODE}"
    flags = (f"--pod-manifest-path={folder}", "--file-check-frequency=1s")
    with kubelet_with(cluster, *flags):
        path = write(folder, namespace)
        pod = await pods.appears(name)
        pod = await pods.until(name, is_ready)
        assert "kubernetes.io/config.mirror" in meta.annotations_of(pod)
        await pods.delete(name)  # the mirror alone
        again = await pods.appears(name, other_than=meta.uid_of(pod))
        again = await pods.until(name, is_ready)
        assert container_id(again) == container_id(pod)
        cluster.restart_kubelet()
        await pods.running("after")
        assert running(cluster) == [container_id(pod)]
        path.unlink()
        await pods.until_gone(name)
        await eventually(lambda: not running(cluster))


async def test_static_pods_need_no_apiserver(pods: Pods, cluster: Cluster, namespace: str) -> None:
    folder = cluster.file("early")
    folder.mkdir()
    path = write(folder, namespace, host_network=True)
    cluster.apiserver.stop()
    try:
        with kubelet_with(cluster, f"--pod-manifest-path={folder}", "--file-check-frequency=1s"):
            await eventually(lambda: running(cluster), timeout=20)
            cluster.apiserver.spawn()
            await pods.appears(f"static-{NODE}")
            path.unlink()
            await eventually(lambda: not running(cluster), timeout=20)
    finally:
        if not cluster.apiserver.running:
            cluster.apiserver.spawn()
