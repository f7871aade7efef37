"""Detects nodes that are silent or not ready, and marks them: conditions, taints, and the readiness of their pods.

A node without a heartbeat for the grace period becomes Ready=Unknown and ``unreachable``; its pods become not ready at
once, so that services no longer use them. ``taint_eviction`` evicts them. Two safeguards: when no node at all is ready,
the fault is more likely ours, and no pod is evicted; and NoExecute taints are spread in time by the eviction rate.
"""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from apimachinery import errors, meta
from apimachinery.core.nodes import condition, readiness
from apimachinery.core.pods import is_ready
from apimachinery.core.tolerations import NO_EXECUTE, NO_SCHEDULE
from apimachinery.types.coordination_v1 import Lease
from apimachinery.types.core_v1 import Node, Pod, PodCondition
from controller_manager import indexes, node_health
from controller_manager.context import ControllerContext
from controller_manager.indexes import BY_NODE
from kube_client import WorkQueue, process
from kube_client.workqueue import Backoff

log = logging.getLogger(__name__)

NODE_LEASES: Final = "kube-node-lease"
LONGEST_BACKOFF: Final = 5.0
_WORKERS: Final = 8


class NodeLifecycleController:
    def __init__(self, context: ControllerContext) -> None:
        self._client, self._options = context.client, context.options.nodes
        self._recorder = context.recorder.of("node-controller")
        self._nodes_api, self._pods_api = context.client.resource(Node), context.client.resource(Pod)
        self._nodes, self._leases = context.informer(Node), context.informer(Lease, namespace=NODE_LEASES)
        self._pods = context.informer(Pod, indexes={BY_NODE: indexes.node_of})
        self._heartbeats = node_health.Heartbeats()
        self._became_not_ready: set[str] = set()
        self._known: dict[str, Node] = {}  # as first seen
        self._next_eviction = 0.0
        self._queue = WorkQueue[str]("node_lifecycle_controller", backoff=Backoff(limit=LONGEST_BACKOFF))
        self._nodes.on_change(self._on_node)
        self._leases.on_change(self._on_lease)

    async def run(self) -> None:
        self._heartbeats.reset(_now())  # silence counts from when we lead, whatever a former leader observed
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._monitor(), name="node-monitor")
            tasks.create_task(process(self._queue, self.sync, workers=_WORKERS), name="node-lifecycle")

    async def _monitor(self) -> None:
        """Check every node each period, unless heartbeats could not be observed in it."""
        last, period = _now(), self._options.node_monitor_period
        while True:
            await asyncio.sleep(period)
            if not await self._can_observe() or _now() - last > 2 * period + 1:
                self._heartbeats.reset(_now())
            last = _now()
            for node in self._nodes.list():
                self._queue.add(meta.name_of(node))

    async def _can_observe(self) -> bool:
        try:
            async with asyncio.timeout(self._options.node_monitor_period):
                await self._client.request("GET", "/readyz")
        except (errors.ApiError, TimeoutError) as exc:
            log.info("%s: apiserver not ready: %s; nodes have more time", NODE_LEASES, exc or "no answer")
            return False
        return True

    async def sync(self, name: str) -> None:
        """Write the conditions and taints of one node, and mark its pods."""
        node = self._nodes.get(meta.Key("", name))
        self._say_whether_known(name, node)
        if node is None:
            self._heartbeats.forget(name)
            self._became_not_ready.discard(name)
            return
        ready = readiness(node)
        if self._is_silent(node):
            node = await self._mark_unknown(node)
            ready = "Unknown"
        # First its pods leave the services. A kubelet that is merely not ready still reports its pods, so they are
        # marked once, when it becomes not ready, and not against its later reports.
        if ready == "Unknown" or name in self._became_not_ready:
            await self._mark_pods_not_ready(name)
            self._became_not_ready.discard(name)
        await self._taint(node, ready)

    def _say_whether_known(self, name: str, node: Node | None) -> None:
        """Record that a node has come or gone; at the start of this controller all have come."""
        if node is None:
            if (gone := self._known.pop(name, None)) is not None:
                self._recorder.event(gone, "Normal", "RemovingNode", f"Removing Node {name} from Controller")
        elif name not in self._known:
            self._known[name] = node
            self._recorder.event(node, "Normal", "RegisteredNode", f"Registered Node {name} in Controller")

    def _is_silent(self, node: Node) -> bool:
        has_reported = condition(node, "Ready") is not None
        options = self._options
        grace = options.node_monitor_grace_period if has_reported else options.node_startup_grace_period
        return self._heartbeats.silence(meta.name_of(node), _now()) > grace

    async def _mark_unknown(self, node: Node) -> Node:
        """The node as it is afterwards."""
        conditions = node_health.unknown_conditions(node, datetime.now(UTC))
        if not conditions:
            return node
        name = meta.name_of(node)
        log.warning("%s: no heartbeat for %.0f s, now Unknown", name, self._heartbeats.silence(name, _now()))
        patch = {"metadata": {"uid": meta.uid_of(node)}, "status": {"conditions": conditions}}
        written = await self._nodes_api.patch(name, patch, subresource="status")
        if readiness(node) == "True":  # otherwise it has not been ready before
            self._recorder.event(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        return written

    async def _taint(self, node: Node, ready: str) -> None:
        name = meta.name_of(node)
        effects = [NO_SCHEDULE]
        if ready != "True" and self._may_evict(node):
            effects.append(NO_EXECUTE)
        taints = node_health.taints(node, ready, effects, datetime.now(UTC))
        if taints is None:
            return
        # With the version: the list is replaced as a whole, and another writer's taint must not be lost.
        version = node.metadata.resource_version
        patch = {"metadata": {"resourceVersion": version}, "spec": {"taints": taints or None}}
        await self._nodes_api.patch(name, patch, kind="merge")
        log.info("%s: Ready is %s, taints now %s", name, ready, [f"{taint.key}:{taint.effect}" for taint in taints])

    def _may_evict(self, node: Node) -> bool:
        if all(self._is_silent(other) or readiness(other) != "True" for other in self._nodes.list()):
            return False
        if node_health.has_readiness_taint(node, NO_EXECUTE):
            return True
        now = _now()
        if now < self._next_eviction:
            self._queue.add_after(meta.name_of(node), self._next_eviction - now)
            return False
        self._next_eviction = now + 1 / self._options.node_eviction_rate
        return True

    async def _mark_pods_not_ready(self, name: str) -> None:
        for pod in self._pods.by_index(BY_NODE, name):
            if is_ready(pod):
                await self._mark_pod_not_ready(pod)

    async def _mark_pod_not_ready(self, pod: Pod) -> None:
        not_ready = PodCondition(type="Ready", status="False", last_transition_time=meta.now())
        patch = {"metadata": {"uid": meta.uid_of(pod)}, "status": {"conditions": [not_ready]}}
        namespace, name = meta.key_of(pod)
        with suppress(errors.NotFound):
            await self._pods_api.patch(name, patch, namespace=namespace, subresource="status")
            self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        node = new or old
        if node is None:
            return
        name = meta.name_of(node)
        if new is not None:
            self._heartbeats.observe(new, self._leases.get(meta.Key(NODE_LEASES, name)), _now())
            if old is not None and readiness(old) == "True" != readiness(new):
                self._became_not_ready.add(name)
            if (
                old is not None
                and readiness(old) == readiness(new)
                and node_health.no_schedule_taints(old) == node_health.no_schedule_taints(new)
                and old.spec.taints == new.spec.taints
            ):
                return  # a heartbeat
        self._queue.add(name)

    def _on_lease(self, old: Lease | None, new: Lease | None) -> None:
        if new is not None and (node := self._nodes.get(meta.Key("", meta.name_of(new)))) is not None:
            self._heartbeats.observe(node, new, _now())


def _now() -> float:
    return asyncio.get_running_loop().time()
