"""A pod's worker, step by step, over a runtime in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apimachinery import codec, meta
from apimachinery.types import core_v1
from kubelet.containers.etc_files import Resolver
from kubelet.containers.events import PodEvents
from kubelet.containers.image_manager import ImageManager
from kubelet.containers.node_context import NodeContext
from kubelet.containers.run_options import RunOptions
from kubelet.containers.starter import ContainerStarter
from kubelet.pods.pod_dirs import PodDirs
from kubelet.pods.status import PodFailure, evicted
from kubelet.pods.worker import Dependencies, PodWorker
from kubelet.probes import Checks
from kubelet.probes.checks import Outcome, Target
from kubelet.runtime import Engine
from kubelet.volumes import Volumes
from tests.support import eventually
from tests.unit.kubelet.pods.engine import MemoryRuntime
from tests.unit.kubelet.records import IMAGE, make_pod


class Events(PodEvents):
    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.messages: list[str] = []

    def _record(self, pod: core_v1.Pod, type: str, reason: str, message: str, container: str) -> None:
        self.reasons.append(reason)
        self.messages.append(message)


class Statuses:
    """The status manager without an apiserver."""

    def __init__(self) -> None:
        self.newest: core_v1.PodStatus | None = None

    def latest(self, pod: core_v1.Pod) -> core_v1.PodStatus:
        return self.newest or pod.status

    def set(self, pod: core_v1.Pod, status: core_v1.PodStatus) -> None:
        self.newest = status

    async def settled(self, uid: str) -> None:
        return

    def forget(self, uid: str) -> None:
        return


class Answers(Checks):
    """Every probe and hook of a container succeeds unless the test lets it fail."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.failing: set[str] = set()
        """IDs of containers."""
        self.gates: dict[str, asyncio.Event] = {}
        """By ID of a container, what its hook waits for."""

    async def probe(self, probe: core_v1.Probe, target: Target) -> Outcome:
        return Outcome(target.record.id not in self.failing, "refused")

    async def command(self, command: list[str], target: Target, timeout: float | None) -> Outcome:
        if gate := self.gates.get(target.record.id):
            await gate.wait()
        return Outcome(target.record.id not in self.failing, "refused")


@dataclass
class Node:
    """What a worker works with."""

    directory: Path
    runtime: MemoryRuntime = field(default_factory=MemoryRuntime)
    events: Events = field(default_factory=Events)
    statuses: Statuses = field(default_factory=Statuses)
    network: Any = field(default_factory=lambda: SimpleNamespace(fault=""))
    deleted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.checks = Answers(self.runtime.engine)

    async def delete(self, name: str, **_: object) -> None:
        assert not self.runtime.containers.all(), "the API object goes last"
        self.deleted.append(name)

    @asynccontextmanager
    async def working(self, pod: core_v1.Pod, failure: PodFailure | None = None) -> AsyncIterator[PodWorker]:
        address: Any = SimpleNamespace(ips=("192.168.0.1",))
        objects: Any = None
        services: Any = SimpleNamespace(list=lambda namespace: [], get=lambda key: None)
        node = NodeContext("n", "n", address, 1 << 32, -1000, Resolver(), "", self.directory)
        options = RunOptions(self.runtime, services, objects, self.events, node)
        images = ImageManager(self.runtime.images, objects, self.events)
        shared = Dependencies(
            runtime=self.runtime,
            starter=ContainerStarter(self.runtime, images, options, self.events),
            volumes=Volumes(objects, address, {}),
            network=self.network,
            statuses=self.statuses,  # type: ignore[arg-type]
            checks=self.checks,
            events=self.events,
            pods_api=self,  # type: ignore[arg-type]
            dirs=PodDirs(self.directory),
            node=node,
            sync_frequency=60.0,
        )
        async with asyncio.TaskGroup() as tasks:
            worker = PodWorker(meta.uid_of(pod), pod, shared, tasks)
            if failure is not None:
                worker.fail(failure)
            self.runtime.containers.on_change(lambda uid: worker.wake())
            task = tasks.create_task(worker.run())
            yield worker
            task.cancel()

    def container(self, name: str = "main") -> core_v1.ContainerStatus:
        assert self.statuses.newest is not None, "a status was reported"
        return next(s for s in self.statuses.newest.container_statuses or () if s.name == name)

    def reason(self, name: str = "main") -> str | None:
        waiting = self.container(name).state.waiting
        return waiting.reason if waiting else None


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def until(check: Callable[[], object]) -> None:
    await eventually(check)


async def test_sandbox_init_sidecar_and_containers_start_in_this_order(node: Node) -> None:
    pod = make_pod("a", "b")
    pod.spec.init_containers = [
        core_v1.Container(name="setup", image=IMAGE),
        core_v1.Container(name="helper", image=IMAGE, restart_policy="Always"),
    ]
    async with node.working(pod):
        await until(lambda: node.runtime.states().get("setup") == "running")
        assert node.runtime.calls == ["start POD", "start setup"]
        node.runtime.end("setup")
        await until(lambda: node.statuses.newest and node.statuses.newest.phase == "Running")
    assert node.runtime.calls[2] == "start helper"
    assert sorted(node.runtime.calls[3:]) == ["start a", "start b"]


async def test_a_missing_image_is_pulled_and_one_that_cannot_be_is_the_reason_to_wait(node: Node) -> None:
    pod = make_pod("a", "b")
    pod.spec.containers[0].image, pod.spec.containers[1].image = "new:1", "lost:1"
    node.runtime.unreachable.add("lost:1")
    async with node.working(pod):
        await until(lambda: node.statuses.newest and node.container("a").ready and node.reason("b") == "ErrImagePull")
    assert "start b" not in node.runtime.calls


async def test_without_a_network_nothing_starts(node: Node) -> None:
    node.network.fault = "no pod CIDR"
    async with node.working(make_pod()) as worker:
        await until(lambda: "NetworkNotReady" in node.events.reasons)
        assert node.runtime.calls == []
        node.network.fault = ""
        worker.wake()
        await until(lambda: node.runtime.states() == {"POD": "running", "main": "running"})


async def test_a_container_that_keeps_ending_waits_longer(node: Node) -> None:
    async with node.working(make_pod()):
        await until(lambda: node.runtime.states().get("main") == "running")
        node.runtime.end("main", 1)
        await until(lambda: len(node.runtime.of("main")) == 2)
        node.runtime.end("main", 1)
        await until(lambda: node.reason() == "CrashLoopBackOff")
        assert node.container().restart_count == 1
    assert node.events.reasons.count("BackOff") == 1


async def test_a_container_that_meets_a_dying_sandbox_is_no_restart(node: Node) -> None:
    node.runtime.dying = True
    async with node.working(make_pod()):
        await until(lambda: node.statuses.newest and node.statuses.newest.phase == "Running")
    assert [record.attempt for record in node.runtime.of("POD") if record.running] == [1]
    assert node.container().restart_count == 0
    assert node.container().last_state.terminated is None
    assert "Failed" not in node.events.reasons


@pytest.mark.parametrize(
    ("policy", "phase", "calls"),
    [
        ("Never", "Failed", ["start POD", "start main"]),
        ("Always", "Running", ["start POD", "start main", "start main"]),
    ],
)
async def test_a_container_that_the_engine_has_lost(node: Node, policy: str, phase: str, calls: list[str]) -> None:
    async with node.working(make_pod(restart_policy=policy)) as worker:
        await until(lambda: node.statuses.newest and node.statuses.newest.phase == "Running")
        node.runtime.containers.forget("main-0")
        worker.wake()
        await until(lambda: node.statuses.newest and node.statuses.newest.phase == phase)
        await until(lambda: [call for call in node.runtime.calls if call.startswith("start")] == calls)
    container = node.container()
    lost = container.state.terminated if policy == "Never" else container.last_state.terminated
    assert lost is not None
    assert (lost.exit_code, lost.reason) == (137, "ContainerStatusUnknown")
    assert container.restart_count == (0 if policy == "Never" else 1)


def with_volume(**spec: Any) -> core_v1.Pod:
    pod = make_pod(**spec)
    pod.spec.volumes = [core_v1.Volume(name="v", empty_dir=core_v1.EmptyDirVolumeSource())]
    pod.spec.containers[0].termination_message_path = "/dev/termination-log"
    return pod


async def test_a_pod_that_has_ended_for_good_gives_up_its_volumes_and_keeps_its_containers(node: Node) -> None:
    volume = node.directory / "pods/u/volumes/kubernetes.io~empty-dir/v"
    async with node.working(with_volume(restart_policy="Never")) as worker:
        await until(lambda: node.runtime.states().get("main") == "running")
        (volume / "big").write_bytes(b"x" * 10_000)
        assert not worker.gave_up_volumes.is_set()
        node.runtime.end("main")
        await until(lambda: not volume.exists())
        await until(worker.gave_up_volumes.is_set)
    assert node.runtime.states() == {"POD": "exited", "main": "exited"}
    assert node.statuses.newest is not None
    assert node.statuses.newest.phase == "Succeeded"


async def test_a_container_that_is_started_again_keeps_its_volumes(node: Node) -> None:
    volume = node.directory / "pods/u/volumes/kubernetes.io~empty-dir/v"
    async with node.working(with_volume()):
        await until(lambda: node.runtime.states().get("main") == "running")
        (volume / "data").write_bytes(b"x")
        node.runtime.end("main", 1)
        await until(lambda: len(node.runtime.of("main")) == 2)
        assert (volume / "data").exists()


async def test_an_evicted_pod_has_no_more_time_than_the_node(node: Node) -> None:
    """However long its own grace period is; then its volumes are gone, and not its object."""
    volume = node.directory / "pods/u/volumes/kubernetes.io~empty-dir/v"
    node.runtime.deaf.add("main")
    async with node.working(with_volume(termination_grace_period_seconds=3600)) as worker:
        await until(lambda: node.runtime.states().get("main") == "running")
        worker.fail(evicted("The node was low on resource: ephemeral-storage. "))
        await until(worker.gave_up_volumes.is_set)
        assert not volume.exists()
    assert [call for call in node.runtime.calls if call.endswith("main")][1:] == ["SIGTERM main", "SIGKILL main"]
    assert node.deleted == []
    assert node.statuses.newest is not None
    assert (node.statuses.newest.phase, node.statuses.newest.reason) == ("Failed", "Evicted")
    assert [message for message in node.events.messages if "ing container" in message] == ["Stopping container main"]


async def test_a_failed_liveness_probe_restarts_the_container(node: Node) -> None:
    pod = make_pod()
    probe = core_v1.Probe(period_seconds=1, failure_threshold=1, tcp_socket=core_v1.TCPSocketAction(port=80))
    pod.spec.containers[0].liveness_probe = probe
    node.checks.failing.add("main-0")
    async with node.working(pod):
        await until(lambda: node.runtime.states().get("main") == "running" and len(node.runtime.of("main")) == 2)
    assert {"Unhealthy", "Killing"} <= set(node.events.reasons)


def with_hook(pod: core_v1.Pod, container: int = 0) -> core_v1.Pod:
    handler = core_v1.LifecycleHandler(exec=core_v1.ExecAction(command=["x"]))
    pod.spec.containers[container].lifecycle = core_v1.Lifecycle(post_start=handler)
    return pod


async def test_the_next_container_waits_for_the_post_start_hook(node: Node) -> None:
    """And the pod is Pending until then, as a mesh's proxy needs it that has to be there first."""
    node.checks.gates["proxy-0"] = asyncio.Event()
    async with node.working(with_hook(make_pod("proxy", "app"))) as worker:
        await until(lambda: node.runtime.states().get("proxy") == "running")
        worker.wake()
        await until(lambda: node.statuses.newest and node.statuses.newest.container_statuses)
        assert "app" not in node.runtime.states()
        assert node.statuses.newest is not None
        assert (node.statuses.newest.phase, node.reason("proxy")) == ("Pending", "ContainerCreating")
        node.checks.gates["proxy-0"].set()
        await until(lambda: node.statuses.newest and node.statuses.newest.phase == "Running")
    assert node.runtime.calls == ["start POD", "start proxy", "start app"]


async def test_a_container_whose_image_is_pulled_holds_the_next_and_one_that_cannot_be_does_not(node: Node) -> None:
    pod = with_hook(make_pod("proxy", "app"))
    pod.spec.containers[0].image = "lost:1"
    node.runtime.arriving.add("lost:1")
    async with node.working(pod) as worker:
        await until(lambda: node.runtime.states() == {"POD": "running"} and node.events.reasons[-1:] == ["Pulling"])
        node.runtime.arriving.clear()
        node.runtime.unreachable.add("lost:1")
        worker.wake()
        await until(lambda: node.runtime.states().get("app") == "running")
        assert node.reason("proxy") == "ErrImagePull"


async def test_a_failed_post_start_hook_stops_the_container(node: Node) -> None:
    pod = make_pod(restart_policy="Never")
    handler = core_v1.LifecycleHandler(exec=core_v1.ExecAction(command=["x"]))
    pod.spec.containers[0].lifecycle = core_v1.Lifecycle(post_start=handler)
    node.checks.failing.add("main-0")
    async with node.working(pod):
        await until(lambda: node.statuses.newest and node.statuses.newest.phase == "Failed")
    assert "FailedPostStartHook" in node.events.reasons


async def test_a_lost_sandbox_takes_its_containers_with_it_and_comes_again(node: Node) -> None:
    async with node.working(make_pod()):
        await until(lambda: node.runtime.states().get("main") == "running")
        node.runtime.end("POD", 137)
        await until(lambda: [r.sandbox_id for r in node.runtime.of("main") if r.running] == ["POD-1"])
        await until(lambda: len(node.runtime.of("POD")) == 1)
    assert node.runtime.calls.index("SIGTERM main") < node.runtime.calls.index("start POD", 1)
    assert "SandboxChanged" in node.events.reasons


async def test_an_evicted_pod_is_stopped_and_stays_as_failed(node: Node) -> None:
    async with node.working(make_pod()) as worker:
        await until(lambda: node.runtime.states().get("main") == "running")
        worker.fail(PodFailure("Evicted", "too much", is_disruption=True))
        await until(lambda: node.runtime.states() == {"POD": "exited", "main": "exited"})
        assert not worker.is_active
        assert not worker.finished
    assert node.statuses.newest is not None
    assert (node.statuses.newest.phase, node.statuses.newest.reason) == ("Failed", "Evicted")


async def test_a_rejected_pod_fails_without_a_sandbox(node: Node) -> None:
    async with node.working(make_pod(), PodFailure("OutOfcpu", "too little")):
        await until(lambda: node.statuses.newest and node.statuses.newest.phase == "Failed")
    assert node.runtime.calls == []


async def test_a_deleted_pod_goes_with_everything_its_object_last(node: Node) -> None:
    pod = make_pod()
    pod.spec.volumes = [core_v1.Volume(name="v", empty_dir=core_v1.EmptyDirVolumeSource())]
    async with node.working(pod) as worker:
        await until(lambda: node.runtime.states().get("main") == "running")
        assert list(node.directory.glob("pods/*/volumes/*/v"))
        deleted = codec.copy(pod)
        deleted.metadata.deletion_timestamp, deleted.metadata.deletion_grace_period_seconds = meta.now(), 5
        worker.update(deleted)
        await until(lambda: worker.finished)
    assert node.deleted == ["p"]
    assert not list(node.directory.glob("pods/*"))
    assert node.runtime.calls.index("SIGTERM main") < node.runtime.calls.index("remove POD")


async def test_what_is_left_of_a_pod_that_the_api_has_no_more_is_removed(node: Node) -> None:
    async with node.working(make_pod()) as worker:
        await until(lambda: node.runtime.states().get("main") == "running")
        worker.gone()
        await until(lambda: worker.finished)
    assert node.runtime.containers.all() == []
    assert node.deleted == []
