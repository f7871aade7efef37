"""Deletes objects whose owners are gone.

An object is deleted once all its owners are gone. An owner deleted with the policy Orphan keeps its ``orphan`` finalizer
until its dependents no longer refer to it; one deleted with Foreground keeps ``foregroundDeletion`` until the dependents
that block it are gone, and objects that wait for each other in a circle are freed. Works on every kind in discovery, by
metadata alone. Whether an owner is there is decided by ``owners``.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Any, Final

import msgspec

from apimachinery import errors, meta
from apimachinery.types.meta_v1 import OwnerReference
from apimachinery.types.objects import PartialObjectMetadata
from controller_manager.api_resources import ApiResource, Discovery, discover
from controller_manager.context import ControllerContext
from controller_manager.owners import Owners
from controller_manager.ownership_graph import FOREGROUND, ORPHAN, Item, OwnershipGraph
from kube_client import Informer, WorkQueue, process
from kube_client.workqueue import Backoff

log = logging.getLogger(__name__)

LONGEST_BACKOFF: Final = 10.0
DISCOVERY_PERIOD: Final = 30.0
"""Seconds between checks for kinds that are served now or no longer."""

_UNKNOWN_KIND_RETRY: Final = 60.0

_IGNORED: Final = {("v1", "Event"), ("events.k8s.io/v1", "Event")}
"""They expire on their own, and there are many."""


class GarbageCollector:
    def __init__(self, context: ControllerContext) -> None:
        self._workers = context.options.concurrency.concurrent_gc_syncs
        self._client = context.client
        self._graph = OwnershipGraph()
        self._owners = Owners(context.client, self._graph, context.recorder.of("garbage-collector-controller"))
        self._queue = WorkQueue[str]("garbage_collector", backoff=Backoff(limit=LONGEST_BACKOFF))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            ready = asyncio.Event()
            tasks.create_task(self._watch_all(tasks, ready), name="garbage-collector-discovery")
            await ready.wait()
            tasks.create_task(process(self._queue, self.sync, workers=self._workers), name="garbage-collector")

    async def _watch_all(self, tasks: asyncio.TaskGroup, ready: asyncio.Event) -> None:
        """Watch every kind that is served; set ``ready`` when the first set of kinds is completely listed."""
        watching: dict[ApiResource, asyncio.Task[None]] = {}
        while True:
            try:
                discovery = await discover(self._client)
            except errors.ApiError as exc:
                log.info("discovery: %s; will retry", exc)
                await asyncio.sleep(1)
                continue
            resources = collectable(discovery)
            started = []
            for resource in resources - watching.keys():
                informer = Informer(resource.metadata_of(self._client))
                informer.on_change(self._handler(resource))
                watching[resource] = tasks.create_task(informer.run(), name=f"metadata-{informer.name}")
                started.append(informer)
            if not discovery.failed:
                for resource in watching.keys() - resources:
                    self._stop(resource, watching.pop(resource))
            readable = {resource for resource in discovery.resources if "get" in resource.verbs}
            self._owners.set_kinds(readable | watching.keys(), discovery.group_versions)
            if not ready.is_set():
                for informer in started:
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
                self._on_change(Item(resource, old) if old else None, Item(resource, new))
            elif old is not None:
                self._on_delete(Item(resource, old))

        return on_change

    def _on_change(self, old: Item | None, new: Item) -> None:
        self._graph.put(new)
        if old is None or old.owners != new.owners:
            for owner in (*new.owners, *(old.owners if old else ())):
                self._enqueue_if_waiting(owner.uid)
            if new.owners:
                self._queue.add(new.uid)
        if new.waits_for(ORPHAN) or new.waits_for(FOREGROUND):
            self._queue.add(new.uid)

    def _on_delete(self, item: Item) -> None:
        self._graph.remove(item.uid)
        self._owners.remember_absent(item)
        for dependent in self._graph.dependents(item.uid):
            self._queue.add(dependent.uid)
        for owner in item.owners:
            self._enqueue_if_waiting(owner.uid)

    def _enqueue_if_waiting(self, uid: str) -> None:
        owner = self._graph.get(uid)
        if owner is not None and owner.waits_for(FOREGROUND):
            self._queue.add(uid)

    async def sync(self, uid: str) -> None:
        """Do what one object's owners, or its own deletion, require."""
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
            await self._set_owners(dependent, [other for other in dependent.owners if other.uid != owner.uid])
        await self._remove_finalizer(owner, ORPHAN)

    async def _foreground(self, owner: Item) -> None:
        """Delete the dependents; once none blocks the owner any more, let it go. Their changes bring us back here."""
        dependents = self._graph.dependents(owner.uid)
        if not any(dependent.blocks(owner) for dependent in dependents):
            await self._remove_finalizer(owner, FOREGROUND)
            return
        for dependent in dependents:
            if not meta.is_being_deleted(dependent.obj):
                self._queue.add(dependent.uid)
        for other in self._graph.waiting_on(owner):
            if other.blocks(owner):  # each waits for the other
                await self._unblock(other, owner)

    async def _collect(self, item: Item) -> None:
        """Delete it unless an owner is left; remove references to owners that are gone."""
        fates = [await self._owners.fate(item, owner) for owner in item.owners]
        if "unresolvable" in fates:
            return
        if "unknown" in fates:
            self._queue.add_after(item.uid, _UNKNOWN_KIND_RETRY)
            return
        solid = [owner for owner, fate in zip(item.owners, fates, strict=True) if fate == "solid"]
        if solid:
            if len(solid) < len(fates):
                await self._set_owners(item, solid)
            return
        foreground = "waiting" in fates and bool(self._graph.dependents(item.uid))
        await self._delete(item, "Foreground" if foreground else None)

    async def _delete(self, item: Item, policy: str | None) -> None:
        finalizers = item.obj.metadata.finalizers or ()
        if policy is None:
            policy = "Orphan" if ORPHAN in finalizers else "Foreground" if FOREGROUND in finalizers else "Background"
        log.info("%s: deleted, its owners are gone", item)
        namespace, name = meta.key_of(item.obj)
        with suppress(errors.NotFound):
            objects = item.resource.metadata_of(self._client)
            await objects.delete(name, namespace=namespace or None, uid=item.uid, propagation_policy=policy)

    async def _set_owners(self, item: Item, owners: list[OwnerReference]) -> None:
        await self._patch(item, {"ownerReferences": owners or None})
        log.info("%s: removed %d owner references", item, len(item.owners) - len(owners))

    async def _unblock(self, item: Item, owner: Item) -> None:
        references = [
            msgspec.structs.replace(reference, block_owner_deletion=False) if reference.uid == owner.uid else reference
            for reference in item.owners
        ]
        await self._patch(item, {"ownerReferences": references})
        log.info("%s: no longer blocks the deletion of %s, which it waits for", item, owner)

    async def _remove_finalizer(self, item: Item, finalizer: str) -> None:
        others = [other for other in item.obj.metadata.finalizers or () if other != finalizer]
        await self._patch(item, {"finalizers": others or None})

    async def _patch(self, item: Item, metadata: dict[str, Any]) -> None:
        """With UID and version: the lists are replaced as a whole, and no other writer's change may be lost."""
        version = item.obj.metadata.resource_version
        patch = {"metadata": {"uid": item.uid, "resourceVersion": version, **metadata}}
        namespace, name = meta.key_of(item.obj)
        with suppress(errors.NotFound):
            objects = item.resource.metadata_of(self._client)
            await objects.patch(name, patch, namespace=namespace or None, kind="merge")


def collectable(discovery: Discovery) -> set[ApiResource]:
    """The resources whose objects can be watched and deleted."""
    needed = {"list", "watch", "delete"}
    return {resource for resource in discovery.resources if needed <= resource.verbs and resource.kind not in _IGNORED}
