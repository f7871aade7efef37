"""``/metrics/probes``: results of probes, by Kubernetes' names. A pod's lines go with the pod."""

from typing import Final

from prometheus_client import CollectorRegistry

from component_base.metrics import SECONDS, Counter, Histogram

REGISTRY: Final = CollectorRegistry()
"""Apart from the daemon's own metrics, which a pod must not make grow."""

_WHERE: Final = ("probe_type", "container", "pod", "namespace")

RESULTS: Final = Counter(
    "prober_probe",
    "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.",
    (*_WHERE, "pod_uid", "result"),
    REGISTRY,
)
DURATION: Final = Histogram(
    "prober_probe_duration_seconds",
    "[ALPHA] Duration in seconds for a probe response.",
    _WHERE,
    SECONDS,
    REGISTRY,
)
