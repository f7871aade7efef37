"""Allocates to each node a part of the cluster's pod network, ``spec.podCIDR``.

What is allocated is what nodes carry: it is read from the server before the first allocation, so a restart or a new
leader allocates nothing twice. Writing is a compare-and-set on the node; if it fails the part is released. A node that
comes with a part which it cannot have (``PodCidrs``) takes nothing from the others, and an event says so.
"""

import asyncio
import logging
from typing import Final, Self

from apimachinery import errors, meta
from apimachinery.core.pod_cidrs import PodCidrs
from apimachinery.types.core_v1 import Node
from controller_manager.cidr_set import CidrSet, Network, RangeFull
from controller_manager.context import ControllerContext
from kube_client import WorkQueue, process
from kube_client.workqueue import Backoff

log = logging.getLogger(__name__)

LONGEST_BACKOFF: Final = 10.0
_WORKERS: Final = 8
_FULL_RETRY: Final = 30.0
_READ_RETRY: Final = 1.0


class NodeIpamController:
    """Raises ValueError if nodes' parts would be larger than the cluster's network."""

    def __init__(self, context: ControllerContext, cluster_cidr: Network, node_mask_size: int) -> None:
        self._nodes_api, self._recorder = context.client.resource(Node), context.recorder.of("cidrAllocator")
        self._nodes = context.informer(Node)
        self._cidrs = CidrSet(cluster_cidr, node_mask_size)
        self._version = cluster_cidr.version
        self._holders = PodCidrs(cluster_cidr)
        self._refused: dict[str, str] = {}  # UID of a node -> CIDR that it cannot have
        self._queue = WorkQueue[str]("node_ipam", backoff=Backoff(limit=LONGEST_BACKOFF))
        self._nodes.on_change(self._on_node)

    @classmethod
    def if_allocating(cls, context: ControllerContext) -> Self | None:
        """None without ``--allocate-node-cidrs``."""
        nodes = context.options.nodes
        if not nodes.allocate_node_cidrs or nodes.cluster_cidr is None:
            return None
        return cls(context, nodes.cluster_cidr, nodes.node_cidr_mask_size)

    async def run(self) -> None:
        await self._read()
        await process(self._queue, self.sync, workers=_WORKERS)

    async def _read(self) -> None:
        """Read what is allocated from the server itself: our cache may be older than a former leader's last write."""
        while True:
            try:
                page = await self._nodes_api.list()
            except errors.ApiError as exc:
                log.info("nodes: %s; will list again", exc)
                await asyncio.sleep(_READ_RETRY)
            else:
                for node in sorted(page.items, key=lambda node: node.metadata.creation_timestamp or ""):
                    self._occupy(node)
                return

    async def sync(self, name: str) -> None:
        """Allocate a part to one node if it has none."""
        node = self._nodes.get(meta.Key("", name))
        if node is None or node.spec.pod_cidr or meta.is_being_deleted(node):
            return
        try:
            cidr = self._cidrs.take()
        except RangeFull as exc:
            log.warning("%s: %s", name, exc)
            self._recorder.event(node, "Normal", "CIDRNotAvailable", f"Node {name} status is now: CIDRNotAvailable")
            self._queue.add_after(name, _FULL_RETRY)
            return
        try:
            await self._assign(node, cidr)
        except (errors.Timeout, errors.ServiceUnavailable, errors.InternalError):
            raise  # it may have been written: the part stays taken until the node's next event, or a restart
        except errors.ApiError:
            self._cidrs.release(cidr)
            raise

    async def _assign(self, node: Node, cidr: str) -> None:
        name = meta.name_of(node)
        patch = {
            "metadata": {"uid": meta.uid_of(node), "resourceVersion": node.metadata.resource_version},
            "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
        }
        self._occupy(await self._nodes_api.patch(name, patch, kind="merge"))
        log.info("%s: pod CIDR %s", name, cidr)

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            if old is not None:
                self._release(old)
                for node in [node for node in self._nodes.list() if meta.uid_of(node) in self._refused]:
                    self._occupy(node)
            return
        self._occupy(new)
        if not new.spec.pod_cidr:
            self._queue.add(meta.name_of(new))

    def _occupy(self, node: Node) -> None:
        name, uid = meta.name_of(node), meta.uid_of(node)
        for cidr in self._parts(node):
            fault = self._holders.claim(name, cidr)
            if not fault:
                self._refused.pop(uid, None)
                self._cidrs.occupy(cidr)
            elif uid not in self._refused:
                self._refused[uid] = cidr
                log.error("%s: pod CIDR %s", name, fault)
                self._recorder.event(node, "Warning", "CIDRAssignmentFailed", f"The node's pod CIDR {fault}")

    def _release(self, node: Node) -> None:
        self._refused.pop(meta.uid_of(node), None)
        for cidr in self._parts(node):
            if self._holders.release(meta.name_of(node), cidr):
                self._cidrs.release(cidr)

    def _parts(self, node: Node) -> list[str]:
        """Those of the cluster network's IP version; a node may have one of the other too, which is not ours to allocate."""
        cidrs = node.spec.pod_cidrs or ([node.spec.pod_cidr] if node.spec.pod_cidr else [])
        return [cidr for cidr in cidrs if (":" in cidr) == (self._version == 6)]
