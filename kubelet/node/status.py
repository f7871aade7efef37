"""The Node object of this machine: what it is, what it has, and its conditions. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from apimachinery import codec
from apimachinery.core import conditions, pod_resources, well_known
from apimachinery.types import core_v1, meta_v1
from apimachinery.types.base import Quantity
from component_base.version import GIT_VERSION
from kubelet.node.machine import Machine
from kubelet.runtime.images import ImageRecord

MAX_IMAGES, MAX_NAMES = 50, 5
"""How many images a status lists, and names of each, as in Kubernetes."""

OWN_CONDITIONS = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")

_UNPRESSED = (
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
    reserved: Sequence[Mapping[str, int]] = ()
    """What pods do not get of each resource, for several reasons; CPU in thousandths."""


def new_node(identity: Identity) -> core_v1.Node:
    """The object to register."""
    own = {
        well_known.HOSTNAME_LABEL: identity.name,
        well_known.OS_LABEL: "linux",
        well_known.ARCH_LABEL: identity.machine.architecture,
        well_known.BETA_OS_LABEL: "linux",
        well_known.BETA_ARCH_LABEL: identity.machine.architecture,
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
    """What pods may request in all."""
    result = capacity(identity)
    for name, whole in result.items():
        if reserved := sum(amounts.get(name, 0) for amounts in identity.reserved):
            rest = max(0, pod_resources.amount(name, whole) - reserved)
            result[name] = f"{rest}m" if name == pod_resources.CPU else f"{rest // 1024}Ki"
    return result


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
    others = pod_resources.extended(before.capacity)  # others than the kubelet know how much there is
    return core_v1.NodeStatus(
        addresses=[
            core_v1.NodeAddress(type="InternalIP", address=address),
            core_v1.NodeAddress(type="Hostname", address=identity.hostname),
        ],
        capacity=capacity(identity) | others,
        allocatable=allocatable(identity) | others,
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


def status_patch(before: core_v1.NodeStatus, status: core_v1.NodeStatus) -> dict[str, Any]:
    """The strategic merge patch that brings the status about; resources that are gone have to be named in it."""
    patch: dict[str, Any] = codec.to_builtins(status)
    for amounts, old in ((patch["capacity"], before.capacity), (patch["allocatable"], before.allocatable)):
        amounts |= dict.fromkeys((old or {}).keys() - amounts.keys())
    return patch


def container_images(images: Sequence[ImageRecord]) -> list[core_v1.ContainerImage]:
    """The largest images, with as many names as fit; those without a name are left out."""
    named = sorted((image for image in images if image.names), key=lambda image: (-image.size, image.names))
    return [
        core_v1.ContainerImage(names=_digests_first(image.names)[:MAX_NAMES], size_bytes=image.size)
        for image in named[:MAX_IMAGES]
    ]


def _digests_first(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: ("@" not in name, name))


def is_same(old: core_v1.NodeStatus, new: core_v1.NodeStatus) -> bool:
    """Whether nothing of ours differs but the times of conditions."""
    return bool(_without_times(old) == _without_times(new))


def is_ready(status: core_v1.NodeStatus) -> bool:
    return conditions.is_true(status.conditions, "Ready")


def _without_times(status: core_v1.NodeStatus) -> Any:
    own_conditions = [
        msgspec.structs.replace(condition, last_heartbeat_time=None, last_transition_time=None)
        for condition in status.conditions or ()
        if condition.type in OWN_CONDITIONS
    ]
    ours = core_v1.NodeStatus(
        addresses=status.addresses,
        capacity=status.capacity,
        allocatable=status.allocatable,
        conditions=sorted(own_conditions, key=lambda condition: condition.type),
        images=status.images,
        daemon_endpoints=status.daemon_endpoints,
        node_info=status.node_info,
    )
    return codec.to_builtins(ours)


def _conditions(
    before: core_v1.NodeStatus, faults: Sequence[str], pressures: Collection[str], now: str
) -> list[core_v1.NodeCondition]:
    current = [core_v1.NodeCondition(type=t, status="False", reason=r, message=m) for t, r, m in _UNPRESSED]
    for condition in current:
        if condition.type in pressures:
            condition.status = "True"
            condition.reason, condition.message = _PRESSED[condition.type]
    ready = core_v1.NodeCondition(
        type="Ready", status="True", reason="KubeletReady", message="kubelet is posting ready status"
    )
    if faults:
        ready.status, ready.reason, ready.message = "False", "KubeletNotReady", f"[{', '.join(faults)}]"
    for condition in (*current, ready):
        old = conditions.find(before.conditions, condition.type)
        changed = old is None or old.status != condition.status
        condition.last_heartbeat_time = now
        condition.last_transition_time = now if old is None or changed else old.last_transition_time
    return [*current, ready]
