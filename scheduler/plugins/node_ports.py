"""A port of the node can be used once per protocol and address."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from apimachinery.core.pods import HostPort
from apimachinery.types.core_v1 import Node
from scheduler.columns import Bools, Ints, NodeTable
from scheduler.framework import StatelessPlugin
from scheduler.pod_info import PodInfo


@dataclass(frozen=True)
class _Taken:
    port: HostPort
    asks_pods = True

    def value(self, node: Node, pods: Collection[PodInfo]) -> int:
        return int(any(self.port.conflicts(used) for pod in pods for used in pod.host_ports))


class NodePorts(StatelessPlugin):
    name = "NodePorts"

    def filter(self, pod: PodInfo, table: NodeTable) -> Bools | None:
        passed: Bools | None = None
        for port in pod.host_ports:
            free = table.term(_Taken(port)) == 0
            passed = free if passed is None else passed & free
        return passed

    def reject_reasons(self, pod: PodInfo, table: NodeTable, rejected: Ints) -> Iterator[str]:
        yield from ["node(s) didn't have free ports for the requested pod ports"] * len(rejected)
