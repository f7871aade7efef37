"""A pod's containers by sort: init containers, sidecars, app containers, ephemeral containers."""

from collections.abc import Iterator

from apimachinery.types.core_v1 import Container, ContainerStatus, EphemeralContainer, Pod, PodStatus


def init_containers(pod: Pod) -> list[Container]:
    """In the order in which they start: those that run to completion, and sidecars."""
    return pod.spec.init_containers or []


def is_sidecar(container: Container) -> bool:
    """Whether an init container keeps running beside the app containers (a restartable init container)."""
    return container.restart_policy == "Always"


def sidecars(pod: Pod) -> list[Container]:
    return [container for container in init_containers(pod) if is_sidecar(container)]


def long_running(pod: Pod) -> list[Container]:
    """The containers that run side by side once the pod has started: sidecars, then app containers."""
    return [*sidecars(pod), *pod.spec.containers]


def ephemeral_containers(pod: Pod) -> list[Container]:
    """As ordinary containers; ``target_of`` names the container whose process namespace each joins."""
    return [_as_container(container) for container in pod.spec.ephemeral_containers or ()]


def target_of(pod: Pod, name: str) -> str:
    """The container whose process namespace the ephemeral container ``name`` joins; empty if it has its own."""
    container = find_ephemeral(pod, name)
    return (container.target_container_name or "") if container else ""


def all_containers(pod: Pod) -> Iterator[Container]:
    yield from init_containers(pod)
    yield from pod.spec.containers
    yield from ephemeral_containers(pod)


def find(pod: Pod, name: str) -> Container | None:
    """The container of that name, of any sort."""
    return next((container for container in all_containers(pod) if container.name == name), None)


def all_statuses(status: PodStatus) -> Iterator[ContainerStatus]:
    """Those of all containers, the ones that initialize the pod first."""
    lists = (status.init_container_statuses, status.container_statuses, status.ephemeral_container_statuses)
    return (container for statuses in lists for container in statuses or ())


def find_status(status: PodStatus, name: str) -> ContainerStatus | None:
    return next((container for container in all_statuses(status) if container.name == name), None)


def find_ephemeral(pod: Pod, name: str) -> EphemeralContainer | None:
    return next((container for container in pod.spec.ephemeral_containers or () if container.name == name), None)


def field_path(pod: Pod, name: str) -> str:
    """Where the spec defines the container, as events name it; empty if it does not."""
    kinds = (
        ("initContainers", init_containers(pod)),
        ("containers", pod.spec.containers),
        ("ephemeralContainers", pod.spec.ephemeral_containers or ()),
    )
    for kind, members in kinds:
        if any(container.name == name for container in members):
            return f"spec.{kind}{{{name}}}"
    return ""


def restart_policy_of(pod: Pod, name: str) -> str:
    """When the pod's container of that name is started again: Always, OnFailure or Never."""
    policy = pod.spec.restart_policy or "Always"
    for container in init_containers(pod):
        if container.name == name:
            if is_sidecar(container):
                return "Always"
            return "OnFailure" if policy == "Always" else policy
    return "Never" if find_ephemeral(pod, name) else policy


def restarts_after(pod: Pod, name: str, exit_code: int) -> bool:
    """Whether the container of that name is started again after it has ended with that code."""
    policy = restart_policy_of(pod, name)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _as_container(ephemeral: EphemeralContainer) -> Container:
    fields = {name: getattr(ephemeral, name) for name in ephemeral.__struct_fields__ if name != "target_container_name"}
    return Container(**fields)
