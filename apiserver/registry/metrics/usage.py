"""Node and pod metrics, as ``kubectl top`` and autoscalers read them."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from apimachinery import quantity
from apimachinery.types.base import Quantity
from apimachinery.types.metrics_v1beta1 import NodeMetrics, PodMetrics
from apiserver.registry import columns
from apiserver.registry.strategy import Strategy
from apiserver.registry.unstored import ComputedResource

_VERBS = ("get", "list")


class Source(Protocol):
    """Where the figures come from."""

    async def nodes(self, namespace: str) -> list[NodeMetrics]: ...

    async def pods(self, namespace: str) -> list[PodMetrics]: ...


def usage(source: Source) -> tuple[ComputedResource[NodeMetrics], ComputedResource[PodMetrics]]:
    """The rows, for a source of figures."""
    nodes = ComputedResource(
        NodeMetrics,
        Strategy[NodeMetrics](),
        singular="",
        columns=(
            columns.name(),
            columns.Column("CPU", lambda node: _cpu([node.usage])),
            columns.Column("Memory", lambda node: _memory([node.usage])),
            columns.Column("Window", lambda metrics: metrics.window),
        ),
        verbs=_VERBS,
        read=source.nodes,
    )
    pods = ComputedResource(
        PodMetrics,
        Strategy[PodMetrics](),
        singular="",
        columns=(
            columns.name(),
            columns.Column("CPU", lambda pod: _cpu(container.usage for container in pod.containers)),
            columns.Column("Memory", lambda pod: _memory(container.usage for container in pod.containers)),
            columns.Column("Window", lambda metrics: metrics.window),
        ),
        verbs=_VERBS,
        read=source.pods,
    )
    return nodes, pods


def _cpu(used: Iterable[Mapping[str, Quantity]]) -> str:
    return f"{int(sum(quantity.parse(usage.get('cpu', 0)) for usage in used) * 1000)}m"


def _memory(used: Iterable[Mapping[str, Quantity]]) -> str:
    return f"{int(sum(quantity.parse(usage.get('memory', 0)) for usage in used)) // (1024 * 1024)}Mi"
