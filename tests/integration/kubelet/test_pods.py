"""A pod's life on a real engine: start, restart, stop, and what a restarted kubelet makes of it."""

import asyncio
import base64
import signal
import time
from pathlib import Path

import pytest

from apimachinery.types import core_v1
from deploy.images.archive import layer
from deploy.images.build import busybox_tree, dynamic_busybox
from kube_client import Client
from tests.integration.kubelet.cluster import ADDRESS, POD_CIDR, Cluster
from tests.integration.kubelet.pods import IMAGE, Pods, container, container_id, is_ready, status_of, uid_of
from tests.integration.kubelet.registry import serve_image
from tests.support import eventually


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


def all_containers(cluster: Cluster, uid: str) -> list[str]:
    with cluster.docker() as engine:
        return [item["Id"] for item in engine.containers(all=True, filters={"label": f"io.kubernetes.pod.uid={uid}"})]


def run_in(cluster: Cluster, id: str, *command: str) -> str:
    with cluster.docker() as engine:
        made = engine.exec_create(id, list(command))
        return str(engine.exec_start(made["Id"]).decode())


async def test_a_pod_runs_and_reports_itself(pods: Pods) -> None:
    pod = await pods.running("a")
    status = pod.status
    assert status.phase == "Running"
    assert (status.pod_ip or "").startswith(POD_CIDR.rpartition(".")[0])
    assert status.host_ip == ADDRESS
    assert status.start_time
    main = status_of(pod)
    assert (main.ready, main.started, main.restart_count) == (True, True, 0)
    assert (main.container_id or "").startswith("docker://")
    assert {condition.type: condition.status for condition in status.conditions or ()}["ContainersReady"] == "True"


async def test_containers_of_a_pod_share_network_ipc_host_name_and_volumes(pods: Pods, cluster: Cluster) -> None:
    mount = [core_v1.VolumeMount(name="data", mount_path="/data")]
    writer = container("writer", ["sh", "-c", "echo hello > /data/f; exec httpd -f -p 8080"], volume_mounts=mount)
    reader = container("reader", volume_mounts=mount)
    volume = core_v1.Volume(name="data", empty_dir=core_v1.EmptyDirVolumeSource())
    pod = await pods.running("pair", writer, reader, volumes=[volume])
    writer_id, reader_id = container_id(pod, "writer"), container_id(pod, "reader")
    await eventually(lambda: run_in(cluster, reader_id, "cat", "/data/f") == "hello\n")
    assert run_in(cluster, reader_id, "hostname") == run_in(cluster, writer_id, "hostname") == "pair\n"
    for space in ("net", "ipc"):
        link = f"/proc/self/ns/{space}"
        assert run_in(cluster, writer_id, "readlink", link) == run_in(cluster, reader_id, "readlink", link)
    answer = run_in(cluster, reader_id, "wget", "-S", "-O", "-", "http://127.0.0.1:8080/")
    assert "HTTP/1." in answer


async def test_a_pod_has_resolver_hosts_and_environment(
    pods: Pods, cluster: Cluster, client: Client, namespace: str
) -> None:
    port = core_v1.ServicePort(name="db", port=6379)
    service = core_v1.Service(spec=core_v1.ServiceSpec(ports=[port], selector={"a": "b"}))
    service.metadata.name, service.metadata.namespace = "redis-master", namespace
    made = await client.resource(core_v1.Service).create(service)
    by_field = core_v1.EnvVar(
        name="MY_IP",
        value_from=core_v1.EnvVarSource(field_ref=core_v1.ObjectFieldSelector(field_path="status.podIP")),
    )
    derived = core_v1.EnvVar(name="GREETING", value="hi $(MY_IP) at $(REDIS_MASTER_SERVICE_HOST) $$(MY_IP)")

    async def has_variables() -> str | None:
        """Another pod, until one was created after the kubelet had the service in its cache."""
        names.append(f"env-{len(names)}")
        pod = await pods.running(names[-1], container(env=[by_field, derived]))
        text = run_in(cluster, container_id(pod), "env")
        return text if "REDIS_MASTER_SERVICE_HOST" in text else None

    names: list[str] = []
    text = await eventually(has_variables, timeout=30)
    pod = await pods.get(names[-1])
    variables = dict(line.partition("=")[::2] for line in (text or "").splitlines())
    address = made.spec.cluster_ip or ""
    assert variables["REDIS_MASTER_PORT_6379_TCP"] == f"tcp://{address}:6379"
    assert variables["KUBERNETES_SERVICE_HOST"] == "10.0.0.1"
    assert variables["GREETING"] == f"hi {pod.status.pod_ip} at {address} $(MY_IP)"
    id = container_id(pod)
    resolver = run_in(cluster, id, "cat", "/etc/resolv.conf")
    assert resolver.startswith(f"nameserver 10.0.0.10\nsearch {pod.metadata.namespace}.svc.cluster.local svc.")
    assert f"{pod.status.pod_ip}\t{names[-1]}" in run_in(cluster, id, "cat", "/etc/hosts")


async def test_config_maps_and_secrets_come_as_files(
    pods: Pods, cluster: Cluster, client: Client, namespace: str
) -> None:
    volumes = [
        core_v1.Volume(name="c", config_map=core_v1.ConfigMapVolumeSource(name="cm")),
        core_v1.Volume(name="s", secret=core_v1.SecretVolumeSource(secret_name="s", default_mode=0o400)),
    ]
    mounts = [core_v1.VolumeMount(name=volume.name, mount_path=f"/{volume.name}") for volume in volumes]
    await pods.create("files", container(volume_mounts=mounts), volumes=volumes)
    await pods.until("files", lambda pod: pod.status.phase == "Pending")
    config_map, secret = core_v1.ConfigMap(data={"k": "value"}), core_v1.Secret()
    secret.data = {"p": base64.b64encode(b"hush").decode()}
    for created, name in ((config_map, "cm"), (secret, "s")):
        created.metadata.name, created.metadata.namespace = name, namespace
    await client.resource(core_v1.ConfigMap).create(config_map)
    await client.resource(core_v1.Secret).create(secret)
    pod = await pods.until("files", is_ready)
    id = container_id(pod)
    assert run_in(cluster, id, "cat", "/c/k", "/s/p") == "valuehush"
    assert run_in(cluster, id, "stat", "-L", "-c", "%a", "/s/p") == "400\n"


async def test_a_killed_container_is_started_again_at_once(pods: Pods, cluster: Cluster) -> None:
    pod = await pods.running("killed")
    with cluster.docker() as engine:
        engine.kill(container_id(pod))
    after = await pods.until("killed", lambda pod: status_of(pod).restart_count == 1 and is_ready(pod), timeout=5)
    assert container_id(after) != container_id(pod)
    last = status_of(after).last_state.terminated
    assert last is not None
    assert last.exit_code == 137
    assert after.status.pod_ip == pod.status.pod_ip


async def test_a_lost_sandbox_takes_the_whole_pod_with_it(pods: Pods, cluster: Cluster) -> None:
    pod = await pods.running("sandbox")
    sandbox = next(id for id in all_containers(cluster, uid_of(pod)) if id != container_id(pod))
    with cluster.docker() as engine:
        engine.kill(sandbox)
    after = await pods.until("sandbox", lambda pod: status_of(pod).restart_count == 1 and is_ready(pod))
    assert container_id(after) != container_id(pod)


async def test_a_crashing_container_is_held_back(pods: Pods) -> None:
    await pods.create("crash", container(command=["sh", "-c", "exit 3"]))
    pod = await pods.until("crash", lambda pod: _waiting(pod) == "CrashLoopBackOff")
    assert pod.status.phase == "Running"
    assert status_of(pod).restart_count == 1
    last = status_of(pod).last_state.terminated
    assert last is not None
    assert (last.exit_code, last.reason) == (3, "Error")


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (1, "Failed")])
async def test_a_pod_that_is_not_restarted_ends(pods: Pods, cluster: Cluster, code: int, phase: str) -> None:
    message = f"echo bye > /dev/termination-log; exit {code}"
    await pods.create("once", container(command=["sh", "-c", message]), restart_policy="Never")
    pod = await pods.until("once", lambda pod: pod.status.phase == phase)
    ended = status_of(pod).state.terminated
    assert ended is not None
    assert ended.exit_code == code
    assert ended.message == "bye\n"
    assert not is_ready(pod)
    with cluster.docker() as engine:
        await eventually(lambda: not engine.containers(filters={"label": f"io.kubernetes.pod.uid={uid_of(pod)}"}))


async def test_a_deleted_pod_is_stopped_gracefully_and_leaves_nothing(pods: Pods, cluster: Cluster) -> None:
    script = "trap 'echo stopping; exit 0' TERM; while :; do sleep 0.1; done"
    memory = core_v1.Volume(name="m", empty_dir=core_v1.EmptyDirVolumeSource(medium="Memory"))
    mount = [core_v1.VolumeMount(name="m", mount_path="/m")]
    pod = await pods.running("bye", container(command=["sh", "-c", script], volume_mounts=mount), volumes=[memory])
    directory = cluster.root / "pods" / uid_of(pod)
    assert directory.exists()
    await pods.delete("bye")
    await pods.until_gone("bye")
    assert all_containers(cluster, uid_of(pod)) == []
    assert not directory.exists()
    assert str(directory) not in await asyncio.to_thread(Path("/proc/self/mountinfo").read_text)


async def test_a_pod_that_ignores_its_end_is_killed_at_the_deadline(pods: Pods) -> None:
    await pods.running("stubborn", container(command=["sleep", "3600"]), termination_grace_period_seconds=1)
    await pods.delete("stubborn")
    await pods.until_gone("stubborn", timeout=6)


async def test_a_shorter_grace_period_counts_for_a_pod_that_is_stopping(pods: Pods) -> None:
    await pods.running("slow", container(command=["sleep", "3600"]), termination_grace_period_seconds=300)
    await pods.delete("slow")
    await pods.until("slow", lambda pod: pod.metadata.deletion_timestamp)
    await pods.delete("slow", grace=1)
    await pods.until_gone("slow", timeout=6)


async def test_an_image_that_nobody_has_is_reported(pods: Pods) -> None:
    await pods.create("never", container(image="peapod/none:1", image_pull_policy="Never"))
    await pods.until("never", lambda pod: _waiting(pod) == "ErrImageNeverPull")
    await pods.create("invalid", container(image="UPPER CASE", image_pull_policy="IfNotPresent"))
    await pods.until("invalid", lambda pod: _waiting(pod) == "InvalidImageName")
    await pods.create("missing", container(image="127.0.0.1:1/none:1"))
    await pods.until("missing", lambda pod: _waiting(pod) == "ErrImagePull")
    await pods.until("missing", lambda pod: _waiting(pod) == "ImagePullBackOff")
    await pods.delete("missing")
    await pods.until_gone("missing")


@pytest.mark.parametrize("policy", ["IfNotPresent", "Always"])
async def test_an_image_is_pulled(pods: Pods, cluster: Cluster, policy: str) -> None:
    tree = layer(busybox_tree(dynamic_busybox(cluster.directory / "cache")))
    with serve_image("team/app", policy.lower(), tree, {"Cmd": ["sh"]}) as image:
        first = container("one", image=image, image_pull_policy=policy)
        second = container("two", image=image, image_pull_policy=policy)
        pod = await pods.running("pulled", first, second)
        assert status_of(pod, "two").image == image


async def test_a_container_that_cannot_run_is_reported(pods: Pods) -> None:
    await pods.create("cannot", container(command=["/no/such/program"]))
    pod = await pods.until("cannot", lambda pod: _waiting(pod) == "CrashLoopBackOff")
    last = status_of(pod).last_state.terminated
    assert last is not None
    assert last.reason == "ContainerCannotRun"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restarted_kubelet_restarts_nothing(pods: Pods, cluster: Cluster, number: signal.Signals) -> None:
    pod = await pods.running("kept")
    doomed = await pods.running("doomed")
    cluster.kubelet.stop(number)
    await pods.delete("doomed", grace=0)
    cluster.kubelet.spawn()
    await eventually(lambda: not all_containers(cluster, uid_of(doomed)), timeout=20)
    await eventually(lambda: not (cluster.root / "pods" / uid_of(doomed)).exists())
    after = await pods.get("kept")
    assert container_id(after) == container_id(pod)
    assert status_of(after).restart_count == 0
    assert is_ready(after)
    await pods.running("another", container(image=IMAGE))


async def test_an_engine_that_is_silent_for_half_a_minute_makes_the_node_not_ready(
    pods: Pods, cluster: Cluster, client: Client
) -> None:
    """And not at its first late answer: one that starts many containers takes ten seconds for a question."""
    pod = await pods.running("through")
    cluster.engine.pause()
    paused_at = time.monotonic()
    nodes = client.resource(core_v1.Node)

    async def ready() -> str:
        node = await nodes.get("node-1")
        return next(condition.status for condition in node.status.conditions or () if condition.type == "Ready")

    async def is_not_ready() -> bool:
        return await ready() == "False"

    async def is_ready_again() -> bool:
        return await ready() == "True"

    try:
        await eventually(is_not_ready, timeout=90, interval=0.5)
        assert time.monotonic() - paused_at > 25
    finally:
        cluster.engine.resume()
    await eventually(is_ready_again, timeout=30)
    assert container_id(await pods.get("through")) == container_id(pod)


def _waiting(pod: core_v1.Pod) -> str:
    state = status_of(pod).state.waiting
    return (state.reason or "") if state else ""
