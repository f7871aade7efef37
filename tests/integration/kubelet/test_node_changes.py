"""What a node tells when its machine is not as it should be, or not as it was: limits, address, pressure."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from apimachinery import meta
from apimachinery.types import core_v1
from kube_client import Client
from tests.integration.kubelet.cluster import ADDRESS, CLUSTER_CIDR, NODE, POD_CIDR, Cluster, ip, iptables
from tests.integration.kubelet.conftest import condition_of
from tests.integration.kubelet.pods import Pods, container, container_id, is_ready, status_of, uid_of
from tests.integration.kubelet.test_resources import kubelet_with
from tests.support import eventually

MOVED = "100.64.251.2"


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


@contextmanager
def kubelet_as(cluster: Cluster, command: tuple[str, ...]) -> Iterator[None]:
    """The kubelet restarted by another command line, and back."""
    before = cluster.kubelet.command
    try:
        cluster.kubelet.command = command
        cluster.restart_kubelet()
        yield
    finally:
        cluster.kubelet.command = before
        cluster.restart_kubelet()


async def node_events(client: Client, reason: str) -> list[core_v1.Event]:
    page = await client.resource(core_v1.Event).list(field_selector=f"involvedObject.name={NODE},reason={reason}")
    return page.items


async def test_too_few_open_files_are_told_and_no_crash(pods: Pods, cluster: Cluster, client: Client) -> None:
    with kubelet_as(cluster, ("prlimit", "--nofile=64:64", *cluster.kubelet.command)):
        events = await eventually(lambda: node_events(client, "LowOpenFilesLimit"), timeout=30)
        assert "open files (nofile) is 64" in (events[0].message or "")
        assert events[0].type == "Warning"
        await asyncio.gather(*(pods.running(f"many-{number}", timeout=60) for number in range(8)))
        assert cluster.kubelet.running
    await pods.running("after", timeout=30)


async def test_a_node_that_gets_another_address_says_so(pods: Pods, cluster: Cluster, client: Client) -> None:
    """Its status, those of its pods, and the addresses of pods on its network follow."""
    command = tuple(flag for flag in cluster.kubelet.command if not flag.startswith("--node-ip"))

    async def move(old: str, new: str) -> None:
        await asyncio.to_thread(ip, "addr", "del", f"{old}/24", "dev", "eth0")
        await asyncio.to_thread(ip, "addr", "add", f"{new}/24", "dev", "eth0")

    async def address_is(expected: str) -> None:
        async def so() -> bool:
            node = await client.resource(core_v1.Node).get(NODE)
            return expected in [
                address.address for address in node.status.addresses or () if address.type == "InternalIP"
            ]

        await eventually(so, timeout=15)

    await pods.running("inside")
    await pods.running("outside", host_network=True)
    with kubelet_as(cluster, (*command, "--node-status-update-frequency=1s")):
        await pods.running("before")  # the kubelet is up
        await move(ADDRESS, MOVED)
        try:
            await address_is(MOVED)
            outside = await pods.until("outside", lambda pod: pod.status.pod_ip == MOVED)
            assert [address.ip for address in outside.status.pod_ips or ()] == [MOVED]
            inside = await pods.until("inside", lambda pod: pod.status.host_ip == MOVED)
            assert inside.status.pod_ip != MOVED
            assert is_ready(inside)
            await eventually(lambda: node_events(client, "NodeAddressChanged"))
        finally:
            await move(MOVED, ADDRESS)
        await address_is(ADDRESS)
    assert [status_of(await pods.get(name)).restart_count for name in ("inside", "outside")] == [0, 0]


@pytest.mark.parametrize(
    ("flag", "condition", "resource"),
    [
        ("pid.available<100%", "PIDPressure", "pids"),
        ("nodefs.available<100%", "DiskPressure", "ephemeral-storage"),
        ("nodefs.inodesFree<100%", "DiskPressure", "inodes"),
    ],
)
async def test_who_uses_most_of_what_is_short_goes_first(
    empty_node: None, pods: Pods, cluster: Cluster, client: Client, flag: str, condition: str, resource: str
) -> None:
    script = (
        "i=0; while [ $i -lt 40 ]; do echo $i > /tmp-$i; i=$((i+1)); sleep 600 & done; dd if=/dev/zero of=/big bs=1M"
    )
    await pods.running("modest")
    spec = container(
        command=["sh", "-c", f"{script} count=8; wait"], volume_mounts=[core_v1.VolumeMount(name="v", mount_path="/v")]
    )
    volume = core_v1.Volume(name="v", empty_dir=core_v1.EmptyDirVolumeSource())
    await pods.running("greedy", spec, volumes=[volume], termination_grace_period_seconds=300)

    async def written() -> bool:
        with cluster.docker() as engine:
            listed = engine.containers(size=True, filters={"label": "io.kubernetes.container.name=main"})
        return any(item.get("SizeRw", 0) > 8_000_000 for item in listed)

    await eventually(written, timeout=15)
    with kubelet_with(cluster, f"--eviction-hard={flag}"):
        evicted = await pods.until("greedy", lambda pod: pod.status.phase == "Failed", timeout=40)
        assert evicted.status.reason == "Evicted"
        assert f"low on resource: {resource}." in (evicted.status.message or "")
        assert (await pods.get("modest")).status.phase == "Running"
        await eventually(lambda: not (cluster.root / "pods" / uid_of(evicted) / "volumes").exists(), timeout=5)

        async def pressed() -> bool:
            return condition_of(await client.resource(core_v1.Node).get(NODE), condition) == "True"

        await eventually(pressed)
        assert await node_events(client, "EvictionThresholdMet")


async def test_dead_containers_go_when_the_disk_is_full(pods: Pods, cluster: Cluster) -> None:
    await pods.create("done", container(command=["true"]), restart_policy="Never")
    done = await pods.until("done", lambda pod: pod.status.phase == "Succeeded")
    label = f"io.kubernetes.pod.uid={meta.uid_of(done)}"
    with cluster.docker() as engine:
        assert len(engine.containers(all=True, filters={"label": label})) == 2
    with kubelet_with(cluster, "--eviction-hard=nodefs.available<100%"), cluster.docker() as engine:
        await eventually(
            lambda: not engine.containers(all=True, filters={"label": [label, "io.kubernetes.docker.type=container"]}),
            timeout=20,
        )
    pod = await pods.get("done")  # its result is known all the same
    assert pod.status.phase == "Succeeded"
    ended = status_of(pod).state.terminated
    assert ended is not None
    assert ended.exit_code == 0


async def answers(pod: core_v1.Pod) -> bool:
    """Whether its port can be reached from the node."""
    try:
        async with asyncio.timeout(2):
            _, writer = await asyncio.open_connection(pod.status.pod_ip, 8080)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def test_what_others_take_from_the_pod_network_comes_back(pods: Pods) -> None:
    """A firewall that starts anew flushes and deletes all chains; somebody deletes the bridge, and its pods are cut off."""
    web = container(command=["httpd", "-f", "-p", "8080"])
    before = await pods.running("web", web)
    await eventually(lambda: answers(before))
    for table in ("nat", "filter"):
        for way in ("-F", "-X"):
            await asyncio.to_thread(iptables, "-t", table, way)
    await asyncio.to_thread(ip, "link", "delete", "peapod0")

    async def reachable() -> bool:
        return await answers(await pods.get("web"))

    await eventually(reachable, timeout=90, interval=0.5)
    after = await pods.until("web", is_ready)
    assert (uid_of(after), status_of(after).restart_count) == (uid_of(before), 1)
    await pods.running("new")
    for table, rule in (
        ("filter", f"-A DOCKER-USER -s {CLUSTER_CIDR}"),
        ("filter", "-A FORWARD -j DOCKER-USER"),
        ("nat", f"-A POSTROUTING -s {POD_CIDR}"),
        ("nat", "-A PEAPOD-POSTROUTING -j MASQUERADE"),
    ):
        assert rule in await asyncio.to_thread(iptables, "-t", table, "-S")


async def test_an_engine_without_containerd_makes_the_node_unready(
    pods: Pods, cluster: Cluster, client: Client
) -> None:
    """The engine's API answers, but it can run nothing."""
    nodes = client.resource(core_v1.Node)

    async def readiness() -> tuple[str, str]:
        conditions = (await nodes.get(NODE)).status.conditions or ()
        return next((c.status, c.message or "") for c in conditions if c.type == "Ready")

    async def is_unready() -> bool:
        status, message = await readiness()
        return status == "False" and "containerd does not answer" in message

    async def is_ready_again() -> bool:
        return (await readiness())[0] == "True"

    kept = await pods.running("kept")
    cluster.containerd.stop(signal.SIGKILL)
    try:
        await eventually(is_unready, timeout=60)
    finally:
        cluster.containerd.spawn()
    await eventually(is_ready_again, timeout=60)
    assert container_id(await pods.get("kept")) == container_id(kept)
    await pods.running("after")
