"""This machine's Node object: registers it, keeps its status up to date, and passes its pod CIDR to the pod network.

The status is computed every ``frequency`` seconds, and at once when the engine, the pod network or a pressure changes; it
is written when it differs from the object in the cache, so that what others wrote (Ready: Unknown, after a silence of
ours) is corrected, and every 5 minutes in any case (the Lease is the heartbeat).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from apimachinery import errors, meta
from apimachinery.meta import Key
from apimachinery.types import core_v1
from kube_client import Client, EventRecorder, Informer
from kubelet.network.pod_network import PodNetwork
from kubelet.node.address import NodeAddress
from kubelet.node.events import NodeEvent, schedulable_event, status_events
from kubelet.node.pressures import NodePressures
from kubelet.node.status import Identity, is_same, new_node, node_status, status_patch
from kubelet.runtime import Runtime
from kubelet.runtime.errors import EngineError
from kubelet.runtime.images import ImageRecord

log = logging.getLogger(__name__)

REPORT = 300.0
"""Seconds after which an unchanged status is written again."""

_RETRY_FIRST, _RETRY_LONGEST = 0.2, 7.0

_IMAGES_EVERY = 30.0
"""Seconds between listings of the node's images."""

_SETTLE = 5.0
"""Seconds that a kubelet which has just started may take before its first report."""

_ENGINE_TIMEOUT = 10.0
"""Seconds that the engine may take to answer."""


class NodeKeeper:
    """Belongs to the event loop; start ``run`` in the daemon's task group."""

    def __init__(
        self,
        client: Client,
        identity: Identity,
        nodes: Informer[core_v1.Node],
        recorder: EventRecorder,
        runtime: Runtime,
        address: NodeAddress,
        network: PodNetwork,
        pressures: NodePressures,
        *,
        frequency: float,
        register: bool = True,
        warnings: Sequence[tuple[str, str]] = (),
    ) -> None:
        """``warnings`` are reasons and messages of events that are recorded once the node is registered."""
        self._nodes_api = client.resource(core_v1.Node)
        self._identity = identity
        self._nodes = nodes
        self._recorder = recorder
        self._runtime = runtime
        self._address = address
        self._network, self._pressures = network, pressures
        self._frequency = frequency
        self._register_node = register
        self._warnings = warnings
        self._wake = asyncio.Event()
        self._written_at = 0.0
        self._engine_version = ""
        self._images: list[ImageRecord] = []
        self._images_at = 0.0
        self._address_listeners: list[Callable[[], object]] = []
        self._node: core_v1.Node | None = None
        self._is_unschedulable = False
        self.registered = asyncio.Event()

    @property
    def node(self) -> core_v1.Node | None:
        """The object as last seen."""
        return self._node

    def on_address(self, listener: Callable[[], object]) -> None:
        """``listener`` is called when the node's address has changed."""
        self._address_listeners.append(listener)

    def wake(self) -> None:
        """Something that the status contains may have changed."""
        self._wake.set()

    async def run(self) -> None:
        retry = _RETRY_FIRST
        self._nodes.on_change(self._on_node)
        self._nodes.on_rewind(self._on_rewind)
        while True:
            self._wake.clear()
            delay = self._frequency
            try:
                if self._node is None:
                    self._update(await self._register())
                await self._report()
                retry = _RETRY_FIRST
            except errors.NotFound:
                log.info("node %s: deleted, registering again", self._identity.name)
                self._node, delay = None, retry
            except errors.ApiError as exc:
                log.info("node %s: %s; will retry", self._identity.name, exc)
                delay, retry = retry, min(_RETRY_LONGEST, retry * 2)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), delay)

    async def _register(self) -> core_v1.Node:
        """The node's object, created if need be; one that exists gets the labels that the flags set."""
        new = new_node(self._identity)
        if not self._register_node:
            return await self._nodes_api.get(self._identity.name)
        try:
            node = await self._nodes_api.create(new)
        except errors.AlreadyExists:
            node = await self._nodes_api.get(self._identity.name)
            labels = meta.labels_of(new)
            if any(meta.labels_of(node).get(key) != value for key, value in labels.items()):
                node = await self._nodes_api.patch(self._identity.name, {"metadata": {"labels": labels}})
        log.info("node %s: registered", self._identity.name)
        self._recorder.event(node, "Normal", "Starting", "Starting kubelet.")
        for reason, message in self._warnings:
            self._recorder.event(node, "Warning", reason, message)
        return node

    async def _report(self) -> None:
        node = self._node
        assert node is not None, "registered before"
        if not self._written_at and node.spec.pod_cidr:
            await self._settle()
        now = time.monotonic()
        faults = await self._faults()
        await self._list_images()
        await self._check_address(node)
        status = node_status(
            self._identity,
            str(self._address),
            node.status,
            faults,
            self._engine_version,
            meta.now(),
            self._pressures.current,
            self._images,
        )
        if is_same(node.status, status) and self._written_at and now - self._written_at < REPORT:
            return
        patch = {"metadata": {"uid": meta.uid_of(node)}, "status": status_patch(node.status, status)}
        patched = await self._nodes_api.patch(self._identity.name, patch, kind="strategic", subresource="status")
        self._written_at = now
        self._update(patched)
        for event in status_events(self._identity.name, node.status, status):
            self._say(node, event)

    async def _list_images(self) -> None:
        """Update the images of this node; while the engine does not answer, the last listing stands."""
        if self._images and time.monotonic() - self._images_at < _IMAGES_EVERY:
            return
        with suppress(EngineError, TimeoutError):
            async with asyncio.timeout(_ENGINE_TIMEOUT):
                self._images = await self._runtime.images.list()
            self._images_at = time.monotonic()

    async def _check_address(self, node: core_v1.Node) -> None:
        if await asyncio.to_thread(self._address.check):
            message = f"Node {self._identity.name} has another address: {self._address}"
            log.warning("node %s: address is now %s", self._identity.name, self._address)
            self._recorder.event(node, "Normal", "NodeAddressChanged", message)
            for listener in self._address_listeners:
                listener()

    async def _settle(self) -> None:
        """Let a restarted kubelet find its network and containers before it reports.

        A node that is NotReady for a moment takes its pods out of all services.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE):
                for event in (self._runtime.containers.synced, self._network.attempted):
                    await event.wait()

    async def _faults(self) -> list[str]:
        """Why the node is not ready. Calls the engine, for one that hangs does not drop its connections."""
        if (info := await self._runtime.check(_ENGINE_TIMEOUT)) is not None:
            self._engine_version = info.version
        faults = [f"container runtime is down: {self._runtime.fault}"] if self._runtime.fault else []
        if fault := self._network.fault:
            faults.append(f"container runtime network not ready: {fault}")
        return faults

    def _on_node(self, old: core_v1.Node | None, new: core_v1.Node | None) -> None:
        node = new or old
        if node is None or meta.name_of(node) != self._identity.name:
            return
        if new is None:
            self._node = None
            self.wake()
        elif self._node is not None and _is_newer(new, self._node):
            changed = not is_same(self._node.status, new.status)
            self._update(new)
            if changed:
                self.wake()

    def _on_rewind(self) -> None:
        """What we wrote may be gone, and what is there now is newer whatever its version says."""
        node = self._nodes.get(Key("", self._identity.name))
        if node is None:
            self._node = None
        else:
            self._update(node)
        self.wake()

    def _say(self, node: core_v1.Node, event: NodeEvent) -> None:
        log.info("node %s: %s", self._identity.name, event.reason)
        self._recorder.event(node, event.type, event.reason, event.message)

    def _update(self, node: core_v1.Node) -> None:
        self._node = node
        if self._is_unschedulable != bool(node.spec.unschedulable):
            self._is_unschedulable = not self._is_unschedulable
            self._say(node, schedulable_event(self._identity.name, unschedulable=self._is_unschedulable))
        self.registered.set()
        if node.spec.pod_cidr:
            self._network.assign(node.spec.pod_cidr)


def _is_newer(node: core_v1.Node, known: core_v1.Node) -> bool:
    """The cache may lag behind the response to our own write."""
    if meta.uid_of(node) != meta.uid_of(known):
        return True
    return int(node.metadata.resource_version or 0) > int(known.metadata.resource_version or 0)
