"""Passes the informers' events on: bound pods and nodes to the cache, unbound pods to the queue.

Also decides which changes may help a pod for which no node was feasible. A node's heartbeats do not, otherwise every
waiting pod would be tried again every few seconds.
"""

import logging
from collections.abc import Collection

from apimachinery import meta
from apimachinery.types.core_v1 import Node, Pod
from kube_client import Informer
from scheduler.cache import Cache
from scheduler.pod_info import pod_info
from scheduler.queue import SchedulingQueue

log = logging.getLogger(__name__)


class EventHandlers:
    """Connects informers to cache and queue; ``scheduler_names`` are those that this scheduler serves."""

    def __init__(
        self,
        pods: Informer[Pod],
        nodes: Informer[Node],
        cache: Cache,
        queue: SchedulingQueue,
        scheduler_names: Collection[str],
    ) -> None:
        self._cache, self._queue = cache, queue
        self._scheduler_names = frozenset(scheduler_names)
        nodes.on_change(self._on_node)
        pods.on_change(self._on_pod)

    def is_ours(self, pod: Pod) -> bool:
        """Whether this scheduler is to schedule the pod."""
        return (
            not pod.spec.node_name
            and not meta.is_being_deleted(pod)
            and (pod.spec.scheduler_name or "default-scheduler") in self._scheduler_names
            and not pod.spec.scheduling_gates
        )

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            if old is not None:
                self._cache.remove_node(meta.name_of(old))
            return
        if old is not None and _is_same_to_scheduling(old, new):
            return
        self._cache.set_node(new)
        self._queue.move_all()

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        if new is None:
            if old is not None:
                self._on_delete(old)
            return
        if new.spec.node_name:
            self._cache.set_pod(new)
            if old is None or not old.spec.node_name:
                self._queue.delete(meta.key_of(new))
        elif not self.is_ours(new):
            self._queue.delete(meta.key_of(new))
        elif not self._cache.is_assumed(meta.uid_of(new)):
            self._on_unbound(old, new)

    def _on_unbound(self, old: Pod | None, new: Pod) -> None:
        try:
            info = pod_info(new)
        except ValueError as exc:
            log.warning("%s: cannot be scheduled: %s", meta.key_of(new), exc)
            return
        was_ours = old is not None and self.is_ours(old)
        if was_ours and old is not None and old.spec == new.spec and meta.labels_of(old) == meta.labels_of(new):
            # Most likely our own condition. A pod being tried is not in the queue; it is read again afterwards.
            self._queue.refresh(info)
        else:
            self._queue.add(info)

    def _on_delete(self, pod: Pod) -> None:
        self._queue.delete(meta.key_of(pod))
        uid = meta.uid_of(pod)
        held_room = bool(pod.spec.node_name) or self._cache.is_assumed(uid)
        self._cache.remove_pod(uid)
        if held_room:
            self._queue.move_all()


def _is_same_to_scheduling(old: Node, new: Node) -> bool:
    return (
        old.status.allocatable == new.status.allocatable
        and old.status.capacity == new.status.capacity
        and old.metadata.labels == new.metadata.labels
        and old.spec.taints == new.spec.taints
        and bool(old.spec.unschedulable) == bool(new.spec.unschedulable)
    )
