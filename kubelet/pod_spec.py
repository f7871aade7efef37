"""Questions about a pod's spec that several parts ask: which containers it has, and of what sort. Pure."""

from collections.abc import Iterator

from apimachinery.types import core_v1


def init_containers(pod: core_v1.Pod) -> list[core_v1.Container]:
    """In their order: those that run to their end, and sidecars."""
    return pod.spec.init_containers or []


def is_sidecar(container: core_v1.Container) -> bool:
    """Of an init container: whether it goes on running beside the others (a restartable one)."""
    return container.restart_policy == "Always"


def sidecars(pod: core_v1.Pod) -> list[core_v1.Container]:
    return [one for one in init_containers(pod) if is_sidecar(one)]


def ephemeral_containers(pod: core_v1.Pod) -> list[core_v1.Container]:
    """As containers like the others; whose processes they look at is ``target_of``."""
    return [_as_container(one) for one in pod.spec.ephemeral_containers or ()]


def target_of(pod: core_v1.Pod, name: str) -> str:
    """The container whose process namespace the ephemeral container ``name`` joins; empty for its own."""
    for one in pod.spec.ephemeral_containers or ():
        if one.name == name:
            return one.target_container_name or ""
    return ""


def all_containers(pod: core_v1.Pod) -> Iterator[core_v1.Container]:
    yield from init_containers(pod)
    yield from pod.spec.containers
    yield from ephemeral_containers(pod)


def find(pod: core_v1.Pod, name: str) -> core_v1.Container | None:
    return next((one for one in all_containers(pod) if one.name == name), None)


def common_user(pod: core_v1.Pod) -> int | None:
    """The user that all its containers run as, if the spec says so and they agree."""
    of_pod = pod.spec.security_context.run_as_user if pod.spec.security_context else None
    users = set[int | None]()
    for one in (*init_containers(pod), *pod.spec.containers):
        own = one.security_context.run_as_user if one.security_context else None
        users.add(of_pod if own is None else own)
    return users.pop() if len(users) == 1 else None


def field_path(pod: core_v1.Pod, name: str) -> str:
    """Where the container stands in the spec, as events name it; empty for none of the pod's."""
    kinds = (
        ("initContainers", init_containers(pod)),
        ("containers", pod.spec.containers),
        ("ephemeralContainers", pod.spec.ephemeral_containers or ()),
    )
    for kind, members in kinds:
        if any(one.name == name for one in members):
            return f"spec.{kind}{{{name}}}"
    return ""


def restart_policy_of(pod: core_v1.Pod, name: str) -> str:
    """When a container of the pod is started again: Always, OnFailure or Never."""
    policy = pod.spec.restart_policy or "Always"
    for container in init_containers(pod):
        if container.name == name:
            if is_sidecar(container):
                return "Always"
            return "OnFailure" if policy == "Always" else policy
    if any(one.name == name for one in pod.spec.ephemeral_containers or ()):
        return "Never"
    return policy


def _as_container(ephemeral: core_v1.EphemeralContainer) -> core_v1.Container:
    fields = {name: getattr(ephemeral, name) for name in ephemeral.__struct_fields__ if name != "target_container_name"}
    return core_v1.Container(**fields)
