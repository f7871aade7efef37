"""Volumes of every kind in real containers, and what is left of them: nothing."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import ObjectMeta
from kube_client import Client
from tests.integration.kubelet.cluster import NODE, Cluster
from tests.integration.kubelet.pods import Pods, container, container_id, is_ready, status_of, uid_of
from tests.integration.kubelet.test_pods import run_in
from tests.support import eventually


@pytest.fixture
def pods(client: Client, namespace: str, node: v1.Node) -> Pods:
    return Pods(client, namespace)


class Storage:
    """Volumes and claims bound by hand, as the controller would."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._volumes, self._claims = client.resource(v1.PersistentVolume), client.resource(v1.PersistentVolumeClaim)
        self._namespace = namespace

    async def claim(self, name: str) -> v1.PersistentVolumeClaim:
        claim = v1.PersistentVolumeClaim(metadata=ObjectMeta(name=name, namespace=self._namespace))
        claim.spec.access_modes = ["ReadWriteOnce"]
        claim.spec.resources = v1.VolumeResourceRequirements(requests={"storage": "1Gi"})
        return await self._claims.create(claim)

    async def volume(self, claim: v1.PersistentVolumeClaim, **source: Any) -> None:
        name = f"{self._namespace}-{claim.metadata.name}"[-60:].strip("-")
        volume = v1.PersistentVolume(metadata=ObjectMeta(name=name))
        volume.spec = v1.PersistentVolumeSpec(capacity={"storage": "1Gi"}, access_modes=["ReadWriteOnce"], **source)
        volume.spec.claim_ref = v1.ObjectReference(
            namespace=self._namespace, name=claim.metadata.name, uid=claim.metadata.uid
        )
        await self._volumes.create(volume)
        claim.spec.volume_name = name
        bound = await self._claims.update(claim)
        bound.status.phase = "Bound"
        await self._claims.update_status(bound)


@pytest.fixture
def storage(client: Client, namespace: str) -> Storage:
    return Storage(client, namespace)


def of_claim(claim: str, **fields: Any) -> v1.Volume:
    return v1.Volume(name="v", persistent_volume_claim=v1.PersistentVolumeClaimVolumeSource(claim_name=claim, **fields))


def mounting(*mounts: v1.VolumeMount, **fields: Any) -> v1.Container:
    return container(volume_mounts=[*mounts] or [v1.VolumeMount(name="v", mount_path="/v")], **fields)


def here() -> v1.VolumeNodeAffinity:
    term = v1.NodeSelectorTerm(
        match_expressions=[v1.NodeSelectorRequirement(key="kubernetes.io/hostname", operator="In", values=[NODE])]
    )
    return v1.VolumeNodeAffinity(required=v1.NodeSelector(node_selector_terms=[term]))


async def until_told(client: Client, namespace: str, text: str, reason: str = "FailedMount") -> str:
    events = client.resource(v1.Event)

    async def message() -> str:
        recorded = (await events.list(namespace=namespace)).items
        return next((e.message or "" for e in recorded if e.reason == reason and text in (e.message or "")), "")

    return await eventually(message, timeout=20)


def mounted_below(directory: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {directory}/" in line]


async def until_nothing_is_left(cluster: Cluster, uid: str) -> None:
    directory = cluster.root / "pods" / uid
    await eventually(lambda: not os.path.exists(directory), timeout=20)
    assert not mounted_below(directory)


async def test_a_pod_waits_for_its_claim_and_keeps_what_it_wrote(
    pods: Pods, storage: Storage, client: Client, namespace: str, cluster: Cluster
) -> None:
    data = cluster.directory / "data"
    await pods.create("a", mounting(), volumes=[of_claim("c")])
    await until_told(client, namespace, f"error processing PVC {namespace}/c: failed to fetch PVC")
    claim = await storage.claim("c")
    await until_told(client, namespace, f"error processing PVC {namespace}/c: PVC is not bound")
    await storage.volume(claim, host_path=v1.HostPathVolumeSource(path=str(data), type="DirectoryOrCreate"))
    pod = await pods.until("a", is_ready, timeout=30)
    run_in(cluster, container_id(pod), "sh", "-c", "echo kept > /v/f")
    await pods.delete("a", grace=0)
    await pods.until_gone("a")
    await until_nothing_is_left(cluster, uid_of(pod))
    reader = await pods.running("b", mounting(), volumes=[of_claim("c", read_only=True)])
    assert run_in(cluster, container_id(reader), "cat", "/v/f") == "kept\n"
    assert "Read-only" in run_in(cluster, container_id(reader), "sh", "-c", "echo x > /v/g")


async def test_a_local_volume_belongs_to_the_pods_group(pods: Pods, storage: Storage, cluster: Cluster) -> None:
    disk = cluster.directory / "disk"
    (disk / "sub").mkdir(parents=True)
    (disk / "sub" / "f").write_text("x")
    os.chmod(disk / "sub" / "f", 0o600)
    (disk / "link").symlink_to("/etc/passwd")
    before = os.stat("/etc/passwd")
    claim = await storage.claim("c")
    await storage.volume(claim, local=v1.LocalVolumeSource(path=str(disk)), node_affinity=here())
    security = v1.PodSecurityContext(run_as_user=1000, fs_group=4321)
    pod = await pods.running("a", mounting(), volumes=[of_claim("c")], security_context=security)
    output = run_in(cluster, container_id(pod), "stat", "-c", "%g %a", "/v", "/v/sub", "/v/sub/f")
    assert output.splitlines() == ["4321 2775", "4321 2775", "4321 660"]
    assert run_in(cluster, container_id(pod), "sh", "-c", "echo y > /v/new; stat -c %g /v/new") == "4321\n"
    assert os.stat("/etc/passwd") == before


async def test_a_local_volume_that_is_elsewhere_or_missing_is_told(
    pods: Pods, storage: Storage, client: Client, namespace: str
) -> None:
    claim = await storage.claim("gone")
    await storage.volume(claim, local=v1.LocalVolumeSource(path="/no/such/disk"), node_affinity=here())
    await pods.create("a", mounting(), volumes=[of_claim("gone")])
    text = await until_told(client, namespace, "/no/such/disk")
    assert text == 'MountVolume.SetUp failed for volume "v" : path "/no/such/disk" does not exist'
    away = here()
    assert away.required is not None
    away.required.node_selector_terms[0].match_expressions[0].values = ["elsewhere"]  # type: ignore[index]
    claim = await storage.claim("away")
    await storage.volume(claim, local=v1.LocalVolumeSource(path="/tmp"), node_affinity=away)
    await pods.create("b", mounting(), volumes=[of_claim("away")])
    await until_told(client, namespace, "no matching NodeSelectorTerms")


async def test_an_nfs_server_that_is_not_there_is_told_and_leaves_nothing(
    pods: Pods, storage: Storage, client: Client, namespace: str, cluster: Cluster
) -> None:
    nfs = v1.NFSVolumeSource(server="127.0.0.1", path="/export")
    claim = await storage.claim("c")
    await storage.volume(claim, nfs=nfs, mount_options=["soft", "timeo=10", "retry=0"])
    pod = await pods.create("claimed", mounting(), volumes=[of_claim("c")])
    text = await until_told(client, namespace, "Mounting arguments: -t nfs -o soft,timeo=10,retry=0 127.0.0.1:/export")
    assert text.startswith('MountVolume.SetUp failed for volume "v" : mount failed: exit status ')
    direct = await pods.create("direct", mounting(), volumes=[v1.Volume(name="v", nfs=nfs)])
    await until_told(client, namespace, "Mounting arguments: -t nfs 127.0.0.1:/export")
    for name, mounted_by in (("claimed", pod), ("direct", direct)):
        assert (await pods.get(name)).status.phase == "Pending"
        await pods.delete(name, grace=0)
        await pods.until_gone(name)
        await until_nothing_is_left(cluster, uid_of(mounted_by))


async def test_an_empty_dir_beyond_its_limit_gets_its_pod_evicted(
    pods: Pods, client: Client, namespace: str, cluster: Cluster
) -> None:
    volumes = [
        v1.Volume(name="v", empty_dir=v1.EmptyDirVolumeSource(size_limit="1Mi")),
        v1.Volume(name="roomy", empty_dir=v1.EmptyDirVolumeSource(size_limit="1Gi")),
    ]
    pod = await pods.running("a", mounting(), volumes=volumes, termination_grace_period_seconds=1)
    run_in(cluster, container_id(pod), "dd", "if=/dev/zero", "of=/v/f", "bs=1M", "count=3")
    ended = await pods.until("a", lambda pod: pod.status.phase == "Failed", timeout=30)
    assert ended.status.reason == "Evicted"
    assert ended.status.message == 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '
    await until_told(client, namespace, "exceeds the limit", reason="Evicted")


async def test_a_pod_beyond_its_ephemeral_storage_is_evicted(
    pods: Pods, client: Client, namespace: str, cluster: Cluster
) -> None:
    writer = mounting()
    writer.resources = v1.ResourceRequirements(limits={"ephemeral-storage": "2Mi"})
    volumes = [v1.Volume(name="v", empty_dir=v1.EmptyDirVolumeSource())]
    pod = await pods.running("a", writer, volumes=volumes, termination_grace_period_seconds=1)
    run_in(cluster, container_id(pod), "dd", "if=/dev/zero", "of=/v/f", "bs=1M", "count=1")
    run_in(cluster, container_id(pod), "dd", "if=/dev/zero", "of=/layer", "bs=1M", "count=1")
    run_in(cluster, container_id(pod), "dd", "if=/dev/zero", "of=/more", "bs=64k", "count=1")
    ended = await pods.until("a", lambda pod: pod.status.phase == "Failed", timeout=60)
    message = "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "
    assert (ended.status.reason, ended.status.message) == ("Evicted", message)
    await until_told(client, namespace, message, reason="Evicted")


async def test_an_empty_dir_of_memory_is_no_larger_than_its_limit(pods: Pods, cluster: Cluster) -> None:
    memory = v1.Volume(name="v", empty_dir=v1.EmptyDirVolumeSource(medium="Memory", size_limit="1Mi"))
    security = v1.PodSecurityContext(fs_group=777)
    pod = await pods.running("a", mounting(), volumes=[memory], security_context=security)
    full = run_in(cluster, container_id(pod), "dd", "if=/dev/zero", "of=/v/f", "bs=1M", "count=3")
    assert "No space left" in full
    assert run_in(cluster, container_id(pod), "stat", "-c", "%g %a", "/v") == "777 2777\n"
    assert " tmpfs " in run_in(cluster, container_id(pod), "grep", " /v ", "/proc/mounts")


async def test_parts_of_volumes_are_mounted_made_and_do_not_follow(
    pods: Pods, client: Client, namespace: str, cluster: Cluster
) -> None:
    maps = client.resource(v1.ConfigMap)
    config = v1.ConfigMap(metadata=ObjectMeta(name="cm", namespace=namespace), data={"k": "one"})
    await maps.create(config)
    volumes = [
        v1.Volume(name="v", empty_dir=v1.EmptyDirVolumeSource()),
        v1.Volume(name="cm", config_map=v1.ConfigMapVolumeSource(name="cm")),
    ]
    mounts = [
        v1.VolumeMount(name="v", mount_path="/whole"),
        v1.VolumeMount(name="v", mount_path="/part", sub_path="a/b"),
        v1.VolumeMount(name="v", mount_path="/mine", sub_path_expr="of/$(NAME)"),
        v1.VolumeMount(name="cm", mount_path="/etc/k", sub_path="k"),
        v1.VolumeMount(name="cm", mount_path="/cm"),
    ]
    name = v1.EnvVar(
        name="NAME", value_from=v1.EnvVarSource(field_ref=v1.ObjectFieldSelector(field_path="metadata.name"))
    )
    pod = await pods.running("web", mounting(*mounts, env=[name]), volumes=volumes)
    id = container_id(pod)
    run_in(cluster, id, "sh", "-c", "echo p > /part/f; echo m > /mine/f")
    assert run_in(cluster, id, "cat", "/whole/a/b/f", "/whole/of/web/f", "/etc/k") == "p\nm\none"
    assert "Read-only" in run_in(cluster, id, "sh", "-c", "echo x > /etc/k")
    config = await maps.get("cm", namespace=namespace)
    config.data = {"k": "two"}
    await maps.update(config)
    pod = await pods.get("web")
    pod.metadata.labels = {"touched": "now"}  # has the kubelet look at the pod's files at once
    await client.resource(v1.Pod).update(pod)
    await eventually(lambda: run_in(cluster, id, "cat", "/cm/k") == "two", timeout=20)
    assert run_in(cluster, id, "cat", "/etc/k") == "one"
    with cluster.docker() as engine:
        engine.kill(id)
    after = await pods.until("web", lambda pod: status_of(pod).restart_count == 1 and is_ready(pod))
    assert run_in(cluster, container_id(after), "cat", "/etc/k", "/part/f") == "twop\n"
    await pods.delete("web", grace=0)
    await pods.until_gone("web")
    await until_nothing_is_left(cluster, uid_of(pod))


async def test_files_of_many_sources_follow_the_api_in_a_running_pod(
    pods: Pods, client: Client, namespace: str, cluster: Cluster
) -> None:
    """One projected volume: a key with a mode, a secret, labels, an amount, and a map that comes later."""
    metadata = ObjectMeta(name="src", namespace=namespace)
    await client.resource(v1.ConfigMap).create(v1.ConfigMap(metadata=metadata, data={"a": "1", "left-out": "x"}))
    secret = v1.Secret(metadata=metadata, string_data={"s": "hush"}, immutable=True)
    await client.resource(v1.Secret).create(secret)
    items = [v1.KeyToPath(key="a", path="conf/a", mode=0o400)]
    labels = v1.DownwardAPIVolumeFile(path="labels", field_ref=v1.ObjectFieldSelector(field_path="metadata.labels"))
    cpu = v1.ResourceFieldSelector(container_name="main", resource="limits.cpu", divisor="1m")
    sources = [
        v1.VolumeProjection(config_map=v1.ConfigMapProjection(name="src", items=items)),
        v1.VolumeProjection(secret=v1.SecretProjection(name="src")),
        v1.VolumeProjection(
            downward_api=v1.DownwardAPIProjection(
                items=[labels, v1.DownwardAPIVolumeFile(path="cpu", resource_field_ref=cpu)]
            )
        ),
        v1.VolumeProjection(config_map=v1.ConfigMapProjection(name="later", optional=True)),
    ]
    volume = v1.Volume(name="v", projected=v1.ProjectedVolumeSource(sources=sources, default_mode=0o440))
    limited = mounting(resources=v1.ResourceRequirements(limits={"cpu": "500m"}))
    pod = await pods.running("web", limited, volumes=[volume])
    id = container_id(pod)
    assert run_in(cluster, id, "sh", "-c", "cd /v; ls; cat conf/a s cpu labels").split() == [
        "conf", "cpu", "labels", "s", "1hush500",
    ]  # fmt: skip
    modes = run_in(cluster, id, "stat", "-L", "-c", "%a", "/v/conf/a", "/v/s", "/v/labels").split()
    assert modes == ["400", "440", "440"]
    assert "Read-only" in run_in(cluster, id, "sh", "-c", "echo x > /v/new")
    later = v1.ConfigMap(metadata=ObjectMeta(name="later", namespace=namespace), data={"b": "2"})
    await client.resource(v1.ConfigMap).create(later)
    pod = await pods.get("web")
    pod.metadata.labels = {"app": "web"}
    await client.resource(v1.Pod).update(pod)
    await eventually(lambda: run_in(cluster, id, "cat", "/v/labels", "/v/b") == 'app="web"2', timeout=20)
    assert run_in(cluster, id, "readlink", "/v/s") == "..data/s\n"
    assert container_id(await pods.get("web")) == id
    assert " tmpfs " in run_in(cluster, id, "grep", " /v ", "/proc/mounts"), "secrets are never on disk"


async def test_a_link_in_a_volume_leads_no_container_out_of_it(
    pods: Pods, client: Client, namespace: str, cluster: Cluster
) -> None:
    """CVE-2017-1002101: one container makes a link, another one mounts it."""
    secret = cluster.directory / "host-secret"
    secret.mkdir()
    (secret / "f").write_text("the node's own")
    shared = v1.VolumeMount(name="v", mount_path="/v")
    part = v1.VolumeMount(name="v", mount_path="/stolen", sub_path="link")
    linker = container("linker", ["ln", "-s", str(secret), "/v/link"], volume_mounts=[shared])
    await pods.create(
        "thief",
        container(volume_mounts=[part]),
        init_containers=[linker],
        volumes=[v1.Volume(name="v", empty_dir=v1.EmptyDirVolumeSource())],
    )
    waits = await pods.until(
        "thief", lambda pod: (state := status_of(pod).state.waiting) and state.reason == "CreateContainerConfigError"
    )
    waiting = status_of(waits).state.waiting
    assert waiting is not None
    assert "leads out of the volume" in (waiting.message or "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_pod_that_went_unseen_leaves_no_mounts(pods: Pods, cluster: Cluster, number: signal.Signals) -> None:
    volumes = [
        v1.Volume(name="v", empty_dir=v1.EmptyDirVolumeSource()),
        v1.Volume(name="m", empty_dir=v1.EmptyDirVolumeSource(medium="Memory")),
    ]
    mounts = [
        v1.VolumeMount(name="v", mount_path="/v", sub_path="part"),
        v1.VolumeMount(name="m", mount_path="/m", sub_path="part"),
    ]
    pod = await pods.running("doomed", mounting(*mounts), volumes=volumes)
    assert len(mounted_below(cluster.root / "pods" / uid_of(pod))) == 3  # a tmpfs and two parts
    cluster.kubelet.stop(number)
    await pods.delete("doomed", grace=0)
    cluster.kubelet.spawn()
    await until_nothing_is_left(cluster, uid_of(pod))


async def test_host_paths_are_of_the_type_they_say(
    pods: Pods, client: Client, namespace: str, cluster: Cluster
) -> None:
    place = cluster.directory / "place"
    place.write_text("x")
    wrong = v1.HostPathVolumeSource(path=str(place), type="Directory")
    await pods.create("wrong", mounting(), volumes=[v1.Volume(name="v", host_path=wrong)])
    await until_told(client, namespace, f"hostPath type check failed: {place} is not a directory")
    fresh = v1.HostPathVolumeSource(path=str(cluster.directory / "fresh" / "deep"), type="DirectoryOrCreate")
    security = v1.PodSecurityContext(fs_group=999)
    pod = await pods.running(
        "right", mounting(), volumes=[v1.Volume(name="v", host_path=fresh)], security_context=security
    )
    assert run_in(cluster, container_id(pod), "stat", "-c", "%g %a", "/v") == "0 755\n", "a host path keeps its group"


async def test_the_whole_of_the_node_can_be_looked_at(pods: Pods, cluster: Cluster) -> None:
    volume = v1.Volume(name="v", host_path=v1.HostPathVolumeSource(path="/"))
    pod = await pods.running("a", mounting(v1.VolumeMount(name="v", mount_path="/v", read_only=True)), volumes=[volume])
    (cluster.directory / "seen").write_text("yes")
    assert run_in(cluster, container_id(pod), "cat", f"/v{cluster.directory}/seen") == "yes"


async def test_mounts_travel_as_far_as_they_may(pods: Pods, cluster: Cluster) -> None:
    """HostToContainer: what the node mounts later appears in the pod; otherwise it does not."""
    place = cluster.directory / "spread"
    place.mkdir()
    await asyncio.to_thread(_mount, "--bind", str(place), str(place))
    await asyncio.to_thread(_mount, "--make-shared", str(place))
    volume = v1.Volume(name="v", host_path=v1.HostPathVolumeSource(path=str(place)))
    mounts = [
        v1.VolumeMount(name="v", mount_path="/slave", mount_propagation="HostToContainer"),
        v1.VolumeMount(name="v", mount_path="/private"),
    ]
    pod = await pods.running("a", mounting(*mounts), volumes=[volume])
    (place / "late").mkdir()
    await asyncio.to_thread(_mount, "-t", "tmpfs", "tmpfs", str(place / "late"))
    try:
        mounted = run_in(cluster, container_id(pod), "cat", "/proc/mounts")
        assert "/slave/late" in mounted
        assert "/private/late" not in mounted
    finally:
        await pods.delete("a", grace=0)
        await pods.until_gone("a")
        cluster.unmount_below(cluster.directory / "spread")
        await asyncio.to_thread(_unmount, place)
    both = v1.VolumeMount(name="v", mount_path="/v", mount_propagation="Bidirectional")
    with pytest.raises(errors.Invalid, match="available only to privileged containers"):
        await pods.create("b", mounting(both), volumes=[volume])


def _unmount(path: Path) -> None:
    subprocess.run(["umount", str(path)], check=True, capture_output=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
