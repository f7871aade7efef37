"""Deletes pods from nodes whose NoExecute taints they do not tolerate, or not for any longer.

A toleration's seconds count from when the taint was added, as the taint itself tells, so a restarted controller
manager goes on counting where the last one stopped. A taint that does not tell counts from when it is first seen.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from math import inf
from typing import Final

from msgspec import structs

from apimachinery import errors, meta
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Node, Pod, Taint, Toleration
from controller_manager.informers import BY_NODE, Informers
from controller_manager.node_health import NOT_READY, UNREACHABLE
from kube_client import Client, EventRecorder, WorkQueue, process
from kube_client.workqueue import Backoff

log = logging.getLogger(__name__)

LONGEST_BACKOFF: Final = 10.0


class TaintEvictionController:
    """``pod_eviction_timeout``: seconds that a pod without a word about silent nodes stays on one."""

    def __init__(
        self, client: Client, informers: Informers, recorder: EventRecorder, pod_eviction_timeout: float
    ) -> None:
        self._client_pods = client.resource(Pod)
        self._pods = informers.pods
        self._recorder, self._default = recorder, pod_eviction_timeout
        self._taints: dict[str, list[Taint]] = {}  # NoExecute ones by node, each with the time it was added
        self._queue = WorkQueue[Key]("taint_eviction_controller", backoff=Backoff(limit=LONGEST_BACKOFF))
        informers.nodes.on_change(self._on_node)
        self._pods.on_change(self._on_pod)

    async def run(self, workers: int) -> None:
        await process(self._queue, self.sync, workers=workers)

    async def sync(self, key: Key) -> None:
        """Delete one pod if it is time, or come back when it will be."""
        pod = self._pods.get(key)
        if pod is None or meta.is_being_deleted(pod) or not pod.spec.node_name:
            return
        taints = self._taints.get(pod.spec.node_name, [])
        wait = seconds_left(pod, taints, self._default, datetime.now(UTC))
        if wait == inf:
            return
        if wait > 0:
            self._queue.add_after(key, wait)
            return
        log.info("%s: deleted from node %s, whose taints it does not tolerate", key, pod.spec.node_name)
        self._recorder.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
        with suppress(errors.NotFound):
            await self._client_pods.delete(key.name, namespace=key.namespace, uid=meta.uid_of(pod))

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        node = new or old
        if node is None or (old is not None and new is not None and no_execute(old) == no_execute(new)):
            return
        name = meta.name_of(node)
        known = {one.key: one.time_added for one in self._taints.pop(name, ())}
        if new is None or not no_execute(new):
            return
        self._taints[name] = [
            structs.replace(one, time_added=one.time_added or known.get(one.key) or meta.now())
            for one in no_execute(new)
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
    return [one for one in node.spec.taints or () if one.effect == "NoExecute"]


def seconds_left(pod: Pod, taints: Sequence[Taint], default: float, now: datetime) -> float:
    """How long the pod may stay under these NoExecute taints; ``inf`` for ever, 0 or less: it must go.

    ``default`` is for a pod that says nothing about its node's being not ready or unreachable.
    """
    return min((_under(pod.spec.tolerations or (), taint, default, now) for taint in taints), default=inf)


def _under(tolerations: Sequence[Toleration], taint: Taint, default: float, now: datetime) -> float:
    matching = [one for one in tolerations if _tolerates(one, taint)]
    granted = default if taint.key in (NOT_READY, UNREACHABLE) else 0.0
    if matching:
        # Of several the shortest counts, as in Kubernetes; one without seconds tolerates for ever.
        limits = [one.toleration_seconds for one in matching if one.toleration_seconds is not None]
        granted = max(0, min(limits)) if limits else inf
    since = meta.parse_time(taint.time_added) if taint.time_added else now
    return granted - (now - since).total_seconds()


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and (toleration.value or "") == (taint.value or "")
