"""What scheduling needs to know of a pod, computed once: requests, ports, tolerations.

Pure. Amounts are whole numbers: CPU in thousandths, everything else in its own unit (bytes, pieces).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from apimachinery import meta
from apimachinery.core import pod_resources
from apimachinery.core.pod_resources import CPU, MEMORY, PODS
from apimachinery.core.pods import HostPort, host_ports
from apimachinery.core.tolerations import is_tolerated
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Pod, Taint, Toleration

DEFAULT_CPU: Final = 100
DEFAULT_MEMORY: Final = 200 * 1024 * 1024
"""What a container without requests counts for when nodes are scored, as in Kubernetes; filters count nothing."""


@dataclass(frozen=True, slots=True)
class Tolerations:
    """A pod's tolerations as a value that can be a key: equal if they tolerate the same taints."""

    identity: frozenset[tuple[str, str, str, str]]
    members: tuple[Toleration, ...] = field(compare=False)

    @classmethod
    def of(cls, tolerations: Iterable[Toleration] | None) -> "Tolerations":
        if not tolerations:
            return _NO_TOLERATIONS
        members = tuple(tolerations)
        identity = frozenset(
            (member.key or "", member.operator or "Equal", member.value or "", member.effect or "")
            for member in members
        )
        return cls(identity, members)

    def tolerate(self, taint: Taint) -> bool:
        return is_tolerated(taint, self.members)


_NO_TOLERATIONS: Final = Tolerations(frozenset(), ())


@dataclass(slots=True, eq=False)
class PodInfo:
    """One pod; ``pod`` is shared with the informer and read only."""

    pod: Pod
    key: Key
    uid: str
    priority: int
    requests: dict[str, int]
    scored_cpu: int
    scored_memory: int
    host_ports: tuple[HostPort, ...]
    tolerations: Tolerations

    def weighs_as(self, other: "PodInfo") -> bool:
        """Whether a node's row is the same with either pod."""
        return (
            self.requests == other.requests
            and self.scored_cpu == other.scored_cpu
            and self.scored_memory == other.scored_memory
            and self.host_ports == other.host_ports
            and self.pod.metadata.labels == other.pod.metadata.labels
            and self.pod.metadata.deletion_timestamp == other.pod.metadata.deletion_timestamp
        )


def pod_info(pod: Pod) -> PodInfo:
    """Raises ValueError if an amount that the pod requests is not a quantity."""
    requests = pod_resources.requests(pod)
    scored_cpu, scored_memory = _scored(pod, requests)
    requests[PODS] = 1
    return PodInfo(
        pod=pod,
        key=meta.key_of(pod),
        uid=meta.uid_of(pod),
        priority=pod.spec.priority or 0,
        requests=requests,
        scored_cpu=scored_cpu,
        scored_memory=scored_memory,
        host_ports=tuple(host_ports(pod)),
        tolerations=Tolerations.of(pod.spec.tolerations),
    )


def _scored(pod: Pod, requests: Mapping[str, int]) -> tuple[int, int]:
    """CPU and memory for scoring: a container that requests nothing counts for a little."""
    cpu, memory = requests.get(CPU, 0), requests.get(MEMORY, 0)
    for container in pod.spec.containers:
        requested, limits = container.resources.requests or {}, container.resources.limits or {}
        cpu += 0 if CPU in requested or CPU in limits else DEFAULT_CPU
        memory += 0 if MEMORY in requested or MEMORY in limits else DEFAULT_MEMORY
    return cpu, memory
