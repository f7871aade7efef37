"""What the server's handlers need: the node's pods, their containers, the engine."""

from collections.abc import Callable
from dataclasses import dataclass

from apimachinery import errors, meta
from apimachinery.core import containers
from apimachinery.types import core_v1
from kubelet.resources.stats import Stats
from kubelet.runtime import ContainerRecord, Runtime


@dataclass(frozen=True)
class Backend:
    runtime: Runtime
    pods: Callable[[], list[core_v1.Pod]]
    stats: Stats
    find_pod: Callable[[str, str], core_v1.Pod | None]
    latest_status: Callable[[core_v1.Pod], core_v1.PodStatus]
    """As this node knows it, which may be newer than the API's."""

    def attempts(self, namespace: str, pod: str, container: str) -> list[ContainerRecord]:
        """A container's attempts, the latest first; empty when it has not been created yet.

        Raises:
            errors.NotFound: no such pod here, or it has no such container.
        """
        spec = self.find_pod(namespace, pod)
        if spec is None:
            raise errors.NotFound(f'pod "{pod}" not found in namespace "{namespace}" on this node')
        if containers.find(spec, container) is None:
            raise errors.NotFound(f'container "{container}" not found in pod "{pod}"')
        records = [r for r in self.runtime.containers.of_pod(meta.uid_of(spec)) if r.name == container]
        return sorted(records, key=lambda record: record.attempt, reverse=True)

    def container_status(self, namespace: str, pod: str, container: str) -> core_v1.ContainerStatus | None:
        """None as long as it has not been reported."""
        spec = self.find_pod(namespace, pod)
        return containers.find_status(self.latest_status(spec), container) if spec is not None else None
