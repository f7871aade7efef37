"""A kubelet killed at any point of a pod's start or end and started again: the end is that of an undisturbed run.

The points are moments of the pod as the engine and the disk show them; the kubelet is killed with SIGKILL as soon as
one is seen.
"""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from apimachinery import meta
from apimachinery.types import core_v1
from kube_client import Client
from tests.integration.kubelet.cluster import Cluster
from tests.integration.kubelet.pods import Pods, container, container_id, is_ready, status_of
from tests.support import eventually

# The SDK's clients that look every few milliseconds leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

Point = Callable[[Cluster, str], bool]


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


def engine_has(name: str, *states: str) -> Point:
    """The engine shows a container of that name in one of the states; ``gone`` is to have none (any more)."""

    def seen(cluster: Cluster, uid: str) -> bool:
        labels = [f"io.kubernetes.pod.uid={uid}", f"io.kubernetes.container.name={name}"]
        with cluster.docker() as engine:
            found = engine.containers(all=True, filters={"label": labels})
        return any(one["State"] in states for one in found) if found else "gone" in states

    return seen


def directory(present: bool, *parts: str) -> Point:
    return lambda cluster, uid: cluster.root.joinpath("pods", uid, *parts).exists() == present


STARTS: dict[str, Point] = {
    "bound": lambda cluster, uid: True,
    "directory": directory(True),
    "volume": directory(True, "volumes"),
    "sandbox-created": engine_has("POD", "created"),
    "sandbox-running": engine_has("POD", "running"),
    "init-created": engine_has("init", "created"),
    "init-running": engine_has("init", "running"),
    "init-ended": engine_has("init", "exited"),
    "main-created": engine_has("main", "created"),
    "main-running": engine_has("main", "running"),
    "second-running": engine_has("second", "running"),
}
ENDS: dict[str, Point] = {
    "deleted": lambda cluster, uid: True,
    "main-stopped": engine_has("main", "exited", "gone"),
    "second-stopped": engine_has("second", "exited", "gone"),
    "main-removed": engine_has("main", "gone"),
    "sandbox-removed": engine_has("POD", "gone"),
    "directory-removed": directory(False),
}


def members() -> list[core_v1.Container]:
    mount = [core_v1.VolumeMount(name="v", mount_path="/v")]
    script = "echo {0} >> /v/log; trap 'sleep 0.2; exit 0' TERM; while :; do sleep 0.1; done"
    return [container(name, ["sh", "-c", script.format(name)], volume_mounts=mount) for name in ("main", "second")]


def spec() -> dict[str, object]:
    mount = [core_v1.VolumeMount(name="v", mount_path="/v")]
    init = container("init", ["sh", "-c", "sleep 0.3; echo init >> /v/log"], volume_mounts=mount)
    return {
        "init_containers": [init],
        "volumes": [core_v1.Volume(name="v", empty_dir=core_v1.EmptyDirVolumeSource(medium="Memory"))],
    }


def names_in_engine(cluster: Cluster, uid: str) -> list[str]:
    with cluster.docker() as engine:
        found = engine.containers(all=True, filters={"label": f"io.kubernetes.pod.uid={uid}"})
    return sorted(one["Labels"]["io.kubernetes.container.name"] for one in found)


@pytest.mark.parametrize("point", STARTS)
async def test_killed_while_a_pod_starts(pods: Pods, cluster: Cluster, point: str) -> None:
    made = await pods.create("p", *members(), **spec())
    await eventually(lambda: STARTS[point](cluster, meta.uid_of(made)), interval=0.002)
    cluster.restart_kubelet(signal.SIGKILL)
    found = await pods.until("p", is_ready, timeout=30)
    assert names_in_engine(cluster, meta.uid_of(made)) == ["POD", "init", "main", "second"]
    assert [status_of(found, name).restart_count for name in ("main", "second")] == [0, 0]
    log = cluster.root / "pods" / meta.uid_of(made) / "volumes/kubernetes.io~empty-dir/v/log"
    await eventually(lambda: len(log.read_text().split()) >= 3)  # a container runs a moment before it has written
    assert sorted(log.read_text().split()) == ["init", "main", "second"]
    await pods.delete("p", grace=0)


@pytest.mark.parametrize("point", ENDS)
async def test_killed_while_a_pod_ends(pods: Pods, cluster: Cluster, point: str) -> None:
    made = await pods.running("p", *members(), **spec())
    uid = meta.uid_of(made)
    await pods.delete("p")
    await eventually(lambda: ENDS[point](cluster, uid), interval=0.002)
    cluster.restart_kubelet(signal.SIGKILL)
    await pods.until_gone("p", timeout=30)
    await eventually(lambda: not names_in_engine(cluster, uid) and directory(False)(cluster, uid))
    assert uid not in await asyncio.to_thread(Path("/proc/self/mountinfo").read_text)


async def test_engine_and_kubelet_restarted_at_once(pods: Pods, cluster: Cluster) -> None:
    made = await pods.running("p", *members(), **spec())
    cluster.kubelet.stop(signal.SIGKILL)
    cluster.engine.stop()
    cluster.kubelet.start()
    cluster.engine.start()
    cluster.await_engine()
    await pods.running("after")
    found = await pods.get("p")
    assert container_id(found) == container_id(made)
    assert status_of(found).restart_count == 0


async def test_a_reboot(pods: Pods, cluster: Cluster) -> None:
    """Containers dead, mounts gone, the disk kept: everything comes back, once, and what was deleted stays away."""
    kept = await pods.running("kept", *members(), **spec())
    gone = await pods.running("gone")
    cluster.kubelet.stop(signal.SIGKILL)
    with cluster.docker() as engine:
        for one in engine.containers():
            engine.kill(one["Id"])
    await pods.delete("gone", grace=0)
    cluster.engine.stop()
    cluster.unmount_below(cluster.root)
    cluster.engine.start()
    cluster.await_engine()
    cluster.kubelet.start()
    found = await pods.until("kept", lambda one: status_of(one).restart_count == 1 and is_ready(one), timeout=40)
    assert container_id(found) != container_id(kept)
    await eventually(lambda: not names_in_engine(cluster, meta.uid_of(gone)), timeout=20)
    await eventually(lambda: directory(False)(cluster, meta.uid_of(gone)))
    with cluster.docker() as engine:
        alive = engine.containers(filters={"label": f"io.kubernetes.pod.uid={meta.uid_of(kept)}"})
    assert len(alive) == 3
