"""Whether the owners that an object refers to are there.

A reference is judged by kind, scope and name before its UID counts: an object of another kind or name, or in another
namespace, is not the owner, even if it has the UID. An owner that the watches do not show is looked up on the server
before it counts as gone: a watch may lag behind.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Literal

from apimachinery import errors, meta
from apimachinery.meta import Key
from apimachinery.types.meta_v1 import OwnerReference
from apimachinery.types.objects import PartialObjectMetadata
from controller_manager.api_resources import ApiResource
from controller_manager.ownership_graph import FOREGROUND, Item, OwnershipGraph, group_of
from kube_client import Client, EventRecorder

log = logging.getLogger(__name__)

_ABSENT: Final = 1000
"""How many owners known to be gone are remembered; a UID is never used again."""

Fate = Literal["solid", "dangling", "waiting", "unknown", "unresolvable"]
"""There; gone; there until its dependents are gone; of a kind that is not served now; invalid, never to be resolved."""

_Identity = tuple[str, str, Key, str]
"""Group, kind, key and UID."""


class Owners:
    def __init__(self, client: Client, graph: OwnershipGraph, recorder: EventRecorder) -> None:
        self._client = client
        self._graph = graph
        self._recorder = recorder
        self._kinds: dict[tuple[str, str], ApiResource] = {}
        self._versions: frozenset[str] = frozenset()
        self._absent: OrderedDict[_Identity, None] = OrderedDict()

    def set_kinds(self, resources: Iterable[ApiResource], group_versions: frozenset[str]) -> None:
        """What is served now; a reference may name a kind by any served version of its group."""
        self._kinds = {(resource.scheme.group, resource.scheme.kind): resource for resource in resources}
        self._versions = group_versions

    def remember_absent(self, item: Item) -> None:
        self._remember(_identity(item.resource, meta.key_of(item.obj), item.uid))

    async def fate(self, item: Item, reference: OwnerReference) -> Fate:
        """Raises errors.ApiError if the owner cannot be looked up."""
        resource = self._resource(reference)
        if resource is None:
            log.info("%s: owner %s %s is of a kind that is not served", item, reference.kind, reference.name)
            return "unknown"
        namespace = meta.namespace_of(item.obj)
        if resource.scheme.namespaced and not namespace:
            self._report(item, reference)
            return "unresolvable"
        known = self._graph.get(reference.uid)
        if known is not None:
            if known.is_named_by(reference, item):
                return _presence(known)
            if meta.namespace_of(known.obj) not in ("", namespace):
                self._report(item, reference)
        key = Key(namespace if resource.scheme.namespaced else "", reference.name)
        return await self._look_up(resource, key, reference.uid)

    def _resource(self, reference: OwnerReference) -> ApiResource | None:
        if reference.api_version not in self._versions:
            return None
        return self._kinds.get((group_of(reference), reference.kind))

    async def _look_up(self, resource: ApiResource, key: Key, uid: str) -> Fate:
        identity = _identity(resource, key, uid)
        if identity in self._absent:
            return "dangling"
        with suppress(errors.NotFound):
            current = await resource.metadata_of(self._client).get(key.name, namespace=key.namespace or None)
            if meta.uid_of(current) == uid:
                return _presence(Item(resource, current))
        self._remember(identity)
        return "dangling"

    def _remember(self, identity: _Identity) -> None:
        self._absent[identity] = None
        if len(self._absent) > _ABSENT:
            self._absent.popitem(last=False)

    def _report(self, item: Item, reference: OwnerReference) -> None:
        """Tell the dependent's users, in the words of Kubernetes' garbage collector."""
        scheme, namespace = item.resource.scheme, meta.namespace_of(item.obj)
        dependent = PartialObjectMetadata(api_version=scheme.api_version, kind=scheme.kind, metadata=item.obj.metadata)
        owner = (
            f"[{reference.api_version}/{reference.kind}, namespace: {namespace}, "
            f"name: {reference.name}, uid: {reference.uid}]"
        )
        message = f'ownerRef {owner} does not exist in namespace "{namespace}"'
        self._recorder.event(dependent, "Warning", "OwnerRefInvalidNamespace", message)


def _identity(resource: ApiResource, key: Key, uid: str) -> _Identity:
    return (resource.scheme.group, resource.scheme.kind, key, uid)


def _presence(owner: Item) -> Fate:
    return "waiting" if owner.waits_for(FOREGROUND) else "solid"
