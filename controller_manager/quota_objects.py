"""The objects that resource quotas count: pods, services and claims always, others while a quota names them.

Those others are watched by their metadata alone, as soon as discovery shows them.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, NamedTuple

from apimachinery import errors, meta
from apimachinery.core import pods
from apimachinery.types.core_v1 import PersistentVolumeClaim, Pod, Service
from apimachinery.types.objects import KubeObject, PartialObjectMetadata
from controller_manager.api_resources import ApiResource, discover
from controller_manager.context import ControllerContext
from controller_manager.indexes import BY_NAMESPACE, namespace_of
from kube_client import Informer

log = logging.getLogger(__name__)

_DISCOVERY_PERIOD: Final = 30.0
"""Seconds between checks for kinds that are served now or no longer."""
_RETRY: Final = 1.0
_COUNT: Final = "count/"
_BY_NAMESPACE: Final = {BY_NAMESPACE: namespace_of}


class GroupResource(NamedTuple):
    group: str
    plural: str


PODS: Final = GroupResource("", "pods")
SERVICES: Final = GroupResource("", "services")
CLAIMS: Final = GroupResource("", "persistentvolumeclaims")
MEASURED: Final = (PODS, SERVICES, CLAIMS)


def counted(names: Iterable[str]) -> set[GroupResource]:
    """Which objects the resources of these names in a quota count, besides pods, services and claims."""
    resources = set()
    for name in names:
        plural, _, group = name.removeprefix(_COUNT).partition(".")
        if name.startswith(_COUNT) or name in ("configmaps", "replicationcontrollers", "resourcequotas", "secrets"):
            resources.add(GroupResource(group, plural))
    return resources.difference(MEASURED)


class _Watched(NamedTuple):
    resource: ApiResource
    informer: Informer[PartialObjectMetadata]
    task: "asyncio.Task[None]"


class QuotaObjects:
    """``wanted`` says what to watch besides pods, services and claims. ``on_less`` is called with a namespace in which
    less is used than before, ``on_known`` with what has become completely known."""

    def __init__(
        self,
        context: ControllerContext,
        wanted: Callable[[], set[GroupResource]],
        on_less: Callable[[str], None],
        on_known: Callable[[GroupResource], None],
    ) -> None:
        self._client, self._wanted, self._on_less, self._on_known = context.client, wanted, on_less, on_known
        measured = (context.informer(Pod), context.informer(Service), context.informer(PersistentVolumeClaim))
        self._measured: dict[GroupResource, Informer[Any]] = dict(zip(MEASURED, measured, strict=True))
        for resource, informer in self._measured.items():
            informer.add_indexes(_BY_NAMESPACE)
            informer.on_change(self._on_pod if resource == PODS else self._on_other)
        self._watched: dict[GroupResource, _Watched] = {}
        self._changed = asyncio.Event()

    def recheck(self) -> None:
        """Ask again what is wanted."""
        self._changed.set()

    def of(self, resource: GroupResource, namespace: str) -> list[Any] | None:
        """The objects in a namespace; None if they are not known (yet)."""
        informer = self._measured.get(resource)
        if informer is None and (watched := self._watched.get(resource)) is not None:
            informer = watched.informer
        if informer is None or not informer.synced.is_set():
            return None
        return informer.by_index(BY_NAMESPACE, namespace)

    async def run(self) -> None:
        """Watch what is wanted until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                period = _DISCOVERY_PERIOD
                try:
                    await self._adapt(tasks)
                except errors.ApiError as exc:
                    log.info("discovery: %s; will retry", exc)
                    period = _RETRY
                with suppress(TimeoutError):
                    async with asyncio.timeout(period):
                        await self._changed.wait()

    async def _adapt(self, tasks: asyncio.TaskGroup) -> None:
        wanted = self._wanted()
        if not wanted and not self._watched:
            return
        discovery = await discover(self._client)
        served = {
            GroupResource(resource.scheme.group, resource.scheme.plural): resource
            for resource in discovery.resources
            if resource.scheme.namespaced and {"list", "watch"} <= resource.verbs
        }
        for name, watched in list(self._watched.items()):
            is_gone = not discovery.failed and served.get(name) != watched.resource
            if name not in wanted or is_gone:
                del self._watched[name]
                watched.task.cancel()
        for name in wanted & served.keys() - self._watched.keys():
            informer = Informer(served[name].metadata_of(self._client), indexes=_BY_NAMESPACE)
            informer.on_change(self._on_other)
            task = tasks.create_task(self._watch(name, informer), name=f"quota-{informer.name}")
            self._watched[name] = _Watched(served[name], informer, task)

    async def _watch(self, name: GroupResource, informer: Informer[PartialObjectMetadata]) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(informer.run(), name=f"metadata-{informer.name}")
            await informer.synced.wait()
            self._on_known(name)

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or (pods.is_terminal(new) and not pods.is_terminal(old))):
            self._on_less(meta.namespace_of(old))

    def _on_other(self, old: KubeObject | None, new: KubeObject | None) -> None:
        if old is not None and (new is None or getattr(old, "spec", None) != getattr(new, "spec", None)):
            self._on_less(meta.namespace_of(old))
