"""The resource table: what is served, looked up by path or by type, changed while the server runs.

Built-in resources are added at start; custom resources and aggregated groups come and go.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from apimachinery.types.objects import KubeObject
from apiserver.registry.resource import ResourceInfo, Served
from apiserver.registry.store import Store

T = TypeVar("T", bound=KubeObject)


@dataclass(frozen=True, slots=True)
class GroupVersion:
    """One version of one API group, and its resources by plural name."""

    group: str
    version: str
    served: Mapping[str, Served[KubeObject]]

    @property
    def name(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def path(self) -> str:
        return f"apis/{self.group}/{self.version}" if self.group else f"api/{self.version}"

    @property
    def infos(self) -> list[ResourceInfo[KubeObject]]:
        return [served.info for _, served in sorted(self.served.items())]


class Resources:
    """The resources that are served now."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, str], dict[str, Served[KubeObject]]] = {}
        self._by_type: dict[type[KubeObject], Served[Any]] = {}

    def add(self, served: Served[Any]) -> None:
        resource = served.info.resource
        self._versions.setdefault((resource.group, resource.version), {})[resource.plural] = served
        self._by_type[served.info.type] = served

    def find(self, group: str, version: str, plural: str) -> Served[KubeObject] | None:
        """The resource under a path; all that is known of its objects is that they are objects."""
        return self._versions.get((group, version), {}).get(plural)

    def store(self, type: type[T]) -> Store[T]:
        """The store of a kind. Raises KeyError if it is not served."""
        served = self._by_type[type]
        assert isinstance(served, Store), f"{type.__name__} is not stored"
        return served

    def version(self, group: str, version: str) -> GroupVersion | None:
        served = self._versions.get((group, version))
        return GroupVersion(group, version, served) if served is not None else None

    def versions(self) -> Iterator[GroupVersion]:
        """The core group first, the others by name; of one group the newest version first: clients prefer it."""
        newest_first = sorted(self._versions.items(), key=lambda item: item[0][1], reverse=True)
        for (group, version), served in sorted(newest_first, key=lambda item: item[0][0]):
            yield GroupVersion(group, version, served)

    def groups(self) -> dict[str, list[str]]:
        """Named groups with their versions."""
        groups: dict[str, list[str]] = {}
        for version in self.versions():
            if version.group:
                groups.setdefault(version.group, []).append(version.version)
        return groups

    def __iter__(self) -> Iterator[Served[KubeObject]]:
        for version in self.versions():
            yield from version.served.values()
