"""Creates and deletes the pods of owners of one kind, and says so in events on the owner.

Each write is expected until the informer shows it: a controller asks ``expectations.met`` before it acts again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from apimachinery import codec, errors, meta
from apimachinery.types.core_v1 import Pod, PodTemplateSpec
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.objects import KubeObject
from kube_client import Client, EventRecorder, Expectations

log = logging.getLogger(__name__)

T = TypeVar("T")


class PodControlError(Exception):
    """A pod could not be created or deleted; ``reason`` is that of the event, and of the owner's condition."""

    def __init__(self, reason: str, cause: errors.ApiError) -> None:
        super().__init__(str(cause))
        self.reason, self.cause = reason, cause


class PodControl:
    def __init__(self, client: Client, recorder: EventRecorder) -> None:
        self._pods_api, self._recorder = client.resource(Pod), recorder
        self.expectations = Expectations()
        """By the owner's key."""

    async def create(self, owner: KubeObject, pods: Sequence[Pod]) -> None:
        """Create them in batches of 1, 2, 4 ...: if the first is refused, the others will be as well.

        Raises:
            PodControlError: one was refused; the rest of its batch was attempted.
        """
        start, size = 0, 1
        while start < len(pods):
            await _all(lambda pod: self._create(owner, pod), pods[start : start + size])
            start, size = start + size, size * 2

    async def _create(self, owner: KubeObject, pod: Pod) -> None:
        key = meta.key_of(owner)
        try:
            with self.expectations.creation(key):
                created = await self._pods_api.create(pod)
        except errors.ApiError as exc:
            if errors.is_namespace_terminating(exc):
                return  # it will never accept a pod again
            self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {exc}")
            raise PodControlError("FailedCreate", exc) from exc
        name = meta.name_of(created)
        log.info("%s: created pod %s", key, name)
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {name}")

    async def delete(self, owner: KubeObject, pods: Sequence[Pod]) -> None:
        """Delete them all at once.

        Raises:
            PodControlError: one was refused; all the others were attempted.
        """
        await _all(lambda pod: self._delete(owner, pod), pods)

    async def _delete(self, owner: KubeObject, pod: Pod) -> None:
        key, (namespace, name) = meta.key_of(owner), meta.key_of(pod)
        try:
            # suppress is outermost: a pod that is gone already must also take back the expectation
            with suppress(errors.NotFound), self.expectations.deletion(key, pod):
                await self._pods_api.delete(name, namespace=namespace, uid=meta.uid_of(pod))
        except errors.ApiError as exc:
            self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {exc}")
            raise PodControlError("FailedDelete", exc) from exc
        log.info("%s: deleted pod %s", key, name)
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")


def pod_from_template(owner: KubeObject, template: PodTemplateSpec) -> Pod:
    """A pod of the template, owned by ``owner``; the server completes its name."""
    metadata = template.metadata
    return Pod(
        metadata=ObjectMeta(
            generate_name=f"{meta.name_of(owner)}-",
            namespace=meta.namespace_of(owner),
            labels=dict(metadata.labels or {}),
            annotations=dict(metadata.annotations) if metadata.annotations else None,
            finalizers=list(metadata.finalizers) if metadata.finalizers else None,
            owner_references=[meta.owner_reference(owner)],
        ),
        spec=codec.copy(template.spec),
    )


async def _all(act: Callable[[T], Awaitable[None]], items: Sequence[T]) -> None:
    """Act on all at once, and on all even if one fails; then raise the first failure."""
    results = await asyncio.gather(*(act(item) for item in items), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
