"""Removes pods that no other daemon removes: of nodes that are gone, deleted without a node, and excess terminated ones.

A node that disappears has ``QUARANTINE`` seconds to come back, and the server is asked before its pods are deleted.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final

from apimachinery import errors, meta
from apimachinery.core.pods import is_terminal
from apimachinery.types.core_v1 import Node, Pod
from controller_manager.context import ControllerContext

log = logging.getLogger(__name__)

PERIOD: Final = 20.0
QUARANTINE: Final = 40.0


class PodGarbageCollector:
    def __init__(self, context: ControllerContext, *, quarantine: float = QUARANTINE) -> None:
        self._pods_api, self._nodes_api = context.client.resource(Pod), context.client.resource(Node)
        self._pods, self._nodes = context.informer(Pod), context.informer(Node)
        self._threshold, self._quarantine = context.options.terminated_pod_gc_threshold, quarantine
        self._missing_since: dict[str, float] = {}

    async def run(self) -> None:
        while True:
            try:
                await self.collect()
            except errors.ApiError as exc:
                log.info("pod garbage collection: %s; will retry", exc)
            except Exception:
                log.exception("pod garbage collection failed; will retry")
            await asyncio.sleep(PERIOD)

    async def collect(self) -> None:
        """One pass. Safe to repeat."""
        pods = self._pods.list()
        gone = await self._gone_nodes(pods)
        for pod in terminated(pods, self._threshold):
            await self._delete(pod, "too many pods have terminated")
        for pod in orphaned(pods, gone):
            await self._delete(pod, f"its node {pod.spec.node_name} is gone")
        for pod in unscheduled_terminating(pods):
            await self._delete(pod, "it never had a node")

    async def _gone_nodes(self, pods: Sequence[Pod]) -> set[str]:
        now = asyncio.get_running_loop().time()
        names = {pod.spec.node_name for pod in pods if pod.spec.node_name}
        missing = {name for name in names if self._nodes.get(meta.Key("", name)) is None}
        self._missing_since = {name: self._missing_since.get(name, now) for name in missing}
        overdue = [name for name, since in self._missing_since.items() if now - since >= self._quarantine]
        return {name for name in overdue if await self._is_gone(name)}

    async def _is_gone(self, node: str) -> bool:
        try:
            await self._nodes_api.get(node)
        except errors.NotFound:
            return True
        return False

    async def _delete(self, pod: Pod, reason: str) -> None:
        namespace, name = meta.key_of(pod)
        log.info("%s: deleted, %s", meta.key_of(pod), reason)
        with suppress(errors.NotFound, errors.Conflict):
            await self._pods_api.delete(name, namespace=namespace, uid=meta.uid_of(pod), grace_period_seconds=0)


def terminated(pods: Sequence[Pod], threshold: int) -> list[Pod]:
    """The terminated pods in excess of ``threshold``, the oldest ones; none if that is 0."""
    oldest_first = sorted(filter(is_terminal, pods), key=lambda pod: pod.metadata.creation_timestamp or "")
    return oldest_first[: len(oldest_first) - threshold] if 0 < threshold < len(oldest_first) else []


def orphaned(pods: Sequence[Pod], gone_nodes: Collection[str]) -> list[Pod]:
    return [pod for pod in pods if pod.spec.node_name in gone_nodes]


def unscheduled_terminating(pods: Sequence[Pod]) -> list[Pod]:
    return [pod for pod in pods if meta.is_being_deleted(pod) and not pod.spec.node_name]
