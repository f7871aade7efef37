"""What nodes and pods use now, as their kubelets report it on demand.

Each kubelet is asked for its summary at most every few seconds, however many clients there are, and only so many at
once. One that does not answer in time is left out, and its pods with it: nothing here is worth waiting for.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from apimachinery import errors, meta
from apimachinery.types.base import Quantity
from apimachinery.types.core_v1 import Pod
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.metrics_v1beta1 import ContainerMetrics, NodeMetrics, PodMetrics
from apiserver.handlers.proxying.kubelets import Kubelets
from apiserver.registry.resources import Resources

log = logging.getLogger(__name__)

KEEP_SECONDS: Final = 5.0
"""How long a summary is used."""
PATIENCE_SECONDS: Final = 3.0
AT_ONCE: Final = 16
_PATH: Final = "/stats/summary"


class _Cpu(msgspec.Struct, rename="camel"):
    time: str = ""
    usage_nano_cores: int | None = None


class _Memory(msgspec.Struct, rename="camel"):
    working_set_bytes: int | None = None


class _Used(msgspec.Struct, rename="camel"):
    name: str = ""
    cpu: _Cpu = msgspec.field(default_factory=_Cpu)
    memory: _Memory = msgspec.field(default_factory=_Memory)

    def amounts(self) -> dict[str, Quantity] | None:
        """None until there are two samples to tell a rate from."""
        cores, memory = self.cpu.usage_nano_cores, self.memory.working_set_bytes
        if cores is None or memory is None:
            return None
        return {"cpu": f"{cores}n", "memory": f"{memory // 1024}Ki"}


class _PodReference(msgspec.Struct):
    name: str
    namespace: str
    uid: str = ""


class _PodUsed(msgspec.Struct, rename="camel"):
    pod_ref: _PodReference
    containers: list[_Used] = []


class _NodeUsed(_Used):
    window: str = "15s"


class _Summary(msgspec.Struct):
    node: _NodeUsed
    pods: list[_PodUsed] = []


@dataclass(frozen=True, slots=True)
class _Asked:
    at: float
    answer: "asyncio.Task[_Summary | None]"


class ResourceMetrics:
    """Belongs to the event loop."""

    def __init__(self, resources: Resources, kubelets: Kubelets) -> None:
        self._pods, self._kubelets = resources.store(Pod), kubelets
        self._asked: dict[str, _Asked] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    async def nodes(self, namespace: str = "") -> list[NodeMetrics]:
        """Of every node whose kubelet answers."""
        metrics = []
        labels = {meta.name_of(node): node.metadata.labels for node in self._kubelets.nodes()}
        for name, summary in await self._summaries():
            if (amounts := summary.node.amounts()) is not None:
                about = ObjectMeta(name=name, labels=labels.get(name), creation_timestamp=meta.now())
                used = summary.node
                metrics.append(NodeMetrics(metadata=about, timestamp=used.cpu.time, window=used.window, usage=amounts))
        return metrics

    async def pods(self, namespace: str) -> list[PodMetrics]:
        """Of every pod that the API knows, with all containers that its kubelet has figures of."""
        metrics = []
        for node, summary in await self._summaries():
            for used in summary.pods:
                reference = used.pod_ref
                if namespace and reference.namespace != namespace:
                    continue
                pod = self._pods.cached(meta.Key(reference.namespace, reference.name))
                if pod is None or pod.spec.node_name != node:  # a kubelet's word counts for its own pods only
                    continue
                if pod_metrics := _pod_metrics(pod, used, summary.node.window):
                    metrics.append(pod_metrics)
        return sorted(metrics, key=meta.key_of)

    async def _summaries(self) -> list[tuple[str, _Summary]]:
        """By node, of those that answer."""
        names = [meta.name_of(node) for node in self._kubelets.nodes()]
        for gone in self._asked.keys() - set(names):
            del self._asked[gone]
        answers = await asyncio.gather(*(asyncio.shield(self._summary(name)) for name in names))
        return [(name, answer) for name, answer in zip(names, answers, strict=True) if answer is not None]

    def _summary(self, name: str) -> "asyncio.Task[_Summary | None]":
        """The summary, fresh enough or under way; clients that ask together share one request."""
        now, known = time.monotonic(), self._asked.get(name)
        if known is None or (known.answer.done() and now - known.at > KEEP_SECONDS):
            known = self._asked[name] = _Asked(now, asyncio.create_task(self._ask(name), name=f"summary {name}"))
        return known.answer

    async def _ask(self, name: str) -> _Summary | None:
        try:
            async with self._places:
                body = await self._kubelets.fetch(name, _PATH, PATIENCE_SECONDS)
            return msgspec.json.decode(body, type=_Summary)
        except (errors.ApiError, TimeoutError, msgspec.DecodeError) as fault:
            log.info("%s: no resource metrics: %s", name, fault or type(fault).__name__)
            return None


def _pod_metrics(pod: Pod, used: _PodUsed, window: str) -> PodMetrics | None:
    """None if the figures are of a pod before it, or there are none yet."""
    if used.pod_ref.uid not in ("", meta.uid_of(pod)):
        return None
    containers = list(_containers(used))
    if not containers:
        return None
    about = ObjectMeta(
        name=meta.name_of(pod),
        namespace=meta.namespace_of(pod),
        labels=pod.metadata.labels,
        creation_timestamp=meta.now(),
    )
    return PodMetrics(metadata=about, timestamp=used.containers[0].cpu.time, window=window, containers=containers)


def _containers(used: _PodUsed) -> Iterator[ContainerMetrics]:
    for container in used.containers:
        if (amounts := container.amounts()) is not None:
            yield ContainerMetrics(name=container.name, usage=amounts)
