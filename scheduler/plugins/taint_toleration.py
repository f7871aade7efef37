"""Taints: NoSchedule and NoExecute reject a pod that does not tolerate them, PreferNoSchedule ranks the node lower."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from apimachinery.core.tolerations import NO_EXECUTE, NO_SCHEDULE, PREFER_NO_SCHEDULE
from apimachinery.types.core_v1 import Node, Taint
from scheduler.columns import Bools, Ints, NodeTable
from scheduler.framework import MAX_SCORE, Handle
from scheduler.pod_info import PodInfo, Tolerations

_NO_TAINT = 0


class _TaintNames:
    """Interned taints as messages show them, ``{key: value}``; 0 is none."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self.texts = [""]

    def id_of(self, taint: Taint) -> int:
        text = f"{{{taint.key}: {taint.value or ''}}}"
        if text not in self._ids:
            self._ids[text] = len(self.texts)
            self.texts.append(text)
        return self._ids[text]


@dataclass(frozen=True)
class _FirstUntolerated:
    """The first taint that rejects a pod with these tolerations."""

    names: _TaintNames
    tolerations: Tolerations
    asks_pods = False

    def value(self, node: Node, pods: Collection[PodInfo]) -> int:
        for taint in node.spec.taints or ():
            if taint.effect in (NO_SCHEDULE, NO_EXECUTE) and not self.tolerations.tolerate(taint):
                return self.names.id_of(taint)
        return _NO_TAINT


@dataclass(frozen=True)
class _UntoleratedPreferences:
    """How many PreferNoSchedule taints a pod with these tolerations does not tolerate."""

    tolerations: Tolerations
    asks_pods = False

    def value(self, node: Node, pods: Collection[PodInfo]) -> int:
        return sum(
            taint.effect == PREFER_NO_SCHEDULE and not self.tolerations.tolerate(taint)
            for taint in node.spec.taints or ()
        )


class TaintToleration:
    name = "TaintToleration"
    weight = 3

    def __init__(self, handle: Handle) -> None:
        self._names = _TaintNames()

    def filter(self, pod: PodInfo, table: NodeTable) -> Bools:
        passed: Bools = table.term(self._term(pod)) == _NO_TAINT
        return passed

    def reject_reasons(self, pod: PodInfo, table: NodeTable, rejected: Ints) -> Iterator[str]:
        for taint in table.term(self._term(pod))[rejected].tolist():
            yield f"node(s) had untolerated taint {self._names.texts[taint]}"

    def score(self, pod: PodInfo, table: NodeTable, rows: Ints) -> Ints | None:
        counts = table.term(_UntoleratedPreferences(pod.tolerations))[rows]
        most = int(np.max(counts))
        if most == 0:
            return None
        scores: Ints = MAX_SCORE - MAX_SCORE * counts // most
        return scores.astype(np.int64)

    def _term(self, pod: PodInfo) -> _FirstUntolerated:
        return _FirstUntolerated(self._names, pod.tolerations)
