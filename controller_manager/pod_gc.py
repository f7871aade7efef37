"""Removes pods that nobody else will: of nodes that are gone, without a node and deleted, and too many that have ended.

A node that vanishes gets ``QUARANTINE`` seconds to come back, and the server is asked before its pods go.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final

from apimachinery import errors, meta
from apimachinery.types.core_v1 import Node, Pod
from controller_manager.informers import Informers
from controller_manager.pods import is_terminal
from kube_client import Client

log = logging.getLogger(__name__)

PERIOD: Final = 20.0
QUARANTINE: Final = 40.0


class PodGarbageCollector:
    """``terminated_threshold``: so many pods that have ended are kept; 0 keeps all."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        terminated_threshold: int,
        *,
        period: float = PERIOD,
        quarantine: float = QUARANTINE,
    ) -> None:
        self._client_pods, self._client_nodes = client.resource(Pod), client.resource(Node)
        self._pods, self._nodes = informers.pods, informers.nodes
        self._threshold, self._period, self._quarantine = terminated_threshold, period, quarantine
        self._missing_since: dict[str, float] = {}

    async def run(self, workers: int) -> None:
        while True:
            try:
                await self.collect()
            except errors.ApiError as exc:
                log.info("pod garbage collection: %s; will retry", exc)
            except Exception:
                log.exception("pod garbage collection failed; will retry")
            await asyncio.sleep(self._period)

    async def collect(self) -> None:
        """One pass. Safe to repeat."""
        pods = self._pods.list()
        gone = await self._gone_nodes(pods)
        for pod in terminated(pods, self._threshold):
            await self._delete(pod, "it has ended, and there are many")
        for pod in orphaned(pods, gone):
            await self._delete(pod, f"its node {pod.spec.node_name} is gone")
        for pod in unscheduled_terminating(pods):
            await self._delete(pod, "it was deleted and never had a node")

    async def _gone_nodes(self, pods: Sequence[Pod]) -> set[str]:
        now = asyncio.get_running_loop().time()
        named = {pod.spec.node_name for pod in pods if pod.spec.node_name}
        missing = {name for name in named if self._nodes.get(meta.Key("", name)) is None}
        self._missing_since = {name: self._missing_since.get(name, now) for name in missing}
        overdue = [name for name, since in self._missing_since.items() if now - since >= self._quarantine]
        return {name for name in overdue if await self._is_gone(name)}

    async def _is_gone(self, node: str) -> bool:
        try:
            await self._client_nodes.get(node)
        except errors.NotFound:
            return True
        return False

    async def _delete(self, pod: Pod, why: str) -> None:
        namespace, name = meta.key_of(pod)
        log.info("%s: deleted, %s", meta.key_of(pod), why)
        with suppress(errors.NotFound, errors.Conflict):
            await self._client_pods.delete(
                name, namespace=namespace, uid=meta.uid_of(pod), grace_period_seconds=0
            )


def terminated(pods: Sequence[Pod], threshold: int) -> list[Pod]:
    """The oldest of those that have ended, as many as there are too many."""
    ended = sorted((pod for pod in pods if is_terminal(pod)), key=lambda pod: pod.metadata.creation_timestamp or "")
    return ended[: len(ended) - threshold] if 0 < threshold < len(ended) else []


def orphaned(pods: Sequence[Pod], gone_nodes: Collection[str]) -> list[Pod]:
    return [pod for pod in pods if pod.spec.node_name in gone_nodes]


def unscheduled_terminating(pods: Sequence[Pod]) -> list[Pod]:
    return [pod for pod in pods if meta.is_being_deleted(pod) and not pod.spec.node_name]
