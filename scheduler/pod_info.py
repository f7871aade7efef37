"""What scheduling needs to know of a pod, worked out once: requests, ports, tolerations.

Pure. Amounts are whole numbers: CPU in thousandths, all else in its own unit (bytes, pieces).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from apimachinery import meta, quantity
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Container, Pod, Toleration

CPU: Final = "cpu"
MEMORY: Final = "memory"
EPHEMERAL_STORAGE: Final = "ephemeral-storage"
PODS: Final = "pods"

DEFAULT_CPU: Final = 100
DEFAULT_MEMORY: Final = 200 * 1024 * 1024
"""What a container without requests counts for when nodes are scored, as in Kubernetes; filters count nothing."""


class HostPort(NamedTuple):
    """A port of the node that a container wants. An empty ``ip`` means every address."""

    ip: str
    protocol: str
    port: int

    def conflicts(self, other: "HostPort") -> bool:
        same = self.port == other.port and self.protocol == other.protocol
        return same and (not self.ip or not other.ip or self.ip == other.ip)


class Tolerated(NamedTuple):
    """One toleration as a value that can be a key."""

    key: str
    operator: str
    value: str
    effect: str

    def covers(self, key: str, value: str, effect: str) -> bool:
        """Whether a taint is tolerated. No key with Exists means every taint, no effect every effect."""
        if self.effect and self.effect != effect:
            return False
        if self.key and self.key != key:
            return False
        return self.operator == "Exists" or (bool(self.key) and self.value == value)


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
    tolerations: tuple[Tolerated, ...]

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
    spec = pod.spec
    requests = _requests(pod)
    scored_cpu, scored_memory = _scored(pod, requests)
    return PodInfo(
        pod=pod,
        key=meta.key_of(pod),
        uid=meta.uid_of(pod),
        priority=spec.priority or 0,
        requests=requests,
        scored_cpu=scored_cpu,
        scored_memory=scored_memory,
        host_ports=_host_ports(pod),
        tolerations=tuple(_tolerated(one) for one in spec.tolerations or ()),
    )


def amount(resource: str, value: str | int | float) -> int:
    """A quantity as the table holds it. Raises ValueError if it is none."""
    return quantity.milli(value) if resource == CPU else quantity.value(value)


def amounts(quantities: Mapping[str, str | int | float] | None) -> dict[str, int]:
    return {name: amount(name, value) for name, value in (quantities or {}).items()}


def _requests(pod: Pod) -> dict[str, int]:
    """The sum over containers, or what start-up needs if that is more, plus the pod's overhead.

    An init container that restarts always (a sidecar) goes on running beside what starts after it.
    """
    running: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in pod.spec.init_containers or ():
        wanted = amounts(container.resources.requests)
        if container.restart_policy == "Always":
            _add(running, wanted)
            _raise(peak, running)
        else:
            _raise(peak, {name: value + running.get(name, 0) for name, value in wanted.items()})
    for container in pod.spec.containers:
        if container.resources.requests:
            _add(running, amounts(container.resources.requests))
    _raise(running, peak)
    if pod.spec.overhead:
        _add(running, amounts(pod.spec.overhead))
    running[PODS] = 1
    return running


def _scored(pod: Pod, requests: Mapping[str, int]) -> tuple[int, int]:
    """CPU and memory for scoring: a container that asks for nothing counts for a little."""
    cpu, memory = requests.get(CPU, 0), requests.get(MEMORY, 0)
    for container in pod.spec.containers:
        wanted = container.resources.requests or {}
        cpu += 0 if CPU in wanted else DEFAULT_CPU
        memory += 0 if MEMORY in wanted else DEFAULT_MEMORY
    return cpu, memory


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _raise(total: dict[str, int], floor: Mapping[str, int]) -> None:
    for name, value in floor.items():
        total[name] = max(total.get(name, 0), value)


def _host_ports(pod: Pod) -> tuple[HostPort, ...]:
    containers: list[Container] = pod.spec.containers
    return tuple(
        HostPort(_any_address(port.host_ip), port.protocol or "TCP", port.host_port)
        for container in containers
        for port in container.ports or ()
        if port.host_port
    )


def _any_address(ip: str | None) -> str:
    return "" if ip in (None, "", "0.0.0.0", "::") else str(ip)


def _tolerated(toleration: Toleration) -> Tolerated:
    return Tolerated(
        toleration.key or "", toleration.operator or "Equal", toleration.value or "", toleration.effect or ""
    )
