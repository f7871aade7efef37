"""Init containers, sidecars, probes, hooks, deadlines and admission on a real engine."""

from typing import Any

import pytest

from apimachinery import meta
from apimachinery.types import core_v1
from kube_client import Client
from tests.integration.kubelet.cluster import Cluster
from tests.integration.kubelet.pods import Pods, container, container_id, is_ready, status_of
from tests.support import eventually


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


SHARED = core_v1.Volume(name="v", empty_dir=core_v1.EmptyDirVolumeSource())
MOUNT = [core_v1.VolumeMount(name="v", mount_path="/v")]


def shell(name: str, script: str, **fields: Any) -> core_v1.Container:
    return container(name, ["sh", "-c", script], volume_mounts=MOUNT, **fields)


def read(cluster: Cluster, pod: core_v1.Pod, name: str) -> str:
    path = cluster.root / "pods" / meta.uid_of(pod) / "volumes/kubernetes.io~empty-dir/v" / name
    return path.read_text() if path.exists() else ""


def running(script: str = "") -> str:
    return f"trap 'exit 0' TERM; {script} while :; do sleep 0.1; done"


def exec_probe(command: str, **fields: Any) -> core_v1.Probe:
    return core_v1.Probe(exec=core_v1.ExecAction(command=["sh", "-c", command]), **fields)


def hook(command: str) -> core_v1.LifecycleHandler:
    return core_v1.LifecycleHandler(exec=core_v1.ExecAction(command=["sh", "-c", command]))


async def reasons(client: Client, pod: core_v1.Pod) -> set[str]:
    events = client.resource(core_v1.Event)
    selector = f"involvedObject.uid={meta.uid_of(pod)}"
    page = await events.list(namespace=meta.namespace_of(pod), field_selector=selector)
    return {event.reason or "" for event in page.items}


async def test_init_containers_come_first_in_order_and_a_sidecar_stays(pods: Pods, cluster: Cluster) -> None:
    first = shell("first", "echo first >> /v/log")
    helper = shell("helper", running("echo helper >> /v/log;"), restart_policy="Always")
    last = shell("last", "echo last >> /v/log")
    pod = await pods.running(
        "ordered",
        shell("main", running("echo main >> /v/log;")),
        init_containers=[first, helper, last],
        volumes=[SHARED],
    )
    await eventually(lambda: read(cluster, pod, "log") == "first\nhelper\nlast\nmain\n")
    states = {status.name: status for status in pod.status.init_container_statuses or ()}
    assert states["first"].state.terminated is not None
    assert states["helper"].state.running is not None
    assert all(status.ready for status in states.values())
    cluster.restart_kubelet()
    await pods.running("after-restart")
    again = await pods.get("ordered")
    assert read(cluster, pod, "log").count("first") == 1
    assert container_id(again) == container_id(pod)


async def test_an_init_container_that_fails_is_tried_again(pods: Pods) -> None:
    failing = shell("setup", "test -e /v/again && exit 0; touch /v/again; exit 1")
    pod = await pods.running("retried", shell("main", running()), init_containers=[failing], volumes=[SHARED])
    setup = (pod.status.init_container_statuses or [])[0]
    assert setup.restart_count == 1
    await pods.create(
        "doomed", shell("main", running()), init_containers=[shell("setup", "exit 4")], volumes=[SHARED],
        restart_policy="Never",
    )  # fmt: skip
    doomed = await pods.until("doomed", lambda pod: pod.status.phase == "Failed")
    waiting = status_of(doomed).state.waiting
    assert waiting is not None
    assert waiting.reason == "PodInitializing"


async def test_a_job_with_a_sidecar_succeeds(pods: Pods) -> None:
    helper = shell("helper", running(), restart_policy="Always")
    await pods.create(
        "job", shell("main", "sleep 0.3"), init_containers=[helper], volumes=[SHARED], restart_policy="Never"
    )
    pod = await pods.until("job", lambda pod: pod.status.phase == "Succeeded")
    assert (pod.status.init_container_statuses or [])[0].state.terminated is not None


async def test_readiness_follows_its_probe(pods: Pods, cluster: Cluster) -> None:
    probe = exec_probe("test -e /v/ready", period_seconds=1, failure_threshold=1)
    await pods.create("gated", shell("main", running(), readiness_probe=probe), volumes=[SHARED])
    pod = await pods.until("gated", lambda pod: status_of(pod).started)
    assert not is_ready(pod)
    flag = cluster.root / "pods" / meta.uid_of(pod) / "volumes/kubernetes.io~empty-dir/v/ready"
    flag.touch()
    ready = await pods.until("gated", is_ready)
    assert status_of(ready).restart_count == 0
    cluster.restart_kubelet()
    await pods.running("after-restart")
    assert is_ready(await pods.get("gated"))
    flag.unlink()
    await pods.until("gated", lambda pod: not is_ready(pod))


async def test_an_http_probe_reaches_the_pod_s_address_by_a_named_port(pods: Pods) -> None:
    action = core_v1.HTTPGetAction(path="/etc/hostname", port="web")
    probe = core_v1.Probe(http_get=action, period_seconds=1)
    serve = container(
        command=["sh", "-c", "exec httpd -f -p 8080 -h /"], readiness_probe=probe,
        ports=[core_v1.ContainerPort(name="web", container_port=8080)],
    )  # fmt: skip
    await pods.running("web", serve)


async def test_a_failed_liveness_probe_restarts_the_container(pods: Pods, client: Client) -> None:
    probe = exec_probe("test ! -e /v/ill", period_seconds=1, failure_threshold=2)
    script = running("(sleep 1; test -e /v/once || touch /v/once /v/ill) &")
    restarts = shell("main", f"rm -f /v/ill; {script}", liveness_probe=probe)
    await pods.create("ill", restarts, volumes=[SHARED])
    pod = await pods.until("ill", lambda pod: status_of(pod).restart_count == 1 and is_ready(pod))
    assert {"Unhealthy", "Killing"} <= await reasons(client, pod)


async def test_a_startup_probe_holds_the_others_back(pods: Pods) -> None:
    startup = exec_probe("test -e /v/up", period_seconds=1, failure_threshold=30)
    liveness = exec_probe("test -e /v/up", period_seconds=1, failure_threshold=1)
    slow = shell("main", running("sleep 3; touch /v/up;"), startup_probe=startup, liveness_probe=liveness)
    await pods.create("slow", slow, volumes=[SHARED])
    pod = await pods.until("slow", lambda pod: status_of(pod).state.running)
    assert not status_of(pod).started
    pod = await pods.until("slow", is_ready)
    assert status_of(pod).restart_count == 0


async def test_hooks_run_around_a_container(pods: Pods, cluster: Cluster) -> None:
    host = core_v1.Volume(name="v", host_path=core_v1.HostPathVolumeSource(path=str(cluster.file("hooked"))))
    lifecycle = core_v1.Lifecycle(
        post_start=hook("sleep 0.5; echo started >> /v/log"), pre_stop=hook("sleep 0.5; echo stopping >> /v/log")
    )
    script = "trap 'echo term >> /v/log; exit 0' TERM; while :; do sleep 0.1; done"
    await pods.create("hooked", shell("main", script, lifecycle=lifecycle), volumes=[host])
    await pods.until("hooked", is_ready)
    log = cluster.file("hooked") / "log"
    assert log.read_text() == "started\n"
    await pods.delete("hooked")
    await pods.until_gone("hooked")
    assert log.read_text() == "started\nstopping\nterm\n"


async def test_a_post_start_hook_that_fails_ends_the_container(pods: Pods, client: Client) -> None:
    failing = container(lifecycle=core_v1.Lifecycle(post_start=hook("exit 1")))
    pod = await pods.create("unhooked", failing)
    await pods.until("unhooked", lambda pod: status_of(pod).restart_count >= 1)
    await pods.delete("unhooked", grace=0)
    assert "FailedPostStartHook" in await reasons(client, pod)


async def test_a_deadline_ends_the_pod(pods: Pods) -> None:
    await pods.create("late", active_deadline_seconds=1)
    pod = await pods.until("late", lambda pod: pod.status.phase == "Failed" or pod.status.reason)
    assert (pod.status.phase, pod.status.reason) == ("Failed", "DeadlineExceeded")
    await pods.event(pod, "DeadlineExceeded")
    await pods.event(pod, "Killing", "Stopping container main")
    assert status_of(pod).state.terminated is not None


async def test_a_pod_that_does_not_fit_is_refused(pods: Pods, client: Client) -> None:
    greedy = container(resources=core_v1.ResourceRequirements(requests={"cpu": "1000"}))
    await pods.create("greedy", greedy)
    pod = await pods.until("greedy", lambda pod: pod.status.phase == "Failed")
    assert pod.status.reason == "OutOfcpu"
    await pods.create("elsewhere", node_selector={"zone": "nowhere"})
    pod = await pods.until("elsewhere", lambda pod: pod.status.phase == "Failed")
    assert pod.status.reason == "NodeAffinity"
    port = [core_v1.ContainerPort(container_port=80, host_port=18080)]
    await pods.running("holds", container(ports=port))
    await pods.create("wants", container(ports=port))
    pod = await pods.until("wants", lambda pod: pod.status.phase == "Failed")
    assert pod.status.reason == "NodePorts"
    await pods.delete("wants")
    await pods.until_gone("wants")
