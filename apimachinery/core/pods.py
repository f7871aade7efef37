"""What a pod's spec and status mean."""

from datetime import datetime
from typing import Final, NamedTuple

from apimachinery import meta
from apimachinery.core import conditions, containers, well_known
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Pod, PodCondition

TERMINAL_PHASES: Final = ("Succeeded", "Failed")

SYSTEM_CRITICAL_PRIORITY: Final = 2_000_000_000
"""Pods of this priority and above are critical: system-cluster-critical has it, system-node-critical 1,000 more."""


class HostPort(NamedTuple):
    """A port of the node that a container takes. An empty ``ip`` means every address."""

    ip: str
    protocol: str
    port: int

    def conflicts(self, other: "HostPort") -> bool:
        same = self.port == other.port and self.protocol == other.protocol
        return same and (not self.ip or not other.ip or self.ip == other.ip)


def is_terminal(pod: Pod) -> bool:
    """All its containers have stopped and will not be restarted."""
    return pod.status.phase in TERMINAL_PHASES


def is_active(pod: Pod) -> bool:
    """It counts as one of its controller's replicas: neither terminal nor being deleted."""
    return not is_terminal(pod) and not meta.is_being_deleted(pod)


def is_ready(pod: Pod) -> bool:
    return conditions.is_true(pod.status.conditions, "Ready")


def condition(pod: Pod, type: str) -> PodCondition | None:
    return conditions.find(pod.status.conditions, type)


def ready_since(pod: Pod) -> datetime | None:
    """When it became ready; None while it is not."""
    ready = condition(pod, "Ready")
    if ready is None or ready.status != "True" or not ready.last_transition_time:
        return None
    return meta.parse_time(ready.last_transition_time)


def seconds_until_available(pod: Pod, min_ready_seconds: int, now: datetime) -> float | None:
    """0 if it has been ready for ``min_ready_seconds``, None while it is not ready."""
    if not is_ready(pod):
        return None
    if min_ready_seconds <= 0:
        return 0.0
    since = ready_since(pod)
    return float(min_ready_seconds) if since is None else max(0.0, min_ready_seconds - (now - since).total_seconds())


def is_mirror(pod: Pod) -> bool:
    """It represents a static pod in the API; only the node's kubelet starts and stops that pod."""
    return well_known.MIRROR_ANNOTATION in meta.annotations_of(pod)


def is_critical(pod: Pod) -> bool:
    """It is not evicted when resources run short: a static pod, its mirror, or a pod of a system priority."""
    if is_mirror(pod) or meta.annotations_of(pod).get(well_known.CONFIG_SOURCE_ANNOTATION, "api") != "api":
        return True
    return (pod.spec.priority or 0) >= SYSTEM_CRITICAL_PRIORITY


def host_ports(pod: Pod) -> list[HostPort]:
    """The host ports of its containers and sidecars."""
    return [
        HostPort(
            ip="" if port.host_ip in (None, "", "0.0.0.0", "::") else str(port.host_ip),
            protocol=port.protocol or "TCP",
            port=port.host_port,
        )
        for container in containers.long_running(pod)
        for port in container.ports or ()
        if port.host_port
    ]


def ephemeral_claim_name(pod: Pod, volume: str) -> str:
    """The claim that is made for an ephemeral volume of the pod."""
    return f"{meta.name_of(pod)}-{volume}"


def claims_of(pod: Pod) -> list[Key]:
    """The persistent volume claims that the pod mounts, including those of its ephemeral volumes."""
    namespace = meta.namespace_of(pod)
    claims = []
    for volume in pod.spec.volumes or ():
        if volume.persistent_volume_claim is not None:
            claims.append(Key(namespace, volume.persistent_volume_claim.claim_name))
        elif volume.ephemeral is not None:
            claims.append(Key(namespace, ephemeral_claim_name(pod, volume.name)))
    return claims
