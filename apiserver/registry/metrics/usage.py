"""Node and pod metrics, as ``kubectl top`` and autoscalers read them."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from apimachinery import quantity
from apimachinery.types.base import Quantity
from apimachinery.types.metrics_v1beta1 import NodeMetrics, PodMetrics
from apiserver.registry import columns
from apiserver.registry.resource import ResourceInfo
from apiserver.registry.strategy import Strategy

_VERBS = ("get", "list")


class Source(Protocol):
    """Who knows."""

    async def nodes(self, namespace: str) -> list[NodeMetrics]: ...

    async def pods(self, namespace: str) -> list[PodMetrics]: ...


def usage(source: Source) -> list[ResourceInfo[Any]]:
    """The rows, for a source of figures."""
    nodes = ResourceInfo(
        NodeMetrics,
        Strategy[NodeMetrics](),
        singular="",
        columns=(
            columns.name(),
            columns.Column("CPU", lambda one: _cpu([one.usage])),
            columns.Column("Memory", lambda one: _memory([one.usage])),
            columns.Column("Window", lambda one: one.window),
        ),
        verbs=_VERBS,
        read=source.nodes,
    )
    pods = ResourceInfo(
        PodMetrics,
        Strategy[PodMetrics](),
        singular="",
        columns=(
            columns.name(),
            columns.Column("CPU", lambda one: _cpu(each.usage for each in one.containers)),
            columns.Column("Memory", lambda one: _memory(each.usage for each in one.containers)),
            columns.Column("Window", lambda one: one.window),
        ),
        verbs=_VERBS,
        read=source.pods,
    )
    return [nodes, pods]


def _cpu(used: Iterable[Mapping[str, Quantity]]) -> str:
    return f"{int(sum(quantity.parse(one.get('cpu', 0)) for one in used) * 1000)}m"


def _memory(used: Iterable[Mapping[str, Quantity]]) -> str:
    return f"{int(sum(quantity.parse(one.get('memory', 0)) for one in used)) // (1024 * 1024)}Mi"
