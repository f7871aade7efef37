"""A cordoned node takes no new pods, except those that tolerate the taint of unschedulable nodes."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from apimachinery.core import well_known
from apimachinery.core.tolerations import NO_SCHEDULE
from apimachinery.types.core_v1 import Node, Taint
from scheduler.columns import Bools, Ints, NodeTable
from scheduler.framework import StatelessPlugin
from scheduler.pod_info import PodInfo

_TAINT: Final = Taint(key=well_known.UNSCHEDULABLE_TAINT, effect=NO_SCHEDULE)


@dataclass(frozen=True)
class _Cordoned:
    asks_pods = False

    def value(self, node: Node, pods: Collection[PodInfo]) -> int:
        return int(bool(node.spec.unschedulable))


_CORDONED: Final = _Cordoned()


class NodeUnschedulable(StatelessPlugin):
    name = "NodeUnschedulable"

    def filter(self, pod: PodInfo, table: NodeTable) -> Bools | None:
        if pod.tolerations.tolerate(_TAINT):
            return None
        passed: Bools = table.term(_CORDONED) == 0
        return passed

    def reject_reasons(self, pod: PodInfo, table: NodeTable, rejected: Ints) -> Iterator[str]:
        yield from ["node(s) were unschedulable"] * len(rejected)
