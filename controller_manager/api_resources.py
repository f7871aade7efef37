"""What the apiserver serves, and access to objects of any kind by their metadata alone.

For controllers that treat all kinds alike: namespace deletion and garbage collection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from apimachinery import codec, errors
from apimachinery.scheme import Resource as SchemeResource
from apimachinery.types.meta_v1 import APIGroupList, APIResourceList, ListMeta
from apimachinery.types.objects import PartialObjectMetadata
from kube_client import Client, Page, Resource


@dataclass(frozen=True)
class ApiResource:
    """One collection of objects and what may be done with it."""

    scheme: SchemeResource
    verbs: frozenset[str]

    @property
    def kind(self) -> tuple[str, str]:
        return (self.scheme.api_version, self.scheme.kind)


@dataclass(frozen=True)
class Discovery:
    """Everything served, each kind in its group's preferred version; ``failed`` names groups that did not answer."""

    resources: tuple[ApiResource, ...]
    failed: tuple[str, ...] = ()


async def discover(client: Client) -> Discovery:
    """Raises errors.ApiError if not even the list of groups is to be had."""
    groups = codec.decode(await client.request("GET", "/apis"), APIGroupList)
    versions = ["v1"]
    for group in groups.groups:
        preferred = group.preferred_version or (group.versions[0] if group.versions else None)
        if preferred is not None:
            versions.append(preferred.group_version)
    found: list[ApiResource] = []
    failed: list[str] = []
    for version in versions:
        try:
            found += await _resources(client, version)
        except errors.ApiError as exc:
            failed.append(f"{version}: {exc}")
    return Discovery(tuple(found), tuple(failed))


async def _resources(client: Client, group_version: str) -> list[ApiResource]:
    group, _, version = group_version.rpartition("/")
    path = f"/apis/{group_version}" if group else f"/api/{version}"
    listed = codec.decode(await client.request("GET", path), APIResourceList)
    return [
        ApiResource(
            SchemeResource(group, version, one.kind, one.name, one.namespaced), frozenset(one.verbs)
        )
        for one in listed.resources
        if "/" not in one.name
    ]


class MetadataList(msgspec.Struct):
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[PartialObjectMetadata] | None = None


class MetadataResource(Resource[PartialObjectMetadata]):
    """The objects of any one resource, of which only the metadata is read. Kind and apiVersion are filled in."""

    def __init__(self, client: Client, resource: SchemeResource) -> None:
        self._client = client
        self.type = PartialObjectMetadata
        self.scheme = resource
        self._list_type: Any = MetadataList

    async def of_namespace(self, namespace: str) -> Sequence[PartialObjectMetadata]:
        page: Page[PartialObjectMetadata] = await self.list(namespace=namespace)
        return page.items
