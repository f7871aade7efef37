"""One informer per set of objects, shared by whoever asks for it: one watch and one copy, however many readers."""

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from apimachinery import scheme
from apimachinery.types.objects import KubeObject
from kube_client.client import Client
from kube_client.informer import Index, Informer

T = TypeVar("T", bound=KubeObject)

_Identity = tuple[scheme.Resource, type[KubeObject], str | None, str | None, str | None]


class InformerFactory:
    """Ask for informers with ``informer``, then start ``run``; one asked for later is started at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[_Identity, Informer[Any]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def informer(
        self,
        type: type[T],
        *,
        served_as: scheme.Resource | None = None,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        indexes: Mapping[str, Index[T]] | None = None,
    ) -> Informer[T]:
        """The informer of the objects of a type, or of those that the selectors match; has at least these indexes.

        Args:
            served_as: which resource, for a type that stands for several: custom resources, metadata alone.

        Raises:
            ValueError: another caller has given an index of the same name another function.
        """
        resource = self._client.resource(type, served_as)
        identity = (resource.scheme, type, namespace, label_selector, field_selector)
        informer = cast("Informer[T] | None", self._informers.get(identity))
        if informer is None:
            informer = self._informers[identity] = Informer(
                resource, namespace=namespace, label_selector=label_selector, field_selector=field_selector
            )
            if self._tasks is not None:
                self._start(self._tasks, informer)
        informer.add_indexes(indexes or {})
        return informer

    async def run(self) -> None:
        """Keep all informers up to date until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            for informer in self._informers.values():
                self._start(self._tasks, informer)
            await asyncio.Event().wait()

    async def wait_for_sync(self) -> None:
        """Return when each informer has a complete copy."""
        for informer in [*self._informers.values()]:
            await informer.synced.wait()

    @staticmethod
    def _start(tasks: asyncio.TaskGroup, informer: Informer[Any]) -> None:
        tasks.create_task(informer.run(), name=f"informer-{informer.name}")
