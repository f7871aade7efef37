"""Deletes what its owners leave behind.

An object whose owners are all gone goes too. An owner deleted with the policy Orphan keeps its ``orphan`` finalizer
until its dependents have forgotten it; one deleted with Foreground keeps ``foregroundDeletion`` until the dependents
that block it are gone. Works on every kind that discovery shows, by metadata alone. An owner that the watches do not
show is looked up on the server before anything is deleted: a watch may lag behind.
"""

import asyncio
import logging
from collections import OrderedDict
from contextlib import suppress
from typing import Any, Final, Literal

from apimachinery import errors, meta
from apimachinery.types.meta_v1 import OwnerReference
from apimachinery.types.objects import PartialObjectMetadata
from controller_manager.api_resources import ApiResource, Discovery, MetadataResource, discover
from controller_manager.ownership_graph import FOREGROUND, ORPHAN, Item, OwnershipGraph
from kube_client import Client, Informer, WorkQueue, process
from kube_client.workqueue import Backoff

log = logging.getLogger(__name__)

LONGEST_BACKOFF: Final = 10.0
DISCOVERY_PERIOD: Final = 30.0
"""Seconds between looks for kinds that have come or gone."""

_UNKNOWN_KIND_RETRY: Final = 60.0
_ABSENT: Final = 1000
"""UIDs of owners known to be gone that are remembered; a UID never comes back."""

_IGNORED: Final = {("v1", "Event"), ("events.k8s.io/v1", "Event")}
"""They expire by themselves, and there are many."""

_Fate = Literal["solid", "dangling", "waiting", "unknown"]


class GarbageCollector:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._graph = OwnershipGraph()
        self._kinds: dict[tuple[str, str], ApiResource] = {}
        self._absent: OrderedDict[str, None] = OrderedDict()
        self._queue = WorkQueue[str]("garbage_collector", backoff=Backoff(limit=LONGEST_BACKOFF))

    async def run(self, workers: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            ready = asyncio.Event()
            tasks.create_task(self._watch_all(tasks, ready), name="garbage-collector-discovery")
            await ready.wait()
            tasks.create_task(process(self._queue, self.sync, workers=workers), name="garbage-collector")

    async def _watch_all(self, tasks: asyncio.TaskGroup, ready: asyncio.Event) -> None:
        """Follow every kind that is served; set ``ready`` when all that were there at first are known whole."""
        watching: dict[ApiResource, asyncio.Task[None]] = {}
        while True:
            try:
                discovery = await discover(self._client)
            except errors.ApiError as exc:
                log.info("discovery: %s; will retry", exc)
                await asyncio.sleep(1)
                continue
            wanted = collectable(discovery)
            started = []
            for resource in wanted - watching.keys():
                informer = Informer(MetadataResource(self._client, resource.scheme))
                informer.on_change(self._handler(resource))
                watching[resource] = tasks.create_task(informer.run(), name=f"metadata-{informer.name}")
                started.append(informer)
            for resource in watching.keys() - wanted if not discovery.failed else ():
                self._stop(resource, watching.pop(resource))
            self._kinds = {resource.kind: resource for resource in watching}
            for informer in started if not ready.is_set() else ():
                await informer.synced.wait()
            ready.set()
            await asyncio.sleep(DISCOVERY_PERIOD)

    def _stop(self, resource: ApiResource, task: "asyncio.Task[None]") -> None:
        task.cancel()
        for item in self._graph.of_resource(resource):
            self._graph.remove(item.uid)

    def _handler(self, resource: ApiResource) -> Any:
        def on_change(old: PartialObjectMetadata | None, new: PartialObjectMetadata | None) -> None:
            if new is not None:
                self._changed(Item(resource, old) if old else None, Item(resource, new))
            elif old is not None:
                self._gone(Item(resource, old))

        return on_change

    def _changed(self, old: Item | None, new: Item) -> None:
        self._graph.put(new)
        if old is None or old.owners != new.owners:
            for owner in (*new.owners, *(old.owners if old else ())):
                self._wake_waiting(owner.uid)
            if new.owners:
                self._queue.add(new.uid)
        if new.waits_for(ORPHAN) or new.waits_for(FOREGROUND):
            self._queue.add(new.uid)

    def _gone(self, item: Item) -> None:
        self._graph.remove(item.uid)
        self._remember_absent(item.uid)
        for dependent in self._graph.dependents(item.uid):
            self._queue.add(dependent.uid)
        for owner in item.owners:
            self._wake_waiting(owner.uid)

    def _wake_waiting(self, uid: str) -> None:
        owner = self._graph.get(uid)
        if owner is not None and owner.waits_for(FOREGROUND):
            self._queue.add(uid)

    async def sync(self, uid: str) -> None:
        """Do what one object's owners, or its own deletion, ask for."""
        item = self._graph.get(uid)
        if item is None:
            return
        if item.waits_for(ORPHAN):
            await self._orphan(item)
        elif item.waits_for(FOREGROUND):
            await self._foreground(item)
        elif item.owners and not meta.is_being_deleted(item.obj):
            await self._collect(item)

    async def _orphan(self, owner: Item) -> None:
        for dependent in self._graph.dependents(owner.uid):
            await self._disown(dependent, {owner.uid})
        await self._remove_finalizer(owner, ORPHAN)

    async def _foreground(self, owner: Item) -> None:
        dependents = self._graph.dependents(owner.uid)
        if not any(one.blocks(owner.uid) for one in dependents):
            await self._remove_finalizer(owner, FOREGROUND)
            return
        for dependent in dependents:
            self._queue.add(dependent.uid)

    async def _collect(self, item: Item) -> None:
        """Delete it unless an owner is left that wants it."""
        fates = {owner.uid: await self._fate(item, owner) for owner in item.owners}
        if "unknown" in fates.values():
            self._queue.add_after(item.uid, _UNKNOWN_KIND_RETRY)
            return
        going = {uid for uid, fate in fates.items() if fate != "solid"}
        if len(going) < len(fates):
            if going:
                await self._disown(item, going)
            return
        waited_for = "waiting" in fates.values()
        foreground = waited_for and any(True for _ in self._graph.dependents(item.uid))
        await self._delete(item, "Foreground" if foreground else None)

    async def _fate(self, item: Item, owner: OwnerReference) -> _Fate:
        known = self._graph.get(owner.uid)
        if known is not None:
            scope = meta.namespace_of(known.obj)
            if scope and scope != meta.namespace_of(item.obj):
                return "dangling"  # an owner in another namespace is none
            return "waiting" if known.waits_for(FOREGROUND) else "solid"
        if owner.uid in self._absent:
            return "dangling"
        resource = self._kinds.get((owner.api_version, owner.kind))
        if resource is None:
            log.info("%s: owner %s %s is of a kind nobody serves", item, owner.kind, owner.name)
            return "unknown"
        namespace = meta.namespace_of(item.obj) if resource.scheme.namespaced else None
        if resource.scheme.namespaced and not namespace:
            return "unknown"  # a cluster-scoped object cannot have such an owner; leave it alone
        try:
            found = await MetadataResource(self._client, resource.scheme).get(owner.name, namespace=namespace)
        except errors.NotFound:
            pass
        else:
            if meta.uid_of(found) == owner.uid:
                return "waiting" if Item(resource, found).waits_for(FOREGROUND) else "solid"
        self._remember_absent(owner.uid)
        return "dangling"

    async def _delete(self, item: Item, policy: str | None) -> None:
        finalizers = item.obj.metadata.finalizers or ()
        if policy is None:
            policy = "Orphan" if ORPHAN in finalizers else "Foreground" if FOREGROUND in finalizers else "Background"
        log.info("%s: deleted, its owners are gone", item)
        namespace, name = meta.key_of(item.obj)
        with suppress(errors.NotFound):
            await self._client_of(item).delete(
                name, namespace=namespace or None, uid=item.uid, propagation_policy=policy
            )

    async def _disown(self, item: Item, owners: set[str]) -> None:
        kept = [one for one in item.owners if one.uid not in owners]
        await self._patch(item, {"ownerReferences": kept or None})
        log.info("%s: forgot %d owners", item, len(item.owners) - len(kept))

    async def _remove_finalizer(self, item: Item, finalizer: str) -> None:
        kept = [one for one in item.obj.metadata.finalizers or () if one != finalizer]
        await self._patch(item, {"finalizers": kept or None})

    async def _patch(self, item: Item, metadata: dict[str, Any]) -> None:
        """With UID and version: the lists are replaced whole, nobody else's change may be lost."""
        version = item.obj.metadata.resource_version
        patch = {"metadata": {"uid": item.uid, "resourceVersion": version, **metadata}}
        namespace, name = meta.key_of(item.obj)
        with suppress(errors.NotFound):
            await self._client_of(item).patch(name, patch, namespace=namespace or None, kind="merge")

    def _client_of(self, item: Item) -> MetadataResource:
        return MetadataResource(self._client, item.resource.scheme)

    def _remember_absent(self, uid: str) -> None:
        self._absent[uid] = None
        if len(self._absent) > _ABSENT:
            self._absent.popitem(last=False)


def collectable(discovery: Discovery) -> set[ApiResource]:
    """The resources whose objects can be followed and deleted."""
    needed = {"list", "watch", "delete"}
    return {one for one in discovery.resources if needed <= one.verbs and one.kind not in _IGNORED}
