"""Pods of one service or controller are spread over nodes: the fewer of them a node has, the better."""

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Final

import numpy as np

from apimachinery import meta
from apimachinery.types.core_v1 import Node, ReplicationController, Service
from apimachinery.types.objects import KubeObject
from scheduler.columns import Ints, NodeTable
from scheduler.framework import MAX_SCORE, Handle
from scheduler.pod_info import PodInfo

_BY_NAMESPACE: Final = "namespace"


@dataclass(frozen=True)
class _Siblings:
    """How many pods of a namespace have all these labels."""

    namespace: str
    labels: frozenset[tuple[str, str]]
    asks_pods = True

    def value(self, node: Node, pods: Collection[PodInfo]) -> int:
        return sum(
            pod.key.namespace == self.namespace
            and pod.pod.metadata.deletion_timestamp is None
            and self.labels <= meta.labels_of(pod.pod).items()
            for pod in pods
        )


class SelectorSpread:
    name = "SelectorSpread"
    weight = 1

    def __init__(self, handle: Handle) -> None:
        self._services = handle.informer(Service, {_BY_NAMESPACE: _namespace_of})
        self._controllers = handle.informer(ReplicationController, {_BY_NAMESPACE: _namespace_of})

    def score(self, pod: PodInfo, table: NodeTable, rows: Ints) -> Ints | None:
        labels = self._selector(pod)
        if not labels:
            return None
        counts = table.term(_Siblings(pod.key.namespace, labels))[rows]
        most = int(np.max(counts))
        if most == 0:
            return None
        scores: Ints = MAX_SCORE * (most - counts) // most
        return scores

    def _selector(self, pod: PodInfo) -> frozenset[tuple[str, str]]:
        """The selectors of all services and controllers that select the pod, combined."""
        labels = meta.labels_of(pod.pod)
        if not labels:
            return frozenset()
        namespace = pod.key.namespace
        selectors = [service.spec.selector for service in self._services.by_index(_BY_NAMESPACE, namespace)]
        selectors += [controller.spec.selector for controller in self._controllers.by_index(_BY_NAMESPACE, namespace)]
        selected: set[tuple[str, str]] = set()
        for selector in selectors:
            if selector and selector.items() <= labels.items():
                selected |= selector.items()
        return frozenset(selected)


def _namespace_of(obj: KubeObject) -> list[Hashable]:
    return [meta.namespace_of(obj)]
