"""nodeSelector and node affinity: which labels (or which name) a node must have, and which it had better have.

Required terms are alternatives; within one term all conditions must hold, and a term without any matches nothing.
Preferred terms add their weights.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from apimachinery import meta
from apimachinery.selectors import Requirement
from apimachinery.types.core_v1 import Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from apimachinery.types.core_v1 import NodeAffinity as Affinity
from scheduler.columns import Bools, Ints, NodeTable
from scheduler.framework import MAX_SCORE
from scheduler.pod_info import PodInfo


@dataclass(frozen=True)
class _Matches:
    """Whether a node meets all these conditions; 1 or 0."""

    labels: tuple[Requirement, ...]
    fields: tuple[Requirement, ...] = ()
    asks_pods = False

    def value(self, node: Node, pods: Collection[PodInfo]) -> int:
        labels = meta.labels_of(node)
        return int(
            all(one.matches(labels) for one in self.labels)
            and all(one.matches({"metadata.name": meta.name_of(node)}) for one in self.fields)
        )


class NodeAffinity:
    name = "NodeAffinity"
    weight = 2

    def filter(self, pod: PodInfo, table: NodeTable) -> Bools | None:
        passed: Bools | None = None
        for key, value in (pod.pod.spec.node_selector or {}).items():
            has = table.term(_Matches((Requirement(key, "In", frozenset((value,))),))) == 1
            passed = has if passed is None else passed & has
        affinity = _node_affinity(pod)
        required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
        if required is None:
            return passed
        any_of = selected(required, table)
        return any_of if passed is None else passed & any_of

    def reasons(self, pod: PodInfo, table: NodeTable, rejected: Ints) -> Iterator[str]:
        yield from ["node(s) didn't match Pod's node affinity/selector"] * len(rejected)

    def score(self, pod: PodInfo, table: NodeTable, rows: Ints) -> Ints | None:
        affinity = _node_affinity(pod)
        preferred = affinity.preferred_during_scheduling_ignored_during_execution if affinity else None
        if not preferred:
            return None
        total = np.zeros(len(rows), np.int64)
        for term in preferred:
            if (condition := _condition(term.preference)) is not None:
                total += term.weight * table.term(condition)[rows]
        most = int(total.max())
        return MAX_SCORE * total // most if most else None


def node_is_selected(selector: NodeSelector, node: Node) -> bool:
    """Whether one of the terms holds for a node."""
    conditions = [_condition(term) for term in selector.node_selector_terms]
    return any(one is not None and one.value(node, ()) for one in conditions)


def selected(selector: NodeSelector, table: NodeTable) -> Bools:
    """True in each row for which one of the terms holds."""
    any_of = np.zeros(len(table.names), np.bool_)
    for term in selector.node_selector_terms:
        if (condition := _condition(term)) is not None:
            any_of |= table.term(condition) == 1
    return any_of


def _node_affinity(pod: PodInfo) -> Affinity | None:
    affinity = pod.pod.spec.affinity
    return affinity.node_affinity if affinity else None


def _condition(term: NodeSelectorTerm) -> _Matches | None:
    if not term.match_expressions and not term.match_fields:
        return None
    return _Matches(_requirements(term.match_expressions or ()), _requirements(term.match_fields or ()))


def _requirements(found: Sequence[NodeSelectorRequirement]) -> tuple[Requirement, ...]:
    return tuple(Requirement(one.key, one.operator, frozenset(one.values or ())) for one in found)
