"""The nodes as columns, one row per node and one NumPy array per attribute: a question to all nodes is one operation.

Owns rows and columns; ``cache`` supplies which pods are where. A row is a pure function of its node and the pods on it,
and is recomputed at each change. Rows of removed nodes are masked by ``valid`` and reused.

What only some pods need (a label, a set of tolerations, how many pods of a service) is a *term*: a hashable value with
a number per node. Each distinct term has a column of its own, created when it is first used; when it is used again, the
rows that have changed since are brought up to date.
"""

from collections.abc import Collection
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from apimachinery.core.pod_resources import CPU, EPHEMERAL_STORAGE, MEMORY, PODS, amounts
from apimachinery.types.core_v1 import Node
from scheduler.pod_info import PodInfo

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
S = TypeVar("S", bound=np.generic)

_FIRST_ROWS: Final = 16
_MOST_TERMS: Final = 1024
"""Most term columns; the least recently used one is dropped first."""


class Term(Protocol):
    """A question with a number as its answer for each node. Equal terms share a column, so it must be hashable."""

    @property
    def asks_pods(self) -> bool:
        """Whether the answer depends on the node's pods, not on the node alone."""
        ...

    def value(self, node: Node, pods: Collection[PodInfo]) -> int: ...


class _TermColumn:
    def __init__(self, rows: int) -> None:
        self.values: Ints = np.zeros(rows, np.int64)
        self.version = -1  # the table's version that the values show


class NodeTable:
    """``valid`` masks the rows in use. Arrays may be replaced when nodes or resources are added: do not keep them."""

    def __init__(self) -> None:
        self.names: list[str] = [""] * _FIRST_ROWS
        self.valid: Bools = np.zeros(_FIRST_ROWS, np.bool_)
        self.allocatable: Ints = np.zeros((4, _FIRST_ROWS), np.int64)
        self.requested: Ints = np.zeros((4, _FIRST_ROWS), np.int64)
        self.free: Ints = np.zeros((4, _FIRST_ROWS), np.int64)
        self.scored: Ints = np.zeros((2, _FIRST_ROWS), np.int64)  # CPU and memory with defaults, see pod_info
        self._resources = {CPU: 0, MEMORY: 1, EPHEMERAL_STORAGE: 2, PODS: 3}
        self._rows: dict[str, int] = {}
        self._unused = list(range(_FIRST_ROWS - 1, -1, -1))
        self._nodes: list[Node | None] = [None] * _FIRST_ROWS
        self._pods: list[Collection[PodInfo]] = [()] * _FIRST_ROWS
        self._version = 0
        self._node_version: Ints = np.zeros(_FIRST_ROWS, np.int64)
        self._pods_version: Ints = np.zeros(_FIRST_ROWS, np.int64)
        self._terms: dict[Term, _TermColumn] = {}

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self._rows)

    def row_of(self, name: str) -> int | None:
        return self._rows.get(name)

    def resource(self, name: str) -> int | None:
        """The index of a resource in ``allocatable``, ``requested`` and ``free``; None if no node has it."""
        return self._resources.get(name)

    def set_node(self, node: Node, pods: Collection[PodInfo]) -> None:
        """The node is new or has changed. ``pods`` is a live view of its pods, which the table keeps."""
        name = node.metadata.name or ""
        row = self._rows.get(name)
        if row is None:
            row = self._take(name)
        self._nodes[row], self._pods[row] = node, pods
        offered = amounts(node.status.allocatable or node.status.capacity)
        columns = [(self._column(resource), amount) for resource, amount in offered.items()]
        self.allocatable[:, row] = 0
        for column, amount in columns:
            self.allocatable[column, row] = amount
        self._version += 1
        self._node_version[row] = self._version
        self.set_pods(name)

    def set_pods(self, name: str) -> None:
        """The pods on a node have changed. A node that is not in the table is ignored."""
        row = self._rows.get(name)
        if row is None:
            return
        totals: dict[str, int] = {}
        cpu = memory = 0
        for pod in self._pods[row]:
            cpu += pod.scored_cpu
            memory += pod.scored_memory
            for resource, amount in pod.requests.items():
                totals[resource] = totals.get(resource, 0) + amount
        columns = [(self._column(resource), amount) for resource, amount in totals.items()]
        self.requested[:, row] = 0
        for column, amount in columns:
            self.requested[column, row] = amount
        self.free[:, row] = self.allocatable[:, row] - self.requested[:, row]
        self.scored[0, row], self.scored[1, row] = cpu, memory
        self._version += 1
        self._pods_version[row] = self._version

    def remove(self, name: str) -> None:
        row = self._rows.pop(name, None)
        if row is None:
            return
        self.valid[row] = False
        self.names[row] = ""
        self._nodes[row], self._pods[row] = None, ()
        self._unused.append(row)

    def term(self, term: Term) -> Ints:
        """The term's column, up to date in all valid rows."""
        column = self._terms.pop(term, None) or _TermColumn(len(self.names))
        self._terms[term] = column  # at the end: most recently used
        if len(self._terms) > _MOST_TERMS:
            del self._terms[next(iter(self._terms))]
        if column.version == self._version:
            return column.values
        versions = self._pods_version if term.asks_pods else self._node_version
        for row in np.flatnonzero((versions > column.version) & self.valid).tolist():
            node = self._nodes[row]
            if node is not None:
                column.values[row] = term.value(node, self._pods[row])
        column.version = self._version
        return column.values

    def _take(self, name: str) -> int:
        if not self._unused:
            self._grow()
        row = self._unused.pop()
        self._rows[name], self.names[row], self.valid[row] = row, name, True
        return row

    def _grow(self) -> None:
        old = len(self.names)
        self._unused.extend(range(2 * old - 1, old - 1, -1))
        self.names += [""] * old
        self._nodes += [None] * old
        self._pods += [()] * old
        self.valid = _doubled(self.valid)
        self.allocatable, self.requested = _doubled(self.allocatable), _doubled(self.requested)
        self.free, self.scored = _doubled(self.free), _doubled(self.scored)
        self._node_version, self._pods_version = _doubled(self._node_version), _doubled(self._pods_version)
        for column in self._terms.values():
            column.values = _doubled(column.values)

    def _column(self, resource: str) -> int:
        column = self._resources.get(resource)
        if column is None:
            column = self._resources[resource] = len(self._resources)
            blank = np.zeros((1, len(self.names)), np.int64)
            self.allocatable = np.vstack((self.allocatable, blank))
            self.requested = np.vstack((self.requested, blank))
            self.free = np.vstack((self.free, blank))
        return column


def _doubled(array: NDArray[S]) -> NDArray[S]:
    return np.concatenate((array, np.zeros_like(array)), axis=-1)
