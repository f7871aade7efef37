"""Pods with claims: they wait for their volumes, and go where these can be reached."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery import meta
from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.storage_v1 import StorageClass
from kube_client import Client
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.daemon_process import DaemonProcess
from tests.integration.scheduler.test_scheduler_process import add_node, bound, refused
from tests.objects import make_node, make_pod
from tests.support import eventually


@pytest.fixture
async def cluster(tmp_path: Path, client: Client, apiserver: ApiserverProcess) -> AsyncIterator[Client]:
    """Two nodes, a scheduler, and the controller of volumes."""
    scheduler = DaemonProcess(tmp_path, "scheduler", apiserver.kubeconfig)
    only = "--controllers=persistentvolume-binder"
    manager = DaemonProcess(tmp_path, "controller_manager", apiserver.kubeconfig, only)
    for name in ("n1", "n2"):
        node = make_node(name)
        node.metadata.labels = {"kubernetes.io/hostname": name}
        await add_node(client, node)
    try:
        await scheduler.start()
        await manager.start()
        yield client
    finally:
        scheduler.stop()
        manager.stop()


def local(name: str, node: str, **fields: Any) -> v1.PersistentVolume:
    expression = v1.NodeSelectorRequirement(key="kubernetes.io/hostname", operator="In", values=[node])
    term = v1.NodeSelectorTerm(match_expressions=[expression])
    affinity = v1.VolumeNodeAffinity(required=v1.NodeSelector(node_selector_terms=[term]))
    spec = v1.PersistentVolumeSpec(
        capacity={"storage": "1Gi"},
        access_modes=["ReadWriteOnce"],
        local=v1.LocalVolumeSource(path="/disk"),
        node_affinity=affinity,
        **fields,
    )
    return v1.PersistentVolume(metadata=ObjectMeta(name=name), spec=spec)


def claim(name: str, **fields: Any) -> v1.PersistentVolumeClaim:
    resources = v1.VolumeResourceRequirements(requests={"storage": "1Gi"})
    spec = v1.PersistentVolumeClaimSpec(access_modes=["ReadWriteOnce"], resources=resources, **fields)
    return v1.PersistentVolumeClaim(metadata=ObjectMeta(name=name, namespace="default"), spec=spec)


def user(name: str, claim: str) -> v1.Pod:
    pod = make_pod(name, namespace="default")
    source = v1.PersistentVolumeClaimVolumeSource(claim_name=claim)
    pod.spec.volumes = [v1.Volume(name="v", persistent_volume_claim=source)]
    return pod


async def lazy_class(client: Client, provisioner: str = "kubernetes.io/no-provisioner") -> None:
    storage = StorageClass(metadata=ObjectMeta(name="lazy"), provisioner=provisioner)
    storage.volume_binding_mode = "WaitForFirstConsumer"
    await client.resource(StorageClass).create(storage)


async def test_a_pod_waits_for_its_claim_and_goes_where_the_volume_is(cluster: Client) -> None:
    await cluster.resource(v1.Pod).create(user("a", "c"))
    await refused(cluster, "a", '0/2 nodes are available: persistentvolumeclaim "c" not found.')
    await cluster.resource(v1.PersistentVolumeClaim).create(claim("c"))
    await refused(cluster, "a", "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.")
    await cluster.resource(v1.PersistentVolume).create(local("v", "n2"))
    assert await bound(cluster, 1) == {"a": "n2"}


async def test_a_claim_that_waits_for_its_pod_gets_a_volume_of_the_pods_node(cluster: Client) -> None:
    await lazy_class(cluster)
    for name, node in (("v1", "n1"), ("v2", "n2")):
        await cluster.resource(v1.PersistentVolume).create(local(name, node, storage_class_name="lazy"))
    await cluster.resource(v1.PersistentVolumeClaim).create(claim("c", storage_class_name="lazy"))
    pod = user("a", "c")
    pod.spec.node_selector = {"kubernetes.io/hostname": "n2"}
    await cluster.resource(v1.Pod).create(pod)
    assert await bound(cluster, 1) == {"a": "n2"}
    lazy = await cluster.resource(v1.PersistentVolumeClaim).get("c", namespace="default")
    assert (lazy.spec.volume_name, lazy.status.phase) == ("v2", "Bound")
    free = await cluster.resource(v1.PersistentVolume).get("v1")
    assert free.spec.claim_ref is None


async def test_no_node_has_a_volume_to_bind(cluster: Client) -> None:
    await lazy_class(cluster)
    await cluster.resource(v1.PersistentVolumeClaim).create(claim("c", storage_class_name="lazy"))
    await cluster.resource(v1.Pod).create(user("a", "c"))
    await refused(cluster, "a", "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.")
    await cluster.resource(v1.PersistentVolume).create(local("v", "n1", storage_class_name="lazy"))
    assert await bound(cluster, 1) == {"a": "n1"}


async def test_a_bound_volume_that_no_node_reaches(cluster: Client) -> None:
    await cluster.resource(v1.PersistentVolume).create(local("v", "elsewhere"))
    await cluster.resource(v1.PersistentVolumeClaim).create(claim("c"))
    await cluster.resource(v1.Pod).create(user("a", "c"))
    why = "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity."
    await refused(cluster, "a", why)


async def test_a_provisioner_is_told_the_node(cluster: Client) -> None:
    await lazy_class(cluster, "example.com/disks")
    claims = cluster.resource(v1.PersistentVolumeClaim)
    await claims.create(claim("c", storage_class_name="lazy"))
    pod = user("a", "c")
    pod.spec.node_selector = {"kubernetes.io/hostname": "n1"}
    await cluster.resource(v1.Pod).create(pod)

    async def annotated() -> bool:
        annotations = meta.annotations_of(await claims.get("c", namespace="default"))
        return annotations.get("volume.kubernetes.io/selected-node") == "n1"

    await eventually(annotated)
    await cluster.resource(v1.PersistentVolume).create(local("made", "n1", storage_class_name="lazy"))
    assert await bound(cluster, 1) == {"a": "n1"}
