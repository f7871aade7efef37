"""Which type stands for which kind, and under which path its resource is served."""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from apimachinery.types import coordination_v1, core_v1
from apimachinery.types.objects import KubeObject


@dataclass(frozen=True, slots=True)
class Resource:
    """Where objects of one kind are served."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL's path of the collection, an object, or an object's subresource."""
        parts = [self.root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [self.plural, *(part for part in (name, subresource) if part)]
        return "/".join(parts)


_ROWS: Final[tuple[tuple[type[KubeObject], str, bool], ...]] = (
    (core_v1.ConfigMap, "configmaps", True),
    (core_v1.Endpoints, "endpoints", True),
    (core_v1.Event, "events", True),
    (core_v1.Namespace, "namespaces", False),
    (core_v1.Node, "nodes", False),
    (core_v1.Pod, "pods", True),
    (core_v1.ReplicationController, "replicationcontrollers", True),
    (core_v1.Secret, "secrets", True),
    (core_v1.Service, "services", True),
    (coordination_v1.Lease, "leases", True),
)


@cache
def _resources() -> dict[type[KubeObject], Resource]:
    found = {}
    for cls, plural, namespaced in _ROWS:
        blank = cls()
        group, _, version = (blank.api_version or "").rpartition("/")
        found[cls] = Resource(group, version, blank.kind or "", plural, namespaced)
    return found


def resource_of(cls: type[KubeObject]) -> Resource:
    """The resource that holds objects of a type.

    Raises:
        KeyError: the type is not the kind of a served resource.
    """
    return _resources()[cls]


@lru_cache(maxsize=4096)  # bounded: requests name kinds that do not exist
def type_of(api_version: str, kind: str) -> type[KubeObject] | None:
    """The type of one kind, or None if no served resource holds it."""
    for cls, resource in _resources().items():
        if (resource.api_version, resource.kind) == (api_version, kind):
            return cls
    return None
