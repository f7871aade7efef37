"""How a pod looks in a table: the words of kubectl's STATUS and READY columns."""

from typing import Final

from apimachinery.core.pods import is_ready
from apimachinery.types.core_v1 import ContainerStatus, Pod
from apiserver.registry import columns
from apiserver.registry.columns import Column, wide


def ready(pod: Pod) -> str:
    statuses = pod.status.container_statuses or ()
    return f"{sum(status.ready for status in statuses)}/{len(pod.spec.containers)}"


def status(pod: Pod) -> str:
    """The phase, or something more specific: why containers wait or ended, that the pod is terminating."""
    word = pod.status.reason or pod.status.phase or "Unknown"
    initializing = _initializing(pod)
    if initializing:
        word = initializing
    else:
        running = False
        for container in reversed(pod.status.container_statuses or ()):
            word = _container_word(container) or word
            running = running or (container.ready and container.state.running is not None)
        if word == "Completed" and running:  # a finished container beside a running one
            word = "Running" if is_ready(pod) else "NotReady"
    if pod.metadata.deletion_timestamp:
        return "Unknown" if pod.status.reason == "NodeLost" else "Terminating"
    return word


def _container_word(container: ContainerStatus) -> str | None:
    waiting, ended = container.state.waiting, container.state.terminated
    if waiting is not None and waiting.reason:
        return waiting.reason
    if ended is None:
        return None
    if ended.reason:
        return ended.reason
    return f"Signal:{ended.signal}" if ended.signal else f"ExitCode:{ended.exit_code}"


def _initializing(pod: Pod) -> str | None:
    statuses = pod.status.init_container_statuses or ()
    for i, container in enumerate(statuses):
        ended, waiting = container.state.terminated, container.state.waiting
        if (ended is not None and ended.exit_code == 0) or container.started:
            continue
        if ended is not None:
            return f"Init:{_container_word(container)}"
        if waiting is not None and waiting.reason and waiting.reason != "PodInitializing":
            return f"Init:{waiting.reason}"
        return f"Init:{i}/{len(pod.spec.init_containers or ())}"
    return None


def restarts(pod: Pod) -> str:
    statuses = pod.status.container_statuses or ()
    count = sum(container.restart_count for container in statuses)
    ends = [
        container.last_state.terminated.finished_at
        for container in statuses
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
