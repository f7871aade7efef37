"""A cordoned node takes no new pods, except those that tolerate its being unschedulable."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from apimachinery.types.core_v1 import Node
from scheduler.columns import Bools, Ints, NodeTable
from scheduler.pod_info import PodInfo

TAINT: Final = "node.kubernetes.io/unschedulable"


@dataclass(frozen=True)
class _Cordoned:
    asks_pods = False

    def value(self, node: Node, pods: Collection[PodInfo]) -> int:
        return int(bool(node.spec.unschedulable))


_CORDONED: Final = _Cordoned()


class NodeUnschedulable:
    name = "NodeUnschedulable"

    def filter(self, pod: PodInfo, table: NodeTable) -> Bools | None:
        if any(one.covers(TAINT, "", "NoSchedule") for one in pod.tolerations):
            return None
        passed: Bools = table.term(_CORDONED) == 0
        return passed

    def reasons(self, pod: PodInfo, table: NodeTable, rejected: Ints) -> Iterator[str]:
        yield from ["node(s) were unschedulable"] * len(rejected)
