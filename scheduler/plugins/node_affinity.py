"""nodeSelector and node affinity: which labels (or which name) a node must have, and which are preferred.

``apimachinery.core.node_selection`` defines what a term means. Preferred terms add their weights.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from apimachinery.core.node_selection import NodeRequirements, node_affinity, requirements_of
from apimachinery.selectors import Requirement
from apimachinery.types.core_v1 import Node, NodeSelector
from scheduler.columns import Bools, Ints, NodeTable
from scheduler.framework import MAX_SCORE, StatelessPlugin
from scheduler.pod_info import PodInfo


@dataclass(frozen=True)
class _Meets:
    """Whether a node meets the requirements; 1 or 0."""

    requirements: NodeRequirements
    asks_pods = False

    def value(self, node: Node, pods: Collection[PodInfo]) -> int:
        return int(self.requirements.matches(node))


class NodeAffinity(StatelessPlugin):
    name = "NodeAffinity"
    weight = 2

    def filter(self, pod: PodInfo, table: NodeTable) -> Bools | None:
        passed: Bools | None = None
        for key, value in (pod.pod.spec.node_selector or {}).items():
            label = NodeRequirements((Requirement(key, "In", frozenset((value,))),))
            labelled = table.term(_Meets(label)) == 1
            passed = labelled if passed is None else passed & labelled
        affinity = node_affinity(pod.pod)
        required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
        if required is None:
            return passed
        selected = rows_selected(required, table)
        return selected if passed is None else passed & selected

    def reject_reasons(self, pod: PodInfo, table: NodeTable, rejected: Ints) -> Iterator[str]:
        yield from ["node(s) didn't match Pod's node affinity/selector"] * len(rejected)

    def score(self, pod: PodInfo, table: NodeTable, rows: Ints) -> Ints | None:
        affinity = node_affinity(pod.pod)
        preferred = affinity.preferred_during_scheduling_ignored_during_execution if affinity else None
        if not preferred:
            return None
        total = np.zeros(len(rows), np.int64)
        for term in preferred:
            if (requirements := requirements_of(term.preference)) is not None:
                total += term.weight * table.term(_Meets(requirements))[rows]
        most = int(np.max(total))
        return MAX_SCORE * total // most if most else None


def rows_selected(selector: NodeSelector, table: NodeTable) -> Bools:
    """True in each row that one of the terms matches."""
    selected = np.zeros(len(table.names), np.bool_)
    for term in selector.node_selector_terms:
        if (requirements := requirements_of(term)) is not None:
            selected |= table.term(_Meets(requirements)) == 1
    return selected
