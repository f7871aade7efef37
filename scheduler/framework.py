"""The scheduling framework: what a plugin is, and one pass of all plugins over all nodes.

A plugin is an object with a ``name`` and one or more of the extension points below. It is made by calling its class (or
any other callable) with a ``Handle``, through which it gets whatever it needs; ``scheduler.plugins`` says which there are.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar, runtime_checkable

import numpy as np

from apimachinery.types.objects import KubeObject
from kube_client import Client, Informer, InformerFactory
from kube_client.informer import Index
from scheduler.columns import Bools, Ints, NodeTable
from scheduler.pod_info import PodInfo

T = TypeVar("T", bound=KubeObject)

MAX_SCORE: Final = 100


@dataclass(frozen=True)
class Handle:
    """What a plugin may use."""

    client: Client
    informers: InformerFactory

    def informer(self, type: type[T], indexes: Mapping[str, Index[T]] | None = None) -> Informer[T]:
        """The informer of a type's objects, shared with the other plugins; complete before the first pass."""
        return self.informers.informer(type, indexes=indexes)


class Plugin(Protocol):
    @property
    def name(self) -> str: ...


Factory = Callable[[Handle], Plugin]


class StatelessPlugin:
    """Base of plugins that need nothing from the handle."""

    def __init__(self, handle: Handle) -> None:
        pass


@runtime_checkable
class Filter(Plugin, Protocol):
    """Rejects nodes."""

    def filter(self, pod: PodInfo, table: NodeTable) -> Bools | None:
        """True in each row that the pod may use; None if all. Rows that are not valid may have either value.

        Raises Unschedulable where the pod fits no node, whatever it is like.
        """
        ...

    def reject_reasons(self, pod: PodInfo, table: NodeTable, rejected: Ints) -> Iterable[str]:
        """Why each of these rows was rejected, in words; several for one row where several things are missing."""
        ...


@runtime_checkable
class Score(Plugin, Protocol):
    """Ranks the nodes that passed all filters."""

    @property
    def weight(self) -> int: ...

    def score(self, pod: PodInfo, table: NodeTable, rows: Ints) -> Ints | None:
        """0 to ``MAX_SCORE`` for each of ``rows``; None if the plugin has no preference."""
        ...


@runtime_checkable
class PreBind(Plugin, Protocol):
    """Prepares what the pod needs on its node, before it is bound."""

    async def pre_bind(self, pod: PodInfo, node: str) -> None:
        """Raises errors.ApiError if that fails; the pod is scheduled again, possibly to another node."""
        ...


@runtime_checkable
class Bind(Plugin, Protocol):
    """Writes the binding to the apiserver. Of several the first one that is not the default is used."""

    async def bind(self, pod: PodInfo, node: str) -> None:
        """Raises errors.ApiError if the pod could not be bound."""
        ...


@runtime_checkable
class EnqueueExtensions(Plugin, Protocol):
    """Names what may make a pod schedulable that was not; nodes and pods always count."""

    @property
    def events_to_register(self) -> Iterable[type[KubeObject]]:
        """A change of an object of these types has unschedulable pods tried again."""
        ...


class Unschedulable(Exception):
    """No node is feasible; the message says why, in Kubernetes' words."""


class Framework:
    """The plugins of one scheduler."""

    def __init__(self, plugins: Sequence[Plugin], weights: Mapping[str, int] | None = None) -> None:
        scoring = [plugin for plugin in plugins if isinstance(plugin, Score)]
        self._filters = [plugin for plugin in plugins if isinstance(plugin, Filter)]
        self._scores = [(plugin, (weights or {}).get(plugin.name, plugin.weight)) for plugin in scoring]
        self._pre_binds = [plugin for plugin in plugins if isinstance(plugin, PreBind)]
        binders = [plugin for plugin in plugins if isinstance(plugin, Bind)]
        if not binders:
            raise ValueError("no plugin binds")
        self.binder = next((plugin for plugin in binders if plugin.name != "DefaultBinder"), binders[0])
        self.retry_on = {
            type for plugin in plugins if isinstance(plugin, EnqueueExtensions) for type in plugin.events_to_register
        }
        """The types whose changes may make a pod schedulable, nodes and pods aside."""

    async def bind(self, pod: PodInfo, node: str) -> None:
        """Raises errors.ApiError if the pod could not be bound."""
        for plugin in self._pre_binds:
            await plugin.pre_bind(pod, node)
        await self.binder.bind(pod, node)

    def choose(self, pod: PodInfo, table: NodeTable) -> str:
        """The name of the best node, random among equals.

        Raises:
            Unschedulable: no node is feasible.
        """
        rows = self.feasible(pod, table)
        if len(rows) == 0:
            raise Unschedulable(self.explain(pod, table))
        if len(rows) > 1:
            total = self.score(pod, table, rows)
            rows = rows[total == np.max(total)]
        return table.names[int(rows[random.randrange(len(rows))])]

    def feasible(self, pod: PodInfo, table: NodeTable) -> Ints:
        """The rows that pass every filter."""
        feasible = table.valid.copy()
        for plugin in self._filters:
            passed = plugin.filter(pod, table)
            if passed is not None:
                feasible &= passed
        return np.flatnonzero(feasible)

    def score(self, pod: PodInfo, table: NodeTable, rows: Ints) -> Ints:
        total = np.zeros(len(rows), np.int64)
        for plugin, weight in self._scores:
            scores = plugin.score(pod, table, rows) if weight else None
            if scores is not None:
                total += weight * scores
        return total

    def explain(self, pod: PodInfo, table: NodeTable) -> str:
        """Why no node is feasible; each node is counted under the first plugin that rejects it."""
        if not len(table):
            return "no nodes available to schedule pods"
        counts: dict[str, int] = {}
        feasible = table.valid.copy()
        for plugin in self._filters:
            passed = plugin.filter(pod, table)
            if passed is None:
                continue
            for reason in plugin.reject_reasons(pod, table, np.flatnonzero(feasible & ~passed)):
                counts[reason] = counts.get(reason, 0) + 1
            feasible &= passed
        reasons = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
        return f"0/{len(table)} nodes are available: {reasons}."
