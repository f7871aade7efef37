"""The kubelet's own metrics, by Kubernetes' names."""

from component_base.metrics import SECONDS, Gauge, Histogram
from kubelet.runtime.containers import Containers

POD_WORKER_DURATION = Histogram(
    "kubelet_pod_worker_duration_seconds", "Seconds that one step of one pod took.", ["operation_type"], SECONDS
)


def register(node_name: str, containers: Containers) -> None:
    """Make the gauges that read the kubelet's state."""
    Gauge("kubelet_node_name", "The node's name, as a label.", ["node"]).set(1, node_name)
    Gauge("kubelet_running_pods", "Pods with a running sandbox.", read=lambda: containers.count(sandboxes=True))
    Gauge("kubelet_running_containers", "Running containers.", read=lambda: containers.count(sandboxes=False))
