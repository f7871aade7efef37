"""How a pod looks in a table: kubectl's READY, STATUS and RESTARTS columns, by the rules of Kubernetes' ``printPod``."""

from collections.abc import Sequence
from typing import Final

from apimachinery.core import containers
from apimachinery.core.conditions import find, is_true
from apimachinery.core.pods import is_ready, is_terminal
from apimachinery.types.core_v1 import ContainerStatus, Pod
from apiserver.registry import columns
from apiserver.registry.columns import Column, wide


def ready(pod: Pod) -> str:
    """Of the containers that run side by side, sidecars too, how many are ready."""
    seen, _ = _initialization(pod)
    count = sum(container.ready for container in _started_sidecars(pod, seen))
    if not _is_initializing(pod):
        count += sum(container.ready and container.state.running is not None for container in _own(pod))
    return f"{count}/{len(containers.long_running(pod))}"


def status(pod: Pod) -> str:
    """The phase, or something more specific: why containers wait or ended, that the pod is terminating."""
    if pod.metadata.deletion_timestamp and pod.status.reason == "NodeLost":
        return "Unknown"
    if pod.metadata.deletion_timestamp and not is_terminal(pod):
        return "Terminating"
    scheduled = find(pod.status.conditions, "PodScheduled")
    gated = scheduled is not None and scheduled.reason == "SchedulingGated"
    _, word = _initialization(pod)
    word = word or ("SchedulingGated" if gated else pod.status.reason or pod.status.phase or "Unknown")
    return word if _is_initializing(pod) else _word_of_containers(pod, word)


def _word_of_containers(pod: Pod, word: str) -> str:
    """That of the first container that waits or has ended; ``word`` if all run."""
    error = ""
    for container in reversed(_own(pod)):
        word = _container_word(container) or word
        if container.state.terminated is not None and container.state.terminated.exit_code:
            error = word
    runs = any(container.ready and container.state.running for container in _own(pod))
    if word != "Completed":
        return word
    if runs and is_ready(pod):  # a finished container beside a running one
        return "Running"
    return error or ("NotReady" if runs else word)


def _container_word(container: ContainerStatus) -> str | None:
    waiting, ended = container.state.waiting, container.state.terminated
    if waiting is not None and waiting.reason:
        return waiting.reason
    if ended is None:
        return None
    if ended.reason:
        return ended.reason
    return f"Signal:{ended.signal}" if ended.signal else f"ExitCode:{ended.exit_code}"


def _own(pod: Pod) -> Sequence[ContainerStatus]:
    return pod.status.container_statuses or ()


def _initialization(pod: Pod) -> tuple[list[ContainerStatus], str | None]:
    """The init containers up to the one at which initialization stands, and a word for where that is; None if it is over."""
    sidecars, seen = _sidecars(pod), []
    for i, container in enumerate(pod.status.init_container_statuses or ()):
        seen.append(container)
        ended, waiting = container.state.terminated, container.state.waiting
        if (ended is not None and ended.exit_code == 0) or (container.name in sidecars and container.started):
            continue
        if ended is not None or (waiting is not None and waiting.reason not in (None, "", "PodInitializing")):
            return seen, f"Init:{_container_word(container)}"
        return seen, f"Init:{i}/{len(containers.init_containers(pod))}"
    return seen, None


def _is_initializing(pod: Pod) -> bool:
    """A pod that was initialized once stays so, even if a sidecar starts again."""
    return _initialization(pod)[1] is not None and not is_true(pod.status.conditions, "Initialized")


def _sidecars(pod: Pod) -> set[str]:
    return {container.name for container in containers.sidecars(pod)}


def _started_sidecars(pod: Pod, seen: Sequence[ContainerStatus]) -> list[ContainerStatus]:
    sidecars = _sidecars(pod)
    return [container for container in seen if container.name in sidecars and container.started]


def restarts(pod: Pod) -> str:
    """Of all init containers so far while the pod initializes; then of its sidecars and its own containers."""
    seen, _ = _initialization(pod)
    sidecars = _sidecars(pod)
    counted = seen if _is_initializing(pod) else [*(c for c in seen if c.name in sidecars), *_own(pod)]
    count = sum(container.restart_count for container in counted)
    ends = [
        container.last_state.terminated.finished_at
        for container in counted
        if container.last_state.terminated and container.last_state.terminated.finished_at
    ]
    return f"{count} ({columns.since(max(ends))} ago)" if count and ends else str(count)


def _gates(pod: Pod) -> str:
    gates = [gate.condition_type for gate in pod.spec.readiness_gates or ()]
    if not gates:
        return "<none>"
    true = {condition.type for condition in pod.status.conditions or () if condition.status == "True"}
    return f"{sum(gate in true for gate in gates)}/{len(gates)}"


COLUMNS: Final[tuple[Column[Pod], ...]] = (
    columns.name(),
    Column("Ready", ready),
    Column("Status", status),
    Column("Restarts", restarts),
    columns.age(),
    wide("IP", lambda pod: pod.status.pod_ip or "<none>"),
    wide("Node", lambda pod: pod.spec.node_name or "<none>"),
    wide("Nominated Node", lambda pod: pod.status.nominated_node_name or "<none>"),
    wide("Readiness Gates", _gates),
)
