"""A kubelet killed at any point of a pod's start or end and started again: the end is that of an undisturbed run.

The points are requests that the kubelet makes (``faults``): it is killed just before one reaches the engine or the
apiserver, or when it was done and the kubelet has not heard of it. What is there in the end is compared with what an
undisturbed run leaves: containers, attempts, directories, mounts, addresses, network namespaces.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from apimachinery import meta
from apimachinery.types import core_v1
from deploy.images.archive import layer
from deploy.images.build import busybox_tree, dynamic_busybox
from kube_client import Client
from tests.integration.kubelet.cluster import Cluster, healthz, ip, iptables
from tests.integration.kubelet.faults import Fault, Faults, between
from tests.integration.kubelet.pods import Pods, container, container_id, is_ready, status_of
from tests.integration.kubelet.registry import serve_image
from tests.support import eventually

# The SDK's clients that look every few milliseconds leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PORT = 16443
"""Of the proxy before the apiserver."""

STATUS = r"^PATCH \S+/pods/p/status"
DELETE_OBJECT = r"^DELETE \S+/namespaces/[^/]+/pods/p[ ?]"
EXEC = r"^POST \S+/containers/\w+/exec"
REMOVE = r"^DELETE \S+/containers/"


def create(name: str) -> str:
    return rf"^POST \S+/containers/create\?\S*name=k8s_{name}_p_"


STARTS: dict[str, Fault] = {
    "bound": Fault(STATUS, "before"),
    "first status written": Fault(STATUS),
    "volumes ready, no sandbox": Fault(create("POD"), "before"),
    "sandbox created": Fault(create("POD")),
    "sandbox to be started": Fault(r"^POST \S+/start", "before"),
    "sandbox started": Fault(r"^POST \S+/start"),
    "pull begun": Fault(r"^POST \S+/images/create"),
    "image pulled, etc files written": Fault(create("init"), "before"),
    "init container created": Fault(create("init")),
    "init container started": Fault(r"^POST \S+/start", nth=2),
    "container to be created": Fault(create("main"), "before"),
    "container created, not started": Fault(create("main")),
    "one container started": Fault(r"^POST \S+/start", nth=3),
    "all containers started": Fault(r"^POST \S+/start", nth=4),
    "postStart to begin": Fault(EXEC, "before"),
    "postStart running": Fault(r"^POST \S+/exec/\w+/start"),
    "running, not reported": Fault(STATUS + r'.*"phase":"Running"', "before"),
    "running, reported": Fault(STATUS + r'.*"phase":"Running"'),
}
ENDS: dict[str, Fault] = {
    "deletion observed, preStop to start": Fault(EXEC, "before"),
    "preStop running": Fault(r"^POST \S+/exec/\w+/start"),
    "to be signalled": Fault(r"^POST \S+/kill\?signal=SIGTERM", "before"),
    "signalled": Fault(r"^POST \S+/kill\?signal=SIGTERM"),
    "all signalled": Fault(r"^POST \S+/kill\?signal=SIGTERM", nth=2),
    "stopped, none removed": Fault(REMOVE, "before"),
    "one removed": Fault(REMOVE),
    "all but one removed": Fault(REMOVE, nth=3),
    "all removed": Fault(REMOVE, nth=4),
    "volumes cleaned, object still there": Fault(DELETE_OBJECT, "before"),
    "object deleted": Fault(DELETE_OBJECT),
}


@pytest.fixture(scope="module")
def faults(cluster: Cluster) -> Iterator[Faults]:
    """The kubelet behind proxies, for all tests of the module."""

    def kill() -> None:
        with suppress(ProcessLookupError):
            os.kill(cluster.kubelet.pid, signal.SIGKILL)

    made, socket, kubeconfig = Faults(kill), cluster.file("proxy.sock"), cluster.file("proxy.kubeconfig")
    kubeconfig.write_text(cluster.file("kubelet-client.kubeconfig").read_text().replace(":6443", f":{PORT}"))
    with between(cluster.directory, (socket, cluster.docker_socket), (PORT, 6443), made):
        changed = (f"--kubeconfig={kubeconfig}", f"--docker-endpoint=unix://{socket}")
        cluster.kubelet.command = (*cluster.kubelet.command, *changed)
        cluster.restart_kubelet()
        yield made
        cluster.kubelet.stop()  # before its proxies end


@pytest.fixture
def pods(faults: Faults, client: Client, namespace: str, node: core_v1.Node) -> Pods:
    faults.disarm()
    return Pods(client, namespace)


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> Iterator[str]:
    """In a registry, to be pulled each time."""
    tree = layer(busybox_tree(dynamic_busybox(cluster.directory / "cache")))
    with serve_image("team/app", "1", tree, {"Cmd": ["sh"]}) as reference:
        yield reference


def spec(image: str) -> dict[str, object]:
    """Two containers, one with both hooks, after one that initializes with a pulled image; each writes down its start."""
    mount = [core_v1.VolumeMount(name="v", mount_path="/v")]
    script = "echo init >> /v/log"
    init = container("init", ["sh", "-c", script], image=image, image_pull_policy="Always", volume_mounts=mount)
    return {
        "init_containers": [init],
        "volumes": [core_v1.Volume(name="v", empty_dir=core_v1.EmptyDirVolumeSource(medium="Memory"))],
    }


def members() -> list[core_v1.Container]:
    mount = [core_v1.VolumeMount(name="v", mount_path="/v")]
    script = "echo {0} >> /v/log; trap 'sleep 0.2; exit 0' TERM; while :; do sleep 0.1; done"
    wait = core_v1.LifecycleHandler(exec=core_v1.ExecAction(command=["sleep", "0.3"]))
    hooks = {"main": core_v1.Lifecycle(post_start=wait, pre_stop=wait)}
    return [
        container(name, ["sh", "-c", script.format(name)], volume_mounts=mount, lifecycle=hooks.get(name))
        for name in ("main", "second")
    ]


@dataclass(frozen=True)
class Traces:
    """What a pod has on its node, without what differs from pod to pod; of all pods: addresses and namespaces."""

    containers: tuple[str, ...]
    files: tuple[str, ...]
    mounts: tuple[str, ...]
    addresses: int
    network_namespaces: int


def traces(cluster: Cluster, uid: str) -> Traces:
    with cluster.docker() as engine:
        listed = engine.containers(all=True, filters={"label": f"io.kubernetes.pod.uid={uid}"})
        networks = engine.networks(names=["peapod"])
        network = engine.inspect_network(networks[0]["Id"]) if networks else {}
    root = cluster.root / "pods" / uid
    attempts = "annotation.io.kubernetes.container.restartCount"
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    namespaces = str(cluster.file("docker-exec") / "netns")
    return Traces(
        tuple(sorted(f"{_label(item)} {item['Labels'][attempts]} {item['State']}" for item in listed)),
        files_below(root),
        tuple(sorted(mount.removeprefix(str(root)) for mount in mounts if mount.startswith(str(root)))),
        len(network.get("Containers") or {}),
        sum(mount.startswith(f"{namespaces}/") and not mount.endswith("/default") for mount in mounts),
    )


def files_below(root: Path) -> tuple[str, ...]:
    """What is there; it may go away meanwhile."""
    entries = ((where, name) for where, directories, files in os.walk(root) for name in (*directories, *files))
    return tuple(sorted(os.path.relpath(os.path.join(where, name), root) for where, name in entries))


def _label(listed: dict[str, dict[str, str]]) -> str:
    return listed["Labels"]["io.kubernetes.container.name"]


def log_of(cluster: Cluster, uid: str) -> list[str]:
    path = cluster.root / "pods" / uid / "volumes/kubernetes.io~empty-dir/v/log"
    return path.read_text().split() if path.exists() else []


async def strike(faults: Faults, cluster: Cluster) -> None:
    await eventually(faults.struck.is_set, timeout=20)
    cluster.restart_kubelet(signal.SIGKILL)


async def is_up(pods: Pods, cluster: Cluster) -> tuple[str, Traces]:
    """The pod's UID and traces, once it is ready and all of it has begun."""
    pod = await pods.until("p", is_ready, timeout=40)
    uid = meta.uid_of(pod)
    await eventually(lambda: len(log_of(cluster, uid)) >= 3)
    assert [status_of(pod, name).restart_count for name in ("main", "second")] == [0, 0]
    assert all(status.restart_count == 0 for status in pod.status.init_container_statuses or ())
    return uid, traces(cluster, uid)


async def until_nothing(pods: Pods, cluster: Cluster, uid: str) -> Traces:
    await pods.until_gone("p", timeout=40)
    nothing: list[Traces] = []

    def is_clean() -> bool:
        nothing[:] = [traces(cluster, uid)]
        return not (nothing[0].containers or nothing[0].files or nothing[0].mounts)

    await eventually(is_clean, timeout=20, interval=0.1)
    return nothing[0]


_undisturbed: dict[str, Traces] = {}


async def undisturbed(pods: Pods, cluster: Cluster, image: str) -> dict[str, Traces]:
    """What a run without any fault leaves, when the pod is up and when it is gone."""
    if not _undisturbed:
        await pods.create("p", *members(), **spec(image))
        uid, _undisturbed["up"] = await is_up(pods, cluster)
        await pods.delete("p")
        _undisturbed["gone"] = await until_nothing(pods, cluster, uid)
        assert _undisturbed["up"].containers == ("POD 0 running", "init 0 exited", "main 0 running", "second 0 running")
        assert _undisturbed["up"].addresses == _undisturbed["gone"].addresses + 1
    return _undisturbed


@pytest.mark.parametrize("point", STARTS)
async def test_killed_while_a_pod_starts(pods: Pods, cluster: Cluster, faults: Faults, image: str, point: str) -> None:
    expected = await undisturbed(pods, cluster, image)
    faults.arm(STARTS[point])
    await pods.create("p", *members(), **spec(image))
    await strike(faults, cluster)
    uid, traces_left = await is_up(pods, cluster)
    assert traces_left == expected["up"]
    assert sorted(log_of(cluster, uid)) == ["init", "main", "second"]
    await pods.delete("p", grace=0)
    await eventually(lambda: traces(cluster, uid) == expected["gone"], timeout=20, interval=0.1)


@pytest.mark.parametrize("point", ENDS)
async def test_killed_while_a_pod_ends(pods: Pods, cluster: Cluster, faults: Faults, image: str, point: str) -> None:
    expected = await undisturbed(pods, cluster, image)
    await pods.create("p", *members(), **spec(image))
    uid, _ = await is_up(pods, cluster)
    faults.arm(ENDS[point])
    await pods.delete("p")
    await strike(faults, cluster)
    assert await until_nothing(pods, cluster, uid) == expected["gone"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("kubelet_too", [False, True])
async def test_an_engine_that_restarts_costs_no_container(
    pods: Pods, cluster: Cluster, image: str, number: signal.Signals, kubelet_too: bool
) -> None:
    await pods.create("p", *members(), **spec(image))
    uid, before = await is_up(pods, cluster)
    ids = [container_id(await pods.get("p"), name) for name in ("main", "second")]
    if kubelet_too:
        cluster.kubelet.stop(signal.SIGKILL)
    cluster.engine.stop(number)
    if kubelet_too:
        cluster.kubelet.spawn()
    cluster.engine.spawn()
    cluster.await_engine()
    await pods.running("after", timeout=40)
    pod = await pods.get("p")
    assert [container_id(pod, name) for name in ("main", "second")] == ids
    await pods.until("p", is_ready)
    await pods.delete("after", grace=0)
    await pods.until_gone("after")
    await eventually(lambda: traces(cluster, uid) == before, timeout=20, interval=0.1)
    await pods.delete("p", grace=0)
    await pods.until_gone("p")


async def test_a_reboot(pods: Pods, cluster: Cluster, image: str) -> None:
    """Containers dead, mounts, bridge and rules gone, the disk as it was: everything comes back, once.

    What was deleted meanwhile stays away: containers, directories and addresses.
    """
    before = await pods.running("kept", *members(), **spec(image))
    gone = await pods.running("gone")
    cluster.kubelet.stop(signal.SIGKILL)
    with cluster.docker() as engine:
        for running in engine.containers():
            engine.kill(running["Id"])
    await pods.delete("gone", grace=0)
    cluster.engine.stop()
    cluster.unmount_below(cluster.root)
    ip("link", "delete", "peapod0")
    for table in ("nat", "filter"):
        iptables("-t", table, "-F")
    cluster.engine.spawn()
    cluster.await_engine()
    cluster.kubelet.spawn()
    pod = await pods.until("kept", lambda pod: status_of(pod).restart_count == 1 and is_ready(pod), timeout=40)
    assert container_id(pod) != container_id(before)
    await eventually(lambda: traces(cluster, meta.uid_of(gone)).containers == (), timeout=20)
    await eventually(lambda: not (cluster.root / "pods" / meta.uid_of(gone)).exists())
    running = [c for c in traces(cluster, meta.uid_of(before)).containers if c.endswith("running")]
    assert running == ["POD 1 running", "main 1 running", "second 1 running"]
    chain = await asyncio.to_thread(iptables, "-t", "nat", "-S", "PEAPOD-POSTROUTING")
    assert "MASQUERADE" in chain
    await pods.delete("kept")
    await until_nothing(pods, cluster, meta.uid_of(before))


def diary(path: str) -> dict[str, object]:
    """A pod that writes a line at each start, to a volume that goes with it and to a directory of the node."""
    source = core_v1.HostPathVolumeSource(path=path, type="DirectoryOrCreate")
    volumes = [
        core_v1.Volume(name="own", empty_dir=core_v1.EmptyDirVolumeSource()),
        core_v1.Volume(name="node", host_path=source),
    ]
    return {"volumes": volumes}


def writer() -> core_v1.Container:
    mounts = [core_v1.VolumeMount(name=name, mount_path=f"/{name}") for name in ("own", "node")]
    script = "for d in own node; do echo line >> /$d/diary; done; trap 'exit 0' TERM; while :; do sleep 0.1; done"
    return container(command=["sh", "-c", script], volume_mounts=mounts)


async def test_an_engine_that_takes_its_containers_along(pods: Pods, cluster: Cluster) -> None:
    """Where the engine does not leave them running, they come again with their data, once, when it is back."""
    live_restoring = cluster.engine.command
    cluster.engine.command = tuple(flag for flag in live_restoring if flag != "--live-restore")
    cluster.engine.stop()
    cluster.engine.spawn()
    cluster.await_engine()
    try:
        node_dir = cluster.file("diaries")
        pod = await pods.running("p", writer(), timeout=40, **diary(str(node_dir)))
        uid = meta.uid_of(pod)
        own = cluster.root / "pods" / uid / "volumes/kubernetes.io~empty-dir/own/diary"
        await eventually(lambda: node_dir.joinpath("diary").read_text() == "line\n")
        await eventually(lambda: traces(cluster, uid).addresses == 1)  # pods of other tests are gone
        cluster.engine.stop()
        cluster.engine.spawn()
        cluster.await_engine()
        await pods.until("p", lambda pod: status_of(pod).restart_count == 1 and is_ready(pod), timeout=40)
        await eventually(lambda: own.read_text() == node_dir.joinpath("diary").read_text() == "line\n" * 2)
        await eventually(
            lambda: (
                [c for c in traces(cluster, uid).containers if c.endswith("running")]
                == ["POD 1 running", "main 1 running"]
            )
        )
        assert traces(cluster, uid).addresses == 1
        await pods.delete("p")
        await until_nothing(pods, cluster, uid)
        assert node_dir.joinpath("diary").read_text() == "line\n" * 2  # the node's own stays
    finally:
        cluster.engine.stop()
        cluster.engine.command = live_restoring
        cluster.engine.spawn()
        cluster.await_engine()


def is_healthy() -> bool:
    with suppress(OSError):
        return healthz() == "ok"
    return False


async def test_nothing_is_removed_before_the_apiserver_has_spoken(pods: Pods, cluster: Cluster) -> None:
    await pods.create("p", writer(), **diary(str(cluster.file("silence"))))
    before = await pods.until("p", is_ready, timeout=40)
    cluster.apiserver.stop()
    try:
        cluster.restart_kubelet(signal.SIGKILL)
        await eventually(is_healthy, timeout=20)
        await asyncio.sleep(1)  # nothing happens: that is no condition to wait for
        with cluster.docker() as engine:
            assert engine.inspect_container(container_id(before))["State"]["Running"]
    finally:
        cluster.apiserver.spawn()
    await pods.appears("p")
    after = await pods.running("after", timeout=40)
    assert container_id(after)
    pod = await pods.get("p")
    assert (container_id(pod), status_of(pod).restart_count) == (container_id(before), 0)


async def test_a_pod_of_the_same_name_made_while_the_node_was_away(pods: Pods, cluster: Cluster) -> None:
    """The old pod leaves no trace, and the new one is not mistaken for it."""
    old = await pods.running("p", timeout=40)
    cluster.kubelet.stop(signal.SIGKILL)
    await pods.delete("p", grace=0)
    new = await pods.create("p")
    cluster.kubelet.spawn()
    pod = await pods.until("p", is_ready, timeout=40)
    assert meta.uid_of(pod) == meta.uid_of(new) != meta.uid_of(old)
    assert status_of(pod).restart_count == 0
    gone = meta.uid_of(old)
    await eventually(lambda: not traces(cluster, gone).containers, timeout=20)
    await eventually(lambda: not (cluster.root / "pods" / gone).exists())
