"""The Node object of this machine: what it is, what it has, how it fares. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from apimachinery import codec, quantity
from apimachinery.types import core_v1, meta_v1
from apimachinery.types.base import Quantity
from component_base.version import GIT_VERSION
from kubelet.node.machine import Machine
from kubelet.runtime.images import ImageRecord

MOST_IMAGES, MOST_NAMES = 50, 5
"""How many images a status tells of, and names of each, as in Kubernetes."""

OWN_CONDITIONS = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")

_CALM = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)


_PRESSED = {
    "MemoryPressure": ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    "DiskPressure": ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    "PIDPressure": ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
}


@dataclass(frozen=True)
class Identity:
    """What does not change while the kubelet runs."""

    name: str
    hostname: str
    port: int
    max_pods: int
    machine: Machine
    labels: Mapping[str, str] = field(default_factory=dict)
    reserved: Sequence[Mapping[str, Quantity]] = ()
    """What pods do not get of each resource, for several reasons."""


def new_node(identity: Identity) -> core_v1.Node:
    """The object to register."""
    own = {
        "kubernetes.io/hostname": identity.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": identity.machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": identity.machine.architecture,
    }
    return core_v1.Node(metadata=meta_v1.ObjectMeta(name=identity.name, labels={**own, **identity.labels}))


def capacity(identity: Identity) -> dict[str, Quantity]:
    machine = identity.machine
    return {
        "cpu": str(machine.cpus),
        "memory": f"{machine.memory // 1024}Ki",
        "ephemeral-storage": f"{machine.disk // 1024}Ki",
        "pods": str(identity.max_pods),
    }


def allocatable(identity: Identity) -> dict[str, Quantity]:
    """What pods may ask for."""
    left = capacity(identity)
    for name, whole in left.items():
        kept = sum((quantity.parse(one.get(name, 0)) for one in identity.reserved), Decimal(0))
        if kept:
            rest = max(Decimal(0), quantity.parse(whole) - kept)
            left[name] = f"{int(rest * 1000)}m" if name == "cpu" else f"{int(rest) // 1024}Ki"
    return left


def node_status(
    identity: Identity,
    address: str,
    before: core_v1.NodeStatus,
    faults: Sequence[str],
    engine_version: str,
    now: str,
    pressures: Collection[str] = (),
    images: Sequence[ImageRecord] = (),
) -> core_v1.NodeStatus:
    """The status now, at ``address``. ``faults`` keep the node from being Ready; conditions of others are left out."""
    machine = identity.machine
    has = capacity(identity)
    return core_v1.NodeStatus(
        addresses=[
            core_v1.NodeAddress(type="InternalIP", address=address),
            core_v1.NodeAddress(type="Hostname", address=identity.hostname),
        ],
        capacity=has,
        allocatable=allocatable(identity),
        conditions=_conditions(before, faults, pressures, now),
        images=container_images(images) or None,
        daemon_endpoints=core_v1.NodeDaemonEndpoints(kubelet_endpoint=core_v1.DaemonEndpoint(port=identity.port)),
        node_info=core_v1.NodeSystemInfo(
            architecture=machine.architecture,
            boot_id=machine.boot_id,
            container_runtime_version=f"docker://{engine_version}",
            kernel_version=machine.kernel,
            kube_proxy_version=GIT_VERSION,
            kubelet_version=GIT_VERSION,
            machine_id=machine.machine_id,
            operating_system="linux",
            os_image=machine.os_image,
            system_uuid=machine.system_uuid,
        ),
    )


def container_images(images: Sequence[ImageRecord]) -> list[core_v1.ContainerImage]:
    """The largest, by all names that fit; what has no name is nobody's to ask for."""
    named = sorted((one for one in images if one.names), key=lambda one: (-one.size, one.names))
    return [
        core_v1.ContainerImage(names=_digests_first(one.names)[:MOST_NAMES], size_bytes=one.size)
        for one in named[:MOST_IMAGES]
    ]


def _digests_first(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: ("@" not in name, name))


def is_same(old: core_v1.NodeStatus, new: core_v1.NodeStatus) -> bool:
    """Whether nothing differs but the time of the heartbeat, in what is ours."""
    return bool(_essence(old) == _essence(new))


def is_ready(status: core_v1.NodeStatus) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in status.conditions or ())


def _essence(status: core_v1.NodeStatus) -> Any:
    conditions = [
        msgspec.structs.replace(one, last_heartbeat_time=None, last_transition_time=None)
        for one in status.conditions or ()
        if one.type in OWN_CONDITIONS
    ]
    ours = core_v1.NodeStatus(
        addresses=status.addresses,
        capacity=status.capacity,
        allocatable=status.allocatable,
        conditions=sorted(conditions, key=lambda one: one.type),
        images=status.images,
        daemon_endpoints=status.daemon_endpoints,
        node_info=status.node_info,
    )
    return codec.to_builtins(ours)


def _conditions(
    before: core_v1.NodeStatus, faults: Sequence[str], pressures: Collection[str], now: str
) -> list[core_v1.NodeCondition]:
    fresh = [core_v1.NodeCondition(type=t, status="False", reason=r, message=m) for t, r, m in _CALM]
    for condition in fresh:
        if condition.type in pressures:
            condition.status = "True"
            condition.reason, condition.message = _PRESSED[condition.type]
    ready = core_v1.NodeCondition(
        type="Ready", status="True", reason="KubeletReady", message="kubelet is posting ready status"
    )
    if faults:
        ready.status, ready.reason, ready.message = "False", "KubeletNotReady", f"[{', '.join(faults)}]"
    known = {one.type: one for one in before.conditions or ()}
    for condition in (*fresh, ready):
        old = known.get(condition.type)
        same = old is not None and old.status == condition.status
        condition.last_heartbeat_time = now
        condition.last_transition_time = old.last_transition_time if old and same else now
    return [*fresh, ready]
