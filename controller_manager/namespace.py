"""Empties a namespace that is being deleted, then lets it go.

Deletes all objects of every namespaced resource that discovery shows, waits until they are gone (pods take their
grace period), and takes the ``kubernetes`` finalizer off. What is left, and why, is in the namespace's conditions.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from apimachinery import codec, errors, meta
from apimachinery.types.core_v1 import Namespace, NamespaceCondition, Pod
from apimachinery.types.objects import PartialObjectMetadata
from controller_manager.api_resources import ApiResource, Discovery, MetadataResource, discover
from controller_manager.informers import Informers
from kube_client import Client, WorkQueue, process
from kube_client.workqueue import Backoff

log = logging.getLogger(__name__)

FINALIZER: Final = "kubernetes"
LONGEST_BACKOFF: Final = 10.0
_RECHECK: Final = 1.0
"""Seconds until what is left is looked at again; a pod's end is noticed at once."""


@dataclass
class _Left:
    """What a pass left behind: objects by resource, finalizers by how many objects carry them, failures."""

    objects: dict[str, int] = field(default_factory=dict)
    finalizers: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class NamespaceController:
    def __init__(self, client: Client, informers: Informers) -> None:
        self._client = client
        self._client_namespaces = client.resource(Namespace)
        self._namespaces = informers.namespaces
        self._queue = WorkQueue[str]("namespace", backoff=Backoff(base=0.1, limit=LONGEST_BACKOFF))
        self._namespaces.on_change(self._on_namespace)
        informers.pods.on_change(self._on_pod)

    async def run(self, workers: int) -> None:
        await process(self._queue, self.sync, workers=workers)

    async def sync(self, name: str) -> None:
        """Do what can be done towards the end of one namespace."""
        namespace = self._namespaces.get(meta.Key("", name))
        if namespace is None or not meta.is_being_deleted(namespace):
            return
        if FINALIZER not in (namespace.spec.finalizers or ()):
            return
        discovery = await discover(self._client)
        left = _Left()
        for resource in discovery.resources:
            if resource.scheme.namespaced and resource.verbs & {"delete", "deletecollection"}:
                await self._empty(resource, name, left)
        if left.objects or left.failures or discovery.failed:
            await self._tell(namespace, conditions(namespace, discovery, left.objects, left.finalizers, left.failures))
            log.info("%s: still holds %s", name, left.objects or left.failures or discovery.failed)
            self._queue.add_after(name, _RECHECK)
            return
        await self._finalize(namespace)

    async def _empty(self, resource: ApiResource, namespace: str, left: _Left) -> None:
        """Delete all objects of one resource, and count those that stay for now."""
        objects = MetadataResource(self._client, resource.scheme)
        try:
            found = await objects.of_namespace(namespace) if "list" in resource.verbs else ()
            if found:
                await self._delete_all(objects, resource, namespace, found)
                found = await objects.of_namespace(namespace)
        except errors.NotFound:
            return
        except errors.ApiError as exc:
            left.failures.append(f"{resource.scheme.plural}: {exc}")
            return
        if found:
            left.objects[_full_name(resource)] = len(found)
        for obj in found:
            for finalizer in obj.metadata.finalizers or ():
                left.finalizers[finalizer] = left.finalizers.get(finalizer, 0) + 1

    @staticmethod
    async def _delete_all(
        objects: MetadataResource, resource: ApiResource, namespace: str, found: Sequence[PartialObjectMetadata]
    ) -> None:
        if "deletecollection" in resource.verbs:
            await objects.delete_collection(namespace=namespace)
            return
        for obj in found:
            with suppress(errors.NotFound):
                await objects.delete(meta.name_of(obj), namespace=namespace, propagation_policy="Background")

    async def _tell(self, namespace: Namespace, wanted: list[NamespaceCondition]) -> None:
        if (namespace.status.conditions or []) == wanted:
            return
        changed = codec.copy(namespace)
        changed.status.conditions = wanted
        with suppress(errors.NotFound, errors.Conflict):
            await self._client_namespaces.update_status(changed)

    async def _finalize(self, namespace: Namespace) -> None:
        changed = codec.copy(namespace)
        changed.spec.finalizers = [one for one in namespace.spec.finalizers or () if one != FINALIZER]
        path = self._client_namespaces.scheme.path(None, meta.name_of(namespace), "finalize")
        with suppress(errors.NotFound):
            await self._client.request("PUT", path, body=codec.encode(changed))
        log.info("%s: empty, finalized", meta.name_of(namespace))

    def _on_namespace(self, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None and meta.is_being_deleted(new):
            self._queue.add(meta.name_of(new))

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        if new is None and old is not None:
            namespace = self._namespaces.get(meta.Key("", meta.namespace_of(old)))
            if namespace is not None and meta.is_being_deleted(namespace):
                self._queue.add(meta.name_of(namespace))


def conditions(
    namespace: Namespace,
    discovery: Discovery,
    objects: Mapping[str, int],
    finalizers: Mapping[str, int],
    failures: list[str],
) -> list[NamespaceCondition]:
    """Why the namespace is still there, in Kubernetes' words."""
    remaining = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(objects.items()))
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
    rows = [
        (
            "NamespaceDeletionDiscoveryFailure",
            f"Discovery failed for some groups, {len(discovery.failed)} failing: {'; '.join(discovery.failed)}"
            if discovery.failed
            else "",
            "DiscoveryFailed",
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionContentFailure",
            f"Failed to delete all resource types, {len(failures)} remaining: {'; '.join(failures)}"
            if failures
            else "",
            "ContentDeletionFailed",
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        (
            "NamespaceContentRemaining",
            f"Some resources are remaining: {remaining}" if remaining else "",
            "SomeResourcesRemain",
            ("ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            f"Some content in the namespace has finalizers remaining: {held}" if held else "",
            "SomeFinalizersRemain",
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    ]
    old = {one.type: one for one in namespace.status.conditions or ()}
    ours = [_condition(old.get(type), type, why, reason, fine) for type, why, reason, fine in rows]
    types = {one.type for one in ours}
    return [*(one for one in namespace.status.conditions or () if one.type not in types), *ours]


def _condition(
    old: NamespaceCondition | None, type: str, why: str, reason: str, fine: tuple[str, str]
) -> NamespaceCondition:
    status = "True" if why else "False"
    same = old is not None and old.status == status
    return NamespaceCondition(
        type=type,
        status=status,
        reason=reason if why else fine[0],
        message=why or fine[1],
        last_transition_time=old.last_transition_time if same and old else meta.now(),
    )


def _full_name(resource: ApiResource) -> str:
    scheme = resource.scheme
    return f"{scheme.plural}.{scheme.group}" if scheme.group else f"{scheme.plural}."
