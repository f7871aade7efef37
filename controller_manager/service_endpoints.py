"""What the controllers of services' endpoints share: which services to work on, since when, and with which pods."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from apimachinery import errors, meta
from apimachinery.core.pods import is_ready, is_terminal
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Pod, Service
from apimachinery.types.objects import KubeObject
from controller_manager import indexes
from controller_manager.context import ControllerContext
from controller_manager.indexes import BY_NAMESPACE
from kube_client import EventRecorder, WorkQueue

LONGEST_BACKOFF: Final = 5.0
"""Seconds. While a service leads to a dead pod, a write every few seconds is worth its cost."""


class ServiceTriggers:
    """Adds a service's key to the queue when it changes, or a pod that it selects; keeps when that first happened."""

    def __init__(self, context: ControllerContext, queue: WorkQueue[Key]) -> None:
        self.services = context.informer(Service, indexes={BY_NAMESPACE: indexes.namespace_of})
        self._pods = context.informer(Pod, indexes={BY_NAMESPACE: indexes.namespace_of})
        self._queue = queue
        self._changed_at: dict[Key, str] = {}  # of the first change that is not written yet
        self.services.on_change(self._on_service)
        self._pods.on_change(self._on_pod)

    def pods_of(self, service: Service) -> list[Pod]:
        """The pods that its selector matches; none without a selector, or for an alias of an external name."""
        if not has_endpoints(service):
            return []
        selector = (service.spec.selector or {}).items()
        pods = self._pods.by_index(BY_NAMESPACE, meta.namespace_of(service))
        return [pod for pod in pods if selector <= meta.labels_of(pod).items()]

    @contextmanager
    def change_time(self, key: Key) -> Iterator[str | None]:
        """When the first change came that the block writes, if one did; it is kept if the block fails."""
        moment = self._changed_at.pop(key, None)
        try:
            yield moment
        except BaseException:
            if moment is not None:
                self._changed_at[key] = moment
            raise

    def _on_service(self, old: Service | None, new: Service | None) -> None:
        if service := new or old:
            self._trigger(meta.key_of(service))

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        for key in affected_services(old, new, lambda namespace: self.services.by_index(BY_NAMESPACE, namespace)):
            self._trigger(key)

    def _trigger(self, key: Key) -> None:
        self._changed_at.setdefault(key, meta.now_micro())
        self._queue.add(key)


def has_endpoints(service: Service) -> bool:
    """Whether its endpoints follow from pods; otherwise whoever wants some writes them by hand."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def affected_services(old: Pod | None, new: Pod | None, services_in: Callable[[str], Iterable[Service]]) -> set[Key]:
    """The services whose endpoints a pod's change may alter; ``services_in`` returns those of a namespace."""
    if old is not None and new is not None and same_to_services(old, new):
        return set()
    return {
        meta.key_of(service)
        for pod in (old, new)
        if pod is not None
        for service in services_in(meta.namespace_of(pod))
        if service.spec.selector and service.spec.selector.items() <= meta.labels_of(pod).items()
    }


def same_to_services(old: Pod, new: Pod) -> bool:
    """Whether a pod's change leaves all endpoints as they are."""
    return (
        old.status.pod_ip == new.status.pod_ip
        and is_ready(old) == is_ready(new)
        and is_terminal(old) == is_terminal(new)
        and meta.is_being_deleted(old) == meta.is_being_deleted(new)
        and meta.labels_of(old) == meta.labels_of(new)
        and old.spec.node_name == new.spec.node_name
    )


@contextmanager
def event_on_refusal(recorder: EventRecorder, obj: KubeObject, reason: str, message: str) -> Iterator[None]:
    """Record a Warning, ``message: error``, if the server refuses a write in the block.

    A stale cache is no news, the next attempt reads a newer one; nor is a namespace that is being deleted.
    """
    try:
        yield
    except (errors.Conflict, errors.NotFound, errors.AlreadyExists, errors.Forbidden):
        raise
    except errors.ApiError as exc:
        recorder.event(obj, "Warning", reason, f"{message}: {exc}")
        raise
