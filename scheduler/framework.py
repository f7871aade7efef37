"""The scheduling framework: what a plugin is, which plugins there are, and one pass of them over all nodes.

A plugin is an object with a ``name`` and one or more of the extension points below. Built-in plugins are listed in
``scheduler.plugins``; others are found through the entry-point group ``peapod.scheduler_plugins``, each entry a
callable that takes a ``Handle`` and returns a plugin. An entry with the name of a built-in plugin replaces it.
"""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np

from apimachinery.types.core_v1 import Node, PersistentVolume, PersistentVolumeClaim, ReplicationController, Service
from apimachinery.types.storage_v1 import StorageClass
from kube_client import Client, Informer
from scheduler.columns import Bools, Ints, NodeTable
from scheduler.pod_info import PodInfo

ENTRY_POINTS: Final = "peapod.scheduler_plugins"
MAX_SCORE: Final = 100


class Plugin(Protocol):
    @property
    def name(self) -> str: ...


@runtime_checkable
class Filter(Plugin, Protocol):
    """Rules nodes out."""

    def filter(self, pod: PodInfo, table: NodeTable) -> Bools | None:
        """True in each row that the pod may use; None if all. Rows that are not valid may have either value.

        Raises Unschedulable where no node would do, whatever it is like.
        """
        ...

    def reasons(self, pod: PodInfo, table: NodeTable, rejected: Ints) -> Iterable[str]:
        """For people, why each of these rows was ruled out; several for one row where several things are missing."""
        ...


@runtime_checkable
class Score(Plugin, Protocol):
    """Ranks the nodes that are left."""

    @property
    def weight(self) -> int: ...

    def score(self, pod: PodInfo, table: NodeTable, rows: Ints) -> Ints | None:
        """0 to ``MAX_SCORE`` for each of ``rows``; None if they are all the same to it."""
        ...


@runtime_checkable
class PreBind(Plugin, Protocol):
    """Makes ready what the pod needs on its node, before it is bound."""

    async def pre_bind(self, pod: PodInfo, node: str) -> None:
        """Raises errors.ApiError if that cannot be; the pod is tried again, maybe on another node."""
        ...


@runtime_checkable
class Bind(Plugin, Protocol):
    """Tells the apiserver. Of several the first one that is not the default binds."""

    async def bind(self, pod: PodInfo, node: str) -> None:
        """Raises errors.ApiError if the pod could not be bound."""
        ...


@dataclass(frozen=True)
class Handle:
    """What a plugin may use. Informers are filled before the first pass."""

    client: Client
    services: Informer[Service]
    replication_controllers: Informer[ReplicationController]
    storage: "Storage"


@dataclass(frozen=True)
class Storage:
    """What pods' claims are about."""

    claims: Informer[PersistentVolumeClaim]
    volumes: Informer[PersistentVolume]
    classes: Informer[StorageClass]
    nodes: Informer[Node]


Factory = Callable[[Handle], Plugin]


class Unschedulable(Exception):
    """No node is feasible; the message tells people why, in Kubernetes' words."""


class Framework:
    """The plugins of one scheduler."""

    def __init__(self, plugins: Sequence[Plugin], weights: Mapping[str, int] | None = None) -> None:
        self._filters = [one for one in plugins if isinstance(one, Filter)]
        self._scores = [(one, (weights or {}).get(one.name, one.weight)) for one in plugins if isinstance(one, Score)]
        self._pre_binds = [one for one in plugins if isinstance(one, PreBind)]
        binders = [one for one in plugins if isinstance(one, Bind)]
        if not binders:
            raise ValueError("no plugin binds")
        self.binder = next((one for one in binders if one.name != "DefaultBinder"), binders[0])

    async def bind(self, pod: PodInfo, node: str) -> None:
        """Raises errors.ApiError if the pod could not be bound."""
        for plugin in self._pre_binds:
            await plugin.pre_bind(pod, node)
        await self.binder.bind(pod, node)

    def choose(self, pod: PodInfo, table: NodeTable) -> str:
        """The name of the best node, at random among equals.

        Raises:
            Unschedulable: there is none.
        """
        rows = self.feasible(pod, table)
        if len(rows) == 0:
            raise Unschedulable(self.explain(pod, table))
        if len(rows) > 1:
            total = self.score(pod, table, rows)
            rows = rows[total == total.max()]
        return table.names[int(rows[random.randrange(len(rows))])]

    def feasible(self, pod: PodInfo, table: NodeTable) -> Ints:
        """The rows that pass every filter."""
        alive = table.valid.copy()
        for plugin in self._filters:
            passed = plugin.filter(pod, table)
            if passed is not None:
                alive &= passed
        return np.flatnonzero(alive)

    def score(self, pod: PodInfo, table: NodeTable, rows: Ints) -> Ints:
        total = np.zeros(len(rows), np.int64)
        for plugin, weight in self._scores:
            scores = plugin.score(pod, table, rows) if weight else None
            if scores is not None:
                total += weight * scores
        return total

    def explain(self, pod: PodInfo, table: NodeTable) -> str:
        """Why no node will do; each node is counted under the first plugin that rules it out."""
        if not len(table):
            return "no nodes available to schedule pods"
        counts: dict[str, int] = {}
        alive = table.valid.copy()
        for plugin in self._filters:
            passed = plugin.filter(pod, table)
            if passed is None:
                continue
            for reason in plugin.reasons(pod, table, np.flatnonzero(alive & ~passed)):
                counts[reason] = counts.get(reason, 0) + 1
            alive &= passed
        why = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
        return f"0/{len(table)} nodes are available: {why}."


def load(builtin: Mapping[str, Factory], handle: Handle, disabled: Collection[str] = ()) -> list[Plugin]:
    """The built-in plugins and those of installed packages, without the disabled ones.

    Raises:
        ValueError: a disabled plugin does not exist, or an entry point is no plugin.
    """
    factories: dict[str, Any] = {**builtin}
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        factories[entry.name] = entry.load()
    for name in disabled:
        if factories.pop(name, None) is None:
            raise ValueError(f"no plugin is called {name!r}")
    plugins: list[Plugin] = []
    for name, factory in factories.items():
        plugin = factory(handle)
        if not isinstance(plugin, Filter | Score | PreBind | Bind):
            raise ValueError(f"plugin {name!r} has no extension point")
        plugins.append(plugin)
    return plugins
