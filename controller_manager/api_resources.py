"""Which resources the apiserver serves, as discovery lists them.

For controllers that treat all kinds alike: namespace deletion and garbage collection.
"""

from dataclasses import dataclass

from apimachinery import codec, errors, scheme
from apimachinery.types.meta_v1 import APIGroupList, APIResourceList
from apimachinery.types.objects import PartialObjectMetadata
from kube_client import Client, Resource


@dataclass(frozen=True)
class ApiResource:
    """One collection of objects and the verbs that it supports."""

    scheme: scheme.Resource
    verbs: frozenset[str]

    @property
    def kind(self) -> tuple[str, str]:
        return (self.scheme.api_version, self.scheme.kind)

    def metadata_of(self, client: Client) -> Resource[PartialObjectMetadata]:
        """Access to the objects by their metadata alone."""
        return client.resource(PartialObjectMetadata, self.scheme)


@dataclass(frozen=True)
class Discovery:
    """All resources, each in its group's preferred version; ``failed`` says which of these are unavailable."""

    resources: tuple[ApiResource, ...]
    failed: tuple[str, ...] = ()
    group_versions: frozenset[str] = frozenset()
    """All that are served, preferred or not."""


async def discover(client: Client) -> Discovery:
    """Raises errors.ApiError if even the list of groups is unavailable."""
    groups = codec.decode(await client.request("GET", "/apis"), APIGroupList)
    versions = ["v1"]
    for group in groups.groups:
        preferred = group.preferred_version or (group.versions[0] if group.versions else None)
        if preferred is not None:
            versions.append(preferred.group_version)
    resources: list[ApiResource] = []
    failed: list[str] = []
    for version in versions:
        try:
            resources += await _resources(client, version)
        except errors.ApiError as exc:
            failed.append(f"{version}: {exc}")
    served = {version.group_version for group in groups.groups for version in group.versions}
    return Discovery(tuple(resources), tuple(failed), frozenset({"v1", *served}))


async def _resources(client: Client, group_version: str) -> list[ApiResource]:
    group, _, version = group_version.rpartition("/")
    path = f"/apis/{group_version}" if group else f"/api/{version}"
    served = codec.decode(await client.request("GET", path), APIResourceList).resources
    return [
        ApiResource(scheme.Resource(group, version, entry.kind, entry.name, entry.namespaced), frozenset(entry.verbs))
        for entry in served
        if "/" not in entry.name
    ]
