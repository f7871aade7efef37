"""Notices nodes that have gone silent or are not ready, and says so: conditions, taints, and their pods' readiness.

A node that is not heard within the grace period becomes Ready=Unknown and ``unreachable``; its pods become not ready
at once, so that services leave them. Evicting them is ``taint_eviction``'s business. Two safeguards: when no node at
all is ready, the fault is more likely ours, and nobody is evicted; and NoExecute taints are spread in time by the
eviction rate.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from apimachinery import errors, meta
from apimachinery.types.coordination_v1 import Lease
from apimachinery.types.core_v1 import Node, NodeCondition, Pod, PodCondition
from controller_manager import node_health
from controller_manager.informers import BY_NODE, NODE_LEASES, Informers
from controller_manager.pods import is_ready
from kube_client import Client, EventRecorder, WorkQueue, process
from kube_client.workqueue import Backoff

log = logging.getLogger(__name__)

LONGEST_BACKOFF: Final = 5.0


@dataclass(frozen=True)
class Monitoring:
    """Seconds, except ``eviction_rate``: nodes per second that may be given a NoExecute taint."""

    grace_period: float = 40.0
    startup_grace_period: float = 60.0
    period: float = 5.0
    eviction_rate: float = 0.1


class NodeLifecycleController:
    def __init__(
        self, client: Client, informers: Informers, recorder: EventRecorder, monitoring: Monitoring
    ) -> None:
        self._client = client
        self._client_nodes, self._client_pods = client.resource(Node), client.resource(Pod)
        self._nodes, self._pods, self._leases = informers.nodes, informers.pods, informers.node_leases
        self._recorder, self._monitoring = recorder, monitoring
        self._heartbeats = node_health.Heartbeats()
        self._became_not_ready: set[str] = set()
        self._next_eviction = 0.0
        self._queue = WorkQueue[str]("node_lifecycle_controller", backoff=Backoff(limit=LONGEST_BACKOFF))
        self._nodes.on_change(self._on_node)
        self._leases.on_change(self._on_lease)

    async def run(self, workers: int) -> None:
        # A lease last seen by a former leader is not old news to us: everybody is heard from now on.
        self._heartbeats.forgive(_now())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._monitor(), name="node-monitor")
            tasks.create_task(process(self._queue, self.sync, workers=workers), name="node-lifecycle")

    async def _monitor(self) -> None:
        """Look at every node each period, and notice when we ourselves could not hear them."""
        last = _now()
        while True:
            await asyncio.sleep(self._monitoring.period)
            if not await self._can_hear() or _now() - last > 2 * self._monitoring.period + 1:
                self._heartbeats.forgive(_now())
            last = _now()
            for node in self._nodes.list():
                self._queue.add(meta.name_of(node))

    async def _can_hear(self) -> bool:
        try:
            async with asyncio.timeout(self._monitoring.period):
                await self._client.request("GET", "/readyz")
        except (errors.ApiError, TimeoutError) as exc:
            log.info("%s: apiserver not ready: %s; nodes are given more time", NODE_LEASES, exc or "no answer")
            return False
        return True

    async def sync(self, name: str) -> None:
        """Write down what is known about one node."""
        node = self._nodes.get(meta.Key("", name))
        if node is None:
            self._heartbeats.forget(name)
            self._became_not_ready.discard(name)
            return
        ready = node_health.readiness(node)
        if self._is_silent(node):
            node = await self._mark_unknown(node)
            ready = "Unknown"
        # First of all its pods leave the services. A kubelet that is merely not ready still speaks for its pods, so
        # they are marked once, when it becomes so, and not against its word.
        if ready == "Unknown" or name in self._became_not_ready:
            await self._mark_pods_not_ready(name)
            self._became_not_ready.discard(name)
        await self._taint(node, ready)

    def _is_silent(self, node: Node) -> bool:
        never = node_health.condition(node, "Ready") is None
        grace = self._monitoring.startup_grace_period if never else self._monitoring.grace_period
        return self._heartbeats.silence(meta.name_of(node), _now()) > grace

    async def _mark_unknown(self, node: Node) -> Node:
        """The node as it is then."""
        changed: list[NodeCondition] = node_health.unknown_conditions(node, datetime.now(UTC))
        if not changed:
            return node
        name = meta.name_of(node)
        log.warning("%s: not heard for %.0f s, now Unknown", name, self._heartbeats.silence(name, _now()))
        patch = {"metadata": {"uid": meta.uid_of(node)}, "status": {"conditions": changed}}
        written = await self._client_nodes.patch(name, patch, subresource="status")
        self._recorder.event(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        return written

    async def _taint(self, node: Node, ready: str) -> None:
        name = meta.name_of(node)
        effects = ["NoSchedule"]
        if ready != "True" and self._may_evict(node):
            effects.append("NoExecute")
        wanted = node_health.taints(node, ready, effects, datetime.now(UTC))
        if wanted is None:
            return
        # With the version: another writer's taint must not be lost, and the list is replaced whole.
        version = node.metadata.resource_version
        patch = {"metadata": {"resourceVersion": version}, "spec": {"taints": wanted or None}}
        await self._client_nodes.patch(name, patch, kind="merge")
        log.info("%s: Ready is %s, taints now %s", name, ready, [f"{one.key}:{one.effect}" for one in wanted])

    def _may_evict(self, node: Node) -> bool:
        if all(self._is_silent(one) or node_health.readiness(one) != "True" for one in self._nodes.list()):
            return False
        if node_health.has_taint(node, "NoExecute"):
            return True
        now = _now()
        if now < self._next_eviction:
            self._queue.add_after(meta.name_of(node), self._next_eviction - now)
            return False
        self._next_eviction = now + 1 / self._monitoring.eviction_rate
        return True

    async def _mark_pods_not_ready(self, name: str) -> None:
        for pod in self._pods.by_index(BY_NODE, name):
            if is_ready(pod):
                await self._mark_pod(pod)

    async def _mark_pod(self, pod: Pod) -> None:
        condition = PodCondition(type="Ready", status="False", last_transition_time=meta.now())
        patch = {"metadata": {"uid": meta.uid_of(pod)}, "status": {"conditions": [condition]}}
        namespace, name = meta.key_of(pod)
        with suppress(errors.NotFound):
            await self._client_pods.patch(name, patch, namespace=namespace, subresource="status")
            self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        node = new or old
        if node is None:
            return
        name = meta.name_of(node)
        if new is not None:
            self._heartbeats.observe(new, self._leases.get(meta.Key(NODE_LEASES, name)), _now())
            if old is not None and node_health.readiness(old) == "True" != node_health.readiness(new):
                self._became_not_ready.add(name)
            if (
                old is not None
                and node_health.readiness(old) == node_health.readiness(new)
                and node_health.pressures(old) == node_health.pressures(new)
                and old.spec.taints == new.spec.taints
            ):
                return  # a heartbeat
        self._queue.add(name)

    def _on_lease(self, old: Lease | None, new: Lease | None) -> None:
        if new is not None and (node := self._nodes.get(meta.Key("", meta.name_of(new)))) is not None:
            self._heartbeats.observe(node, new, _now())


def _now() -> float:
    return asyncio.get_running_loop().time()
