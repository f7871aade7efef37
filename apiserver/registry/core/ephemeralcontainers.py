"""``pods/ephemeralcontainers``: containers that are added to a running pod for debugging, and stay."""

from collections.abc import Iterator
from typing import Final

from apimachinery import codec
from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import EphemeralContainer, Pod, PodSpec
from apiserver.registry.core.pod_defaults import pull_policy
from apiserver.registry.core.pod_validation import name_and_image
from apiserver.registry.core.pods import PodStrategy
from apiserver.registry.subresources import ObjectSubresource

_PATH: Final = Path("spec", "ephemeralContainers")
_NOT_ALLOWED: Final = (
    "ports", "liveness_probe", "readiness_probe", "startup_probe", "lifecycle",
)  # fmt: skip
_WIRE: Final = {
    "liveness_probe": "livenessProbe", "readiness_probe": "readinessProbe", "startup_probe": "startupProbe",
}  # fmt: skip


class EphemeralContainersStrategy(PodStrategy):
    """Only the list of these containers may change, and it only grows."""

    def default(self, obj: Pod) -> None:
        super().default(obj)
        for container in obj.spec.ephemeral_containers or ():
            _default(container)

    def warnings(self, obj: Pod) -> Iterator[str]:
        yield from ()

    def prepare_for_update(self, obj: Pod, old: Pod) -> None:
        added = obj.spec.ephemeral_containers
        obj.spec = codec.copy(old.spec)
        obj.spec.ephemeral_containers = added
        obj.status = old.status
        obj.metadata = codec.copy(old.metadata)

    def validate_update(self, obj: Pod, old: Pod) -> Iterator[FieldError]:
        yield from _containers(obj.spec)
        new = {container.name: container for container in obj.spec.ephemeral_containers or ()}
        for before in old.spec.ephemeral_containers or ():
            if before.name not in new:
                yield _PATH.forbidden(f'existing ephemeral containers "{before.name}" may not be removed')
            elif new[before.name] != before:
                yield _PATH.forbidden(f'existing ephemeral containers "{before.name}" may not be changed')


def _default(container: EphemeralContainer) -> None:
    container.image_pull_policy = container.image_pull_policy or pull_policy(container.image or "")
    container.termination_message_path = container.termination_message_path or "/dev/termination-log"
    container.termination_message_policy = container.termination_message_policy or "File"


def _containers(spec: PodSpec) -> Iterator[FieldError]:
    others = {container.name for container in (*spec.containers, *(spec.init_containers or ()))}
    taken = set(others)
    for i, container in enumerate(spec.ephemeral_containers or ()):
        path = _PATH[i]
        yield from name_and_image(path, container, taken)
        if container.target_container_name and container.target_container_name not in others:
            yield (path / "targetContainerName").not_found(container.target_container_name)
        for field in _NOT_ALLOWED:
            if getattr(container, field):
                yield (path / _WIRE.get(field, field)).forbidden("cannot be set for an Ephemeral Container")
        if container.resources.limits or container.resources.requests:
            yield (path / "resources").forbidden("cannot be set for an Ephemeral Container")


EPHEMERAL_CONTAINERS: Final = ObjectSubresource(EphemeralContainersStrategy())
