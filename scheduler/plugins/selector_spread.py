"""Pods of one service or controller go to different nodes: the fewer of them a node has, the better."""

from collections.abc import Collection
from dataclasses import dataclass

from apimachinery import meta
from apimachinery.types.core_v1 import Node, ReplicationController, Service
from kube_client import Informer
from scheduler.columns import Ints, NodeTable
from scheduler.framework import MAX_SCORE
from scheduler.pod_info import PodInfo

NAMESPACE_INDEX = "namespace"
"""The index that the informers given to ``SelectorSpread`` must have."""


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

    def __init__(self, services: Informer[Service], controllers: Informer[ReplicationController]) -> None:
        self._services, self._controllers = services, controllers

    def score(self, pod: PodInfo, table: NodeTable, rows: Ints) -> Ints | None:
        labels = self._selector(pod)
        if not labels:
            return None
        counts = table.term(_Siblings(pod.key.namespace, labels))[rows]
        most = int(counts.max())
        if most == 0:
            return None
        scores: Ints = MAX_SCORE * (most - counts) // most
        return scores

    def _selector(self, pod: PodInfo) -> frozenset[tuple[str, str]]:
        """The selectors of all services and controllers that select the pod, taken together."""
        labels = meta.labels_of(pod.pod)
        if not labels:
            return frozenset()
        selectors = [one.spec.selector for one in self._services.by_index(NAMESPACE_INDEX, pod.key.namespace)]
        selectors += [one.spec.selector for one in self._controllers.by_index(NAMESPACE_INDEX, pod.key.namespace)]
        wanted: set[tuple[str, str]] = set()
        for selector in selectors:
            if selector and selector.items() <= labels.items():
                wanted |= selector.items()
        return frozenset(wanted)
