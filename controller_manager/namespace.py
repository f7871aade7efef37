"""Empties a namespace that is being deleted, then finalizes it.

Deletes all objects of every namespaced resource in discovery, waits until they are gone (pods take their grace period),
and removes the ``kubernetes`` finalizer. What remains, and why, is in the namespace's conditions.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from apimachinery import codec, errors, meta
from apimachinery.core import conditions
from apimachinery.types.core_v1 import Namespace, NamespaceCondition, Pod
from apimachinery.types.objects import PartialObjectMetadata
from controller_manager.api_resources import ApiResource, Discovery, discover
from controller_manager.context import ControllerContext
from kube_client import Resource, WorkQueue, process
from kube_client.workqueue import Backoff

log = logging.getLogger(__name__)

FINALIZER: Final = "kubernetes"
LONGEST_BACKOFF: Final = 10.0
_RECHECK: Final = 1.0
"""Seconds until the remaining objects are checked again; the end of a pod is noticed at once."""


@dataclass
class Remaining:
    """What is left after a pass: objects by resource, finalizers by how many objects carry them, failures."""

    objects: dict[str, int] = field(default_factory=dict)
    finalizers: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class NamespaceController:
    def __init__(self, context: ControllerContext) -> None:
        self._workers = context.options.concurrency.concurrent_namespace_syncs
        self._client = context.client
        self._namespaces_api = context.client.resource(Namespace)
        self._namespaces = context.informer(Namespace)
        self._queue = WorkQueue[str]("namespace", backoff=Backoff(base=0.1, limit=LONGEST_BACKOFF))
        self._namespaces.feed(self._queue, self._if_terminating)
        context.informer(Pod).on_change(self._on_pod)

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=self._workers)

    async def sync(self, name: str) -> None:
        """Bring the deletion of one namespace as far as possible."""
        namespace = self._namespaces.get(meta.Key("", name))
        if namespace is None or not meta.is_being_deleted(namespace):
            return
        if FINALIZER not in (namespace.spec.finalizers or ()):
            return
        discovery = await discover(self._client)
        remaining = Remaining()
        for resource in discovery.resources:
            if resource.scheme.namespaced and resource.verbs & {"delete", "deletecollection"}:
                await self._empty(resource, name, remaining)
        if remaining.objects or remaining.failures or discovery.failed:
            await self._write_conditions(namespace, deletion_conditions(namespace, discovery, remaining))
            log.info("%s: still holds %s", name, remaining.objects or remaining.failures or discovery.failed)
            self._queue.add_after(name, _RECHECK)
            return
        await self._finalize(namespace)

    async def _empty(self, resource: ApiResource, namespace: str, remaining: Remaining) -> None:
        """Delete all objects of one resource, and count those that remain for now."""
        if "list" not in resource.verbs:
            return
        api = resource.metadata_of(self._client)
        try:
            objects = (await api.list(namespace=namespace)).items
            if objects:
                await self._delete_all(api, resource, namespace, objects)
                objects = (await api.list(namespace=namespace)).items
        except errors.NotFound:
            return
        except errors.ApiError as exc:
            remaining.failures.append(f"{resource.scheme.plural}: {exc}")
            return
        if objects:
            remaining.objects[f"{resource.scheme.plural}.{resource.scheme.group}"] = len(objects)
        for obj in objects:
            for finalizer in obj.metadata.finalizers or ():
                remaining.finalizers[finalizer] = remaining.finalizers.get(finalizer, 0) + 1

    @staticmethod
    async def _delete_all(
        api: Resource[PartialObjectMetadata],
        resource: ApiResource,
        namespace: str,
        objects: Sequence[PartialObjectMetadata],
    ) -> None:
        if "deletecollection" in resource.verbs:
            await api.delete_collection(namespace=namespace)
            return
        for obj in objects:
            with suppress(errors.NotFound):
                await api.delete(meta.name_of(obj), namespace=namespace, propagation_policy="Background")

    async def _write_conditions(self, namespace: Namespace, conditions: list[NamespaceCondition]) -> None:
        if (namespace.status.conditions or []) == conditions:
            return
        changed = codec.copy(namespace)
        changed.status.conditions = conditions
        with suppress(errors.NotFound, errors.Conflict):
            await self._namespaces_api.update_status(changed)

    async def _finalize(self, namespace: Namespace) -> None:
        changed = codec.copy(namespace)
        changed.spec.finalizers = [other for other in namespace.spec.finalizers or () if other != FINALIZER]
        path = self._namespaces_api.scheme.path(None, meta.name_of(namespace), "finalize")
        with suppress(errors.NotFound):
            await self._client.request("PUT", path, body=codec.encode(changed))
        log.info("%s: empty, finalized", meta.name_of(namespace))

    @staticmethod
    def _if_terminating(namespace: Namespace) -> Iterator[str]:
        if meta.is_being_deleted(namespace):
            yield meta.name_of(namespace)

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        if new is None and old is not None:
            namespace = self._namespaces.get(meta.Key("", meta.namespace_of(old)))
            if namespace is not None and meta.is_being_deleted(namespace):
                self._queue.add(meta.name_of(namespace))


def deletion_conditions(namespace: Namespace, discovery: Discovery, remaining: Remaining) -> list[NamespaceCondition]:
    """The namespace's conditions, with why it still exists, in Kubernetes' words."""
    failed, failures = discovery.failed, remaining.failures
    objects = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(remaining.objects.items()))
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(remaining.finalizers.items()))
    rows = (
        (
            "NamespaceDeletionDiscoveryFailure",
            f"Discovery failed for some groups, {len(failed)} failing: {'; '.join(failed)}" if failed else "",
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
            f"Some resources are remaining: {objects}" if objects else "",
            "SomeResourcesRemain",
            ("ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            f"Some content in the namespace has finalizers remaining: {held}" if held else "",
            "SomeFinalizersRemain",
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    )
    result = namespace.status.conditions or []
    for type, problem, reason, success in rows:
        present = conditions.find(result, type)
        result = conditions.set_condition(result, _condition(present, type, problem, reason, success))
    return result


def _condition(
    present: NamespaceCondition | None, type: str, problem: str, reason: str, success: tuple[str, str]
) -> NamespaceCondition:
    status = "True" if problem else "False"
    return NamespaceCondition(
        type=type,
        status=status,
        reason=reason if problem else success[0],
        message=problem or success[1],
        last_transition_time=present.last_transition_time if present and present.status == status else meta.now(),
    )
