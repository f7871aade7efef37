"""A pod that names its node can only run there."""

from collections.abc import Iterator

import numpy as np

from scheduler.columns import Bools, Ints, NodeTable
from scheduler.framework import StatelessPlugin
from scheduler.pod_info import PodInfo


class NodeName(StatelessPlugin):
    name = "NodeName"

    def filter(self, pod: PodInfo, table: NodeTable) -> Bools | None:
        name = pod.pod.spec.node_name
        if not name:
            return None
        passed = np.zeros(len(table.names), np.bool_)
        if (row := table.row_of(name)) is not None:
            passed[row] = True
        return passed

    def reject_reasons(self, pod: PodInfo, table: NodeTable, rejected: Ints) -> Iterator[str]:
        yield from ["node(s) didn't match the requested node name"] * len(rejected)
