"""May a pod run on this node? The final check of what the scheduler decided, and the only one of pods that users bind. Pure.

A pod that is rejected ends as Failed with the reason; its controller makes another elsewhere.
"""

from collections.abc import Collection, Mapping, Sequence

from apimachinery.core import node_selection, pod_resources, pods, qos, tolerations, well_known
from apimachinery.types import core_v1
from apimachinery.types.base import Quantity
from kubelet.pods.status import PodFailure

_PREFIX = "Pod was rejected: "

_MEMORY_PRESSURE = core_v1.Taint(key=well_known.MEMORY_PRESSURE_TAINT, effect=tolerations.NO_SCHEDULE)


def rejection(
    pod: core_v1.Pod, others: Sequence[core_v1.Pod], node: core_v1.Node | None, allocatable: Mapping[str, Quantity]
) -> PodFailure | None:
    """Why ``pod`` may not run beside ``others``, or None.

    Extended resources that the node does not have at all do not count: something else than the node provides them, as
    ``removeMissingExtendedResources`` of Kubernetes' kubelet has it.
    """
    if pod.spec.os is not None and pod.spec.os.name != "linux":
        message = "Failed to admit pod as the OS field doesn't match node OS"
        return PodFailure("PodOSNotSupported", f"{_PREFIX}{message}")
    extended = pod_resources.extended(node.status.allocatable) if node is not None else {}
    capacity = pod_resources.amounts({**allocatable, **extended})
    if len(others) + 1 > capacity.get("pods", 0):
        return _out_of("pods", 1, len(others), capacity.get("pods", 0))
    used: dict[str, int] = {}
    for other in others:
        for name, amount in pod_resources.requests(other).items():
            used[name] = used.get(name, 0) + amount
    for name, amount in sorted(pod_resources.requests(pod).items()):
        if pod_resources.is_extended(name) and name not in capacity:
            continue
        if amount and used.get(name, 0) + amount > capacity.get(name, 0):
            return _out_of(name, amount, used.get(name, 0), capacity.get(name, 0))
    if node is not None and not node_selection.pod_matches(pod, node):
        return _predicate_failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    held = [port for other in others for port in pods.host_ports(other)]
    if any(port.conflicts(other) for port in pods.host_ports(pod) for other in held):
        return _predicate_failed("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    return None


def rejection_under_pressure(pod: core_v1.Pod, pressures: Collection[str]) -> PodFailure | None:
    """Why a node with these pressure conditions does not accept the pod, or None.

    Critical pods are accepted. Under MemoryPressure alone so are pods that are not BestEffort, and those that tolerate
    its taint, as by ``Admit`` of Kubernetes' eviction manager.
    """
    if not pressures or pods.is_critical(pod):
        return None
    if set(pressures) == {"MemoryPressure"} and (
        qos.qos_class(pod.spec) != "BestEffort" or tolerations.is_tolerated(_MEMORY_PRESSURE, pod.spec.tolerations)
    ):
        return None
    return PodFailure("Evicted", f"{_PREFIX}The node had condition: [{' '.join(sorted(pressures))}]. ")


def _out_of(resource: str, requested: int, used: int, capacity: int) -> PodFailure:
    amounts = f"{resource}, requested: {requested}, used: {used}, capacity: {capacity}"
    return PodFailure(f"OutOf{resource}", f"{_PREFIX}Node didn't have enough resource: {amounts}")


def _predicate_failed(predicate: str, message: str) -> PodFailure:
    return PodFailure(predicate, f"{_PREFIX}Predicate {predicate} failed: {message}")
