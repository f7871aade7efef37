"""Which resources are served: looked up by (group, version, resource), changed while the server runs.

Built-in resources are put in at start; custom resources and aggregated groups come and go.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apiserver.registry.resource import ResourceInfo
from apiserver.registry.store import Store


@dataclass(frozen=True, slots=True)
class GroupVersion:
    """One version of one API group, and its resources by plural name."""

    group: str
    version: str
    stores: Mapping[str, Store[Any]]

    @property
    def name(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def path(self) -> str:
        return f"apis/{self.group}/{self.version}" if self.group else f"api/{self.version}"

    @property
    def infos(self) -> list[ResourceInfo[Any]]:
        return [store.info for _, store in sorted(self.stores.items())]


class ResourceTable:
    """The resources that are served now."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, str], dict[str, Store[Any]]] = {}

    def add(self, store: Store[Any]) -> None:
        resource = store.info.resource
        self._versions.setdefault((resource.group, resource.version), {})[resource.plural] = store

    def find(self, group: str, version: str, plural: str) -> Store[Any] | None:
        return self._versions.get((group, version), {}).get(plural)

    def version(self, group: str, version: str) -> GroupVersion | None:
        stores = self._versions.get((group, version))
        return GroupVersion(group, version, stores) if stores is not None else None

    def versions(self) -> Iterator[GroupVersion]:
        """The core group first, the others by name; of one group the newest version first: clients prefer it."""
        newest_first = sorted(self._versions.items(), key=lambda item: item[0][1], reverse=True)
        for (group, version), stores in sorted(newest_first, key=lambda item: item[0][0]):
            yield GroupVersion(group, version, stores)

    def groups(self) -> dict[str, list[str]]:
        """Named groups with their versions."""
        found: dict[str, list[str]] = {}
        for one in self.versions():
            if one.group:
                found.setdefault(one.group, []).append(one.version)
        return found

    def stores(self) -> Iterator[Store[Any]]:
        for one in self.versions():
            yield from one.stores.values()
