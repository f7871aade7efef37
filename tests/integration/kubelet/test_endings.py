"""How containers begin and end beyond running: last words, hooks, gates, gRPC health, ephemeral containers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from apimachinery import meta
from apimachinery.types import core_v1
from kube_client import Client
from tests.integration.kubelet.cluster import Cluster
from tests.integration.kubelet.kubectls import Kubectl
from tests.integration.kubelet.pods import Pods, container, container_id, is_ready, status_of, waits_for
from tests.integration.kubelet.test_pods import all_containers, run_in
from tests.support import eventually


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


def shell(script: str, name: str = "main", **fields: object) -> core_v1.Container:
    return container(name, ["sh", "-c", script], **fields)


def ended(pod: core_v1.Pod, name: str = "main") -> core_v1.ContainerStateTerminated:
    terminated = status_of(pod, name).state.terminated
    assert terminated is not None
    return terminated


async def over(pods: Pods, name: str, *containers: core_v1.Container) -> core_v1.Pod:
    await pods.create(name, *containers, restart_policy="Never")
    return await pods.until(name, lambda pod: pod.status.phase in ("Failed", "Succeeded"))


LOG = "for i in $(seq 1 200); do echo line-$i; done;"


async def test_the_log_speaks_where_the_file_says_nothing(pods: Pods) -> None:
    policy = {"termination_message_policy": "FallbackToLogsOnError"}
    pod = await over(
        pods, "p",
        shell(f"{LOG} exit 3", "silent", **policy),
        shell(f"{LOG} echo file > /dev/termination-log; exit 3", "filed", **policy),
        shell(f"{LOG} exit 0", "good", **policy),
        shell(f"{LOG} exit 3", "other"),
    )  # fmt: skip
    lines = (ended(pod, "silent").message or "").splitlines()
    assert lines[-1] == "line-200"
    assert 1 < len(lines) <= 80
    assert len(ended(pod, "silent").message or "") <= 2048
    assert ended(pod, "filed").message == "file\n"
    assert not ended(pod, "good").message
    assert not ended(pod, "other").message
    assert [ended(pod, name).exit_code for name in ("silent", "filed", "good", "other")] == [3, 3, 0, 3]
    assert [ended(pod, name).reason for name in ("silent", "good")] == ["Error", "Completed"]
    assert (ended(pod, "silent").container_id or "") == status_of(pod, "silent").container_id


async def test_last_words_have_limits(pods: Pods) -> None:
    """The last 4096 bytes of a file; of a pod's containers together 12 kB, each its share."""
    talk = "for i in $(seq 1 1000); do printf 'word %04d\\n' $i; done > /own/words"
    words = {"termination_message_path": "/own/words"}
    alone = await over(pods, "alone", shell(talk, **words))
    message = ended(alone).message or ""
    assert len(message) == 4096
    assert message.endswith("word 1000\n")
    many = await over(pods, "many", *(shell(talk, f"c{n}", **words) for n in range(6)))
    assert [len(ended(many, f"c{n}").message or "") for n in range(6)] == [2048] * 6


def peak_memory(cluster: Cluster) -> int:
    """Bytes that the kubelet has used at most."""
    status = Path(f"/proc/{cluster.kubelet.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def test_what_a_container_leaves_in_the_kubelet_s_files_costs_the_kubelet_nothing(
    pods: Pods, cluster: Cluster
) -> None:
    """Holes of 3 GB, which cost the container nothing, and bytes that are no text."""
    hole = "dd if=/dev/zero bs=1 count=0 seek=3221225472 of="
    script = f"grep -c Kubernetes-managed /etc/hosts; {hole}/dev/termination-log; {hole}/etc/hosts; exit 1"
    before = peak_memory(cluster)
    await pods.create("holes", shell(script))
    pod = await pods.until("holes", lambda pod: status_of(pod).restart_count >= 1)
    last = status_of(pod).last_state.terminated
    assert last is not None
    assert last.message == "\0" * 4096
    await pods.create("bytes", shell("printf '\\377\\376' > /etc/hosts; exit 1"))
    await pods.until("bytes", lambda pod: status_of(pod).restart_count >= 1)
    assert peak_memory(cluster) < before + 100 * 1024**2


async def test_hooks_that_sleep_and_that_ask_by_http(pods: Pods, cluster: Cluster) -> None:
    host = core_v1.Volume(name="v", host_path=core_v1.HostPathVolumeSource(path=str(cluster.file("asked"))))
    serve = "httpd -p 8080 -h / -v 2>> /v/log; trap 'echo term >> /v/log; exit 0' TERM; while :; do sleep 0.1; done"
    get = core_v1.HTTPGetAction(path="/etc/hostname", port=8080)
    lifecycle = core_v1.Lifecycle(
        post_start=core_v1.LifecycleHandler(sleep=core_v1.SleepAction(seconds=1)),
        pre_stop=core_v1.LifecycleHandler(http_get=get),
    )
    serve = serve.replace("httpd -p 8080", "(httpd -f -p 8080").replace("-v 2>> /v/log;", "-vv 2>> /v/log) &")
    mount = [core_v1.VolumeMount(name="v", mount_path="/v")]
    await pods.create("p", shell(serve, volume_mounts=mount, lifecycle=lifecycle), volumes=[host])
    await pods.until("p", lambda pod: status_of(pod).state.running)
    pod = await pods.until("p", is_ready)
    began = status_of(pod).state.running
    ready = next(condition for condition in pod.status.conditions or () if condition.type == "Ready")
    assert began is not None
    between = meta.parse_time(ready.last_transition_time or "") - meta.parse_time(began.started_at or "")
    assert between.total_seconds() >= 1
    await pods.delete("p")
    await pods.until_gone("p")
    log = cluster.file("asked").joinpath("log").read_text()
    assert "response:200" in log, log
    assert log.endswith("term\n")


async def test_a_readiness_gate_is_waited_for(pods: Pods, client: Client, namespace: str) -> None:
    gates = [core_v1.PodReadinessGate(condition_type="example.com/open")]
    await pods.create("gated", readiness_gates=gates)
    pod = await pods.until("gated", lambda pod: status_of(pod).ready)
    ready = next(condition for condition in pod.status.conditions or () if condition.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "ReadinessGatesNotReady")
    opened = {"status": {"conditions": [{"type": "example.com/open", "status": "True"}]}}
    await client.resource(core_v1.Pod).patch("gated", opened, namespace=namespace, subresource="status")
    pod = await pods.until("gated", is_ready)
    types = [condition.type for condition in pod.status.conditions or ()]
    own = {"PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"}
    assert own | {"example.com/open"} <= set(types)


class Health:
    """A gRPC health service by the real library, for one service name."""

    serving = True

    async def check(self, request: bytes, context: object) -> bytes:
        return b"\x08\x01" if self.serving and request == b"\x0a\x03app" else b"\x08\x02"


@asynccontextmanager
async def grpc_server(health: Health) -> AsyncIterator[int]:
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(health.check)
    handlers = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("0.0.0.0:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def test_a_grpc_probe(pods: Pods) -> None:
    """Of a server on the node's network, where a pod of the host's network is asked."""
    health = Health()
    async with grpc_server(health) as port:
        action = core_v1.GRPCAction(port=port, service="app")
        probe = core_v1.Probe(grpc=action, period_seconds=1, failure_threshold=1)
        pod = await pods.running("p", container(readiness_probe=probe), host_network=True)
        health.serving = False
        await pods.until("p", lambda pod: not is_ready(pod))
        await pods.event(pod, "Unhealthy", "Readiness probe failed: service unhealthy")
        health.serving = True
        await pods.until("p", is_ready)


async def test_kubectl_debug_looks_into_a_running_container(pods: Pods, cluster: Cluster, namespace: str) -> None:
    before = await pods.running("p", container(command=["sleep", "9876"]))
    kubectl = Kubectl(cluster, namespace, "websocket")
    arguments = ("debug", "p", "--image=peapod/busybox:latest", "--image-pull-policy=IfNotPresent", "--target=main")
    code, out, err = await kubectl.run(*arguments, "-c=look", "--profile=general", "--", "sh", "-c", "ps; sleep 3600")
    assert code == 0, (out, err)

    def looks(pod: core_v1.Pod) -> bool:
        return any(s.name == "look" and s.state.running for s in pod.status.ephemeral_container_statuses or ())

    pod = await pods.until("p", looks)
    assert status_of(pod).restart_count == 0
    assert container_id(pod) == container_id(before)

    async def log() -> bool:
        _, text, _ = await kubectl.run("logs", "p", "-c", "look")
        return b"sleep 9876" in text

    await eventually(log)
    id = ((pod.status.ephemeral_container_statuses or [])[0].container_id or "").removeprefix("docker://")
    assert "sleep 9876" in await asyncio.to_thread(run_in, cluster, id, "ps")
    cluster.restart_kubelet()  # which starts no second one
    await pods.running("after")
    assert len(all_containers(cluster, meta.uid_of(pod))) == 3


async def test_what_a_status_tells_of_resources(pods: Pods) -> None:
    asked = core_v1.ResourceRequirements(requests={"cpu": "50m", "memory": "16Mi"}, limits={"memory": "32Mi"})
    status = status_of(await pods.running("p", container(resources=asked)))
    assert status.allocated_resources == {"cpu": "50m", "memory": "16Mi"}
    assert status.resources is not None
    assert status.resources.limits == {"memory": "32Mi"}


async def test_so_many_dead_containers_are_kept_and_the_last_one_s_log(
    pods: Pods, cluster: Cluster, namespace: str
) -> None:
    await pods.create("crash", shell("echo said by $$ $(date +%s%N); exit 1"))
    await pods.until("crash", lambda pod: status_of(pod).restart_count >= 2 and waits_for("CrashLoopBackOff")(pod), 30)
    pod = await pods.get("crash")
    label = [f"io.kubernetes.pod.uid={meta.uid_of(pod)}", "io.kubernetes.container.name=main"]
    with cluster.docker() as engine:
        await eventually(lambda: len(engine.containers(all=True, filters={"label": label})) == 2)
    kubectl = Kubectl(cluster, namespace, "websocket")
    code, previous, err = await kubectl.run("logs", "crash", "--previous")
    assert code == 0, err
    assert previous.startswith(b"said by")
