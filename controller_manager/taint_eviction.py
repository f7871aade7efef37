"""Deletes pods from nodes whose NoExecute taints they do not tolerate, or not for any longer.

A toleration's seconds count from the taint's ``timeAdded``, so a restarted controller manager continues where the
previous one stopped. A taint without one counts from when it is first seen.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from math import inf
from typing import Final

from msgspec import structs

from apimachinery import errors, meta
from apimachinery.core.tolerations import NO_EXECUTE, tolerates
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Node, Pod, Taint
from controller_manager import indexes
from controller_manager.context import ControllerContext
from controller_manager.indexes import BY_NODE
from controller_manager.node_health import READINESS_TAINTS
from kube_client import WorkQueue, process
from kube_client.workqueue import Backoff

log = logging.getLogger(__name__)

LONGEST_BACKOFF: Final = 10.0
_WORKERS: Final = 8


class TaintEvictionController:
    def __init__(self, context: ControllerContext) -> None:
        self._pods_api = context.client.resource(Pod)
        self._recorder = context.recorder.of("taint-eviction-controller")
        self._pods = context.informer(Pod, indexes={BY_NODE: indexes.node_of})
        self._default = context.options.nodes.pod_eviction_timeout
        self._taints: dict[str, list[Taint]] = {}  # NoExecute ones by node, each with the time it was added
        self._marked: set[Key] = set()  # pods that are to be deleted later
        self._queue = WorkQueue[Key]("taint_eviction_controller", backoff=Backoff(limit=LONGEST_BACKOFF))
        context.informer(Node).on_change(self._on_node)
        self._pods.on_change(self._on_pod)

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=_WORKERS)

    async def sync(self, key: Key) -> None:
        """Delete one pod if its time is up, otherwise check again when it will be."""
        pod = self._pods.get(key)
        was_marked = key in self._marked
        self._marked.discard(key)
        if pod is None or meta.is_being_deleted(pod) or not pod.spec.node_name:
            return
        taints = self._taints.get(pod.spec.node_name, [])
        wait = seconds_left(pod, taints, self._default, datetime.now(UTC))
        if wait == inf:
            if was_marked:
                self._recorder.event(pod, "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {key}")
            return
        if wait > 0:
            self._marked.add(key)
            self._queue.add_after(key, wait)
            return
        log.info("%s: deleted from node %s, whose taints it does not tolerate", key, pod.spec.node_name)
        self._recorder.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
        with suppress(errors.NotFound):
            await self._pods_api.delete(key.name, namespace=key.namespace, uid=meta.uid_of(pod))

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        node = new or old
        if node is None or (old is not None and new is not None and no_execute(old) == no_execute(new)):
            return
        name = meta.name_of(node)
        first_seen = {taint.key: taint.time_added for taint in self._taints.pop(name, ())}
        if new is not None and no_execute(new):
            self._taints[name] = [
                structs.replace(taint, time_added=taint.time_added or first_seen.get(taint.key) or meta.now())
                for taint in no_execute(new)
            ]
        for pod in self._pods.by_index(BY_NODE, name):
            self._queue.add(meta.key_of(pod))

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        if new is None or not new.spec.node_name:
            return
        if old is not None and old.spec.node_name and old.spec.tolerations == new.spec.tolerations:
            return
        if new.spec.node_name in self._taints:
            self._queue.add(meta.key_of(new))


def no_execute(node: Node) -> list[Taint]:
    return [taint for taint in node.spec.taints or () if taint.effect == NO_EXECUTE]


def seconds_left(pod: Pod, taints: Sequence[Taint], default: float, now: datetime) -> float:
    """How long the pod may stay under these NoExecute taints; ``inf`` without limit, 0 or less: it must be deleted.

    ``default`` applies to a pod whose tolerations do not mention that its node is not ready or unreachable.
    """
    return min((_seconds_left_under(pod, taint, default, now) for taint in taints), default=inf)


def _seconds_left_under(pod: Pod, taint: Taint, default: float, now: datetime) -> float:
    matching = [toleration for toleration in pod.spec.tolerations or () if tolerates(toleration, taint)]
    allowed = default if taint.key in READINESS_TAINTS.values() else 0.0
    if matching:
        # Of several the shortest counts, as in Kubernetes; one without seconds tolerates without limit.
        limits = [match.toleration_seconds for match in matching if match.toleration_seconds is not None]
        allowed = max(0, min(limits)) if limits else inf
    since = meta.parse_time(taint.time_added) if taint.time_added else now
    return allowed - (now - since).total_seconds()
